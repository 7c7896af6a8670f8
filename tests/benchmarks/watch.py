"""What ``Trainer(watch=True)`` costs: `python -m tests.benchmarks.watch`.

Two trainers of one model take turns of some milliseconds; the overhead is the median of
the ratios of neighbouring turns, the times are medians.
"""

import argparse
import itertools
import time

import numpy as np

import symgrad as sg

#: widths, batch
MODELS = {
    "MLP 8-16-2, batch 8": ((8, 16, 2), 8),
    "MLP 64-32-10, batch 32": ((64, 32, 10), 32),
    "MLP 784-128-10, batch 64": ((784, 128, 10), 64),
    "MLP 784-512-512-10, batch 128": ((784, 512, 512, 10), 128),
}
TURN = 0.04  # seconds


def model(widths):
    x = sg.input("x", ("n", widths[0]))
    y = sg.input("y", ("n",), dtype="int64")
    h = x
    for n, (a, b) in enumerate(itertools.pairwise(widths)):
        with sg.scope(f"layer{n + 1}"):
            h = h @ sg.param("W", (a, b)) + sg.param("b", (b,), init="zeros")
        h = sg.relu(h) if n + 2 < len(widths) else h
    return sg.nn.cross_entropy(h, y)


def turn(trainer, batch, steps):
    """Return the seconds of a step."""
    began = time.perf_counter()
    for _ in range(steps):
        trainer.step(**batch)
    return (time.perf_counter() - began) / steps


def overhead(widths, batch, turns):
    """Return seconds of a plain and of a watched step, and by how much one is more."""
    rng = np.random.default_rng(0)
    data = {
        "x": rng.normal(size=(batch, widths[0])).astype("float32"),
        "y": rng.integers(0, widths[-1], batch),
    }
    loss = model(widths)
    plain, watched = (
        sg.Trainer(loss, sg.optim.Adam(1e-3), watch=w) for w in (False, True)
    )
    for trainer in (plain, watched):  # compile, the statistics too
        turn(trainer, data, 1024)
    steps = max(1, int(TURN / turn(plain, data, 100)))
    times = np.array(
        [(turn(plain, data, steps), turn(watched, data, steps)) for _ in range(turns)]
    )
    a, b = np.median(times, axis=0)
    return a, b, np.median(times[:, 1] / times[:, 0]) - 1


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=101)
    turns = parser.parse_args(arguments).turns
    print("| model | step | watched | overhead |\n|---|--:|--:|--:|")
    for name, (widths, batch) in MODELS.items():
        a, b, more = overhead(widths, batch, turns)
        print(f"| {name} | {1e6 * a:.1f} µs | {1e6 * b:.1f} µs | {more:+.1%} |")


if __name__ == "__main__":
    main()

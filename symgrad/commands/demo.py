"""``symgrad demo``: a classifier of handwritten digits, from its graph to its picture.

Declares a small network, derives its gradients in closed form, compiles forward,
backward and update into one program, trains it, and draws its gradient flow.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from symgrad.errors import FormatError

if TYPE_CHECKING:
    from rich.console import Console

    from symgrad.declare.tensor import Tensor
    from symgrad.train.trainer import Trainer

HELP = "derive, compile, train and draw a classifier of handwritten digits"
TRAINING = 1437  # of 1,797 images: four fifths
BATCH = 32
RATE = 3e-3
WIDTHS = (64, 64, 32, 10)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("symgrad-demo"),
        metavar="DIR",
        help="where to write files (default: ./symgrad-demo)",
    )
    parser.add_argument(
        "--epochs", type=_positive, default=40, help="times through the data (40)"
    )
    parser.add_argument(
        "--threads", type=_positive, help="threads to use (default: all processors)"
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Run the demonstration."""
    from rich.console import Console

    stages = Stages(Console(highlight=False, soft_wrap=False), writable(args.out))
    samples = load_samples()
    with stages.stage("Declare and derive"):
        model = declare()
        show_gradients(stages, model)
    with stages.stage("Compile"):
        trainer = compile_step(stages, model, args.threads)
    with stages.stage("Train"):
        train(stages, model, trainer, samples, args.epochs)
    with stages.stage("Draw"):
        draw(stages, model, trainer, samples)
    stages.summary()
    return 0


@dataclass
class Stages:
    """What is printed and written, stage by stage, and how long each took."""

    console: Console
    out: Path
    rows: list[tuple[str, float, list[str]]] = field(default_factory=list)

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Print the title; take the time."""
        self.console.print(f"\n[bold]{len(self.rows) + 1}  {title}[/bold]")
        self.rows.append((title, 0.0, []))
        began = time.perf_counter()
        yield
        self.rows[-1] = (title, time.perf_counter() - began, self.rows[-1][2])

    def say(self, text: str, indent: int = 3) -> None:
        """Print text as it is, wrapped and indented."""
        from rich.padding import Padding
        from rich.text import Text

        self.console.print(Padding(Text(text), (0, 0, 0, indent), expand=False))

    def write(self, name: str, text: str) -> None:
        """Write a text file."""
        (self.out / name).write_text(text, encoding="utf-8")
        self.wrote(name)

    def wrote(self, name: str) -> None:
        """Note a file for the summary."""
        self.rows[-1][2].append(name)

    def summary(self) -> None:
        """Print a table of stages, times and files."""
        from rich.table import Table

        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
        table.add_column("stage")
        table.add_column("seconds", justify="right")
        table.add_column("written")
        for title, seconds, names in self.rows:
            table.add_row(title, f"{seconds:.2f}", ", ".join(names))
        total = sum(seconds for _, seconds, _ in self.rows)
        table.add_row("[bold]Total[/bold]", f"[bold]{total:.2f}[/bold]", "")
        self.console.print()
        self.console.print(table)
        self.console.print()
        self.say(
            f"Everything is in {self.out}{'' if self.out.is_absolute() else '/'}", 0
        )


def writable(out: Path) -> Path:
    """Return the directory, made if need be.

    Raises:
        FormatError: nothing can be written there.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".symgrad-can-write"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise FormatError(
            f"cannot write to {out}: {error.strerror}; choose another directory "
            "with --out"
        ) from None
    return out


@dataclass
class Model:
    """The tensors of the classifier."""

    loss: Tensor
    accuracy: Tensor
    params: list[Tensor]


def declare() -> Model:
    """Return a perceptron with two hidden layers and its mean cross-entropy."""
    import symgrad as sg

    X = sg.input("X", ("batch", WIDTHS[0]))
    y = sg.input("y", ("batch",), dtype="int64")
    params: list[Tensor] = []
    h: Any = X
    for n, (rows, columns) in enumerate(pairwise(WIDTHS), start=1):
        with sg.scope(f"layer{n}"):
            W = sg.param("W", (rows, columns), init="he_normal")
            b = sg.param("b", (columns,), init="zeros")
            h = h @ W + b
            if n < len(WIDTHS) - 1:
                h = sg.relu(h)
        params += [W, b]
    with sg.scope("loss"):
        right = sg.log_softmax(h) * sg.one_hot(y, WIDTHS[-1])
        loss = -sg.mean(sg.sum(right, axis=-1))
    accuracy = sg.mean(sg.argmax(h, axis=-1) == y)
    return Model(loss, accuracy, params)


def load_samples() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the training and the test digits: a fixed split."""
    from symgrad.data import digits

    images, labels = digits()
    order = np.random.default_rng(0).permutation(len(images))
    train, test = (
        {"X": images[part], "y": labels[part]}
        for part in (order[:TRAINING], order[TRAINING:])
    )
    return train, test


def show_gradients(stages: Stages, model: Model) -> None:
    """Print and write each parameter's gradient in closed form."""
    from symgrad.notation import parameter_gradients

    widths = " → ".join(map(str, WIDTHS))
    count = sum(
        WIDTHS[n] * WIDTHS[n + 1] + WIDTHS[n + 1] for n in range(len(WIDTHS) - 1)
    )
    stages.say(f"A perceptron {widths}, relu, cross-entropy: {count:,} parameters.")
    stages.say("Its gradients, derived by the chain rule:\n")
    text = str(parameter_gradients(model.loss, model.params))
    stages.say(text, indent=5)
    stages.write("gradients.txt", text + "\n")


def compile_step(stages: Stages, model: Model, threads: int | None) -> Trainer:
    """Return the trainer, its step compiled; write the emitted source."""
    import symgrad as sg

    with stages.console.status("compiling"):
        trainer = sg.Trainer(model.loss, sg.optim.Adam(RATE), seed=0, threads=threads)
    report = trainer.program.report()
    stages.say(
        f"Forward, backward and the Adam update are one program of {report['kernels']} "
        f"kernels, {report['unique_kernels']} of them different."
    )
    stages.write("training_step.py", trainer.program.source)
    return trainer


def train(
    stages: Stages, model: Model, trainer: Trainer, samples: Any, epochs: int
) -> None:
    """Train on four fifths of the digits; report the accuracy on the others."""
    learned, tested = samples
    stages.say(
        f"{TRAINING:,} digits in batches of {BATCH}, {epochs} times; the other "
        f"{len(tested['y'])} are the test."
    )
    trainer.fit(learned, epochs, BATCH)
    metrics = {"accuracy": model.accuracy}
    found = trainer.evaluate(tested, metrics)
    speed = TRAINING / np.median(trainer.history["seconds"])
    stages.say(
        f"Test accuracy {found['accuracy']:.1%}, loss {found['loss']:.4f}; "
        f"{speed:,.0f} digits a second."
    )
    trainer.save(stages.out / "digits.safetensors")
    stages.wrote("digits.safetensors")


def draw(stages: Stages, model: Model, trainer: Trainer, samples: Any) -> None:
    """Draw the graph with the gradient's measured size on every edge."""
    import symgrad as sg

    batch = {name: array[:256] for name, array in samples[0].items()}
    with stages.console.status("drawing"):
        picture = sg.draw(model.loss, view="flow", data=batch, params=trainer.params)
        for name in ("gradient_flow.svg", "gradient_flow.png"):
            picture.save(stages.out / name)
            stages.wrote(name)
    stages.say("The graph, with the gradient's measured size on every edge.")

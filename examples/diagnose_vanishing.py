"""A network that cannot learn: foretold from formulas, confirmed, mended as advised."""

import sys

import symgrad as sg
from symgrad.data import digits


def broken(depth=20, width=32):
    """Return the loss of a chain of sigmoid layers, and its first weights."""
    x, y = sg.input("x", ("batch", 64)), sg.input("y", ("batch",), dtype="int64")
    with sg.scope("layer1"):
        W = sg.param("W", (64, width))
        h = sg.sigmoid(x @ W)
    for n in range(1, depth):
        h = sg.sigmoid(sg.nn.linear(h, width, name=f"layer{n + 1}"))
    return sg.nn.cross_entropy(sg.nn.linear(h, 10, name="out"), y), W


def mended(depth=20, width=32):
    """Return the same depth with what the diagnosis advises: relu and shortcuts."""
    x, y = sg.input("x", ("batch", 64)), sg.input("y", ("batch",), dtype="int64")
    h = sg.nn.linear(x, width, name="in")
    for n in range(depth // 2):
        with sg.scope(f"block{n + 1}"):
            inner = sg.nn.linear(h, width, init="he_normal", name="up")
            h = h + sg.nn.linear(sg.relu(inner), width, name="down") / depth**0.5
    return sg.nn.cross_entropy(sg.nn.linear(h, 10, name="out"), y)


def data(samples):
    images, labels = digits()
    return {"x": (images[:samples] - 0.3) / 0.37, "y": labels[:samples]}


def main(samples=1024, epochs=10, depth=20, pages=False):
    loss, first = broken(depth)
    print(sg.gradient_bound(loss, first, intervals={"x": (-1, 2)}), "\n")

    predicted = sg.diagnose(loss)  # no data yet
    print("before any data\n", predicted.findings[0], "\n", sep="")

    trainer = sg.Trainer(loss, sg.optim.Adam(1e-3), watch=True)
    trainer.fit(data(samples), epochs=epochs, batch_size=64, progress=False)
    confirmed = sg.diagnose(trainer, data(samples))
    print("after training\n", confirmed.findings[0], "\n", sep="")

    trainer = sg.Trainer(mended(depth), sg.optim.Adam(1e-3), watch=True)
    trainer.fit(data(samples), epochs=epochs, batch_size=64, progress=False)
    healthy = sg.diagnose(trainer, data(samples))
    print("mended\n", healthy.summary(), sep="")
    print("healthy" if healthy.healthy else healthy)
    if pages:
        confirmed.save("vanishing.html")
        healthy.save("mended.html")
    return predicted, confirmed, healthy


if __name__ == "__main__":
    main(pages="--pages" in sys.argv)

"""Three pictures: a gradient in closed form, one that vanishes, and two highways."""

import sys
from pathlib import Path

import numpy as np

import symgrad as sg

rng = np.random.default_rng(0)


def classifier():
    h, y = sg.input("X", ("n", 8)), sg.input("y", ("n",), "int64")
    for n, (rows, columns) in enumerate([(8, 6), (6, 3)], start=1):
        with sg.scope(f"layer{n}"):
            h = h @ sg.param("W", (rows, columns)) + sg.param("b", (columns,))
            h = sg.relu(h) if n == 1 else h
    return sg.nn.cross_entropy(h, y)


def deep(layers, width=16):
    h, y = sg.input("x", ("n", width)), sg.input("y", ("n", width))
    for n in range(layers):
        with sg.scope(f"layer{n + 1}"):
            W, b = sg.param("W", (width, width)), sg.param("b", (width,), init="zeros")
            h = sg.sigmoid(h @ W + b)
    return sg.mean((h - y) ** 2)


def residual(blocks, width=16):
    h, y = sg.input("x", ("n", width)), sg.input("y", ("n", width))
    for n in range(blocks):
        with sg.scope(f"block{n + 1}"):
            V, W = (sg.param(name, (width, width)) for name in "VW")
            h = h + 0.5 * sg.relu(h @ V) @ W
    return sg.mean((h - y) ** 2)


def main(folder, layers=10, blocks=6, suffix=".svg"):
    data = {name: rng.normal(size=(64, 16)).astype("float32") for name in "xy"}
    pictures = {
        "gradient": sg.draw(classifier(), view="gradient"),
        "vanishing": sg.draw(deep(layers), view="flow", data=data, collapse="scope"),
        "highways": sg.draw(
            residual(blocks), view="highways", data=data, compare="without_residuals"
        ),
    }
    for name, picture in pictures.items():
        print(picture.save(Path(folder) / f"{name}{suffix}"))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)

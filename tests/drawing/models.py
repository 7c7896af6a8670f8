"""Small models for pictures, and data for them."""

import numpy as np

import symgrad as sg

rng = np.random.default_rng(0)


def cross_entropy(z, y):
    picked = sg.take_along_axis(sg.log_softmax(z), sg.expand_dims(y, -1), axis=-1)
    return -sg.mean(picked)


def mlp(sizes=(8, 6, 4, 3)):
    h, y = sg.input("X", ("n", sizes[0])), sg.input("y", ("n",), "int64")
    for n in range(1, len(sizes)):
        with sg.scope(f"layer{n}"):
            shape = (sizes[n - 1], sizes[n])
            h = h @ sg.param("W", shape) + sg.param("b", shape[1:])
            h = sg.relu(h) if n < len(sizes) - 1 else h
    data = {"X": rng.normal(size=(5, sizes[0])).astype("f"), "y": np.arange(5) % 3}
    return cross_entropy(h, y), data


def conv():
    image, y = sg.input("image", ("n", 1, 6, 6)), sg.input("y", ("n",), "int64")
    with sg.scope("conv"):
        w, b = sg.param("w", (2, 1, 3, 3)), sg.param("b", (2, 1, 1))
        h = sg.max_pool(sg.relu(sg.conv2d(image, w) + b), 2)
    with sg.scope("head"):
        z = sg.reshape(h, ("n", 8)) @ sg.param("W", (8, 3))
    data = {"image": rng.normal(size=(4, 1, 6, 6)).astype("f"), "y": np.arange(4) % 3}
    return cross_entropy(z, y), data


def residual(blocks=3):
    h = x = sg.input("x", ("n", 6))
    for n in range(blocks):
        with sg.scope(f"block{n + 1}"):
            f = sg.relu(h @ sg.param("V", (6, 8))) @ sg.param("W", (8, 6))
            h = h + f
    del x
    loss = sg.mean((h - sg.input("y", ("n", 6))) ** 2)
    return loss, {n: rng.normal(size=(4, 6)).astype("f") for n in "xy"}


def _normalised(h):
    spread = sg.sqrt(sg.var(h, axis=-1, keepdims=True) + 1e-5)
    return (h - sg.mean(h, axis=-1, keepdims=True)) / spread


def _block(h, n, d):
    with sg.scope(f"block{n}"):
        with sg.scope("attention"):
            m = _normalised(h)
            q, k, v = (m @ sg.param(f"W{c}", (d, d)) for c in "qkv")
            mixed = sg.softmax(q @ k.mT / d**0.5) @ v
            h = h + mixed @ sg.param("Wo", (d, d))
        with sg.scope("mlp"):
            inner = _normalised(h) @ sg.param("V", (d, 2 * d))
            return h + sg.gelu(inner) @ sg.param("W", (2 * d, d))


def transformer(blocks=1, d=8):
    ids, y = (sg.input(n, ("n", 4), "int64") for n in ("ids", "y"))
    with sg.scope("embed"):
        h = sg.param("E", (10, d))[ids] + sg.param("P", (4, d))
    for n in range(blocks):
        h = _block(h, n + 1, d)
    with sg.scope("head"):
        z = h @ sg.param("U", (d, 10))
    data = {n: rng.integers(0, 10, (2, 4)) for n in ("ids", "y")}
    return cross_entropy(z, y), data


MODELS = {"mlp": mlp, "conv": conv, "residual": residual, "transformer": transformer}

"""Small models, one for each thing that the stages do; their texts are golden files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import symgrad as sg


@dataclass(frozen=True)
class Model:
    """A graph to compile: its inputs and outputs, and a JAX function for the values.

    ``outputs`` are followed by the gradient of the first one by ``wrt``.
    """

    inputs: list[sg.Tensor]
    outputs: list[sg.Tensor]
    wrt: list[sg.Tensor]
    jax: Callable[..., Any]
    sizes: dict[str, int]

    def arrays(self) -> list[np.ndarray]:
        """Return values for the inputs."""
        rng = np.random.default_rng(7)
        found = []
        for t in self.inputs:
            shape = [self.sizes.get(str(s), s) for s in t.shape]
            ints = t.dtype == "int64"
            values = rng.integers(0, 3, shape) if ints else rng.normal(size=shape)
            found.append(np.asarray(values, t.dtype))
        return found


def elementwise() -> Model:
    x, y = (sg.input(n, ("n",), "float64") for n in "xy")
    loss = sg.sum(sg.tanh(x * y + 0.5) * sg.exp(-x * x))

    def by_jax(np_, x, y):
        return np_.sum(np_.tanh(x * y + 0.5) * np_.exp(-x * x))

    return Model([x, y], [loss], [x], by_jax, {"n": 70})


def mlp() -> Model:
    x, k = sg.input("x", ("batch", 6), "float64"), sg.input("k", ("batch",), "int64")
    w1, b1 = sg.input("W1", (6, 8), "float64"), sg.input("b1", (8,), "float64")
    w2 = sg.input("W2", (8, 3), "float64")
    z = sg.log_softmax(sg.relu(x @ w1 + b1) @ w2)
    loss = -sg.mean(sg.sum(z * sg.one_hot(k, 3), axis=1))

    def by_jax(np_, x, k, w1, b1, w2):
        z = np_.maximum(x @ w1 + b1, 0) @ w2
        z = z - np_.log(np_.sum(np_.exp(z), axis=1, keepdims=True))
        return -np_.mean(np_.sum(z * np_.eye(3)[k], axis=1))

    return Model([x, k, w1, b1, w2], [loss], [w1, b1, w2], by_jax, {"batch": 5})


def softmax() -> Model:
    x, g = (sg.input(n, ("n", "m"), "float64") for n in "xg")
    p = sg.softmax(x)

    def by_jax(np_, x, g):
        e = np_.exp(x - np_.max(x, axis=1, keepdims=True))
        return np_.sum(e / np_.sum(e, axis=1, keepdims=True) * g)

    return Model([x, g], [sg.sum(p * g), p], [x], by_jax, {"n": 4, "m": 33})


def layer_norm() -> Model:
    x, g = (sg.input(n, ("n", 24), "float64") for n in "xg")
    scale = sg.input("scale", (24,), "float64")
    centred = x - sg.mean(x, axis=1, keepdims=True)
    y = centred / sg.sqrt(sg.mean(centred * centred, axis=1, keepdims=True) + 1e-5)

    def by_jax(np_, x, g, scale):
        c = x - np_.mean(x, axis=1, keepdims=True)
        y = c / np_.sqrt(np_.mean(c * c, axis=1, keepdims=True) + 1e-5)
        return np_.sum(y * scale * g)

    return Model([x, g, scale], [sg.sum(y * scale * g)], [x, scale], by_jax, {"n": 6})


def convolution() -> Model:
    x = sg.input("x", ("batch", 2, 8, 8), "float64")
    w = sg.input("w", (3, 2, 3, 3), "float64")
    y = sg.max_pool(sg.conv2d(x, w), 2)

    def by_jax(np_, x, w):
        parts = [
            np_.einsum("nchw,oc->nohw", x[:, :, i : i + 6, j : j + 6], w[:, :, i, j])
            for i in range(3)
            for j in range(3)
        ]
        y = sum(parts[1:], parts[0]).reshape(x.shape[0], 3, 3, 2, 3, 2)
        return np_.sum(np_.max(np_.max(y, axis=5), axis=3) ** 2)

    return Model([x, w], [sg.sum(y * y)], [w], by_jax, {"batch": 2})


def embedding() -> Model:
    ids = sg.input("ids", ("n",), "int64")
    table = sg.input("table", (3, 5), "float64")
    rows = sg.take(table, ids, axis=0)

    def by_jax(np_, ids, table):
        return np_.sum(np_.sin(table[ids]))

    return Model([ids, table], [sg.sum(sg.sin(rows))], [table], by_jax, {"n": 9})


def cumulative() -> Model:
    x = sg.input("x", ("n", 12), "float64")
    y = sg.cumulative_sum(x, axis=1)

    def by_jax(np_, x):
        return np_.sum(np_.cumsum(x, axis=1) ** 2)

    return Model([x], [sg.sum(y * y)], [x], by_jax, {"n": 3})


def attention() -> Model:
    q, k, v = (sg.input(n, ("batch", "time", 4), "float64") for n in "qkv")
    scores = q @ k.mT / 2.0
    y = sg.softmax(scores) @ v

    def by_jax(np_, q, k, v):
        s = np_.einsum("bik,bjk->bij", q, k) / 2
        e = np_.exp(s - np_.max(s, axis=2, keepdims=True))
        p = e / np_.sum(e, axis=2, keepdims=True)
        return np_.sum(np_.einsum("bij,bjk->bik", p, v) ** 2)

    sizes = {"batch": 2, "time": 7}
    return Model([q, k, v], [sg.sum(y * y)], [q, k, v], by_jax, sizes)


def residual() -> Model:
    x, w = sg.input("x", ("batch", 5), "float64"), sg.input("W", (5, 5), "float64")
    y = x
    for n in range(3):
        with sg.scope(f"block{n}"):
            y = y + sg.tanh(y @ w)

    def by_jax(np_, x, w):
        for _ in range(3):
            x = x + np_.tanh(x @ w)
        return np_.sum(x * x)

    return Model([x, w], [sg.sum(y * y)], [x, w], by_jax, {"batch": 4})


def reductions() -> Model:
    x = sg.input("x", ("n", 7), "float64")
    loss = sg.sum(sg.prod(x, axis=1)) + sg.sum(sg.max(x, axis=0))
    more = [sg.argmax(x, axis=1), sg.any(x > 1.5), sg.std(x, axis=0)]

    def by_jax(np_, x):
        return np_.sum(np_.prod(x, axis=1)) + np_.sum(np_.max(x, axis=0))

    return Model([x], [loss, *more], [x], by_jax, {"n": 5})


def gru() -> Model:
    """A loop, its gradient, and the products that leave it."""
    x, h = sg.input("x", ("time", 2, 3), "float64"), sg.input("h", (2, 4), "float64")
    w, u = sg.input("W", (3, 12), "float64"), sg.input("U", (4, 12), "float64")

    def step(h: Any, x: Any) -> tuple[Any, Any]:
        y, p = x @ w, h @ u
        r, z = (sg.sigmoid(y[:, k : k + 4] + p[:, k : k + 4]) for k in (0, 4))
        new = sg.tanh(y[:, 8:] + r * p[:, 8:])
        h = (1 - z) * new + z * h
        return h, h

    ys = sg.scan(step, h, x)[1]

    def by_jax(np_, x, h, w, u):
        total = 0.0
        for t in range(x.shape[0]):
            y, p = x[t] @ w, h @ u
            r = 1 / (1 + np_.exp(-y[:, :4] - p[:, :4]))
            z = 1 / (1 + np_.exp(-y[:, 4:8] - p[:, 4:8]))
            h = (1 - z) * np_.tanh(y[:, 8:] + r * p[:, 8:]) + z * h
            total = total + np_.sum(h * h)
        return total

    return Model([x, h, w, u], [sg.sum(ys * ys)], [x, h, w, u], by_jax, {"time": 3})


MODELS: dict[str, Callable[[], Model]] = {
    f.__name__: f
    for f in (
        elementwise,
        mlp,
        softmax,
        layer_norm,
        convolution,
        embedding,
        cumulative,
        attention,
        residual,
        reductions,
        gru,
    )
}

"""Models to train: perceptrons, convolutions, residual networks, transformers.

Three tasks: handwritten digits, regression, and the next character of a text.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

import symgrad as sg
from symgrad.data import digits

CONTEXT, CHARACTERS = 12, 48


@cache
def data(kind):
    if kind == "digits":
        X, y = digits()
        order = np.random.default_rng(5).permutation(len(X))[:1024]
        return {"x": (X[order] - 0.3) / 0.37, "y": y[order]}
    if kind == "characters":
        text = (Path(__file__).parents[2] / "LICENSE").read_text().lower()
        codes = {c: n for n, c in enumerate(sorted(set(text)))}
        ids = np.array([codes[c] for c in text])
        starts = np.random.default_rng(7).permutation(len(ids) - CONTEXT - 1)[:512]
        windows = ids[starts[:, None] + np.arange(CONTEXT + 1)]
        return {"x": windows[:, :-1], "y": windows[:, 1:]}
    rng = np.random.default_rng(3)
    X = rng.normal(size=(512, 8)).astype("float32")
    w = rng.normal(size=(8, 4))
    y = np.tanh(X @ w) @ rng.normal(size=4) / 2 + 0.05 * rng.normal(size=512)
    return {"x": X, "y": y[:, None].astype("float32")}


def inputs(kind):
    if kind == "characters":
        x = sg.input("x", ("n", CONTEXT), dtype="int64")
        y = sg.input("y", ("n", CONTEXT), dtype="int64")
        return x, y, CHARACTERS, CHARACTERS
    if kind == "digits":
        return sg.input("x", ("n", 64)), sg.input("y", ("n",), dtype="int64"), 64, 10
    return sg.input("x", ("n", 8)), sg.input("y", ("n", 1)), 8, 1


def loss_of(kind, out, y):
    if kind == "characters":
        return sg.nn.cross_entropy(out, y)
    if kind == "digits":
        right = sg.log_softmax(out) * sg.one_hot(y, 10)
        return -sg.mean(sg.sum(right, axis=-1))
    return sg.mean((out - y) ** 2)


def normal(gain):
    """Return the initialiser whose deviation is gain/√fan_in."""
    return lambda rng, shape: gain * rng.standard_normal(shape) / np.sqrt(shape[0])


def dense(h, name, n_in, n_out, init="he_normal", bias="zeros", trainable=True):
    with sg.scope(name):
        W = sg.param("W", (n_in, n_out), init=init, trainable=trainable)
        return h @ W + sg.param("b", (n_out,), init=bias, trainable=trainable)


def mlp(
    kind,
    depth=2,
    width=32,
    act=sg.relu,
    init="he_normal",
    bias="zeros",
    frozen=(),
    last="glorot_uniform",
    stop=False,
):
    x, y, n_in, n_out = inputs(kind)
    h = x
    for n in range(depth):
        h = act(dense(h, f"layer{n + 1}", n_in, width, init, bias, n + 1 not in frozen))
        if stop and n + 1 == stop:
            h = sg.stop_gradient(h)
        n_in = width
    return loss_of(kind, dense(h, "out", n_in, n_out, last), y)


def residual(kind, blocks=4, width=32, norm=True, gain=1.0):
    x, y, n_in, n_out = inputs(kind)
    h = dense(x, "stem", n_in, width)
    for n in range(blocks):
        inner = h
        if norm:
            centred = h - sg.mean(h, axis=-1, keepdims=True)
            inner = centred / sg.sqrt(
                sg.mean(centred**2, axis=-1, keepdims=True) + 1e-5
            )
        inner = sg.relu(dense(inner, f"block{n + 1}/a", width, width))
        h = h + dense(inner, f"block{n + 1}/b", width, width, normal(gain))
    return loss_of(kind, dense(h, "out", width, n_out, "glorot_uniform"), y)


def cnn(bias="zeros", frozen=False):
    x, y, _, _ = inputs("digits")
    h = x.reshape((-1, 1, 8, 8))
    for n, (a, b) in enumerate([(1, 8), (8, 8)]):
        with sg.scope(f"conv{n + 1}"):
            train = not (frozen and n)
            K = sg.param("K", (b, a, 3, 3), init="he_normal", trainable=train)
            c = sg.param("b", (b,), init=bias)
            h = sg.relu(sg.conv2d(h, K) + c.reshape((b, 1, 1)))
    out = dense(h.reshape((-1, 8 * 16)), "out", 128, 10, "glorot_uniform")
    return loss_of("digits", out, y)


def recurrent(steps=30, gain=1.4, act=lambda t: t):
    """Read the eight features again and again, with one matrix."""
    x, y, n_in, n_out = inputs("regression")
    U = sg.param("U", (n_in, 16))
    W = sg.param("W", (16, 16), init=normal(gain))
    h = x @ U
    for _ in range(steps):
        h = act(h @ W + x @ U)
    return loss_of("regression", h @ sg.param("V", (16, n_out)), y)


def bigram(
    depth=1, width=32, act=sg.relu, init="he_normal", bias="zeros", trainable=True
):
    """Predict the next character from the last one and a mean of those before."""
    x, y, _, _ = inputs("characters")
    with sg.scope("embedding"):
        E = sg.param("E", (CHARACTERS, 16), init=normal(7.0), trainable=trainable)
    h = sg.take(E, x, axis=0)
    before = sg.cumulative_sum(h, axis=1) / np.arange(1.0, CONTEXT + 1)[:, None]
    h = sg.concat([h, before.astype("float32")], axis=2)
    n_in = 32
    for n in range(depth):
        h = act(dense(h, f"layer{n + 1}", n_in, width, init, bias))
        n_in = width
    last = init if init in ("zeros", 0.1) else "glorot_uniform"
    return loss_of("characters", dense(h, "out", n_in, CHARACTERS, last), y)


def transformer(blocks=1, width=16, heads=2, norm=True, gain=None):
    """A causal character transformer, pre-norm or without normalisation."""
    x, y, _, _ = inputs("characters")
    h = sg.nn.embedding(x, CHARACTERS, width, name="tokens")
    h = h + sg.param("places", (CONTEXT, width), init="normal")
    init = "glorot_uniform" if gain is None else normal(gain)
    for n in range(blocks):
        with sg.scope(f"block{n + 1}"):
            inner = sg.nn.layer_norm(h, name="norm1") if norm else h
            mixed = sg.nn.multi_head_attention(
                inner, heads, causal=True, init=init, name="attention"
            )
            h = h + mixed
            inner = sg.nn.layer_norm(h, name="norm2") if norm else h
            inner = sg.relu(dense(inner, "up", width, 2 * width, init))
            h = h + dense(inner, "down", 2 * width, width, init)
    h = sg.nn.layer_norm(h, name="last_norm") if norm else h
    out = dense(h, "out", width, CHARACTERS, "glorot_uniform")
    return loss_of("characters", out, y)


def lopsided(rng, shape):
    """Return biases of which most keep their units off."""
    return np.where(rng.random(shape) < 0.8, -30.0, 0.0)


def logs(kind):
    x, y, n_in, n_out = inputs(kind)
    h = sg.log(dense(x, "inner", n_in, 16))
    return loss_of(kind, dense(h, "out", 16, n_out), y)


def quotients(kind):
    """Divide each pixel by its deviation, which is 0 for some."""
    x, y, n_in, n_out = inputs(kind)
    centred = x - sg.mean(x, axis=0, keepdims=True)
    h = centred / sg.sqrt(sg.mean(centred**2, axis=0, keepdims=True))
    h = sg.relu(dense(h, "inner", n_in, 16))
    return loss_of(kind, dense(h, "out", 16, n_out), y)


def shrinking(kind):
    """A scale that training drives below 0, into a logarithm."""
    s = sg.param("scale", (), init=1.0)
    return mlp(kind) + 5 * s + 0.01 * sg.log(s)


def adapted():
    """Adapt a frozen layer by a product of low rank."""
    x, y, n_in, n_out = inputs("digits")
    base = sg.param("base", (n_in, 32), init="he_normal", trainable=False)
    A = sg.param("A", (n_in, 4), init="he_normal")
    B = sg.param("B", (4, 32), init="zeros")
    h = sg.relu(x @ (base + A @ B))
    return loss_of("digits", dense(h, "out", 32, n_out, "glorot_uniform"), y)

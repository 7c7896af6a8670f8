"""Training runs broken on purpose, one for each cause, and healthy ones.

Three tasks: handwritten digits, regression, and the next character of a text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Case:
    """One way to train; ``cause`` is what is wrong, None for healthy runs."""

    name: str
    cause: str | None
    loss: Callable
    kind: str = "digits"
    optimizer: object = sg.optim.Adam(3e-3)
    batch: int = 64
    steps: int = 120
    scale: float = 1.0  # of the inputs


SGD, ADAM, RMS = sg.optim.SGD, sg.optim.Adam, sg.optim.RMSProp
D, R, C = "digits", "regression", "characters"


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
    x, y, n_in, n_out = inputs(D)
    base = sg.param("base", (n_in, 32), init="he_normal", trainable=False)
    A = sg.param("A", (n_in, 4), init="he_normal")
    B = sg.param("B", (4, 32), init="zeros")
    h = sg.relu(x @ (base + A @ B))
    return loss_of(D, dense(h, "out", 32, n_out, "glorot_uniform"), y)


CASES = [
    Case("MLP, SGD 3", "learning_rate_too_high", lambda: mlp(D), D, SGD(3.0)),
    Case("MLP, momentum 1", "learning_rate_too_high", lambda: mlp(D), D, SGD(1.0, 0.9)),
    Case("MLP, Adam 1", "learning_rate_too_high", lambda: mlp(D), D, ADAM(1.0)),
    Case("MLP, SGD 2", "learning_rate_too_high", lambda: mlp(R), R, SGD(2.0)),
    Case(
        "tanh, Adam 0.5",
        "learning_rate_too_high",
        lambda: mlp(R, act=sg.tanh),
        R,
        ADAM(0.5),
    ),
    Case("residual, SGD 3", "learning_rate_too_high", lambda: residual(D), D, SGD(3.0)),
    Case("MLP, SGD 1e-5", "learning_rate_too_low", lambda: mlp(D), D, SGD(1e-5)),
    Case("MLP, Adam 1e-6", "learning_rate_too_low", lambda: mlp(D), D, ADAM(1e-6)),
    Case(
        "residual, Adam 1e-6",
        "learning_rate_too_low",
        lambda: residual(D),
        D,
        ADAM(1e-6),
    ),
    Case("CNN, SGD 1e-5", "learning_rate_too_low", cnn, D, SGD(1e-5)),
    Case("MLP, SGD 1e-5", "learning_rate_too_low", lambda: mlp(R), R, SGD(1e-5)),
    Case(
        "sigmoid × 12",
        "vanishing",
        lambda: mlp(D, 12, act=sg.sigmoid, init="glorot_normal"),
        D,
        SGD(0.1),
    ),
    Case(
        "sigmoid × 20, Adam",
        "vanishing",
        lambda: mlp(D, 20, act=sg.sigmoid, init="glorot_normal"),
        D,
        ADAM(1e-3),
    ),
    Case(
        "sigmoid × 10",
        "vanishing",
        lambda: mlp(R, 10, 16, act=sg.sigmoid, init="glorot_normal"),
        R,
        SGD(0.1),
    ),
    Case(
        "tanh × 40, gain 0.7",
        "vanishing",
        lambda: mlp(D, 40, 24, act=sg.tanh, init=normal(0.7)),
        D,
        SGD(0.05),
    ),
    Case("recurrent, gain 1.6", "exploding", lambda: recurrent(30, 1.6), R, SGD(1e-3)),
    Case(
        "recurrent × 20, relu",
        "exploding",
        lambda: recurrent(20, 3.0, sg.relu),
        R,
        ADAM(1e-3),
    ),
    Case(
        "relu × 25, gain 2.4",
        "exploding",
        lambda: mlp(D, 25, init=normal(2.4)),
        D,
        SGD(0.01),
    ),
    Case(
        "leaky × 30, gain 2.2",
        "exploding",
        lambda: mlp(R, 30, 24, act=sg.leaky_relu, init=normal(2.2)),
        R,
        SGD(0.01),
    ),
    Case(
        "residual × 16, no norm",
        "missing_normalization",
        lambda: residual(D, 16, norm=False, gain=1.4),
        D,
        SGD(0.05),
    ),
    Case(
        "residual × 20, no norm",
        "missing_normalization",
        lambda: residual(D, 20, norm=False, gain=1.2),
        D,
        SGD(0.05),
    ),
    Case(
        "residual × 16, no norm",
        "missing_normalization",
        lambda: residual(R, 16, norm=False, gain=1.4),
        R,
        SGD(0.05),
    ),
    Case(
        "MLP × 4, gain 12",
        "bad_initialization",
        lambda: mlp(D, 4, init=normal(12)),
        D,
        SGD(0.05),
    ),
    Case(
        "MLP × 6, gain 0.05",
        "bad_initialization",
        lambda: mlp(D, 6, init=normal(0.05), last=normal(0.05)),
        D,
        SGD(0.05),
    ),
    Case(
        "MLP, zeros",
        "bad_initialization",
        lambda: mlp(D, init="zeros", last="zeros"),
        D,
        SGD(0.1),
    ),
    Case(
        "MLP, all 0.1",
        "bad_initialization",
        lambda: mlp(R, init=0.1, last=0.1),
        R,
        SGD(0.05),
    ),
    Case(
        "tanh × 4, gain 20",
        "bad_initialization",
        lambda: mlp(D, 4, act=sg.tanh, init=normal(20)),
        D,
        SGD(0.05),
    ),
    Case("MLP, batch 1", "batch_too_small", lambda: mlp(D), D, SGD(0.1), 1, 250),
    Case("MLP, batch 2", "batch_too_small", lambda: mlp(D), D, SGD(0.2), 2, 250),
    Case(
        "tanh, batch 1",
        "batch_too_small",
        lambda: mlp(R, act=sg.tanh, init="glorot_normal"),
        R,
        SGD(0.1),
        1,
        250,
    ),
    Case(
        "residual, batch 1",
        "batch_too_small",
        lambda: residual(D),
        D,
        SGD(0.03),
        1,
        250,
    ),
    Case("MLP, biases −30", "dead_relu", lambda: mlp(D, bias=lopsided), D, SGD(0.1)),
    Case("MLP, biases −30", "dead_relu", lambda: mlp(R, 3, bias=lopsided), R, SGD(0.1)),
    Case("CNN, biases −30", "dead_relu", lambda: cnn(lopsided), D, ADAM(1e-3)),
    Case(
        "tanh, biases 8",
        "saturated",
        lambda: mlp(D, act=sg.tanh, bias=8.0),
        D,
        SGD(0.1),
    ),
    Case(
        "tanh, inputs × 100",
        "saturated",
        lambda: mlp(D, act=sg.tanh, init="glorot_normal"),
        D,
        SGD(0.1),
        scale=100.0,
    ),
    Case(
        "sigmoid, inputs × 100",
        "saturated",
        lambda: mlp(R, act=sg.sigmoid, init="glorot_normal"),
        R,
        SGD(0.1),
        scale=100.0,
    ),
    Case("first layer frozen", "frozen", lambda: mlp(D, frozen=(1,)), D, SGD(0.1)),
    Case("both layers frozen", "frozen", lambda: mlp(R, frozen=(1, 2)), R, SGD(0.01)),
    Case("convolution frozen", "frozen", lambda: cnn(frozen=True), D, ADAM(1e-3)),
    Case("stop_gradient", "unreached", lambda: mlp(D, stop=1), D, SGD(0.1)),
    Case("stop_gradient", "unreached", lambda: mlp(R, 3, stop=2), R, SGD(0.05)),
    Case("log of negatives", "nan", lambda: logs(D), D, SGD(0.01)),
    Case("0/0", "nan", lambda: quotients(D), D, SGD(0.01)),
    Case("log of a scale", "nan", lambda: shrinking(R), R, SGD(0.01)),
    # the character model
    Case("bigram, Adam 1", "learning_rate_too_high", bigram, C, ADAM(1.0)),
    Case("transformer, Adam 0.5", "learning_rate_too_high", transformer, C, ADAM(0.5)),
    Case("bigram, SGD 1e-5", "learning_rate_too_low", bigram, C, SGD(1e-5)),
    Case("transformer, Adam 1e-6", "learning_rate_too_low", transformer, C, ADAM(1e-6)),
    Case(
        "sigmoid × 10",
        "vanishing",
        lambda: bigram(10, act=sg.sigmoid, init="glorot_normal"),
        C,
        ADAM(1e-3),
    ),
    Case(
        "relu × 20, gain 2.4",
        "exploding",
        lambda: bigram(20, init=normal(2.4)),
        C,
        SGD(0.01),
    ),
    Case(
        "transformer × 8, no norm",
        "missing_normalization",
        lambda: transformer(8, norm=False, gain=1.7),
        C,
        SGD(0.1),
    ),
    Case("bigram, zeros", "bad_initialization", lambda: bigram(2, init="zeros"), C),
    Case(
        "bigram × 4, gain 15",
        "bad_initialization",
        lambda: bigram(4, init=normal(15)),
        C,
        SGD(0.05),
    ),
    Case("bigram, biases −30", "dead_relu", lambda: bigram(bias=lopsided), C),
    Case(
        "bigram, tanh, biases 8",
        "saturated",
        lambda: bigram(act=sg.tanh, bias=8.0),
        C,
        SGD(0.1),
    ),
    Case("embedding frozen", "frozen", lambda: bigram(trainable=False), C),
    # healthy
    Case("MLP, SGD", None, lambda: mlp(D), D, SGD(0.1)),
    Case("MLP, momentum", None, lambda: mlp(D), D, SGD(0.03, 0.9)),
    Case("MLP, Adam", None, lambda: mlp(D), D, ADAM(3e-3)),
    Case("MLP × 5, Adam", None, lambda: mlp(D, 5), D, ADAM(1e-3)),
    Case(
        "tanh, SGD",
        None,
        lambda: mlp(D, 3, act=sg.tanh, init="glorot_normal"),
        D,
        SGD(0.1),
    ),
    Case("sigmoid, Adam", None, lambda: mlp(D, 1, act=sg.sigmoid), D, ADAM(1e-2)),
    Case("GELU, Adam", None, lambda: mlp(D, 3, act=sg.gelu), D, ADAM(1e-3)),
    Case("residual × 6", None, lambda: residual(D, 6), D, ADAM(1e-3)),
    Case("residual × 12", None, lambda: residual(D, 12), D, ADAM(1e-3)),
    Case("CNN, Adam", None, cnn, D, ADAM(3e-3)),
    Case("CNN, SGD", None, cnn, D, SGD(0.05, 0.9)),
    Case("regression, SGD", None, lambda: mlp(R), R, SGD(0.03)),
    Case("regression, Adam", None, lambda: mlp(R, 3), R, ADAM(3e-3)),
    Case("regression, SiLU", None, lambda: mlp(R, 2, act=sg.silu), R, ADAM(3e-3)),
    Case("regression, residual", None, lambda: residual(R, 4), R, ADAM(3e-3)),
    Case("adapted, Adam", None, adapted, D, ADAM(1e-2)),
    Case("MLP, 8 epochs of 16", None, lambda: mlp(D), D, SGD(0.05), 16, 512),
    Case("ELU, RMSProp", None, lambda: mlp(D, 3, act=sg.elu), D, RMS(1e-3)),
    Case("MLP, trained long", None, lambda: mlp(D), D, ADAM(3e-3), 64, 1000),
    Case("regression, long", None, lambda: mlp(R), R, SGD(0.03), 32, 1000),
    Case("bigram, Adam", None, bigram, C, ADAM(3e-3)),
    Case("bigram, tanh", None, lambda: bigram(2, act=sg.tanh), C, ADAM(3e-3)),
    Case("transformer, Adam", None, transformer, C, ADAM(3e-3)),
    Case("transformer × 2", None, lambda: transformer(2), C, ADAM(3e-3)),
]


def train(case, seed):
    """Make the run; return the trainer, its data and its losses."""
    trainer = sg.Trainer(case.loss(), case.optimizer, seed=seed)
    arrays = dict(data(case.kind))
    if case.scale != 1:
        arrays["x"] = arrays["x"] * np.float32(case.scale)
    rng = np.random.default_rng(100 + seed)
    losses = []
    for _ in range(case.steps):
        rows = rng.choice(len(arrays["x"]), case.batch, replace=False)
        losses.append(trainer.step(**{n: a[rows] for n, a in arrays.items()}))
    return trainer, arrays, losses


def diagnosed(case, seed):
    """Make the run and return its diagnosis."""
    trainer, arrays, losses = train(case, seed)
    return sg.diagnose(trainer, arrays, history=losses, batch_size=case.batch)


def said(diagnosis):
    """Return the kind of the first finding above a note, or ``healthy``."""
    kinds = [f.kind for f in diagnosis.findings if f.severity != "note"]
    return kinds[0] if kinds else "healthy"

"""Recurrent models: LSTM, GRU, and a plain network, each one loop.

Two tasks: the adding problem, whose loss reads the last step, and the next character.
"""

from __future__ import annotations

from functools import cache

import numpy as np

import symgrad as sg
from tests.diagnosis.models import CHARACTERS, inputs

TIME = 20


@cache
def adding(count=512):
    """Return sequences of numbers and marks, and the sums of the marked ones."""
    rng = np.random.default_rng(0)
    numbers, marks = rng.uniform(size=(count, TIME)), np.zeros((count, TIME))
    places = rng.integers(0, TIME // 2, (count, 2)) + np.array([0, TIME // 2])
    np.put_along_axis(marks, places, 1.0, axis=1)
    x = np.stack([numbers, marks], -1).astype("float32")
    return {"x": x, "y": (numbers * marks).sum(1)[:, None].astype("float32")}


DATA = {"adding": adding}


def plain(
    x,
    features,
    init="glorot_uniform",
    recurrent_init="orthogonal",
    act=sg.tanh,
    bias="zeros",
):
    """Return the outputs of ``h ← act(x W + h U + b)``, and the last one."""
    with sg.scope("rnn"):
        W = sg.param("W", (x.shape[-1], features), init=init)
        U = sg.param("U", (features, features), init=recurrent_init)
        b = sg.param("b", (features,), init=bias)

        def step(h, x):
            h = act(x @ W + h @ U + b)
            return h, h

        start = sg.broadcast_to(sg.constant(np.float32(0)), (x.shape[0], features))
        last, outputs = sg.scan(step, start, sg.permute_dims(x, (1, 0, 2)))
    return sg.permute_dims(outputs, (1, 0, 2)), last


def outputs(cell, x, features, **options):
    """Return what a cell gives at every step, and after the last one."""
    if cell == "lstm":
        every, (last, _) = sg.nn.lstm(x, features, **options)
        return every, last
    return {"gru": sg.nn.gru, "rnn": plain}[cell](x, features, **options)


def last(cell, features=24, **options):
    """Add two numbers of a sequence."""
    x, y = sg.input("x", ("n", TIME, 2)), sg.input("y", ("n", 1))
    _, h = outputs(cell, x, features, **options)
    return sg.nn.mse(sg.nn.linear(h, 1, name="out"), y)


def letters(cell, features=32, **options):
    """Predict the next character at every step."""
    x, y, _, _ = inputs("characters")
    h = sg.nn.embedding(x, CHARACTERS, 16, name="tokens")
    every, _ = outputs(cell, h, features, **options)
    return sg.nn.cross_entropy(sg.nn.linear(every, CHARACTERS, name="out"), y)

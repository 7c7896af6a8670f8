"""Small recurrent models, for the tests of whatever takes a program with loops."""

import numpy as np

import symgrad as sg
from symgrad.declare.tensor import Param, topological


def _checkpointed(x, features, **more):
    return sg.nn.lstm(x, features, checkpoint_every=2, **more)


LAYERS = {"lstm": sg.nn.lstm, "gru": sg.nn.gru, "checkpointed": _checkpointed}


def loss(layer, dtype="float32", reverse=False):
    """Return the input, and a loss of a layer's outputs and last state."""
    x = sg.input("x", ("batch", "time", 3), dtype)
    ys, state = LAYERS[layer](x, 4, reverse=reverse)
    last = state[0] if isinstance(state, tuple) else state
    return x, sg.mean(ys**2) + sg.sum(last * ys[:, 0])


def training_step(layer, dtype="float32", **options):
    """Return a compiled step of gradient descent, and data for it."""
    x, value = loss(layer, dtype)
    params = [t for t in topological([value]) if isinstance(t.op, Param)]
    gradients = sg.grad(value, params)
    updates = {p: p - 0.1 * g for p, g in zip(params, gradients, strict=True)}
    data = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(dtype)
    return sg.compile([x], value, updates=updates, **options), [data]


def nested():
    """Return an input, and a value with its gradient: a loop with one in its step."""
    xs = sg.input("xs", (3, 4, 2), "float64")

    def outer(h, x):
        def inner(c, u):
            c = sg.sin(c * u) + h
            return c, c * u

        last, ys = sg.scan(inner, h, x, reverse=True)
        return last, sg.sum(ys)

    last, ys = sg.scan(outer, sg.constant(np.ones(2)), xs)
    value = sg.sum(last) + sg.sum(ys**2)
    return xs, [value, sg.grad(value, xs)]

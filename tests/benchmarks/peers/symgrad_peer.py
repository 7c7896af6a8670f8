"""symgrad, by its public names alone."""

# What symgrad imports when it first compiles: its memory is that of imports.
import numba  # noqa: F401
import sympy  # noqa: F401

import symgrad as sg

from ..workloads import LEARNING_RATE
from . import Task, as_arrays


def _input(arrays, name):
    return sg.input(name, arrays[name].shape)


def _compiled(inputs, outputs, arrays):
    program = sg.compile(inputs, outputs)
    operands = [arrays[tensor.name] for tensor in inputs]
    return Task(lambda: program(*operands), as_arrays)


def _chain(x, y):
    t = sg.tanh(x * y + x)
    e = t * y - x
    s = sg.exp(-0.5 * e * e) + t
    return s * s


def chain(arrays):
    x, y = _input(arrays, "x"), _input(arrays, "y")
    return _compiled([x, y], [_chain(x, y)], arrays)


def chain_gradient(arrays):
    x, y = _input(arrays, "x"), _input(arrays, "y")
    return _compiled([x, y], sg.grad(_chain(x, y).sum(), [x, y]), arrays)


def mlp(arrays):
    hidden = _input(arrays, "x")
    y = sg.input("y", arrays["y"].shape, dtype="int64")
    depth = len(arrays) // 2 - 1
    for i in range(1, depth + 1):
        W = sg.param(f"W{i}", arrays[f"W{i}"].shape, init=arrays[f"W{i}"])
        b = sg.param(f"b{i}", arrays[f"b{i}"].shape, init=arrays[f"b{i}"])
        z = hidden @ W + b
        hidden = sg.relu(z) if i < depth else sg.log_softmax(z)
    picked = sg.take_along_axis(hidden, sg.expand_dims(y, axis=1), axis=1)
    trainer = sg.Trainer(-sg.mean(picked), sg.optim.SGD(LEARNING_RATE))

    def read(loss):
        parameters = trainer.params
        order = [f"{kind}{i}" for kind in "Wb" for i in range(1, depth + 1)]
        return as_arrays([loss, *(parameters[name] for name in order)])

    return Task(lambda: trainer.step(x=arrays["x"], y=arrays["y"]), read)


def softmax(arrays):
    x, cotangent = _input(arrays, "x"), _input(arrays, "cotangent")
    y = sg.softmax(x, axis=1)
    gradient = sg.grad(sg.sum(y * cotangent), x)
    return _compiled([x, cotangent], [y, gradient], arrays)


def layer_norm(arrays):
    names = ("x", "gamma", "beta", "cotangent")
    x, gamma, beta, cotangent = inputs = [_input(arrays, name) for name in names]
    centred = x - sg.mean(x, axis=1, keepdims=True)
    variance = sg.mean(centred * centred, axis=1, keepdims=True)
    y = centred / sg.sqrt(variance + 1e-5) * gamma + beta
    gradients = sg.grad(sg.sum(y * cotangent), [x, gamma, beta])
    return _compiled(inputs, [y, *gradients], arrays)


def call(arrays):
    a, b, c, d = inputs = [_input(arrays, name) for name in "abcd"]
    return _compiled(inputs, [a * b + c * d], arrays)

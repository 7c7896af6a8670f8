"""PyTorch eager: autograd, updates in place without gradient recording."""

import torch
import torch.nn.functional as F  # noqa: N812 - the name its users know

from ..machine import cores
from ..workloads import LEARNING_RATE
from . import Task

torch.set_num_threads(cores())


def compiled(function):
    """The function as it is; `torch_compile_peer` puts the compiler here."""
    return function


def _tensors(arrays, *names, gradient=()):
    return [
        torch.tensor(arrays[name], requires_grad=name in gradient) for name in names
    ]


def _read(outputs):
    return [output.detach().numpy() for output in outputs]


def _chain(x, y):
    t = torch.tanh(x * y + x)
    e = t * y - x
    s = torch.exp(-0.5 * e * e) + t
    return s * s


def chain(arrays):
    x, y = _tensors(arrays, "x", "y")
    function = compiled(_chain)

    def run():
        with torch.no_grad():
            return [function(x, y)]

    return Task(run, _read)


def chain_gradient(arrays):
    x, y = _tensors(arrays, "x", "y", gradient=("x", "y"))
    total = compiled(lambda x, y: _chain(x, y).sum())
    return Task(lambda: torch.autograd.grad(total(x, y), (x, y)), _read)


def mlp(arrays):
    (x,) = _tensors(arrays, "x")
    y = torch.tensor(arrays["y"])
    layers = range(1, len(arrays) // 2)
    names = [f"W{i}" for i in layers] + [f"b{i}" for i in layers]
    parameters = _tensors(arrays, *names, gradient=names)
    weights, biases = parameters[: len(layers)], parameters[len(layers) :]

    @compiled
    def loss_of(x, y):
        for W, b in zip(weights[:-1], biases[:-1], strict=True):
            x = F.relu(torch.addmm(b, x, W))
        return F.cross_entropy(torch.addmm(biases[-1], x, weights[-1]), y)

    def run():
        loss = loss_of(x, y)
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            torch._foreach_add_(parameters, gradients, alpha=-LEARNING_RATE)
        return loss

    return Task(run, lambda loss: _read([loss, *parameters]))


def _vjp(function, cotangent, *operands):
    def run():
        value = function(*operands)
        return [value, *torch.autograd.grad(value, operands, cotangent)]

    return Task(run, _read)


def softmax(arrays):
    cotangent, x = _tensors(arrays, "cotangent", "x", gradient=("x",))
    return _vjp(compiled(lambda x: torch.softmax(x, 1)), cotangent, x)


def layer_norm(arrays):
    names = ("x", "gamma", "beta")
    cotangent, *operands = _tensors(arrays, "cotangent", *names, gradient=names)
    function = compiled(lambda x, g, b: F.layer_norm(x, g.shape, g, b))
    return _vjp(function, cotangent, *operands)


def call(arrays):
    a, b, c, d = _tensors(arrays, *"abcd")
    function = compiled(lambda a, b, c, d: a * b + c * d)
    return Task(lambda: [function(a, b, c, d)], _read)

"""PyTorch: torch.func, eager."""

import torch
from torch.func import grad, hessian, jacfwd, jvp

from ..derivatives import arm_position, rosenbrock
from . import Task, as_arrays


def _task(function, arrays, *names):
    operands = [torch.from_numpy(arrays[n]) for n in names]
    return Task(lambda: function(*operands), as_arrays)


def quadratic_hessian(arrays):
    slope = hessian(lambda x, A: x @ A @ x)
    return _task(lambda x, A: [slope(x, A)], arrays, "x", "A")


def logistic_hessian(arrays):
    def loss(w, X, y):
        return torch.sum(torch.nn.functional.softplus(X @ w) - y * (X @ w))

    return _task(lambda w, X, y: [hessian(loss)(w, X, y)], arrays, "w", "X", "y")


def least_squares(arrays):
    def loss(w, X, y):
        return torch.sum((X @ w - y) ** 2)

    def both(w, X, y):
        return [grad(loss)(w, X, y), hessian(loss)(w, X, y)]

    return _task(both, arrays, "w", "X", "y")


def factorisation_hvp(arrays):
    def product(Y, U, V, dU, dV):
        slope = grad(lambda U, V: torch.sum((Y - U @ V.T) ** 2), argnums=(0, 1))
        return jvp(slope, (U, V), (dU, dV))[1]

    return _task(product, arrays, "Y", "U", "V", "dU", "dV")


def rosenbrock_gradient(arrays):
    slope = grad(lambda x: rosenbrock(x, torch.sum))
    return _task(lambda x: [slope(x)], arrays, "x")


def arm_jacobian(arrays):
    slope = jacfwd(lambda q: arm_position(q, torch.cos, torch.sin, torch.stack))
    return _task(lambda q: [slope(q)], arrays, "q")

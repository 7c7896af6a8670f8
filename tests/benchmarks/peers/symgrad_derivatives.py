"""symgrad: derivatives in closed form, compiled."""

# What symgrad imports when it first compiles: its memory is that of imports.
import numba  # noqa: F401
import sympy  # noqa: F401

import symgrad as sg

from ..derivatives import arm_position, rosenbrock
from . import Task, as_arrays


def _task(make, arrays, *names):
    inputs = [sg.input(n, arrays[n].shape, "float64") for n in names]
    program = sg.compile(inputs, make(*inputs))
    operands = [arrays[n] for n in names]
    return Task(lambda: program(*operands), as_arrays)


def quadratic_hessian(arrays):
    return _task(lambda x, A: [sg.hessian(x @ A @ x, x)], arrays, "x", "A")


def logistic_hessian(arrays):
    def make(X, w, y):
        loss = sg.sum(sg.softplus(X @ w) - y * (X @ w))
        return [sg.hessian(loss, w)]

    return _task(make, arrays, "X", "w", "y")


def least_squares(arrays):
    def make(X, w, y):
        loss = sg.sum((X @ w - y) ** 2)
        return [sg.grad(loss, w), sg.hessian(loss, w)]

    return _task(make, arrays, "X", "w", "y")


def factorisation_hvp(arrays):
    def make(Y, U, V, dU, dV):
        return sg.hvp(sg.sum((Y - U @ V.T) ** 2), [U, V], [dU, dV])

    return _task(make, arrays, "Y", "U", "V", "dU", "dV")


def rosenbrock_gradient(arrays):
    return _task(lambda x: [sg.grad(rosenbrock(x, sg.sum), x)], arrays, "x")


def arm_jacobian(arrays):
    def make(q):
        return [sg.jacobian(arm_position(q, sg.cos, sg.sin, sg.stack), q)]

    return _task(make, arrays, "q")

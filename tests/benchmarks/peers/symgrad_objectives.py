"""symgrad: derivatives of Python functions."""

# What symgrad imports when it first compiles: its memory is that of imports.
import numba  # noqa: F401
import numpy as np
import sympy  # noqa: F401

import symgrad as sg

from .. import adbench
from . import Task, as_arrays


def _task(function, arrays):
    operands = tuple(arrays.values())
    function(*operands)
    return Task(lambda: function(*operands), as_arrays)


def adbench_gmm(arrays):
    def loss(*given):
        return adbench.gmm(np, *given)

    return _task(sg.grad(loss, (0, 1, 2)), arrays)


def adbench_ba(arrays):
    def residuals(*given):
        return adbench.reprojection(np, *given)

    return _task(sg.jit(sg.vmap(sg.jacobian(residuals, (0, 1, 2)))), arrays)


def adbench_lstm(arrays):
    def loss(*given):
        return adbench.lstm(np, sg.scan, *given)

    return _task(sg.grad(loss, (0, 1)), arrays)


def gaussian_process(arrays):
    def loss(*given):
        return adbench.process(np, *given)

    slope = sg.grad(loss, 2)
    return _task(sg.jit(lambda *given: [slope(*given)]), arrays)


def logdet(arrays):
    slope = sg.grad(lambda a: np.linalg.slogdet(a)[1])
    return _task(sg.jit(lambda a: [slope(a)]), arrays)

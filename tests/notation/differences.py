"""Derivatives compared with central differences of fourth order."""

import numpy as np

import symgrad as sg
from symgrad.declare.tensor import topological


def differences(function, at, step=1e-3):
    """Return the derivative of a function of arrays, the axes of ``at`` last."""
    columns = []
    for place in np.ndindex(at.shape):
        unit = np.zeros_like(at)
        unit[place] = step
        near = function(at + unit) - function(at - unit)
        far = function(at + 2 * unit) - function(at - 2 * unit)
        columns.append((8 * near - far) / (12 * step))
    return np.stack(columns, axis=-1).reshape((*np.shape(columns[0]), *at.shape))


def check(derivative, of, wrt, points, backend="numba"):
    """Compare the values of a derivative with differences of what is derived.

    ``points`` maps leaves to arrays.
    """
    leaves = [v for v in topological([of, derivative]) if v.name]
    program = sg.compile(leaves, of, backend=backend)

    def function(value):
        return np.array(program(*(value if v is wrt else points[v] for v in leaves)))

    wanted = differences(function, points[wrt])
    at = (points[v] for v in leaves)
    found = sg.compile(leaves, derivative, backend=backend)(*at)
    np.testing.assert_allclose(
        found, wanted, rtol=1e-6, atol=1e-7 * (1 + np.abs(wanted).max())
    )

"""SymPy: derivatives of expressions of scalars, by lambdify with common parts named."""

import itertools

import numpy as np
import sympy

from ..derivatives import arm_position
from . import Task


def _task(symbols, outputs, array, shape):
    function = sympy.lambdify(symbols, outputs, "math", cse=True)
    values = array.tolist()
    return Task(lambda: function(*values), lambda r: [np.array(r).reshape(shape)])


def rosenbrock_gradient(arrays):
    n = arrays["x"].size
    x = sympy.symbols(f"x:{n}")
    terms = [100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in itertools.pairwise(x)]
    slopes = [
        sum(sympy.diff(t, v) for t in terms[max(k - 1, 0) : k + 1])
        for k, v in enumerate(x)
    ]  # only the terms that hold a variable: of the whole sum it takes minutes
    return _task(x, slopes, arrays["x"], n)


def arm_jacobian(arrays):
    q = sympy.symbols("q:6")
    hand = arm_position(q, sympy.cos, sympy.sin, sympy.Matrix)
    return _task(q, list(hand.jacobian(q)), arrays["q"], (3, 6))

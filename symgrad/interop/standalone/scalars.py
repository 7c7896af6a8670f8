"""Scalar expressions as text for Numba, and the helpers that they call."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from symgrad.declare.scalar import Expr
from symgrad.errors import GraphError
from symgrad.interop.standalone.helpers import SCALAR

_INFIX = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "**", "floordiv": "//",
    "mod": "%", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!=",
    "and": "and", "or": "or", "xor": "!=",
}  # fmt: skip
#: Function -> what NumPy or Python calls it, in code that Numba compiles.
_CALLS = {
    **{f: f"np.{f}" for f in ("isnan", "isinf", "isfinite", "floor", "ceil", "trunc",
       "copysign", "sqrt", "cbrt", "exp", "exp2", "expm1", "log", "log2", "log10",
       "log1p", "sin", "cos", "tan", "sinh", "cosh", "tanh")},
    "asin": "np.arcsin", "acos": "np.arccos", "atan": "np.arctan",
    "atan2": "np.arctan2", "asinh": "np.arcsinh", "acosh": "np.arccosh",
    "atanh": "np.arctanh", "round": "np.rint", "abs": "abs",
    "erf": "math.erf", "erfc": "math.erfc", "lgamma": "math.lgamma",
}  # fmt: skip


def literal(value: float | bool) -> str:
    """Return a number as text.

    >>> literal(2.5), literal(float("-inf")), literal(True)
    ('2.5', '-np.inf', 'True')
    """
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, float) and not math.isfinite(plain):
        return {"inf": "np.inf", "-inf": "-np.inf", "nan": "np.nan"}[repr(plain)]
    return repr(plain)


def text(e: Expr, atom: Callable[[Expr], str], used: set[str]) -> str:
    """Return an expression as text; the helpers that it calls are added to ``used``.

    Raises:
        GraphError: neither NumPy nor Numba has a function.
    """
    if e.fn == "number":
        return literal(e.value)
    if not e.args:
        return atom(e)
    args = [text(a, atom, used) for a in e.args]
    if e.fn in _INFIX:
        return f"({args[0]} {_INFIX[e.fn]} {args[1]})"
    if e.fn == "select":
        return f"({args[1]} if {args[0]} else {args[2]})"
    if e.fn in ("neg", "not"):
        return f"({'-' if e.fn == 'neg' else 'not '}{args[0]})"
    if e.fn in SCALAR:
        used.add(e.fn)
    elif e.fn not in _CALLS:
        raise GraphError(f"neither NumPy nor Numba has the function {e.fn}")
    return f"{_CALLS.get(e.fn, e.fn)}({', '.join(args)})"

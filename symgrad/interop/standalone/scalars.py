"""Scalar expressions as text for Numba, and the helpers that they call."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from symgrad.declare.scalar import Expr
from symgrad.errors import GraphError

_INFIX = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "**", "floordiv": "//",
    "mod": "%", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!=",
    "and": "and", "or": "or", "xor": "!=",
}  # fmt: skip
_MATH = [
    "abs",
    "floor",
    "ceil",
    "trunc",
    "sqrt",
    "exp",
    "expm1",
    "log",
    "log2",
    "log10",
    "log1p",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "atan2",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "erf",
    "erfc",
    "copysign",
    "isnan",
    "isinf",
    "isfinite",
]
_NUMPY = {"isnan", "isinf", "isfinite", "floor", "ceil", "trunc", "copysign", "sqrt",
          "exp", "expm1", "log", "log2", "log10", "log1p", "cbrt", "exp2"}  # fmt: skip
_NUMPY |= {"sin", "cos", "tan", "sinh", "cosh", "tanh"}
_RENAMED = {"lgamma": "math.lgamma", "asin": "np.arcsin", "acos": "np.arccos",
            "atan": "np.arctan", "atan2": "np.arctan2", "asinh": "np.arcsinh",
            "acosh": "np.arccosh", "atanh": "np.arctanh", "round": "np.rint",
            "abs": "abs"}  # fmt: skip
#: Function -> its definition, which a module has where it is called.
HELPERS = {
    "sign": "return x if x != x else (x > 0) * 1 - (x < 0) * 1",
    "maximum": "return x if x > y or x != x else y",
    "minimum": "return x if x < y or x != x else y",
    "relu": "return x * 0 if x <= 0 else x",
    "stop_gradient": "return x",
    "reciprocal": "return 1 / x",
    "rsqrt": "return 1 / np.sqrt(x)",
    "square": "return x * x",
    "fma": "return x * y + z",
    "sigmoid": (
        "e = np.exp(-abs(x))\n    return 1 / (1 + e) if x >= 0 else e / (1 + e)"
    ),
    "softplus": (
        "return x if x != x else max(x, 0.0) + np.log1p(np.exp(-abs(x)))"
    ),
    "place": (
        "x = x + y if x < 0 else x\n    return min(max(x, 0), y - 1)"
    ),
}  # fmt: skip
_ARITY = {"maximum": 2, "minimum": 2, "fma": 3, "place": 2}


def helper(name: str) -> str:
    """Return the text of a helper."""
    arguments = ", ".join("xyz"[: _ARITY.get(name, 1)])
    return f'@njit(error_model="numpy")\ndef {name}({arguments}):\n    {HELPERS[name]}'


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
    if e.fn in HELPERS:
        used.add(e.fn)
        name = e.fn
    elif e.fn in _RENAMED:
        name = _RENAMED[e.fn]
    elif e.fn in _NUMPY:
        name = f"np.{e.fn}"
    elif e.fn in _MATH:
        name = f"math.{e.fn}"
    else:
        raise GraphError(f"neither NumPy nor Numba has the function {e.fn}")
    return f"{name}({', '.join(args)})"

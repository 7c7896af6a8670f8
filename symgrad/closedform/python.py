"""Scalar expressions as plain Python functions of floats.

A call of a compiled program costs two microseconds, however little it computes; for
plain numbers, Python itself is faster.  Only our own names stand in the text: the
parameters are numbered, and mentioned by name in a comment alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from symgrad.declare.scalar import INFIX, Expr

_MATH = """
    exp log log1p expm1 log2 log10 exp2 sin cos tan asin acos atan atan2 sinh cosh tanh
    asinh acosh atanh erf erfc lgamma sqrt cbrt floor ceil trunc copysign pow
"""
_TEXTS = {
    "neg": "-{0}",
    "abs": "abs({0})",
    "square": "{0}*{0}",
    "reciprocal": "1.0/{0}",
    "rsqrt": "1.0/sqrt({0})",
    "fma": "{0}*{1} + {2}",
    "select": "{1} if {0} else {2}",
    "not": "not {0}",
    "and": "{0} and {1}",
    "or": "{0} or {1}",
    "maximum": "{0} if {0} >= {1} or {0} != {0} else {1}",
    "minimum": "{0} if {0} <= {1} or {0} != {0} else {1}",
    "relu": "{0} if not {0} <= 0.0 else 0.0",
    "sign": "float(({0} > 0.0) - ({0} < 0.0))",
    "sigmoid": "1.0/(1.0 + exp(-{0})) if {0} >= 0.0 else exp({0})/(1.0 + exp({0}))",
    "softplus": "({0} if {0} > 0.0 else 0.0) + log1p(exp(-abs({0})))",
    "stop_gradient": "{0}",
}


def source(parameters: Sequence[str], outputs: Sequence[Expr]) -> str | None:
    """Return a function's text: the output or a tuple of them; None if there is none.

    Whatever is used twice is computed once.  Where Python raises an error instead of
    giving infinity or NaN, the compiled program has to be asked.
    """
    writer = _Writer({n: f"x{k}" for k, n in enumerate(parameters)})
    try:
        results = [writer.text(e) for e in outputs]
    except KeyError:  # a function that Python does not have
        return None
    arguments = ", ".join(f"x{k}" for k in range(len(parameters)))
    names = ", ".join(f"x{k} = {n!a}" for k, n in enumerate(parameters))
    used = sorted(writer.used)
    lines = [f"from math import {', '.join(used)}", "", ""] if used else []
    lines += [f"def derivative({arguments}):", f"    # {names}"]
    lines += [f"    {line}" for line in writer.lines]
    lines.append(f"    return {', '.join(results)}")
    return "\n".join(lines) + "\n"


def function(text: str) -> Callable[..., Any]:
    """Return the function of a text that ``source`` made."""
    space: dict[str, Any] = {}
    exec(compile(text, "<derivative>", "exec"), space)  # noqa: S102  our own text
    return space["derivative"]


class _Writer:
    """Writes expressions as Python, each shared part as a variable."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names = names
        self.used: set[str] = set()
        self.lines: list[str] = []
        self.known: dict[Expr, str] = {}

    def text(self, e: Expr) -> str:
        """Return a name or a number for an expression, after the lines it needs."""
        if e.fn == "number":
            value = e.value
            if isinstance(value, float) and not math.isfinite(value):
                raise KeyError(value)
            return repr(value if isinstance(value, bool) else float(value))
        if e.fn == "var":
            return self.names[e.value]
        if e not in self.known:
            line = self._call(e)
            self.known[e] = f"t{len(self.known)}"
            self.lines.append(f"{self.known[e]} = {line}")
        return self.known[e]

    def _call(self, e: Expr) -> str:
        args = [self.text(a) for a in e.args]
        if e.fn in _MATH.split():
            self.used.add(e.fn)
            return f"{e.fn}({', '.join(args)})"
        if e.fn in _TEXTS:
            self.used |= {
                n for n in ("exp", "log1p", "sqrt") if f"{n}(" in _TEXTS[e.fn]
            }
            return _TEXTS[e.fn].format(*args)
        return f"{args[0]} {INFIX[e.fn]} {args[1]}"

"""Scalar expressions as plain Python functions of floats.

A call of a compiled program costs some tenths of a microsecond, however little it
computes; for plain numbers, Python itself is faster.  The parameters have their own
names where these are plain identifiers that mean nothing else; else they are numbered,
and mentioned by name in a comment alone.
"""

from __future__ import annotations

import keyword
import math
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from symgrad.closedform.shorter import shorter
from symgrad.declare.scalar import INFIX, Expr

_MATH = """
    exp log log1p expm1 log2 log10 exp2 sin cos tan asin acos atan atan2 sinh cosh tanh
    asinh acosh atanh erf erfc lgamma sqrt cbrt floor ceil trunc copysign pow
"""
_FUNCTIONS = frozenset(_MATH.split())
_MISSING = object()  # stands for an argument that was not given
#: Expressions nested deeper than that are written in several lines.
DEEPEST = 12
Outputs = Expr | list["Outputs"]
#: What Python raises where the value is infinite, NaN, or too large on the way.
ERRORS = (ValueError, ZeroDivisionError, OverflowError)
_PLAIN = re.compile("(?!t[0-9]+$)[a-zA-Z][a-zA-Z0-9_]*")  # t0, t1, ... are ours
_TAKEN = {*_FUNCTIONS, *keyword.kwlist, "abs", "float", "type"}
_TAKEN |= {"derivative", "elsewhere", "missing", *(e.__name__ for e in ERRORS)}
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
    "sigmoid": "1.0/(1.0 + exp(-{0}))",
    "softplus": "({0} if {0} > 0.0 else 0.0) + log1p(exp(-abs({0})))",
    "stop_gradient": "{0}",
}
_KNOWN = {*_FUNCTIONS, *_TEXTS, *INFIX}


def source(parameters: Sequence[str], outputs: Outputs) -> str | None:
    """Return the text of a function that returns the outputs; None if there is none.

    Whatever is used twice is computed once.  Where Python raises an error instead of
    giving infinity or NaN, the compiled program has to be asked.
    """
    names = parameters if are_plain(parameters) else numbered(parameters)
    outputs = _shortened(outputs, _uses(outputs))
    writer = _Writer(dict(zip(parameters, names, strict=True)), outputs)
    try:
        result = writer.structure(outputs)
    except KeyError:  # a function that Python does not have
        return None
    used = sorted(writer.used)
    lines = [f"from math import {', '.join(used)}", "", ""] if used else []
    lines.append(f"def derivative({', '.join(names)}):")
    if list(names) != list(parameters):
        pairs = zip(names, parameters, strict=True)
        lines.append(f"    # {', '.join(f'{x} = {n!a}' for x, n in pairs)}")
    lines += [f"    {line}" for line in writer.lines]
    lines.append(f"    return {result}")
    return "\n".join(lines) + "\n"


def are_plain(parameters: Sequence[str]) -> bool:
    """Return True for names that can be those of a function's parameters.

    They are plain identifiers, and mean nothing else in a text that ``source`` makes.

    >>> are_plain(["x", "rate"]), are_plain(["x", "exp"]), are_plain(["a.b"])
    (True, False, False)
    """
    return all(_PLAIN.fullmatch(n) and n not in _TAKEN for n in parameters)


def numbered(parameters: Sequence[str]) -> list[str]:
    """Return names of our own for parameters."""
    return [f"x{k}" for k in range(len(parameters))]


def function(text: str) -> Callable[..., Any]:
    """Return the function of a text that ``source`` made."""
    return _executed(text, {})


def guarded(
    text: str, parameters: Sequence[str], elsewhere: Callable[..., Any]
) -> Callable[..., Any] | None:
    """Return the function of a text for floats, which asks another for all the rest.

    It asks also where Python raises an error instead of giving infinity or NaN.  There
    is none where the parameters' names are not plain: then it could not be called by
    name.
    """
    if not parameters or not are_plain(parameters):
        return None

    def ask(*args: Any) -> Any:
        return elsewhere(*(a for a in args if a is not _MISSING))

    before, _, rest = text.partition("def derivative(")
    body = rest.partition(":\n")[2]
    arguments = ", ".join(f"{n}=missing" for n in parameters)
    lines = [f"{before}def derivative({arguments}):"]
    lines += [f"    if {''.join(f'type({n}) is ' for n in parameters)}float:"]
    lines += ["        try:", textwrap.indent(body.rstrip(), " " * 8)]
    lines += [f"        except ({', '.join(e.__name__ for e in ERRORS)}):"]
    lines += ["            pass", f"    return elsewhere({', '.join(parameters)})"]
    space = {"elsewhere": ask, "missing": _MISSING}
    return _executed("\n".join(lines) + "\n", space)


def _executed(text: str, space: dict[str, Any]) -> Callable[..., Any]:
    exec(compile(text, "<derivative>", "exec"), space)  # noqa: S102  our own text
    return space["derivative"]


def _shortened(outputs: Outputs, uses: Counter[Expr]) -> Outputs:
    if isinstance(outputs, list):
        return [_shortened(part, uses) for part in outputs]
    return shorter(outputs, uses)


def _uses(outputs: Outputs) -> Counter[Expr]:
    """Return how often each expression is an output or an argument."""
    found: Counter[Expr] = Counter()
    stack = [outputs]
    while stack:
        here = stack.pop()
        if isinstance(here, list):
            stack += here
            continue
        found[here] += 1
        if found[here] == 1:
            stack += here.args
    return found


class _Writer:
    """Writes expressions as Python, each shared part as a variable."""

    def __init__(self, names: dict[str, str], outputs: Outputs) -> None:
        self.names = names
        self.used: set[str] = set()
        self.lines: list[str] = []
        self.known: dict[Expr, str] = {}
        self.uses = _uses(outputs)
        self.depth: dict[Expr, int] = {}

    def structure(self, outputs: Outputs) -> str:
        """Return nested lists of expressions, after the lines they need."""
        if isinstance(outputs, list):
            return f"[{', '.join(map(self.structure, outputs))}]"
        return self.text(outputs, named=False)

    def text(self, e: Expr, named: bool) -> str:
        """Return an expression (or a name for it), after the lines it needs."""
        if e.fn == "number":
            value = e.value
            if isinstance(value, float) and not math.isfinite(value):
                raise KeyError(value)
            return repr(value if isinstance(value, bool) else float(value))
        if e.fn == "var":
            return self.names[e.value]
        if e in self.known:
            return self.known[e]
        line = self._call(e)
        self.depth[e] = 1 + max(self.depth.get(a, 0) for a in e.args)
        if not named and self.uses[e] == 1 and self.depth[e] < DEEPEST:
            return line
        self.depth[e] = 0
        self.known[e] = f"t{len(self.known)}"
        self.lines.append(f"{self.known[e]} = {line}")
        return self.known[e]

    def _call(self, e: Expr) -> str:
        if e.fn not in _KNOWN:
            raise KeyError(e.fn)
        pattern = _TEXTS.get(e.fn) or f"{{0}} {INFIX.get(e.fn)} {{1}}"
        called = e.fn in _FUNCTIONS
        args = []
        for n, a in enumerate(e.args):
            text = self.text(a, not called and pattern.count(f"{{{n}}}") > 1)
            plain = called or a.fn == "var" or (text[0] != "-" and a.fn == "number")
            plain = plain or a in self.known or a.fn in _FUNCTIONS
            args.append(text if plain else f"({text})")
        if called:
            self.used.add(e.fn)
            return f"{e.fn}({', '.join(args)})"
        if e.fn not in _TEXTS:
            return pattern.format(*args)
        self.used |= {n for n in ("exp", "log1p", "sqrt") if f"{n}(" in pattern}
        return pattern.format(*args)

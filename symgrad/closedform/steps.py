"""The chain rule step by step, as it is written on a board.

Inner functions get names, local derivatives are taken by these names, and the running
product (a sum over paths where there are several) leads from the result to the
variable:

    g = 2x + 1,  y = g²:   dy/dg = 2g,   dg/dx = 2,   dy/dx = 2g · 2
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from symgrad.closedform.convert import variables
from symgrad.closedform.text import factor, line
from symgrad.declare import scalar
from symgrad.declare.scalar import Expr
from symgrad.derivation.symbolic import to_sympy

#: Names for inner functions, in this order, without those that the user has.
LETTERS = ("g", "h", "u", "v", "w", "p", "q", "r", "s", "k")
RESULTS = ("y", "f", "z", "F")


@dataclass(frozen=True)
class Step:
    """One application of the chain rule.

    Attributes:
        symbol: the function that is derived, by its name.
        definition: what it is, over the variables and the names of inner functions.
        wrt: what it is derived by: a variable, or an inner function's name.
        local: the derivative of the definition by ``wrt``, the other names fixed.
        accumulated: the derivative of the result by ``wrt``, as far as it is known.
        order: 1 for the first derivative, 2 for that of the first one.
    """

    symbol: Any
    definition: Any
    wrt: Any
    local: Any
    accumulated: Any
    order: int = 1


@dataclass(frozen=True)
class Worked:
    """Named inner functions, the steps, and the derivative over the variable alone."""

    names: dict[str, Expr]  # inner functions first, the result last
    steps: list[Step]
    result: Any

    @property
    def symbol(self) -> str:
        """The name of what is derived."""
        return list(self.names)[-1]

    @property
    def product(self) -> str:
        """The derivative by the names of inner functions, or nothing if it is short."""
        if len(self.steps) < 2:
            return ""
        inner = [s.symbol for s in self.steps]
        if len(set(inner)) == len(inner):  # a single path
            return " · ".join(factor(s.local) for s in self.steps)
        return line(self.steps[-1].accumulated)


def work(e: Expr, wrt: str, order: int = 1) -> Worked:
    """Return the derivative of a scalar expression with its steps."""
    import sympy as sp

    names = _named(e, wrt, order)
    symbols = {n: sp.Symbol(n, real=True) for n in [*names, wrt]}
    last = list(names)[-1]
    bar: dict[str, Any] = {last: sp.Integer(1)}
    steps = []
    for name in reversed(names):
        inner = names[name]
        for child in _children(inner, names, wrt):
            local = differentiated(to_sympy(inner), symbols[child])
            if local == 0:
                continue
            product = bar[name] * local
            bar[child] = bar.get(child, sp.Integer(0)) + product
            steps.append(
                Step(
                    symbols[name],
                    to_sympy(inner),
                    symbols[child],
                    local,
                    bar[child],
                    order,
                )
            )
    total = bar.get(wrt, sp.Integer(0))
    for name in reversed([n for n in names if n != last]):
        total = total.subs(symbols[name], to_sympy(names[name]))
    return Worked(names, steps, total)


def differentiated(e: Any, symbol: Any) -> Any:
    """Return SymPy's derivative, with slope 0 where a function jumps."""
    import sympy as sp

    found = e.diff(symbol)
    found = found.replace(sp.DiracDelta, lambda *a: sp.Integer(0))
    return found.replace(
        lambda f: isinstance(f, sp.Derivative | sp.Subs), lambda f: sp.Integer(0)
    )


def _children(e: Expr, names: dict[str, Expr], wrt: str) -> list[str]:
    """Return what a definition mentions that depends on the variable, in order."""
    found = [n for n in _order(e) if n in names or n == wrt]
    return sorted(dict.fromkeys(found), key=lambda n: n == wrt)


def _order(e: Expr) -> Iterator[str]:
    if e.fn == "var":
        yield e.value
    for a in e.args:
        yield from _order(a)


def _named(e: Expr, wrt: str, order: int) -> dict[str, Expr]:
    """Return names of the inner functions and their definitions, innermost first.

    The last one is the result: y, and y′ where that is derived again.
    """
    taken = variables(e) | {wrt}
    letters = (n for n in _letters(LETTERS) if n not in taken)
    inner: dict[Expr, str] = {}
    names: dict[str, Expr] = {}

    def definition(f: Expr) -> Expr:
        """Return ``f`` with what is inside it by name."""
        if is_elementary(f, wrt):
            return f
        if f.fn in ("add", "sub", "neg"):
            return _rebuilt(f, [definition(a) for a in f.args])
        if f.fn == "mul" and any(wrt not in variables(a) for a in f.args):
            return _rebuilt(f, [definition(a) for a in f.args])
        return _rebuilt(f, [named(a) for a in f.args])

    def named(f: Expr) -> Expr:
        """Return a name for ``f``, or ``f`` itself where that is as short."""
        if not f.args or wrt not in variables(f):
            return f
        if f.fn in _BOOLEAN:
            return f
        if f not in inner:
            body = definition(f)
            inner[f] = next(letters)
            names[inner[f]] = body
        return scalar.var(inner[f])

    body = definition(e)
    result = next(n for n in _letters(RESULTS) if n not in taken | set(names))
    return {**names, result + "′" * (order - 1): body}


_BOOLEAN = {n for n, f in scalar.FUNCTIONS.items() if f.result == "bool"}


def _letters(first: tuple[str, ...]) -> Iterator[str]:
    yield from first
    number = 1
    while True:
        yield from (f"{letter}{number}" for letter in first)
        number += 1


def _rebuilt(e: Expr, args: list[Expr]) -> Expr:
    return scalar.call(e.fn, *args)


def is_elementary(e: Expr, wrt: str) -> bool:
    """Return True for what is derived term by term: sums of multiples of x**n, f(x).

    >>> [is_elementary(scalar.parse(t), "x") for t in ("2*x + 1", "x**2 - sin(x)")]
    [True, True]
    >>> [is_elementary(scalar.parse(t), "x") for t in ("(x + 1)**2", "sin(2*x)")]
    [False, False]
    """
    if wrt not in variables(e) or not e.args:
        return True
    if e.fn in ("add", "sub", "neg"):
        return all(is_elementary(a, wrt) for a in e.args)
    constant = [wrt not in variables(a) for a in e.args]
    if e.fn == "mul":
        return any(constant) and all(is_elementary(a, wrt) for a in e.args)
    if e.fn == "div":
        return constant[1] and is_elementary(e.args[0], wrt)
    if e.fn == "select":
        return False
    return all(not a.args or c for a, c in zip(e.args, constant, strict=True)) and (
        sum(not c for c in constant) == 1
    )

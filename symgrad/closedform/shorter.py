"""Scalar expressions with fewer operations, for plain Python.

Nothing becomes less accurate: scaling by a power of two is exact, a quotient is rounded
once where a product with a reciprocal is rounded twice, and the slope of the sigmoid
takes one exponential that cannot overflow.
"""

from __future__ import annotations

import math
from collections import Counter

from symgrad.declare.scalar import Expr, factors, multiply, number

ONE = number(1.0)


def shorter(e: Expr, uses: Counter[Expr]) -> Expr:
    """Return an equal expression; what is used more than once stays as it is.

    >>> from symgrad.declare import scalar
    >>> e = scalar.parse("1/(x*x + 1)*x*2")
    >>> shorter(e, Counter())
    x/(x*x + 1)*2
    """
    done: dict[Expr, Expr] = {}

    def walk(e: Expr) -> Expr:
        if e not in done:
            args = tuple(map(walk, e.args))
            same = all(a is b for a, b in zip(args, e.args, strict=True))
            made = e if same else Expr(e.fn, *args, value=e.value)
            done[e] = _rewritten(e, made, uses)
        return done[e]

    return walk(e)


def _rewritten(before: Expr, e: Expr, uses: Counter[Expr]) -> Expr:
    """Return ``e``, which was ``before`` with longer operands, if possible shorter."""
    if e.fn == "neg" and e.args[0].fn == "neg":
        return e.args[0].args[0]
    if e.fn == "sigmoid" and e.args[0].fn == "neg":
        growing = Expr("exp", e.args[0].args[0])
        return Expr("div", ONE, Expr("add", ONE, growing))
    if e.fn != "mul" or any(uses[a] > 1 for a in before.args):
        return e
    return _slope(before) or _scaled(e) or _quotient(e, uses) or e


def _slope(e: Expr) -> Expr | None:
    """Return ``t/(1 + t)²`` with ``t = exp(-|x|)`` for ``σ(-x)·σ(x)``."""
    a, b = e.args
    if a.fn != "sigmoid" or b.fn != "sigmoid":
        return None
    x, y = a.args[0], b.args[0]
    if x != Expr("neg", y) and y != Expr("neg", x):
        return None
    inner = y if x == Expr("neg", y) else x
    t = Expr("exp", Expr("neg", Expr("abs", inner)))
    return Expr("div", t, Expr("square", Expr("add", ONE, t)))


def _scaled(e: Expr) -> Expr | None:
    """Return ``v·(2m) + 2c`` for ``(v·m + c)·2``: powers of two round nothing."""
    total, k = e.args
    if total.fn != "add" or not _is_number(k) or not _is_power(k.value):
        return None
    product, c = total.args
    if product.fn != "mul" or not _is_number(c) or not _is_number(product.args[1]):
        return None
    v, m = product.args
    slope, offset = number(m.value * k.value), number(c.value * k.value)
    return Expr("add", Expr("mul", v, slope), offset)


def _quotient(e: Expr, uses: Counter[Expr]) -> Expr | None:
    """Return ``(x/u)·2`` for ``(1/u)·x·2``."""
    parts = factors(e)
    for n, f in enumerate(parts):
        if f.fn == "div" and f.args[0] in (ONE, number(1)) and uses[f] < 2:
            rest = parts[:n] + parts[n + 1 :]
            numbers = [p for p in rest if _is_number(p)]
            above = [p for p in rest if not _is_number(p)]
            if above:
                inner = Expr("div", multiply(above), f.args[1])
                return multiply([inner, *numbers])
    return None


def _is_number(e: Expr) -> bool:
    return e.fn == "number" and not isinstance(e.value, bool)


def _is_power(value: float) -> bool:
    """Return True for a power of two that is neither large nor small."""
    return math.frexp(value)[0] in (0.5, -0.5) and 2.0**-9 < abs(value) < 2.0**9

"""Rules of Kronecker deltas: they stay outside of what they multiply, and alone.

A *delta* is a movement under an equality guard, ``δ(i, j)·x[i]``.  A Jacobian is
derived from one; kept outermost, and apart from what is not under it, deltas are
eliminated by the sums that they meet, and a diagonal never becomes a matrix.
"""

from __future__ import annotations

from symgrad.declare import build
from symgrad.declare.comprehension import along
from symgrad.declare.tensor import Tensor, scalar_value
from symgrad.simplification.engine import Rule
from symgrad.simplification.movements import moving, stays_inside
from symgrad.simplification.nodes import (
    Facts,
    function,
    kind,
    operands,
    replaced,
    source,
    statement,
)

#: Function -> the operands at whose zeros it is 0; a select only if the other one is 0.
_ZERO_AT = {"mul": (0, 1), "div": (0,), "neg": (0,), "select": (1, 2)}


def is_delta(t: Tensor) -> bool:
    """Return True for a movement under an equality guard."""
    if kind(t) != "movement":
        return False
    return any(g.bound == 1 and g.modulus == 1 for g in statement(t).guards)


def _linear_in(t: Tensor) -> list[int]:
    """Return the operands in which an elementwise node is linear, the others fixed."""
    fn = function(t) or ""
    found = _ZERO_AT.get(fn, ())
    if fn == "select":
        found = tuple(n for n in found if scalar_value(operands(t)[3 - n]) == 0)
    return list(found)


def under_guard(t: Tensor, facts: Facts) -> Tensor | None:
    """``δ·x`` times ``y`` is ``δ·(x·y)``: an exact 0 wherever the equality fails."""
    del facts
    parts = operands(t)
    for n in _linear_in(t):
        x = parts[n]
        if not is_delta(x) or x.shape != t.shape:
            continue
        c = statement(x)
        if not stays_inside(c, source(x)):
            continue
        inner = build.apply(replaced(c, guards=()), x.args, x.dtype)
        rest = [inner if m == n else y for m, y in enumerate(parts)]
        full = build.elementwise(function(t) or "", *rest)
        return moving(c, x.args, full, tuple(map(along, range(c.rank))))
    return None


def open_sum(t: Tensor, facts: Facts) -> Tensor | None:
    """``(δ·x + y)·z`` is ``δ·(x·z) + y·z``: only its diagonal is not ``y·z``."""
    parts = operands(t)
    for n in _linear_in(t):
        total = parts[n]
        fn = function(total)
        if fn not in ("add", "sub") or total.shape != t.shape:
            continue
        if not any(map(is_delta, operands(total))) or not facts.single(total):
            continue
        terms = []
        for x in operands(total):
            full = build.broadcast_to(x, total.shape)
            rest = [full if m == n else y for m, y in enumerate(parts)]
            terms.append(build.elementwise(function(t) or "", *rest))
        return build.elementwise(fn, *terms)
    return None


DELTA = (Rule("under_guard", under_guard), Rule("open_sum", open_sum))

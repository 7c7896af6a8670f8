"""How the terms of a sum and the factors of a product lie along rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from symgrad.notation import algebra
from symgrad.notation.quantities import STATISTICS
from symgrad.notation.syntax import Form, cost, transposed
from symgrad.notation.terms import Term, axis, factors, power_parts

if TYPE_CHECKING:
    from symgrad.notation.matrix import View


def diagonals_joined(parts: Sequence[Term], view: View) -> list[Term]:
    """Return the terms of a sum; ``diag(u)`` and ``diag(v)`` are ``diag(u + v)``."""
    if len(view.groups) != 2 or any(len(g) != 1 for g in view.groups):
        return list(parts)
    (i,), (j,) = view.groups
    delta = algebra.indicator(algebra.call("eq", axis(i), axis(j)))
    other = algebra.indicator(algebra.call("eq", axis(j), axis(i)))
    found = [t for t in parts if {delta, other} & set(factors(t)) and len(t.args) > 1]
    vectors = []
    for t in found:
        vector = algebra.mul(*(f for f in factors(t) if f not in (delta, other)))
        vectors.append(algebra.substitute(vector, {j: axis(i)}))
    if len(found) < 2 or not all(v.free for v in vectors):
        return list(parts)
    rest = [t for t in parts if t not in found]
    return [*rest, algebra.mul(delta, algebra.add(*vectors))]


def is_computed_row(t: Term, view: View) -> bool:
    """Return True for a row that is no named one: those are added as in programs."""
    kept = tuple(a for a in view.axes if a in t.free)
    reductions = any(f.kind == "red" for f in factors(t))
    return len(view.groups) == 2 and kept == view.groups[1] and reductions


def crosses(parts: list[Term], view: View) -> bool:
    """Return True for a sum of something of the rows and something of the columns."""
    if len(view.groups) != 2:
        return False
    alone = {frozenset(a for a in view.axes if a in t.free) for t in parts}
    return all(frozenset((*view.batch, *g)) in alone for g in view.groups)


SORTS = ("scalar", "row", "column", "full", "mask")


def sort_of(f: Term, view: View) -> str:
    """Return how a factor of an elementwise product is spread over the view."""
    kept = tuple(a for a in view.axes if a in f.free)
    if not kept:
        return "scalar"
    if len(view.groups) == 2:
        if kept == (*view.batch, *view.groups[0]):
            return "row"
        if kept == view.groups[1]:
            return "column"
    return "mask" if f.kind == "ind" else "full"


def scales_joined(parts: list[Term], view: View) -> list[Term]:
    """Return the factors; ``γ`` and ``1/v`` along the same axis are ``γ/v``."""
    found = list(parts)
    for sort in ("row", "column"):
        alike = [f for f in found if sort_of(f, view) == sort]
        if len(alike) > 1 and any(power_parts(f)[1] < 0 for f in alike):
            found = [f for f in found if f not in alike] + [algebra.mul(*alike)]
    return found


def cheaper(direct: Form | None, flipped: Form | None) -> Form | None:
    """Return a matrix, or the transpose of its transpose, whichever reads better."""
    if flipped is None:
        return direct
    turned = transposed(flipped)
    if direct is None:
        return turned
    gain = cost(direct) - cost(turned)
    # a sum that is transposed as a whole reads better than one of transposes
    whole = turned.kind == "T" and direct.kind in ("had", "sum", "frac")
    return turned if gain > 0 or (gain == 0 and whole) else direct


def is_statistic(f: Form) -> bool:
    """Return True for a number of each row, such as a mean or what is made of one."""
    if f.kind in ("sqrt", "sum", "frac", "neg", "pow", "hpow"):
        return any(map(is_statistic, f.args))
    return f.kind == "call" and f.text in STATISTICS

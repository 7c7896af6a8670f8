"""Products over an index under conditions on its place among others.

``Π_{k<i} x_k · Π_{k>i} x_k`` is ``Π_{k≠i} x_k``: the derivative of a product.  Such
conditions only ask in which order axes stand, so that two of them are compared by
trying every order.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from symgrad.notation import algebra, sums
from symgrad.notation.terms import ONE, Term, axis, bound_axes, factors, fresh, make

Places = Mapping[int, int]
#: Orders of more axes than these are not tried.
MOST_AXES = 4
_TESTS = {
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
}


class Conditional(NamedTuple):
    """``Π_k body`` over the ``k`` for which all conditions hold."""

    body: Term
    conditions: tuple[Term, ...]


def merged_products(parts: list[Term]) -> list[Term]:
    """Return the factors, products over parts of an index joined."""
    found = list(parts)
    while True:
        shorter = _merge_two(found)
        if shorter is None:
            return found
        found = shorter


def _merge_two(parts: list[Term]) -> list[Term] | None:
    products = [p for p in parts if _is_product(p)]
    if len(products) < 2:
        return None
    given = [p.args[0] for p in parts if p.kind == "ind" and _is_order(p.args[0])]
    (k,) = fresh()
    for p, q in itertools.combinations(products, 2):
        if p.value != q.value:
            continue
        both = _both(_conditional(p, k), _conditional(q, k), k, given)
        if both is not None:
            made = sums.bind("red", "prod", (k,), p.value[1], both)
            rest = [r for r in parts if r is not p and r is not q]
            return [*rest, made]
    return None


def _is_product(t: Term) -> bool:
    return t.kind == "red" and t.value[0] == "prod" and len(t.value[1]) == 1


def _conditional(t: Term, k: int) -> Conditional:
    """Return what a product multiplies, over the axis ``k``, and when."""
    body = algebra.substitute(t.args[0], {bound_axes(t)[0]: axis(k)})
    conditions: list[Term] = []
    while body.kind == "call":
        if body.value == "if":
            conditions += body.args[1:]
            body = body.args[0]
        elif body.value == "select" and body.args[2] is ONE:
            conditions.append(body.args[0])
            body = body.args[1]
        else:
            break
    return Conditional(body, tuple(conditions))


def _both(p: Conditional, q: Conditional, k: int, given: Sequence[Term]) -> Term | None:
    """Return the body of the product of two products, if it is one product."""
    conditions = (*p.conditions, *q.conditions)
    if p.body is not q.body or not all(map(_is_order, conditions)):
        return None
    axes = sorted({a for c in (*conditions, *given) for a in c.free} - {k})
    if not conditions or len(axes) >= MOST_AXES:
        return None
    orders = [o for o in _orders([k, *axes]) if _hold(given, o)]
    counts = [_hold(p.conditions, o) + _hold(q.conditions, o) for o in orders]
    if max(counts, default=0) > 1:
        return None
    for wanted in _descriptions(k, axes):
        if all(
            _hold(wanted, o) == bool(n) for o, n in zip(orders, counts, strict=True)
        ):
            return make("call", (p.body, *wanted), "if") if wanted else p.body
    return None


def _descriptions(k: int, axes: Sequence[int]) -> list[tuple[Term, ...]]:
    """Return the conditions on the place of ``k``, the fewest first."""
    ways = [
        (None, *(make("call", (axis(k), axis(a)), fn) for fn in ("ne", "lt", "gt")))
        for a in axes
    ]
    every = (tuple(c for c in way if c is not None) for way in itertools.product(*ways))
    return sorted(every, key=len)


def _orders(axes: Sequence[int]) -> Iterator[Places]:
    """Return every way in which axes can stand, ties included, two apart."""
    for ranks in itertools.product(range(len(axes)), repeat=len(axes)):
        if set(ranks) == set(range(max(ranks) + 1)):
            yield {a: 2 * r for a, r in zip(axes, ranks, strict=True)}


def _is_order(c: Term) -> bool:
    """Return True for a comparison of axes such as ``1 + k <= i``."""
    return c.kind == "call" and c.value in _TESTS and None not in map(_side, c.args)


def _side(t: Term) -> tuple[int, int] | None:
    """Return the axis of a side and what is added to it, 0 or 1."""
    if t.kind == "axis":
        return t.value, 0
    if t.kind == "add" and len(t.args) == 2 and ONE in t.args:
        other = t.args[1] if t.args[0] is ONE else t.args[0]
        return (other.value, 1) if other.kind == "axis" else None
    return None


def _hold(conditions: Sequence[Term], places: Places) -> bool:
    for c in conditions:
        (a, m), (b, n) = (side for s in c.args if (side := _side(s)) is not None)
        if not _TESTS[c.value](places[a] + m, places[b] + n):
            return False
    return True


def joined_brackets(
    parts: list[tuple[Fraction, Term]],
) -> list[tuple[Fraction, Term]]:
    """Return the terms of a sum; ``[j < i]·x + [i < j]·x`` is ``[i ≠ j]·x``."""
    for (n, (c, s)), (m, (d, t)) in itertools.combinations(enumerate(parts), 2):
        if c != d:
            continue
        one, other = set(factors(s)), set(factors(t))
        if len(one - other) != 1 or len(other - one) != 1:
            continue
        (p,), (q,) = one - other, other - one
        apart = _apart(p, q)
        if apart is not None:
            rest = [parts[k] for k in range(len(parts)) if k not in (n, m)]
            kept = [f for f in factors(s) if f is not p]
            return joined_brackets([*rest, (c, algebra.mul(apart, *kept))])
    return parts


def _apart(p: Term, q: Term) -> Term | None:
    """Return ``[i ≠ j]`` for ``[i < j]`` and ``[j < i]``."""
    if p.kind != "ind" or q.kind != "ind":
        return None
    a, b = p.args[0], q.args[0]
    axes = sorted(a.free | b.free)
    if len(axes) != 2 or not (_is_order(a) and _is_order(b)):
        return None
    for places in _orders(axes):
        different = places[axes[0]] != places[axes[1]]
        if _hold([a], places) + _hold([b], places) != different:
            return None
    i, j = map(axis, axes)
    return make("ind", (make("call", (i, j), "ne"),))

"""Reductions of terms: what leaves a sum, and which brackets eliminate its axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from symgrad.declare.dims import Size
from symgrad.notation.algebra import add, call, is_exp, mul, spread, substitute
from symgrad.notation.terms import (
    ONE,
    Term,
    axis,
    bound_axes,
    coefficient,
    factors,
    fresh,
    make,
    size_term,
)


def reduce(kind: str, axes: Sequence[int], extents: Sequence[Size], body: Term) -> Term:
    """Return a reduction over fresh axes; of a sum, constant factors come out."""
    if not axes:
        return body
    if kind == "sum":
        return _sum(dict(zip(axes, extents, strict=True)), body)
    return bind("red", kind, axes, extents, body)


def bind(
    kind: str,
    value: str,
    axes: Sequence[int],
    extents: Sequence[Size],
    body: Term,
    *rest: Term,
) -> Term:
    """Return a term that binds fresh axes, numbered by the binders in the body."""
    shown = extents[0] if kind == "fam" else tuple(extents)
    height = max([body.height, *(r.height for r in rest)])
    names = {a: axis(-(height + n + 1)) for n, a in enumerate(axes)}
    return make(kind, (substitute(body, names), *rest), (value, shown))


def _sum(loops: dict[int, Size], body: Term) -> Term:
    outside: list[Term] = []
    inside = list(factors(body))
    if len(inside) == 1 and inside[0].kind == "red" and inside[0].value[0] == "sum":
        more, opened = unbind(inside[0])
        return _sum(
            {**loops, **dict(zip(more, inside[0].value[1], strict=True))}, opened
        )
    for f in inside:
        found = _delta(f, loops)
        if found is None:
            continue
        k, value = found
        others = mul(*(g for g in inside if g is not f))
        if value.kind == "axis":
            rest = {a: s for a, s in loops.items() if a != k}
            return _sum(rest, substitute(others, {k: value}))
        if k not in others.free:
            return _sum({a: s for a, s in loops.items() if a != k}, others)
    if len(inside) == 1 and inside[0].kind == "fam" and inside[0].value[0] == "softmax":
        place = inside[0].args[1]
        if place.kind == "axis" and place.value in loops:
            return _sum({a: s for a, s in loops.items() if a != place.value}, ONE)
    kept: list[Term] = []
    for f in inside:
        inner, outer = _split(f, loops)
        kept += inner
        outside += outer
    for a, extent in loops.items():
        if not any(a in f.free for f in kept):
            outside.append(size_term(extent))
    loops = {a: s for a, s in loops.items() if any(a in f.free for f in kept)}
    if not loops:
        return mul(*outside, *kept)
    weighted = _expectation(kept, loops)
    if weighted is not None:
        return mul(*outside, weighted)
    inner_body = mul(*kept)
    apart = _term_by_term(loops, inner_body) or _projected(loops, inner_body)
    if apart is not None:
        return mul(*outside, apart)
    if kept and len(kept) < len(inside) and inner_body.kind == "red":
        return mul(*outside, _sum(loops, inner_body))
    total = bind("red", "sum", tuple(loops), tuple(loops.values()), inner_body)
    return mul(*outside, total) if outside else total


def _expectation(kept: list[Term], loops: dict[int, Size]) -> Term | None:
    """Return ``Σ p·(x + c)`` as ``c + Σ p·x`` where ``p`` is a softmax."""
    if len(loops) != 1 or len(kept) != 2:
        return None
    for p, f in (kept, kept[::-1]):
        row = p.kind == "fam" and p.value[0] == "softmax" and f.kind == "add"
        if row and p.args[1].kind == "axis" and p.args[1].value in loops:
            outer = [a for a in f.args if a.free.isdisjoint(loops)]
            if outer:
                inner = [a for a in f.args if a not in outer]
                return add(*outer, _sum(loops, mul(p, add(*inner))))
    return None


def _term_by_term(loops: dict[int, Size], body: Term) -> Term | None:
    """Return ``Σ(a + b)`` as ``Σa + Σb`` where that is shorter: terms cancel."""
    if body.kind != "add":
        return None
    traces = any(_is_diagonal(f) for a in body.args for f in factors(a))
    if not traces and all(set(loops) <= a.free for a in body.args):
        return None
    found = add(*(_sum(loops, a) for a in body.args))
    return found if traces or found.size <= body.size else None


def opened(total: Term) -> Term | None:
    """Return ``Σ a·(b + c)`` as ``Σ a·b + Σ a·c``; None where no sum is multiplied."""
    names, body = unbind(total)
    for f in factors(body):
        if f.kind == "add" and len({a.free for a in f.args}) > 1:
            others = [g for g in factors(body) if g is not f]
            extents = total.value[1]
            parts = (reduce("sum", names, extents, mul(*others, a)) for a in f.args)
            return add(*parts)
    return None


def mixes(term: Term) -> bool:
    """Return True for a sum that is no product, such as ``Σ_k (x_ik - m_jk)²``."""
    if term.kind != "red":
        return any(f.kind == "red" and mixes(f) for f in factors(term))
    pending = list(factors(term.args[0]))
    while pending:
        t = pending.pop()
        if t.kind == "add":
            ways = {a.free for a in t.args if a.free}
            if any(not (a <= b or b <= a) for a in ways for b in ways):
                return True
        pending += t.args if t.kind in ("mul", "pow", "call") else ()
    return False


def _projected(loops: dict[int, Size], body: Term) -> Term | None:
    """Return ``Σ_k ([k = j] - 1/n)·x_k`` as ``x_j - Σ x/n`` where that is shorter."""
    for f in factors(body):
        deltas = f.kind == "add" and any(
            _delta(g, loops) for a in f.args for g in factors(a)
        )
        if deltas and body.kind == "mul":
            others = [g for g in factors(body) if g is not f]
            found = add(*(_sum(loops, mul(*others, a)) for a in f.args))
            return found if found.size < body.size else None
    return None


def _is_diagonal(f: Term) -> bool:
    """Return True for the element ``a[k, k]`` of a matrix: its sum is a trace."""
    places = f.args if f.kind == "ref" else f.args[1:] if f.kind == "mat" else ()
    return len(places) > 1 and places[-1] is places[-2]


def _delta(f: Term, loops: Mapping[int, Size]) -> tuple[int, Term] | None:
    """Return (k, e) for a factor ``[k = e]`` with k summed and not in e."""
    if f.kind != "ind" or f.args[0].value != "eq":
        return None
    a, b = f.args[0].args
    for left, right in ((a, b), (b, a)):
        if left.kind == "axis" and left.value in loops and left.value not in right.free:
            return left.value, right
    return None


def _split(f: Term, loops: Mapping[int, Size]) -> tuple[list[Term], list[Term]]:
    """Return what of a factor depends on the loops, and what does not."""
    if not any(a in loops for a in f.free):
        return [], [f]
    if is_exp(f):
        parts = spread(f.args[0])
        outer = [p for p in parts if _is_shift(p) and p.free.isdisjoint(loops)]
        if outer:
            inner = [p for p in parts if p not in outer]
            return [call("exp", add(*inner))], [call("exp", add(*outer))]
    return [f], []


def _is_shift(t: Term) -> bool:
    """Return True for what is subtracted before exp, to no effect but on overflow."""
    _, rest = coefficient(t)
    return rest.kind == "red" and rest.value[0] in ("max", "min", "logsumexp")


def unbind(term: Term) -> tuple[tuple[int, ...], Term]:
    """Return fresh axes and the body over them."""
    bound = bound_axes(term)
    names = fresh(len(bound))
    opened = {b: axis(f) for b, f in zip(bound, names, strict=True)}
    return names, substitute(term.args[0], opened)

"""Products multiplied out, where denominators cancel."""

from __future__ import annotations

from fractions import Fraction

from symgrad.notation.algebra import add, mul, power
from symgrad.notation.terms import Term, factors, make, num, power_parts


def cancelled(parts: list[Term]) -> Term:
    """Return the product; denominators inside a sum that its factors cancel are gone.

    ``(a/p - b/(1 - p))·p·(1 - p)`` is ``a - b·p`` once it is multiplied out.
    """
    plain = make("mul", tuple(parts))
    positive = {b for b, e in map(power_parts, parts) if e > 0}
    for f in parts:
        if f.kind == "add" and f.size <= EXPANDED and positive & _denominators(f):
            others = [g for g in parts if g is not f]
            opened = add(*(_expanded(mul(*others, a)) for a in f.args))
            if opened.size < plain.size:
                return opened
    return plain


def combined(parts: list[tuple[Fraction, Term]]) -> Term | None:
    """Return a sum over a common denominator, where that is shorter.

    ``1 - x/(1 + x)`` is ``1/(1 + x)``.
    """
    size = sum(t.size for _, t in parts)
    if size > EXPANDED:
        return None
    for _, t in parts:
        for f in factors(t):
            base, e = power_parts(f)
            if e != -1 or base.kind != "add":
                continue
            above = add(*(_expanded(mul(num(c), u, base)) for c, u in parts))
            if above.size + base.size < size:
                return mul(above, f)
    return None


def collected(parts: list[tuple[Fraction, Term]]) -> Term | None:
    """Return a sum with a factor of all its terms in front, where others cancel.

    ``p·(1 - y) + p·y`` is ``p``.
    """
    if sum(t.size for _, t in parts) > 4 * EXPANDED:
        return None
    first, *others = (dict(map(power_parts, factors(t))) for _, t in parts)
    common = [b for b, e in first.items() if all(o.get(b) == e for o in others)]
    shared = [power(b, first[b]) for b in common]
    if not shared or len(shared) == len(first):
        return None
    left = (mul(*(f for f in factors(t) if f not in shared)) for _, t in parts)
    inner = add(*(mul(num(c), t) for (c, _), t in zip(parts, left, strict=True)))
    if inner.kind == "add" or (inner.kind == "mul" and inner.args[-1].kind == "add"):
        return None
    return mul(*shared, inner)


EXPANDED = 40  # a longer sum is not multiplied out to see whether it gets shorter


def _denominators(total: Term) -> set[Term]:
    """Return what stands below a line in some term of a sum."""
    return {b for a in total.args for b, e in map(power_parts, factors(a)) if e < 0}


def _expanded(term: Term) -> Term:
    """Return a product with its sums multiplied out."""
    if term.kind != "mul":
        return term
    for f in term.args:
        if f.kind == "add":
            others = [g for g in term.args if g is not f]
            return add(*(_expanded(mul(*others, a)) for a in f.args))
    return term

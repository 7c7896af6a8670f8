"""Sums of matrix products: what two terms share at one end is written once.

``A x + Aᵀ x`` is ``(A + Aᵀ) x``, and ``A x + λ x`` is ``(A + λ I) x``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from symgrad.notation.quantities import STATISTICS, scaled
from symgrad.notation.syntax import (
    EYE,
    Form,
    cost,
    product,
)

Signed = tuple[str, Form]


def gathered(
    parts: Sequence[Form], signs: Sequence[str], scalars: Collection[str] = ()
) -> Form:
    """Return the sum of signed matrices, products with a common end gathered.

    ``scalars`` are the names of scalars in them.
    """
    terms = _counted(list(zip(signs, parts, strict=True)))
    while True:
        found = _gather_two(terms, scalars)
        if found is None:
            break
        terms = found
    terms = _twins_in_order(terms)
    if len(terms) == 1:
        sign, only = terms[0]
        return Form("neg", (only,)) if sign == "-" else only
    return Form("sum", tuple(f for _, f in terms), "".join(s for s, _ in terms))


def _counted(terms: list[Signed]) -> list[Signed]:
    """Return the terms with equal ones, ``M + M``, as a multiple, ``2 M``."""
    counts = {term: terms.count(term) for term in terms}
    numbers = {n: Form("num", (), str(n)) for n in counts.values()}
    return [(sign, scaled(numbers[n], f)) for (sign, f), n in counts.items()]


def _gather_two(terms: list[Signed], scalars: Collection[str]) -> list[Signed] | None:
    """Return the sum with one pair of products gathered, or None."""
    for n, (s, f) in enumerate(terms):
        for m in range(n + 1, len(terms)):
            t, g = terms[m]
            both = _pair(f, g, "+" if s == t else "-", scalars)
            if both is not None:
                return [*terms[:n], (s, both), *terms[n + 1 : m], *terms[m + 1 :]]
    return None


def _pair(f: Form, g: Form, sign: str, scalars: Collection[str]) -> Form | None:
    """Return ``f ± g`` as one product, where the longest common end is a matrix."""
    if f.kind == "frac" and g.kind == "frac" and f.args[1] == g.args[1]:
        above = _pair(f.args[0], g.args[0], sign, scalars)
        return None if above is None else Form("frac", (above, f.args[1]))
    s, a = _scaled_matrices(f, scalars)
    t, b = _scaled_matrices(g, scalars)
    plain = len(a) > 1 and len(b) > 1
    if not (a and b) or (not plain and a != b and not s + t):
        return None
    tail, head = _common(a[::-1], b[::-1]), _common(a, b)
    if plain:
        tail, head = (min(k, len(a) - 1, len(b) - 1) for k in (tail, head))
    both = [*s, *t]
    if max(tail, head) == 0 or (both and (s != t or not plain) and not _named(both)):
        return None
    shared: list[Form] = []
    if s == t and plain:
        shared, s, t = s, [], []
    if tail >= head:
        inner = gathered([_rest(s, a[:-tail]), _rest(t, b[:-tail])], ["+", sign])
        return product([*shared, inner, *a[-tail:]])
    inner = gathered([_rest(s, a[head:]), _rest(t, b[head:])], ["+", sign])
    return product([*shared, *a[:head], inner])


def _rest(scalar: Sequence[Form], matrices: Sequence[Form]) -> Form:
    """Return what a common end leaves: the identity where that is all of it."""
    return product([*scalar, *(matrices or [EYE])])


def _named(scalar: Sequence[Form]) -> bool:
    return all(f.kind == "sym" for f in scalar)


def _scaled_matrices(
    f: Form, scalars: Collection[str]
) -> tuple[list[Form], list[Form]]:
    """Return the scalars in front of a product, and its matrices."""
    parts = list(f.args) if f.kind == "prod" else [f]
    n = 0
    while n < len(parts) and is_scalar(parts[n], scalars):
        n += 1
    return parts[:n], parts[n:]


def is_scalar(f: Form, scalars: Collection[str]) -> bool:
    """Return True for what is surely a number, given the names of scalars."""
    match f.kind:
        case "sym":
            return f.text in scalars
        case "T" | "diag" | "inv" | "kron":
            return False
        case "call":
            return f.text in STATISTICS or all(is_scalar(a, scalars) for a in f.args)
        case "num" | "norm" | "norm2" | "tr" | "det" | "logdet" | "logabsdet":
            return True
        case "total" | "inner" | "dot" | "paren":
            return True
    return bool(f.args) and all(is_scalar(a, scalars) for a in f.args)


def _common(a: Sequence[Form], b: Sequence[Form]) -> int:
    count = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        count += 1
    return count


def _twins_in_order(terms: list[Signed]) -> list[Signed]:
    """Return the terms; of two that differ in transposes only, the plainer is first."""
    found = list(terms)
    for n in range(len(found)):
        for m in range(n + 1, len(found)):
            (s, f), (t, g) = found[n], found[m]
            twins = s == t and _plain(f) == _plain(g)
            if twins and (cost(g), _first(g)) < (cost(f), _first(f)):
                found[n], found[m] = found[m], found[n]
    return found


def _plain(f: Form) -> Form:
    """Return the form without any transpose."""
    if f.kind == "T":
        return _plain(f.args[0])
    args = tuple(map(_plain, f.args))
    if f.kind == "prod":
        args = tuple(sorted(args, key=repr))
    return Form(f.kind, args, f.text)


def _first(f: Form) -> bool:
    """Return True for a product that begins with a transpose."""
    return f.kind == "T" or (f.kind == "prod" and f.args[0].kind == "T")

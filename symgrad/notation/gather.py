"""Sums of matrix products: what two terms share at one end is written once.

``A x + Aᵀ x`` is ``(A + Aᵀ) x``.
"""

from __future__ import annotations

from collections.abc import Sequence

from symgrad.notation.syntax import Form, cost, product

Signed = tuple[str, Form]


def gathered(parts: Sequence[Form], signs: Sequence[str]) -> Form:
    """Return the sum of signed matrices, products with a common end gathered."""
    terms = _counted(list(zip(signs, parts, strict=True)))
    while True:
        found = _gather_two(terms)
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
    return [
        (sign, f if n == 1 else product([numbers[n], f]))
        for (sign, f), n in counts.items()
    ]


def _gather_two(terms: list[Signed]) -> list[Signed] | None:
    """Return the sum with one pair of products gathered, or None."""
    for n, (s, f) in enumerate(terms):
        for m in range(n + 1, len(terms)):
            t, g = terms[m]
            both = _pair(f, g, "+" if s == t else "-")
            if both is not None:
                return [*terms[:n], (s, both), *terms[n + 1 : m], *terms[m + 1 :]]
    return None


def _pair(f: Form, g: Form, sign: str) -> Form | None:
    """Return ``f ± g`` as one product, where the longest common end is a matrix."""
    if f.kind != "prod" or g.kind != "prod":
        return None
    a, b = list(f.args), list(g.args)
    tail = _common(a[::-1], b[::-1])
    head = _common(a, b)
    tail, head = (min(k, len(a) - 1, len(b) - 1) for k in (tail, head))
    if max(tail, head) == 0 or _is_number(a[0]) or _is_number(b[0]):
        return None
    if tail >= head:
        inner = gathered([product(a[:-tail]), product(b[:-tail])], ["+", sign])
        return product([inner, *a[-tail:]])
    inner = gathered([product(a[head:]), product(b[head:])], ["+", sign])
    return product([*a[:head], inner])


def _common(a: Sequence[Form], b: Sequence[Form]) -> int:
    count = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        count += 1
    return count


def _is_number(f: Form) -> bool:
    return f.kind not in ("sym", "T", "diag", "prod", "sum", "had", "call", "inv")


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

"""Functions of whole tensors, such as softmax of their rows, and their names."""

from __future__ import annotations

from typing import Any

from symgrad.declare.tensor import Tensor
from symgrad.notation import algebra, sums
from symgrad.notation.terms import Term, axis, bound_axes, fresh, ref

#: A function, and the dimension of its rows (None: it is one of each element).
Whole = tuple[Any, int | None]
ELEMENTWISE = ("sigmoid",)


def wholes_of(term: Term, t: Tensor) -> list[Whole | None]:
    """Return the function of ``t`` in each mention of it; None for a bare one."""
    found: list[Whole | None] = []
    pending = [term]
    while pending:
        e = pending.pop()
        whole = _whole(e, t)
        if whole is not None:
            found.append(whole)
            pending += (*e.args[0].args, *e.args[1:])
            continue
        if e.kind == "ref" and e.value is t:
            found.append(None)
        pending += e.args
    return found


def applied(term: Term, whole: Whole) -> Term:
    """Return the function of a term over the axes ``0 …``."""
    function, d = whole
    if d is None:
        return algebra.call(function, term)
    (k,) = fresh()
    name, extent = function
    row = algebra.substitute(term, {d: axis(k)})
    return sums.bind("fam", name, (k,), (extent,), row, axis(d))


def with_wholes(term: Term, t: Tensor) -> Term:
    """Return the term where ``t`` stands for the function of it."""

    def rule(e: Term) -> Term | None:
        whole = _whole(e, t)
        if whole is None:
            return None
        index = [algebra.rewrite(i, rule) for i in e.args[0].args]
        if whole[1] is not None:
            index[whole[1]] = e.args[1]
        return ref(t, tuple(index))

    return algebra.rewrite(term, rule)


def _whole(e: Term, t: Tensor) -> Whole | None:
    """Return the function that ``e`` is of ``t``, if it is one."""
    if not e.args or e.args[0].kind != "ref" or e.args[0].value is not t:
        return None
    if e.kind == "call" and e.value in ELEMENTWISE:
        return e.value, None
    if e.kind != "fam":
        return None
    bound = axis(bound_axes(e)[0])
    index = e.args[0].args
    found = [d for d, i in enumerate(index) if bound.free & i.free]
    plain = len(found) == 1 and index[found[0]] is bound
    return (e.value, found[0]) if plain else None

"""Forms that a whole product has: diagonal, triangular, a mean or a variance."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from symgrad.notation import algebra, composites
from symgrad.notation.syntax import EYE, ONES, Form, call, product, transposed
from symgrad.notation.terms import (
    ONE,
    Term,
    axis,
    coefficient,
    factors,
    num,
    power_parts,
)

if TYPE_CHECKING:
    from symgrad.notation.matrix import Matrices, View


def diagonal(matrices: Matrices, e: Term, view: View) -> Form | None:
    """``[i = j]·v_i`` is diag(v), ``[i = j]`` the identity."""
    if len(view.groups) != 2 or any(len(g) != 1 for g in view.groups):
        return None
    (i,), (j,) = view.groups
    for f in factors(e):
        if f.kind != "ind" or f.args[0].value != "eq":
            continue
        if {a.value for a in f.args[0].args if a.kind == "axis"} == {i, j}:
            others = [g for g in factors(e) if g is not f]
            return _on_diagonal(matrices, algebra.mul(*others), i, j, view)
    return None


def is_delta(e: Term, view: View) -> bool:
    """Return True for a term that holds ``[i = j]``, of rows and columns."""
    if len(view.groups) != 2:
        return False
    rows, columns = map(set, view.groups)
    for f in factors(e):
        if f.kind == "ind" and f.args[0].value == "eq":
            a, b = (x.free for x in f.args[0].args)
            if (a <= rows and b <= columns) or (a <= columns and b <= rows):
                return True
    return False


def _on_diagonal(
    matrices: Matrices, rest: Term, i: int, j: int, view: View
) -> Form | None:
    rest = algebra.substitute(rest, {j: axis(i)})
    if not rest.free:
        if rest is ONE:
            return EYE
        scale = matrices.part(rest, view)
        return None if scale is None else product([scale, EYE])
    c, rest = coefficient(rest)
    vector = matrices.part(
        algebra.mul(num(abs(c)), rest), view._replace(groups=((i,),))
    )
    if vector is None:
        return None
    shown = Form("diag", (vector,))
    return Form("neg", (shown,)) if c < 0 else shown


def triangle(matrices: Matrices, e: Term, view: View) -> Form | None:
    """``[j ≤ i]·a_ij`` is tril(A); the brackets alone are of ``𝟏 𝟏ᵀ``."""
    if len(view.groups) != 2 or any(len(g) != 1 for g in view.groups):
        return None
    (i,), (j,) = view.groups
    for f in factors(e):
        name = _TRIANGLES.get(_order(f, i, j) or "")
        if name is not None:
            others = algebra.mul(*(g for g in factors(e) if g is not f))
            if others is ONE:
                return call(name, product([ONES, transposed(ONES)]))
            shown = matrices.part(others, view)
            return None if shown is None else call(name, shown)
    return None


_TRIANGLES = {"≥": "tril", "≤": "triu"}


def _order(f: Term, i: int, j: int) -> str | None:
    """Return ``≤`` or ``≥`` for a bracket that compares rows with columns."""
    if f.kind != "ind" or f.args[0].kind != "call":
        return None
    fn, args = f.args[0].value, f.args[0].args
    if fn not in ("le", "ge") or any(a.kind != "axis" for a in args):
        return None
    places = tuple(a.value for a in args)
    if places == (i, j):
        return "≤" if fn == "le" else "≥"
    if places == (j, i):
        return "≥" if fn == "le" else "≤"
    return None


def statistic(
    matrices: Matrices, c: Fraction, parts: list[Term], view: View
) -> Form | None:
    """Return a mean or a variance along the last axes, where the product is one."""
    for f in parts:
        if f.kind != "red" or f.value[0] != "sum" or len(view.groups) > 1:
            continue
        others = [g for g in parts if g is not f]
        if not composites.mean_of(algebra.mul(num(abs(c)), *others), f):
            continue
        inner, name = composites.variance_argument(f), "var"
        if inner is None:
            inner, name = f.args[0], "mean"
            if len(factors(inner)) > 1 or power_parts(inner)[1] == 2:
                continue
        shown = matrices.along(inner, f, view)
        if shown is not None:
            found = call(name, shown)
            return Form("neg", (found,)) if c < 0 else found
    return None

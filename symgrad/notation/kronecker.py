"""Tensors of three or four axes as Kronecker products of matrices.

A derivative ``∂Y[i, j]/∂X[k, l]`` is a matrix once its rows ``(i, j)`` and its columns
``(k, l)`` are numbered in row-major order.  ``P[i, k]·Q[j, l]`` is ``P ⊗ Q`` then, and
``P[i, j]·q[k]``, the derivative of a vector by a matrix, is ``P ⊗ qᵀ``.  With its
columns in the other order, ``P[i, l]·Q[j, k]`` is ``(P ⊗ Q) 𝐊``, where the commutation
matrix ``𝐊`` makes ``vec(Xᵀ)`` of ``vec(X)`` (Magnus & Neudecker, "Matrix Differential
Calculus", 3.7).
"""

from __future__ import annotations

from collections.abc import Mapping

from symgrad.declare.tensor import Tensor
from symgrad.notation import algebra
from symgrad.notation.matrix import Matrices, View
from symgrad.notation.quantities import scaled
from symgrad.notation.syntax import COMMUTATION, EYE, ONE, Form, product, transposed
from symgrad.notation.terms import ONE as UNIT
from symgrad.notation.terms import Term, addends, coefficient, factors, num

Pair = tuple[tuple[int, ...], tuple[int, ...]]
_CROSSED: Pair = ((0, 3), (1, 2))
#: rank -> the axes of the two matrices or vectors, in the ways that are tried: for the
#: whole sum, and of these for each of its terms.
_PAIRS: dict[int, tuple[tuple[Pair, ...], ...]] = {
    4: ((((0, 2), (1, 3)), _CROSSED),),
    3: ((((0, 1), (2,)),), (((0,), (1, 2)),)),
}


def kronecker_form(e: Term, rank: int, names: Mapping[Tensor, str]) -> Form | None:
    """Return a sum of Kronecker products; None for a term that is none."""
    for pairs in _PAIRS.get(rank, ()):
        found = _total(Matrices(names), e, pairs)
        if found is not None:
            return found
    return None


def _total(matrices: Matrices, e: Term, pairs: tuple[Pair, ...]) -> Form | None:
    outside: list[Term] = []
    inner: list[Term] = []
    for f in factors(e):
        (inner if f.free else outside).append(f)
    if len(inner) == 1 and inner[0].kind == "add" and outside:
        scale = matrices.part(algebra.mul(*outside), View())
        total = _total(matrices, inner[0], pairs)
        return None if total is None or scale is None else scaled(scale, total)
    signs, parts = "", []
    for t in addends(e):
        c, rest = coefficient(t)
        term = algebra.mul(num(abs(c)), rest)
        ways = (_product(matrices, term, pair) for pair in pairs)
        shown = next((way for way in ways if way is not None), None)
        if shown is None:
            return None
        signs += "-" if c < 0 else "+"
        parts.append(shown)
    if len(parts) == 1:
        return Form("neg", (parts[0],)) if signs == "-" else parts[0]
    return Form("sum", tuple(parts), signs)


def _product(matrices: Matrices, e: Term, pair: Pair) -> Form | None:
    """Return ``s (P ⊗ Q)`` where each factor belongs to one of them."""
    sorts: tuple[list[Term], ...] = ([], [], [])
    for f in factors(e):
        places = [n for n, axes in enumerate(pair) if f.free & set(axes)]
        if len(places) > 1:
            return None
        sorts[places[0] if places else 2].append(f)
    shown = []
    for axes, parts in zip(pair, sorts[:2], strict=True):
        whole = algebra.mul(*parts) if parts else UNIT
        if not set(axes) <= whole.free:
            return None
        found = matrices.form(whole, View((), tuple((a,) for a in axes)))
        if found is None:
            return None
        row = len(axes) == 1 and axes[0] > 0
        shown.append(transposed(found) if row else found)
    scale = matrices.part(algebra.mul(*sorts[2]), View()) if sorts[2] else ONE
    found = Form("kron", tuple(shown))
    if pair == _CROSSED:
        plain = shown == [EYE, EYE]
        found = COMMUTATION if plain else product([found, COMMUTATION])
    return None if scale is None else scaled(scale, found)

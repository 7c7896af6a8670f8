"""Functions of whole matrices as terms: an element of an inverse, a determinant, ….

``mat`` binds the rows and the columns of its argument, as a reduction binds its axes:
``A⁻¹[i, j]`` has the term of ``A[r, c]`` as its body and ``i, j`` as places.  A solve
``A⁻¹ B`` is a sum of products with an inverse, so that it is shown as any product is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from symgrad.declare.dims import Size
from symgrad.declare.linear_algebra import LinearAlgebra
from symgrad.declare.tensor import Tensor
from symgrad.notation import algebra, sums
from symgrad.notation.terms import MINUS, Term, axis, fresh, power_parts, ref

#: The term of a node at indices.
At = Callable[[Tensor, tuple[Term, ...]], Term]
#: Whether a node is known to be a symmetric matrix.
Known = Callable[[Tensor], bool]
SHOWN = ("inv", "cholesky", "solve", "det", "cofactor", "logabsdet", "signdet")
INVERSES = ("inv", "symmetric inv")


def linear_algebra(t: Tensor, at: At, symmetric: bool) -> Term:
    """Return the term of a node of linear algebra over its axes.

    ``symmetric`` tells that its matrix is known to be symmetric.
    """
    assert isinstance(t.op, LinearAlgebra)
    own = tuple(axis(a) for a in range(t.ndim))
    if t.op.name not in SHOWN:
        return ref(t, own)
    a = t.args[0]
    batch = own[: a.ndim - 2]
    rows, columns = fresh(2)
    body = at(a, (*batch, axis(rows), axis(columns)))
    extents = a.shape[-2:]
    if t.op.name == "cofactor":  # det A · A⁻ᵀ
        both = zip(("det", INVERSES[symmetric]), ((), own[:-3:-1]), strict=True)
        axes = (rows, columns)
        parts = (matrix_function(n, axes, extents, body, p) for n, p in both)
        return algebra.mul(*parts)
    if t.op.name != "solve":
        places = own[a.ndim - 2 :]
        name = INVERSES[symmetric] if t.op.name == "inv" else t.op.name
        return matrix_function(name, (rows, columns), extents, body, places)
    (k,) = fresh()
    b = at(t.args[1], (*batch, axis(k), own[-1]))
    places = (own[-2], axis(k))
    name = INVERSES[symmetric]
    inverse = matrix_function(name, (rows, columns), extents, body, places)
    return sums.reduce("sum", (k,), extents[:1], algebra.mul(inverse, b))


def matrix_function(
    name: str,
    axes: tuple[int, ...],
    extents: Sequence[Size],
    body: Term,
    places: Sequence[Term],
) -> Term:
    """Return a function of the matrix ``body`` over two fresh axes, in normal form."""
    rows, columns = axes
    inner = _inverse_of(body, rows, columns)
    if inner is not None:
        found = _of_inverse(name, axes, extents, inner, places)
        if found is not None:
            return found
    if name == "inv" and is_symmetric(body, rows, columns):
        name = "symmetric inv"
    if name == "symmetric inv":
        places = sorted(places, key=place_order)
    elif name != "cholesky" and _is_transposed(body, rows, columns):
        body, places = _swapped(body, rows, columns), places[::-1]
    return sums.bind("mat", name, axes, extents, body, *places)


def _inverse_of(body: Term, rows: int, columns: int) -> Term | None:
    """Return the inverse that a body is, or None."""
    own = [axis(rows), axis(columns)]
    if body.kind != "mat" or body.value[0] not in INVERSES:
        return None
    return (
        body
        if sorted(body.args[1:], key=place_order) == sorted(own, key=place_order)
        else None
    )


def _of_inverse(
    name: str,
    axes: tuple[int, ...],
    extents: Sequence[Size],
    inner: Term,
    places: Sequence[Term],
) -> Term | None:
    names, body = sums.unbind(inner)
    if name in INVERSES:
        if inner.args[1:] != (axis(axes[0]), axis(axes[1])):
            places = places[::-1]
        return algebra.substitute(body, dict(zip(names, places, strict=True)))
    if name == "cholesky":
        return None
    of = matrix_function(name, names, extents, body, ())
    if name == "det":
        return algebra.call("reciprocal", of)
    return algebra.mul(MINUS, of) if name == "logabsdet" else of


def is_symmetric(
    body: Term, rows: int, columns: int, known: Known = lambda t: False
) -> bool:
    """Return True if exchanging two axes changes no more than the order of operands."""
    turned = _swapped(body, rows, columns)
    return _sorted(body, known) == _sorted(turned, known)


def _swapped(body: Term, rows: int, columns: int) -> Term:
    return algebra.substitute(body, {rows: axis(columns), columns: axis(rows)})


def place_order(place: Term) -> tuple[bool, int]:
    """Return the place of an index among those of a symmetric matrix."""
    known = place.kind == "axis"
    return not known, place.value if known else id(place)


def _is_transposed(body: Term, rows: int, columns: int) -> bool:
    """Return True for ``A[c, r]``."""
    order = [i.value for i in body.args if i.kind == "axis"]
    wanted = [a for a in order if a in (rows, columns)]
    return body.kind == "ref" and wanted == [columns, rows]


def _sorted(e: Term, known: Known) -> tuple:
    """Return what terms that differ in the order of operands only have in common."""
    parts = [_sorted(a, known) for a in e.args]
    if e.kind in ("add", "mul") or (e.kind == "call" and e.value == "eq"):
        parts.sort(key=repr)
    base, exponent = power_parts(e)
    if base.kind == "add" and exponent.denominator == 1 and exponent % 2 == 0:
        turned = _sorted(algebra.mul(MINUS, base), known)
        parts = [min(parts[0], turned, key=repr)]  # (b - a)² is (a - b)²
    if e.kind == "ref" and known(e.value):
        parts[-2:] = sorted(parts[-2:], key=repr)
    value = id(e.value) if e.kind == "ref" else repr(e.value)
    return (e.kind, value, *parts)

"""Linear algebra as factorizations, each done once, and what follows from them.

``inv``, ``solve``, ``det`` and ``slogdet`` of a matrix, of its transpose and of batches
that only repeat it share one LU factorization; a determinant is then the product of a
diagonal, an elementwise kernel's work.  A Cholesky factor is its own factorization.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from symgrad.declare.build import elementwise, iota, movement, reduction
from symgrad.declare.comprehension import Comprehension, along
from symgrad.declare.linear_algebra import LinearAlgebra
from symgrad.declare.ops.create import eye
from symgrad.declare.ops.linalg import diagonal
from symgrad.declare.ops.shape import broadcast_to, matrix_transpose
from symgrad.declare.tensor import Tensor, constant, exact_scope, make, topological
from symgrad.simplification.nodes import with_args


class Matrix(NamedTuple):
    """A matrix that is to be factored, and whether its transpose was asked for."""

    tensor: Tensor
    transposed: bool


def factored(outputs: Sequence[Tensor]) -> list[Tensor]:
    """Return the outputs with linear algebra written as factorizations.

    >>> import symgrad as sg
    >>> A, b = sg.input("A", (3, 3)), sg.input("b", (3,))
    >>> (x,) = factored([sg.linalg.solve(A, b)])
    >>> x.args[0].op.name, [a.op.name for a in x.args[0].args[:2]]
    ('lu_solve', ['lu', 'pivots'])
    """
    found: dict[Tensor, Tensor] = {}
    for node in topological(outputs):
        args = [found.get(a, a) for a in node.args]
        with exact_scope(node.scope):
            if isinstance(node.op, LinearAlgebra) and node.op.name in _RULES:
                found[node] = _RULES[node.op.name](*args)
            elif any(a is not b for a, b in zip(args, node.args, strict=True)):
                found[node] = with_args(node, args)
    return [found.get(t, t) for t in outputs]


def underlying(t: Tensor) -> Matrix:
    """Return the matrix that a node transposes, or repeats along leading axes."""
    transposed = False
    while isinstance(t.op, Comprehension) and t.op.is_movement:
        c, x = t.op, t.args[0]
        if c.guards or len(c.reads) != 1 or x.ndim < 2 or x.dtype != t.dtype:
            break
        own = tuple(map(along, range(t.ndim - x.ndim, t.ndim)))
        turned = (*own[:-2], own[-1], own[-2])
        swapped = (*t.shape[t.ndim - x.ndim : -2], t.shape[-1], t.shape[-2])
        index = c.reads[0].index
        if index == turned and swapped == x.shape:
            transposed = not transposed
        elif index != own or t.shape[t.ndim - x.ndim :] != x.shape:
            break
        t = x
    return Matrix(t, transposed)


def _is_cholesky(t: Tensor) -> bool:
    return isinstance(t.op, LinearAlgebra) and t.op.name == "cholesky"


def _lu(t: Tensor) -> tuple[Tensor, Tensor]:
    """Return the factors of a matrix in one, and its column exchanges."""
    return (
        make(LinearAlgebra("lu"), [t], t.shape, t.dtype),
        make(LinearAlgebra("pivots"), [t], t.shape[:-1], "int64"),
    )


def _solve(a: Tensor, b: Tensor) -> Tensor:
    m = underlying(a)
    if _is_cholesky(m.tensor):
        op = LinearAlgebra("triangular_solve", m.transposed)
        return make(op, [m.tensor, b], b.shape, b.dtype)
    op = LinearAlgebra("lu_solve", m.transposed)
    return make(op, [*_lu(m.tensor), b], b.shape, b.dtype)


def _inv(a: Tensor) -> Tensor:
    return _solve(a, broadcast_to(eye(a.shape[-1], a.dtype), a.shape))  # type: ignore[arg-type]


def _diagonal(a: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the diagonal of the factor, and the column exchanges if there are any."""
    t = underlying(a).tensor
    factor, pivots = (t, None) if _is_cholesky(t) else _lu(t)
    return diagonal(factor), pivots


def _parity(pivots: Tensor | None, like: Tensor) -> Tensor:
    """Return -1 for an odd number of exchanges, else 1."""
    one = constant(1.0, like.dtype)
    if pivots is None:
        return one
    moved = elementwise("ne", pivots, iota(pivots.ndim - 1, pivots.shape))
    signs = elementwise("select", moved, -1.0, one)
    return reduction("prod", signs, [pivots.ndim - 1])


def _repeated(value: Tensor, a: Tensor) -> Tensor:
    """Return a value of each matrix, repeated as the matrices were."""
    missing = a.ndim - 2 - value.ndim
    index = [along(missing + d) for d in range(value.ndim)]
    return movement("broadcast_to", value, a.shape[:-2], index)


def _det(a: Tensor) -> Tensor:
    entries, pivots = _diagonal(a)
    product = reduction("prod", entries, [entries.ndim - 1])
    return _repeated(elementwise("mul", product, _parity(pivots, product)), a)


def _signdet(a: Tensor) -> Tensor:
    entries, pivots = _diagonal(a)
    sign = reduction("prod", elementwise("sign", entries), [entries.ndim - 1])
    return _repeated(elementwise("mul", sign, _parity(pivots, sign)), a)


def _logabsdet(a: Tensor) -> Tensor:
    entries, _ = _diagonal(a)
    logarithms = elementwise("log", elementwise("abs", entries))
    return _repeated(reduction("sum", logarithms, [entries.ndim - 1]), a)


def _cofactor(a: Tensor) -> Tensor:
    """Return the cofactors of any matrix, from its LU factorization.

    With ``A P = L U`` they are ``det P · (B⁻¹ adj L)ᵀ``, where ``B P = U``.  Solving
    ``L y = e_j`` without dividing gives the adjugate of ``L``, whatever its diagonal
    ``l``: ``adj(L)_ij = Π_{k<j} l_k · (I + N)⁻¹_ij · Π_{k>i} l_k`` with
    ``N_ij = L_ij Π_{j<k<i} l_k`` below the diagonal.
    """
    t = underlying(a).tensor
    lu, pivots = _lu(t)
    row, column = (iota(t.ndim - d, t.shape) for d in (2, 1))
    below = elementwise("lt", column, row)
    unit = broadcast_to(eye(t.shape[-1], t.dtype), t.shape)  # type: ignore[arg-type]
    between = _products(lu, lambda i, j, k: [("lt", j, k), ("lt", k, i)], "and")
    sides = _products(lu, lambda i, j, k: [("lt", k, j), ("lt", i, k)], "or")
    lower = elementwise("mul", lu, between)
    lower = elementwise("add", elementwise("select", below, lower, 0), unit)
    solve = LinearAlgebra("triangular_solve")
    inner = make(solve, [lower, unit], t.shape, t.dtype)
    adjugate = elementwise("select", elementwise("le", column, row), inner, 0)
    adjugate = elementwise("mul", adjugate, sides)
    upper = elementwise("select", elementwise("lt", row, column), lu, unit)
    op = LinearAlgebra("lu_solve")
    found = make(op, [upper, pivots, adjugate], t.shape, t.dtype)
    parity = _parity(pivots, found)
    index = [along(d) for d in range(parity.ndim)]
    signs = movement("expand_dims", parity, (*parity.shape, 1, 1), index)
    found = elementwise("mul", found, signs)
    return found if underlying(a).transposed else matrix_transpose(found)


def _products(
    lu: Tensor, tests: Callable[..., list[tuple[str, Tensor, Tensor]]], joined: str
) -> Tensor:
    """Return for each ``i, j`` the product of the pivots ``k`` that pass the tests."""
    entries, rank = diagonal(lu), lu.ndim
    shape = (*lu.shape, lu.shape[-1])
    index = [*map(along, range(rank - 2)), along(rank)]
    every = movement("broadcast_to", entries, shape, index)
    places = (iota(d, shape) for d in (rank - 2, rank - 1, rank))
    chosen = elementwise(joined, *(elementwise(*test) for test in tests(*places)))
    kept = elementwise("select", chosen, every, 1.0)
    return reduction("prod", kept, [rank])


_RULES: dict[str, Callable[..., Tensor]] = {
    "solve": _solve,
    "inv": _inv,
    "det": _det,
    "cofactor": _cofactor,
    "signdet": _signdet,
    "logabsdet": _logabsdet,
}

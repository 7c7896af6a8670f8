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
from symgrad.declare.ops.shape import broadcast_to
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


_RULES: dict[str, Callable[..., Tensor]] = {
    "solve": _solve,
    "inv": _inv,
    "det": _det,
    "signdet": _signdet,
    "logabsdet": _logabsdet,
}

"""Derivatives of linear algebra, declared as graphs.

These operations are no comprehensions, so their derivatives cannot be derived; each is
one line of the tables below.

Sources: M. Giles, "Collected Matrix Derivative Results for Forward and Reverse Mode
Algorithmic Differentiation" (2008), for ``inv`` (2.2.3), ``det`` and its logarithm
(2.2.4) and ``solve`` (2.3.1), whence also ``cofactor``, det A · A⁻ᵀ; I. Murray,
"Differentiation of the Cholesky decomposition" (2016), equations 8 and 10, for
``cholesky``.
"""

# Tensors get their operators when the library of operations is loaded:
# mypy: disable-error-code="operator"

from __future__ import annotations

from collections.abc import Callable

from symgrad.declare.build import elementwise, iota
from symgrad.declare.ops.contract import einsum
from symgrad.declare.ops.linalg import cofactor, inv, solve
from symgrad.declare.ops.shape import expand_dims
from symgrad.declare.tensor import Tensor

#: (operation, operand) -> its cotangent, given the operands, the result ``y`` and its
#: cotangent ``g``.
COTANGENTS: dict[tuple[str, int], Callable[..., Tensor]] = {
    ("inv", 0): lambda A, *, y, g: -(y.mT @ g @ y.mT),
    ("solve", 0): lambda A, B, *, y, g: -(solve(A.mT, g) @ y.mT),
    ("solve", 1): lambda A, B, *, y, g: solve(A.mT, g),
    ("det", 0): lambda A, *, y, g: _each(g) * cofactor(A),
    ("cofactor", 0): lambda A, *, y, g: _product_rule(inv(A).mT, g, y),
    ("logabsdet", 0): lambda A, *, y, g: _each(g) * inv(A).mT,
    ("cholesky", 0): lambda A, *, y, g: _symmetric(
        solve(y.mT, solve(y.mT, _half(y.mT @ g).mT).mT)
    ),
}

#: (operation, operand) -> what its tangent ``t`` adds to that of the result.
TANGENTS: dict[tuple[str, int], Callable[..., Tensor]] = {
    ("inv", 0): lambda A, *, y, t: -(y @ t @ y),
    ("solve", 0): lambda A, B, *, y, t: -solve(A, t @ y),
    ("solve", 1): lambda A, B, *, y, t: solve(A, t),
    ("det", 0): lambda A, *, y, t: _inner(cofactor(A), t),
    ("cofactor", 0): lambda A, *, y, t: _product_rule(inv(A).mT, t, y, forward=True),
    ("logabsdet", 0): lambda A, *, y, t: _inner(inv(A).mT, t),
    ("cholesky", 0): lambda A, *, y, t: y @ _half(solve(y, solve(y, _symmetric(t)).mT)),
}


def _each(scalars: Tensor) -> Tensor:
    """Return a scalar for each matrix as a 1 by 1 matrix."""
    return expand_dims(scalars, [-2, -1])


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """Return ``⟨A, B⟩`` of each two matrices."""
    return einsum("...ij,...ij->...", a, b)


def _product_rule(b: Tensor, m: Tensor, y: Tensor, forward: bool = False) -> Tensor:
    """Return ``⟨Y, M⟩ B - Y Mᵀ B``, or what it is transposed: with Y and B exchanged.

    It is the derivative of ``Y = det A · B`` with ``B = A⁻ᵀ``.
    """
    first, last = (y, b) if forward else (b, y)
    return _each(_inner(first, m)) * last - first @ m.mT @ last


def _symmetric(m: Tensor) -> Tensor:
    """Return ``(M + Mᵀ)/2``."""
    return 0.5 * (m + m.mT)


def _half(m: Tensor) -> Tensor:
    """Return Murray's Φ(M): its lower triangle, with half of its diagonal."""
    row, column = (iota(m.ndim - d, m.shape) for d in (2, 1))
    lower = elementwise("select", elementwise("lt", column, row), m, 0)
    diagonal = elementwise("select", elementwise("eq", column, row), 0.5 * m, 0)
    return lower + diagonal

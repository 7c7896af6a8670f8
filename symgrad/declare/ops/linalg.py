"""``sg.linalg``: linear algebra on the last two dimensions, batches before them.

Names and shapes are those of the Python array API standard; what a singular matrix, or
one that is not positive definite, gives follows JAX and is said with each function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from symgrad.declare import dtypes
from symgrad.declare.build import broadcast_shapes, broadcast_to, cast, elementwise
from symgrad.declare.linear_algebra import LinearAlgebra
from symgrad.declare.ops import contract, numpy_names, reduce, shape
from symgrad.declare.tensor import Shape, Tensor, as_tensor, make, print_shape
from symgrad.errors import ShapeError

__all__ = ["cholesky", "det", "inv", "norm", "slogdet", "solve", "trace"]


class SlogdetResult(NamedTuple):
    """The sign of a determinant, and the logarithm of its absolute value."""

    sign: Tensor
    logabsdet: Tensor


def _square(what: str, x: Any) -> Tensor:
    """Return square matrices of a float type."""
    t = as_tensor(x)
    if t.ndim < 2 or t.shape[-1] != t.shape[-2]:
        raise ShapeError(
            f"linalg.{what}: {t.describe()} is not square; its last two dimensions "
            "must be equal (the ones before them are a batch)"
        )
    return cast(t, dtypes.as_float(t.dtype))


def _apply(name: str, args: Sequence[Tensor], result: Shape) -> Tensor:
    return make(LinearAlgebra(name), args, result, args[0].dtype)


def cholesky(x: Any, /, *, upper: bool = False) -> Tensor:
    """Return the Cholesky factor of symmetric positive definite matrices.

    Args:
        x: ``A`` of shape (…, n, n).  As in JAX, its symmetric part ``(A + Aᵀ)/2`` is
            what is factored, so that the derivative is that of a symmetric matrix.
        upper: return ``U = Lᵀ`` with ``A = Uᵀ U``.

    Returns:
        ``L`` of the shape of ``x``, lower triangular, with ``A = L Lᵀ``.  Where ``A``
        is not positive definite, all of its elements are NaN.

    Raises:
        ShapeError: ``x`` is not square.

    Its derivative is that of Murray, "Differentiation of the Cholesky decomposition"
    (2016).

    >>> import symgrad as sg
    >>> A = sg.input("A", (2, 2))
    >>> sg.compile([A], sg.linalg.cholesky(A))([[4.0, 2.0], [2.0, 5.0]])
    array([[2., 0.],
           [1., 2.]], dtype=float32)
    """
    a = _square("cholesky", x)
    factor = _apply("cholesky", [a], a.shape)
    return factor.mT if upper else factor


def inv(x: Any, /) -> Tensor:
    """Return the inverses ``A⁻¹`` of square matrices (…, n, n).

    Elements of the inverse of a singular matrix are infinite or NaN.  ``inv(A) @ b`` is
    computed as ``solve(A, b)`` where nothing else needs the inverse.

    Raises:
        ShapeError: ``x`` is not square.

    Source of the derivative: Giles, "Collected Matrix Derivative Results for Forward
    and Reverse Mode Algorithmic Differentiation" (2008), 2.2.3.

    >>> import symgrad as sg
    >>> A = sg.input("A", (2, 2))
    >>> sg.compile([A], sg.linalg.inv(A))([[0.0, 2.0], [4.0, 0.0]])
    array([[0.  , 0.25],
           [0.5 , 0.  ]], dtype=float32)
    """
    a = _square("inv", x)
    return _apply("inv", [a], a.shape)


def solve(x1: Any, x2: Any, /) -> Tensor:
    """Return the solutions ``X`` of ``A X = B``.

    Args:
        x1: ``A`` of shape (…, n, n).
        x2: ``B`` of shape (n,), one vector for all matrices, or (…, n, k).

    Returns:
        ``A⁻¹ B`` of shape (…, n) or (…, n, k); the dimensions before the matrices
        broadcast.  Where ``A`` is singular, elements are infinite or NaN.

    Raises:
        ShapeError: ``A`` is not square, or ``B`` has another number of rows.

    Source of the derivative: Giles (2008), 2.3.1.

    >>> import symgrad as sg
    >>> A, b = sg.input("A", (2, 2)), sg.input("b", (2,))
    >>> sg.compile([A, b], sg.linalg.solve(A, b))([[0.0, 2.0], [4.0, 0.0]], [6.0, 8.0])
    array([2., 3.], dtype=float32)
    """
    a, b = _square("solve", x1), as_tensor(x2)
    kind = dtypes.promote(a.dtype, b.dtype)
    a, b = cast(a, kind), cast(b, kind)
    vector = b.ndim == 1
    columns = shape.expand_dims(b, 1) if vector else b
    if not b.ndim or columns.shape[-2] != a.shape[-1]:
        raise ShapeError(
            f"linalg.solve: {a.describe()} needs a right-hand side of shape "
            f"{print_shape((a.shape[-1],))} or {print_shape((a.shape[-1], 'k'))}, "  # type: ignore[arg-type]
            f"not {b.describe()}"
        )
    before = broadcast_shapes("linalg.solve", a, columns, last=2)
    a = broadcast_to(a, (*before, *a.shape[-2:]))
    columns = broadcast_to(columns, (*before, *columns.shape[-2:]))
    found = _apply("solve", [a, columns], columns.shape)
    return shape.squeeze(found, -1) if vector else found


def det(x: Any, /) -> Tensor:
    """Return the determinants of square matrices (…, n, n), of shape (…).

    It is 0 for a singular matrix.  The derivative is the matrix of cofactors,
    ``det(A) A⁻ᵀ`` where that exists, and right for singular matrices of any rank; their
    second derivative is NaN.  Of large matrices a determinant over- or underflows:
    ``slogdet`` does not.  ``log(det(A))`` is computed as by ``slogdet``.

    Raises:
        ShapeError: ``x`` is not square.

    Source of the derivative: Giles (2008), 2.2.4.

    >>> import symgrad as sg
    >>> A = sg.input("A", (2, 2))
    >>> sg.compile([A], sg.linalg.det(A))([[0.0, 2.0], [4.0, 0.0]])
    array(-8., dtype=float32)
    """
    a = _square("det", x)
    return _apply("det", [a], a.shape[:-2])


def cofactor(x: Any, /) -> Tensor:
    """Return the cofactors of square matrices (…, n, n), also of singular ones.

    They are ``∂det(A)/∂A``, and ``det(A) A⁻ᵀ`` where there is an inverse.

    Raises:
        ShapeError: ``x`` is not square.

    >>> import symgrad as sg
    >>> A = sg.input("A", (2, 2))
    >>> sg.compile([A], cofactor(A))([[1.0, 2.0], [2.0, 4.0]])
    array([[ 4., -2.],
           [-2.,  1.]], dtype=float32)
    """
    a = _square("cofactor", x)
    return _apply("cofactor", [a], a.shape)


def slogdet(x: Any, /) -> SlogdetResult:
    """Return sign and logarithm of the absolute value of determinants.

    Args:
        x: square matrices (…, n, n).

    Returns:
        ``(sign, logabsdet)``, both of shape (…), with ``det = sign·exp(logabsdet)``; of
        a singular matrix 0 and -inf.

    Raises:
        ShapeError: ``x`` is not square.

    Source of the derivative: Giles (2008), 2.2.4.

    >>> import symgrad as sg
    >>> A = sg.input("A", (2, 2))
    >>> sign, logabsdet = sg.linalg.slogdet(A)
    >>> print(sg.formula(sg.grad(logabsdet, A)))
    A⁻ᵀ
    """
    a = _square("slogdet", x)
    found = (_apply(name, [a], a.shape[:-2]) for name in ("signdet", "logabsdet"))
    return SlogdetResult(*found)


def trace(x: Any, /, *, offset: int = 0, dtype: object = None) -> Tensor:
    """Return the sum along a diagonal of matrices (…, n, m), of shape (…).

    Args:
        x: matrices.
        offset: which diagonal, above the main one if positive.
        dtype: the type of the result; by default that of ``sum``.

    Raises:
        ShapeError: ``x`` has fewer than two dimensions.

    >>> import symgrad as sg
    >>> A, B = sg.input("A", (3, 3)), sg.input("B", (3, 3))
    >>> print(sg.formula(sg.linalg.trace(A @ B)))
    tr(A B)
    """
    t = as_tensor(x)
    if dtype is not None:
        t = cast(t, dtypes.canonical(dtype))
    return reduce.REDUCTIONS["sum"](diagonal(t, offset=offset), -1)


def diagonal(x: Any, /, *, offset: int = 0) -> Tensor:
    """Return a diagonal of matrices (…, n, m), along the last dimension."""
    t = as_tensor(x)
    if t.ndim < 2:
        raise ShapeError(
            f"linalg: {t.describe()} has fewer than 2 dimensions, so no diagonal"
        )
    first = [t.ndim - 2, t.ndim - 1, *range(t.ndim - 2)]
    return numpy_names.diagonal(shape.permute_dims(t, first), offset)


# -- norms -----------------------------------------------------------------------------

Axis = int | Sequence[int] | None


def norm(x: Any, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the norm of vectors or matrices, as ``numpy.linalg.norm``.

    Args:
        x: a tensor of any shape.
        ord: of vectors 0, 1, 2, inf, -inf or any other number, by default 2; of
            matrices "fro" (the default), 1, -1, inf or -inf.
        axis: one axis for vectors, two for matrices; by default all elements, as one
            vector where ``ord`` is not given.
        keepdims: keep the reduced dimensions, of size 1.

    Raises:
        ShapeError: the order is not one of these for so many axes.

    >>> import symgrad as sg
    >>> x = sg.input("x", (3,))
    >>> print(sg.formula(sg.grad(sg.linalg.norm(x), x)))
    x / ‖x‖
    """
    t = as_tensor(x)
    t = cast(t, dtypes.as_float(t.dtype))
    axes = reduce.axes_of("linalg.norm", t, axis)
    if ord is None or (ord == "fro" and len(axes) == 2):
        return _euclidean(t, axes, keepdims)
    if len(axes) == 1 and isinstance(ord, int | float):
        return _vector_norm(t, float(ord), axes[0], keepdims)
    if len(axes) == 2 and ord in (1, -1, np.inf, -np.inf):
        return _matrix_norm(t, float(ord), axes, keepdims)
    raise ShapeError(
        f"linalg.norm: order {ord!r} over {len(axes)} axes of {t.describe()} is not "
        "supported; vectors (one axis) have any number, matrices (two axes) 'fro', 1, "
        "-1, inf and -inf"
    )


def _euclidean(t: Tensor, axes: Sequence[int], keepdims: bool) -> Tensor:
    squares = elementwise("mul", t, t)
    squares = reduce.REDUCTIONS["sum"](squares, axes, keepdims=keepdims)
    return elementwise("sqrt", squares)


def _vector_norm(t: Tensor, order: float, axis: int, keepdims: bool) -> Tensor:
    size = elementwise("abs", t)
    if order == 2:
        return _euclidean(t, [axis], keepdims)
    if order == 1:
        return reduce.REDUCTIONS["sum"](size, axis, keepdims=keepdims)
    if order == 0:
        nonzero = cast(elementwise("ne", t, 0), t.dtype)
        return reduce.REDUCTIONS["sum"](nonzero, axis, keepdims=keepdims)
    if order in (np.inf, -np.inf):
        extreme = reduce.REDUCTIONS["max" if order > 0 else "min"]
        return extreme(size, axis, keepdims=keepdims)
    powers = elementwise("pow", size, order)
    total = reduce.REDUCTIONS["sum"](powers, axis, keepdims=keepdims)
    return elementwise("pow", total, 1 / order)


def _matrix_norm(
    t: Tensor, order: float, axes: Sequence[int], keepdims: bool
) -> Tensor:
    """Return the greatest (least, if negative) sum of a column, or of a row (inf)."""
    inner, outer = axes if abs(order) == 1 else axes[::-1]
    sums = reduce.REDUCTIONS["sum"](elementwise("abs", t), inner, keepdims=True)
    extreme = reduce.REDUCTIONS["max" if order > 0 else "min"]
    found = extreme(sums, outer, keepdims=True)
    return found if keepdims else shape.squeeze(found, list(axes))


def matrix_norm(
    x: Any, /, *, ord: Any = "fro", keepdims: bool = False, axis: Any = (-2, -1)
) -> Tensor:
    """Return the norm of matrices, the last two dimensions."""
    return norm(x, ord, axis, keepdims)


def vector_norm(
    x: Any, /, *, axis: Axis = None, keepdims: bool = False, ord: Any = 2
) -> Tensor:
    """Return the norm over some axes, or of all elements as one vector."""
    t = as_tensor(x)
    if axis is None and not keepdims:
        return norm(shape.reshape(t, -1), ord, 0)
    return norm(t, None if ord == 2 else ord, axis, keepdims)


class Operation(NamedTuple):
    """How a kind of node is declared, and of how many operands."""

    operands: int
    declare: Callable[..., Tensor]


#: The kinds of nodes that are declared, by name.
OPERATIONS = {
    "cholesky": Operation(1, cholesky),
    "inv": Operation(1, inv),
    "solve": Operation(2, solve),
    "det": Operation(1, det),
    "cofactor": Operation(1, cofactor),
    "logabsdet": Operation(1, lambda x: slogdet(x).logabsdet),
    "signdet": Operation(1, lambda x: slogdet(x).sign),
}

#: NumPy's name in ``numpy.linalg`` -> function on tensors.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        cholesky,
        det,
        inv,
        matrix_norm,
        norm,
        slogdet,
        solve,
        trace,
        vector_norm,
        diagonal,
        contract.matmul,
        contract.outer,
        contract.tensordot,
        contract.vecdot,
        shape.matrix_transpose,
    )
}

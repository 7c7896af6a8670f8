"""Functions that NumPy has and the array API has not, or spells in another way.

They make ``np.diag(t)`` or ``np.std(t, ddof=1)`` work on tensors, with the arguments of
NumPy; each is a composition of the library.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from symgrad.declare import build
from symgrad.declare.build import cast, elementwise
from symgrad.declare.comprehension import affine, along
from symgrad.declare.dims import Size, product
from symgrad.declare.ops import contract, reduce, shape
from symgrad.declare.ops import elementwise as scalars
from symgrad.declare.tensor import Tensor, as_tensor, constant
from symgrad.errors import ShapeError


def clip(
    a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None
) -> Tensor:
    """Return ``a`` limited to ``[a_min, a_max]``."""
    low, high = (min if a_min is None else a_min), (max if a_max is None else a_max)
    return scalars.clip(a, low, high)


def cumsum(a: Any, axis: int | None = None) -> Tensor:
    """Return the running sums along ``axis``; of the flattened array if None."""
    return reduce.cumulative_sum(*_flat(a, axis))


def cumprod(a: Any, axis: int | None = None) -> Tensor:
    """Return the running products along ``axis``; of the flattened array if None."""
    return reduce.cumulative_prod(*_flat(a, axis))


def _flat(a: Any, axis: int | None) -> tuple[Tensor, int]:
    return (ravel(a), 0) if axis is None else (as_tensor(a), axis)


def var(a: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Tensor:
    """Return the variance over ``axis``; the divisor is ``n - ddof``."""
    return reduce.var(a, axis, correction=ddof, keepdims=keepdims)


def std(a: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Tensor:
    """Return the standard deviation over ``axis``; the divisor is ``n - ddof``."""
    return reduce.std(a, axis, correction=ddof, keepdims=keepdims)


def average(a: Any, axis: Any = None, weights: Any = None) -> Tensor:
    """Return the mean, weighted by an array of the same shape if one is given."""
    if weights is None:
        return reduce.mean(a, axis)
    total = reduce.REDUCTIONS["sum"]
    return elementwise(
        "div", total(elementwise("mul", a, weights), axis), total(weights, axis)
    )


def ptp(a: Any, axis: Any = None) -> Tensor:
    """Return the greatest value minus the least, over ``axis``."""
    most, least = reduce.REDUCTIONS["max"], reduce.REDUCTIONS["min"]
    return elementwise("sub", most(a, axis), least(a, axis))


# -- shapes ------------------------------------------------------------------------


def ravel(a: Any) -> Tensor:
    """Return the elements in row-major order, in one dimension."""
    return shape.reshape(a, -1)


def shape_of(a: Any) -> tuple[Size, ...]:
    """Return the sizes of the dimensions."""
    return as_tensor(a).shape


def ndim(a: Any) -> int:
    """Return the number of dimensions."""
    return as_tensor(a).ndim


def size(a: Any, axis: int | None = None) -> Size:
    """Return the number of elements, or the size of one dimension."""
    t = as_tensor(a)
    return product(t.shape) if axis is None else t.shape[axis]


def copy(a: Any) -> Tensor:
    """Return ``a``: a tensor is never changed."""
    return as_tensor(a)


def full_like(a: Any, fill_value: Any) -> Tensor:
    """Return a tensor of the shape and type of ``a`` with one repeated value."""
    t = as_tensor(a)
    return build.broadcast_to(cast(as_tensor(fill_value, t.dtype), t.dtype), t.shape)


def atleast_1d(a: Any) -> Tensor:
    """Return ``a`` with at least one dimension."""
    t = as_tensor(a)
    return t if t.ndim else shape.expand_dims(t, 0)


def atleast_2d(a: Any) -> Tensor:
    """Return ``a`` with at least two dimensions, new ones in front."""
    t = atleast_1d(a)
    return t if t.ndim > 1 else shape.expand_dims(t, 0)


def hstack(tensors: Sequence[Any]) -> Tensor:
    """Return the tensors joined along the second axis (vectors: the first)."""
    parts = [atleast_1d(t) for t in tensors]
    return shape.concat(parts, 0 if parts and parts[0].ndim == 1 else 1)


def vstack(tensors: Sequence[Any]) -> Tensor:
    """Return the tensors joined along the first axis; a vector is a row."""
    return shape.concat([atleast_2d(t) for t in tensors], 0)


def column_stack(tensors: Sequence[Any]) -> Tensor:
    """Return the tensors joined along the second axis; a vector is a column."""
    parts = [as_tensor(t) for t in tensors]
    columns = [t if t.ndim > 1 else shape.expand_dims(t, t.ndim) for t in parts]
    return shape.concat(columns, 1)


def fliplr(a: Any) -> Tensor:
    """Return ``a`` with its second axis reversed."""
    return shape.flip(a, 1)


def flipud(a: Any) -> Tensor:
    """Return ``a`` with its first axis reversed."""
    return shape.flip(a, 0)


def diff(a: Any, n: int = 1, axis: int = -1) -> Tensor:
    """Return the ``n``-th differences of neighbours along ``axis``."""
    t = as_tensor(a)
    before = (slice(None),) * reduce.one_axis("diff", t, axis)
    for _ in range(n):
        later, sooner = t[(*before, slice(1, None))], t[(*before, slice(None, -1))]
        t = elementwise("sub", later, sooner)
    return t


# -- diagonals and products --------------------------------------------------------


def diagonal(a: Any, offset: int = 0) -> Tensor:
    """Return ``y[…, i] = a[i, i + offset, …]`` of the first two dimensions."""
    t = as_tensor(a)
    if t.ndim < 2:
        raise ShapeError(f"diagonal: {t.describe()} has fewer than 2 dimensions")
    rows, columns = t.shape[:2]
    if not (isinstance(rows, int) and isinstance(columns, int)):
        if rows != columns or offset:
            raise ShapeError(
                f"diagonal: {t.describe()} is not surely square; with named dimensions "
                "only the main diagonal of (n, n) can be taken"
            )
        count: Size = rows
    else:
        count = max(min(rows + min(offset, 0), columns - max(offset, 0)), 0)
    last = t.ndim - 2
    index = [affine([(last, 1)], max(-offset, 0)), affine([(last, 1)], max(offset, 0))]
    index += [along(d) for d in range(last)]
    return build.movement("diagonal", t, (*t.shape[2:], count), index)


def diag(v: Any, k: int = 0) -> Tensor:
    """Return a matrix with a vector on diagonal ``k``, or a matrix's diagonal."""
    t = as_tensor(v)
    if t.ndim != 1:
        return diagonal(t, k)
    n = t.shape[0] + abs(k)
    if k:  # row i of the result reads element i, or i + k where k is negative
        t = shape.pad(t, [(0, k) if k > 0 else (-k, 0)])
    column = elementwise("add", build.iota(0, (n, n)), k)
    same = elementwise("eq", column, build.iota(1, (n, n)))
    return elementwise("select", same, shape.expand_dims(t, 1), constant(0, t.dtype))


def trace(a: Any, offset: int = 0) -> Tensor:
    """Return the sum along the diagonal of the first two dimensions."""
    return reduce.REDUCTIONS["sum"](diagonal(a, offset), -1)


def inner(a: Any, b: Any) -> Tensor:
    """Return the sum of products over the last axes."""
    x, y = as_tensor(a), as_tensor(b)
    if not x.ndim or not y.ndim:
        return elementwise("mul", x, y)
    return contract.tensordot(x, y, ([x.ndim - 1], [y.ndim - 1]))


def vdot(a: Any, b: Any) -> Tensor:
    """Return the sum of products of all elements."""
    return contract.vecdot(ravel(a), ravel(b))


def kron(a: Any, b: Any) -> Tensor:
    """Return the Kronecker product of two matrices or two vectors."""
    x, y = as_tensor(a), as_tensor(b)
    if x.ndim != y.ndim:
        raise ShapeError(
            f"kron: {x.describe()} and {y.describe()} must have as many dimensions"
        )
    rank = x.ndim
    wide = shape.expand_dims(x, [2 * d + 1 for d in range(rank)])
    long = shape.expand_dims(y, [2 * d for d in range(rank)])
    sizes = [s * r for s, r in zip(x.shape, y.shape, strict=True)]
    return shape.reshape(elementwise("mul", wide, long), sizes)


def cross(a: Any, b: Any) -> Tensor:
    """Return the vector product along the last axis, of size 3."""
    x, y = as_tensor(a), as_tensor(b)
    for t in (x, y):
        if not t.ndim or t.shape[-1] != 3:
            raise ShapeError(f"cross: the last dimension of {t.describe()} must be 3")
    left = elementwise("mul", shape.roll(x, -1, -1), shape.roll(y, 1, -1))
    right = elementwise("mul", shape.roll(x, 1, -1), shape.roll(y, -1, -1))
    return elementwise("sub", left, right)


def heaviside(x: Any, middle: Any) -> Tensor:
    """Return 0 below 0, 1 above, ``middle`` at 0."""
    above = elementwise("select", elementwise("gt", x, 0), 1.0, middle)
    return elementwise("select", elementwise("lt", x, 0), 0.0, above)


#: NumPy's name -> function on tensors.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        clip,
        cumsum,
        cumprod,
        var,
        std,
        average,
        ptp,
        ravel,
        ndim,
        size,
        copy,
        full_like,
        atleast_1d,
        atleast_2d,
        hstack,
        vstack,
        column_stack,
        fliplr,
        flipud,
        diff,
        diagonal,
        diag,
        trace,
        inner,
        vdot,
        kron,
        cross,
        heaviside,
    )
} | {"shape": shape_of}

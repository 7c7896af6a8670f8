"""Movement of values: reshaping, transposing, slicing, joining, padding."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from symgrad.declare import build, dtypes
from symgrad.declare.build import ZERO, cast, elementwise, movement
from symgrad.declare.comprehension import Guard, Value, affine, along
from symgrad.declare.dims import (
    Size,
    divide,
    equal_without_remainders,
    product,
    quotient_if_divisible,
)
from symgrad.declare.ops.reduce import axes_of, one_axis
from symgrad.declare.tensor import (
    Reshape,
    Shape,
    Tensor,
    as_shape,
    as_tensor,
    make,
    size_of,
)
from symgrad.declare.tensor import print_shape as show
from symgrad.errors import ShapeError


def reshape(x: Any, *shape: Any) -> Tensor:
    """Return the elements in row-major order in another shape; one size may be -1.

    Where a number has to divide the product of named dimensions, whether it does is
    checked when the program runs.

    Raises:
        ShapeError: the shape has another number of elements.

    >>> from symgrad.declare.tensor import input
    >>> reshape(input("x", (6, "n")), (2, -1)).shape
    (2, 3*n)
    >>> reshape(input("x", ("n",)), (4, -1)).shape
    (4, (n)//4)
    """
    given = t = as_tensor(x)
    while isinstance(t.op, Reshape):
        t = t.args[0]
    wanted = list(shape[0] if len(shape) == 1 and not _is_size(shape[0]) else shape)
    total = product(t.shape)
    if wanted.count(-1) > 1:
        raise ShapeError(f"reshape: only one dimension may be -1, not {wanted}")
    if -1 in wanted:
        place = wanted.index(-1)
        rest = product(as_shape([s for s in wanted if not _is_minus_one(s)]))
        missing = quotient_if_divisible(total, rest)
        if missing is None:
            raise ShapeError(
                f"reshape: {given.describe()} has {total} elements, which {rest} does "
                "not divide"
            )
        wanted[place] = missing
    new = as_shape(wanted, "reshape")
    if not equal_without_remainders(product(new), total):
        raise ShapeError(
            f"reshape: {given.describe()} has {total} elements, but the shape "
            f"{show(new)} has {product(new)}"
        )
    return t if t.shape == new else make(Reshape(new), [t], new, t.dtype)


def _is_size(value: Any) -> bool:
    return not isinstance(value, list | tuple)


def _is_minus_one(value: Any) -> bool:
    return isinstance(value, int) and value == -1


def permute_dims(x: Any, axes: Sequence[int] | None = None) -> Tensor:
    """Return ``x`` with its dimensions in another order (reversed by default)."""
    t = as_tensor(x)
    order = tuple(range(t.ndim))[::-1] if axes is None else tuple(axes)
    if sorted(a % t.ndim if t.ndim else a for a in order) != list(range(t.ndim)):
        raise ShapeError(
            f"permute_dims: {order} is not an order of the {t.ndim} dimensions of "
            f"{t.describe()}"
        )
    order = tuple(a % t.ndim for a in order)
    place = {d: along(a) for a, d in enumerate(order)}
    index = [place[d] for d in range(t.ndim)]
    return movement("transpose", t, tuple(t.shape[d] for d in order), index)


def matrix_transpose(x: Any) -> Tensor:
    """Return ``x`` with its last two dimensions exchanged."""
    t = as_tensor(x)
    if t.ndim < 2:
        raise ShapeError(f"{t.describe()} has fewer than 2 dimensions to transpose")
    return permute_dims(t, [*range(t.ndim - 2), t.ndim - 1, t.ndim - 2])


def swapaxes(x: Any, axis1: int, axis2: int) -> Tensor:
    """Return ``x`` with two dimensions exchanged."""
    t = as_tensor(x)
    order = list(range(t.ndim))
    a, b = one_axis("swapaxes", t, axis1), one_axis("swapaxes", t, axis2)
    order[a], order[b] = b, a
    return permute_dims(t, order)


def moveaxis(x: Any, source: int, destination: int) -> Tensor:
    """Return ``x`` with one dimension moved to another place."""
    t = as_tensor(x)
    a = one_axis("moveaxis", t, source)
    order = [d for d in range(t.ndim) if d != a]
    order.insert(one_axis("moveaxis", t, destination), a)
    return permute_dims(t, order)


def expand_dims(x: Any, axis: int | Sequence[int] = 0) -> Tensor:
    """Return ``x`` with size-1 dimensions inserted at ``axis``."""
    t = as_tensor(x)
    listed = [axis] if isinstance(axis, int) else list(axis)
    rank = t.ndim + len(listed)
    if any(not -rank <= a < rank for a in listed):
        raise ShapeError(
            f"expand_dims: axis {axis} does not exist in {rank} dimensions"
        )
    new = {a % rank for a in listed}
    kept = [a for a in range(rank) if a not in new]
    sizes = dict(zip(kept, t.shape, strict=True))
    shape = tuple(sizes.get(a, 1) for a in range(rank))
    return movement("expand_dims", t, shape, [along(a) for a in kept])


def squeeze(x: Any, axis: int | Sequence[int] | None = None) -> Tensor:
    """Return ``x`` without the size-1 dimensions at ``axis`` (all, by default)."""
    t = as_tensor(x)
    if axis is None:
        axis = [d for d, s in enumerate(t.shape) if s == 1]
    axes = axes_of("squeeze", t, axis)
    for a in axes:
        if t.shape[a] != 1:
            raise ShapeError(f"squeeze: dimension {a} of {t.describe()} is not 1")
    kept = [d for d in range(t.ndim) if d not in axes]
    place = {d: along(a) for a, d in enumerate(kept)}
    index = [place.get(d, ZERO) for d in range(t.ndim)]
    return movement("squeeze", t, tuple(t.shape[d] for d in kept), index)


def broadcast_to(x: Any, shape: Any) -> Tensor:
    """Return ``x`` repeated to ``shape`` along new and size-1 dimensions."""
    t = as_tensor(x)
    wanted = as_shape(shape, "broadcast_to")
    offset = len(wanted) - t.ndim
    if offset < 0 or any(
        s not in (1, wanted[offset + d]) for d, s in enumerate(t.shape)
    ):
        raise ShapeError(f"broadcast_to: {t.describe()} does not fit {show(wanted)}")
    return build.broadcast_to(t, wanted)


def concat(tensors: Sequence[Any], axis: int | None = 0) -> Tensor:
    """Return the tensors joined along an existing dimension."""
    parts = [as_tensor(t) for t in tensors]
    if not parts:
        raise ShapeError("concat needs at least one tensor")
    if axis is None:
        parts, axis = [reshape(t, -1) for t in parts], 0
    kind = dtypes.promote(*(t.dtype for t in parts))
    parts = [cast(t, kind) for t in parts]
    first = parts[0]
    a = one_axis("concat", first, axis)
    for t in parts[1:]:
        if t.ndim != first.ndim or any(
            s != r
            for d, (s, r) in enumerate(zip(t.shape, first.shape, strict=False))
            if d != a
        ):
            raise ShapeError(
                f"concat: {t.describe()} and {first.describe()} must agree in every "
                f"dimension but {a}"
            )
    total: Size = 0
    starts = []
    for t in parts:
        starts.append(total)
        total = total + t.shape[a]
    shape = (*first.shape[:a], total, *first.shape[a + 1 :])
    result = _shifted(parts[-1], a, starts[-1], shape)
    here = build.iota(a, shape)
    for t, start in zip(parts[-2::-1], starts[-2::-1], strict=True):
        inside = elementwise("lt", here, build.size_of(start + t.shape[a]))
        result = elementwise("select", inside, _shifted(t, a, start, shape), result)
    return result


def _shifted(t: Tensor, axis: int, start: Size, shape: Shape) -> Tensor:
    """Return ``t`` placed at ``start`` along ``axis`` in zeros of ``shape``."""
    index = [along(d) for d in range(t.ndim)]
    index[axis] = affine([(axis, 1)], -start)
    guard = Guard(index[axis], t.shape[axis])
    return movement("pad", t, shape, index, [guard])


def stack(tensors: Sequence[Any], axis: int = 0) -> Tensor:
    """Return the tensors joined along a new dimension."""
    parts = [as_tensor(t) for t in tensors]
    if not parts:
        raise ShapeError("stack needs at least one tensor")
    other = next((t for t in parts if t.shape != parts[0].shape), None)
    if other is not None:
        raise ShapeError(
            f"stack: {parts[0].describe()} and {other.describe()} must have one shape"
        )
    return concat([expand_dims(t, axis) for t in parts], axis)


def split(x: Any, sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """Return the parts of ``x``: so many equal ones, or cut at the given places."""
    t = as_tensor(x)
    a = one_axis("split", t, axis)
    extent = t.shape[a]
    if isinstance(sections, int):
        step = divide(extent, sections)
        if step is None:
            raise ShapeError(
                f"split: dimension {a} of {t.describe()} is not divisible by {sections}"
            )
        cuts = [step * n for n in range(sections + 1)]
    else:
        cuts = [0, *sections, extent]
    key = (slice(None),) * a
    return [t[(*key, slice(s, e))] for s, e in itertools.pairwise(cuts)]


def pad(x: Any, pad_width: Any, constant_values: float = 0) -> Tensor:
    """Return ``x`` with constant values before and after along each dimension.

    Args:
        x: the tensor.
        pad_width: ``(before, after)`` for each dimension; one pair or one number for
            all.
        constant_values: the value outside.
    """
    t = as_tensor(x)
    try:
        widths = np.broadcast_to(np.asarray(pad_width, int), (t.ndim, 2)).tolist()
    except ValueError:
        raise ShapeError(
            f"pad: {pad_width!r} is not (before, after) for each dimension of "
            f"{t.describe()}, nor one pair or number for all"
        ) from None
    shape = tuple(s + b + a for s, (b, a) in zip(t.shape, widths, strict=True))
    index = [affine([(d, 1)], -b) for d, (b, _) in enumerate(widths)]
    guards = [Guard(i, s) for i, s in zip(index, t.shape, strict=True)]
    if any(b < 0 or a < 0 for b, a in widths):
        raise ShapeError(f"pad: widths are not negative, unlike {pad_width!r}")
    if constant_values == 0:
        return movement("pad", t, shape, index, guards)
    inside = build.constant(np.ones((), bool))
    inside = movement("pad", build.broadcast_to(inside, t.shape), shape, index, guards)
    padded = movement("pad", t, shape, index, guards)
    return elementwise("select", inside, padded, constant_values)


def flip(x: Any, axis: int | Sequence[int] | None = None) -> Tensor:
    """Return ``x`` in reverse order along ``axis`` (every one, by default)."""
    t = as_tensor(x)
    axes = axes_of("flip", t, axis)
    index = [
        affine([(d, -1)], t.shape[d] - 1) if d in axes else along(d)
        for d in range(t.ndim)
    ]
    return movement("flip", t, t.shape, index)


def roll(
    x: Any, shift: int | Sequence[int], axis: int | Sequence[int] | None = None
) -> Tensor:
    """Return ``x`` shifted cyclically, by so many places along each of the axes."""
    t = as_tensor(x)
    if axis is None:
        return reshape(roll(reshape(t, -1), shift, 0), t.shape)
    axes = [axis] if isinstance(axis, int) else list(axis)
    shifts = [shift] * len(axes) if isinstance(shift, int) else list(shift)
    if len(shifts) != len(axes):
        raise ShapeError(f"roll: {len(shifts)} shifts were given for {len(axes)} axes")
    for places, a in zip(shifts, axes, strict=True):
        t = _rolled(t, places, one_axis("roll", t, a))
    return t


def _rolled(t: Tensor, shift: int, a: int) -> Tensor:
    extent = t.shape[a]
    if not isinstance(extent, int):
        here = elementwise("sub", build.iota(0, (extent,)), shift)
        ids = elementwise("mod", here, size_of(extent, "int64"))
        index = [along(d) for d in range(t.ndim)]
        index[a] = affine([(Value(1, extent), 1)])
        return movement("roll", t, t.shape, index, others=[(ids, (along(a),))])
    if extent == 0:
        return t
    cut = -shift % extent
    key = (slice(None),) * a
    return concat([t[(*key, slice(cut, None))], t[(*key, slice(0, cut))]], a)


def tile(x: Any, repetitions: int | Sequence[int]) -> Tensor:
    """Return ``x`` repeated as a whole along each dimension."""
    t = as_tensor(x)
    counts = [repetitions] if isinstance(repetitions, int) else list(repetitions)
    counts = [1] * (t.ndim - len(counts)) + counts
    t = expand_dims(t, list(range(len(counts) - t.ndim))) if len(counts) > t.ndim else t
    shape = [s for pair in zip(counts, t.shape, strict=True) for s in pair]
    wide = expand_dims(t, [2 * d for d in range(t.ndim)])
    wide = build.broadcast_to(wide, as_shape(shape))
    return reshape(wide, [c * s for c, s in zip(counts, t.shape, strict=True)])


def repeat(x: Any, repeats: int, axis: int | None = None) -> Tensor:
    """Return ``x`` with each element repeated along ``axis`` (flattened if None)."""
    t = as_tensor(x)
    if axis is None:
        t, axis = reshape(t, -1), 0
    a = one_axis("repeat", t, axis)
    wide = expand_dims(t, a + 1)
    shape = (*t.shape[: a + 1], repeats, *t.shape[a + 1 :])
    new = (*t.shape[:a], t.shape[a] * repeats, *t.shape[a + 1 :])
    return reshape(build.broadcast_to(wide, shape), new)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        reshape,
        permute_dims,
        matrix_transpose,
        swapaxes,
        moveaxis,
        expand_dims,
        squeeze,
        broadcast_to,
        concat,
        stack,
        split,
        pad,
        flip,
        roll,
        tile,
        repeat,
    )
}

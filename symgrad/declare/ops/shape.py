"""Movement of values: reshaping, transposing, slicing, joining, padding."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from symgrad.declare import build, dtypes
from symgrad.declare.build import ZERO, cast, elementwise, movement
from symgrad.declare.comprehension import Guard, Index, Value, affine, along
from symgrad.declare.dims import Size, divide, product
from symgrad.declare.ops.reduce import axes_of, one_axis
from symgrad.declare.tensor import Reshape, Shape, Tensor, as_shape, as_tensor, make
from symgrad.declare.tensor import print_shape as show
from symgrad.errors import DTypeError, GraphError, ShapeError


def reshape(x: Any, *shape: Any) -> Tensor:
    """Return the elements in row-major order in another shape; one size may be -1."""
    t = as_tensor(x)
    wanted = list(shape[0] if len(shape) == 1 and not _is_size(shape[0]) else shape)
    total = product(t.shape)
    if wanted.count(-1) > 1:
        raise ShapeError(f"reshape: only one dimension may be -1, not {wanted}")
    if -1 in wanted:
        place = wanted.index(-1)
        rest = product(as_shape([s for s in wanted if not _is_minus_one(s)]))
        missing = divide(total, rest)
        if missing is None:
            raise ShapeError(
                f"reshape: {t.describe()} has {total} elements, which {rest} does not "
                "divide"
            )
        wanted[place] = missing
    new = as_shape(wanted, "reshape")
    if product(new) != total:
        raise ShapeError(
            f"reshape: {t.describe()} has {total} elements, but the shape {show(new)} "
            f"has {product(new)}"
        )
    while isinstance(t.op, Reshape):
        t = t.args[0]
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
    return [getitem(t, (*key, slice(s, e))) for s, e in itertools.pairwise(cuts)]


def pad(x: Any, pad_width: Any, constant_values: float = 0) -> Tensor:
    """Return ``x`` with constant values before and after along each dimension.

    Args:
        x: the tensor.
        pad_width: ``(before, after)`` for each dimension; one pair or one number for
            all.
        constant_values: the value outside.
    """
    t = as_tensor(x)
    widths = np.broadcast_to(np.asarray(pad_width, int), (t.ndim, 2)).tolist()
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


def roll(x: Any, shift: int, axis: int | None = None) -> Tensor:
    """Return ``x`` shifted cyclically."""
    t = as_tensor(x)
    if axis is None:
        return reshape(roll(reshape(t, -1), shift, 0), t.shape)
    a = one_axis("roll", t, axis)
    extent = t.shape[a]
    if not isinstance(extent, int):
        raise ShapeError(f"roll: dimension {a} of {t.describe()} must be an integer")
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


# -- indexing -----------------------------------------------------------------------


def getitem(t: Tensor, key: Any) -> Tensor:
    """Return ``t[key]``: integers, slices, None, ``...``, integer tensors, one mask.

    A bool mask of the same shape keeps the shape: ``t[mask]`` is ``where(mask, t, 0)``.

    Raises:
        ShapeError: an index is out of range, or there are too many.
    """
    if isinstance(key, Tensor | np.ndarray) and as_tensor(key).dtype == "bool":
        return elementwise("select", key, t, 0)
    keys = list(key) if isinstance(key, tuple) else [key]
    consuming = [k for k in keys if k is not None and k is not Ellipsis]
    if len(consuming) > t.ndim:
        raise ShapeError(
            f"{t.describe()} has {t.ndim} dimensions, but {len(consuming)} "
            "indices were given"
        )
    place = next((n for n, k in enumerate(keys) if k is Ellipsis), len(keys))
    fill = [slice(None)] * (t.ndim - len(consuming))
    keys = keys[:place] + fill + keys[place + 1 :]
    return _Indexing(t, keys).tensor()


class _Indexing:
    """The statement of one indexing expression, built key by key."""

    def __init__(self, t: Tensor, keys: Sequence[Any]) -> None:
        self.t = t
        self.shape: list[Size] = []
        self.index: list[Index] = []
        self.others: list[tuple[Tensor, tuple[Index, ...]]] = []
        arrays = [
            as_tensor(k) for k in keys if isinstance(k, Tensor | np.ndarray | list)
        ]
        self.common = build.broadcast_shapes("indexing", *arrays) if arrays else ()
        self.first: int | None = None
        for k in keys:
            self._key(k)

    def _key(self, k: Any) -> None:
        d = len(self.index)
        if k is None:
            self.shape.append(1)
        elif isinstance(k, slice):
            self._slice(k, self.t.shape[d])
        elif isinstance(k, int | np.integer) and not isinstance(k, bool):
            self.index.append(Index((), self._integer(int(k), d)))
        elif isinstance(k, Tensor | np.ndarray | list):
            self._array(as_tensor(k), d)
        else:
            raise GraphError(
                f"{self.t.describe()} cannot be indexed with {k!r}; use integers, "
                "slices, None, ... or integer tensors"
            )

    def _integer(self, k: int, d: int) -> Size:
        extent = self.t.shape[d]
        if isinstance(extent, int) and not -extent <= k < extent:
            raise ShapeError(
                f"index {k} is out of range in dimension {d} of {self.t.describe()}"
            )
        return k if k >= 0 else extent + k

    def _slice(self, k: slice, extent: Size) -> None:
        step = 1 if k.step is None else k.step
        if isinstance(extent, int) and all(
            s is None or isinstance(s, int) for s in (k.start, k.stop, k.step)
        ):
            places = range(*k.indices(extent))
            start: Size = places.start
            count: Size = len(places)
        else:
            start, count = _symbolic_slice(k, extent, step)
        self.index.append(affine([(len(self.shape), step)], start))
        self.shape.append(count)

    def _array(self, ids: Tensor, d: int) -> None:
        if ids.dtype not in dtypes.INTEGERS:
            raise DTypeError(
                f"an index must be an integer tensor, not {ids.describe()}"
            )
        if self.first is None:
            self.first = len(self.shape)
            self.shape += self.common
        rank = len(self.common)
        where = tuple(
            i if i.axis is None else along(i.axis + self.first)
            for i in build.broadcast_index(ids.shape, self.common)
        )
        del rank
        self.others.append((ids, where))
        self.index.append(affine([(Value(len(self.others), self.t.shape[d]), 1)]))

    def tensor(self) -> Tensor:
        name = "take" if self.others else "slice"
        return movement(name, self.t, tuple(self.shape), self.index, others=self.others)


def _symbolic_slice(k: slice, extent: Size, step: int) -> tuple[Size, Size]:
    """Return start and count where sizes are named; a bound is taken as in range."""

    def bound(value: Any, default: Size) -> Size:
        if value is None:
            return default
        return extent + value if isinstance(value, int) and value < 0 else value

    if step > 0:
        start, stop = bound(k.start, 0), bound(k.stop, extent)
        return start, (stop - start + (step - 1)) // step
    if k.stop is not None:
        raise ShapeError("a slice with a negative step over a named size has no stop")
    start = bound(k.start, extent - 1)
    return start, (start + (-step)) // -step


def take(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """Return the slices of ``x`` at ``indices`` (any shape) along ``axis``.

    A negative index counts from the end; one out of range is clamped.
    """
    t, ids = as_tensor(x), as_tensor(indices)
    if axis is None:
        if t.ndim != 1:
            raise ShapeError(f"take: give axis=, since {t.describe()} is not a vector")
        axis = 0
    a = one_axis("take", t, axis)
    return getitem(t, (*(slice(None),) * a, ids))


def take_along_axis(x: Any, indices: Any, axis: int = -1) -> Tensor:
    """Return ``y[…, i, …] = x[…, indices[…, i, …], …]``."""
    t, ids = as_tensor(x), as_tensor(indices)
    a = one_axis("take_along_axis", t, axis)
    if ids.ndim != t.ndim:
        raise ShapeError(
            f"take_along_axis: {ids.describe()} must have as many dimensions as "
            f"{t.describe()}"
        )
    if ids.dtype not in dtypes.INTEGERS:
        raise DTypeError(f"an index must be an integer tensor, not {ids.describe()}")
    shape: list[Size] = []
    for d, (s, r) in enumerate(zip(t.shape, ids.shape, strict=True)):
        if d != a and s != r and 1 not in (s, r):
            raise ShapeError(
                f"take_along_axis: dimension {d} is {s} in {t.describe()} and {r} in "
                f"{ids.describe()}"
            )
        shape.append(r if d == a or s == 1 else s)
    index = [ZERO if s == 1 else along(d) for d, s in enumerate(t.shape)]
    index[a] = affine([(Value(1, t.shape[a]), 1)])
    where = tuple(ZERO if s == 1 else along(d) for d, s in enumerate(ids.shape))
    return movement("take_along_axis", t, tuple(shape), index, others=[(ids, where)])


def one_hot(indices: Any, depth: int, dtype: object = "float32") -> Tensor:
    """Return 1 where the last, new axis equals the index, else 0."""
    ids = as_tensor(indices)
    if ids.dtype not in dtypes.INTEGERS:
        raise DTypeError(f"one_hot needs an integer tensor, not {ids.describe()}")
    wide = expand_dims(ids, ids.ndim)
    here = build.iota(ids.ndim, (*(1,) * ids.ndim, *as_shape(depth)), ids.dtype)
    return cast(elementwise("eq", wide, here), dtypes.canonical(dtype))


def arange(n: int | str | Size, dtype: object = "int64") -> Tensor:
    """Return 0, 1, …, n - 1."""
    return build.iota(0, as_shape(n), dtypes.canonical(dtype))


def full(shape: Any, value: float, dtype: object = "float32") -> Tensor:
    """Return a tensor of one repeated value."""
    scalar = build.constant(np.asarray(value, dtypes.canonical(dtype)))
    return build.broadcast_to(scalar, as_shape(shape))


def zeros(shape: Any, dtype: object = "float32") -> Tensor:
    """Return zeros."""
    return full(shape, 0, dtype)


def ones(shape: Any, dtype: object = "float32") -> Tensor:
    """Return ones."""
    return full(shape, 1, dtype)


def zeros_like(x: Any) -> Tensor:
    """Return zeros of the shape and type of ``x``."""
    t = as_tensor(x)
    return full(t.shape, 0, t.dtype)


def ones_like(x: Any) -> Tensor:
    """Return ones of the shape and type of ``x``."""
    t = as_tensor(x)
    return full(t.shape, 1, t.dtype)


def eye(n: int, dtype: object = "float32") -> Tensor:
    """Return the identity matrix."""
    shape = as_shape((n, n))
    same = elementwise("eq", build.iota(0, shape), build.iota(1, shape))
    return cast(same, dtypes.canonical(dtype))


def _triangle(name: str, fn: str) -> Callable[..., Tensor]:
    def function(x: Any, k: int = 0) -> Tensor:
        t = as_tensor(x)
        if t.ndim < 2:
            raise ShapeError(f"{name}: {t.describe()} has fewer than 2 dimensions")
        rows = elementwise("add", build.iota(t.ndim - 2, t.shape), k)
        keep = elementwise(fn, build.iota(t.ndim - 1, t.shape), rows)
        return elementwise("select", keep, t, 0)

    function.__name__ = function.__qualname__ = name
    side = "below" if name == "tril" else "above"
    function.__doc__ = f"Return ``x`` on and {side} diagonal ``k``, 0 elsewhere."
    return function


tril = _triangle("tril", "le")
triu = _triangle("triu", "ge")

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
        take,
        take_along_axis,
        one_hot,
        arange,
        full,
        zeros,
        ones,
        zeros_like,
        ones_like,
        eye,
        tril,
        triu,
    )
}

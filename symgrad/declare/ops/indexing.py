"""Indexing: slices, integers, integer tensors, masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from symgrad.declare import build, dtypes
from symgrad.declare.build import ZERO, cast, elementwise, movement
from symgrad.declare.comprehension import Index, Value, affine, along
from symgrad.declare.dims import Size
from symgrad.declare.ops.reduce import one_axis
from symgrad.declare.ops.shape import expand_dims
from symgrad.declare.tensor import Tensor, as_shape, as_tensor
from symgrad.errors import DTypeError, GraphError, ShapeError


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
    if len(keys) - len(consuming) - sum(k is None for k in keys) > 1:
        raise GraphError(f"{t.describe()} is indexed with ... more than once")
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
        if step == 0:
            raise ShapeError(f"a slice of {self.t.describe()} has the step 0")
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
        where = tuple(
            i if i.axis is None else along(i.axis + self.first)
            for i in build.broadcast_index(ids.shape, self.common)
        )
        self.others.append((ids, where))
        self.index.append(affine([(Value(len(self.others), self.t.shape[d]), 1)]))

    def tensor(self) -> Tensor:
        name = "take" if self.others else "slice"
        _check_not_empty(name, self.t, self.shape)
        return movement(name, self.t, tuple(self.shape), self.index, others=self.others)


def _symbolic_slice(k: slice, extent: Size, step: int) -> tuple[Size, Size]:
    """Return start and count where sizes are named.

    Bounds are taken as in range: whether they are is checked when the program runs.
    """

    def bound(value: Any, default: Size) -> Size:
        if value is None:
            return default
        return extent + value if isinstance(value, int) and value < 0 else value

    if step > 0:
        start, stop = bound(k.start, 0), bound(k.stop, extent)
        count = (stop - start + (step - 1)) // step
        return start, max(count, 0) if isinstance(count, int) else count
    if k.stop is not None:
        raise ShapeError("a slice with a negative step over a named size has no stop")
    start = bound(k.start, extent - 1)
    return start, (start + (-step)) // -step


def _check_not_empty(what: str, t: Tensor, shape: Sequence[Size]) -> None:
    if 0 in t.shape and all(isinstance(s, int) and s > 0 for s in shape):
        raise ShapeError(f"{what} from {t.describe()}, which has no elements")


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
    _check_not_empty("take_along_axis", t, shape)
    return movement("take_along_axis", t, tuple(shape), index, others=[(ids, where)])


def one_hot(indices: Any, depth: int, dtype: object = "float32") -> Tensor:
    """Return 1 where the last, new axis equals the index, else 0."""
    ids = as_tensor(indices)
    if ids.dtype not in dtypes.INTEGERS:
        raise DTypeError(f"one_hot needs an integer tensor, not {ids.describe()}")
    wide = expand_dims(ids, ids.ndim)
    here = build.iota(ids.ndim, (*(1,) * ids.ndim, *as_shape(depth)), ids.dtype)
    return cast(elementwise("eq", wide, here), dtypes.canonical(dtype))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        take,
        take_along_axis,
        one_hot,
    )
}

"""Operators that make, move and join elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from symgrad.declare.ops import FUNCTIONS as SG
from symgrad.declare.tensor import constant
from symgrad.errors import GraphError
from symgrad.interop.torch_import.table import (
    OPERATORS,
    Operand,
    axes_of,
    axis_of,
    fixed,
    operator,
)

#: What PyTorch writes for the end of an axis.
END = 2**63 - 1


@operator("view", "_unsafe_view", "reshape")
def view(x: Operand, shape: Sequence[Any]) -> Operand:
    """The same elements in another shape."""
    return SG["reshape"](x, tuple(shape))


@operator("flatten")
def flatten(x: Operand, start: int = 0, end: int = -1) -> Operand:
    """Some axes as one."""
    start, end = axis_of(start, x.ndim), axis_of(end, x.ndim)
    return SG["reshape"](x, (*x.shape[:start], -1, *x.shape[end + 1 :]))


@operator("unflatten")
def unflatten(x: Operand, axis: int, sizes: Sequence[Any]) -> Operand:
    """One axis as some."""
    axis = axis_of(axis, x.ndim)
    return SG["reshape"](x, (*x.shape[:axis], *sizes, *x.shape[axis + 1 :]))


@operator("expand", "broadcast_to")
def expand(x: Operand, shape: Sequence[Any], implicit: bool = False) -> Operand:
    """Broadcast; -1 keeps a dimension."""
    del implicit
    late = len(shape) - x.ndim
    wanted = [x.shape[d - late] if s == -1 else s for d, s in enumerate(shape)]
    return SG["broadcast_to"](x, tuple(wanted))


@operator("expand_as", "view_as", "reshape_as")
def expand_as(x: Operand, other: Operand) -> Operand:
    """In the shape of another."""
    same = x.size == other.size
    return SG["reshape" if same else "broadcast_to"](x, other.shape)


@operator("broadcast_tensors")
def broadcast_tensors(tensors: Sequence[Operand]) -> list[Operand]:
    """All in one shape."""
    total = tensors[0]
    for t in tensors[1:]:
        total = SG["add"](SG["zeros_like"](total), SG["zeros_like"](t))
    return [SG["broadcast_to"](t, total.shape) for t in tensors]


@operator("permute")
def permute(x: Operand, axes: Sequence[int]) -> Operand:
    """Axes in another order."""
    return SG["permute_dims"](x, axes_of(x, axes))


@operator("transpose", "swapaxes")
def transpose(x: Operand, a: int, b: int) -> Operand:
    """Two axes exchanged."""
    return SG["swapaxes"](x, a, b) if x.ndim else x


@operator("t", "numpy_T", "adjoint", "mT")
def matrix_transpose(x: Operand) -> Operand:
    """Of a matrix."""
    return x.mT if x.ndim > 1 else x


@operator("movedim")
def movedim(x: Operand, source: Any, destination: Any) -> Operand:
    """Axes to other places."""
    source = axes_of(x, source)
    destination = axes_of(x, destination)
    order = [d for d in range(x.ndim) if d not in source]
    for to, axis in sorted(zip(destination, source, strict=True)):
        order.insert(to, axis)
    return SG["permute_dims"](x, tuple(order))


@operator("squeeze")
def squeeze(x: Operand, axes: Any = None) -> Operand:
    """Without axes of extent 1; others stay."""
    gone = [d for d in axes_of(x, axes) if x.shape[d] == 1] if x.ndim else []
    return SG["squeeze"](x, axis=tuple(gone)) if gone else x


@operator("unsqueeze")
def unsqueeze(x: Operand, axis: int) -> Operand:
    """One more axis."""
    return SG["expand_dims"](x, axis=axis_of(axis, x.ndim + 1))


@operator("cat", "concat")
def cat(tensors: Sequence[Operand], axis: int = 0) -> Operand:
    """Along an axis; PyTorch ignores empty vectors."""
    kept = [t for t in tensors if t.shape != (0,)]
    return SG["concat"](kept, axis=axis)


@operator("stack")
def stack(tensors: Sequence[Operand], axis: int = 0) -> Operand:
    """Along a new axis."""
    return SG["stack"](tensors, axis=axis)


@operator("split.Tensor")
def split(x: Operand, size: int, axis: int = 0) -> list[Operand]:
    """In parts of one size; the last may be smaller."""
    extent = fixed(x, axis)
    sizes = [min(size, extent - k) for k in range(0, extent, size)]
    return split_with_sizes(x, sizes or [0], axis)


@operator("split_with_sizes", "split.sizes")
def split_with_sizes(x: Operand, sizes: Sequence[Any], axis: int = 0) -> list[Operand]:
    """In parts of given sizes."""
    found, start = [], 0
    for s in sizes:
        found.append(slice_(x, axis, start, start + s))
        start = start + s
    return found


@operator("chunk")
def chunk(x: Operand, count: int, axis: int = 0) -> list[Operand]:
    """In a number of parts."""
    return split(x, -(-fixed(x, axis) // count), axis)


@operator("unbind")
def unbind(x: Operand, axis: int = 0) -> list[Operand]:
    """Along an axis, which is gone."""
    return [select(x, axis, k) for k in range(fixed(x, axis))]


@operator("select")
def select(x: Operand, axis: int, index: int) -> Operand:
    """One element of an axis."""
    return x[(*(slice(None),) * axis_of(axis, x.ndim), index)]


@operator("slice", "narrow_copy")
def slice_(
    x: Operand, axis: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Operand:
    """From start to end; bounds beyond the ends are those."""
    where = slice(start, None if isinstance(end, int) and end == END else end, step)
    return x[(*(slice(None),) * axis_of(axis, x.ndim), where)]


@operator("narrow")
def narrow(x: Operand, axis: int, start: Any, length: Any) -> Operand:
    """A stretch of an axis."""
    return slice_(x, axis, start, start + length)


@operator("select_scatter")
def select_scatter(x: Operand, new: Operand, axis: int, index: int) -> Operand:
    """One element of an axis replaced."""
    axis = axis_of(axis, x.ndim)
    wide = SG["expand_dims"](new, axis=axis)
    index = index + x.shape[axis] if index < 0 else index
    return SG["where"](_places(x, axis) == index, wide, x)


@operator("slice_scatter")
def slice_scatter(
    x: Operand,
    new: Operand,
    axis: int = 0,
    start: Any = None,
    end: Any = None,
    step: int = 1,
) -> Operand:
    """A slice of an axis replaced."""
    axis = axis_of(axis, x.ndim)
    if new.shape == x.shape:
        return SG["astype"](new, x.dtype)
    extent = fixed(x, axis)
    places = range(extent)[slice(start, end, step)]
    inside = np.isin(np.arange(extent), places)
    source = np.clip((np.arange(extent) - places.start) // step, 0, len(places) - 1)
    shape = [1] * x.ndim
    shape[axis] = extent
    wide = SG["take"](new, constant(source.astype(np.int64)), axis=axis)
    return SG["where"](constant(inside.reshape(shape)), wide, x)


def _places(x: Operand, axis: int) -> Operand:
    """Return the numbers of an axis's elements, broadcast along the others."""
    shape: list[Any] = [1] * x.ndim
    shape[axis] = x.shape[axis]
    return SG["reshape"](SG["arange"](x.shape[axis]), tuple(shape))


@operator("flip")
def flip(x: Operand, axes: Sequence[int]) -> Operand:
    """Backwards."""
    return SG["flip"](x, axis=tuple(axes))


@operator("roll")
def roll(x: Operand, shifts: Sequence[int], axes: Sequence[int] = ()) -> Operand:
    """Around the end; without axes, of all elements in order."""
    if axes:
        return SG["roll"](x, tuple(shifts), axis=tuple(axes))
    return SG["reshape"](SG["roll"](x.reshape((-1,)), shifts[0], axis=0), x.shape)


@operator("repeat", "tile")
def repeat(x: Operand, counts: Sequence[int]) -> Operand:
    """Side by side, along more axes perhaps."""
    more = len(counts) - x.ndim
    x = SG["reshape"](x, ((1,) * more + x.shape)) if more > 0 else x
    return SG["tile"](x, tuple(counts))


@operator("repeat_interleave.self_int")
def repeat_interleave(x: Operand, count: int, axis: int | None = None) -> Operand:
    """Each element several times."""
    if axis is None:
        x, axis = x.reshape((-1,)), 0
    return SG["repeat"](x, count, axis=axis_of(axis, x.ndim))


@operator("pad", "constant_pad_nd")
def pad(
    x: Operand, pads: Sequence[Any], mode: Any = "constant", value: float | None = None
) -> Operand:
    """From the last axis on: a constant, reflected, the edge, or around."""
    if not isinstance(mode, str):  # constant_pad_nd has no mode
        mode, value = "constant", mode
    pairs = [(pads[2 * k], pads[2 * k + 1]) for k in range(len(pads) // 2)]
    for k, (before, after) in enumerate(pairs, start=1):
        axis = x.ndim - k
        if mode == "constant":
            x = slice_(x, axis, max(-before, 0), -max(-after, 0) or END)
            width = [(0, 0)] * x.ndim
            width[axis] = (max(before, 0), max(after, 0))
            x = SG["pad"](x, width, constant_values=value or 0)
        elif before or after:
            x = _edge(x, axis, before, after, mode)
    return x


_MODES: dict[str, Any] = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def _edge(x: Operand, axis: int, before: int, after: int, mode: str) -> Operand:
    places = np.pad(np.arange(fixed(x, axis)), (before, after), _MODES[mode])
    return SG["take"](x, constant(places.astype(np.int64)), axis=axis)


@operator("tril")
def tril(x: Operand, diagonal: int = 0) -> Operand:
    """What is not above a diagonal."""
    return SG["tril"](x, diagonal)


@operator("triu")
def triu(x: Operand, diagonal: int = 0) -> Operand:
    """What is not below a diagonal."""
    return SG["triu"](x, diagonal)


@operator("diagonal", "diagonal_copy")
def diagonal(x: Operand, offset: int = 0, a: int = 0, b: int = 1) -> Operand:
    """As the last axis."""
    a, b = axis_of(a, x.ndim), axis_of(b, x.ndim)
    rows, columns = fixed(x, a), fixed(x, b)
    size = max(min(rows + min(offset, 0), columns - max(offset, 0)), 0)
    place = np.arange(size)
    x = SG["moveaxis"](SG["moveaxis"](x, a, -1), b - (b > a), -1)
    return x[..., place + max(-offset, 0), place + max(offset, 0)]


@operator("unfold")
def unfold(x: Operand, axis: int, size: int, step: int) -> Operand:
    """Windows of an axis, along a new last one."""
    axis = axis_of(axis, x.ndim)
    begin = np.arange(0, fixed(x, axis) - size + 1, step)
    windows = SG["take"](x, constant(begin[:, None] + np.arange(size)), axis=axis)
    return SG["moveaxis"](windows, axis + 1, -1)


@operator("meshgrid")
def meshgrid(tensors: Sequence[Operand], indexing: str = "ij") -> list[Operand]:
    """Coordinates of a grid."""
    order = list(range(len(tensors)))
    if indexing == "xy" and len(order) > 1:
        order[:2] = 1, 0
    shape = [0] * len(order)
    for k, t in enumerate(tensors):
        shape[order[k]] = t.size
    lines = [
        t.reshape(tuple(-1 if d == order[k] else 1 for d in range(len(order))))
        for k, t in enumerate(tensors)
    ]
    return [SG["broadcast_to"](line, tuple(shape)) for line in lines]


@operator("pixel_shuffle")
def pixel_shuffle(x: Operand, r: int) -> Operand:
    """Channels to blocks of pixels."""
    *outer, c, h, w = x.shape
    rank = len(outer)
    y = SG["reshape"](x, (*outer, c // (r * r), r, r, h, w))
    order = [*range(rank), *(rank + d for d in (0, 3, 1, 4, 2))]
    y = SG["permute_dims"](y, tuple(order))
    return SG["reshape"](y, (*outer, c // (r * r), h * r, w * r))


@operator("pixel_unshuffle")
def pixel_unshuffle(x: Operand, r: int) -> Operand:
    """Blocks of pixels to channels."""
    *outer, c, h, w = x.shape
    rank = len(outer)
    y = SG["reshape"](x, (*outer, c, h // r, r, w // r, r))
    order = [*range(rank), *(rank + d for d in (0, 2, 4, 1, 3))]
    y = SG["permute_dims"](y, tuple(order))
    return SG["reshape"](y, (*outer, c * r * r, h // r, w // r))


@operator("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(x: Operand, groups: int) -> Operand:
    """Channels of groups in turns."""
    batch, c, *places = x.shape
    y = SG["reshape"](x, (batch, groups, c // groups, *places))
    return SG["reshape"](SG["swapaxes"](y, 1, 2), x.shape)


# -- made of numbers -------------------------------------------------------------------


@operator("arange")
def arange(*bounds: Any, dtype: str | None = None) -> Operand:
    """From a start in steps, before an end."""
    start, end, step = (0, *bounds, 1) if len(bounds) == 1 else (*bounds, 1)[:3]
    kind = dtype or "int64"
    if all(isinstance(b, int | float) for b in (start, end, step)):
        values = np.arange(start, end, step)
        whole = dtype is None and values.dtype.kind == "f"
        return constant(values.astype("float32" if whole else kind))
    if step != 1:
        raise GraphError(f"arange up to the size {end} goes by steps of {step}")
    return SG["astype"](SG["arange"](end - start) + start, kind)


@operator("linspace")
def linspace(start: float, end: float, steps: int, dtype: str = "float32") -> Operand:
    """Numbers at equal distances."""
    return constant(np.linspace(start, end, steps).astype(dtype))


@operator("full", "new_full")
def full(*given: Any, dtype: str | None = None) -> Operand:
    """One number everywhere."""
    shape, value = given[-2:]
    if dtype is None:
        dtype = given[0].dtype if len(given) == 3 else "float32"
    if hasattr(value, "op"):
        return SG["broadcast_to"](SG["astype"](value, dtype), tuple(shape))
    return SG["full"](tuple(shape), value, dtype)


def _filled(value: float) -> Any:
    def declare(*given: Any, dtype: str | None = None) -> Operand:
        kind = dtype or (given[0].dtype if len(given) == 2 else "float32")
        return SG["full"](tuple(given[-1]), value, kind)

    def declare_like(x: Operand, dtype: str | None = None) -> Operand:
        return SG["full"](x.shape, value, dtype or x.dtype)

    return declare, declare_like


for _name, _value in {"zeros": 0, "ones": 1, "empty": 0}.items():
    OPERATORS[_name], OPERATORS[f"{_name}_like"] = _filled(_value)
    OPERATORS[f"new_{_name}"] = OPERATORS[_name]


@operator("full_like", "fill")
def full_like(x: Operand, value: float, dtype: str | None = None) -> Operand:
    """One number everywhere, in the shape of another."""
    return full(x.shape, value, dtype=dtype or x.dtype)


@operator("scalar_tensor")
def scalar_tensor(value: float, dtype: str = "float32") -> Operand:
    """A number."""
    return constant(np.asarray(value, dtype))


@operator("eye")
def eye(rows: int, columns: int | None = None, dtype: str = "float32") -> Operand:
    """Ones on the diagonal."""
    return constant(np.eye(rows, columns, dtype=dtype))

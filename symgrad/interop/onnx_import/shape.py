"""Operators that make, move and join elements."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from symgrad.declare.dims import product
from symgrad.declare.ops import FUNCTIONS as SG
from symgrad.declare.tensor import constant
from symgrad.errors import ShapeError
from symgrad.interop.onnx_import.nodes import Node, operator
from symgrad.interop.onnx_import.values import TYPES, Operand, kind_name, shape_array


@operator("Shape")
def shape(n: Node) -> np.ndarray:
    """Known at import: integers, or sizes."""
    found = shape_array(n.t(0))
    return found[n.attr("start", 0) : n.attr("end", len(found))]


@operator("Size")
def size(n: Node) -> np.ndarray:
    """The number of elements."""
    total = product(n.t(0).shape)
    return np.array(total, np.int64 if isinstance(total, int) else object)


@operator("Constant")
def constant_value(n: Node) -> np.ndarray:
    """The one attribute that is given."""
    (found,) = (v for k, v in n.attributes.items() if k != "sparse_value")
    if isinstance(found, np.ndarray):
        return found
    return np.array(
        found, np.float32 if isinstance(np.ravel(found)[0], float) else None
    )


@operator("ConstantOfShape")
def constant_of_shape(n: Node) -> Any:
    """Filled with one value, 0 by default."""
    value = n.attr("value", np.zeros(1, np.float32))
    sizes = n.numbers(0)
    if all(isinstance(s, int) for s in sizes):
        return np.full(sizes, value.reshape(()), value.dtype)
    return SG["broadcast_to"](constant(value.reshape(())), tuple(sizes))


@operator("Range")
def arange(n: Node) -> Operand:
    """Of integers up to a size that has a name; others are known at import."""
    start, stop, step = (n.scalar(k) for k in range(3))
    if step != 1:
        raise ShapeError(f"{n}: by steps of {step} up to the size {stop}")
    return SG["arange"](stop - start) + start


@operator("Reshape")
def reshape(n: Node) -> Operand:
    """0 keeps a dimension, unless ``allowzero``; -1 is what is left."""
    x = n.t(0)
    sizes: Any = n.given("shape", 1) or []
    if not n.attr("allowzero", 0):
        sizes = [x.shape[d] if s == 0 else s for d, s in enumerate(sizes)]
    return x.reshape(tuple(sizes))


@operator("Flatten")
def flatten(n: Node) -> Operand:
    """To a matrix."""
    x, axis = n.t(0), n.axis(1)
    return x.reshape((product(x.shape[:axis]), product(x.shape[axis:])))


@operator("Transpose")
def transpose(n: Node) -> Operand:
    """Reversed by default."""
    x = n.t(0)
    return SG["permute_dims"](x, tuple(n.attr("perm", range(x.ndim)[::-1])))


@operator("Squeeze")
def squeeze(n: Node) -> Operand:
    """All dimensions of extent 1 by default."""
    x, axes = n.t(0), n.given("axes", 1)
    if axes is None:
        axes = [d for d, s in enumerate(x.shape) if s == 1]
    return SG["squeeze"](x, axis=tuple(int(a) for a in axes))


@operator("Unsqueeze")
def unsqueeze(n: Node) -> Operand:
    """Axes count in the result."""
    x = n.t(0)
    axes: Any = n.given("axes", 1) or []
    rank = x.ndim + len(axes)
    for a in sorted(int(a) % rank for a in axes):
        x = SG["expand_dims"](x, axis=a)
    return x


@operator("Expand")
def expand(n: Node) -> Operand:
    """Broadcast both ways."""
    x, sizes = n.t(0), n.numbers(1)
    rank = max(x.ndim, len(sizes))
    own = [1] * (rank - x.ndim) + list(x.shape)
    wanted = [1] * (rank - len(sizes)) + sizes
    pairs = zip(own, wanted, strict=True)
    return SG["broadcast_to"](x, tuple(a if b == 1 else b for a, b in pairs))


@operator("Concat")
def concat(n: Node) -> Operand:
    """Along an axis that has to be there."""
    return SG["concat"](n.tensors, axis=n.axis(1))


@operator("Split")
def split(n: Node) -> tuple[Operand, ...]:
    """In given or equal parts; the last may be smaller."""
    x, axis = n.t(0), n.axis()
    sizes: Any = n.given("split", 1)
    if sizes is None:
        count = n.attr("num_outputs", len(n.outputs))
        extent = n.fixed(x, axis)
        part = -(-extent // count)
        sizes = [min(part, max(extent - part * k, 0)) for k in range(count)]
    return tuple(cut(x, axis, sizes))


def cut(x: Operand, axis: int, sizes: list[int]) -> list[Operand]:
    """Return the parts of a tensor along an axis."""
    found, start = [], 0
    for s in sizes:
        where: list[Any] = [slice(None)] * x.ndim
        where[axis] = slice(start, start + s)
        found.append(x[tuple(where)])
        start += s
    return found


@operator("Slice")
def slices(n: Node) -> Operand:
    """Bounds beyond the ends are those."""
    x = n.t(0)
    starts: Any = n.given("starts", 1) or []
    ends: Any = n.given("ends", 2) or []
    axes: Any = n.given("axes", 3) or range(len(starts))
    steps = n.given("steps", 4) or [1] * len(starts)
    where: list[Any] = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        extent = x.shape[axis]
        if isinstance(extent, int):
            first, last, by = slice(start, end, step).indices(extent)
            where[axis] = slice(first, None if last < 0 else last, by)
        else:
            whole = end == extent or (isinstance(end, int) and end >= 2**31 - 1)
            if not isinstance(start, int) or not (whole or isinstance(end, int)):
                raise ShapeError(f"{n}: a slice {start}:{end} of {x.describe()}")
            where[axis] = slice(start, None if whole else end, step)
    return x[tuple(where)]


@operator("Pad")
def pad(n: Node) -> Operand:
    """With a constant, by reflection, with the edge or around; negative pads cut."""
    x, mode = n.t(0), n.attr("mode", "constant")
    pads = n.given("pads", 1) or n.attr("paddings")
    axes = [a % x.ndim for a in n.numbers(3)] if n.has(3) else list(range(x.ndim))
    value = n.scalar(2) if n.has(2) else n.attr("value", 0)
    for k, axis in enumerate(axes):
        before, after = int(pads[k]), int(pads[k + len(axes)])
        if before or after:
            x = _padded(n, x, axis, before, after, mode, value)
    return x


def _padded(
    n: Node, x: Operand, axis: int, before: int, after: int, mode: str, value: Any
) -> Operand:
    if mode == "constant":
        where: list[Any] = [slice(None)] * x.ndim
        where[axis] = slice(max(-before, 0), -max(-after, 0) or None)
        x = x[tuple(where)]
        pads = [(0, 0)] * x.ndim
        pads[axis] = (max(before, 0), max(after, 0))
        return SG["pad"](x, pads, constant_values=value)
    extent = n.fixed(x, axis)
    places = np.pad(np.arange(extent), (max(before, 0), max(after, 0)), cast(Any, mode))
    places = places[max(-before, 0) : len(places) - max(-after, 0)]
    return SG["take"](x, constant(places.astype(np.int64)), axis=axis)


@operator("Tile")
def tile(n: Node) -> Operand:
    """Repeated along each axis."""
    return SG["tile"](n.t(0), tuple(n.numbers(1)))


@operator("Trilu")
def triangle(n: Node) -> Operand:
    """Above or below a diagonal."""
    k = int(n.scalar(1)) if n.has(1) else 0
    x = n.t(0)
    return SG["triu"](x, k=k) if n.attr("upper", 1) else SG["tril"](x, k=k)


@operator("EyeLike")
def eye_like(n: Node) -> Operand:
    """Ones on a diagonal."""
    x = n.t(0)
    kind = kind_name(n.attr("dtype")) if "dtype" in n.attributes else n.value(0).kind
    rows, columns = (SG["arange"](s) for s in x.shape)
    row, column = rows.reshape((-1, 1)) + n.attr("k", 0), columns.reshape((1, -1))
    return (row == column).astype(TYPES[kind])


@operator("SpaceToDepth", "DepthToSpace")
def blocks(n: Node) -> Operand:
    """Square blocks of pixels to channels, and back."""
    x, b = n.t(0), n.attr("blocksize")
    batch, c, h, w = x.shape
    if n.op == "SpaceToDepth":
        x = x.reshape((batch, c, h // b, b, w // b, b))
        first = n.attr("mode", "DCR") == "DCR"
        x = SG["permute_dims"](x, (0, 3, 5, 1, 2, 4) if first else (0, 1, 3, 5, 2, 4))
        return x.reshape((batch, c * b * b, h // b, w // b))
    if n.attr("mode", "DCR") == "DCR":
        x = x.reshape((batch, b, b, c // (b * b), h, w))
        x = SG["permute_dims"](x, (0, 3, 4, 1, 5, 2))
    else:
        x = x.reshape((batch, c // (b * b), b, b, h, w))
        x = SG["permute_dims"](x, (0, 1, 4, 2, 5, 3))
    return x.reshape((batch, c // (b * b), h * b, w * b))


@operator("ReverseSequence")
def reverse_sequence(n: Node) -> Operand:
    """The first elements of each sequence, as many as it is long, in reverse."""
    x, lengths = n.t(0), n.t(1)
    time, batch = n.attr("time_axis", 0), n.attr("batch_axis", 1)
    shape = [1] * x.ndim
    shape[batch] = x.shape[batch]
    length = lengths.reshape(tuple(shape))
    shape = [1] * x.ndim
    shape[time] = x.shape[time]
    place = SG["arange"](x.shape[time]).reshape(tuple(shape))
    index = SG["where"](place < length, length - 1 - place, place)
    return SG["take_along_axis"](x, SG["broadcast_to"](index, x.shape), axis=time)


@operator("CenterCropPad")
def center_crop_pad(n: Node) -> Operand:
    """Cut or filled up evenly on both sides."""
    x, sizes = n.t(0), n.numbers(1)
    axes = [a % x.ndim for a in n.attr("axes", range(x.ndim))]
    for axis, wanted in zip(axes, sizes, strict=True):
        more = wanted - n.fixed(x, axis)
        if more > 0:
            x = _padded(n, x, axis, more // 2, more - more // 2, "constant", 0)
        elif more < 0:
            x = _padded(n, x, axis, -(-more // 2), more - -(-more // 2), "constant", 0)
    return x

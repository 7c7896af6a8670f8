"""Gathers, scatters, and what picks elements by their numbers."""

from __future__ import annotations

import numpy as np

from symgrad.declare.ops import FUNCTIONS as SG
from symgrad.declare.statement import define
from symgrad.declare.tensor import constant
from symgrad.errors import GraphError
from symgrad.interop.onnx_import.nodes import Node, operator
from symgrad.interop.onnx_import.values import Operand


@operator("Gather")
def gather(n: Node) -> Operand:
    """Slices along an axis."""
    x, axis = n.t(0), n.axis()
    return SG["take"](x, n.t(1), axis=axis)


@operator("GatherElements")
def gather_elements(n: Node) -> Operand:
    """One element for each index; other axes may be shorter."""
    x, index, axis = n.t(0), n.t(1), n.axis()
    for d in range(x.ndim):
        if d != axis and x.shape[d] != index.shape[d]:
            where = [slice(None)] * x.ndim
            where[d] = slice(0, index.shape[d])
            x = x[tuple(where)]
    return SG["take_along_axis"](x, index, axis=axis)


_LETTERS = "abcdefghijklmnopqrstuvw"


@operator("GatherND")
def gather_nd(n: Node) -> Operand:
    """The last axis of the indices holds places in several axes."""
    x, index, batch = n.t(0), n.t(1), n.attr("batch_dims", 0)
    depth = n.fixed(index, index.ndim - 1)
    parts = [index[..., k] for k in range(depth)]
    outer = _LETTERS[: index.ndim - 1]
    inner = _LETTERS[len(outer) : len(outer) + x.ndim - depth - batch]
    names = [f"i{k}" for k in range(depth)]
    where = ", ".join(outer)
    picked = [f"{name}[{where}]" if outer else name for name in names]
    read = ", ".join([*outer[:batch], *picked, *inner])
    left = ", ".join([*outer, *inner])
    operands = {"x": x, **dict(zip(names, parts, strict=True))}
    if not left:
        return x[tuple(parts)]
    return define(f"y[{left}] = x[{read}]", operands, name="gather_nd")


@operator("ScatterElements", "Scatter")
def scatter_elements(n: Node) -> Operand:
    """Each update goes to one place along an axis."""
    x, index, updates = n.t(0), n.t(1), n.t(2)
    axis, kind = n.axis(), n.attr("reduction", "none")
    rank = x.ndim
    extent = n.fixed(x, axis)
    index = SG["where"](index < 0, index + extent, index)
    # a row of x for each place along the axis: which updates go there
    index, updates = (SG["moveaxis"](t, axis, -1) for t in (index, updates))
    moved = SG["moveaxis"](x, axis, -1)
    full = moved.shape[:-1]
    if index.shape[:-1] != full:
        raise GraphError(f"{n}: indices shorter than the data in other axes")
    place = SG["arange"](extent).reshape((*[1] * (rank - 1), extent, 1))
    here = place == SG["expand_dims"](index, axis=-2)
    values = SG["expand_dims"](updates, axis=-2)
    found = _merged(moved, here, values, kind)
    return SG["moveaxis"](found, -1, axis)


def _merged(x: Operand, here: Operand, values: Operand, kind: str) -> Operand:
    """Return x with the values along the last axis merged in where they belong."""
    zero = SG["zeros_like"](values)
    if kind == "add":
        return x + SG["sum"](SG["where"](here, values, zero), axis=-1).astype(x.dtype)
    if kind == "mul":
        one = SG["ones_like"](values)
        return x * SG["prod"](SG["where"](here, values, one), axis=-1).astype(x.dtype)
    if kind in ("max", "min"):
        worst = _extreme(x.dtype, kind)
        found = SG[kind](SG["where"](here, values, worst), axis=-1)
        return SG["maximum" if kind == "max" else "minimum"](x, found)
    count = here.shape[-1]
    place = SG["arange"](count)
    last = SG["max"](SG["where"](here, place, -1), axis=-1, keepdims=True)
    only = here & (place == last)
    found = SG["sum"](SG["where"](only, values, zero), axis=-1).astype(x.dtype)
    return SG["where"](SG["any"](here, axis=-1), found, x)


def _extreme(dtype: str, kind: str) -> Operand:
    sign = -1 if kind == "max" else 1
    if dtype.startswith("float"):
        return constant(np.array(sign * np.inf, dtype))
    info = np.iinfo(dtype)
    return constant(np.array(info.min if sign < 0 else info.max, dtype))


@operator("ScatterND")
def scatter_nd(n: Node) -> Operand:
    """Each slice of updates goes to one place in the first axes."""
    x, index, updates = n.t(0), n.t(1), n.t(2)
    depth = n.fixed(index, index.ndim - 1)
    head = [n.fixed(x, d) for d in range(depth)]
    tail = x.shape[depth:]
    flat = SG["zeros"](index.shape[:-1], dtype="int64")
    for k, extent in enumerate(head):
        part = index[..., k]
        flat = flat * extent + SG["where"](part < 0, part + extent, part)
    flat = flat.reshape((-1,))
    total = int(np.prod(head))
    rows = x.reshape((total, -1))
    values = updates.reshape((flat.shape[0], rows.shape[1]))
    here = SG["arange"](total).reshape((total, 1, 1)) == flat
    found = _merged(
        rows, here, SG["expand_dims"](values.T, axis=0), n.attr("reduction", "none")
    )
    return found.reshape((*head, *tail))


@operator("OneHot")
def one_hot(n: Node) -> Operand:
    """Two values, off and on; an index out of range is off everywhere."""
    indices, depth, values = n.t(0), int(n.numbers(1)[0]), n.t(2)
    axis = n.attr("axis", -1)
    axis = axis + indices.ndim + 1 if axis < 0 else axis
    index = indices.astype("int64")
    index = SG["where"](index < 0, index + depth, index)
    shape = [1] * (indices.ndim + 1)
    shape[axis] = depth
    here = SG["expand_dims"](index, axis=axis) == SG["arange"](depth).reshape(shape)
    return SG["where"](here, values[1], values[0])


@operator("Compress")
def compress(n: Node) -> Operand:
    """What a known condition selects."""
    x, chosen = n.t(0), np.flatnonzero(n.array(1))
    if "axis" not in n.attributes:
        return SG["take"](x.reshape((-1,)), constant(chosen), axis=0)
    return SG["take"](x, constant(chosen), axis=n.axis())


@operator("ArrayFeatureExtractor")
def features(n: Node) -> Operand:
    """Columns of the last axis."""
    return SG["take"](n.t(0), n.t(1).reshape((-1,)), axis=-1)


@operator("TensorScatter")
def tensor_scatter(n: Node) -> Operand:
    """A block of updates written at each batch's position of a cache."""
    past, update = n.t(0), n.t(1)
    axis = n.attr("axis", -2) % past.ndim
    size, count = n.fixed(past, axis), n.fixed(update, axis)
    batch = n.fixed(past, 0)
    start = n.t(2) if n.has(2) else SG["zeros"]((batch,), dtype="int64")
    shape = [1] * past.ndim
    shape[0] = batch
    steps = [1] * past.ndim
    steps[axis] = size
    offset = SG["arange"](size).reshape(tuple(steps)) - start.reshape(tuple(shape))
    if n.attr("mode", "linear") == "circular":
        offset = SG["remainder"](offset, size)
    inside = (offset >= 0) & (offset < count)
    index = SG["broadcast_to"](SG["clip"](offset, 0, count - 1), past.shape)
    return SG["where"](inside, SG["take_along_axis"](update, index, axis=axis), past)

"""Convolutions and pools: every window of a tensor, and what is made of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from symgrad.declare.ops import FUNCTIONS as SG
from symgrad.declare.tensor import constant
from symgrad.errors import GraphError
from symgrad.interop.onnx_import.nodes import Node, operator
from symgrad.interop.onnx_import.values import Operand
from symgrad.interop.windows import (
    Window,
    column,
    convolved,
    counted,
    fitting,
    transposed,
    windows,
)


def window_of(n: Node, x: Operand, kernel: Sequence[int]) -> Window:
    """Return the window that a node's attributes say, for what it slides over."""
    rank = len(kernel)
    strides = list(n.attr("strides", [1] * rank))
    dilations = list(n.attr("dilations", [1] * rank))
    given = list(n.attr("pads", [0] * (2 * rank)))
    before, after = given[:rank], given[rank:]
    auto = n.attr("auto_pad", "NOTSET")
    counts = []
    for d in range(rank):
        extent = n.fixed(x, 2 + d)
        reach = (kernel[d] - 1) * dilations[d] + 1
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            counts.append(-(-extent // strides[d]))
            total = max((counts[d] - 1) * strides[d] + reach - extent, 0)
            half = total // 2
            before[d] = half if auto == "SAME_UPPER" else total - half
            after[d] = total - before[d]
            continue
        if auto == "VALID":
            before[d] = after[d] = 0
        pads = before[d], after[d]
        up = bool(n.attr("ceil_mode", 0))
        counts.append(fitting(extent, reach, strides[d], pads, up))
    return Window(list(kernel), strides, dilations, before, after, counts)


@operator("Conv")
def convolution(n: Node) -> Operand:
    """In groups of channels, with a bias."""
    x, weight = n.t(0), n.t(1)
    kernel = [n.fixed(weight, 2 + d) for d in range(weight.ndim - 2)]
    y = convolved(x, weight, window_of(n, x, kernel), n.attr("group", 1))
    return y + column(n.t(2), len(kernel)) if n.has(2) else y


@operator("ConvTranspose")
def transposed_convolution(n: Node) -> Operand:
    """The convolution of what is spread out by the strides with the turned kernel."""
    x, weight = n.t(0), n.t(1)
    groups, rank = n.attr("group", 1), weight.ndim - 2
    kernel = [n.fixed(weight, 2 + d) for d in range(rank)]
    strides = list(n.attr("strides", [1] * rank))
    dilations = list(n.attr("dilations", [1] * rank))
    more = list(n.attr("output_padding", [0] * rank))
    pads = list(n.attr("pads", [0] * (2 * rank)))
    wanted = n.attr("output_shape")
    auto = n.attr("auto_pad", "NOTSET")
    counts = []
    for d in range(rank):
        extent = n.fixed(x, 2 + d)
        reach = (kernel[d] - 1) * dilations[d] + 1
        full = (extent - 1) * strides[d] + more[d] + reach
        out = wanted[d - rank] if wanted else None
        if out is None and auto in ("SAME_UPPER", "SAME_LOWER"):
            out = extent * strides[d]
        if out is not None:
            total = max(full - out, 0)
            pads[d] = total // 2 if auto == "SAME_UPPER" else total - total // 2
            pads[d + rank] = total - pads[d]
        counts.append(full - pads[d] - pads[d + rank] if out is None else out)
    w = Window(kernel, strides, dilations, pads[:rank], pads[rank:], counts)
    y = transposed(x, weight, w, groups)
    return y + column(n.t(2), rank) if n.has(2) else y


@operator("MaxPool")
def max_pool(n: Node) -> Operand | tuple[Operand, Operand]:
    """The greatest of each window, and where it is."""
    x = n.t(0)
    w = window_of(n, x, n.attr("kernel_shape"))
    rank = len(w.kernel)
    least = -math.inf
    if not x.dtype.startswith("float"):
        least = float(np.iinfo("int32").min if x.dtype == "int32" else 0)
    seen = windows(x, w, least)
    flat = seen.reshape((*seen.shape[: 2 + rank], -1))
    y = SG["max"](flat, axis=-1)
    if len(n.outputs) < 2:
        return y
    return y, _places(n, x, w, SG["argmax"](flat, axis=-1))


def _places(n: Node, x: Operand, w: Window, chosen: Operand) -> Operand:
    """Return the number in the whole tensor of the element that a window chose."""
    extents = [n.fixed(x, d) for d in range(x.ndim)]
    rank = len(w.kernel)
    order = list(range(rank))
    steps = [0] * rank
    step = 1
    for d in order if n.attr("storage_order", 0) else order[::-1]:
        steps[d], step = step, step * extents[2 + d]
    grid = np.zeros([*w.counts, *w.kernel], np.int64)
    for d in range(rank):
        shape = [1] * (2 * rank)
        shape[d] = w.counts[d]
        begin = (np.arange(w.counts[d]) * w.strides[d] - w.before[d]).reshape(shape)
        shape[d], shape[rank + d] = 1, w.kernel[d]
        grid += steps[d] * (
            begin + (np.arange(w.kernel[d]) * w.dilations[d]).reshape(shape)
        )
    table = constant(grid.reshape([*w.counts, -1]))
    table = SG["broadcast_to"](table, (*chosen.shape, table.shape[-1]))
    within = SG["take_along_axis"](table, SG["expand_dims"](chosen, axis=-1), axis=-1)
    image = np.arange(extents[0] * extents[1]).reshape(*extents[:2], *[1] * rank)
    return SG["squeeze"](within, axis=-1) + constant(image * step)


@operator("AveragePool", "LpPool")
def average_pool(n: Node) -> Operand:
    """The mean of each window, without or with the padding; or a norm of it."""
    x = n.t(0)
    w = window_of(n, x, n.attr("kernel_shape"))
    rank = len(w.kernel)
    axes = tuple(range(2 + rank, 2 + 2 * rank))
    if n.op == "LpPool":
        p = n.attr("p", 2)
        size = SG["abs"](windows(x, w, 0.0))
        if p == 1:
            return SG["sum"](size, axis=axes)
        return SG["pow"](SG["sum"](SG["pow"](size, float(p)), axis=axes), 1.0 / p)
    total = SG["sum"](windows(x, w, 0.0), axis=axes)
    counts = counted(x, w, bool(n.attr("count_include_pad", 0)))
    return total / constant(counts.astype(x.dtype))


@operator("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def global_pool(n: Node) -> Operand:
    """Over all places of each channel."""
    x = n.t(0)
    axes = tuple(range(2, x.ndim))
    if n.op == "GlobalAveragePool":
        return SG["mean"](x, axis=axes, keepdims=True)
    if n.op == "GlobalMaxPool":
        return SG["max"](x, axis=axes, keepdims=True)
    p = n.attr("p", 2)
    total = SG["sum"](SG["pow"](SG["abs"](x), float(p)), axis=axes, keepdims=True)
    return SG["pow"](total, 1.0 / p)


@operator("ConvInteger")
def integer_convolution(n: Node) -> Operand:
    """Integers less their zero points, in int32."""
    x, weight = n.t(0), n.t(1)
    x = x - n.t(2) if n.has(2) else x
    if n.has(3):
        weight = weight - (column(n.t(3), weight.ndim - 1) if n.t(3).ndim else n.t(3))
    kernel = [n.fixed(weight, 2 + d) for d in range(weight.ndim - 2)]
    w = window_of(n, x, kernel)
    y = convolved(x.astype("float64"), weight.astype("float64"), w, n.attr("group", 1))
    return y.astype("int32")


@operator("MaxUnpool")
def max_unpool(n: Node) -> Operand:
    """The elements at the places that a pool noted; 0 elsewhere."""
    x, places = n.t(0), n.t(1)
    rank = x.ndim - 2
    kernel = n.attr("kernel_shape")
    strides = n.attr("strides", [1] * rank)
    pads = n.attr("pads", [0] * (2 * rank))
    inner = [
        (n.fixed(x, 2 + d) - 1) * strides[d] + kernel[d] - pads[d] - pads[rank + d]
        for d in range(rank)
    ]
    outer = [n.fixed(x, 0), n.fixed(x, 1)]
    shape = [int(s) for s in n.numbers(2)] if n.has(2) else [*outer, *inner]
    if shape[:2] != outer:
        raise GraphError(f"{n}: an output shape with other channels")
    if n.has(2):
        places = _renumbered(places, [*outer, *inner], shape)
    total = math.prod(shape)
    here = SG["arange"](total).reshape((total, 1)) == places.reshape((1, -1))
    found = SG["where"](here, x.reshape((1, -1)), 0.0)
    return SG["sum"](found, axis=1).reshape(tuple(shape))


def _renumbered(places: Operand, old: Sequence[int], new: Sequence[int]) -> Operand:
    """Return numbers in one shape as numbers of the same places in another."""
    total, step = SG["zeros_like"](places), 1
    for a, b in zip(reversed(old), reversed(new), strict=True):
        total = total + (places % a) * step
        places, step = places // a, step * b
    return total


@operator("Col2Im")
def columns_to_image(n: Node) -> Operand:
    """The sum of the windows at their places."""
    x = n.t(0)
    image, block = ([int(s) for s in n.numbers(k)] for k in (1, 2))
    rank = len(image)
    strides = list(n.attr("strides", [1] * rank))
    dilations = list(n.attr("dilations", [1] * rank))
    pads = list(n.attr("pads", [0] * (2 * rank)))
    batch, channels = n.fixed(x, 0), n.fixed(x, 1) // math.prod(block)
    counts = [
        (image[d] + pads[d] + pads[rank + d] - dilations[d] * (block[d] - 1) - 1)
        // strides[d] + 1
        for d in range(rank)
    ]  # fmt: skip
    x = x.reshape((batch, channels, *block, *counts))
    places, inside, across = "uvwxyz"[:rank], "hijklm"[:rank], "pqrst"[:rank]
    marks = []
    for d in range(rank):
        at = np.arange(block[d])[:, None] * dilations[d]
        at = at + np.arange(counts[d]) * strides[d] - pads[d]
        mark = at == np.arange(image[d])[:, None, None]
        marks.append(constant(mark.astype(x.dtype)))
    terms = ",".join(f"{across[d]}{inside[d]}{places[d]}" for d in range(rank))
    text = f"nc{inside}{places},{terms}->nc{across}"
    return SG["einsum"](text, x, *marks)

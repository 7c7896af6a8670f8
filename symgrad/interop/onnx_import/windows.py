"""Convolutions and pools: every window of a tensor, and what is made of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from symgrad.declare.build import movement
from symgrad.declare.comprehension import affine, along
from symgrad.declare.ops import FUNCTIONS as SG
from symgrad.declare.tensor import constant
from symgrad.errors import GraphError
from symgrad.interop.onnx_import.nodes import Node, operator
from symgrad.interop.onnx_import.values import Operand


@dataclass(frozen=True)
class Window:
    """The kernel of a convolution or pool, and how it is moved."""

    kernel: list[int]
    strides: list[int]
    dilations: list[int]
    before: list[int]
    after: list[int]
    counts: list[int]  # windows along each axis


def window_of(n: Node, x: Operand, kernel: Sequence[int]) -> Window:
    """Return the window that a node's attributes say, for what it slides over."""
    rank = len(kernel)
    strides = list(n.attr("strides", [1] * rank))
    dilations = list(n.attr("dilations", [1] * rank))
    pads = list(n.attr("pads", [0] * (2 * rank)))
    before, after = pads[:rank], pads[rank:]
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
        free = extent + before[d] + after[d] - reach
        count = free // strides[d] + 1
        if n.attr("ceil_mode", 0):
            count = -(-free // strides[d]) + 1
            if (count - 1) * strides[d] >= extent + before[d]:
                count -= 1  # a window has to begin before the end
        counts.append(count)
    return Window(list(kernel), strides, dilations, before, after, counts)


def windows(x: Operand, w: Window, value: float) -> Operand:
    """Return ``y[n, c, windows…, kernel…]`` of ``x[n, c, places…]``."""
    rank = len(w.kernel)
    pads = [(0, 0), (0, 0)]
    for d in range(rank):
        reach = (w.kernel[d] - 1) * w.dilations[d] + 1
        needed = (w.counts[d] - 1) * w.strides[d] + reach
        extent = x.shape[2 + d]
        assert isinstance(extent, int)
        pads.append((w.before[d], max(needed - extent - w.before[d], 0)))
    if any(a or b for a, b in pads):
        x = SG["pad"](x, pads, constant_values=value)
    shape = (*x.shape[:2], *w.counts, *w.kernel)
    index = [along(0), along(1)]
    index += [
        affine([(2 + d, w.strides[d]), (2 + rank + d, w.dilations[d])])
        for d in range(rank)
    ]
    return movement("windows", x, shape, index)


@operator("Conv")
def convolution(n: Node) -> Operand:
    """In groups of channels, with a bias."""
    x, weight = n.t(0), n.t(1)
    kernel = [n.fixed(weight, 2 + d) for d in range(weight.ndim - 2)]
    y = convolved(x, weight, window_of(n, x, kernel), n.attr("group", 1))
    return y + _column(n.t(2), len(kernel)) if n.has(2) else y


def _column(bias: Operand, rank: int) -> Operand:
    return bias.reshape((-1, *[1] * rank))


def convolved(x: Operand, weight: Operand, w: Window, groups: int) -> Operand:
    """Return the convolution of ``[n, c, …]`` with ``[m, c/groups, …]``."""
    rank = len(w.kernel)
    if groups == 1 and rank <= 3:
        pads = [(0, 0), (0, 0), *zip(w.before, w.after, strict=True)]
        if any(a or b for a, b in pads):
            x = SG["pad"](x, pads)
        return SG[f"conv{rank}d"](x, weight, stride=w.strides, dilation=w.dilations)
    seen = windows(x, w, 0.0)
    batch, channels = x.shape[:2]
    makers = weight.shape[0]
    seen = seen.reshape((batch, groups, channels // groups, *seen.shape[2:]))
    weight = weight.reshape((groups, makers // groups, *weight.shape[1:]))
    places, inside = "uvwxyz"[:rank], "hijklm"[:rank]
    text = f"ngc{places}{inside},goc{inside}->ngo{places}"
    return SG["einsum"](text, seen, weight).reshape((batch, makers, *w.counts))


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
    extents = [n.fixed(x, 2 + d) for d in range(rank)]
    reach = [(k - 1) * s + 1 for k, s in zip(kernel, dilations, strict=True)]
    wanted = n.attr("output_shape")
    auto = n.attr("auto_pad", "NOTSET")
    for d in range(rank):
        full = (extents[d] - 1) * strides[d] + more[d] + reach[d]
        out = wanted[d - rank] if wanted else None
        if out is None and auto in ("SAME_UPPER", "SAME_LOWER"):
            out = extents[d] * strides[d]
        if out is not None:
            total = max(full - out, 0)
            low = total // 2 if auto == "SAME_UPPER" else total - total // 2
            pads[d], pads[d + rank] = low, total - low
            more[d] += max(out - full, 0)
    spread = _spread(x, strides)
    before = [r - 1 - p for r, p in zip(reach, pads[:rank], strict=True)]
    after = [r - 1 - p + m for r, p, m in zip(reach, pads[rank:], more, strict=True)]
    turned = SG["flip"](weight, axis=tuple(range(2, 2 + rank)))
    channels, part = weight.shape[:2]
    turned = turned.reshape((groups, channels // groups, part, *kernel))
    turned = SG["swapaxes"](turned, 1, 2)
    turned = turned.reshape((groups * part, channels // groups, *kernel))
    spread = _cut_or_padded(spread, before, after)
    counts = [n.fixed(spread, 2 + d) - reach[d] + 1 for d in range(rank)]
    none = [0] * rank
    w = Window(kernel, [1] * rank, dilations, none, none, counts)
    y = convolved(spread, turned, w, groups)
    return y + _column(n.t(2), rank) if n.has(2) else y


def _spread(x: Operand, strides: Sequence[int]) -> Operand:
    """Return ``x`` with zeros between its elements."""
    for d, s in enumerate(strides, start=2):
        if s > 1:
            wide = SG["expand_dims"](x, axis=d + 1)
            pads = [(0, 0)] * wide.ndim
            pads[d + 1] = (0, s - 1)
            wide = SG["pad"](wide, pads)
            shape = (*x.shape[:d], x.shape[d] * s, *x.shape[d + 1 :])
            where = [slice(None)] * x.ndim
            where[d] = slice(0, (x.shape[d] - 1) * s + 1)
            x = wide.reshape(shape)[tuple(where)]
    return x


def _cut_or_padded(x: Operand, before: Sequence[int], after: Sequence[int]) -> Operand:
    where = [slice(None), slice(None)]
    pads = [(0, 0), (0, 0)]
    for a, b in zip(before, after, strict=True):
        where.append(slice(max(-a, 0), -max(-b, 0) or None))
        pads.append((max(a, 0), max(b, 0)))
    return SG["pad"](x[tuple(where)], pads)


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
    return total / constant(_counted(n, x, w).astype(x.dtype))


def _counted(n: Node, x: Operand, w: Window) -> np.ndarray:
    """Return how many elements each window has that count."""
    found = np.ones([1] * len(w.kernel))
    for d, kernel in enumerate(w.kernel):
        start = np.arange(w.counts[d])[:, None] * w.strides[d] - w.before[d]
        place = start + np.arange(kernel) * w.dilations[d]
        low, high = 0, n.fixed(x, 2 + d)
        if n.attr("count_include_pad", 0):
            low, high = -w.before[d], high + w.after[d]
        along_axis = ((place >= low) & (place < high)).sum(axis=1)
        shape = [1] * len(w.kernel)
        shape[d] = -1
        found = found * along_axis.reshape(shape)
    return found


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
        weight = weight - (_column(n.t(3), weight.ndim - 1) if n.t(3).ndim else n.t(3))
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

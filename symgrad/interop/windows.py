"""Windows that slide over a tensor as formats of models describe them, and their users.

Padding may differ between the two ends of an axis, windows may be dilated, the last one
may hang over the end, and channels may come in groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symgrad.declare.build import movement
from symgrad.declare.comprehension import affine, along
from symgrad.declare.ops import FUNCTIONS as SG

#: A ``Tensor``, whose operators checkers of types do not see.
Operand = Any


@dataclass(frozen=True)
class Window:
    """The kernel of a convolution or pool, and how it is moved."""

    kernel: Sequence[int]
    strides: Sequence[int]
    dilations: Sequence[int]
    before: Sequence[int]
    after: Sequence[int]
    counts: Sequence[int]  # windows along each axis


def fitting(extent: int, reach: int, stride: int, pads: Sequence[int], up: bool) -> int:
    """Return how many windows fit; with ``up``, the last may hang over the end."""
    free = extent + sum(pads) - reach
    if not up:
        return free // stride + 1
    count = -(-free // stride) + 1
    begins = (count - 1) * stride < extent + pads[0]
    return count if begins else count - 1  # a window has to begin before the end


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


def transposed(x: Operand, weight: Operand, w: Window, groups: int) -> Operand:
    """Return the transpose of the convolution that ``w`` describes, applied to ``x``.

    It is the convolution of ``x``, spread out by the strides, with the turned kernel.
    ``weight`` is ``[c, m/groups, …]``; ``w.counts`` are the extents of the result.
    """
    rank = len(w.kernel)
    spread = _spread(x, w.strides)
    reach = [(k - 1) * s + 1 for k, s in zip(w.kernel, w.dilations, strict=True)]
    before = [r - 1 - p for r, p in zip(reach, w.before, strict=True)]
    after = [
        count + reach[d] - 1 - before[d] - spread.shape[2 + d]
        for d, count in enumerate(w.counts)
    ]
    turned = SG["flip"](weight, axis=tuple(range(2, 2 + rank)))
    channels, part = weight.shape[:2]
    turned = turned.reshape((groups, channels // groups, part, *w.kernel))
    turned = SG["swapaxes"](turned, 1, 2)
    turned = turned.reshape((groups * part, channels // groups, *w.kernel))
    none = [0] * rank
    flat = Window(w.kernel, [1] * rank, w.dilations, none, none, w.counts)
    return convolved(_cut_or_padded(spread, before, after), turned, flat, groups)


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


def counted(x: Operand, w: Window, padding: bool) -> np.ndarray:
    """Return how many elements each window has, with or without the padding."""
    found = np.ones([1] * len(w.kernel))
    for d, kernel in enumerate(w.kernel):
        start = np.arange(w.counts[d])[:, None] * w.strides[d] - w.before[d]
        place = start + np.arange(kernel) * w.dilations[d]
        low, high = 0, x.shape[2 + d]
        if padding:
            low, high = -w.before[d], high + w.after[d]
        along_axis = ((place >= low) & (place < high)).sum(axis=1)
        shape = [1] * len(w.kernel)
        shape[d] = -1
        found = found * along_axis.reshape(shape)
    return found


def column(bias: Operand, rank: int) -> Operand:
    """Return one number for each channel as it is added to ``[n, c, places…]``."""
    return bias.reshape((-1, *[1] * rank))

"""Convolutions, pools, and resampling of images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from symgrad.declare.ops import FUNCTIONS as SG
from symgrad.declare.tensor import constant
from symgrad.errors import GraphError
from symgrad.interop.resampling import interpolation, resampled, selection
from symgrad.interop.torch_import.table import (
    OPERATORS,
    Operand,
    fixed,
    operator,
    times,
)
from symgrad.interop.windows import (
    Window,
    column,
    convolved,
    counted,
    fitting,
    transposed,
    windows,
)

Ints = Sequence[int] | int


def batched(function: Callable[..., Any], rank: int) -> Callable[..., Any]:
    """Return a function of ``[n, c, places…]`` as one of ``[c, places…]`` too."""

    def declare(x: Operand, *args: Any, **options: Any) -> Any:
        if x.ndim == rank + 2:
            return function(rank, x, *args, **options)
        y = function(rank, SG["expand_dims"](x, axis=0), *args, **options)
        return SG["squeeze"](y, axis=0)

    return declare


def _window(
    x: Operand, kernel: Ints, stride: Ints, pads: Ints, dilation: Ints, up: bool = False
) -> Window:
    """Return the windows over the places of ``[n, c, places…]``."""
    rank = x.ndim - 2
    kernel, stride, pads, dilation = (
        times(t, rank) for t in (kernel, stride or kernel, pads, dilation)
    )
    counts = [
        fitting(
            fixed(x, 2 + d), (k - 1) * dilation[d] + 1, stride[d], [pads[d]] * 2, up
        )
        for d, k in enumerate(kernel)
    ]
    return Window(kernel, stride, dilation, pads, pads, counts)


# -- convolutions ----------------------------------------------------------------------


def _conv(
    rank: int,
    x: Operand,
    weight: Operand,
    bias: Operand | None = None,
    stride: Ints = 1,
    padding: Any = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Operand:
    kernel = [fixed(weight, 2 + d) for d in range(rank)]
    if padding == "same":
        steps = times(dilation, rank)
        total = [(k - 1) * s for k, s in zip(kernel, steps, strict=True)]
        before = [t // 2 for t in total]
        after = [t - b for t, b in zip(total, before, strict=True)]
        pads = [(0, 0), (0, 0), *zip(before, after, strict=True)]
        x, padding = SG["pad"](x, pads), 0
    padding = 0 if padding == "valid" else padding
    w = _window(x, kernel, stride, padding, dilation)
    y = convolved(x, weight, w, groups)
    return y if bias is None else y + column(bias, rank)


def _conv_transpose(
    rank: int,
    x: Operand,
    weight: Operand,
    bias: Operand | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Operand:
    stride, padding, more, dilation = (
        times(t, rank) for t in (stride, padding, output_padding, dilation)
    )
    kernel = [fixed(weight, 2 + d) for d in range(rank)]
    counts = [
        (fixed(x, 2 + d) - 1) * stride[d]
        + (kernel[d] - 1) * dilation[d]
        + 1
        + more[d]
        - 2 * padding[d]
        for d in range(rank)
    ]
    w = Window(kernel, stride, dilation, padding, padding, counts)
    y = transposed(x, weight, w, groups)
    return y if bias is None else y + column(bias, rank)


@operator("convolution")
def convolution(
    x: Operand,
    weight: Operand,
    bias: Any,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    transposed_: bool,
    output_padding: Ints,
    groups: int,
) -> Operand:
    """Of any rank, or its transpose."""
    rank = weight.ndim - 2
    if transposed_:
        return batched(_conv_transpose, rank)(
            x, weight, bias, stride, padding, output_padding, groups, dilation
        )
    return batched(_conv, rank)(x, weight, bias, stride, padding, dilation, groups)


# -- pools -----------------------------------------------------------------------------


def _max_pool(
    rank: int,
    x: Operand,
    kernel: Ints,
    stride: Ints = (),
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
) -> Operand:
    w = _window(x, kernel, stride, padding, dilation, ceil_mode)
    if not ceil_mode and set(w.dilations) == {1} and rank <= 3:
        return SG["max_pool"](x, w.kernel, w.strides, list(w.before))
    axes = tuple(range(2 + rank, 2 + 2 * rank))
    return SG["max"](windows(x, w, -math.inf), axis=axes)


def _avg_pool(
    rank: int,
    x: Operand,
    kernel: Ints,
    stride: Ints = (),
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Operand:
    w = _window(x, kernel, stride, padding, 1, ceil_mode)
    axes = tuple(range(2 + rank, 2 + 2 * rank))
    total = SG["sum"](windows(x, w, 0.0), axis=axes)
    if divisor_override:
        return total / divisor_override
    return total / constant(counted(x, w, count_include_pad).astype(x.dtype))


def _adaptive(name: str) -> Callable[..., Operand]:
    function = SG[name]

    def declare(rank: int, x: Operand, sizes: Ints) -> Operand:
        listed = times(sizes, rank)
        if listed == [1] * rank:
            return function(x, axis=tuple(range(2, 2 + rank)), keepdims=True)
        for d, out in enumerate(listed, start=2):
            extent = fixed(x, d)
            bounds = [
                (k * extent // out, -(-(k + 1) * extent // out)) for k in range(out)
            ]
            where = [slice(None)] * x.ndim
            parts = []
            for start, stop in bounds:
                where[d] = slice(start, stop)
                parts.append(function(x[tuple(where)], axis=d, keepdims=True))
            x = SG["concat"](parts, axis=d)
        return x

    return declare


def _with_places(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **options: (function(*args, **options), None)


for _rank in (1, 2, 3):
    OPERATORS[f"conv{_rank}d"] = batched(_conv, _rank)
    OPERATORS[f"conv_transpose{_rank}d"] = batched(_conv_transpose, _rank)
    OPERATORS[f"max_pool{_rank}d"] = batched(_max_pool, _rank)
    OPERATORS[f"avg_pool{_rank}d"] = batched(_avg_pool, _rank)
    _mean, _max = (batched(_adaptive(f), _rank) for f in ("mean", "max"))
    OPERATORS[f"adaptive_avg_pool{_rank}d"] = _mean
    OPERATORS[f"_adaptive_avg_pool{_rank}d"] = _mean
    OPERATORS[f"adaptive_max_pool{_rank}d"] = _with_places(_max)


@operator("im2col")
def image_to_columns(
    x: Operand, kernel: Ints, dilation: Ints, padding: Ints, stride: Ints
) -> Operand:
    """Each window as a column."""
    seen = windows(x, _window(x, kernel, stride, padding, dilation), 0.0)
    moved = SG["permute_dims"](seen, (0, 1, 4, 5, 2, 3))
    rows = fixed(seen, 1) * fixed(seen, 4) * fixed(seen, 5)
    return SG["reshape"](moved, (x.shape[0], rows, fixed(seen, 2) * fixed(seen, 3)))


@operator("col2im")
def columns_to_image(
    x: Operand, size: Ints, kernel: Ints, dilation: Ints, padding: Ints, stride: Ints
) -> Operand:
    """The sum of windows at their places: a transposed convolution with ones."""
    kernel, extents = times(kernel, 2), times(size, 2)
    batch, area = x.shape[0], kernel[0] * kernel[1]
    channels = fixed(x, 1) // area
    probe = SG["zeros"]((1, 1, *extents))
    w = _window(probe, kernel, stride, padding, dilation)
    images = SG["reshape"](x, (batch, channels * area, *w.counts))
    delta = np.eye(area, dtype=x.dtype).reshape((1, area, 1, *kernel))
    weight = np.tile(delta, (channels, 1, 1, 1, 1)).reshape((-1, 1, *kernel))
    back = Window(w.kernel, w.strides, w.dilations, w.before, w.after, extents)
    return transposed(images, constant(weight), back, channels)


# -- resampling ------------------------------------------------------------------------


def _sizes(x: Operand, size: Any, scales: Any) -> list[tuple[int, float]]:
    """Return each axis's new extent, and by what an operand's place is found."""
    found = []
    for d in range(x.ndim - 2):
        extent = fixed(x, 2 + d)
        if size is not None:
            found.append((int(size[d]), extent / size[d]))
        else:
            found.append((int(extent * scales[d]), 1 / scales[d]))
    return found


def _nearest(exact: bool) -> Callable[..., Operand]:
    def declare(x: Operand, size: Any = None, scales: Any = None, *_: Any) -> Operand:
        for axis, (out, step) in enumerate(_sizes(x, size, scales), start=2):
            places = np.floor((np.arange(out) + (0.5 if exact else 0)) * step)
            x = resampled(x, axis, selection(places, fixed(x, axis)))
        return x

    return declare


def _interpolated(cubic: float | None) -> Callable[..., Operand]:
    def declare(
        x: Operand, size: Any, align_corners: bool, scales: Any = None
    ) -> Operand:
        for axis, (out, step) in enumerate(_sizes(x, size, scales), start=2):
            extent = fixed(x, axis)
            if align_corners:
                at = np.arange(out) * ((extent - 1) / max(out - 1, 1))
            else:
                at = (np.arange(out) + 0.5) * step - 0.5
            matrix = interpolation(at, extent, cubic=cubic)
            x = resampled(x, axis, matrix)
        return x

    return declare


for _rank in (1, 2, 3):
    OPERATORS[f"upsample_nearest{_rank}d.vec"] = _nearest(False)
    OPERATORS[f"_upsample_nearest_exact{_rank}d.vec"] = _nearest(True)
for _name in ("linear1d", "bilinear2d", "trilinear3d"):
    OPERATORS[f"upsample_{_name}.vec"] = _interpolated(None)
OPERATORS["upsample_bicubic2d.vec"] = _interpolated(-0.75)


@operator("grid_sampler")
def grid_sampler(*_: Any) -> Operand:
    """Samples at places that are computed."""
    raise GraphError("it is not supported; sample by indices and weights")

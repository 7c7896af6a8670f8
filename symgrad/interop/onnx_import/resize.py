"""Resizing as one small matrix for each axis, known at import."""

from __future__ import annotations

from typing import Any

import numpy as np

from symgrad.declare.ops import FUNCTIONS as SG
from symgrad.declare.tensor import constant
from symgrad.errors import GraphError
from symgrad.interop.onnx_import.nodes import Node, operator
from symgrad.interop.onnx_import.values import Operand
from symgrad.interop.resampling import interpolation, resampled, selection


@operator("Upsample")
def upsample(n: Node) -> Operand:
    """Before version 10: by scales, asymmetric."""
    x = n.t(0)
    scales: Any = n.given("scales", 1) or []
    mode = n.attr("mode", "nearest")
    for axis, scale in enumerate(scales):
        extent = n.fixed(x, axis)
        out = int(np.floor(extent * scale))
        at = np.arange(out) / scale
        x = resampled(x, axis, _weights(mode, at, extent, scale, n))
    return x


@operator("Resize")
def resize(n: Node) -> Operand:
    """Nearest, linear or cubic, with all ways of mapping coordinates."""
    x = n.t(0)
    later = n.version >= 11
    scales = n.numbers(2 if later else 1) if n.has(2 if later else 1) else []
    sizes = n.numbers(3) if n.has(3) else []
    axes = [a % x.ndim for a in n.attr("axes", range(x.ndim))]
    scales, sizes = _fitted(n, x, axes, scales, sizes)
    kind = n.attr("coordinate_transformation_mode", "half_pixel")
    if not later:
        kind = "asymmetric"
    regions = _regions(n, len(axes))
    for k, axis in enumerate(axes):
        extent, out, scale = n.fixed(x, axis), int(sizes[k]), float(scales[k])
        if out == extent and scale == 1 and kind != "tf_crop_and_resize":
            continue
        at = _coordinates(kind, out, extent, scale, regions[k])
        matrix = _weights(n.attr("mode", "nearest"), at, extent, scale, n)
        x = resampled(x, axis, matrix)
        if kind == "tf_crop_and_resize":
            outside = (at < 0) | (at > extent - 1)
            shape = [1] * x.ndim
            shape[axis] = out
            mask = constant(outside.reshape(shape))
            x = SG["where"](mask, n.attr("extrapolation_value", 0.0), x)
    return x


def _fitted(
    n: Node, x: Operand, axes: list[int], scales: list[float], sizes: list[int]
) -> tuple[list[float], list[int]]:
    """Return scales and sizes, each from the other, by the aspect ratio's policy."""
    extents = [n.fixed(x, a) for a in axes]
    if not sizes:
        return scales, [
            int(np.floor(e * s)) for e, s in zip(extents, scales, strict=True)
        ]
    scales = [s / e for s, e in zip(sizes, extents, strict=True)]
    policy = n.attr("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        scale = min(scales) if policy == "not_larger" else max(scales)
        scales = [scale] * len(scales)
        sizes = [int(np.floor(scale * e + 0.5)) for e in extents]
    return scales, sizes


def _regions(n: Node, count: int) -> list[tuple[float, float]]:
    if not n.has(1) or n.version < 11:
        return [(0.0, 1.0)] * count
    region = n.numbers(1)
    if not region:
        return [(0.0, 1.0)] * count
    return list(zip(region[:count], region[count:], strict=True))


def _coordinates(
    kind: str, out: int, extent: int, scale: float, region: tuple[float, float]
) -> np.ndarray:
    """Return the place in the operand for each place in the result."""
    y = np.arange(out, dtype=np.float64)
    size = scale * extent  # before rounding
    match kind:
        case "asymmetric":
            return y / scale
        case "align_corners":
            return y * (extent - 1) / (size - 1) if size > 1 else y * 0
        case "half_pixel":
            return (y + 0.5) / scale - 0.5
        case "half_pixel_symmetric":
            adjusted = out / size
            centre = extent / 2
            return centre * (1 - adjusted) + (y + 0.5) / scale - 0.5
        case "pytorch_half_pixel":
            return (y + 0.5) / scale - 0.5 if size > 1 else y * 0
        case "tf_half_pixel_for_nn":
            return (y + 0.5) / scale
        case "tf_crop_and_resize":
            low, high = region
            if out > 1:
                return low * (extent - 1) + y * (high - low) * (extent - 1) / (out - 1)
            return y * 0 + 0.5 * (low + high) * (extent - 1)
    raise GraphError(f"Resize: {kind} is no way of mapping coordinates")


def _weights(
    mode: str, at: np.ndarray, extent: int, scale: float, n: Node
) -> np.ndarray:
    """Return the matrix by which each place in the result is made."""
    if mode == "nearest":
        return _nearest(at, extent, n.attr("nearest_mode", "round_prefer_floor"), n)
    if mode not in ("linear", "bilinear", "cubic"):
        raise GraphError(f"{n}: there is no mode {mode!r}")
    return interpolation(
        at,
        extent,
        cubic=n.attr("cubic_coeff_a", -0.75) if mode == "cubic" else None,
        stretch=min(scale, 1.0) if n.attr("antialias", 0) else 1.0,
        inside=bool(n.attr("exclude_outside", 0)),
    )


def _nearest(at: np.ndarray, extent: int, kind: str, n: Node) -> np.ndarray:
    at = at if n.version >= 11 and n.op == "Resize" else np.floor(at)
    match kind:
        case "floor":
            place = np.floor(at)
        case "ceil":
            place = np.ceil(at)
        case "round_prefer_ceil":
            place = np.floor(at + 0.5)
        case _:
            place = np.ceil(at - 0.5)
    return selection(place, extent)

"""Convolution layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from symgrad.declare.ops.contract import conv2d as convolve
from symgrad.declare.tensor import param
from symgrad.errors import ShapeError
from symgrad.nn.dense import Node, floats
from symgrad.nn.naming import check_count, layer, width


def conv2d(
    x: Any,
    features: int,
    window: int | Sequence[int] = 3,
    *,
    stride: int | Sequence[int] = 1,
    padding: Any = 0,
    dilation: int | Sequence[int] = 1,
    bias: bool = True,
    init: Any = "he_normal",
    name: str | None = None,
) -> Node:
    """Return the correlation of images with learned windows, plus an offset.

    Args:
        x: floats ``[n, channels, height, width]``; all but the channels may be named.
        features: how many channels the result has.
        window: the extent of the window, one number or two.
        stride: how far the window moves.
        padding: zeros on every side, ``"same"`` or ``"valid"``.
        dilation: the distance between the values that a window reads.
        bias: False leaves out the offset ``b`` ``[features]``.
        init: initial values of ``W`` ``[features, channels, *window]``.
        name: the scope of the parameters.

    Raises:
        ShapeError: ``x`` has not four dimensions, or its channels are named.

    >>> import symgrad as sg
    >>> x = sg.input("x", ("n", 3, 8, 8))
    >>> sg.nn.conv2d(x, 16, padding="same").shape
    (n, 16, 8, 8)
    """
    x = floats("conv2d", x)
    if x.ndim != 4:
        raise ShapeError(
            f"conv2d: images have the dimensions [n, channels, height, width], not "
            f"{x.describe()}"
        )
    sizes = [window, window] if isinstance(window, int) else list(window)
    if len(sizes) != 2:
        raise ShapeError(f"conv2d: window is one integer or two, not {window!r}")
    for size in (*sizes, features):
        check_count("conv2d: each of window and features", size)
    channels = width("conv2d", x, 1)
    with layer("conv2d", name, x):
        W = param("W", (features, channels, *sizes), init, dtype=x.dtype)
        y: Node = convolve(x, W, stride, padding, dilation)
        if not bias:
            return y
        b: Node = param("b", (features,), "zeros", dtype=x.dtype)
        return y + b[:, None, None]

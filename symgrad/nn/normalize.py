"""Normalisation: values with mean 0 and variance 1, then scaled by what is learned."""

from __future__ import annotations

from typing import Any

from symgrad.declare.ops import FUNCTIONS
from symgrad.declare.ops.reduce import mean
from symgrad.declare.tensor import param
from symgrad.nn.dense import Node, floats
from symgrad.nn.naming import layer, width

sqrt = FUNCTIONS["sqrt"]


def layer_norm(
    x: Any,
    *,
    eps: float = 1e-5,
    scale: bool = True,
    bias: bool = True,
    name: str | None = None,
) -> Node:
    """Return ``(x - mean)/sqrt(variance + eps)·γ + β`` along the last dimension.

    Ba, Kiros & Hinton (2016), "Layer normalization".

    Args:
        x: floats ``[…, width]``.
        eps: what keeps a constant row finite.
        scale: False leaves out γ, called ``scale`` ``[width]``.
        bias: False leaves out β, called ``bias`` ``[width]``.
        name: the scope of the parameters.
    """
    x = floats("layer_norm", x)
    size = width("layer_norm", x) if scale or bias else 1
    with layer("layer_norm", name, x):
        centred: Node = x - mean(x, axis=-1, keepdims=True)
        variance: Node = mean(centred * centred, axis=-1, keepdims=True)
        y = centred / sqrt(variance + eps)
        if scale:
            y = y * param("scale", (size,), "ones", dtype=x.dtype)
        return y + param("bias", (size,), "zeros", dtype=x.dtype) if bias else y


def rms_norm(
    x: Any, *, eps: float = 1e-6, scale: bool = True, name: str | None = None
) -> Node:
    """Return ``x/sqrt(mean(x²) + eps)·γ`` along the last dimension.

    Zhang & Sennrich (2019), "Root mean square layer normalization".

    Args:
        x: floats ``[…, width]``.
        eps: what keeps a row of zeros finite.
        scale: False leaves out γ, called ``scale`` ``[width]``.
        name: the scope of the parameter.
    """
    x = floats("rms_norm", x)
    size = width("rms_norm", x) if scale else 1
    with layer("rms_norm", name, x):
        squares: Node = mean(x * x, axis=-1, keepdims=True)
        y: Node = x / sqrt(squares + eps)
        return y * param("scale", (size,), "ones", dtype=x.dtype) if scale else y

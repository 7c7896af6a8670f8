"""Attention and the transformer's block."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from symgrad.declare.build import iota
from symgrad.declare.ops import FUNCTIONS
from symgrad.declare.ops.contract import matmul
from symgrad.declare.ops.elementwise import where
from symgrad.declare.ops.reduce import softmax
from symgrad.declare.ops.shape import permute_dims, reshape
from symgrad.declare.tensor import Tensor, as_tensor, print_shape, scope, size_of
from symgrad.errors import DTypeError, GraphError, ShapeError
from symgrad.nn.dense import Activation, Node, activation_of, floats, linear, residual
from symgrad.nn.modal import dropout as drop
from symgrad.nn.naming import check_count, layer, width
from symgrad.nn.normalize import layer_norm, rms_norm

exp, isfinite, maximal, stop_gradient, total = (
    FUNCTIONS[n] for n in ("exp", "isfinite", "max", "stop_gradient", "sum")
)
NORMS: dict[str, Callable[..., Node]] = {"layer": layer_norm, "rms": rms_norm}


def attention(
    q: Any,
    k: Any,
    v: Any,
    *,
    causal: bool = False,
    mask: Any = None,
    padding: Any = None,
    scale: float | None = None,
) -> Node:
    """Return ``softmax(q kᵀ·scale) v``: for each query, a mean of values.

    Vaswani et al. (2017), "Attention is all you need".  A query that may look at no
    key gets 0, and gives its operands a gradient of 0.

    Args:
        q: queries ``[…, queries, dim]``.
        k: keys ``[…, keys, dim]``.
        v: values ``[…, keys, width]``.
        causal: no query looks at later keys; the last query belongs to the last key.
        mask: bool, broadcast to ``[…, queries, keys]``: True where a query may look.
        padding: bool ``[batch, keys]``, the first dimension being that of ``q``: False
            at keys that only fill up the sequence.
        scale: by default ``1/√dim``.

    Returns:
        ``[…, queries, width]``.

    Raises:
        ShapeError: the operands do not fit each other.
        DTypeError: a mask is not bool.
    """
    q, k, v = (floats("attention", t) for t in (q, k, v))
    factor = 1 / math.sqrt(width("attention", q)) if scale is None else scale
    _check_operands(q, k, v)
    products: Node = matmul(q, k.mT)
    scores = products * factor
    allowed = _allowed(scores, q, causal, mask, padding)
    if allowed is None:
        return matmul(softmax(scores), v)
    scores = where(allowed, scores, -math.inf)
    if mask is None and padding is None and q.shape[-2] == k.shape[-2]:
        return matmul(softmax(scores), v)  # each query may look at its own key
    return matmul(_softmax_or_zero(scores), v)


def _check_operands(q: Tensor, k: Tensor, v: Tensor) -> None:
    if min(q.ndim, k.ndim, v.ndim) < 2:
        raise ShapeError(
            "attention: queries, keys and values have the dimensions [sequence, dim] "
            f"at least: {q.describe()}, {k.describe()}, {v.describe()}"
        )
    if q.shape[-1] != k.shape[-1]:
        raise ShapeError(
            f"attention: the queries {q.describe()} and the keys {k.describe()} differ "
            "in their last dimension, along which they are multiplied"
        )
    if k.shape[-2] != v.shape[-2]:
        raise ShapeError(
            f"attention: there is one value for each key, but the keys are "
            f"{k.describe()} and the values {v.describe()}"
        )


def _allowed(
    scores: Tensor, q: Tensor, causal: bool, mask: Any, padding: Any
) -> Node | None:
    """Return where a query may look at a key; None for everywhere."""
    parts: list[Node] = []
    if causal:
        grid = scores.shape[-2:]
        rows: Node = iota(0, grid)
        late = size_of(grid[1], "int64") - size_of(grid[0], "int64")  # type: ignore[operator]
        last = rows if grid[0] == grid[1] else rows + late
        parts.append(iota(1, grid) <= last)
    if mask is not None:
        parts.append(_bool("mask", mask))
    if padding is not None:
        real = _bool("padding", padding)
        if real.shape != (q.shape[0], scores.shape[-1]):
            raise ShapeError(
                f"attention: padding is [batch, keys], here "
                f"{print_shape((q.shape[0], scores.shape[-1]))}, not {real.describe()}"
            )
        parts.append(real[(slice(None), *(None,) * (scores.ndim - 2))])
    if not parts:
        return None
    allowed = parts[0]
    for part in parts[1:]:
        allowed = allowed & part
    wanted = scores.shape[scores.ndim - allowed.ndim :]
    fits = allowed.ndim <= scores.ndim and all(
        a in (1, s) for a, s in zip(allowed.shape, wanted, strict=True)
    )
    if not fits:
        raise ShapeError(
            f"attention: the mask {print_shape(allowed.shape)} does not broadcast to "
            f"the scores' shape {print_shape(scores.shape)}"
        )
    return allowed


def _bool(what: str, value: Any) -> Tensor:
    t = as_tensor(value)
    if t.dtype != "bool":
        raise DTypeError(
            f"attention: {what} is bool, True where a query may look, not "
            f"{t.describe()}"
        )
    return t


def _softmax_or_zero(scores: Node) -> Node:
    """Return the softmax of the last dimension; of a row of -∞, zeros."""
    top = stop_gradient(maximal(scores, axis=-1, keepdims=True))
    e = exp(scores - where(isfinite(top), top, 0.0))
    sums = total(e, axis=-1, keepdims=True)
    return e / where(sums > 0, sums, 1.0)


def multi_head_attention(
    x: Any,
    heads: int,
    *,
    context: Any = None,
    causal: bool = False,
    mask: Any = None,
    padding: Any = None,
    bias: bool = True,
    init: Any = "glorot_uniform",
    name: str | None = None,
) -> Node:
    """Return attention in several subspaces at once, joined by a linear map.

    Args:
        x: floats ``[batch, sequence, width]``; batch and sequence may be named.
        heads: how many subspaces; it divides the width.
        context: what keys and values are made of, ``[batch, keys, …]``; by default
            ``x`` (self-attention).
        causal: no position looks at later ones.
        mask: bool, broadcast to ``[batch, heads, sequence, keys]``.
        padding: bool ``[batch, keys]``: False where the sequence is only filled up.
        bias: False leaves out the offsets.
        init: initial values of the four matrices.
        name: the scope; ``query``, ``key``, ``value`` and ``out`` are scopes in it.

    Raises:
        ShapeError: the dimensions do not fit, or ``heads`` does not divide the width.
    """
    x = floats("multi_head_attention", x)
    other = x if context is None else floats("multi_head_attention", context)
    if x.ndim != 3 or other.ndim != 3:
        wrong = x if x.ndim != 3 else other
        raise ShapeError(
            "multi_head_attention: sequences have the dimensions [batch, sequence, "
            f"width], not {wrong.describe()}"
        )
    size = width("multi_head_attention", x)
    check_count("multi_head_attention: heads", heads)
    if size % heads:
        raise ShapeError(
            f"multi_head_attention: {heads} heads do not divide the width {size} of "
            f"{x.describe()}"
        )

    def project(t: Tensor, part: str) -> Node:
        y = linear(t, size, bias=bias, init=init, name=part)
        split = reshape(y, (*y.shape[:2], heads, size // heads))
        return permute_dims(split, (0, 2, 1, 3))

    with layer("attention", name, x, other):
        q, k, v = project(x, "query"), project(other, "key"), project(other, "value")
        y = attention(q, k, v, causal=causal, mask=mask, padding=padding)
        joined = reshape(permute_dims(y, (0, 2, 1, 3)), (*x.shape[:2], size))
        return linear(joined, size, bias=bias, init=init, name="out")


def transformer_block(
    x: Any,
    heads: int,
    *,
    hidden: int | None = None,
    activation: str | Activation = "gelu",
    norm: str = "layer",
    causal: bool = False,
    mask: Any = None,
    padding: Any = None,
    dropout: float = 0.0,
    bias: bool = True,
    init: Any = "glorot_uniform",
    name: str | None = None,
) -> Node:
    """Return ``h + mlp(norm(h))`` with ``h = x + attention(norm(x))``.

    The norms stand before the layers, so that the residual stream is never scaled
    (Xiong et al. 2020, "On layer normalization in the transformer architecture").

    Args:
        x: floats ``[batch, sequence, width]``; batch and sequence may be named.
        heads: attention heads; they divide the width.
        hidden: the width within the perceptron, by default four times that of ``x``.
        activation: the perceptron's, a function or its name.
        norm: ``"layer"`` or ``"rms"``.
        causal: no position looks at later ones.
        mask: bool, broadcast to ``[batch, heads, sequence, sequence]``.
        padding: bool ``[batch, sequence]``: False where the sequence is filled up.
        dropout: the probability by which what a layer adds to the stream is set to 0
            while training (Vaswani et al. 2017, "residual dropout").
        bias: False leaves out the offsets of the linear maps.
        init: initial values of the matrices.
        name: the scope of the block.

    Raises:
        ShapeError: the dimensions do not fit.
    """
    x = floats("transformer_block", x)
    size = width("transformer_block", x)
    if norm not in NORMS:
        raise GraphError(
            f"transformer_block: norm is one of {', '.join(map(repr, NORMS))}, not "
            f"{norm!r}"
        )
    hidden = 4 * size if hidden is None else check_count("hidden", hidden)
    act = activation_of("transformer_block: activation", activation)

    def attend(t: Tensor) -> Node:
        y = multi_head_attention(
            NORMS[norm](t, name="norm1"),
            heads,
            causal=causal,
            mask=mask,
            padding=padding,
            bias=bias,
            init=init,
            name="attention",
        )
        return drop(y, dropout, name="dropout1")

    def feed_forward(t: Tensor) -> Node:
        h = NORMS[norm](t, name="norm2")
        with scope("mlp"):
            h = act(linear(h, hidden, bias=bias, init=init, name="expand"))
            h = linear(h, size, bias=bias, init=init, name="contract")
        return drop(h, dropout, name="dropout2")

    with layer("block", name, x):
        return residual(feed_forward)(residual(attend)(x))

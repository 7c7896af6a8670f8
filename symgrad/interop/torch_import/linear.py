"""Products of matrices, attention, and normalisations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from symgrad.declare.mode import choose
from symgrad.declare.ops import FUNCTIONS as SG
from symgrad.declare.ops.linalg import inv
from symgrad.errors import GraphError
from symgrad.interop.torch_import.table import OPERATORS, Operand, operator
from symgrad.interop.windows import column
from symgrad.nn.attend import attention
from symgrad.nn.modal import dropout

for _name in ("matmul", "mm", "bmm", "mv", "dot", "outer"):
    OPERATORS[_name] = SG["outer" if _name == "outer" else "matmul"]
OPERATORS["linalg_inv"] = inv


@operator("linear")
def linear(x: Operand, weight: Operand, bias: Operand | None = None) -> Operand:
    """``x Wᵀ + b``."""
    y = SG["matmul"](x, weight.mT if weight.ndim > 1 else weight)
    return y if bias is None else y + bias


@operator("addmm", "baddbmm", "addmv", "addbmm")
def addmm(
    c: Operand, a: Operand, b: Operand, beta: float = 1, alpha: float = 1
) -> Operand:
    """``βC + αAB``."""
    y = SG["matmul"](a, b)
    y = y if alpha == 1 else y * alpha
    return y + (c if beta == 1 else c * beta)


@operator("einsum")
def einsum(text: str, tensors: Sequence[Operand], path: Any = None) -> Operand:
    """As NumPy's."""
    del path
    return SG["einsum"](text.replace(" ", ""), *tensors)


@operator("tensordot")
def tensordot(a: Operand, b: Operand, left: list[int], right: list[int]) -> Operand:
    """Sums over pairs of axes."""
    return SG["tensordot"](a, b, (left, right))


@operator("bilinear")
def bilinear(a: Operand, b: Operand, weight: Operand, bias: Any = None) -> Operand:
    """``aᵀ W_k b`` for each k."""
    y = SG["einsum"]("...i,kij,...j->...k", a, weight, b)
    return y if bias is None else y + bias


@operator("cosine_similarity")
def cosine_similarity(
    a: Operand, b: Operand, axis: int = 1, eps: float = 1e-8
) -> Operand:
    """The cosine of the angle between vectors."""
    sizes = [
        SG["sqrt"](SG["maximum"](SG["sum"](t * t, axis=axis), eps * eps))
        for t in (a, b)
    ]
    return SG["sum"](a * b, axis=axis) / (sizes[0] * sizes[1])


@operator("cdist", "_cdist_forward")
def cdist(a: Operand, b: Operand, p: float = 2.0, mode: Any = None) -> Operand:
    """The distances between all pairs of rows; the slope at 0 is 0."""
    from symgrad.interop.torch_import.reduction import norm

    del mode
    off = SG["expand_dims"](a, axis=a.ndim - 1) - SG["expand_dims"](b, axis=b.ndim - 2)
    return norm(off, p, [-1])


@operator("scaled_dot_product_attention")
def scaled_attention(
    q: Operand,
    k: Operand,
    v: Operand,
    mask: Operand | None = None,
    p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Operand:
    """Of ``sg.nn``; a float mask is added to the scores, dropout is of the weights."""
    if enable_gqa and k.shape[-3] != q.shape[-3]:
        times = q.shape[-3] // k.shape[-3]
        k, v = (SG["repeat"](t, times, axis=t.ndim - 3) for t in (k, v))
    by_mask = mask is not None and mask.dtype == "bool"
    same_length = q.shape[-2] == k.shape[-2]
    if not p and (mask is None or by_mask) and (same_length or not is_causal):
        return attention(q, k, v, causal=is_causal, mask=mask, scale=scale)
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = SG["matmul"](q, k.mT) * factor
    if is_causal:
        rows = SG["arange"](q.shape[-2]).reshape((-1, 1))
        allowed = SG["arange"](k.shape[-2]).reshape((1, -1)) <= rows
        scores = SG["where"](allowed, scores, -math.inf)
    if mask is not None:
        scores = SG["where"](mask, scores, -math.inf) if by_mask else scores + mask
    weights = SG["softmax"](scores)
    return SG["matmul"](dropout(weights, p) if p else weights, v)


# -- normalisations --------------------------------------------------------------------


def _standard(x: Operand, axes: tuple[int, ...], eps: float) -> tuple[Operand, ...]:
    """Return x with mean 0 and variance 1 over axes; the mean, and 1/deviation."""
    mean = SG["mean"](x, axis=axes, keepdims=True)
    off = x - mean
    inverse = 1 / SG["sqrt"](SG["mean"](off * off, axis=axes, keepdims=True) + eps)
    return off * inverse, mean, inverse


@operator("layer_norm")
def layer_norm(
    x: Operand,
    shape: Sequence[int],
    weight: Operand | None = None,
    bias: Operand | None = None,
    eps: float = 1e-5,
    cudnn: bool = False,
) -> Operand:
    """Over the last axes."""
    del cudnn
    return native_layer_norm(x, shape, weight, bias, eps)[0]


@operator("native_layer_norm")
def native_layer_norm(
    x: Operand, shape: Sequence[int], weight: Any, bias: Any, eps: float
) -> tuple[Operand, ...]:
    """Over the last axes; with mean and 1/deviation."""
    y, mean, inverse = _standard(x, tuple(range(x.ndim - len(shape), x.ndim)), eps)
    y = y if weight is None else y * weight
    return (y if bias is None else y + bias), mean, inverse


@operator("rms_norm", "_fused_rms_norm")
def rms_norm(
    x: Operand, shape: Sequence[int], weight: Any = None, eps: float | None = None
) -> Operand:
    """By the root of the mean square of the last axes."""
    eps = float(_epsilon(x.dtype)) if eps is None else eps
    axes = tuple(range(x.ndim - len(shape), x.ndim))
    y = x / SG["sqrt"](SG["mean"](x * x, axis=axes, keepdims=True) + eps)
    return y if weight is None else y * weight


def _epsilon(dtype: str) -> float:
    return {"float32": 2.0**-23, "float64": 2.0**-52}[dtype]


@operator("group_norm")
def group_norm(
    x: Operand,
    groups: int,
    weight: Operand | None = None,
    bias: Operand | None = None,
    eps: float = 1e-5,
    cudnn: bool = False,
) -> Operand:
    """Over the channels of a group and all places."""
    del cudnn
    batch, channels, *places = x.shape
    rows = SG["reshape"](x, (batch, groups, channels // groups, *places))
    y, *_ = _standard(rows, tuple(range(2, rows.ndim)), eps)
    return _by_channel(SG["reshape"](y, x.shape), weight, bias)


@operator("native_group_norm")
def native_group_norm(
    x: Operand,
    weight: Any,
    bias: Any,
    n: Any,
    c: Any,
    places: Any,
    groups: int,
    eps: float,
) -> tuple[Operand, None, None]:
    """Over the channels of a group and all places."""
    del n, c, places
    return group_norm(x, groups, weight, bias, eps), None, None


@operator("instance_norm")
def instance_norm(
    x: Operand,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_variance: Any,
    use_input: bool,
    momentum: float,
    eps: float,
    cudnn: bool = False,
) -> Operand:
    """Over the places of each channel of each sample."""
    del momentum, cudnn
    if not use_input:
        return native_batch_norm_no_training(
            x, weight, bias, running_mean, running_variance, 0.0, eps
        )[0]
    y, *_ = _standard(x, tuple(range(2, x.ndim)), eps)
    return _by_channel(y, weight, bias)


def _by_channel(x: Operand, weight: Any, bias: Any) -> Operand:
    x = x if weight is None else x * column(weight, x.ndim - 2)
    return x if bias is None else x + column(bias, x.ndim - 2)


@operator("_native_batch_norm_legit_no_training")
def native_batch_norm_no_training(
    x: Operand,
    weight: Any,
    bias: Any,
    mean: Operand,
    variance: Operand,
    momentum: float,
    eps: float,
) -> tuple[Operand, None, None]:
    """By the running statistics."""
    del momentum
    rank = x.ndim - 2
    y = (x - column(mean, rank)) / SG["sqrt"](column(variance, rank) + eps)
    return _by_channel(y, weight, bias), None, None


@operator("_native_batch_norm_legit_functional")
def native_batch_norm(
    x: Operand,
    weight: Any,
    bias: Any,
    mean: Operand,
    variance: Operand,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Any, ...]:
    """While training by the batch, and in evaluation by the running statistics.

    The last two results are the running statistics after a step (the variance with
    n - 1), as for ``sg.nn.batch_norm``.
    """
    args = x, weight, bias, mean, variance, momentum, eps
    if not training:
        return (*native_batch_norm_no_training(*args), mean, variance)
    axes = (0, *range(2, x.ndim))
    centre = SG["mean"](x, axis=axes)
    off = x - column(centre, x.ndim - 2)
    spread = SG["mean"](off * off, axis=axes)
    used = choose(centre, mean), choose(spread, variance)
    y = native_batch_norm_no_training(x, weight, bias, *used, momentum, eps)
    unbiased = SG["var"](x, axis=axes, correction=1)
    following = [
        (1 - momentum) * old + momentum * SG["stop_gradient"](new)
        for old, new in ((mean, centre), (variance, unbiased))
    ]
    return (*y, *following)


@operator("_native_batch_norm_legit")
def native_batch_norm_of_batch(
    x: Operand, weight: Any, bias: Any, training: bool, momentum: float, eps: float
) -> tuple[Operand, None, None]:
    """By the batch, always: there are no running statistics."""
    del training, momentum
    y, *_ = _standard(x, (0, *range(2, x.ndim)), eps)
    return _by_channel(y, weight, bias), None, None


@operator("batch_norm")
def batch_norm(
    x: Operand,
    weight: Any,
    bias: Any,
    mean: Any,
    variance: Any,
    training: bool,
    momentum: float,
    eps: float,
    cudnn: bool = False,
) -> Operand:
    """By the batch or by the running statistics."""
    del cudnn
    if mean is None:
        return native_batch_norm_of_batch(x, weight, bias, training, momentum, eps)[0]
    if training:
        raise GraphError("its running statistics are changed in place")
    return native_batch_norm_no_training(
        x, weight, bias, mean, variance, momentum, eps
    )[0]

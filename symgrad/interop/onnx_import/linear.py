"""Products of matrices, normalisations and losses."""

from __future__ import annotations

from typing import Any

from symgrad.declare.dims import product
from symgrad.declare.ops import FUNCTIONS as SG
from symgrad.errors import GraphError
from symgrad.interop.onnx_import.nodes import Node, operator
from symgrad.interop.onnx_import.values import Operand
from symgrad.interop.windows import convolved


@operator("MatMul")
def matmul(n: Node) -> Operand:
    """As NumPy's."""
    return SG["matmul"](n.t(0), n.t(1))


@operator("MatMulInteger")
def integer_matmul(n: Node) -> Operand:
    """Integers less their zero points."""
    a, b = n.t(0), n.t(1)
    a = a - _row(n, 2, a) if n.has(2) else a
    b = b - n.t(3) if n.has(3) else b
    product_ = SG["matmul"](a.astype("float64"), b.astype("float64"))
    return product_.astype("int32")


def _row(n: Node, place: int, a: Operand) -> Operand:
    zero = n.t(place)
    return SG["expand_dims"](zero, axis=-1) if zero.ndim == 1 and a.ndim > 1 else zero


@operator("Gemm")
def gemm(n: Node) -> Operand:
    """``alpha·A·B + beta·C``."""
    a, b = n.t(0), n.t(1)
    a = a.T if n.attr("transA", 0) else a
    b = b.T if n.attr("transB", 0) else b
    y = SG["matmul"](a, b)
    if n.attr("alpha", 1.0) != 1:
        y = y * n.attr("alpha")
    if n.has(2):
        y = y + (n.t(2) * n.attr("beta") if n.attr("beta", 1.0) != 1 else n.t(2))
    return y


@operator("Einsum")
def einsum(n: Node) -> Operand:
    """As NumPy's."""
    return SG["einsum"](n.attr("equation").replace(" ", ""), *n.tensors)


@operator("Det")
def determinant(n: Node) -> Operand:
    """By cofactors: for matrices up to 4 by 4."""
    x = n.t(0)
    size = n.fixed(x, x.ndim - 1)
    if size > 4:
        raise GraphError(f"{n}: determinants of {size} by {size} are not supported")
    rows = [[x[..., i, j] for j in range(size)] for i in range(size)]
    return _cofactors(rows)


def _cofactors(rows: list[list[Operand]]) -> Operand:
    if len(rows) == 1:
        return rows[0][0]
    total: Any = None
    for j, first in enumerate(rows[0]):
        minor = [row[:j] + row[j + 1 :] for row in rows[1:]]
        part = first * _cofactors(minor)
        total = part if total is None else total + part if j % 2 == 0 else total - part
    return total


# -- normalisations --------------------------------------------------------------------


def _channel(t: Operand, x: Operand) -> Operand:
    return t.reshape((-1, *[1] * (x.ndim - 2)))


@operator("BatchNormalization")
def batch_normalization(n: Node) -> Any:
    """With the running statistics; in training mode with the batch's."""
    x, scale, bias, mean, variance = n.tensors[:5]
    epsilon = n.attr("epsilon", 1e-5)
    training = n.attr("training_mode", 0)
    old = mean, variance
    if training:
        axes = (0, *range(2, x.ndim))
        mean = SG["mean"](x, axis=axes)
        variance = SG["var"](x, axis=axes)
    centred = x - _channel(mean, x)
    slope = scale / SG["sqrt"](variance + epsilon)
    y = centred * _channel(slope, x) + _channel(bias, x)
    if not training:
        return y
    momentum = n.attr("momentum", 0.9)
    kept = [a * momentum + b * (1 - momentum)
            for a, b in zip(old, (mean, variance), strict=True)]  # fmt: skip
    return (y, *kept)


@operator("InstanceNormalization")
def instance_normalization(n: Node) -> Operand:
    """Over the places of each channel of each sample."""
    x, scale, bias = n.tensors
    axes = tuple(range(2, x.ndim))
    centred = x - SG["mean"](x, axis=axes, keepdims=True)
    variance = SG["mean"](centred * centred, axis=axes, keepdims=True)
    y = centred / SG["sqrt"](variance + n.attr("epsilon", 1e-5))
    return y * _channel(scale, x) + _channel(bias, x)


@operator("LayerNormalization")
def layer_normalization(n: Node) -> tuple[Operand, ...]:
    """Over the axes from ``axis`` on."""
    x = n.t(0)
    axes = tuple(range(n.axis(-1), x.ndim))
    mean = SG["mean"](x, axis=axes, keepdims=True)
    centred = x - mean
    variance = SG["mean"](centred * centred, axis=axes, keepdims=True)
    inverse = 1 / SG["sqrt"](variance + n.attr("epsilon", 1e-5))
    y = centred * inverse * n.t(1)
    return (y + n.t(2) if n.has(2) else y), mean, inverse


@operator("GroupNormalization")
def group_normalization(n: Node) -> Operand:
    """Over groups of channels; before version 21 scaled by group."""
    x, scale, bias = n.tensors
    groups = n.attr("num_groups")
    rows = x.reshape((x.shape[0], groups, -1))
    centred = rows - SG["mean"](rows, axis=-1, keepdims=True)
    variance = SG["mean"](centred * centred, axis=-1, keepdims=True)
    y = centred / SG["sqrt"](variance + n.attr("epsilon", 1e-5))
    if n.version < 21:
        y = y * scale.reshape((-1, 1)) + bias.reshape((-1, 1))
        return y.reshape(x.shape)
    return y.reshape(x.shape) * _channel(scale, x) + _channel(bias, x)


@operator("LRN")
def local_response_normalization(n: Node) -> Operand:
    """By the squares of neighbouring channels."""
    x, size = n.t(0), n.attr("size")
    before = (size - 1) // 2
    pads = [(0, 0)] * x.ndim
    pads[1] = (before, size - 1 - before)
    square = SG["pad"](x * x, pads)
    channels = n.fixed(x, 1)
    total = square[:, :channels]
    for k in range(1, size):
        total = total + square[:, k : k + channels]
    base = n.attr("bias", 1.0) + n.attr("alpha", 1e-4) / size * total
    return x / SG["pow"](base, n.attr("beta", 0.75))


@operator("Dropout")
def dropout(n: Node) -> Any:
    """The identity, outside of training."""
    x = n.t(0)
    ratio = n.scalar(1) if n.has(1) else n.attr("ratio", 0.5)
    if n.has(2) and n.scalar(2) and ratio != 0:
        raise GraphError(f"{n}: random values in training mode are not supported")
    return x, SG["ones_like"](x).astype("bool")


# -- losses ----------------------------------------------------------------------------


@operator("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss")
def likelihood(n: Node) -> Any:
    """Weighted by class; one class can be ignored."""
    x, target = n.t(0), n.t(1)
    log = SG["log_softmax"](x, axis=1) if n.op.startswith("Softmax") else x
    classes = n.fixed(x, 1)
    ignored = n.attr("ignore_index")
    index = target if ignored is None else SG["where"](target == ignored, 0, target)
    place = SG["expand_dims"](index, axis=1)
    loss = -SG["squeeze"](SG["take_along_axis"](log, place, axis=1), axis=1)
    weight = SG["ones_like"](loss)
    if n.has(2):
        weight = SG["take"](n.t(2), SG["clip"](index, 0, classes - 1), axis=0)
    if ignored is not None:
        weight = SG["where"](target == ignored, SG["zeros_like"](weight), weight)
    loss = loss * weight
    kind = n.attr("reduction", "mean")
    if kind == "sum":
        loss = SG["sum"](loss)
    if kind == "mean":
        loss = SG["sum"](loss) / SG["sum"](weight)
    return (loss, log) if len(n.outputs) > 1 else loss


# -- optimizers ------------------------------------------------------------------------


def _groups(n: Node, count: int) -> list[list[Operand]]:
    """Return, for each parameter, its operands: itself, gradient, state."""
    rest = n.tensors[2:]
    each = len(rest) // count
    return [rest[k::each] for k in range(each)]


@operator("Momentum")
def momentum(n: Node) -> tuple[Operand, ...]:
    """Gradient descent with momentum, standard or Nesterov's."""
    rate, step = n.t(0), n.t(1)
    values, states = [], []
    for x, g, v in _groups(n, 3):
        g = n.attr("norm_coefficient") * x + g
        beta = SG["where"](step > 0, n.attr("beta"), 1.0).astype(x.dtype)
        v = n.attr("alpha") * v + beta * g
        move = g + n.attr("alpha") * v if n.attr("mode") == "nesterov" else v
        values.append(x - rate * move)
        states.append(v)
    return (*values, *states)


@operator("Adagrad")
def adagrad(n: Node) -> tuple[Operand, ...]:
    """Steps scaled by the squares of all gradients."""
    rate, step = n.t(0), n.t(1)
    rate = rate / (1 + step.astype(rate.dtype) * n.attr("decay_factor", 0.0))
    values, states = [], []
    for x, g, h in _groups(n, 3):
        g = n.attr("norm_coefficient", 0.0) * x + g
        h = h + g * g
        values.append(x - rate * g / (SG["sqrt"](h) + n.attr("epsilon", 1e-6)))
        states.append(h)
    return (*values, *states)


@operator("Adam")
def adam(n: Node) -> tuple[Operand, ...]:
    """Steps scaled by running means of gradients and their squares."""
    rate, step = n.t(0), n.t(1)
    alpha, beta = n.attr("alpha", 0.9), n.attr("beta", 0.999)
    count = SG["where"](step > 0, step, 1).astype(rate.dtype)
    corrected = rate * SG["sqrt"](1 - beta**count) / (1 - alpha**count)
    rate = SG["where"](step > 0, corrected, rate)
    values, firsts, seconds = [], [], []
    for x, g, v, h in _groups(n, 4):
        g = n.attr("norm_coefficient", 0.0) * x + g
        v = alpha * v + (1 - alpha) * g
        h = beta * h + (1 - beta) * g * g
        x = x - rate * v / (SG["sqrt"](h) + n.attr("epsilon", 1e-6))
        values.append((1 - n.attr("norm_coefficient_post", 0.0)) * x)
        firsts.append(v)
        seconds.append(h)
    return (*values, *firsts, *seconds)


# -- quantisation ----------------------------------------------------------------------

_RANGES = {
    "UINT8": (0, 255),
    "INT8": (-128, 127),
    "UINT16": (0, 65535),
    "INT16": (-32768, 32767),
    "INT32": (-(2**31), 2**31 - 1),
}


def _along(t: Operand, n: Node, x: Operand, axis: int = 1) -> Operand:
    """Return a scale or zero point so that it broadcasts against ``x``."""
    axis = n.attr("axis", axis) % max(x.ndim, 1)
    block = n.attr("block_size", 0)
    if block:
        sizes = [slice(None)] * x.ndim
        sizes[axis] = slice(0, n.fixed(x, axis))
        return SG["repeat"](t, block, axis=axis)[tuple(sizes)]
    if t.ndim != 1 or x.ndim == 0:
        return t
    return t.reshape((-1, *[1] * (x.ndim - 1 - axis)))


def quantized(x: Operand, scale: Operand, zero: Operand, kind: str) -> Operand:
    """Return ``x`` in steps of the scale, rounded to even, clamped to the type."""
    if kind not in _RANGES:
        raise GraphError(f"quantisation to {kind} is not supported")
    low, high = _RANGES[kind]
    y = SG["round"](x / scale) + zero.astype(x.dtype)
    return SG["clip"](y, float(low), float(high)).astype("int32")


@operator("QuantizeLinear")
def quantize(n: Node) -> Operand:
    """By tensor, axis or block."""
    x, scale = n.t(0), n.t(1)
    kind = n.value(2).kind if n.has(2) else n.kinds[0] or "UINT8"
    zero = _along(n.t(2), n, x) if n.has(2) else SG["zeros_like"](scale[()])
    if not n.has(2):
        zero = _along(SG["zeros_like"](scale), n, x)
    return quantized(x, _along(scale, n, x), zero, kind)


@operator("DequantizeLinear")
def dequantize(n: Node) -> Operand:
    """The steps times the scale."""
    x, scale = n.t(0), n.t(1)
    if n.has(2):
        x = x - _along(n.t(2), n, x)
    return x.astype(scale.dtype) * _along(scale, n, x)


@operator("QLinearMatMul")
def quantized_matmul(n: Node) -> Operand:
    """A product of quantised matrices, quantised."""
    a, b = (
        (n.t(k) - n.t(k + 2)).astype("float64") * n.t(k + 1).astype("float64")
        for k in (0, 3)
    )
    y = SG["matmul"](a, b)
    return quantized(y, n.t(6).astype("float64"), n.t(7), n.value(7).kind)


@operator("QLinearConv")
def quantized_convolution(n: Node) -> Operand:
    """A convolution of quantised tensors, quantised."""
    from symgrad.interop.onnx_import.windows import window_of

    x, weight = n.t(0), n.t(3)
    kernel = [n.fixed(weight, 2 + d) for d in range(weight.ndim - 2)]

    def column(t: Operand) -> Operand:
        return t.reshape((-1, *[1] * (weight.ndim - 1))) if t.ndim else t

    steps = (x - n.t(2)).astype("float64"), (weight - column(n.t(5))).astype("float64")
    y = convolved(*steps, window_of(n, x, kernel), n.attr("group", 1))
    if n.has(8):
        y = y + n.t(8).astype("float64").reshape((-1, *[1] * len(kernel)))
    weights = n.t(4).astype("float64")
    weights = weights.reshape((-1, *[1] * len(kernel))) if weights.ndim else weights
    scale = n.t(1).astype("float64") * weights / n.t(6).astype("float64")
    return quantized(y * scale, SG["ones_like"](n.t(6)).astype("float64"), n.t(7),
                     n.value(7).kind)  # fmt: skip


@operator("AffineGrid")
def affine_grid(n: Node) -> Operand:
    """The places that an affine map sends a grid's points to."""
    theta, sizes = n.t(0), [int(s) for s in n.numbers(1)][2:]
    rank = len(sizes)
    lines = []
    for d, s in enumerate(sizes):
        place = SG["arange"](s).astype(theta.dtype)
        if n.attr("align_corners", 0):
            line = place * (2.0 / (s - 1)) - 1.0 if s > 1 else place * 0.0
        else:
            line = (place * 2.0 + 1.0) / s - 1.0
        shape = [1] * rank
        shape[d] = s
        lines.append(SG["broadcast_to"](line.reshape(tuple(shape)), tuple(sizes)))
    points = SG["stack"]([*lines[::-1], SG["ones_like"](lines[0])], axis=-1)
    flat = points.reshape((product(sizes), rank + 1))
    y = SG["einsum"]("pk,nak->npa", flat, theta)
    return y.reshape((theta.shape[0], *sizes, rank))

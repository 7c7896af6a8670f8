"""Operators that work element by element."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from symgrad.declare import dtypes
from symgrad.declare.ops import FUNCTIONS as SG
from symgrad.declare.tensor import constant
from symgrad.interop.onnx_import.nodes import OPERATORS, Node, operator
from symgrad.interop.onnx_import.values import (
    NARROW,
    TYPES,
    Operand,
    array_type,
    kind_name,
    known,
)

#: ONNX's operator -> the operation of the same meaning.
SAME = {
    "Abs": "abs", "Acos": "acos", "Acosh": "acosh", "Asin": "asin", "Asinh": "asinh",
    "Atan": "atan", "Atanh": "atanh", "Ceil": "ceil", "Cos": "cos", "Cosh": "cosh",
    "Erf": "erf", "Exp": "exp", "Floor": "floor", "Log": "log", "Neg": "negative",
    "Reciprocal": "reciprocal", "Relu": "relu", "Round": "round",
    "Sigmoid": "sigmoid", "Sign": "sign", "Sin": "sin", "Sinh": "sinh",
    "Softplus": "softplus", "Softsign": "softsign", "Sqrt": "sqrt", "Tan": "tan",
    "Tanh": "tanh", "Not": "logical_not", "IsNaN": "isnan", "And": "logical_and",
    "Or": "logical_or", "Xor": "logical_xor", "Equal": "equal", "Greater": "greater",
    "GreaterOrEqual": "greater_equal", "Less": "less", "LessOrEqual": "less_equal",
    "Where": "where", "Mish": "mish",
}  # fmt: skip


def _same(name: str) -> Callable[[Node], Operand]:
    function = SG[name]

    def declare(n: Node) -> Operand:
        return function(*(flat(t, n) for t in n.tensors))

    return declare


for _onnx, _ours in SAME.items():
    OPERATORS[_onnx] = _same(_ours)


def flat(t: Operand, n: Node) -> Operand:
    """Return an operand; before version 7, the second is aligned by ``axis``."""
    if n.version < 7 and n.attr("broadcast") and t is n.t(1):
        axis = n.attr("axis", n.t(0).ndim - t.ndim)
        return t.reshape((*t.shape, *[1] * (n.t(0).ndim - axis - t.ndim)))
    return t


def wrapped(t: Operand, kind: str | None) -> Operand:
    """Return integers modulo the range of their type."""
    if kind not in NARROW:
        return t
    bits, signed = NARROW[kind]
    if not signed:
        return t % (1 << bits)
    half = 1 << (bits - 1)
    return (t + half) % (1 << bits) - half


def _arithmetic(function: Callable[..., Operand]) -> Callable[[Node], Operand]:
    def declare(n: Node) -> Operand:
        return wrapped(function(*(flat(t, n) for t in n.tensors)), n.value(0).kind)

    return declare


def quotient(a: Operand, b: Operand) -> Operand:
    """Return the quotient, of integers towards zero."""
    if dtypes.is_float(a.dtype):
        return a / b
    return SG["sign"](a) * SG["sign"](b) * (SG["abs"](a) // SG["abs"](b))


for _name, _function in {
    "Add": SG["add"],
    "Sub": SG["subtract"],
    "Mul": SG["multiply"],
    "Div": quotient,
}.items():
    OPERATORS[_name] = _arithmetic(_function)


@operator("Sum", "Max", "Min", "Mean")
def fold(n: Node) -> Operand:
    """Any number of operands, two by two."""
    name = {"Sum": "add", "Mean": "add", "Max": "maximum", "Min": "minimum"}[n.op]
    total = reduce(SG[name], n.tensors)
    return total / len(n.inputs) if n.op == "Mean" else total


@operator("Pow")
def power(n: Node) -> Operand:
    """The result has the type of the base."""
    x, y = n.tensors
    if not dtypes.is_float(x.dtype) and dtypes.is_float(y.dtype):
        return SG["trunc"](SG["pow"](x.astype(y.dtype), y)).astype(x.dtype)
    return SG["pow"](x, y.astype(x.dtype))


@operator("Mod")
def remainder(n: Node) -> Operand:
    """The sign is the divisor's, or with ``fmod`` the dividend's."""
    x, y = n.tensors
    if not n.attr("fmod", 0):
        return SG["remainder"](x, y)
    size = SG["remainder"](SG["abs"](x), SG["abs"](y))
    return SG["where"](x < 0, -size, size)


@operator("Clip")
def clip(n: Node) -> Operand:
    """Bounds are attributes in early versions."""
    x = n.t(0)
    low = n.t(1) if n.has(1) else n.attr("min")
    high = n.t(2) if n.has(2) else n.attr("max")
    if low is not None:
        x = SG["maximum"](x, low)
    return x if high is None else SG["minimum"](x, high)


@operator("IsInf")
def is_infinite(n: Node) -> Operand:
    """Either sign can be left out."""
    x = n.t(0)
    up = SG["equal"](x, np.inf) if n.attr("detect_positive", 1) else x != x
    down = SG["equal"](x, -np.inf) if n.attr("detect_negative", 1) else x != x
    finite = SG["isinf"](x)
    return finite & (SG["logical_or"](up, down))


def _parametric(text: Callable[[Operand, Node], Operand]) -> Callable[[Node], Operand]:
    return lambda n: text(n.t(0), n)


def _where(test: Operand, a: Any, b: Any) -> Operand:
    return SG["where"](test, a, b)


_PARAMETRIC: dict[str, Callable[[Operand, Node], Operand]] = {
    "Elu": lambda x, n: _where(
        x >= 0, x, n.attr("alpha", 1.0) * SG["expm1"](SG["minimum"](x, 0.0))
    ),
    "Celu": lambda x, n: _celu(x, n.attr("alpha", 1.0)),
    "Selu": lambda x, n: (
        n.attr("gamma", 1.0507009873554805)
        * _where(
            x > 0,
            x,
            n.attr("alpha", 1.6732632423543772) * SG["expm1"](SG["minimum"](x, 0.0)),
        )
    ),
    "LeakyRelu": lambda x, n: _where(x >= 0, x, n.attr("alpha", 0.01) * x),
    "ThresholdedRelu": lambda x, n: _where(x > n.attr("alpha", 1.0), x, 0.0),
    "HardSigmoid": lambda x, n: SG["clip"](
        n.attr("alpha", 0.2) * x + n.attr("beta", 0.5), 0.0, 1.0
    ),
    "HardSwish": lambda x, n: x * SG["clip"](x / 6.0 + 0.5, 0.0, 1.0),
    "Shrink": lambda x, n: _shrink(x, n.attr("lambd", 0.5), n.attr("bias", 0.0)),
    "Swish": lambda x, n: x * SG["sigmoid"](n.attr("alpha", 1.0) * x),
    "Gelu": lambda x, n: SG["gelu"](x, approximate=n.attr("approximate", "none")),
    "Identity": lambda x, n: x,
}
for _name, _text in _PARAMETRIC.items():
    OPERATORS[_name] = _parametric(_text)


def _celu(x: Operand, alpha: float) -> Operand:
    low = alpha * SG["expm1"](SG["minimum"](x, 0.0) / alpha)
    return SG["maximum"](x, 0.0) + low


def _shrink(x: Operand, lambd: float, bias: float) -> Operand:
    return _where(
        x < -lambd, x + bias, _where(x > lambd, x - bias, SG["zeros_like"](x))
    )


@operator("PRelu")
def prelu(n: Node) -> Operand:
    """The slope broadcasts."""
    x, slope = n.tensors
    return _where(x < 0, slope * x, x)


@operator("Cast", "CastLike")
def cast(n: Node) -> Any:
    """To a narrower integer, modulo its range."""
    kind = kind_name(n.attr("to")) if n.op == "Cast" else n.value(1).kind
    if n.op == "CastLike" and n.value(0).array is not None:
        return known(n.array(0).astype(array_type(kind)), kind)
    return converted(n.t(0), kind)


def converted(x: Operand, kind: str) -> Operand:
    """Return a tensor as ONNX converts it to another element type."""
    if kind == "BOOL":
        return x if x.dtype == "bool" else x != 0
    return wrapped(x.astype(TYPES[kind]), kind)


# -- bits of integers ------------------------------------------------------------------

_BITS = {"INT8": 8, "UINT8": 8, "INT16": 16, "UINT16": 16, "INT32": 32, "UINT32": 32}


@operator("BitwiseAnd", "BitwiseOr", "BitwiseXor")
def bitwise(n: Node) -> Operand:
    """Bit by bit, along an axis of their own; the sign is a bit of negative weight."""
    kind = n.value(0).kind
    width = _BITS.get(kind, 64)
    x, y = (_bits(t, width) for t in n.tensors)
    one = {"BitwiseAnd": x * y, "BitwiseOr": SG["maximum"](x, y)}
    bits = one.get(n.op, (x + y) % 2)
    weights = [1 << b for b in range(width - 1)] + [-(1 << (width - 1))]
    if kind.startswith("U") and width < 64:
        weights[-1] *= -1
    total = SG["sum"](bits * constant(np.array(weights, np.int64)), axis=-1)
    return total.astype(TYPES[kind])


def _bits(t: Operand, width: int) -> Operand:
    """Return the bits of integers along a new last axis."""
    column = SG["expand_dims"](t.astype("int64"), axis=-1)
    powers = constant(np.array([1 << b for b in range(min(width, 63))], np.int64))
    bits = (column // powers) % 2
    if width == 64:
        sign = (column < 0).astype("int64")
        bits = SG["concat"]([bits, sign], axis=-1)
    return bits


@operator("BitwiseNot")
def bitwise_not(n: Node) -> Operand:
    """In two's complement, ``-1 - x``."""
    return wrapped(-1 - n.t(0), n.value(0).kind)


@operator("BitShift")
def bit_shift(n: Node) -> Operand:
    """By powers of two: a product or a floor quotient."""
    x, y = n.tensors
    power = SG["pow"](constant(np.array(2, x.dtype)), y)
    if n.attr("direction") == "LEFT":
        return wrapped(x * power, n.value(0).kind)
    return x // power

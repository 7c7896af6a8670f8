"""Operators that work element by element, and activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from symgrad.declare.ops import FUNCTIONS as SG
from symgrad.errors import GraphError
from symgrad.interop.torch_import.table import OPERATORS, Operand, operator
from symgrad.nn.modal import dropout as declare_dropout

#: ATen's operator -> the operation of the same meaning.
SAME = {
    "abs": "abs", "acos": "acos", "acosh": "acosh", "asin": "asin", "asinh": "asinh",
    "atan": "atan", "atan2": "atan2", "atanh": "atanh", "ceil": "ceil", "cos": "cos",
    "cosh": "cosh", "copysign": "copysign", "deg2rad": "deg2rad", "detach":
    "stop_gradient", "digamma": "digamma", "eq": "equal", "erf": "erf", "erfc": "erfc",
    "exp": "exp", "exp2": "exp2", "expm1": "expm1", "floor": "floor", "ge":
    "greater_equal", "gelu": "gelu", "gt": "greater", "hardswish": "hardswish",
    "hypot": "hypot", "isfinite": "isfinite", "isinf": "isinf", "isnan": "isnan", "le":
    "less_equal", "lgamma": "lgamma", "log": "log", "log10": "log10", "log1p": "log1p",
    "log2": "log2", "logaddexp": "logaddexp", "lt": "less", "maximum": "maximum",
    "max.other": "maximum", "minimum": "minimum", "min.other": "minimum",
    "mish": "mish", "mul": "multiply", "ne": "not_equal", "neg": "negative",
    "pow": "pow", "reciprocal": "reciprocal", "relu": "relu", "remainder": "remainder",
    "rsqrt": "rsqrt", "selu": "selu", "sigmoid": "sigmoid", "sign": "sign",
    "sgn": "sign", "silu": "silu", "sin": "sin", "sinh": "sinh", "sqrt": "sqrt",
    "square": "square", "tan": "tan", "tanh": "tanh", "trunc": "trunc",
    "where.self": "where", "where.ScalarOther": "where", "where.ScalarSelf": "where",
    "where.Scalar": "where",
}  # fmt: skip
OPERATORS.update({name: SG[ours] for name, ours in SAME.items()})


def _binary(function: Callable[..., Operand]) -> Callable[..., Operand]:
    def declare(x: Operand, y: Any, alpha: float = 1, **_: Any) -> Operand:
        return function(x, y if alpha == 1 else y * alpha)

    return declare


OPERATORS["add"] = _binary(SG["add"])
OPERATORS["sub"] = _binary(SG["subtract"])
OPERATORS["rsub"] = _binary(lambda x, y: SG["subtract"](y, x))


@operator("clone", "alias", "contiguous", "lift_fresh_copy", "lift_fresh", "_to_copy",
          "to", "type_as", "_unsafe_index_put")  # fmt: skip
def same(x: Operand, *_: Any, dtype: str | None = None) -> Operand:
    """A copy, perhaps of another type."""
    return x if dtype is None else SG["astype"](x, dtype)


@operator("copy")
def copy(x: Operand, source: Operand, *_: Any) -> Operand:
    """What is copied, in the shape and type of what it replaces."""
    return SG["astype"](SG["broadcast_to"](source, x.shape), x.dtype)


@operator("div", "true_divide")
def divide(x: Operand, y: Any, rounding_mode: str | None = None) -> Operand:
    """The quotient, rounded down or towards zero where that is asked for."""
    if rounding_mode == "floor":
        return SG["floor_divide"](x, y)
    quotient = SG["divide"](x, y)
    return SG["trunc"](quotient) if rounding_mode == "trunc" else quotient


@operator("floor_divide")
def floor_divide(x: Operand, y: Any) -> Operand:
    """Rounded down."""
    return SG["floor_divide"](x, y)


@operator("fmod")
def fmod(x: Operand, y: Any) -> Operand:
    """The remainder with the sign of the dividend."""
    size = SG["remainder"](abs(x), abs(y))
    return SG["where"](x < 0, -size, size)


@operator("round")
def rounded(x: Operand, decimals: int = 0) -> Operand:
    """To even, at a decimal place."""
    scale = 10.0**decimals
    return SG["round"](x * scale) / scale if decimals else SG["round"](x)


@operator("logical_and", "bitwise_and", "__and__")
def both(x: Operand, y: Operand) -> Operand:
    """Of conditions."""
    return SG["logical_and"](_condition(x), _condition(y))


@operator("logical_or", "bitwise_or", "__or__")
def either(x: Operand, y: Operand) -> Operand:
    """Of conditions."""
    return SG["logical_or"](_condition(x), _condition(y))


@operator("logical_xor", "bitwise_xor")
def one_of(x: Operand, y: Operand) -> Operand:
    """Of conditions."""
    return SG["logical_xor"](_condition(x), _condition(y))


@operator("logical_not", "bitwise_not")
def negation(x: Operand) -> Operand:
    """Of a condition."""
    return SG["logical_not"](_condition(x))


def _condition(x: Operand) -> Operand:
    return x if getattr(x, "dtype", "bool") == "bool" else x != 0


@operator("clamp", "clip")
def clamp(x: Operand, low: Any = None, high: Any = None, **bounds: Any) -> Operand:
    """Between bounds, either of which may be missing."""
    low, high = bounds.get("min", low), bounds.get("max", high)
    x = x if low is None else SG["maximum"](x, low)
    return x if high is None else SG["minimum"](x, high)


OPERATORS["clamp_min"] = SG["maximum"]
OPERATORS["clamp_max"] = SG["minimum"]


@operator("addcmul")
def add_product(x: Operand, a: Operand, b: Operand, value: float = 1) -> Operand:
    """``x + value·a·b``."""
    return x + value * a * b


@operator("addcdiv")
def add_quotient(x: Operand, a: Operand, b: Operand, value: float = 1) -> Operand:
    """``x + value·a/b``."""
    return x + value * a / b


@operator("lerp")
def lerp(x: Operand, end: Operand, weight: Any) -> Operand:
    """On the line from one to the other."""
    return x + weight * (end - x)


@operator("masked_fill")
def masked_fill(x: Operand, mask: Operand, value: Any) -> Operand:
    """A number where the mask is True."""
    return SG["where"](mask, value, x)


@operator("nan_to_num")
def nan_to_num(
    x: Operand, nan: float = 0.0, posinf: Any = None, neginf: Any = None
) -> Operand:
    """Numbers in place of NaN and infinities."""
    top = float(np.finfo(x.dtype).max)
    x = SG["where"](SG["isnan"](x), 0.0 if nan is None else nan, x)
    x = SG["minimum"](x, top) if posinf is None else SG["where"](
        x == np.inf, posinf, x)  # fmt: skip
    if neginf is None:
        return SG["maximum"](x, -top)
    return SG["where"](x == -np.inf, neginf, x)


# -- activations -----------------------------------------------------------------------


@operator("elu")
def elu(x: Operand, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Any:
    """``scale·x`` above 0, else ``scale·α(exp(x·input_scale) - 1)``."""
    low = alpha * SG["expm1"](SG["minimum"](x, 0.0) * input_scale)
    return scale * SG["where"](x > 0, x, low)


@operator("celu")
def celu(x: Operand, alpha: float = 1.0) -> Operand:
    """``x`` above 0, else ``α(exp(x/α) - 1)``."""
    return SG["where"](x > 0, x, alpha * SG["expm1"](SG["minimum"](x, 0.0) / alpha))


@operator("leaky_relu")
def leaky_relu(x: Operand, slope: float = 0.01) -> Operand:
    """A small slope below 0."""
    return SG["where"](x > 0, x, x * slope)


@operator("rrelu")
def rrelu(
    x: Operand, low: float = 1 / 8, high: float = 1 / 3, training: bool = False
) -> Operand:
    """The mean slope below 0, as in evaluation."""
    if training:
        raise GraphError("it draws random slopes in training; call module.eval()")
    return leaky_relu(x, (low + high) / 2)


@operator("prelu", "_prelu_kernel")
def prelu(x: Operand, slope: Operand) -> Operand:
    """A learned slope below 0, one for each channel."""
    if slope.ndim == 1 and x.ndim > 1:
        slope = slope.reshape((-1, *[1] * (x.ndim - 2)))
    return SG["where"](x > 0, x, x * slope)


@operator("hardtanh")
def hardtanh(x: Operand, low: float = -1, high: float = 1) -> Operand:
    """Cut off at both ends, where the slope is 0."""
    inside = (x > low) & (x < high)
    return SG["where"](inside, x, SG["stop_gradient"](SG["clip"](x, low, high)))


@operator("relu6")
def relu6(x: Operand) -> Operand:
    """Cut off at 0 and 6."""
    return hardtanh(x, 0, 6)


@operator("hardsigmoid")
def hardsigmoid(x: Operand) -> Operand:
    """``(x + 3)/6``, cut off at 0 and 1."""
    return hardtanh(x + 3, 0, 6) / 6


@operator("softplus")
def softplus(x: Operand, beta: float = 1, threshold: float = 20) -> Operand:
    """``log(1 + exp(βx))/β``; for large x, x."""
    y = SG["softplus"](x) if beta == 1 else SG["softplus"](x * beta) / beta
    return SG["where"](x * beta > threshold, x, y)


@operator("log_sigmoid", "log_sigmoid_forward")
def log_sigmoid(x: Operand) -> Operand:
    """``-log(1 + exp(-x))``."""
    return -SG["softplus"](-x)


@operator("logit")
def logit(x: Operand, eps: float | None = None) -> Operand:
    """``log(x/(1 - x))``, x being cut off at a distance from 0 and 1."""
    x = x if eps is None else SG["clip"](x, eps, 1 - eps)
    return SG["log"](x) - SG["log1p"](-x)


@operator("softshrink")
def softshrink(x: Operand, bound: float = 0.5) -> Operand:
    """Nearer to 0 by a bound."""
    zero = SG["zeros_like"](x)
    return SG["where"](x > bound, x - bound, SG["where"](x < -bound, x + bound, zero))


@operator("hardshrink")
def hardshrink(x: Operand, bound: float = 0.5) -> Operand:
    """0 within a bound."""
    inside = (x >= -bound) & (x <= bound)
    return SG["where"](inside, SG["zeros_like"](x), x)


@operator("threshold")
def threshold(x: Operand, bound: float, value: float) -> Operand:
    """A number in place of what is not above a bound."""
    return SG["where"](x > bound, x, value)


@operator("glu")
def glu(x: Operand, axis: int = -1) -> Operand:
    """One half times the sigmoid of the other."""
    a, b = SG["split"](x, 2, axis=axis)
    return a * SG["sigmoid"](b)


@operator("xlogy")
def xlogy(x: Any, y: Any) -> Operand:
    """``x·log(y)``, 0 where x is."""
    zero = x == 0
    return SG["where"](zero, 0.0, x * SG["log"](SG["where"](zero, 1.0, y)))


# -- chance ----------------------------------------------------------------------------


@operator("native_dropout")
def native_dropout(x: Operand, p: float, train: bool | None = True) -> tuple[Any, Any]:
    """Of ``sg.nn``: on while training, by the trainer's key."""
    return (declare_dropout(x, p) if train else x), None


@operator("dropout", "feature_dropout")
def dropout(x: Operand, p: float, train: bool) -> Operand:
    """Of ``sg.nn``: on while training, by the trainer's key."""
    return declare_dropout(x, p) if train else x

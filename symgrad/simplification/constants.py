"""Constant folding, and constant factors gathered into one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from symgrad.declare import build
from symgrad.declare.dims import product
from symgrad.declare.tensor import Constant, Tensor, constant, scalar_value
from symgrad.simplification.engine import Rule
from symgrad.simplification.nodes import (
    Facts,
    float_like,
    function,
    kind,
    operands,
    source,
    statement,
)

#: Results with more elements are computed when the program runs.
LARGEST = 4096

#: The functions that NumPy computes as kernels do.
NUMPY: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "neg": np.negative,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "xor": np.logical_xor,
    "not": np.logical_not,
    "isnan": np.isnan,
    "isinf": np.isinf,
    "isfinite": np.isfinite,
    "select": np.where,
    "abs": np.abs,
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "sqrt": np.sqrt,
    "square": np.square,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "log2": np.log2,
    "log10": np.log10,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "maximum": np.maximum,
    "minimum": np.minimum,
}


def fold(t: Tensor, facts: Facts) -> Tensor | None:
    """A function of constants is a constant."""
    del facts
    fn = NUMPY.get(statement(t).body.fn)
    if fn is None or not all(isinstance(a.op, Constant) for a in t.args):
        return None
    count = product(t.shape)
    if not isinstance(count, int) or count > LARGEST:
        return None
    with np.errstate(all="ignore"):
        value = fn(*(a.op.value for a in operands(t)))  # type: ignore[union-attr]
    return constant(np.asarray(value, t.dtype).reshape(t.shape))


def fold_cast(t: Tensor, facts: Facts) -> Tensor | None:
    """A constant of another type is a constant of this type."""
    del facts
    x = source(t)
    if not isinstance(x.op, Constant) or x.op.value.size > LARGEST:
        return None
    value = x.op.value
    if value.dtype.kind == "f" and t.dtype in ("int32", "int64"):
        return None
    return constant(value.astype(t.dtype))


_EXACT = (
    ("bool", ("int32", "int64", "float32", "float64")),
    ("int32", ("int64", "float64")),
    ("float32", ("float64",)),
)


def cast_again(t: Tensor, facts: Facts) -> Tensor | None:
    """A conversion to a wider type and on to another one is one conversion."""
    del facts
    inner = source(t)
    if inner.dtype == t.dtype or kind(inner) != "cast":
        return None
    x = source(inner)
    if (inner.dtype in dict(_EXACT).get(x.dtype, ())) and t.dtype != "bool":
        return build.cast(x, t.dtype)
    return None


def fold_sum(t: Tensor, facts: Facts) -> Tensor | None:
    """The sum of a small constant over whole axes is a constant."""
    del facts
    c = statement(t)
    if len(t.args) != 1 or not isinstance(t.args[0].op, Constant):
        return None
    value = t.args[0].op.value
    if c.guards or c.body.fn != "read" or c.reduce not in ("sum", "max", "min"):
        return None
    plain = [i.axis for i in c.reads[0].index]
    if None in plain or value.size > LARGEST:
        return None
    if len(plain) != len(c.extents) or len(set(plain)) < len(plain):
        return None  # a diagonal, or a sum over what is repeated
    axes = tuple(d for d, a in enumerate(plain) if a is not None and a >= c.rank)
    kept = [a for a in plain if a is not None and a < c.rank]
    if value.size == 0 or kept != sorted(kept):
        return None
    total = getattr(np, c.reduce)(value.astype(t.dtype), axis=axes)
    return constant(np.asarray(total, t.dtype))


# -- scalar factors --------------------------------------------------------------------


def merge_factors(t: Tensor, facts: Facts) -> Tensor | None:
    """``(x·c)·d`` is ``x·(c·d)``, where ``c·d`` neither overflows nor vanishes."""
    del facts
    if not float_like(t):
        return None
    outer = scaled(t)
    if outer is None:
        return None
    x, c, above = outer
    inner = scaled(x)
    if inner is None:
        if above and function(x) == "neg":
            return build.elementwise("mul", operands(x)[0], -c)
        return None
    y, d, below = inner
    value = c if above else 1 / c
    value = value * d if below else value / d
    if not above and not below:
        return _times(y, "div", c * d, t)
    if above and not below:
        return _times(y, "mul", c / d, t)
    if not above and below:
        return _times(y, "mul", d / c, t)
    return _times(y, "mul", c * d, t)


def _times(x: Tensor, fn: str, value: float, t: Tensor) -> Tensor | None:
    size = abs(value)
    tiny = float(np.finfo(t.dtype).tiny)
    if not (math.isfinite(size) and tiny <= size <= float(np.finfo(t.dtype).max)):
        return None
    return build.broadcast_to(build.elementwise(fn, x, value), t.shape)


def scaled(t: Tensor) -> tuple[Tensor, float, bool] | None:
    """Return (x, c, True) for ``x·c`` and (x, c, False) for ``x/c``, c a constant."""
    fn = function(t)
    if fn not in ("mul", "div"):
        return None
    x, y = operands(t)
    number = scalar_value(y)
    if number is None and fn == "mul":
        x, number = y, scalar_value(x)
    if number is None or scalar_value(x) is not None or number == 0:
        return None
    return x, float(number), fn == "mul"


def negate_factor(t: Tensor, facts: Facts) -> Tensor | None:
    """``-(x·s)`` is ``x·(-s)`` for a scalar ``s``; likewise in quotients."""
    del facts
    (inner,) = operands(t)
    fn = function(inner)
    if fn not in ("mul", "div"):
        return None
    x, y = operands(inner)
    if not x.shape and (t.shape or scalar_value(x) is not None):
        return build.elementwise(fn, build.elementwise("neg", x), y)
    if not y.shape and (t.shape or scalar_value(y) is not None):
        return build.elementwise(fn, x, build.elementwise("neg", y))
    return None


def gather(t: Tensor, facts: Facts) -> Tensor | None:
    """``x·c + x·d`` is ``x·(c + d)`` for positive ``c``, ``d``; ``x + x`` is ``2x``."""
    del facts
    if not float_like(t):
        return None
    (x, c), (y, d) = map(_multiple, operands(t))
    if x is not y or c <= 0 or d <= 0:
        return None
    return _times(x, "mul", c + d, t)


def _multiple(t: Tensor) -> tuple[Tensor, float]:
    found = scaled(t)
    return (found[0], found[1]) if found is not None and found[2] else (t, 1.0)


FOLD = Rule("fold_constants", fold)
CAST = (Rule("fold_constants", fold_cast), Rule("cast_again", cast_again))
REDUCTION = (Rule("fold_constants", fold_sum),)
FACTORS = {
    "add": (Rule("gather", gather),),
    "mul": (Rule("merge_factors", merge_factors),),
    "div": (Rule("merge_factors", merge_factors),),
    "neg": (Rule("negate_factor", negate_factor),),
}

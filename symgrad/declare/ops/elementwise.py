"""Elementwise functions and activations.

An elementary function is a row of ``scalar.FUNCTIONS``; an activation is one line of
scalar mathematics here.  Adding one touches this file only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from symgrad.declare import dtypes, scalar
from symgrad.declare.build import build, cast, elementwise
from symgrad.declare.tensor import Tensor, as_tensor, constant
from symgrad.errors import DTypeError, GraphError

#: Public name -> function of the table, where they differ.
PUBLIC = {
    "add": "add",
    "subtract": "sub",
    "multiply": "mul",
    "divide": "div",
    "negative": "neg",
    "pow": "pow",
    "floor_divide": "floordiv",
    "remainder": "mod",
    "less": "lt",
    "less_equal": "le",
    "greater": "gt",
    "greater_equal": "ge",
    "equal": "eq",
    "not_equal": "ne",
    "logical_and": "and",
    "logical_or": "or",
    "logical_xor": "xor",
    "logical_not": "not",
}
#: Functions of the table that are no operation of their own.
PRIVATE = {"fma", "select", "polygamma", "threefry", "fold_bits"}
PUBLIC |= {n: n for n in scalar.FUNCTIONS if n not in {*PUBLIC.values(), *PRIVATE}}

#: Activations as scalar mathematics over ``x`` and their parameters.
ACTIVATIONS = {
    "leaky_relu": "where(x > 0, x, slope*x)",
    "silu": "x*sigmoid(x)",
    "mish": "x*tanh(softplus(x))",
    "gelu": "0.5*x*erfc(-x/1.4142135623730951)",  # 1 + erf(…) would cancel
    "gelu_tanh": "0.5*x*(1 + tanh(0.7978845608028654*(x + 0.044715*x*x*x)))",
    "elu": "where(x > 0, x, alpha*expm1(x))",
    "selu": "1.0507009873554805*where(x > 0, x, 1.6732632423543772*expm1(x))",
    "hardswish": "x*minimum(relu(x + 3), 6)/6",
    "hardtanh": "minimum(maximum(x, -1), 1)",
    "softsign": "x/(1 + abs(x))",
}


def _function(public: str, fn: str) -> Callable[..., Tensor]:
    info = scalar.FUNCTIONS[fn]

    def function(*values: Any) -> Tensor:
        if len(values) != info.arity:
            raise GraphError(
                f"{public} takes {info.arity} argument(s), but {len(values)} were given"
            )
        return elementwise(fn, *values)

    function.__name__ = function.__qualname__ = public
    meaning = f" = {info.definition}" if info.definition else ""
    function.__doc__ = (
        f"Return ``{public}({', '.join('xyz'[: info.arity])})``{meaning}, elementwise, "
        "with broadcasting."
    )
    return function


FUNCTIONS: dict[str, Callable[..., Any]] = {
    p: _function(p, f) for p, f in PUBLIC.items()
}


def activation(name: str, x: Any, **parameters: float) -> Tensor:
    """Return one of ``ACTIVATIONS`` applied to each element of ``x``."""
    t = as_tensor(x)
    t = cast(t, dtypes.as_float(t.dtype))
    values = {scalar.var(n): constant(v, t.dtype) for n, v in parameters.items()}
    return build(
        scalar.parse(ACTIVATIONS[name]), {scalar.var("x"): t, **values}, t.dtype
    )


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Tensor:
    """Return ``x`` where positive, ``negative_slope*x`` elsewhere."""
    return activation("leaky_relu", x, slope=negative_slope)


def silu(x: Any) -> Tensor:
    """Return ``x*sigmoid(x)`` (Elfwing, Uchibe & Doya 2018)."""
    return activation("silu", x)


def mish(x: Any) -> Tensor:
    """Return ``x*tanh(softplus(x))`` (Misra 2019)."""
    return activation("mish", x)


def gelu(x: Any, approximate: str = "none") -> Tensor:
    """Return ``x*P(Z <= x)`` for a normal Z (Hendrycks & Gimpel 2016).

    Args:
        x: the argument.
        approximate: ``"none"`` (by erfc) or ``"tanh"``, their approximation.
    """
    if approximate not in ("none", "tanh"):
        raise GraphError(f"gelu: approximate is 'none' or 'tanh', not {approximate!r}")
    return activation("gelu" if approximate == "none" else "gelu_tanh", x)


def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """Return ``x`` where positive, ``alpha*(exp(x) - 1)`` elsewhere."""
    return activation("elu", x, alpha=alpha)


def selu(x: Any) -> Tensor:
    """Return the self-normalising elu (Klambauer et al. 2017)."""
    return activation("selu", x)


def hardswish(x: Any) -> Tensor:
    """Return ``x*min(relu(x + 3), 6)/6`` (Howard et al. 2019)."""
    return activation("hardswish", x)


def hardtanh(x: Any) -> Tensor:
    """Return ``x`` clipped to [-1, 1]."""
    return activation("hardtanh", x)


def softsign(x: Any) -> Tensor:
    """Return ``x/(1 + |x|)``."""
    return activation("softsign", x)


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """Return ``a`` where ``condition`` holds, else ``b``.

    The branch that is not taken contributes an exact 0 to gradients.

    Raises:
        DTypeError: the condition is not bool.
    """
    condition = as_tensor(condition, "bool")
    if condition.dtype != "bool":
        raise DTypeError(
            f"where: the condition {condition.describe()} must be bool; compare first, "
            "e.g. x > 0"
        )
    if not any(isinstance(v, Tensor) for v in (a, b)):
        a = as_tensor(a)
        b = as_tensor(b, a.dtype)
    return elementwise("select", condition, a, b)


def clip(x: Any, min: Any = None, max: Any = None) -> Tensor:
    """Return ``x`` limited to ``[min, max]``; None is no limit."""
    t = as_tensor(x)
    if min is not None:
        t = elementwise("maximum", t, min)
    return t if max is None else elementwise("minimum", t, max)


def positive(x: Any) -> Tensor:
    """Return ``x`` as it is, for which ``+x`` stands."""
    t = as_tensor(x)
    if t.dtype == "bool":
        raise DTypeError(f"positive takes numbers, and {t.describe()} holds none")
    return t


def astype(x: Any, dtype: object) -> Tensor:
    """Return ``x`` with its elements converted to ``dtype``."""
    return cast(as_tensor(x), dtypes.canonical(dtype))


def logaddexp(a: Any, b: Any) -> Tensor:
    """Return ``log(exp(a) + exp(b))`` without overflow."""
    low, high = elementwise("minimum", a, b), elementwise("maximum", a, b)
    same = elementwise("eq", low, high)
    gap = where(same, 0.0, elementwise("sub", low, high))
    return elementwise("add", high, elementwise("log1p", elementwise("exp", gap)))


def hypot(a: Any, b: Any) -> Tensor:
    """Return ``sqrt(a**2 + b**2)``."""
    both = elementwise("add", elementwise("square", a), elementwise("square", b))
    return elementwise("sqrt", both)


def deg2rad(x: Any) -> Tensor:
    """Return degrees as radians."""
    return elementwise("mul", x, math.pi / 180)


FUNCTIONS |= {
    f.__name__: f
    for f in (
        leaky_relu,
        silu,
        mish,
        gelu,
        elu,
        selu,
        hardswish,
        hardtanh,
        softsign,
        where,
        clip,
        positive,
        astype,
        logaddexp,
        hypot,
        deg2rad,
    )
}

"""Scalar functions in ONNX's operators."""

from __future__ import annotations

import math
from collections.abc import Callable

from symgrad.errors import GraphError
from symgrad.interop.onnx_export.builder import Builder

#: Function -> the operator of the same meaning.
SAME = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "neg": "Neg", "pow": "Pow",
    "lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual",
    "eq": "Equal", "and": "And", "or": "Or", "xor": "Xor", "not": "Not",
    "isnan": "IsNaN", "isinf": "IsInf", "select": "Where", "abs": "Abs",
    "sign": "Sign", "floor": "Floor", "ceil": "Ceil", "round": "Round",
    "maximum": "Max", "minimum": "Min", "relu": "Relu", "stop_gradient": "Identity",
    "sqrt": "Sqrt", "reciprocal": "Reciprocal", "exp": "Exp", "log": "Log",
    "sigmoid": "Sigmoid", "softplus": "Softplus", "sin": "Sin", "cos": "Cos",
    "tan": "Tan", "asin": "Asin", "acos": "Acos", "atan": "Atan", "sinh": "Sinh",
    "cosh": "Cosh", "tanh": "Tanh", "asinh": "Asinh", "acosh": "Acosh",
    "atanh": "Atanh", "erf": "Erf",
}  # fmt: skip


class Scalars:
    """Scalar functions of values of one type."""

    def __init__(self, b: Builder, dtype: str) -> None:
        self.b, self.dtype = b, dtype

    def number(self, value: float) -> str:
        """Return a constant of the type."""
        return self.b.constant(value, self.dtype)

    def call(self, fn: str, *args: str) -> str:
        """Return the value of a function.

        Raises:
            GraphError: ONNX has nothing to compose it of.
        """
        if fn in SAME:
            return self.b.add(SAME[fn], *args)
        if fn not in _COMPOSED:
            raise GraphError(f"ONNX has no operators for the function {fn}")
        return _COMPOSED[fn](self, *args)

    def floordiv(self, x: str, y: str) -> str:
        """Round down; ONNX's Div of integers cuts off."""
        if self.dtype.startswith("int"):
            return self.b.floor_divide(x, y)
        return self.call("floor", self.call("div", x, y))

    def mod(self, x: str, y: str) -> str:
        """Take the divisor's sign."""
        if self.dtype.startswith("int"):
            return self.b.add("Mod", x, y)
        rest, zero = self.b.add("Mod", x, y, fmod=1), self.number(0)  # as C's fmod
        signs = self.call("lt", self.call("mul", rest, y), zero)
        return self.call("select", signs, self.call("add", rest, y), rest)

    def copysign(self, x: str, y: str) -> str:
        """Take the size of one and the sign of the other."""
        size = self.call("abs", x)
        return self.call("select", self.signed(y), self.call("neg", size), size)

    def signed(self, x: str) -> str:
        """Return where there is a sign; that of -0 shows in its reciprocal."""
        zero = self.number(0)
        below = self.call("lt", self.call("reciprocal", x), zero)
        return self.call("or", below, self.call("lt", x, zero))

    def expm1(self, x: str) -> str:
        """``tanh(x/2)·(exp(x) + 1)``, exact near 0."""
        half = self.call("tanh", self.call("mul", x, self.number(0.5)))
        return self.call(
            "mul", half, self.call("add", self.call("exp", x), self.number(1))
        )

    def log1p(self, x: str) -> str:
        """``log(u)·x/(u - 1)`` with ``u = 1 + x``, exact near 0 (Kahan)."""
        one = self.number(1)
        u = self.call("add", one, x)
        slope = self.call("div", x, self.call("sub", u, one))
        good = self.call("mul", self.call("log", u), slope)
        infinite = self.call("isinf", x)
        same = self.call("or", self.call("eq", u, one), infinite)
        return self.call("select", same, x, good)

    def scaled(self, fn: str, factor: float, x: str) -> str:
        """Return a function times a factor."""
        return self.call("mul", self.call(fn, x), self.number(factor))

    def atan2(self, y: str, x: str) -> str:
        """By the arctangent of the quotient, moved into the quadrant."""
        zero, half = self.number(0), self.number(math.pi)
        both = self.call("and", self.call("eq", x, zero), self.call("eq", y, zero))
        angle = self.call("atan", self.call("div", y, x))
        angle = self.call("select", both, y, angle)
        turn = self.call("select", self.signed(y), self.call("neg", half), half)
        left = self.call("add", angle, turn)
        return self.call("select", self.signed(x), left, angle)

    def cbrt(self, x: str) -> str:
        """By the power of the size."""
        root = self.call("pow", self.call("abs", x), self.number(1 / 3))
        return self.call("mul", self.call("sign", x), root)


_COMPOSED: dict[str, Callable[..., str]] = {
    "floordiv": Scalars.floordiv,
    "mod": Scalars.mod,
    "fma": lambda s, x, y, z: s.call("add", s.call("mul", x, y), z),
    "ne": lambda s, x, y: s.call("not", s.call("eq", x, y)),
    "isfinite": lambda s, x: s.call(
        "not", s.call("or", s.call("isnan", x), s.call("isinf", x))
    ),
    "trunc": lambda s, x: s.call(
        "mul", s.call("sign", x), s.call("floor", s.call("abs", x))
    ),
    "copysign": Scalars.copysign,
    "cbrt": Scalars.cbrt,
    "rsqrt": lambda s, x: s.call("reciprocal", s.call("sqrt", x)),
    "square": lambda s, x: s.call("mul", x, x),
    "exp2": lambda s, x: s.call("pow", s.number(2), x),
    "expm1": Scalars.expm1,
    "log1p": Scalars.log1p,
    "log2": lambda s, x: s.scaled("log", 1 / math.log(2), x),
    "log10": lambda s, x: s.scaled("log", 1 / math.log(10), x),
    "atan2": Scalars.atan2,
    "erfc": lambda s, x: s.call("sub", s.number(1), s.call("erf", x)),
}

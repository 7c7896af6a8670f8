"""Functions that stay scalar: the C library's, and the derivatives of log-gamma.

These are calls of the C library (accurate to about one unit in the last place, with
C99's special values; float32 goes through float64), so a loop with them is not made
of vector instructions.  digamma and trigamma are their asymptotic series (Abramowitz &
Stegun 6.3.18 and 6.4.12) after ten steps of the recurrence, and the reflection formula
below 1/2.
"""

from __future__ import annotations

import math

from llvmlite import ir

from symgrad.emit.libm.function import elementary
from symgrad.emit.libm.language import (
    F32,
    F64,
    Value,
    narrow,
    round_to_even,
    select,
    widen,
    with_sign,
)
from symgrad.emit.libm.logarithm import log
from symgrad.emit.libm.trigonometric import sin, tan

STEPS = 10
# B(2k)/(2k) for digamma, B(2k) for trigamma, k = 1 … 7
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)


def _c(name: str, *arguments: Value) -> Value:
    """The C library's function of doubles, rounded to the arguments' type."""
    if arguments[0].format is F32:
        return narrow(_c(name, *map(widen, arguments)))
    builder = arguments[0].builder
    kind = ir.FunctionType(F64.real, [F64.real] * len(arguments))
    known = builder.module.globals.get(name)
    function = known or ir.Function(builder.module, kind, name)
    return Value(builder, builder.call(function, [a.code for a in arguments]))


def lgamma(x: Value) -> Value:
    """The logarithm of the absolute value of the gamma function."""
    return _c("lgamma", x)


def pow(x: Value, y: Value) -> Value:
    """X to the power y."""
    return _c("pow", x, y)


def remainder(x: Value, y: Value) -> Value:
    """X - y*floor(x/y), with the sign of y, as Python's %."""
    rest = _c("fmod", x, y)
    turned = select(rest * y < 0.0, rest + y, rest)
    return select(rest.equals(0.0), with_sign(rest, y), turned)


def digamma(x: Value) -> Value:
    """The derivative of log-gamma."""
    if x.format is F32:
        return narrow(digamma(widen(x)))
    below = x < 0.5
    y = select(below, 1.0 - x, x)
    total = 1.0 / (y + float(STEPS - 1))
    for k in range(STEPS - 2, -1, -1):  # from the smallest term
        total = total + 1.0 / (y + float(k))
    z = y + float(STEPS)
    square = 1.0 / (z * z)
    series = square * 0.0
    for k in range(len(BERNOULLI), 0, -1):
        series = (series + BERNOULLI[k - 1] / (2 * k)) * square
    right = (log(z) - total) - (0.5 / z + series)
    left = right - math.pi / tan((x - round_to_even(x)) * math.pi)
    pole = select(
        x < 0.0, select((x - round_to_even(x)).equals(0.0), x * math.nan, left), left
    )
    pole = select(x.equals(0.0), with_sign(x * 0.0 + math.inf, -x), pole)
    return select(below, pole, right)


def trigamma(x: Value) -> Value:
    """The derivative of digamma."""
    if x.format is F32:
        return narrow(trigamma(widen(x)))
    below = x < 0.5
    y = select(below, 1.0 - x, x)
    total = 1.0 / (y * y)
    for k in range(1, STEPS):
        step = y + float(k)
        total = total + 1.0 / (step * step)
    z = y + float(STEPS)
    square = 1.0 / (z * z)
    series = square * 0.0
    for k in range(len(BERNOULLI), 0, -1):
        series = (series + BERNOULLI[k - 1]) * square
    right = total + (1.0 + series) / z + 0.5 * square
    fraction = select(x < -1e300, x.like(0.0), x - round_to_even(x))
    root = math.pi / sin(fraction * math.pi)
    return select(below, root * root - right, right)


def polygamma(n: Value, x: Value) -> Value:
    """The n-th derivative of digamma, n = 1, 2, …: (-1)^(n+1) n! ζ(n + 1, x).

    Below 1/2 the terms of Hurwitz' sum are taken apart at the one next to 0, ``f``:
    ζ(s, x) = f^-s + ζ(s, 1 + f) + (-1)^s (ζ(s, 1 - f) - ζ(s, 1 - x)).
    """
    if x.format is F32:
        return narrow(polygamma(widen(n), widen(x)))
    s = n + 1.0
    below = x < 0.5
    f = select(below, x - round_to_even(x), 0.5)
    odd = remainder(s, x.like(2.0))
    apart = _hurwitz(s, 1.0 - f) - _hurwitz(s, 1.0 - select(below, x, 0.0))
    left = _c("pow", f, -s) + _hurwitz(s, 1.0 + f) + (1.0 - 2.0 * odd) * apart
    zeta = select(below, left, _hurwitz(s, select(below, 1.0, x)))
    return (1.0 - 2.0 * odd) * _c("tgamma", s) * zeta


def _hurwitz(s: Value, x: Value) -> Value:
    """``Σ_k (x + k)^-s`` for x >= 1/2: twelve terms, and the Euler-Maclaurin formula.

    Source: F. Johansson, "Rigorous high-precision computation of the Hurwitz zeta
    function and its derivatives" (2015), equation 5.
    """
    z = x + 12.0
    inverse = 1.0 / z
    series = inverse * 0.0
    for k in range(len(BERNOULLI), 0, -1):  # B(2k)/(2k)! s (s + 1) … (s + 2k - 2)
        factor = (s + (2 * k - 1.0)) * (s + float(2 * k))
        ratio = 1.0 / ((2 * k + 1) * (2 * k + 2))
        step = inverse if k == 1 else inverse * inverse
        series = (series * factor * ratio + BERNOULLI[k - 1]) * step
    total = _c("pow", z, -s) * (0.5 + 0.5 * s * series)
    total = total + _c("pow", z, 1.0 - s) / (s - 1.0)
    for k in range(11, -1, -1):  # from the smallest term
        total = total + _c("pow", x + float(k), -s)
    return total


lgamma_f32, lgamma_f64 = elementary(lgamma)
pow_f32, pow_f64 = elementary(pow)
remainder_f32, remainder_f64 = elementary(remainder)
digamma_f32, digamma_f64 = elementary(digamma)
trigamma_f32, trigamma_f64 = elementary(trigamma)
polygamma_f32, polygamma_f64 = elementary(polygamma)

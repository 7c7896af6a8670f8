"""Compensated arithmetic: a number as the unevaluated sum of two floats.

The sums are Knuth's and Dekker's, the product uses a fused multiply-add; see Joldes,
Muller & Popescu, "Tight and rigorous error bounds for basic building blocks of
double-word arithmetic", ACM TOMS 44 (2017).
"""

from __future__ import annotations

from typing import NamedTuple

from symgrad.emit.libm.language import Value, fma


class Pair(NamedTuple):
    """high + low, where low is at most half a unit in the last place of high."""

    high: Value
    low: Value


def two_sum(a: Value, b: Value) -> Pair:
    """a + b exactly, whichever is larger."""
    high = a + b
    b_part = high - a
    return Pair(high, (a - (high - b_part)) + (b - b_part))


def fast_two_sum(a: Value | float, b: Value) -> Pair:
    """a + b exactly, where a is 0 or of a magnitude not below that of b."""
    high = b + a
    return Pair(high, b - (high - a))


def two_product(a: Value, b: Value | float) -> Pair:
    """a * b exactly, short of underflow."""
    high = a * b
    return Pair(high, fma(a, b, -high))


def add(x: Pair, y: Pair) -> Pair:
    """x + y to about twice the working precision."""
    high, low = two_sum(x.high, y.high)
    tail_high, tail_low = two_sum(x.low, y.low)
    high, low = fast_two_sum(high, low + tail_high)
    return fast_two_sum(high, low + tail_low)


def multiply(x: Pair, y: Pair) -> Pair:
    """x * y to about twice the working precision."""
    high, low = two_product(x.high, y.high)
    low = low + fma(x.high, y.low, x.low * y.high)
    return fast_two_sum(high, low)


def divide(x: Pair, y: Pair) -> Pair:
    """x / y to about twice the working precision."""
    inverse = 1.0 / y.high
    quotient = x.high * inverse
    remainder = fma(-quotient, y.high, x.high) + (x.low - quotient * y.low)
    return fast_two_sum(quotient, remainder * inverse)


def constant(x: Value, high: float, low: float) -> Pair:
    """The constant high + low in the type of x."""
    return Pair(x.like(high), x.like(low))

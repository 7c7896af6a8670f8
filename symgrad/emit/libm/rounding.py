"""Rounding, signs, extrema and the remainder: exact or correctly rounded."""

from symgrad.emit.libm.function import elementary
from symgrad.emit.libm.language import (
    Value,
    fabs,
    maximum_of,
    minimum_of,
    round_down,
    round_to_even,
    round_to_zero,
    round_up,
    select,
    square_root,
    with_sign,
)


def floor(x: Value) -> Value:
    """The greatest integer that is not above x."""
    return round_down(x)


def ceil(x: Value) -> Value:
    """The least integer that is not below x."""
    return round_up(x)


def trunc(x: Value) -> Value:
    """The integer part of x."""
    return round_to_zero(x)


def round(x: Value) -> Value:
    """The nearest integer, the even one of two equally near."""
    return round_to_even(x)


def sqrt(x: Value) -> Value:
    """The square root, correctly rounded."""
    return square_root(x)


def maximum(x: Value, y: Value) -> Value:
    """The larger number; NaN if one is NaN."""
    return maximum_of(x, y)


def minimum(x: Value, y: Value) -> Value:
    """The smaller number; NaN if one is NaN."""
    return minimum_of(x, y)


def copysign(x: Value, y: Value) -> Value:
    """|x| with the sign of y."""
    return with_sign(x, y)


def sign(x: Value) -> Value:
    """-1, 0 or 1 as x is negative, zero or positive; a zero or NaN is its own sign."""
    return select(fabs(x) > 0.0, with_sign(x.like(1.0), x), x)


floor_f32, floor_f64 = elementary(floor)
ceil_f32, ceil_f64 = elementary(ceil)
trunc_f32, trunc_f64 = elementary(trunc)
round_f32, round_f64 = elementary(round)
sqrt_f32, sqrt_f64 = elementary(sqrt)
maximum_f32, maximum_f64 = elementary(maximum)
minimum_f32, minimum_f64 = elementary(minimum)
copysign_f32, copysign_f64 = elementary(copysign)
sign_f32, sign_f64 = elementary(sign)

"""exp, exp2, expm1, sigmoid: Cody & Waite's reduction and a polynomial.

With n the integer nearest x/ln 2 and r = x - n ln 2, |r| <= (ln 2)/2,

    e**x = 2**n e**r,    e**r = 1 + r + r**2 q(r).

ln 2 is the sum of a part short enough for its product with n to be exact and a rest
(Cody & Waite, "Software Manual for the Elementary Functions", 1980).  The polynomials
q are our own minimax fits (Remez exchange in 45 digits, coefficients rounded one after
another with the rest fitted again).
"""

from symgrad.emit.libm.double_word import Pair, fast_two_sum
from symgrad.emit.libm.function import elementary
from symgrad.emit.libm.language import (
    F32,
    Value,
    fabs,
    fma,
    from_bits,
    nearest,
    select,
)
from symgrad.emit.libm.polynomial import polynomial

LOG2_E = 1.4426950408889634
# 0x1.62e4p-1 has 15 bits, 0x1.62e42feep-1 has 32: exact with an n of 9 or 12 bits.
LN2_F32 = (0.693145751953125, 1.4286068203094173e-06)
LN2_F64 = (0.6931471803691238, 1.9082149292705877e-10)

# q(r) = (e**r - 1 - r)/r**2, |r| <= 0.3469: |r**2 (q - poly)| <= 2**-28.2 e**r in f32;
# expm1 and the hyperbolic functions need it relative to r: 2**-29.5 (f64: 2**-55.5).
EXP_F32 = (
    0.4999999403953552,
    0.16666516661643982,
    0.041668105870485306,
    0.008369134739041328,
    0.0013836562866345048,
)
EXPM1_F32 = (
    0.5,
    0.1666666716337204,
    0.04166648909449577,
    0.008333219215273857,
    0.001393224229104817,
    0.00019973402959294617,
)
EXPM1_F64 = (
    0.5000000000000006,
    0.16666666666666685,
    0.04166666666657359,
    0.008333333333315337,
    0.0013888888932393588,
    0.0001984126990099074,
    2.4801504422691474e-05,
    2.755723015560552e-06,
    2.7626338923635853e-07,
    2.5113630512812074e-08,
)

# (2**r - 1)/r, |r| <= 1/2.
EXP2_F32 = (
    0.6931471824645996,
    0.24022650718688965,
    0.05550406128168106,
    0.009618065319955349,
    0.0013337185373529792,
    0.00015461766452062875,
    1.4442306564887986e-05,
)
EXP2_F64 = (
    0.6931471805599453,
    0.24022650695910072,
    0.0555041086648217,
    0.009618129107628494,
    0.0013333558146390427,
    0.00015403530393342168,
    1.5252733856251389e-05,
    1.3215486832316953e-06,
    1.017805120227789e-07,
    7.054888489208028e-09,
    4.4566748645021257e-10,
    2.5741517856469113e-11,
)


def clamp(x: Value, low: float, high: float) -> Value:
    """x between two bounds; a NaN stays one."""
    x = select(x > high, high, x)
    return select(x < low, low, x)


def power_of_two(n: Value) -> Value:
    """2**n for an integer n within the exponents of normal numbers."""
    form = n.format
    return from_bits((n + form.bias) << form.mantissa)


def scale(y: Value, n: Value) -> Value:
    """y * 2**n for y near 1: also where 2**n itself overflows or is subnormal."""
    half = n >> 1
    return y * power_of_two(half) * power_of_two(n - half)


def reduce_by_ln2(x: Value) -> tuple[Pair, Value, Value]:
    """(r, n as an integer, n as a real) with x = n ln 2 + r and r in two words."""
    high, low = LN2_F32 if x.format is F32 else LN2_F64
    n, integer = nearest(x * LOG2_E)
    exact = fma(n, -high, x)
    r = fma(n, -low, exact)
    return Pair(r, fma(n, -low, exact - r)), integer, n


def exp(x: Value) -> Value:
    """e**x."""
    below, above = (-104.0, 89.0) if x.format is F32 else (-746.0, 710.0)
    (r, _), n, _ = reduce_by_ln2(clamp(x, below, above))
    q = polynomial(r, EXP_F32 if x.format is F32 else EXPM1_F64)
    return scale(fma(r * r, q, r) + 1.0, n)


def exp_parts(x: Value) -> tuple[Pair, Value]:
    """(y, n) with e**x = (y.high + y.low) * 2**n to a few bits beyond the format.

    x is within the bounds where e**x neither overflows nor vanishes.
    """
    (r, r_low), n, _ = reduce_by_ln2(x)
    q = polynomial(r, EXPM1_F32 if x.format is F32 else EXPM1_F64)
    high, low = fast_two_sum(1.0, r)
    return Pair(high, low + fma(r * r, q, r_low)), n


def expm1_parts(x: Value) -> Pair:
    """(e**x - 1)/2 as two words, for x up to where e**x overflows.

    With s = 2**(n-1): (s - 1/2) + s*r is the greater part, s*(r**2 q) the rest.  The
    half keeps s finite at the largest n.
    """
    (r, r_low), n, _ = reduce_by_ln2(x)
    q = polynomial(r, EXPM1_F32 if x.format is F32 else EXPM1_F64)
    s = power_of_two(n - 1)
    high, low = fast_two_sum(s - 0.5, s * r)
    return Pair(high, fma(s, fma(r * r, q, r_low), low))


def expm1(x: Value) -> Value:
    """e**x - 1, accurate where x is near 0."""
    above, below = (89.0, -18.0) if x.format is F32 else (710.0, -40.0)
    high, low = expm1_parts(clamp(x, below, above))
    # An x whose half is not exact is its own result, and -0 is.
    y = (high + low) * 2.0
    return select(fabs(x) < x.format.epsilon / 4, x, y)


def exp2(x: Value) -> Value:
    """2**x."""
    below, above = (-152.0, 129.0) if x.format is F32 else (-1077.0, 1025.0)
    x = clamp(x, below, above)
    real, n = nearest(x)
    r = x - real
    p = polynomial(r, EXP2_F32 if x.format is F32 else EXP2_F64)
    return scale(fma(r, p, r.like(1.0)), n)


def sigmoid(x: Value) -> Value:
    """1/(1 + e**-x), from e = e**-|x|, which does not overflow.

    The quotient e/(1 + e) or 1/(1 + e) is corrected by its remainder, which knows of
    the rounding of 1 + e.
    """
    below = -104.0 if x.format is F32 else -746.0
    (high, low), n = exp_parts(clamp(-fabs(x), below, 0.0))
    e = scale(high + low, n)
    denominator, rest = fast_two_sum(1.0, e)
    inverse = 1.0 / denominator
    numerator = select(x < 0.0, e, 1.0)
    quotient = numerator * inverse
    remainder = fma(-quotient, denominator, numerator) - quotient * rest
    return fma(remainder, inverse, quotient)


exp_f32, exp_f64 = elementary(exp)
exp2_f32, exp2_f64 = elementary(exp2)
expm1_f32, expm1_f64 = elementary(expm1)
sigmoid_f32, sigmoid_f64 = elementary(sigmoid)

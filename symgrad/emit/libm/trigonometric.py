"""sin, cos and tan: Payne & Hanek's reduction and polynomials on [-pi/4, pi/4].

    sin r = r + r z S(z),    cos r = 1 - z/2 + z**2 C(z),    z = r**2,

with S and C our own minimax fits (Remez exchange in 45 digits).  The rest of r in the
second word joins the sums as the derivative times it.
"""

from symgrad.emit.libm.double_word import Pair, divide, fast_two_sum
from symgrad.emit.libm.function import elementary
from symgrad.emit.libm.language import (
    F32,
    Value,
    bits,
    fabs,
    fma,
    from_bits,
    narrow,
    select,
    truncate,
    widen,
)
from symgrad.emit.libm.payne_hanek import reduce_f32, reduce_f64
from symgrad.emit.libm.polynomial import polynomial

INFINITY = float("inf")
NAN = float("nan")

# |r| <= 0.52*(pi/2) in f32, pi/4 in f64.
SIN_F32 = (-0.16666652262210846, 0.008332008495926857, -0.00019494591106195003)
COS_F32 = (0.04166664183139801, -0.001388711971230805, 2.441006108711008e-05)
SIN_F64 = (
    -0.16666666666666632,
    0.008333333333322457,
    -0.00019841269829815698,
    2.7557313688585285e-06,
    -2.5050756899386878e-08,
    1.5896693784716915e-10,
)
COS_F64 = (
    0.0416666666666666,
    -0.0013888888888874441,
    2.480158728963646e-05,
    -2.7557314387539785e-07,
    2.087572706986504e-09,
    -1.1359803017920287e-11,
)


def sin_cos_f32(argument: Value) -> tuple[Value, Value]:
    """The sine and cosine of a float64 to the accuracy of float32.

    What r loses as a float32 is added again: just above r = 1/2 its units are twice
    those of its sine.
    """
    r = narrow(argument)
    r_low = narrow(argument - widen(r))
    z = r * r
    sine = fma(r * z, polynomial(z, SIN_F32), r_low) + r
    great = fma(z, -0.5, 1.0)
    lost = fma(z, -0.5, 1.0 - great)
    cosine = fma(z * z, polynomial(z, COS_F32), fma(-r, r_low, lost)) + great
    return sine, cosine


def sin_cos_f64(r: Pair) -> tuple[Pair, Pair]:
    """The sine and cosine of a reduced float64 in two words."""
    high, low = r
    z = high * high
    half = z * 0.5
    sine = fma(high * z, polynomial(z, SIN_F64), fma(-half, low, low))
    great = 1.0 - half
    lost = (1.0 - great) - half
    cosine = fma(z * z, polynomial(z, COS_F64), fma(-high, low, lost))
    return Pair(high, sine), Pair(great, cosine)


def _of_quarter(n: Value, sine: Value, cosine: Value) -> Value:
    """sin(n*(pi/2) + r) from the sine and cosine of r."""
    form = sine.format
    y = select((n & 1).equals(0), sine, cosine)
    return from_bits(bits(y) ^ ((n << (form.integer.width - 2)) & form.sign))


def _sin(x: Value, quarters: int) -> Value:
    """sin(x + quarters*(pi/2))."""
    if x.format is F32:
        r, n = reduce_f32(x)
        y = _of_quarter(truncate(n) + quarters, *sin_cos_f32(r))
    else:
        pair, n = reduce_f64(x)
        (s, s_low), (c, c_low) = sin_cos_f64(pair)
        y = _of_quarter(n + quarters, s + s_low, c + c_low)
    return select(fabs(x) < INFINITY, y, NAN)


def sin(x: Value) -> Value:
    """The sine of x radians."""
    return select(x.equals(0.0), x, _sin(x, 0))


def cos(x: Value) -> Value:
    """The cosine of x radians."""
    return _sin(x, 1)


def _tan_f32(x: Value) -> Value:
    """The quotient in float64, from the first terms of its polynomials."""
    r, n = reduce_f32(x)
    z = r * r
    s = fma(r * z, polynomial(z, SIN_F64[:4]), r)
    c = fma(z * z, polynomial(z, COS_F64[:4]), fma(z, -0.5, 1.0))
    is_even = (n & 1).equals(0)
    y = narrow(select(is_even, s, -c) / select(is_even, c, s))
    return select(x.equals(0.0), x, select(fabs(x) < INFINITY, y, NAN))


def tan(x: Value) -> Value:
    """The tangent of x radians: sin/cos or -cos/sin."""
    if x.format is F32:
        return _tan_f32(x)
    r, n = reduce_f64(x)
    (s, s_low), (c, c_low) = (fast_two_sum(*word) for word in sin_cos_f64(r))
    is_even = (n & 1).equals(0)
    numerator = Pair(select(is_even, s, -c), select(is_even, s_low, -c_low))
    denominator = Pair(select(is_even, c, s), select(is_even, c_low, s_low))
    high, low = divide(numerator, denominator)
    y = select(fabs(x) < INFINITY, high + low, NAN)
    return select(fabs(x) < x.format.epsilon / 4, x, y)


sin_f32, sin_f64 = elementary(sin)
cos_f32, cos_f64 = elementary(cos)
tan_f32, tan_f64 = elementary(tan)

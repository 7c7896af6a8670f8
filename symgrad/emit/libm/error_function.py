"""erf and erfc.

    erf x = x + x P(x**2),                            |x| <= 1,
    erfc x = e**(-x**2) Q(t)/(1 + 2x),  t = (x - 3.75)/(x + 3.75),  x >= 1/2,

with the reflections erf x = 1 - erfc x and erfc(-x) = 2 - erfc x elsewhere.  Q is
smooth over the half-line (Shepherd & Laframboise, "Chebyshev Approximation of (1 + 2x)
exp(x**2) erfc x", Mathematics of Computation 36, 1981); P and Q are our own fits, by
interpolation at Chebyshev points in 60 digits.  float32 goes through float64.
"""

from symgrad.emit.libm.double_word import fast_two_sum, two_product
from symgrad.emit.libm.exponential import exp_parts, scale
from symgrad.emit.libm.function import elementary
from symgrad.emit.libm.language import (
    F32,
    Value,
    fabs,
    fma,
    narrow,
    select,
    widen,
    with_sign,
)
from symgrad.emit.libm.polynomial import polynomial

MIDDLE = 3.75
LAST = 27.5  # erfc vanishes before

ERF = (
    0.1283791670955126,
    -0.3761263890318375,
    0.11283791670954879,
    -0.026866170645076792,
    0.0052239776248180145,
    -0.000854832698083379,
    0.0001205533111164271,
    -1.4925595266831182e-05,
    1.6461000484121368e-06,
    -1.6350312701054695e-07,
    1.4659775274047436e-08,
    -1.1372848856791674e-09,
    5.957176147748911e-11,
)
ERFC = (
    1.2375126308378275,
    -0.14024059858554702,
    0.003585415485465752,
    0.08227673849014953,
    -0.10880393014184976,
    0.09230432116026467,
    -0.058693398586710466,
    0.028362277420170032,
    -0.009746579600786306,
    0.0017556258474428535,
    0.00029371402565764115,
    -0.00029015408091456903,
    5.164722311176646e-05,
    2.2384350565041112e-05,
    -1.1437894356746187e-05,
    -9.74083189006834e-07,
    1.7382428011860549e-06,
    -5.600775966451674e-08,
    -2.407061868199188e-07,
    2.1697084457555475e-08,
    2.4711738482790376e-08,
    -2.6616118709031573e-09,
)


def _small(x: Value) -> Value:
    """Erf x for |x| <= 1."""
    return fma(x, polynomial(x * x, ERF), x)


def _tail(x: Value) -> Value:
    """Erfc x for 1/2 <= x <= LAST."""
    square, square_low = two_product(x, x)
    parts, n = exp_parts(-square)
    high, low = fast_two_sum(*parts)
    q = polynomial((x - MIDDLE) / (x + MIDDLE), ERFC)
    below, below_low = fast_two_sum(2.0 * x, x.like(1.0))
    inverse = 1.0 / below
    quotient = q * inverse
    rest = fma(-quotient, below, q) - quotient * below_low
    # e**-(square + square_low) q/below, each error times the leading factors
    low = fma(high, fma(-square_low, quotient, rest * inverse), low * quotient)
    return scale(fma(high, quotient, low), n)


def erf(x: Value) -> Value:
    """The error function, 2/sqrt(pi) times the integral of e**-t**2 from 0 to x."""
    if x.format is F32:
        return narrow(erf(widen(x)))
    magnitude = fabs(x)
    is_small = magnitude < 1.0
    inner = _small(select(is_small, magnitude, 0.0))
    bounded = select(magnitude > 6.5, 6.5, select(is_small, 1.0, magnitude))
    y = select(is_small, inner, 1.0 - _tail(bounded))
    return select(x.differs(x), x, with_sign(y, x))


def erfc(x: Value) -> Value:
    """1 - erf x, accurate where that is near 0."""
    if x.format is F32:
        return narrow(erfc(widen(x)))
    magnitude = fabs(x)
    is_small = magnitude < 0.5
    inner = 1.0 - _small(select(is_small, x, 0.0))
    bounded = select(magnitude > LAST, LAST, select(is_small, 0.5, magnitude))
    tail = _tail(bounded)
    y = select(is_small, inner, select(x < 0.0, 2.0 - tail, tail))
    return select(x.differs(x), x, y)


erf_f32, erf_f64 = elementary(erf)
erfc_f32, erfc_f64 = elementary(erfc)

"""erf and erfc.

    erf x = x + x P(x**2),                            |x| <= 1,
    erfc x = e**(-x**2) Q(t)/(1 + 2x),  t = (x - m)/(x + m),  x >= 1/2,

with the reflections erf x = 1 - erfc x and erfc(-x) = 2 - erfc x elsewhere.  Q is
smooth over the half-line (Shepherd & Laframboise, "Chebyshev Approximation of (1 + 2x)
exp(x**2) erfc x", Mathematics of Computation 36, 1981); P and Q are our own fits: in
float64 by interpolation at Chebyshev points in 60 digits, in float32 minimax.
"""

from typing import NamedTuple

from symgrad.emit.libm.double_word import fast_two_sum, two_product
from symgrad.emit.libm.exponential import clamp, exp_parts, scale
from symgrad.emit.libm.function import elementary
from symgrad.emit.libm.language import (
    F32,
    Value,
    fabs,
    fma,
    select,
    with_sign,
)
from symgrad.emit.libm.polynomial import polynomial


class Fit(NamedTuple):
    """P and Q in a format: Q(t) is the leading constant and a polynomial beside it.

    The constant's rounding error is in the polynomial, whose sum with it is kept in
    two words: it is what decides the accuracy of erfc.
    """

    p: tuple[float, ...]
    lead: float
    q: tuple[float, ...]
    middle: float  #: m
    vanishes: float  #: erfc x is 0 from here on
    is_one: float  #: erf x is 1 from here on


F32_FIT = Fit(
    p=(
        0.12837916612625122,
        -0.3761262595653534,
        0.11283578723669052,
        -0.026853347197175026,
        0.005187162198126316,
        -0.0007997853099368513,
        7.806903886375949e-05,
    ),
    lead=1.2648382186889648,
    q=(
        -3.5536039888484083e-08,
        -0.12235677242279053,
        -0.09902437776327133,
        0.15763027966022491,
        -0.10297052562236786,
        0.03275565057992935,
        0.0009577591554261744,
        -0.004348992370069027,
        0.00041242470615543425,
        0.0005352911539375782,
    ),
    middle=2.5,
    vanishes=10.06,
    is_one=4.0,
)
F64_FIT = Fit(
    p=(
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
    ),
    lead=1.2375126308378275,
    q=(
        0.0,
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
    ),
    middle=3.75,
    vanishes=27.5,
    is_one=6.5,
)


def _fit(x: Value) -> Fit:
    return F32_FIT if x.format is F32 else F64_FIT


def _small(x: Value) -> Value:
    """Erf x for |x| <= 1."""
    return fma(x, polynomial(x * x, _fit(x).p), x)


def _tail(x: Value) -> Value:
    """Erfc x for x from 1/2 to where it vanishes."""
    fit = _fit(x)
    square, square_low = two_product(x, x)
    parts, n = exp_parts(-square)
    high, low = fast_two_sum(*parts)
    t = (x - fit.middle) / (x + fit.middle)
    q, q_low = fast_two_sum(fit.lead, polynomial(t, fit.q))
    below, below_low = fast_two_sum(2.0 * x, x.like(1.0))
    inverse = 1.0 / below
    quotient = q * inverse
    rest = fma(-quotient, below, q) + (q_low - quotient * below_low)
    # e**-(square + square_low) q/below, each error times the leading factors
    low = fma(high, fma(-square_low, quotient, rest * inverse), low * quotient)
    return scale(fma(high, quotient, low), n)


def erf(x: Value) -> Value:
    """The error function, 2/sqrt(pi) times the integral of e**-t**2 from 0 to x."""
    magnitude = fabs(x)
    is_small = magnitude < 1.0
    inner = _small(select(is_small, magnitude, 0.0))
    bounded = clamp(magnitude, 1.0, _fit(x).is_one)
    y = select(is_small, inner, 1.0 - _tail(bounded))
    return select(x.differs(x), x, with_sign(y, x))


def erfc(x: Value) -> Value:
    """1 - erf x, accurate where that is near 0."""
    magnitude = fabs(x)
    is_small = magnitude < 0.5
    inner = 1.0 - _small(select(is_small, x, 0.0))
    bounded = clamp(magnitude, 0.5, _fit(x).vanishes)
    tail = _tail(bounded)
    y = select(is_small, inner, select(x < 0.0, 2.0 - tail, tail))
    return select(x.differs(x), x, y)


erf_f32, erf_f64 = elementary(erf)
erfc_f32, erfc_f64 = elementary(erfc)

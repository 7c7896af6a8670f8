"""log, log2, log10, log1p and softplus: a series in (m - 1)/(m + 1) or in m - 1.

x = 2**e m with sqrt(1/2) <= m < sqrt(2), and with f = m - 1

    log x = e ln 2 + f - f**2/2 + f**3 P(f).

In f32, P is a polynomial.  In f64 the rest comes from s = f/(2 + f) as in fdlibm's
e_log.c (Ng, Sun Microsystems, 1993), log(1 + f) = 2 artanh s, z = s**2:

    log(1 + f) = f - (h - s (h + z R(z))),   h = f**2/2.

P and R are our own minimax fits (Remez exchange in 45 digits).
"""

from typing import NamedTuple

from symgrad.emit.libm.double_word import Pair, fast_two_sum, two_product, two_sum
from symgrad.emit.libm.exponential import (
    LN2_F32,
    LN2_F64,
    clamp,
    exp_parts,
    scale,
)
from symgrad.emit.libm.function import elementary
from symgrad.emit.libm.language import (
    F32,
    Value,
    bits,
    fabs,
    fma,
    from_bits,
    integer_as_real,
    select,
)
from symgrad.emit.libm.polynomial import polynomial

INFINITY = float("inf")
NAN = float("nan")
Factors = dict[str, tuple[tuple[float, float], tuple[float, float]]]
SQRT_HALF = 0.7071067811865476

LOG_F32 = (
    0.33333316445350647,
    -0.25000816583633423,
    0.2000231295824051,
    -0.16624338924884796,
    0.14180514216423035,
    -0.13130226731300354,
    0.1288696676492691,
    -0.07862360775470734,
)
LOG_F64 = (
    0.6666666666666735,
    0.39999999999408736,
    0.28571428743913924,
    0.22222198398536305,
    0.1818357424258417,
    0.1531377709135842,
    0.14798870441103934,
)

# log_b x = e log_b 2 + log(m) / ln b: both factors in two words, that of e with a short
# first one so that its product with e is exact.
LOG2_FACTORS = {
    "f32": ((1.0, 0.0), (1.4426950216293335, 1.925963033500011e-08)),
    "f64": ((1.0, 0.0), (1.4426950408889634, 2.0355273740931033e-17)),
}
LOG10_FACTORS = {
    "f32": (
        (0.301025390625, 4.605039066518657e-06),
        (0.4342944920063019, -1.0103049952192578e-08),
    ),
    "f64": (
        (0.3010299956640665, -8.532344317057107e-14),
        (0.4342944819032518, 1.098319650216765e-17),
    ),
}


class Reduced(NamedTuple):
    """A positive finite x = 2**e (1 + f), sqrt(1/2) <= 1 + f < sqrt(2)."""

    e: Value
    f: Value
    unit: Value  # 2**-e, where e is above that of subnormal numbers


def reduce_by_powers_of_two(x: Value) -> Reduced:
    """Subtracting the bits of sqrt(1/2) leaves e in the exponent's place."""
    form = x.format
    is_subnormal = x < form.tiny
    x = select(is_subnormal, x * 2.0**form.mantissa, x)
    origin = form.pattern(SQRT_HALF)
    shifted = bits(x) - origin
    exponent = shifted >> form.mantissa
    m = from_bits(shifted - (exponent << form.mantissa) + origin)
    e = integer_as_real(exponent)
    e = select(is_subnormal, e - form.mantissa, e)
    return Reduced(e, m - 1.0, from_bits((form.bias - exponent) << form.mantissa))


def log1p_tail(f: Value) -> Value:
    """log(1 + f) - f for f in [sqrt(1/2) - 1, sqrt(2) - 1]."""
    if f.format is F32:
        return f * f * fma(f, polynomial(f, LOG_F32), -0.5)
    s = f / (f + 2.0)
    z = s * s
    half_square = 0.5 * f * f
    return fma(s, fma(z, polynomial(z, LOG_F64), half_square), -half_square)


def at_the_ends(x: Value, y: Value) -> Value:
    """y, the logarithm of x, where x is positive and finite; else what C99 says."""
    y = select(x < INFINITY, y, x)
    return select(x > 0.0, y, select(x.equals(0.0), x.like(-INFINITY), NAN))


def log(x: Value) -> Value:
    """The natural logarithm of x."""
    e, f, _ = reduce_by_powers_of_two(x)
    high, low = LN2_F32 if x.format is F32 else LN2_F64
    y = fma(e, high, f + fma(e, low, log1p_tail(f)))
    return at_the_ends(x, y)


def _log_of_base(x: Value, factors: Factors) -> Value:
    (e_high, e_low), (f_high, f_low) = factors[x.format.name]
    e, f, _ = reduce_by_powers_of_two(x)
    product = two_product(f, f_high)
    tail = fma(log1p_tail(f), f_high, fma(f, f_low, fma(e, e_low, product.low)))
    high, low = fast_two_sum(e * e_high, product.high)
    return at_the_ends(x, high + (low + tail))


def log2(x: Value) -> Value:
    """The logarithm of x to base 2."""
    return _log_of_base(x, LOG2_FACTORS)


def log10(x: Value) -> Value:
    """The logarithm of x to base 10."""
    return _log_of_base(x, LOG10_FACTORS)


def log_of_sum(u: Value, correction: Value) -> Pair:
    """log(u + correction) in two words: u is normal, the correction below its ulp.

    The correction, scaled as u was, joins f; where e = 0 that undoes the rounding of
    1 + x, and what is lost elsewhere is added to the lower word.
    """
    e, f, unit = reduce_by_powers_of_two(u)
    correction = select(e < u.format.mantissa + 2, correction * unit, 0.0)
    ln2_high, ln2_low = LN2_F32 if u.format is F32 else LN2_F64
    f, f_low = fast_two_sum(f, correction)
    high, low = fast_two_sum(e * ln2_high, f)
    return Pair(high, low + (fma(e, ln2_low, log1p_tail(f)) + f_low))


def log1p(x: Value) -> Value:
    """log(1 + x), accurate where x is near 0."""
    u, correction = two_sum(x.like(1.0), x)
    high, low = log_of_sum(u, correction)
    y = at_the_ends(u, high + low)
    return select(fabs(x) < x.format.epsilon / 4, x, y)


def softplus(x: Value) -> Value:
    """log(1 + e**x) = max(x, 0) + log(1 + e**-|x|)."""
    below = -104.0 if x.format is F32 else -746.0
    (power, power_low), n = exp_parts(clamp(-fabs(x), below, 0.0))
    power, power_low = fast_two_sum(power, power_low)
    u, correction = fast_two_sum(1.0, scale(power, n))
    log_high, log_low = log_of_sum(u, correction + scale(power_low, n))
    high, low = two_sum(select(x > 0.0, x, 0.0), log_high)
    y = high + (low + log_low)
    return select(x < INFINITY, select(x.differs(x), x, y), x)


log_f32, log_f64 = elementary(log)
log2_f32, log2_f64 = elementary(log2)
log10_f32, log10_f64 = elementary(log10)
log1p_f32, log1p_f64 = elementary(log1p)
softplus_f32, softplus_f64 = elementary(softplus)

"""sinh, cosh, tanh and their inverses, from expm1 and log1p in two words.

With u = e**|x| - 1 = high + low and d = u + 1:

    sinh x = (u + u/d)/2,    cosh x = 1 + (u - u/d)/2,
    tanh x = (e**(2|x|) - 1)/(e**(2|x|) + 1)

and, for the inverses,

    asinh x = log(|x| + sqrt(x**2 + 1)),
    acosh x = log(x + sqrt((x - 1)(x + 1))),
    atanh x = log(1 + 2|x|/(1 - |x|))/2,

with log(2|x|) where x**2 would overflow.  Arguments of the logarithm are carried in two
words, because its slope is 1 where they are near 1.  But for tanh, float32 goes through
float64.
"""

from symgrad.emit.libm.double_word import (
    Pair,
    add,
    divide,
    fast_two_sum,
    multiply,
    two_product,
    two_sum,
)
from symgrad.emit.libm.exponential import exp_parts, expm1_parts, scale
from symgrad.emit.libm.function import elementary
from symgrad.emit.libm.language import (
    F32,
    Value,
    fabs,
    fma,
    narrow,
    select,
    square_root,
    widen,
    with_sign,
)
from symgrad.emit.libm.logarithm import log_of_sum

INFINITY = float("inf")
NAN = float("nan")
LN2, LN2_LOW = 0.6931471805599453, 2.3190468138462996e-17
SWITCH = 40.0  # above, e**-x is lost beside e**x
TINY = 2.0**-28  # below, sinh x is x
SMALL = 2.0**-26  # below, two terms of the series do


def tanh(x: Value) -> Value:
    """(e**x - e**-x)/(e**x + e**-x), from u = (e**(2|x|) - 1)/2 as u/(u + 1)."""
    flat = 10.0 if x.format is F32 else 20.0
    magnitude = fabs(x)
    u, u_low = fast_two_sum(
        *expm1_parts(2.0 * select(magnitude > flat, flat, magnitude))
    )
    denominator, rest = two_sum(x.like(1.0), u)
    inverse = 1.0 / denominator
    quotient = u * inverse
    remainder = fma(-quotient, denominator, u) + fma(-quotient, rest + u_low, u_low)
    y = fma(remainder, inverse, quotient)
    return with_sign(select(magnitude < x.format.epsilon, magnitude, y), x)


def _large(x: Value) -> Value:
    """e**x/2, also where e**x overflows."""
    (high, low), n = exp_parts(x)
    return scale(high + low, n - 1)


def _halves(x: Value) -> tuple[Pair, Pair]:
    """(u/2, u/(2d)) with u = e**x - 1 and d = e**x, for 0 <= x <= SWITCH."""
    u = Pair(*fast_two_sum(*expm1_parts(x)))
    d, d_low = two_sum(x.like(1.0), 2.0 * u.high)
    return u, divide(u, Pair(d, d_low + 2.0 * u.low))


def sinh(x: Value) -> Value:
    """(e**x - e**-x)/2."""
    if x.format is F32:
        return narrow(sinh(widen(x)))
    magnitude = fabs(x)
    is_large = magnitude > SWITCH
    u, v = _halves(select(is_large, SWITCH, magnitude))
    high, low = two_sum(u.high, v.high)
    y = high + (low + (u.low + v.low))
    y = select(is_large, _large(select(magnitude > 711.0, 711.0, magnitude)), y)
    return with_sign(select(magnitude < TINY, magnitude, y), x)


def cosh(x: Value) -> Value:
    """(e**x + e**-x)/2."""
    if x.format is F32:
        return narrow(cosh(widen(x)))
    magnitude = fabs(x)
    is_large = magnitude > SWITCH
    u, v = _halves(select(is_large, SWITCH, magnitude))
    # (d + 1/d)/2 = 1 + u/2 - u/(2d)
    high, low = two_sum(u.high, -v.high)
    one, rest = two_sum(x.like(1.0), high)
    y = one + (rest + (low + (u.low - v.low)))
    y = select(is_large, _large(select(magnitude > 711.0, 711.0, magnitude)), y)
    return select(x.differs(x), x, y)


def _log(u: Pair, doubled: Value) -> Value:
    """Log u; log 2u where the condition holds."""
    high, low = log_of_sum(u.high, u.low)
    more, rest = two_sum(select(doubled, high.like(LN2), 0.0), high)
    return more + (rest + (low + select(doubled, high.like(LN2_LOW), 0.0)))


def _root(z: Pair) -> Pair:
    """The square root in two words."""
    root = square_root(z.high)
    error = fma(-root, root, z.high) + z.low
    return fast_two_sum(root, 0.5 * error / select(root.equals(0.0), 1.0, root))


def asinh(x: Value) -> Value:
    """Log(x + sqrt(x**2 + 1))."""
    if x.format is F32:
        return narrow(asinh(widen(x)))
    magnitude = fabs(x)
    is_large = magnitude > 2.0**30
    a = select(is_large, 1.0, magnitude)
    high, low = two_product(a, a)
    root = _root(add(Pair(a.like(1.0), a.like(0.0)), Pair(high, low)))
    u = add(root, Pair(a, a.like(0.0)))
    u = Pair(select(is_large, magnitude, u.high), select(is_large, 0.0, u.low))
    y = _log(u, is_large)
    near = fma(magnitude * magnitude, magnitude * (-1 / 6), magnitude)
    y = select(magnitude < SMALL, near, select(magnitude < INFINITY, y, magnitude))
    return with_sign(y, x)


def acosh(x: Value) -> Value:
    """Log(x + sqrt(x**2 - 1))."""
    if x.format is F32:
        return narrow(acosh(widen(x)))
    is_large = x > 2.0**30
    a = select(is_large, 1.0, select(x < 1.0, 1.0, x))
    square = multiply(two_sum(a, a.like(-1.0)), two_sum(a, a.like(1.0)))
    u = add(_root(square), Pair(a, a.like(0.0)))
    u = Pair(select(is_large, x, u.high), select(is_large, 0.0, u.low))
    y = select(x < INFINITY, _log(u, is_large), x)
    return select(x >= 1.0, y, x.like(NAN))


def atanh(x: Value) -> Value:
    """Log((1 + x)/(1 - x))/2."""
    if x.format is F32:
        return narrow(atanh(widen(x)))
    magnitude = fabs(x)
    a = select(magnitude < 1.0, magnitude, 0.5)
    w = divide(Pair(2.0 * a, a.like(0.0)), two_sum(a.like(1.0), -a))
    high, low = log_of_sum(*add(Pair(a.like(1.0), a.like(0.0)), w))
    y = 0.5 * (high + low)
    near = fma(magnitude * magnitude, magnitude * (1 / 3), magnitude)
    y = select(magnitude < SMALL, near, y)
    y = select(magnitude < 1.0, y, select(magnitude.equals(1.0), x.like(INFINITY), NAN))
    return select(x.differs(x), x, with_sign(y, x))


tanh_f32, tanh_f64 = elementary(tanh)
sinh_f32, sinh_f64 = elementary(sinh)
cosh_f32, cosh_f64 = elementary(cosh)
asinh_f32, asinh_f64 = elementary(asinh)
acosh_f32, acosh_f64 = elementary(acosh)
atanh_f32, atanh_f64 = elementary(atanh)

"""sinh, cosh, tanh and their inverses, from expm1 and log1p in two words.

With u = e**|x| - 1 = high + low and d = u + 1:

    sinh x = (u + u/d)/2,    cosh x = (d + 1/d)/2,
    tanh x = (e**(2|x|) - 1)/(e**(2|x|) + 1)

and, for the inverses (fdlibm's formulas),

    asinh x = log1p(|x| + x**2/(1 + sqrt(1 + x**2))),
    acosh x = log1p(t + sqrt(2t + t**2)),   t = x - 1,
    atanh x = log1p(2|x|/(1 - |x|))/2,

with log(2|x|) where x**2 would overflow.  Arguments of the logarithm are carried in two
words, because its slope is 1 where they are small.
"""

from symgrad.emit.libm.double_word import (
    fast_two_sum,
    two_sum,
)
from symgrad.emit.libm.exponential import expm1_parts
from symgrad.emit.libm.function import elementary
from symgrad.emit.libm.language import (
    F32,
    Value,
    fabs,
    fma,
    select,
    with_sign,
)

INFINITY = float("inf")
LN2 = 0.6931471805599453


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


tanh_f32, tanh_f64 = elementary(tanh)

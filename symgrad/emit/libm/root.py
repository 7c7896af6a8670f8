"""The cube root: 2**(log2(x)/3), improved by one step of Newton's method.

The first guess is right to about 45 bits, and the residual y**3 - x is computed in two
words, so that the result is rounded almost correctly.
"""

from symgrad.emit.libm.double_word import two_product
from symgrad.emit.libm.exponential import exp2
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
from symgrad.emit.libm.logarithm import log2

LARGE, SMALL = 2.0**900, 2.0**-900


def cbrt(x: Value) -> Value:
    """The cube root, negative where x is."""
    if x.format is F32:
        return narrow(cbrt(widen(x)))
    magnitude = fabs(x)
    ordinary = select(magnitude < float("inf"), magnitude, 1.0)
    ordinary = select(ordinary.equals(0.0), 1.0, ordinary)
    is_large, is_small = ordinary > LARGE, ordinary < SMALL
    a = ordinary * select(is_large, SMALL, select(is_small, ordinary.like(LARGE), 1.0))
    y = exp2(log2(a) * (1 / 3))
    square, square_low = two_product(y, y)
    cube, cube_low = two_product(square, y)
    residual = (cube - a) + fma(square_low, y, cube_low)
    y = y - residual / (3.0 * square)
    y = y * select(is_large, 2.0**300, select(is_small, y.like(2.0**-300), 1.0))
    special = (magnitude.equals(0.0)) | (magnitude.equals(float("inf")))
    y = select(special, magnitude, y)
    return select(x.differs(x), x, with_sign(y, x))


cbrt_f32, cbrt_f64 = elementary(cbrt)

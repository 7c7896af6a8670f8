"""Arguments of sin, cos and tan in quarter turns: x*(2/pi) modulo 4, for every x.

x = m 2**(e-52) with an integer m, so multiples of 4 in 2**(e-52)*(2/pi) do not matter,
and about 160 bits below them give the product with full relative accuracy even for the
x nearest to a multiple of pi/2 (Payne & Hanek, "Radian reduction for trigonometric
functions", SIGNUM Newsletter 18, 1983).

float64 reads those bits from a table by exponent: a vectorised loop gathers them.
float32 has so few exponents that choosing between five windows of 2/pi is cheaper.
"""

from __future__ import annotations

from functools import cache
from math import ldexp

from symgrad.emit.libm.double_word import Pair, two_product, two_sum
from symgrad.emit.libm.language import (
    F64,
    Value,
    bits,
    fabs,
    fma,
    from_bits,
    look_up,
    nearest,
    round_to_even,
    select,
    widen,
)

PRECISION = 1216
TWO_OVER_PI = int(  # floor(2**PRECISION * 2/pi)
    "a2f9836e4e441529fc2757d1f534ddc0db6295993c439041fe5163abdebbc561"
    "b7246e3a424dd2e006492eea09d1921cfe1deb1cb129a73ee88235f52ebb4484"
    "e99c7026b45f7e413991d639835339f49c845f8bbdf9283b1ff897ffde05980f"
    "ef2f118b5a0a6d1f6d367ecf27cb09b74f463f669e5fea2d7527bac7ebe5f17b"
    "3d0739f78a5292ea6bfb5fb11f8d5d0856033046fc7b6bab",
    16,
)
HALF_PI = (1.5707963267948966, 6.123233995736766e-17)
QUARTER_PI = 0.7853981633974483

# The table starts where |x| may be above pi/4, and ends with the format.
LEAST_EXPONENT, GREATEST_EXPONENT = -1, 1023
WORDS = 4

# (first exponent, window): 2/pi without its multiples of 2**(25 - exponent), in two
# words; times an x of 24 bits, those are multiples of 4.
WHOLE_F32 = (0.6366197723675814, -3.935735335036497e-17)
WINDOWS_F32 = (
    (47, (-3.3922091508486964e-08, -5.434184107743751e-25)),
    (69, (1.4504564269239186e-14, -5.321602079519459e-31)),
    (91, (-8.144891411629536e-22, 2.5184173833409495e-39)),
    (113, (-5.811337864506167e-28, 2.620403181749314e-44)),
)


@cache
def _table() -> list[float]:
    """2**(exponent - 52) * 2/pi modulo 4, four words for every exponent.

    The first word is a multiple of 2**-50, so that an integer of 53 bits times it is,
    modulo 4, one float64.
    """
    scale = 240
    table = []
    for exponent in range(LEAST_EXPONENT, GREATEST_EXPONENT + 1):
        turns = TWO_OVER_PI >> (PRECISION - scale - (exponent - 52))
        rest = (turns + (2 << scale)) % (4 << scale) - (2 << scale)
        first = rest >> (scale - 50)
        rest -= first << (scale - 50)
        table.append(ldexp(first, -50))
        for _ in range(WORDS - 1):
            word = float(rest)
            rest -= int(word)
            table.append(ldexp(word, -scale))
    return table


def _integer_mantissa(x: Value) -> tuple[Value, Value]:
    """(m, e) with x = m * 2**(e - 52) and 2**52 <= |m| < 2**53, for a normal x."""
    n = bits(x)
    e = ((n >> 52) & 0x7FF) - F64.bias
    kept = n & ((1 << 52) - 1 | F64.sign)
    return from_bits(kept | F64.pattern(2.0**52)), e


def quarter_turns(x: Value) -> tuple[Pair, Value]:
    """(r, n) with x = (n + r)*(pi/2), |r| <= 1/2, n modulo 4; x is a float64.

    All sums are exact until the great terms have cancelled.
    """
    m, e = _integer_mantissa(x)
    e = select(e < LEAST_EXPONENT, LEAST_EXPONENT, e)
    e = select(e > GREATEST_EXPONENT, GREATEST_EXPONENT, e)
    row = (e - LEAST_EXPONENT) * WORDS
    first, second, third, fourth = (
        look_up(_table(), row + word, "symgrad.two_over_pi") for word in range(WORDS)
    )
    great = two_product(m, first)
    middle = two_product(m, second)
    small = two_product(m, third)
    turns = fma(round_to_even(great.high * 0.25), -4.0, great.high) + great.low
    nearest_turn, n = nearest(turns + middle.high)
    near = two_sum(turns - nearest_turn, middle.high)
    far = two_sum(middle.low, small.high)
    high, low = two_sum(near.high, far.high)
    return Pair(high, low + (near.low + far.low + fma(m, fourth, small.low))), n


def reduce_f64(x: Value) -> tuple[Pair, Value]:
    """(r, n) with x = n*(pi/2) + r, |r| <= pi/4 in two words and n modulo 4."""
    (turns, turns_low), n = quarter_turns(x)
    high, low = two_product(turns, HALF_PI[0])
    low = low + fma(turns, HALF_PI[1], turns_low * HALF_PI[0])
    is_small = fabs(x) < QUARTER_PI
    reduced = Pair(select(is_small, x, high), select(is_small, 0.0, low))
    return reduced, select(is_small, 0, n)


def reduce_f32(x: Value) -> tuple[Value, Value]:
    """(r, n) with x = n*(pi/2) + r, |r| <= 0.52*(pi/2) a float64 and n modulo 4."""
    magnitude = fabs(x)
    x = widen(x)
    high, low = x.like(WHOLE_F32[0]), x.like(WHOLE_F32[1])
    for exponent, (window_high, window_low) in WINDOWS_F32:
        is_within = magnitude >= 2.0**exponent
        high = select(is_within, window_high, high)
        low = select(is_within, window_low, low)
    product = two_product(x, high)
    turn, n = nearest(product.high)
    turns = (product.high - turn) + fma(x, low, product.low)
    return turns * HALF_PI[0], n

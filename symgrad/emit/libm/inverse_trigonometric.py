"""asin, acos, atan and atan2.

    atan t = t + t z A(z),    z = t**2,  |t| <= 1,

with atan t = pi/2 - atan(1/t) outside, and, for |t| <= 1/2,

    asin t = t + t z B(z),    acos t = pi/2 - asin t,

with acos t = 2 asin(sqrt((1 - t)/2)) above 1/2, as in fdlibm.  A and B are our own
minimax fits (Remez exchange in 45 digits).  But for atan, float32 goes through float64.
"""

from symgrad.emit.libm.double_word import Pair
from symgrad.emit.libm.function import elementary
from symgrad.emit.libm.language import (
    F32,
    Value,
    bits,
    fabs,
    fma,
    narrow,
    select,
    square_root,
    widen,
    with_sign,
)
from symgrad.emit.libm.polynomial import polynomial

INFINITY = float("inf")
HUGE = 2.0**500

HALF_PI = {
    "f32": (1.5707963705062866, -4.371138828673793e-08),
    "f64": (1.5707963267948966, 6.123233995736766e-17),
}

ATAN_F32 = (
    -0.33333301544189453,
    0.1999862641096115,
    -0.14265091717243195,
    0.1095665767788887,
    -0.08416460454463959,
    0.058178067207336426,
    -0.03139448165893555,
    0.01102900318801403,
    -0.0018187306122854352,
)
ATAN_F64 = (
    -0.33333333333333093,
    0.19999999999955462,
    -0.1428571428280342,
    0.11111111013679176,
    -0.0909090711966774,
    0.0769228119076539,
    -0.06666415025122702,
    0.05880592695938753,
    -0.05253806105776411,
    0.047232950366893685,
    -0.042217217862394296,
    0.03669360046411557,
    -0.029985676013682735,
    0.022085271027165895,
    -0.013995095858568582,
    0.0072634350599411765,
    -0.00291938317458196,
    0.0008435000089460389,
    -0.00015480061997999607,
    1.3489663239355473e-05,
)
ASIN_F64 = (
    0.16666666666665375,
    0.07500000000344985,
    0.04464285682188553,
    0.030381959395403106,
    0.022371752019506464,
    0.017359793504875824,
    0.013884377810504257,
    0.012174735423069658,
    0.006504490023541588,
    0.019591564459631252,
    -0.016322233624705692,
    0.031978607021363306,
)


def _atan_tail(t: Value) -> Value:
    """Atan(t) - t for 0 <= t <= 1."""
    z = t * t
    return t * z * polynomial(z, ATAN_F32 if t.format is F32 else ATAN_F64)


def _asin_tail(t: Value, z: Value) -> Value:
    """Asin(t) - t for |t| <= 1/2, z = t**2."""
    return t * z * polynomial(z, ASIN_F64)


def atan(x: Value) -> Value:
    """The angle whose tangent is x."""
    magnitude = fabs(x)
    is_steep = magnitude > 1.0
    t = select(is_steep, 1.0 / magnitude, magnitude)
    high, low = HALF_PI[x.format.name]
    tail = _atan_tail(t)
    y = select(is_steep, high - (t + (tail - low)), t + tail)
    return with_sign(y, x)


def asin(x: Value) -> Value:
    """The angle in [-pi/2, pi/2] whose sine is x."""
    if x.format is F32:
        return narrow(asin(widen(x)))
    magnitude = fabs(x)
    is_small = magnitude <= 0.5
    z = select(is_small, magnitude * magnitude, 0.5 * (1.0 - magnitude))
    root, root_low = _square_root(z)
    t = select(is_small, magnitude, root)
    tail = _asin_tail(t, z)
    high, low = HALF_PI["f64"]
    outer = high - (2.0 * root + (2.0 * (tail + root_low) - low))
    return with_sign(select(is_small, t + tail, outer), x)


def acos(x: Value) -> Value:
    """The angle in [0, pi] whose cosine is x."""
    if x.format is F32:
        return narrow(acos(widen(x)))
    magnitude = fabs(x)
    is_small = magnitude <= 0.5
    z = select(is_small, x * x, 0.5 * (1.0 - magnitude))
    root, root_low = _square_root(z)
    t = select(is_small, x, root)
    tail = _asin_tail(t, z)
    high, low = HALF_PI["f64"]
    middle = high - (t + (tail - low))
    right = 2.0 * (root + (tail + root_low))
    left = 2.0 * (high - (root + (tail + root_low - low)))
    return select(is_small, middle, select(x < 0.0, left, right))


def _square_root(z: Value) -> Pair:
    """Sqrt(z) in two words."""
    root = square_root(z)
    low = 0.5 * fma(-root, root, z) / select(root.equals(0.0), 1.0, root)
    return Pair(root, low)


def atan2(y: Value, x: Value) -> Value:
    """The angle of the point (x, y)."""
    if x.format is F32:
        return narrow(atan2(widen(y), widen(x)))
    height, width = fabs(y), fabs(x)
    is_steep = height > width
    lesser = select(is_steep, width, height)
    greater = select(is_steep, height, width)
    # the angles of 0/0 and inf/inf are 0 and pi/4
    both = lesser.equals(INFINITY)
    lesser = select(both, 1.0, lesser)
    greater = select(both, 1.0, select(greater.equals(0.0), 1.0, greater))
    slight = select(greater < 1.0 / HUGE, greater.like(HUGE), 1.0)
    unit = select(greater > HUGE, greater.like(1.0 / HUGE), slight)
    lesser, greater = lesser * unit, greater * unit
    t = lesser / greater
    t_low = fma(-t, greater, lesser) / greater
    t_low = select(greater < INFINITY, t_low, 0.0)
    low = _atan_tail(t) + t_low / fma(t, t, t.like(1.0))
    half_high, half_low = HALF_PI["f64"]
    # the angle is a sum of two words, turned at pi/2 and then at pi
    turn_high = select(is_steep, half_high - t, t)
    turn_low = select(is_steep, (half_high - turn_high) - t + (half_low - low), low)
    back_high = 2.0 * half_high - turn_high
    back_low = (2.0 * half_high - back_high) - turn_high + (2.0 * half_low - turn_low)
    behind = bits(x) < 0
    angle = select(behind, back_high + back_low, turn_high + turn_low)
    angle = select(y.differs(y), y, select(x.differs(x), x, angle))
    return with_sign(angle, y)


asin_f32, asin_f64 = elementary(asin)
acos_f32, acos_f64 = elementary(acos)
atan_f32, atan_f64 = elementary(atan)
atan2_f32, atan2_f64 = elementary(atan2)

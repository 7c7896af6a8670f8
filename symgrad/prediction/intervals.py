"""Interval arithmetic on scalar expressions, many intervals at a time.

An interval is a pair of float64 arrays, lower and upper ends.  Every result is rounded
outward: by one unit in the last place for arithmetic, which IEEE 754 rounds correctly,
and by 32 for elementary functions, which NumPy and SciPy evaluate to within a few.
Where a function has no value (the logarithm of a negative number) the interval is
empty, written as NaN ends, and so is all that is computed from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from symgrad.declare.scalar import FUNCTIONS, Expr, parse

Ends = np.ndarray
Interval = tuple[Ends, Ends]
ULPS = 32
WHOLE = (-math.inf, math.inf)


def enclose(e: Expr, values: Mapping[str, Interval]) -> Interval:
    """Return intervals that hold every value of ``e`` over boxes of its variables.

    >>> one = np.array([1.0])
    >>> low, high = enclose(parse("x*(1 - x)"), {"x": (0 * one, one)})
    >>> bool(low[0] <= 0), bool(high[0] >= 1 / 4)
    (True, True)
    """
    memo: dict[Expr, Interval] = {}
    first = next(iter(values.values()))[0]

    def walk(e: Expr) -> Interval:
        if e not in memo:
            memo[e] = make(e)
        return memo[e]

    def make(e: Expr) -> Interval:
        if e.fn == "number":
            flat = np.full_like(first, e.value)
            return flat, flat
        if e.fn == "var":
            return values[e.value]
        args = [walk(a) for a in e.args]
        if e.fn in ("mul", "fma") and e.args[0] is e.args[1]:
            squared = _square(args[0])
            return squared if e.fn == "mul" else _add(squared, args[2])
        return _apply(e, args)

    with np.errstate(all="ignore"):
        return walk(e)


def _apply(e: Expr, args: list[Interval]) -> Interval:
    if e.fn in _ENCLOSURES:
        return _ENCLOSURES[e.fn](*args)
    info = FUNCTIONS[e.fn]
    if info.definition is not None:
        names = dict(zip("xyz", args, strict=False))
        return enclose(parse(info.definition), names)
    return _everything(args[0])


def _everything(x: Interval) -> Interval:
    return np.full_like(x[0], -math.inf), np.full_like(x[0], math.inf)


def _outward(low: Ends, high: Ends, ulps: int = 1) -> Interval:
    low = np.where(low == math.inf, np.finfo(float).max, low)  # it has overflowed
    high = np.where(high == -math.inf, -np.finfo(float).max, high)
    return low - _margin(low, ulps), high + _margin(high, ulps)


def _margin(x: Ends, ulps: int) -> Ends:
    """Return at least ``ulps`` units in the last place (0 of an infinite end)."""
    found = np.abs(x) * (ulps * 2.0**-52) + ulps * 5e-324
    return np.where(np.isinf(x), 0.0, found)


# -- arithmetic ------------------------------------------------------------------------


def _add(x: Interval, y: Interval) -> Interval:
    return _outward(x[0] + y[0], x[1] + y[1])


def _negative(x: Interval) -> Interval:
    return -x[1], -x[0]


def _product(a: Ends, b: Ends) -> Ends:
    """Return ``a*b`` with 0·∞ = 0: an end is approached, never reached."""
    found = np.where((a == 0) | (b == 0), 0.0, a * b)
    return np.where(np.isnan(a) | np.isnan(b), math.nan, found)


def _multiply(x: Interval, y: Interval) -> Interval:
    ends = [_product(a, b) for a in x for b in y]
    zero = ((x[0] == 0) & (x[1] == 0)) | ((y[0] == 0) & (y[1] == 0))
    low, high = _outward(np.minimum.reduce(ends), np.maximum.reduce(ends))
    return np.where(zero, 0.0, low), np.where(zero, 0.0, high)


def _square(x: Interval) -> Interval:
    a, b = x[0] * x[0], x[1] * x[1]
    low = np.where((x[0] <= 0) & (x[1] >= 0), 0.0, np.minimum(a, b))
    low, high = _outward(low, np.maximum(a, b))
    return np.maximum(low, 0.0), high


def _reciprocal(x: Interval) -> Interval:
    low = np.where(x[1] == 0, -math.inf, 1 / x[1])
    high = np.where(x[0] == 0, math.inf, 1 / x[0])
    across = (x[0] < 0) & (x[1] > 0)
    low, high = _outward(low, high)
    return np.where(across, -math.inf, low), np.where(across, math.inf, high)


def _divide(x: Interval, y: Interval) -> Interval:
    return _multiply(x, _reciprocal(y))


def _power(x: Interval, y: Interval) -> Interval:
    exponent = y[0].flat[0] if y[0].size else 0.0
    if not (np.all(y[0] == exponent) and np.all(y[1] == exponent)):
        return _positive_power(x, y)
    if not float(exponent).is_integer():
        return _positive_power(x, y)
    n = int(exponent)
    if n < 0:
        return _reciprocal(_power(x, (np.abs(y[0]), np.abs(y[1]))))
    a, b = x[0] ** n, x[1] ** n
    low, high = np.minimum(a, b), np.maximum(a, b)
    if n % 2 == 0 and n > 0:
        low = np.where((x[0] <= 0) & (x[1] >= 0), 0.0, low)
        low, high = _outward(low, high, ULPS)
        return np.maximum(low, 0.0), high
    return _outward(low, high, ULPS)


def _positive_power(x: Interval, y: Interval) -> Interval:
    base = np.maximum(x[0], 0.0), np.where(x[1] < 0, math.nan, x[1])
    return _exp(_multiply(_log(base), y))


# -- monotone functions, and those of one turning point --------------------------------


def _rising(
    f: Callable[[Ends], Ends],
    domain: tuple[float, float] = WHOLE,
    image: tuple[float, float] = WHOLE,
) -> Callable[[Interval], Interval]:
    def enclosure(x: Interval) -> Interval:
        outside = (x[1] < domain[0]) | (x[0] > domain[1])
        low, high = f(np.maximum(x[0], domain[0])), f(np.minimum(x[1], domain[1]))
        low, high = _outward(low, high, ULPS)
        low, high = np.maximum(low, image[0]), np.minimum(high, image[1])
        return np.where(outside, math.nan, low), np.where(outside, math.nan, high)

    return enclosure


def _falling(
    f: Callable[[Ends], Ends],
    domain: tuple[float, float] = WHOLE,
    image: tuple[float, float] = WHOLE,
) -> Callable[[Interval], Interval]:
    rising = _rising(lambda x: -f(x), domain, (-image[1], -image[0]))
    return lambda x: _negative(rising(x))


def _even(f: Callable[[Ends], Ends]) -> Callable[[Interval], Interval]:
    """Return the enclosure of an even function that rises from 0 on."""

    def enclosure(x: Interval) -> Interval:
        size = np.abs(x[0]), np.abs(x[1])
        least = np.where((x[0] <= 0) & (x[1] >= 0), 0.0, np.minimum(*size))
        return _outward(f(least), f(np.maximum(*size)), ULPS)

    return enclosure


def _cosine(x: Interval) -> Interval:
    """Enclose cos: ±1 wherever a multiple of π may lie between the ends."""
    wide = (x[1] - x[0] >= 2 * math.pi) | (np.maximum(abs(x[0]), abs(x[1])) > 1e8)
    a, b = np.cos(x[0]), np.cos(x[1])
    margin = 1e-7  # of an end beside a turning point; cos is flat there
    first, last = x[0] - margin, x[1] + margin
    top = np.floor(last / (2 * math.pi)) * 2 * math.pi >= first
    bottom = (np.floor((last - math.pi) / (2 * math.pi)) * 2 + 1) * math.pi >= first
    low, high = _outward(np.minimum(a, b), np.maximum(a, b), ULPS)
    low = np.where(wide | bottom, -1.0, np.maximum(low, -1.0))
    high = np.where(wide | top, 1.0, np.minimum(high, 1.0))
    bad = np.isnan(x[0]) | np.isnan(x[1])
    return np.where(bad, math.nan, low), np.where(bad, math.nan, high)


def _sine(x: Interval) -> Interval:
    half = np.full_like(x[0], math.pi / 2)
    return _cosine(_add(x, (-half, -half)))


def _tangent(x: Interval) -> Interval:
    k = np.floor(x[0] / math.pi + 0.5)
    same = (k == np.floor(x[1] / math.pi + 0.5)) & (np.abs(x[0]) < 1e8)
    low, high = _outward(np.tan(x[0]), np.tan(x[1]), ULPS)
    sure = same & (low <= high)
    return np.where(sure, low, -math.inf), np.where(sure, high, math.inf)


# -- choices ---------------------------------------------------------------------------
# A condition is an interval with ends 0 and 1: it may be false, it may be true.


def _truth(surely: np.ndarray, maybe: np.ndarray) -> Interval:
    return np.where(surely, 1.0, 0.0), np.where(maybe, 1.0, 0.0)


def _less(x: Interval, y: Interval) -> Interval:
    return _truth(x[1] < y[0], ~(x[0] >= y[1]))


def _at_most(x: Interval, y: Interval) -> Interval:
    return _truth(x[1] <= y[0], ~(x[0] > y[1]))


def _equal(x: Interval, y: Interval) -> Interval:
    point = (x[0] == x[1]) & (y[0] == y[1]) & (x[0] == y[0])
    return _truth(point, ~((x[1] < y[0]) | (y[1] < x[0])))


def _not(x: Interval) -> Interval:
    return 1 - x[1], 1 - x[0]


def _and(x: Interval, y: Interval) -> Interval:
    return np.minimum(x[0], y[0]), np.minimum(x[1], y[1])


def _or(x: Interval, y: Interval) -> Interval:
    return np.maximum(x[0], y[0]), np.maximum(x[1], y[1])


def _select(c: Interval, x: Interval, y: Interval) -> Interval:
    """Enclose a choice; a branch without a value is left out beside one that has."""
    low = np.where(c[0] > 0, x[0], np.where(c[1] < 1, y[0], np.fmin(x[0], y[0])))
    high = np.where(c[0] > 0, x[1], np.where(c[1] < 1, y[1], np.fmax(x[1], y[1])))
    return low, high


def _maximum(x: Interval, y: Interval) -> Interval:
    return np.maximum(x[0], y[0]), np.maximum(x[1], y[1])


def _minimum(x: Interval, y: Interval) -> Interval:
    return np.minimum(x[0], y[0]), np.minimum(x[1], y[1])


def _special(name: str) -> Callable[[Ends], Ends]:
    """Return a function of SciPy, imported at its first use."""

    def function(x: Ends) -> Ends:
        import scipy.special

        found: Ends = getattr(scipy.special, name)(x)
        return found

    return function


def _ends_of(f: Callable[[Ends], Ends]) -> Callable[[Interval], Interval]:
    return lambda x: (f(x[0]), f(x[1]))


_exp = _rising(np.exp, image=(0.0, math.inf))
_log = _rising(np.log, (0.0, math.inf))
_sigmoid = _rising(_special("expit"), image=(0.0, 1.0))

_ENCLOSURES: dict[str, Callable[..., Interval]] = {
    "add": _add,
    "sub": lambda x, y: _add(x, _negative(y)),
    "mul": _multiply,
    "div": _divide,
    "neg": _negative,
    "pow": _power,
    "square": _square,
    "reciprocal": _reciprocal,
    "lt": _less,
    "le": _at_most,
    "gt": lambda x, y: _less(y, x),
    "ge": lambda x, y: _at_most(y, x),
    "eq": _equal,
    "ne": lambda x, y: _not(_equal(x, y)),
    "not": _not,
    "and": _and,
    "or": _or,
    "select": _select,
    "abs": lambda x: _maximum(_maximum(x, _negative(x)), (0 * x[0], 0 * x[1])),
    "sign": _ends_of(np.sign),
    "floor": _ends_of(np.floor),
    "ceil": _ends_of(np.ceil),
    "trunc": _ends_of(np.trunc),
    "round": _ends_of(np.round),
    "maximum": _maximum,
    "minimum": _minimum,
    "relu": lambda x: (np.maximum(x[0], 0.0), np.maximum(x[1], 0.0)),
    "stop_gradient": lambda x: x,
    "sqrt": _rising(np.sqrt, (0.0, math.inf), (0.0, math.inf)),
    "rsqrt": _falling(lambda x: 1 / np.sqrt(x), (0.0, math.inf), (0.0, math.inf)),
    "cbrt": _rising(np.cbrt),
    "exp": _exp,
    "exp2": _rising(np.exp2, image=(0.0, math.inf)),
    "expm1": _rising(np.expm1, image=(-1.0, math.inf)),
    "log": _log,
    "log2": _rising(np.log2, (0.0, math.inf)),
    "log10": _rising(np.log10, (0.0, math.inf)),
    "log1p": _rising(np.log1p, (-1.0, math.inf)),
    "sigmoid": _sigmoid,
    "softplus": _rising(lambda x: np.logaddexp(0.0, x), image=(0.0, math.inf)),
    "sin": _sine,
    "cos": _cosine,
    "tan": _tangent,
    "asin": _rising(np.arcsin, (-1.0, 1.0)),
    "acos": _falling(np.arccos, (-1.0, 1.0)),
    "atan": _rising(np.arctan, image=(-math.pi / 2 - 1e-15, math.pi / 2 + 1e-15)),
    "sinh": _rising(np.sinh),
    "cosh": _even(np.cosh),
    "tanh": _rising(np.tanh, image=(-1.0, 1.0)),
    "asinh": _rising(np.arcsinh),
    "acosh": _rising(np.arccosh, (1.0, math.inf)),
    "atanh": _rising(np.arctanh, (-1.0, 1.0)),
    "erf": _rising(_special("erf"), image=(-1.0, 1.0)),
    "erfc": _falling(_special("erfc"), image=(0.0, 2.0)),
}

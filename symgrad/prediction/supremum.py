"""The greatest slope of a scalar function, found and certified from its definition.

The slope is the chain rule over the table of scalar functions.  Its greatest absolute
value over ``|x| ≤ 2³⁰⁰`` (or an interval) is found by branch and bound: interval
arithmetic bounds the slope on boxes (where that bounds it badly, also in the form that
SymPy simplifies it to), boxes that cannot hold the maximum are dropped,
the others are halved (Moore, Kearfott & Cloud 2009, "Introduction to Interval
Analysis", §11).  What is returned is an upper bound, and a point that comes near it.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from symgrad.declare import scalar
from symgrad.declare.scalar import Expr, call
from symgrad.derivation.symbolic import VARIABLES, simplified, slope
from symgrad.prediction.intervals import Interval, enclose

CLOSE = 1e-7  # relative distance between the bound and what is attained
NEAR = 2e-6  # the same on an interval, which hardly two tensors share
MOST_BOXES = 1 << 17
FEW_BOXES = 1 << 12  # where other variables keep an interval of their own
ROUNDS = 60
HUGE = 1e60  # what exceeds this is said to have no bound
LARGEST = 2.0**300  # squares and products of numbers up to this do not overflow

Domain = tuple[float, float]
REALS: Domain = (-math.inf, math.inf)


@dataclass(frozen=True)
class Supremum:
    """The greatest absolute value of a function.

    Attributes:
        value: an upper bound, certified; infinite where there is none.
        attained: the absolute value at ``at``.
        at: a point that comes near it; ±2³⁰⁰ where it is approached at infinity.
    """

    value: float
    attained: float
    at: float

    @property
    def exact(self) -> Fraction | None:
        """The simple fraction between what is attained and the bound, if any."""
        if not self.value < self.attained * (1 + 2 * NEAR):
            return None
        near = Fraction((self.attained + self.value) / 2).limit_denominator(64)
        least = self.attained * (1 - 1e-12)
        return near if least <= float(near) <= self.value else None

    def __str__(self) -> str:
        if not math.isfinite(self.value):
            return "∞"
        if self.value == 0:
            return "0"
        return f"{self.value:.5g}" if self.exact is None else str(self.exact)


def greatest_slope(
    body: Expr, name: str = "x", domains: tuple[tuple[str, Domain], ...] = ()
) -> Supremum:
    """Return the supremum of ``|∂body/∂name|`` over boxes of the variables.

    Args:
        body: a scalar expression.
        name: the variable to derive by.
        domains: (variable, interval); all real numbers where none is given.

    >>> str(greatest_slope(scalar.parse("sigmoid(x)")))
    '1/4'
    >>> f"{greatest_slope(scalar.parse('x*sigmoid(x)')).value:.4f}"
    '1.0998'
    """
    e = derivative(body, name)
    free = _variables(e)
    mine = tuple(sorted(d for d in domains if d[0] in free))
    # What does not depend on the variable is searched along one that it depends on.
    along = name if name in free or not free else min(free)
    if len(free) == 1 and mine and mine[0][1] != REALS:
        everywhere = greatest(e, along, ())
        low, high = mine[0][1]
        if everywhere.value < math.inf and low <= everywhere.at <= high:
            return everywhere
    return greatest(e, along, mine)


@functools.lru_cache(maxsize=4096)
def greatest(e: Expr, name: str, domains: tuple[tuple[str, Domain], ...]) -> Supremum:
    """Return the supremum of ``|e|``, boxes of ``name`` being halved."""
    known = dict(domains)
    low, high = _boxes(known.get(name, REALS))
    others = [(n, d) for n, d in known.items() if n != name]
    close = NEAR if known.get(name, REALS) != REALS else CLOSE
    most = FEW_BOXES if others else MOST_BOXES
    found = _search(e, name, low, high, others, close, most)
    if found.attained < HUGE and found.value > found.attained * 1.001:
        other = _search(simplified(e), name, low, high, others, close, most)
        found = min(found, other, key=lambda s: s.value)
    return found


def image(e: Expr, domains: tuple[tuple[str, Domain], ...]) -> Domain:
    """Return an interval that holds every value of an expression of one variable.

    >>> low, high = image(scalar.parse("x*sigmoid(x)"), (("x", REALS),))
    >>> -0.3 < low < -0.2784, high
    (True, inf)
    """
    if not domains:
        return _hull(enclose(e, {"": (np.zeros(1), np.zeros(1))}))
    return _image(e, domains)


@functools.lru_cache(maxsize=4096)
def _image(e: Expr, domains: tuple[tuple[str, Domain], ...]) -> Domain:
    (name, domain), *rest = domains
    low, high = _boxes(domain)
    if len(low) < 64:  # a narrow one
        cuts = np.linspace(low[0], high[-1], 65)
        low, high = cuts[:-1], cuts[1:]
    else:
        for _ in range(4):
            low, high = _halved(low, high)
    values = {name: (low, high)}
    values |= {n: (np.full_like(low, a), np.full_like(low, b)) for n, (a, b) in rest}
    return _hull(enclose(e, values))


def _hull(found: Interval) -> Domain:
    lows, highs = found
    if np.isnan(lows).all():
        return REALS
    least, most = float(np.nanmin(lows)), float(np.nanmax(highs))
    return (
        least if least > -HUGE else -math.inf,
        most if most < HUGE else math.inf,
    )


def _boxes(domain: Domain) -> tuple[np.ndarray, np.ndarray]:
    """Return the domain, cut at 0 and at powers of 2."""
    low, high = max(domain[0], -LARGEST), min(domain[1], LARGEST)
    powers = 2.0 ** np.arange(-300, 300)
    cuts = np.concatenate([-powers[::-1], [0.0], powers])
    inside = cuts[(cuts > low) & (cuts < high)]
    ends = np.concatenate([[low], inside, [high]])
    return ends[:-1], ends[1:]


def _halved(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    middle = low / 2 + high / 2
    return np.concatenate([low, middle]), np.concatenate([middle, high])


@functools.lru_cache(maxsize=4096)
def _variables(e: Expr) -> frozenset[str]:
    own = frozenset({e.value}) if e.fn == "var" else frozenset()
    return own.union(*map(_variables, e.args))


def _search(
    e: Expr,
    name: str,
    low: np.ndarray,
    high: np.ndarray,
    others: list[tuple[str, Domain]],
    close: float,
    boxes: int,
) -> Supremum:
    def size(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the least and the greatest absolute value on boxes."""
        values = {n: (np.full_like(a, x), np.full_like(a, y)) for n, (x, y) in others}
        found = enclose(e, values | {name: (a, b)})
        most = np.maximum(np.abs(found[0]), np.abs(found[1]))
        across = (found[0] <= 0) & (found[1] >= 0)
        least = np.where(across, 0.0, np.minimum(np.abs(found[0]), np.abs(found[1])))
        return least, most

    best, at, dropped = 0.0, 0.0, 0.0
    points = np.concatenate([low, high[-1:], low / 2 + high / 2])
    for _ in range(ROUNDS):
        least, most = size(points, points)
        if np.isfinite(least).any():
            n = int(np.nanargmax(np.where(np.isfinite(least), least, -1)))
            if least[n] > best:
                best, at = float(least[n]), float(points[n])
        if best > HUGE:
            return Supremum(math.inf, math.inf, at)
        _, most = size(low, high)
        valued = ~np.isnan(most)
        low, high, most = low[valued], high[valued], most[valued]
        kept = most > best * (1 + close) + 1e-300
        dropped = max(dropped, float(np.max(most[~kept], initial=0.0)))
        low, high, most = low[kept], high[kept], most[kept]
        if not len(low):
            return _bounded(dropped, best, at)
        if len(low) > boxes:
            break
        low, high = _halved(low, high)
        points = low / 2 + high / 2
    return _bounded(max(dropped, float(np.max(most))), best, at)


def _bounded(value: float, best: float, at: float) -> Supremum:
    return Supremum(value if value < HUGE else math.inf, best, at)


# -- the derivative ------------------------------------------------------------------


@functools.lru_cache(maxsize=4096)
def derivative(body: Expr, name: str) -> Expr:
    """Return the derivative by one variable, by the chain rule, in a stable form.

    >>> derivative(scalar.parse("tanh(3*x)"), "x")
    3*4*sigmoid(2*3*x)*sigmoid(-(2*3*x))
    """
    memo: dict[Expr, Expr | None] = {}

    def walk(e: Expr) -> Expr | None:
        if e not in memo:
            memo[e] = scalar.number(1) if e.value == name else chain(e)
        return memo[e]

    def chain(e: Expr) -> Expr | None:
        if e.fn == "select":  # one branch or the other, not the sum of both
            taken, other = (walk(a) or scalar.number(0) for a in e.args[1:])
            return call("select", e.args[0], taken, other)
        total: Expr | None = None
        for n, a in enumerate(e.args):
            inner = walk(a)
            if inner is None:
                continue
            names = {scalar.var(v): b for v, b in zip(VARIABLES, e.args, strict=False)}
            outer = scalar.substitute(slope(e.fn, n), names)
            if scalar.is_number(outer) and outer.value == 0:
                continue
            part = scalar.scale(inner, outer)
            total = part if total is None else call("add", total, part)
        return total

    found = walk(stable(body))
    return scalar.number(0.0) if found is None else stable(found)


def stable(e: Expr) -> Expr:
    """Return an equal expression without differences that lose a tail.

    ``1 - σ(u)`` is ``σ(-u)``, ``1 - tanh²(u)`` is ``4σ(2u)σ(-2u)``, ``1/(1 + exp(u))``
    is ``σ(-u)``, ``log(1 + exp(u))`` is ``softplus(u)``.
    """
    if not e.args:
        return e
    e = call(e.fn, *(stable(a) for a in e.args))
    if e.fn == "mul" and e.args[0].fn == "neg" and e.args[0].args[0] is e.args[1]:
        return call("neg", call("mul", e.args[1], e.args[1]))
    if e.fn == "sub" and _is_one(e.args[0]):
        return _complement(e.args[1]) or e
    if e.fn == "div":
        u = _one_plus_exp(e.args[1])
        if u is not None:
            return call("mul", e.args[0], _sigmoid(call("neg", u)))
    if e.fn == "reciprocal":
        u = _one_plus_exp(e.args[0])
        return e if u is None else _sigmoid(call("neg", u))
    if e.fn == "log":
        u = _one_plus_exp(e.args[0])
        return e if u is None else call("softplus", u)
    if e.fn == "log1p" and e.args[0].fn == "exp":
        return call("softplus", e.args[0].args[0])
    return e


def _complement(e: Expr) -> Expr | None:
    """Return ``1 - e`` where it is a product without a difference."""
    if e.fn == "sigmoid":
        return _sigmoid(call("neg", e.args[0]))
    root: Expr | None = None
    if e.fn == "square" or (e.fn == "mul" and e.args[0] is e.args[1]):
        root = e.args[0]
    if e.fn == "pow" and scalar.is_number(e.args[1]) and e.args[1].value == 2:
        root = e.args[0]
    if root is None or root.fn != "tanh":
        return None
    twice = call("mul", scalar.number(2), root.args[0])
    both = call("mul", _sigmoid(twice), _sigmoid(call("neg", twice)))
    return call("mul", scalar.number(4), both)


def _one_plus_exp(e: Expr) -> Expr | None:
    if e.fn == "add":
        for one, other in (e.args, e.args[::-1]):
            if _is_one(one) and other.fn == "exp":
                return other.args[0]
    return None


def _sigmoid(u: Expr) -> Expr:
    return call("sigmoid", u)


def _is_one(e: Expr) -> bool:
    return e.fn == "number" and e.value == 1

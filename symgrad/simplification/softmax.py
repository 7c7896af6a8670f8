"""Stability of sums of exponentials: ``log Σ exp`` and ``exp/Σ exp``, and gradients.

With ``s = max(x)`` along the summed axes, ``exp(x - s)`` is at most 1 and one term of
its sum is 1, so neither overflows nor vanishes.  As everywhere in the library, ``s`` is
0 where the maximum is not finite.
"""

from __future__ import annotations

from typing import NamedTuple

from symgrad.declare import build
from symgrad.declare.comprehension import along
from symgrad.declare.tensor import Tensor
from symgrad.simplification.engine import Rule
from symgrad.simplification.movements import moving
from symgrad.simplification.nodes import (
    Facts,
    function,
    kind,
    operands,
    replaced,
    source,
    statement,
)
from symgrad.simplification.structure import factors, main_index


class ExpSum(NamedTuple):
    """``total = Σ exp(x)``; axis ``a`` of it is dimension ``places[a]`` of ``x``."""

    total: Tensor
    x: Tensor
    places: tuple[int, ...]

    @property
    def exponentials(self) -> Tensor:
        """``exp(x)``."""
        return self.total.args[0]

    def spread(self, t: Tensor) -> Tensor:
        """Return a tensor of the total's shape so that it broadcasts against ``x``."""
        shape = tuple(n if d in self.places else 1 for d, n in enumerate(self.x.shape))
        return build.movement("expand_dims", t, shape, [along(d) for d in self.places])

    def is_spread(self, t: Tensor) -> bool:
        """Return True if ``t`` is the total, broadcast against ``x`` in this way."""
        offset = self.x.ndim - t.ndim
        if t is self.total:
            return self.places == tuple(range(offset, self.x.ndim))
        if kind(t) != "movement" or statement(t).guards or source(t) is not self.total:
            return False
        axes = [i.axis for i in main_index(statement(t))]
        return None not in axes and self.places == tuple(a + offset for a in axes)  # type: ignore[operator]

    def is_shifted(self) -> bool:
        """Return True if ``x`` is ``z - max(z)`` already."""
        if function(self.x) != "sub":
            return False
        z, shift = operands(self.x)
        shift = _core(shift)
        top = _core(operands(shift)[1]) if function(shift) == "select" else shift
        return kind(top) == "reduction" and top.args[0] is z and _is_max(top)

    def shifted(self) -> tuple[ExpSum, Tensor]:
        """Return the sum of ``exp(x - s)``, and ``s`` in the total's shape."""
        c = statement(self.total)
        top = build.apply(replaced(c, name="max", reduce="max"), [self.x])
        top = build.elementwise("stop_gradient", top)  # the shift changes no value
        zero = build.elementwise("select", build.elementwise("isfinite", top), top, 0)
        x = build.elementwise("sub", self.x, self.spread(zero))
        total = build.apply(c, [build.elementwise("exp", x)], self.total.dtype)
        return ExpSum(total, x, self.places), zero


def _core(t: Tensor) -> Tensor:
    while kind(t) == "movement" or function(t) == "stop_gradient":
        t = source(t) if kind(t) == "movement" else operands(t)[0]
    return t


def _is_max(t: Tensor) -> bool:
    return statement(t).reduce == "max"


def exp_sum(t: Tensor) -> ExpSum | None:
    """Return what ``t`` sums, if it is a plain sum of exponentials."""
    if kind(t) != "reduction":
        return None
    c = statement(t)
    if c.reduce != "sum" or c.guards or len(factors(c)) != 1 or len(c.reads) != 1:
        return None
    (e,) = t.args
    if function(e) != "exp":
        return None
    axes = [i.axis for i in c.reads[0].index]
    if sorted(a for a in axes if a is not None) != list(range(len(c.extents))):
        return None
    if len(axes) != len(c.extents):
        return None
    places = tuple(axes.index(a) for a in range(c.rank))
    return ExpSum(t, operands(e)[0], places)


def log_sum_exp(t: Tensor, facts: Facts) -> Tensor | None:
    """``log Σ exp(x)`` is ``s + log Σ exp(x - s)``."""
    del facts
    found = exp_sum(operands(t)[0])
    if found is None or found.is_shifted():
        return None
    new, shift = found.shifted()
    return build.elementwise("add", build.elementwise("log", new.total), shift)


def softmax(t: Tensor, facts: Facts) -> Tensor | None:
    """``exp(x)/Σ exp(x)`` is ``exp(x - s)/Σ exp(x - s)``."""
    del facts
    e, below = operands(t)
    found = exp_sum(_core(below))
    if found is None or found.exponentials is not e or not found.is_spread(below):
        return None
    if found.is_shifted():
        return None
    return _quotient(found.shifted()[0])


def _quotient(sums: ExpSum) -> Tensor:
    return build.elementwise("div", sums.exponentials, sums.spread(sums.total))


def log_softmax(t: Tensor, facts: Facts) -> Tensor | None:
    """``log(exp(x)/Σ exp(y))`` is ``x - log Σ exp(y)``, also of a part of it."""
    del facts
    (part,) = operands(t)
    moved = kind(part) == "movement" and not statement(part).guards
    quotient = source(part) if moved else part
    if function(quotient) != "div":
        return None
    e, below = operands(quotient)
    if exp_sum(_core(below)) is None or function(_core(e)) != "exp":
        return None
    y = build.elementwise("sub", *(build.elementwise("log", z) for z in (e, below)))
    if y.shape != quotient.shape:
        return None
    if not moved:
        return y
    c = statement(part)
    return moving(c, part.args, y, main_index(c))


def softmax_gradient(t: Tensor, facts: Facts) -> Tensor | None:
    """``(g/Σ + h/Σ)·exp(x)`` is ``(g + h)·softmax(x)``, ``Σ`` the sum of ``exp(x)``.

    Where the quotient is at hand anyway, or ``x`` is not shifted.
    """
    for e, other in (operands(t), operands(t)[::-1]):
        if function(e) != "exp":
            continue
        total = _divisor(other)
        found = None if total is None else exp_sum(_core(total))
        if found is None or found.exponentials is not e:
            continue
        above = _numerator(other, found)
        if above is None:
            continue
        quotient = _quotient(found)
        if found.is_shifted() and quotient not in facts.keys:
            continue
        return build.broadcast_to(build.elementwise("mul", above, quotient), t.shape)
    return None


def _divisor(t: Tensor) -> Tensor | None:
    """Return the first divisor of a sum of quotients."""
    while True:
        fn = function(t)
        if fn == "div":
            return operands(t)[1]
        if fn in ("add", "sub", "neg"):
            t = operands(t)[0]
        elif kind(t) == "movement":
            t = source(t)
        else:
            return None


def _numerator(t: Tensor, sums: ExpSum) -> Tensor | None:
    """Return a sum of quotients by the total without its division, or None."""
    fn = function(t)
    if fn in ("add", "sub", "neg"):
        parts = [_numerator(x, sums) for x in operands(t)]
        if any(p is None for p in parts):
            return None
        return build.elementwise(fn, *parts)
    if fn == "div":
        above, below = operands(t)
        return above if sums.is_spread(below) else None
    if kind(t) == "movement" and not statement(t).guards:
        inner = _signed_quotient(source(t))
        if inner is None or inner[1] is not sums.total:
            return None
        whole = build.movement(
            "expand_dims", sums.total, t.shape, main_index(statement(t))
        )
        if sums.is_spread(whole):
            x = build.broadcast_to(inner[0], source(t).shape)
            index = main_index(statement(t))
            return build.movement("expand_dims", x, t.shape, index)
    return None


def _signed_quotient(t: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return (x, y) for ``x/y`` and (-x, y) for ``-(x/y)``."""
    if function(t) == "neg":
        found = _signed_quotient(operands(t)[0])
        if found is None:
            return None
        return build.elementwise("neg", found[0]), found[1]
    if function(t) != "div":
        return None
    x, y = operands(t)
    return x, y


RULES = {
    "log": (Rule("log_sum_exp", log_sum_exp), Rule("log_softmax", log_softmax)),
    "div": (Rule("softmax", softmax),),
    "mul": (Rule("softmax_gradient", softmax_gradient),),
}

"""How values and gradients pass the steps of a loop, one after another.

A gradient of the last step's results goes back to the first carries by the loop that
the derivation makes for it; the norm of what arrives at each step tells how far the
loop remembers.  Where the loss reads every step, the gradients of the others are left
out: they would hide that none comes from afar.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from symgrad.declare import dtypes
from symgrad.declare.bodies import grouped, states
from symgrad.declare.build import cast, elementwise, iota, reduction
from symgrad.declare.loop import Final, Loop, Scan
from symgrad.declare.ops import FUNCTIONS
from symgrad.declare.tensor import Tensor, constant, size_of
from symgrad.derivation.loops import vjp
from symgrad.derivation.reverse import reverse

Norms = list[np.ndarray]


@dataclass(frozen=True, eq=False)
class Repeat:
    """A loop of the loss.

    Attributes:
        layer: the name of the layer that it belongs to.
        results: what the loss reads of it.
    """

    layer: str
    results: list[Tensor]

    @property
    def carried(self) -> list[int]:
        """The numbers of the carries that are floats."""
        return [n for n, c in enumerate(self.loop.carries) if dtypes.is_float(c.dtype)]

    @property
    def loop(self) -> Loop:
        """What is repeated."""
        op = self.results[0].op
        assert isinstance(op, Scan)
        return op.loop

    @property
    def backwards(self) -> bool:
        """Does it go from the last element to the first?"""
        return self.loop.reverse


@dataclass(frozen=True)
class Journey:
    """The way through the steps of a loop.

    Attributes:
        layer: the name of the layer that it belongs to.
        values: rms of the carries before the first step and after each.
        gradients: norm of the cotangent of the carries at these places, the last
            step's results being what the loss reads.
        last_only: does the loss read nothing of the steps before the last?
    """

    layer: str
    values: np.ndarray
    gradients: np.ndarray
    last_only: bool

    @property
    def steps(self) -> int:
        """The number of steps that the gradient passes, the last one left out."""
        return len(self.gradients) - 2

    @property
    def change(self) -> float:
        """By how much the gradient changes on its way to the first step."""
        last = float(self.gradients[-2])
        return float(self.gradients[0]) / last if last > 0 else math.nan

    @property
    def growth(self) -> float:
        """By how much values change from the first step to the last."""
        first = float(self.values[1])
        return float(self.values[-1]) / first if first > 0 else math.nan

    @property
    def rate(self) -> float:
        """The same for one step."""
        return self.change ** (1 / self.steps) if self.steps > 0 else math.nan

    @property
    def reach(self) -> int:
        """After how many steps less than a tenth of the gradient is left."""
        back = self.gradients[-2::-1]
        faded = np.flatnonzero(back < 0.1 * back[0]) if len(back) else back
        return int(faded[0]) if len(faded) else len(back)


def repeats(loss: Tensor, owner: Mapping[int, str]) -> list[Repeat]:
    """Return the loops that data pass, in the order of the graph."""
    return [
        Repeat(owner[id(group[0])], group)
        for group in grouped([loss])
        if isinstance(group[0].op, Scan) and id(group[0]) in owner
    ]


def probes(
    repeat: Repeat, cotangents: Mapping[Tensor, Tensor]
) -> dict[str, list[Tensor]]:
    """Return what has to be computed for a journey; nothing if no gradient passes.

    Args:
        repeat: the loop.
        cotangents: those of the loss, by node.
    """
    results = [t for t in repeat.results if t in cotangents]
    if not results or not repeat.carried:
        return {}
    args, count = repeat.results[0].args, len(repeat.loop.updates)
    seeds = {t: _last(t, cotangents[t]) for t in results}
    first = {args[n] for n in repeat.carried}
    back = vjp(
        results,
        seeds,
        lambda a: a in first,
        lambda outputs, wrt, bars: reverse(outputs, wrt, bars).cotangents,
    )
    made = [
        states(t.op.loop, t.args, t.op.number)
        for n, t in back
        if n < count and isinstance(t.op, Final)
    ]
    return {
        "gradients": [_by_step(t) for t in made],
        "values": [_rms_by_step(states(repeat.loop, args, n)) for n in repeat.carried],
        "read": [
            _by_step(cotangents[t]) for t in results if not isinstance(t.op, Final)
        ],
    }


def journey(layer: str, found: Mapping[str, Norms], backwards: bool) -> Journey:
    """Return the journey from what was computed.

    Args:
        layer: the name of the layer.
        found: the arrays of ``probes``.
        backwards: does the loop go from the last element to the first?
    """
    gradients, read = _together(found["gradients"]), _together(found["read"])
    values = _together(found["values"]) / math.sqrt(len(found["values"]))
    if backwards:
        gradients, values, read = gradients[::-1], values[::-1], read[::-1]
    earlier = read[: len(gradients) - 2]
    return Journey(layer, values, gradients, not np.any(earlier > 0))


def _together(norms: Norms) -> np.ndarray:
    """Return the root of the sum of squares, at each step."""
    if not norms:
        return np.zeros(0)
    least = min(map(len, norms))  # there are a step's results, and states around them
    squares = [np.square(n[:least]) for n in norms]
    found: np.ndarray = np.sqrt(np.sum(squares, axis=0))
    return found


def _last(t: Tensor, cotangent: Tensor) -> Tensor:
    """Return what of a result's cotangent belongs to the last step."""
    op = t.op
    assert isinstance(op, Scan)
    if isinstance(op, Final):
        return cotangent
    place: Tensor = constant(0, "int64")
    if not op.loop.reverse:
        place = elementwise("sub", size_of(t.shape[0]), 1)
    here = elementwise("eq", iota(0, t.shape), place)
    return elementwise("select", here, cotangent, constant(0.0, t.dtype))


def _by_step(t: Tensor) -> Tensor:
    """Return the norm at each step."""
    squares = elementwise("square", cast(t, "float64"))
    return elementwise("sqrt", reduction("sum", squares, range(1, t.ndim)))


def _rms_by_step(t: Tensor) -> Tensor:
    squares = elementwise("square", cast(t, "float64"))
    mean: Tensor = FUNCTIONS["mean"](squares, axis=tuple(range(1, t.ndim)))
    return elementwise("sqrt", mean)

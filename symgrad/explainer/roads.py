"""Residual roads of a model: what flows along them, and what without them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from symgrad.declare import dtypes
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.tensor import Tensor, constant, topological
from symgrad.derivation.reverse import reverse
from symgrad.diagnosis.measure import rms
from symgrad.drawing.highways import Share, Ways
from symgrad.drawing.measure import norm
from symgrad.drawing.residuals import (
    Residual,
    Road,
    roads,
    without_residuals,
)

if TYPE_CHECKING:
    from symgrad.explainer.subject import Subject

MOST = 6  # blocks in a picture


@dataclass(frozen=True)
class Bare:
    """The model without its shortcuts.

    Attributes:
        loss: its loss.
        along: norms of the gradient where the stream's blocks start, and at the end.
    """

    loss: float
    along: list[float]


class Highway:
    """The longest road of a model, measured."""

    def __init__(self, s: Subject) -> None:
        self.subject = s

    @cached_property
    def road(self) -> Road | None:
        """The longest road with a gradient, None if there is none."""
        found = [r for r in roads(self.subject.loss) if r.owner is None]
        return found[0] if found else None

    @cached_property
    def chosen(self) -> list[Residual]:
        """The blocks of it that a picture has room for, attention with its mlp."""
        assert self.road is not None
        every = list(self.road.residuals)
        if len(every) <= MOST:
            return every
        size = 2 if _take_turns(every) else 1
        groups = [every[k : k + size] for k in range(0, len(every), size)]
        places = np.linspace(0, len(groups) - 1, MOST // size).round().astype(int)
        return [r for k in places for r in groups[k]]

    @cached_property
    def _ways(self) -> Ways:
        return Ways(self.chosen, self.subject.adjoints.cotangents)

    @property
    def is_used(self) -> bool:
        """Does a gradient pass any of the chosen blocks?"""
        return bool(self._ways.tensors)

    @cached_property
    def shares(self) -> list[Share]:
        """What passes by the road and through the block, for each chosen one."""
        return self._ways.shares(self._numbers([norm(t) for t in self._ways.tensors]))

    @property
    def _places(self) -> list[Tensor]:
        """Where the blocks start, and where the last one ends."""
        return [*(r.stream for r in self.chosen), self.chosen[-1].add]

    @cached_property
    def _along(self) -> list[Tensor]:
        return _gradients(self._places, self.subject.adjoints.cotangents)

    @cached_property
    def along(self) -> list[float]:
        """Norms of the gradient along the stream, from its start to its end."""
        return self._numbers(self._along)

    @cached_property
    def _bare(self) -> list[Tensor]:
        """Loss and norms of the gradient in the model without its shortcuts."""
        s = self.subject
        cut = without_residuals(s.loss)
        places = [cut.get(t, t) for t in self._places]
        loss = cut[s.loss]
        wrt = [t for t in s.model.trainable if t in set(topological([loss]))]
        floats = [t for t in places if dtypes.is_float(t.dtype)]
        seed = constant(1.0, loss.dtype)
        found = reverse([loss], [*wrt, *floats], [seed]).cotangents
        return [loss, *_gradients(places, found)]

    @cached_property
    def bare(self) -> Bare:
        """The model without its shortcuts."""
        loss, *along = self._numbers(self._bare)
        return Bare(loss, along)

    @cached_property
    def _sizes(self) -> list[Tensor]:
        start, *ends = self.chosen[0].stream, *(r.blocks[0].end for r in self.chosen)
        return [rms(t) for t in (start, *ends, self.chosen[-1].add)]

    @cached_property
    def sizes(self) -> list[float]:
        """The rms of the stream, of what each block adds, and of the stream's end."""
        return self._numbers(self._sizes)

    def tensors(self, bare: bool = True) -> list[Tensor]:
        """Return what is measured of it, and (``bare``) without its shortcuts."""
        ways = [norm(t) for t in self._ways.tensors]
        cut = self._bare if bare else []
        return [*ways, *self._along, *self._sizes, *cut]

    def _numbers(self, tensors: list[Tensor]) -> list[float]:
        return [float(v) for v in self.subject.values_of(tensors)]


def _gradients(
    places: list[Tensor], cotangents: Mapping[Tensor, Tensor]
) -> list[Tensor]:
    """Return the norms of the gradients by some tensors, 0 where there is none."""
    found = [cotangents.get(t) for t in places]
    return [constant(0.0, "float64") if g is None else norm(g) for g in found]


def highway(s: Subject) -> Highway | None:
    """Return the road of a model, None where no gradient passes a residual sum."""
    if not s.model.trainable or not any(r.is_identity for r in s.model.shortcuts):
        return None
    found = Highway(s)
    return found if found.road is not None and found.is_used else None


def _take_turns(found: list[Residual]) -> bool:
    """Say whether each block of attention is followed by one without."""
    kinds = list(map(attends, found))
    return len(kinds) % 2 == 0 and all(
        a and not b for a, b in zip(kinds[::2], kinds[1::2], strict=True)
    )


def attends(r: Residual) -> bool:
    """Say whether a block holds a softmax whose result is multiplied: attention."""
    for b in r.blocks:
        inside = set(b.members)
        for node in b.members:
            c = node.op
            if not (isinstance(c, Comprehension) and c.is_contraction):
                continue
            if len(node.args) == 2 and any(_softmax(a, inside) for a in node.args):
                return True
    return False


def _softmax(t: Tensor, inside: set[Tensor]) -> bool:
    """Say whether a tensor is a quotient of exponentials that sum to one."""
    seen = 0
    while t in inside and seen < 6:
        c = t.op
        if not isinstance(c, Comprehension):
            return False
        if c.body.fn == "div":
            return any(_exponential(a) for a in t.args)
        if not (c.is_movement or c.is_elementwise) or not t.args:
            return False
        t = t.args[0] if len(t.args) == 1 else t.args[-1]
        seen += 1
    return False


def _exponential(t: Tensor) -> bool:
    c = t.op
    return isinstance(c, Comprehension) and c.body.fn == "exp"


def width(size: float, sizes: list[float], widest: float) -> float:
    """Return how wide a stretch is drawn: by the logarithm of what flows there."""
    live = [v for v in sizes if v > 0 and math.isfinite(v)]
    if not live or not size > 0:
        return 0.0
    top, low = math.log10(max(live)), math.log10(min(live))
    span = max(top - low, 2.0)
    return max(0.8, widest * (1 - (top - math.log10(size)) / (span * 1.15)))


def sized(share: float) -> str:
    """Return a share as a percentage."""
    return "–" if math.isnan(share) else f"{share:.0%}"

"""Residual roads of a model: what flows along them, and what without them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from symgrad.declare.comprehension import Comprehension
from symgrad.declare.tensor import Tensor
from symgrad.drawing.highways import Share, shares
from symgrad.drawing.residuals import (
    Residual,
    Road,
    residuals,
    roads,
    without_residuals,
)
from symgrad.explainer.subject import Subject

MOST = 6  # blocks in a picture


@dataclass(frozen=True)
class Traffic:
    """Norms of the gradient along a stream, from its start to its end.

    Attributes:
        sizes: the norm at the start of each block, and after the last one.
    """

    sizes: list[float]


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
        """The blocks of it that a picture has room for."""
        assert self.road is not None
        every = self.road.residuals
        if len(every) <= MOST:
            return list(every)
        places = np.linspace(0, len(every) - 1, MOST).round().astype(int)
        return [every[k] for k in places]

    @cached_property
    def shares(self) -> list[Share]:
        """What passes by the road and through the block, for each chosen one."""
        s = self.subject
        return shares(s.loss, self.chosen, s.data, s.params)

    @cached_property
    def along(self) -> Traffic:
        """The gradient along the stream."""
        return self._traffic(self.subject, {})

    @cached_property
    def without(self) -> tuple[Traffic, float]:
        """The same in the model without its shortcuts, and that model's loss."""
        s = self.subject
        cut = without_residuals(s.loss)
        bare = Subject(cut[s.loss], s.data, s.params)
        return self._traffic(bare, cut), float(bare.run(bare.loss))

    def _traffic(self, s: Subject, found: dict[Tensor, Tensor]) -> Traffic:
        nodes = [r.stream for r in self.chosen] + [self.chosen[-1].add]
        nodes = [found.get(t, t) for t in nodes]
        gradients = s.adjoints_of(nodes)
        live = [g for g in gradients if g is not None]
        values = iter(s.run(live) if live else ())
        return Traffic(
            [
                0.0 if g is None else float(np.linalg.norm(np.float64(next(values))))
                for g in gradients
            ]
        )


def has_road(s: Subject) -> bool:
    """Say whether there is a residual sum that a gradient passes."""
    return any(r.is_identity for r in residuals(s.loss)) and bool(s.model.trainable)


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

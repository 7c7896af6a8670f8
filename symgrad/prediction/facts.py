"""Facts about values: an interval of the elements, and norms of fibres.

A *fibre* of a tensor along some axes are its elements with all other indices fixed.
``norm(axes)`` is an upper bound on the Euclidean norm of every such fibre: along no
axis it is the greatest absolute value, along all of them the norm of the tensor, along
the last one of a matrix the longest row.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

Axes = frozenset[int]
SLACK = 1 + 1e-12  # for what rounding takes away from a sum of squares


def times(a: float, b: float) -> float:
    """Return a product of bounds, in which 0·∞ is 0: what is 0 stays 0.

    >>> times(0.0, math.inf), times(2.0, 3.0)
    (0.0, 6.0)
    """
    return 0.0 if a == 0 or b == 0 else a * b


class Facts:
    """What is known of a tensor's values before they are computed.

    Attributes:
        shape: the sizes.
        low, high: an interval of every element.

    >>> rows = Facts((50, 4), -1.0, 1.0, {frozenset({1}): 1.0})
    >>> rows.norm([1]), round(rows.norm([0, 1]), 3), round(rows.norm([0]), 3)
    (1.0, 7.071, 7.071)
    """

    def __init__(
        self,
        shape: Sequence[int],
        low: float = -math.inf,
        high: float = math.inf,
        norms: dict[Axes, float] | None = None,
    ) -> None:
        self.shape = tuple(shape)
        self.low, self.high = (low, high) if low <= high else (-math.inf, math.inf)
        self.norms = {a: v for a, v in (norms or {}).items() if math.isfinite(v)}
        top = min(max(abs(self.low), abs(self.high)), self._least(frozenset()))
        self.low, self.high = max(self.low, -top), min(self.high, top)
        self.norms[frozenset()] = top

    @property
    def domain(self) -> tuple[float, float]:
        """The interval of the elements."""
        return self.low, self.high

    def norm(self, axes: Iterable[int]) -> float:
        """Return an upper bound on the norm of every fibre along ``axes``."""
        return self._least(frozenset(axes))

    def _least(self, axes: Axes) -> float:
        found = math.inf
        for known, value in self.norms.items():
            times = self.count(axes - known)
            found = min(found, value * math.sqrt(times) if times else 0.0)
        return found

    def count(self, axes: Iterable[int]) -> int:
        """Return the number of elements along ``axes``."""
        return math.prod(self.shape[a] for a in axes)

    @property
    def keys(self) -> list[Axes]:
        """The sets of axes of which more is known than the interval tells."""
        return list(self.norms)


class Known(Facts):
    """The facts of an array: a parameter, a constant, or data."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = np.asarray(array)
        wide = np.float64(self.array)
        self._squares = np.square(wide)
        low = float(wide.min()) if wide.size else 0.0
        high = float(wide.max()) if wide.size else 0.0
        super().__init__(wide.shape, low, high)

    def _least(self, axes: Axes) -> float:
        if not self._squares.size:
            return 0.0
        sums = self._squares.sum(axis=tuple(axes)) if axes else self._squares
        return math.sqrt(float(np.max(sums))) * SLACK

    @property
    def keys(self) -> list[Axes]:
        """Every axis alone, and all of them."""
        rank = self.array.ndim
        singles = [frozenset({a}) for a in range(rank)]
        return [frozenset(), *singles, frozenset(range(rank))]

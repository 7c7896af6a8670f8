"""Learning rates that change with the step; steps count from 0.

A schedule is a function from the number of steps already made to the rate of the next
one.  Any such function will do; these are the usual ones, printed as they are written.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from symgrad.errors import GraphError

Schedule = Callable[[int], float]


def check_number(
    what: str, value: object, below: float = math.inf, positive: bool = False
) -> None:
    """Raise GraphError unless ``value`` is a finite number in ``[0, below)``."""
    inside = (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and 0 <= value < below
        and not (positive and value == 0)
    )
    if not inside:
        least = "greater than 0" if positive else "at least 0"
        most = "" if below == math.inf else f" and less than {below:g}"
        raise GraphError(f"{what} must be a finite number {least}{most}, not {value!r}")


def _check_steps(what: str, value: object, low: int = 1) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise GraphError(f"{what} must be an integer of at least {low}, not {value!r}")


@dataclass(frozen=True)
class constant:  # noqa: N801 - written as a function in models
    """The same rate at every step."""

    rate: float

    def __post_init__(self) -> None:
        check_number("constant: the rate", self.rate, positive=True)

    def __call__(self, step: int) -> float:
        """Return the rate after ``step`` steps."""
        return self.rate


@dataclass(frozen=True)
class cosine:  # noqa: N801
    """From ``rate`` to ``end`` along half a cosine in ``steps`` steps, then ``end``.

    Loshchilov & Hutter (2017), "SGDR", without restarts.

    >>> schedule = cosine(1.0, steps=10)
    >>> schedule(0), round(schedule(5), 6), schedule(10), schedule(11)
    (1.0, 0.5, 0.0, 0.0)
    """

    rate: float
    steps: int
    end: float = 0.0

    def __post_init__(self) -> None:
        check_number("cosine: the rate", self.rate, positive=True)
        check_number("cosine: the end", self.end)
        _check_steps("cosine: steps", self.steps)

    def __call__(self, step: int) -> float:
        """Return the rate after ``step`` steps."""
        if step >= self.steps:
            return self.end
        share = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.end + (self.rate - self.end) * share


@dataclass(frozen=True)
class warmup_cosine:  # noqa: N801
    """From ``start`` to ``rate`` in a line of ``warmup`` steps, then ``cosine``.

    ``steps`` counts all of them, the warm-up included.

    >>> schedule = warmup_cosine(1.0, warmup=4, steps=12)
    >>> [round(schedule(n), 3) for n in (0, 2, 4, 8, 12)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """

    rate: float
    warmup: int
    steps: int
    start: float = 0.0
    end: float = 0.0

    def __post_init__(self) -> None:
        check_number("warmup_cosine: the rate", self.rate, positive=True)
        check_number("warmup_cosine: the start", self.start)
        check_number("warmup_cosine: the end", self.end)
        _check_steps("warmup_cosine: warmup", self.warmup, 0)
        _check_steps("warmup_cosine: steps", self.steps, self.warmup + 1)

    def __call__(self, step: int) -> float:
        """Return the rate after ``step`` steps."""
        if step < self.warmup:
            return self.start + (self.rate - self.start) * step / self.warmup
        rest = cosine(self.rate, self.steps - self.warmup, self.end)
        return rest(step - self.warmup)


@dataclass(frozen=True)
class step:  # noqa: N801
    """``rate``, multiplied by ``factor`` after each ``every`` steps.

    >>> schedule = step(1.0, every=10, factor=0.5)
    >>> schedule(9), schedule(10), schedule(25)
    (1.0, 0.5, 0.25)
    """

    rate: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        check_number("step: the rate", self.rate, positive=True)
        check_number("step: the factor", self.factor, positive=True)
        _check_steps("step: every", self.every)

    def __call__(self, step: int) -> float:
        """Return the rate after ``step`` steps."""
        return self.rate * self.factor ** (step // self.every)

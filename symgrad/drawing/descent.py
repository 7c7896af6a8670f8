"""Gradient descent along a curve: its steps, its minima, and what became of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from symgrad.drawing.colours import number
from symgrad.drawing.descent_curves import SAMPLES, Curve, Expression, Ray, exact
from symgrad.errors import GraphError

FAR = 6.0  # steps further away than this many times the distance are not shown
HIGH, HIGH_BESIDE = 300.0, 8.0  # nor those so many times as high as the start, and
# beside other descents, which they must not flatten


@dataclass
class Walk:
    """Steps of gradient descent, and the part of the curve on which they lie.

    Attributes:
        curve: the function.
        rate: the learning rate.
        x, value, slope: at the start and after each step, as far as finite.
        steps: how many steps were asked for.
        grid, heights: the curve where it is shown.
        minima: the lowest points of the curve there, lowest first.
        kind: ``flat``, ``converged``, ``oscillates``, ``diverges``, ``leaves`` (the
            domain) or ``descending``.
        tame: how many points, from the start, are not too high for a picture.
    """

    curve: Curve
    rate: float
    x: np.ndarray
    value: np.ndarray
    slope: np.ndarray
    steps: int
    grid: np.ndarray
    heights: np.ndarray
    minima: list[tuple[float, float]]
    kind: str
    tame: int

    @property
    def shown(self) -> int:
        """How many points, the start included, lie in the picture."""
        inside = (self.x >= self.grid[0]) & (self.x <= self.grid[-1])
        inside[self.tame :] = False
        out = np.flatnonzero(~inside)
        return int(out[0]) if len(out) else len(self.x)

    @property
    def summary(self) -> str:
        """What became of the descent, in a sentence."""
        name, last = self.curve.symbol, len(self.x) - 1
        steps = f"{last} step{'s' if last != 1 else ''}"
        reached = f"{name} = {exact(self.x[-1])}, slope {exact(self.slope[-1])}"
        if self.kind == "flat":
            return self._flat(name, steps)
        if self.kind == "leaves":
            return f"Step {last + 1} leaves the domain: the value there is not finite."
        if self.kind == "diverges":
            grown = abs(self.x[-1] - self.x[-2]) / abs(self.x[1] - self.x[0])
            said = f"Diverges: after {steps} a step is {number(grown)} times the first"
            if self.shown <= last:
                said += f" (from step {self.shown} on out of the picture)"
            return f"{said}."
        if self.kind == "oscillates":
            return f"Oscillates: each step jumps across; after {steps} {reached}."
        others = len(self.minima) - 1
        lower = others > 0 and self.minima[0][1] < self.value[-1] - 1e-9
        tail = " A lower minimum lies elsewhere." if lower else ""
        word = "Converges" if self.kind == "converged" else "Still descending"
        return f"{word}: after {steps} {reached}.{tail}"

    def _flat(self, name: str, steps: str) -> str:
        """Return why it does not move."""
        moved = abs(self.x[-1] - self.x[0])
        if moved:
            slope = exact(self.slope[0])
            return f"The slope at the start is {slope}: {steps} move {name} by " + (
                f"{exact(moved)}."
            )
        if np.ptp(self.heights) == 0:
            return "The function is constant here: no step moves."
        near = 1e-3 * float(np.ptp(self.grid))
        at_minimum = any(abs(x - self.x[0]) < near for x, _ in self.minima)
        where = "The start is a minimum" if at_minimum else "The start is no minimum"
        return f"{where}: its slope is 0, no step moves."


def walk(f: Curve, start: float, rate: float, steps: int) -> Walk:
    """Descend, and find what of the curve to show."""
    return walks(f, [start], [rate], steps)[0]


def walks(
    f: Curve, starts: Sequence[float], rates: Sequence[float], steps: int
) -> list[Walk]:
    """Descend several times, and find what of the curve shows all of them."""
    tracks = [_descend(f, s, r, steps) for s, r in zip(starts, rates, strict=True)]
    most = HIGH if len(tracks) == 1 else HIGH_BESIDE
    tame = [_tame(value, most) for _, value, _ in tracks]
    windows = [_window(f, x[:n]) for (x, _, _), n in zip(tracks, tame, strict=True)]
    low, high = min(w[0] for w in windows), max(w[1] for w in windows)
    if isinstance(f, Expression):
        low, high = _widened(f, low, high)
    own = np.concatenate([x for x, _, _ in tracks])
    # a step is on the curve that is drawn, however steep that is
    grid = np.union1d(
        np.linspace(low, high, f.samples), own[(own >= low) & (own <= high)]
    )
    sampled = np.array([f(float(g)) for g in grid])
    heights, minima = sampled[:, 0], _minima(f, grid, sampled)
    found = []
    for (x, value, slope), rate, n in zip(tracks, rates, tame, strict=True):
        kind = kind_of(x, value, slope, steps, _scale(x, minima))
        found.append(
            Walk(f, rate, x, value, slope, steps, grid, heights, minima, kind, n)
        )
    return found


def _tame(value: np.ndarray, most: float) -> int:
    """Return how many values, from the start, a picture may have to show."""
    first = abs(value[0]) or (abs(value[1]) if len(value) > 1 else 1.0)
    wild = np.flatnonzero(value > value[0] + most * first)
    return int(wild[0]) if len(wild) else len(value)


def _scale(x: np.ndarray, minima: Sequence[tuple[float, float]]) -> float:
    """Return how far a descent has to go: to a minimum, or about as far as 0 is."""
    ways = [abs(m - x[0]) for m, _ in minima if m != x[0]]
    nearest = min(ways, default=min(1.0, abs(x[0]) or 1.0))
    # what is nearer than this is rounding
    return max(float(nearest), 1e-9 * max(1.0, float(abs(x[0]))))


def _descend(
    f: Curve, start: float, rate: float, steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = float(start)
    value, slope = f(x)
    if not (math.isfinite(value) and math.isfinite(slope)):
        raise GraphError(
            f"{f.formula} at the start {f.symbol} = {x:g} is {value:g} with slope "
            f"{slope:g}; start where both are finite"
        )
    found = [(x, value, slope)]
    for _ in range(steps):
        x -= rate * slope
        value, slope = f(x) if abs(x) < 1e150 else (math.nan, math.nan)
        if not (math.isfinite(value) and math.isfinite(slope)):
            break
        found.append((x, value, slope))
    return tuple(np.array(found).T)


def _window(f: Curve, x: np.ndarray) -> tuple[float, float]:
    """Return the part of the axis that shows the steps and the valley they are in."""
    near = _reach(f, x)
    inside = x[np.abs(x - x[0]) <= near]
    low, high = float(inside.min()), float(inside.max())
    goal = _ahead(f, x, near)
    if goal is not None:
        # a valley is seen from both of its sides
        half = max(high - goal, goal - low) or 1.0
        low, high = min(low, goal - 0.8 * half), max(high, goal + 0.8 * half)
    least = 1e-3 * max(1.0, abs(low))
    span = high - low
    if goal is None and span < least:  # a plateau, with what is around it
        span = 2 * max(1.0, abs(low))
    pad = 0.12 * span if high - low >= least or goal is not None else span
    if isinstance(f, Ray):
        return low - 0.12 * span, high + pad
    return low - pad, high + pad


def _widened(f: Curve, low: float, high: float) -> tuple[float, float]:
    """Return more of the axis, if there is another minimum not far away."""
    grid = np.linspace(low - 1.3 * (high - low), high + 1.3 * (high - low), SAMPLES)
    sampled = np.array([f(float(g)) for g in grid])
    if not np.isfinite(sampled).all():
        return low, high
    inside = sampled[(grid >= low) & (grid <= high), 0]
    most = inside.max() + 1.5 * (inside.max() - inside.min())
    pad = 0.25 * (high - low)
    found = low, high
    for x, _ in _minima(f, grid, sampled):
        wider = min(found[0], x - pad), max(found[1], x + pad)
        if sampled[(grid >= wider[0]) & (grid <= wider[1]), 0].max() <= most:
            found = wider
    return found


def _reach(f: Curve, x: np.ndarray) -> float:
    """Return how far from the start a step may lie and still be shown."""
    if len(x) < 2 or x[1] == x[0]:
        return math.inf
    first = abs(x[1] - x[0])
    return max(FAR * first, _escape(x))


def _escape(x: np.ndarray) -> float:
    """Return how far steps get that do not run away."""
    sizes = np.abs(np.diff(x))
    running = len(sizes) > 2 and sizes[-1] > 1.01 * sizes[0]
    return 0.0 if running else float(np.abs(x - x[0]).max())


def _ahead(f: Curve, x: np.ndarray, near: float) -> float | None:
    """Return the first place downhill where the slope changes its sign."""
    _, slope = f(float(x[0]))
    if slope == 0:
        return None
    limit = near if math.isfinite(near) else 1.0
    reach = max(4 * limit, 1e-9)
    for distance in np.geomspace(reach / 400, reach, 120):
        at = float(x[0]) - math.copysign(distance, slope)
        value, there = f(at)
        if not (math.isfinite(value) and math.isfinite(there)):
            return None
        if there * slope <= 0:
            return at
    return None


def _minima(
    f: Curve, grid: np.ndarray, sampled: np.ndarray
) -> list[tuple[float, float]]:
    """Return the points where the slope changes from falling to rising."""
    found = []
    for k in range(len(grid) - 1):
        if sampled[k, 1] < 0 <= sampled[k + 1, 1]:
            x = _crossing(f, float(grid[k]), float(grid[k + 1]))
            value = float(f(x)[0])
            # at a pole the slope changes its sign as well
            if value <= float(sampled[k : k + 2, 0].min()) + 1e-12:
                found.append((x, value))
    return sorted(found, key=lambda p: p[1])


def _crossing(f: Curve, low: float, high: float, halvings: int = 40) -> float:
    """Return where the slope becomes zero, by bisection."""
    for _ in range(halvings):
        middle = (low + high) / 2
        if f(middle)[1] < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def kind_of(
    x: np.ndarray, value: np.ndarray, slope: np.ndarray, steps: int, scale: float = 0.0
) -> str:
    """Say what became of a descent.

    Args:
        x: the places, ``[steps + 1]`` or ``[steps + 1, axes]``.
        value: the function's values there.
        slope: its gradients there, of the shape of ``x``.
        steps: how many steps were asked for.
        scale: a descent that goes less than a thousandth of it goes nowhere.
    """
    x, slope = x.reshape(len(x), -1), slope.reshape(len(slope), -1)
    steep = _sizes(slope)
    if steep[0] == 0:
        return "flat"
    if len(x) < 2:
        return "leaves" if steps else "descending"
    moves = np.diff(x, axis=0)
    sizes = _sizes(moves)
    if np.hypot.reduce(np.ptp(x, axis=0)) < 1e-3 * scale:
        return "flat"
    growing = value[-1] > value[0] and sizes[-1] > sizes[0]
    if len(x) <= steps and not growing:
        return "leaves"
    if growing:
        return "diverges"
    small = sizes[-1] <= 1e-2 * sizes.max() and steep[-1] <= 2e-2 * steep.max()
    if small and _left(sizes) <= 2e-2 * np.hypot.reduce(np.ptp(x, axis=0)):
        return "converged"
    tail = moves[-max(4, len(moves) // 2) :]
    back = np.sum(tail[1:] * tail[:-1], axis=1) < 0
    return "oscillates" if len(back) and np.mean(back) > 0.6 else "descending"


def _sizes(rows: np.ndarray) -> np.ndarray:
    """Return the norm of each row, which need not be representable squared."""
    found: np.ndarray = np.hypot.reduce(rows, axis=1)
    return found


def _left(sizes: np.ndarray) -> float:
    """Return how far it is yet, if steps go on to shrink as the last ones do."""
    if len(sizes) < 2 or not sizes[-1]:
        return 0.0
    ratio = sizes[-1] / sizes[-2]
    return float(sizes[-1] * ratio / (1 - ratio)) if ratio < 1 else math.inf

"""Gradient descent on a function of two variables, and the function's contours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from symgrad.drawing.colours import number
from symgrad.drawing.descent import FAR, kind_of
from symgrad.drawing.descent_curves import exact
from symgrad.errors import GraphError

GRID = 96  # points along each axis where contours are looked for
LEVELS = 14
HIDDEN = 96.0  # percent of the values that contours are spread over


class Surface:
    """A function of two variables from a text; its gradient is derived.

    Attributes:
        symbols: the variables, in the order of the alphabet: right, and up.
        formula: the function, as text.
        slope_formula: its gradient, as text.
    """

    def __init__(self, text: str, e: Any, names: Sequence[str]) -> None:
        from symgrad.closedform.convert import graph_of
        from symgrad.closedform.numeric import Function
        from symgrad.closedform.scalars import derive_scalar
        from symgrad.closedform.text import line
        from symgrad.declare.tensor import input
        from symgrad.derivation.reverse import grad
        from symgrad.derivation.symbolic import to_sympy

        self.symbols = tuple(names)
        self.formula = line(to_sympy(e))
        slopes = (line(derive_scalar(e, text, n, 1).result) for n in names)
        self.slope_formula = f"({', '.join(slopes)})"
        at = [input(n, (), "float64") for n in names]
        value = graph_of(e, dict(zip(names, at, strict=True)))
        self._run = Function(at, [value, *grad(value, at)])

    def __call__(self, x: float, y: float) -> tuple[float, float, float]:
        """Return the value and both slopes."""
        value, dx, dy = self._run(float(x), float(y))
        return float(value), float(dx), float(dy)


@dataclass
class Tour:
    """Steps of gradient descent in a plane.

    Attributes:
        surface: the function.
        rate: the learning rate.
        x: at the start and after each step, as far as finite: ``[steps + 1, 2]``.
        value, slope: there; ``slope`` is ``[steps + 1, 2]``.
        steps: how many steps were asked for.
        kind: as of a ``Walk``.
    """

    surface: Surface
    rate: float
    x: np.ndarray
    value: np.ndarray
    slope: np.ndarray
    steps: int
    kind: str

    @property
    def summary(self) -> str:
        """What became of the descent, in a sentence."""
        last = len(self.x) - 1
        steps = f"{last} step{'s' if last != 1 else ''}"
        place = f"({', '.join(exact(v) for v in self.x[-1])})"
        slope = exact(float(np.hypot(*self.slope[-1])))
        if self.kind == "flat":
            return "The gradient at the start is 0: no step moves."
        if self.kind == "leaves":
            return f"Step {last + 1} leaves the domain: the value there is not finite."
        if self.kind == "diverges":
            sizes = np.hypot(*np.diff(self.x, axis=0).T)
            grown = number(float(sizes[-1] / sizes[0]))
            said = f"Diverges: after {steps} a step is {grown} times the first"
            if len(self.near) <= last:
                said += f" (from step {len(self.near)} on out of the picture)"
            return f"{said}."
        reached = f"after {steps} {place}, value {exact(self.value[-1])}"
        words = {"converged": "Converges", "oscillates": "Oscillates"}
        word = words.get(self.kind, "Still descending")
        return f"{word}: {reached}, ‖gradient‖ {slope}."

    @cached_property
    def near(self) -> np.ndarray:
        """The points that a picture shows: not those of a descent that runs away."""
        if len(self.x) < 2:
            return self.x
        sizes = np.hypot(*np.diff(self.x, axis=0).T)
        if self.kind not in ("diverges", "leaves") or not sizes[0]:
            return self.x
        away = np.hypot(*(self.x - self.x[0]).T)
        out = np.flatnonzero(away > FAR * sizes[0])
        return self.x[: int(out[0])] if len(out) else self.x


def tour(f: Surface, start: Sequence[float], rate: float, steps: int) -> Tour:
    """Descend."""
    at = np.array(start, np.float64)
    found = [(*at, *f(*at))]
    if not np.isfinite(found[0]).all():
        raise GraphError(
            f"{f.formula} at the start ({', '.join(f'{v:g}' for v in at)}) is "
            f"{found[0][2]:g} with the gradient ({found[0][3]:g}, {found[0][4]:g}); "
            "start where all are finite"
        )
    for _ in range(steps):
        at = at - rate * np.array(found[-1][3:])
        if not np.abs(at).max() < 1e150:
            break
        row = (*at, *f(*at))
        if not np.isfinite(row).all():
            break
        found.append(row)
    rows = np.array(found)
    x, value, slope = rows[:, :2], rows[:, 2], rows[:, 3:]
    return Tour(f, rate, x, value, slope, steps, kind_of(x, value, slope, steps))


@dataclass
class Map:
    """A part of the plane with the function's values on a grid.

    Attributes:
        x, y: the grid's lines.
        z: the values, ``[y, x]``.
        minima: those near the ends of the descents, with their values.
    """

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    minima: Sequence[tuple[float, float, float]] = ()

    @cached_property
    def levels(self) -> np.ndarray:
        """Heights of contours: even on a bowl, finer near the bottom of a valley."""
        z = self.z[np.isfinite(self.z)]
        if not z.size or np.ptp(z) == 0:
            return np.zeros(0)
        low, high = float(z.min()), float(np.percentile(z, HIDDEN))
        low = min([low, *(value for _, _, value in self.minima)])
        steps = np.arange(1, LEVELS + 1) / LEVELS
        middle = float(np.median(z)) - low
        steep = middle > 0 and (high - low) / middle > 12
        part = 10 ** (4 * (steps - 1)) if steep else steps**2
        return low + (high - low) * part


def survey(f: Surface, tours: Sequence[Tour], aspect: float) -> Map:
    """Return the part of the plane on which the tours lie.

    Args:
        f: the function.
        tours: the descents.
        aspect: width ÷ height of the picture; a step is at right angles to the contour
            only where both axes have one scale, and so they have if that is possible.
    """
    points = np.concatenate([t.near for t in tours])
    minima = _minima(f, tours)
    low, high = points.min(0), points.max(0)
    for minimum in minima:
        span = max(float((high - low).max()), 1e-300)
        place = np.array(minimum[:2])
        if np.all(place > low - 1.5 * span) and np.all(place < high + 1.5 * span):
            low, high = np.minimum(low, place), np.maximum(high, place)
    middle, half = (low + high) / 2, 0.62 * (high - low)
    least = 0.02 * float(half.max()) or max(1.0, float(np.abs(middle).max()))
    half = np.maximum(half, least)
    scale = max(half[0] / aspect, half[1])
    if min(half[0] / aspect, half[1]) > scale / 8:
        half = np.array([scale * aspect, scale])
    else:
        half = np.maximum(half, np.array([scale * aspect, scale]) / 8)
    x, y = (np.linspace(m - h, m + h, GRID) for m, h in zip(middle, half, strict=True))
    z = np.array([[f(a, b)[0] for a in x.tolist()] for b in y.tolist()])
    return Map(x, y, z, minima)


def _minima(f: Surface, tours: Sequence[Tour]) -> list[tuple[float, float, float]]:
    """Return the minima near the lowest points that were reached, each once."""
    found: list[tuple[float, float, float]] = []
    reach = 1e-3 * max(float(np.ptp(np.concatenate([t.near for t in tours]))), 1e-300)
    for t in tours:
        new = _minimum(f, t)
        if new is not None and all(
            math.dist(new[:2], known[:2]) > reach for known in found
        ):
            found.append(new)
    return found


def _minimum(f: Surface, t: Tour) -> tuple[float, float, float] | None:
    from scipy.optimize import minimize

    start = t.x[int(t.value.argmin())]

    def both(p: np.ndarray) -> tuple[float, np.ndarray]:
        value, *slope = f(*p)
        return value, np.array(slope)

    with np.errstate(all="ignore"):
        found = minimize(both, start, jac=True, method="BFGS")
    size = float(np.hypot(*found.jac))
    steepest = float(np.hypot(*t.slope.T).max())
    if not (np.isfinite(found.x).all() and math.isfinite(float(found.fun))):
        return None
    if size > 1e-4 * steepest or _saddle(f, found.x):
        return None
    return float(found.x[0]), float(found.x[1]), float(found.fun)


def _saddle(f: Surface, at: np.ndarray) -> bool:
    """Say whether the function is lower, or not higher, somewhere around a point."""
    here = f(*at)[0]
    reach = 1e-3 * max(1.0, float(np.abs(at).max()))
    turns = np.linspace(0, 2 * math.pi, 16, endpoint=False)
    around = [
        f(at[0] + reach * math.cos(a), at[1] + reach * math.sin(a))[0] for a in turns
    ]
    return not all(v > here for v in around)


def contours(m: Map, level: float) -> list[np.ndarray]:
    """Return the lines on which the function has a value, by marching squares.

    Cells with a value that is not finite are left out.

    >>> x = np.linspace(-2, 2, 41)
    >>> bowl = Map(x, x, x[None] ** 2 + x[:, None] ** 2)
    >>> (circle,) = contours(bowl, 1.0)
    >>> bool(np.allclose(np.hypot(*circle.T), 1, atol=2e-3))
    True
    """
    links = _links(m, level)
    lines = []
    while links:
        first = next(iter(links))
        line = [first]
        for forward in (True, False):
            while True:
                at = line[-1] if forward else line[0]
                follow = links.get(at)
                if not follow:
                    break
                to = follow.pop()
                links[to].remove(at)
                if forward:
                    line.append(to)
                else:
                    line.insert(0, to)
        for at in line:
            if at in links and not links[at]:
                del links[at]
        lines.append(np.array([_crossing(m, level, e) for e in line]))
    return [line for line in lines if len(line) > 2]


Edge = tuple[int, int, int]  # row, column, 0 to the right or 1 upwards


def _links(m: Map, level: float) -> dict[Edge, list[Edge]]:
    """Return for each crossed edge of the grid those that a contour goes on to."""
    above = m.z > level
    good = np.isfinite(m.z)
    mixed = (
        above[:-1, :-1].astype(int) + above[:-1, 1:] + above[1:, :-1] + above[1:, 1:]
    )
    whole = good[:-1, :-1] & good[:-1, 1:] & good[1:, :-1] & good[1:, 1:]
    links: dict[Edge, list[Edge]] = {}
    for i, j in np.argwhere((mixed > 0) & (mixed < 4) & whole).tolist():
        corners = above[i, j], above[i, j + 1], above[i + 1, j + 1], above[i + 1, j]
        edges = ((i, j, 0), (i, j + 1, 1), (i + 1, j, 0), (i, j, 1))
        crossed = [e for k, e in enumerate(edges) if corners[k] != corners[(k + 1) % 4]]
        if len(crossed) == 4:  # a saddle: its middle says which corners belong together
            middle = m.z[i : i + 2, j : j + 2].mean() > level
            if middle != corners[0]:
                crossed = [*crossed[1:], crossed[0]]
        for a, b in zip(crossed[::2], crossed[1::2], strict=True):
            links.setdefault(a, []).append(b)
            links.setdefault(b, []).append(a)
    return links


def _crossing(m: Map, level: float, edge: Edge) -> tuple[float, float]:
    """Return where a contour crosses an edge of the grid."""
    i, j, up = edge
    a, b = m.z[i, j], m.z[i + up, j + 1 - up]
    part = float((level - a) / (b - a))
    if up:
        return float(m.x[j]), float(m.y[i] + part * (m.y[i + 1] - m.y[i]))
    return float(m.x[j] + part * (m.x[j + 1] - m.x[j])), float(m.y[i])

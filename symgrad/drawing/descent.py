"""Gradient descent along a curve: its steps, its minima, and what became of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from symgrad.declare.tensor import Input, Param, Tensor, topological
from symgrad.drawing.colours import number
from symgrad.errors import GraphError, ShapeError

SAMPLES = 400  # of a curve that costs little; a model's is sampled less
MOST_STEPS = 10_000
FAR = 6.0  # steps further away than this many times the distance are not shown


class Curve(Protocol):
    """A function of one variable with its slope.

    Attributes:
        symbol: the variable.
        formula: what is on the vertical axis, as text.
        slope_formula: its derivative, as text.
        samples: how many points of it to compute for a picture.
    """

    symbol: str
    formula: str
    slope_formula: str
    samples: int

    def __call__(self, x: float) -> tuple[float, float]:
        """Return value and slope."""
        ...


class Expression:
    """A curve from a text such as ``(x-3)**2``; its slope is derived."""

    samples = SAMPLES

    def __init__(self, text: str) -> None:
        from symgrad.closedform.convert import graph_of, variables
        from symgrad.closedform.numeric import Function
        from symgrad.closedform.parsing import parse_scalar
        from symgrad.closedform.scalars import derive_scalar
        from symgrad.closedform.text import line
        from symgrad.declare.tensor import input
        from symgrad.derivation.reverse import grad
        from symgrad.derivation.symbolic import to_sympy

        e = parse_scalar(text)
        names = sorted(variables(e))
        if len(names) != 1:
            held = f"holds {', '.join(names)}" if names else "is a number"
            raise GraphError(
                f"{text!r} {held}; a curve is of one variable, as in '(x-3)**2'"
            )
        self.symbol = names[0]
        self.formula = line(to_sympy(e))
        self.slope_formula = line(derive_scalar(e, text, self.symbol, 1).result)
        x = input(self.symbol, (), "float64")
        value = graph_of(e, {self.symbol: x})
        self._run = Function([x], [value, grad(value, x)])

    def __call__(self, x: float) -> tuple[float, float]:
        """Return value and slope."""
        value, slope = self._run(float(x))
        return float(value), float(slope)


class Ray:
    """The loss of a model along its steepest descent from the given parameters.

    The variable is the distance in the space of the parameters; the slope is the
    derivative of the loss along the ray, from the whole gradient at each point.

    Attributes:
        program: what computes the loss and the gradients.
        loss, gradients: their values at the given parameters.
        norm: of the whole gradient there.
    """

    symbol = "t"
    samples = 48

    def __init__(
        self,
        loss: Tensor,
        data: Mapping[str, Any] | None,
        params: Mapping[str, Any] | None,
    ) -> None:
        from symgrad.declare.tensor import constant
        from symgrad.derivation.reverse import reverse
        from symgrad.drawing.measure import arguments
        from symgrad.pipeline import compile
        from symgrad.train.initialize import name_of

        if loss.shape != ():
            raise ShapeError(
                f"descent is on a scalar; {loss.describe()} must be summed first"
            )
        order = topological([loss])
        trained = [t for t in order if isinstance(t.op, Param) and t.op.trainable]
        sent = reverse([loss], trained, [constant(1.0, loss.dtype)]).cotangents
        wrt = [t for t in trained if t in sent]
        if not wrt:
            raise GraphError(
                f"{loss.describe()} has no trainable parameter to descend by"
            )
        inputs = [t for t in order if isinstance(t.op, Input)]
        self._arrays, self._params = arguments(loss, inputs, order, data, params)
        self.program = compile(inputs, [loss, *(sent[t] for t in wrt)])
        self._names = [name_of(t) for t in wrt]
        self._known: dict[float, tuple[float, float]] = {}
        self.loss, self.gradients = self._at(self._params)
        squares = (float(np.vdot(g, g)) for g in self.gradients.values())
        self.norm = math.sqrt(sum(squares))
        scale = 1 / self.norm if self.norm > 0 and math.isfinite(self.norm) else 0.0
        self._direction = {n: g * -scale for n, g in self.gradients.items()}
        self.formula = "loss along the steepest descent"
        self.slope_formula = f"−‖∇loss‖ = −{number(self.norm)} at the start"

    def _at(
        self, params: Mapping[str, np.ndarray]
    ) -> tuple[float, dict[str, np.ndarray]]:
        loss, *gradients = self.program(*self._arrays, params=params)
        wide = (np.asarray(g, np.float64) for g in gradients)
        return float(loss), dict(zip(self._names, wide, strict=True))

    def __call__(self, x: float) -> tuple[float, float]:
        """Return value and slope."""
        if x not in self._known:
            self._known[x] = self._measured(x)
        return self._known[x]

    def _measured(self, x: float) -> tuple[float, float]:
        moved = dict(self._params)
        for n, d in self._direction.items():
            moved[n] = np.asarray(moved[n] + x * d, moved[n].dtype)
        loss, gradients = self._at(moved)
        slope = sum(float(np.vdot(g, self._direction[n])) for n, g in gradients.items())
        return loss, slope


def curve_of(f: Any, data: Any, params: Any) -> Curve:
    """Return the curve of a text, or of a model's loss."""
    if isinstance(f, str):
        if data is not None or params is not None:
            raise GraphError("data= and params= belong to a model's loss, not to text")
        return Expression(f)
    if isinstance(f, Tensor):
        return Ray(f, data, params)
    raise GraphError(
        f"descent is on a text such as '(x-3)**2' or on a loss, not on "
        f"{type(f).__name__} {f!r}"
    )


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

    @property
    def shown(self) -> int:
        """How many points, the start included, lie in the picture."""
        inside = (self.x >= self.grid[0]) & (self.x <= self.grid[-1])
        out = np.flatnonzero(~inside)
        return int(out[0]) if len(out) else len(self.x)

    @property
    def summary(self) -> str:
        """What became of the descent, in a sentence."""
        name, last = self.curve.symbol, len(self.x) - 1
        steps = f"{last} step{'s' if last != 1 else ''}"
        reached = f"{name} = {_exact(self.x[-1])}, slope {_exact(self.slope[-1])}"
        if self.kind == "flat":
            moved = abs(self.x[-1] - self.x[0])
            said = f"The slope at the start is {number(self.slope[0])}: "
            return said + (
                f"{steps} move {name} by {number(moved)}."
                if moved
                else "no step moves."
            )
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


def walk(f: Curve, start: float, rate: float, steps: int) -> Walk:
    """Descend, and find what of the curve to show."""
    x, value, slope = _descend(f, start, rate, steps)
    low, high = _window(f, x)
    if isinstance(f, Expression):
        low, high = _widened(f, low, high)
    grid = np.linspace(low, high, f.samples)
    sampled = np.array([f(float(g)) for g in grid])
    heights, minima = sampled[:, 0], _minima(f, grid, sampled)
    kind = _kind(x, value, slope, steps)
    return Walk(f, rate, x, value, slope, steps, grid, heights, minima, kind)


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


def _kind(x: np.ndarray, value: np.ndarray, slope: np.ndarray, steps: int) -> str:
    """Say what became of a descent."""
    if abs(slope[0]) < 1e-12 or np.ptp(x) < 1e-3 * min(1.0, abs(x[0]) or 1.0):
        return "flat"
    if len(x) < 2:
        return "leaves" if steps else "descending"
    sizes = np.abs(np.diff(x))
    growing = value[-1] > value[0] and sizes[-1] > sizes[0]
    if len(x) <= steps and not growing:
        return "leaves"
    if growing:
        return "diverges"
    if sizes[-1] <= 1e-2 * sizes.max() and abs(slope[-1]) <= 2e-2 * abs(slope).max():
        return "converged"
    tail = np.sign(np.diff(x))[-max(4, len(sizes) // 2) :]
    turns = np.mean(tail[1:] != tail[:-1]) if len(tail) > 1 else 0.0
    return "oscillates" if turns > 0.6 else "descending"


def _exact(value: float) -> str:
    """Return a number with four digits."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.4g}".replace("-", "−")
    return number(value).replace("-", "−")

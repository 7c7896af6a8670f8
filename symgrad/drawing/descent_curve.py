"""The picture of descents along a curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from symgrad.drawing.canvas import Line, Point
from symgrad.drawing.colours import KINDS
from symgrad.drawing.descent import Walk
from symgrad.drawing.descent_picture import (
    COLOURS,
    Course,
    Picture,
    Range,
    short,
    shown,
    signed,
)

CURVE = KINDS["input"][1]
TALL = 460


class CurvePicture(Picture):
    """A curve with one or several descents on it."""

    def __init__(
        self, walks: Sequence[Walk], labels: Sequence[str], animated: bool
    ) -> None:
        first = walks[0]
        self.walks = walks
        limits = float(first.grid[0]), float(first.grid[-1])
        courses = []
        for w, label, colour in zip(walks, labels, COLOURS, strict=False):
            count = w.shown
            points = list(zip(w.x[:count].tolist(), w.value[:count].tolist(),
                              strict=True))  # fmt: skip
            courses.append(Course(points, f"{label}{w.summary}", colour))
        super().__init__(TALL, limits, _heights(walks), courses)
        name, curve = first.curve.symbol, first.curve
        rates = {w.rate for w in walks}
        rate = f"{first.rate:g}" if len(rates) == 1 else "lr"
        self.frame(
            curve.formula,
            f"slope {curve.slope_formula},  step {name} ← {name} − {rate} · slope",
            curve.across,
            curve.up,
        )
        self._curve()
        self.steps()
        if len(walks) == 1:
            self._arrows(first, animated)

    def _curve(self) -> None:
        w = self.walks[0]
        for piece in _pieces(w.grid, w.heights, self.y_range):
            self.canvas.add(Line([self.at(p) for p in piece], CURVE, 2.5))
        several = len(w.minima) > 1
        for n, (a, b) in enumerate(w.minima):
            if self.y_range[0] <= b <= self.y_range[1]:
                text = f"{'lowest ' if several else ''}minimum at {short(a)}"
                self.minimum(self.at((a, b)), "" if n else text)

    def _arrows(self, w: Walk, animated: bool) -> None:
        """Add the gradient at the start, or at each step: along the tangent, uphill."""
        course = self.courses[0]
        steepest = float(np.abs(w.slope[: len(course.points)]).max(initial=0))
        for n, k in enumerate(shown(course)):
            slope = float(w.slope[k])
            if slope == 0 or (n and not animated):
                continue
            length = 22 + 62 * abs(slope) / steepest
            wide, tall = self.scales
            across, rise = float(np.sign(slope)) * wide, -abs(slope) * tall
            text = f"uphill, slope {signed(slope)}" if n == 0 else ""
            at: Point = self.at(course.points[k])
            self.uphill(at, (across, rise), length, f"uphill u{n}", text)


def _heights(walks: Sequence[Walk]) -> Range:
    """Return what is shown of the vertical axis.

    A pole or a steep wall must not flatten what the steps see.
    """
    w = walks[0]
    tall = w.heights[np.isfinite(w.heights)]
    inside = np.concatenate([v.value[: max(v.shown, 1)] for v in walks])
    spread = float(np.ptp(inside)) or float(np.ptp(tall)) or 1.0
    top = max(float(inside.max()), min(float(tall.max()), inside.max() + 0.6 * spread))
    bottom = min(float(tall.min()), float(inside.min()))
    if bottom < inside.min() - 4 * spread:
        bottom = float(inside.min()) - spread
    pad = 0.13 * ((top - bottom) or max(abs(top), 1.0))
    return bottom - pad, top + pad


def _pieces(
    grid: np.ndarray, heights: np.ndarray, limits: Range
) -> list[list[tuple[float, float]]]:
    """Return the parts of a curve that are finite and inside the picture."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for a, b in zip(grid.tolist(), heights.tolist(), strict=True):
        if np.isfinite(b) and limits[0] <= b <= limits[1]:
            pieces[-1].append((a, b))
        elif pieces[-1]:
            pieces.append([])
    return [p for p in pieces if len(p) > 1]

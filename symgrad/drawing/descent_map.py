"""The picture of descents on a function of two variables: its contours, from above."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from symgrad.drawing.canvas import Line, Word
from symgrad.drawing.descent_picture import (
    COLOURS,
    FOOT,
    LEFT,
    RIGHT,
    ROW,
    TOP,
    WIDTH,
    Course,
    Picture,
    short,
    shown,
    signed,
)
from symgrad.drawing.descent_plane import Map, Tour, contours, survey

TALL = 560
LONGEST = 105  # letters of a line that is not too small
LABELLED = 3  # every so many contours carry their value
LOW, HIGH = (31, 92, 140), (178, 205, 226)  # colours of the lowest contour, the highest


class MapPicture(Picture):
    """Contours with one or several descents on them."""

    def __init__(
        self, tours: Sequence[Tour], labels: Sequence[str], animated: bool
    ) -> None:
        aspect = (WIDTH - LEFT - RIGHT) / (TALL - TOP - FOOT - ROW)
        f = tours[0].surface
        self.map: Map = survey(f, tours, aspect)
        x, y = self.map.x, self.map.y
        courses = [
            Course([(a, b) for a, b in t.near.tolist()], f"{label}{t.summary}", colour)
            for t, label, colour in zip(tours, labels, COLOURS, strict=False)
        ]
        limits = (float(x[0]), float(x[-1])), (float(y[0]), float(y[-1]))
        super().__init__(TALL, *limits, courses)
        rates = {t.rate for t in tours}
        rate = f"{tours[0].rate:g}" if len(rates) == 1 else "lr"
        names = ", ".join(f.symbols)
        step = f"step ({names}) ← ({names}) − {rate} · gradient"
        below = f"gradient {f.slope_formula},  {step}"
        self.frame(
            f.formula,
            below if len(below) < LONGEST else step,
            f.symbols[0],
            f.symbols[1],
        )
        self._contours()
        self.steps()
        inside = [
            p
            for p in self.map.minima
            if x[0] <= p[0] <= x[-1] and y[0] <= p[1] <= y[-1]
        ]
        for a, b, value in inside:
            place = f"({short(_near(a, x))}, {short(_near(b, y))})"
            text = f"minimum at {place}: {short(_near(value, self.map.z))}"
            self.minimum(self.at((a, b)), text if len(inside) == 1 else "")
        if len(tours) == 1:
            self._arrows(tours[0], animated)

    def _contours(self) -> None:
        levels = self.map.levels
        taken: list[tuple[float, float]] = []
        for n, level in enumerate(levels):
            part = n / max(len(levels) - 1, 1)
            colour = "#" + "".join(
                f"{round(a + (b - a) * part):02x}"
                for a, b in zip(LOW, HIGH, strict=True)
            )
            lines = contours(self.map, float(level))
            for line in lines:
                points = [self.at((a, b)) for a, b in line.tolist()]
                self.canvas.add(Line(points, colour, 1.4, role="contour"))
            if n % LABELLED == LABELLED - 1 and lines:
                self._label(max(lines, key=len), level, taken)

    def _label(
        self, line: np.ndarray, level: float, taken: list[tuple[float, float]]
    ) -> None:
        """Write a contour's value where there is room."""
        for k in np.linspace(0, len(line) - 1, 9)[1:-1].round().astype(int):
            x, y = self.at((float(line[k][0]), float(line[k][1])))
            inside = (
                LEFT + 24 < x < WIDTH - RIGHT - 24 and TOP + 12 < y < self.bottom - 8
            )
            steps = (self.at(p) for c in self.courses for p in c.points)
            if inside and all(
                abs(x - a) > 46 or abs(y - b) > 18 for a, b in (*taken, *steps)
            ):
                taken.append((x, y))
                self.canvas.add(
                    Word((x, y + 4), short(level), "#4b6a86", 11, "middle", halo=True,
                         role="halo grey")
                )  # fmt: skip
                return

    def _arrows(self, t: Tour, animated: bool) -> None:
        """Add the gradient at the start, or at each step: at right angles, uphill."""
        course = self.courses[0]
        sizes = np.hypot(*t.slope.T)
        steepest = float(sizes[: len(course.points)].max(initial=0))
        wide, tall = self.scales
        for n, k in enumerate(shown(course)):
            if not sizes[k] or (n and not animated):
                continue
            dx, dy = t.slope[k].tolist()
            length = 20 + 44 * float(sizes[k]) / steepest
            text = f"uphill, ‖gradient‖ {signed(float(sizes[k]))}" if n == 0 else ""
            at = self.at(course.points[k])
            self.uphill(at, (dx * wide, -dy * tall), length, f"uphill u{n}", text)


def _near(value: float, grid: np.ndarray) -> float:
    """Return 0 for what is 0 but for rounding, on the scale of the picture."""
    live = grid[np.isfinite(grid)]
    return 0.0 if abs(value) < 1e-6 * float(np.ptp(live)) else value

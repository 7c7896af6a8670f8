"""What pictures of descent share: axes, courses of steps, a legend, and motion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from symgrad.drawing.canvas import Canvas, Dot, Line, Point, Word
from symgrad.drawing.colours import BACKWARD, KINDS, number

WIDTH = 720
LEFT, RIGHT, TOP, FOOT = 64, 24, 74, 58
ROW = 19  # pixels of a line of the legend
INK, GREY, GRID = "#1f2937", "#6b7280", "#e5e7eb"
UPHILL, LOWEST = KINDS["result"][1], KINDS["param"][1]
#: of several descents: told apart by the colour-blind, too
COLOURS = (BACKWARD, "#aa3377", "#8a6d00", "#117733", "#444444", "#4477aa")
MOST_COURSES = len(COLOURS)
MOST_SHOWN = 60  # steps with a moment of their own
SECONDS = 0.45  # of a step
PAUSE = 2.5  # seconds at the end

Range = tuple[float, float]


@dataclass
class Course:
    """A descent in a picture.

    Attributes:
        points: where it starts and each step ends, as far as shown.
        says: what became of it.
        colour: of its steps.
    """

    points: list[tuple[float, float]]
    says: str
    colour: str = BACKWARD


class Picture:
    """A canvas with two axes, on which courses are drawn."""

    def __init__(
        self, tall: float, x_range: Range, y_range: Range, courses: Sequence[Course]
    ) -> None:
        self.foot = FOOT + ROW * len(courses)
        self.height = tall + self.foot - FOOT - ROW
        self.canvas = Canvas(WIDTH, self.height)
        self.x_range, self.y_range = x_range, y_range
        self.courses = list(courses)
        self.bottom = self.height - self.foot

    def x(self, value: float) -> float:
        """Return the place of a value on the horizontal axis."""
        low, high = self.x_range
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Return the place of a value on the vertical axis."""
        low, high = self.y_range
        return self.bottom - (value - low) / (high - low) * (self.bottom - TOP)

    @property
    def scales(self) -> tuple[float, float]:
        """Pixels of a unit to the right and upwards."""
        (left, right), (low, high) = self.x_range, self.y_range
        wide, tall = WIDTH - LEFT - RIGHT, self.bottom - TOP
        return wide / (right - left), tall / (high - low)

    def at(self, point: tuple[float, float]) -> Point:
        """Return the place of a point."""
        return self.x(point[0]), self.y(point[1])

    # -- parts -------------------------------------------------------------------------

    def frame(self, title: str, below: str, across: str, up: str) -> None:
        """Add the titles, the axes with their names, and the legend."""
        add = self.canvas.add
        size = min(17.0, 17.0 * 62 / max(len(title), 1))
        small = min(13.0, 13.0 * 88 / max(len(below), 1))
        add(
            Word((LEFT, 28), title, INK, max(size, 9), bold=True, role="ink"),
            Word((LEFT, 50), below, GREY, max(small, 9), role="grey"),
        )
        for tick, text in ticks(*self.x_range, 8):
            x = self.x(tick)
            add(Line([(x, TOP), (x, self.bottom)], GRID, role="grid"))
            add(Word((x, self.bottom + 18), text, GREY, 12, "middle", role="grey"))
        for tick, text in ticks(*self.y_range, 5):
            y = self.y(tick)
            add(Line([(LEFT, y), (WIDTH - RIGHT, y)], GRID, role="grid"))
            add(Word((LEFT - 8, y + 4), text, GREY, 12, "end", role="grey"))
        add(
            Word((WIDTH - RIGHT, self.bottom + 34), across, GREY, 12, "end",
                 role="grey"),
            Word((LEFT, TOP - 8), up, GREY, 12, role="grey"),
        )  # fmt: skip
        several = len(self.courses) > 1
        longest = max((len(c.says) for c in self.courses), default=1)
        size = max(min(13.5, 13.5 * 84 / max(longest, 1)), 9)
        for n, course in enumerate(self.courses):
            y = self.height - 16 - ROW * (len(self.courses) - 1 - n)
            if several:
                add(Dot((LEFT + 5, y - 4.5), 5, course.colour))
            start = LEFT + (18 if several else 0)
            add(Word((start, y), course.says, INK, size, role="ink"))

    def steps(self) -> None:
        """Add the steps of every course, and where each ends."""
        add = self.canvas.add
        for n, course in enumerate(self.courses):
            path = [self.at(course.points[k]) for k in shown(course)]
            if len(path) > 1:
                add(Line(path, course.colour, 1.3, (3, 3), role="trail"))
            for k, at in enumerate(path):
                add(Dot(at, 4.2, course.colour, "#ffffff", 1.0, f"step s{n}-{k}"))
            if path:
                add(Dot(path[-1], 7, course.colour, "#ffffff", 2, f"ball b{n}"))

    def minimum(self, at: Point, text: str) -> None:
        """Add a ring where a minimum is."""
        self.canvas.add(Dot(at, 6.5, "none", LOWEST, 2))
        if text:
            half = 3.6 * len(text)
            x = min(max(at[0], LEFT + half), WIDTH - RIGHT - half)
            y = at[1] + (22 if at[1] + 26 < self.bottom + 12 else -14)
            role = "halo good"
            self.canvas.add(
                Word((x, y), text, LOWEST, 12.5, "middle", True, True, role)
            )

    def uphill(
        self, at: Point, way: Point, length: float, role: str, text: str
    ) -> None:
        """Add an arrow uphill, which stays inside the picture."""
        size = math.hypot(*way)
        if not size or not math.isfinite(size):
            return
        dx, dy = way[0] / size, way[1] / size
        limits = ((at[0], dx, LEFT, WIDTH - RIGHT), (at[1], dy, TOP, self.bottom))
        for start, d, low, high in limits:
            if d:
                length = min(length, max(((high if d > 0 else low) - start) / d, 14))
        end = at[0] + dx * length, at[1] + dy * length
        line = Line([at, end], UPHILL, 2.6, head=min(11, 0.7 * length), role=role)
        self.canvas.add(line)
        if text:
            wide = 6.8 * len(text) + 10
            right = end[0] + wide < WIDTH - RIGHT
            if dx < 0 and end[0] - wide > LEFT:
                right = False
            # beside the arrow's head, or above the arrow where it would cover that
            y = end[1] + (4 if right == (dx >= 0) else -12)
            place = (
                end[0] + (9 if right else -9),
                min(max(y, TOP + 12), self.bottom - 4),
            )
            anchor = "start" if right else "end"
            word = Word(place, text, UPHILL, 12.5, anchor, True, True, "halo warm")
            self.canvas.add(word)

    # -- motion ------------------------------------------------------------------------

    def motion(self) -> str:
        """Return the style sheet that makes the steps appear one after the other.

        Without it, or where motion is refused, everything is there at once.
        """
        paths = [[self.at(c.points[k]) for k in shown(c)] for c in self.courses]
        most = max((len(p) for p in paths), default=0)
        if most < 2:
            return ""
        total = SECONDS * (most - 1) + PAUSE
        part = 100 * SECONDS / total
        rules = [rule for n, p in enumerate(paths) for rule in _moves(n, p, part)]
        return (
            ".uphill:not(.u0){visibility:hidden}"
            "@media (prefers-reduced-motion:no-preference){"
            f".ball,.step,.uphill{{animation:0s linear infinite;"
            f"animation-duration:{total:g}s}}"
            ".ball{animation-timing-function:ease-in-out}.trail{opacity:.45}"
            f"{''.join(rules)}}}"
        )


def shown(course: Course) -> list[int]:
    """Return the steps that are drawn: all, or some of very many."""
    count = len(course.points)
    some = min(count, MOST_SHOWN)
    if some < 2:
        return list(range(count))
    return sorted({round(k * (count - 1) / (some - 1)) for k in range(some)})


def _moves(n: int, path: Sequence[Point], part: float) -> list[str]:
    """Return how course ``n`` moves, a step in each ``part`` of the time."""
    if not path:
        return []
    x0, y0 = path[-1]
    places = "".join(
        f"{k * part:.2f}%{{transform:translate({x - x0:.2f}px,{y - y0:.2f}px)}}"
        for k, (x, y) in enumerate(path)
    )
    name = f"walk{n}"
    rules = [f"@keyframes {name}{{{places}100%{{transform:none}}}}"]
    rules.append(f".b{n}{{animation-name:{name}}}")
    for k in range(len(path)):
        start, end = k * part, (k + 1) * part
        rules.append(
            f"@keyframes s{n}-{k}{{0%,{start:.2f}%{{opacity:0}}"
            f"{start + 0.01:.2f}%,100%{{opacity:1}}}}"
            f".s{n}-{k}{{animation-name:s{n}-{k}}}"
        )
        if n == 0:
            last = "visible" if k == len(path) - 1 else "hidden"
            rules.append(
                f"@keyframes u{k}{{0%,{start:.2f}%{{visibility:hidden}}"
                f"{start + 0.01:.2f}%,{end:.2f}%{{visibility:visible}}"
                f"{end + 0.01:.2f}%,100%{{visibility:{last}}}}}"
                f".u{k}{{animation-name:u{k}}}"
            )
    return rules


def ticks(low: float, high: float, count: int) -> list[tuple[float, str]]:
    """Return about so many round numbers between two, with their texts.

    >>> ticks(0.0, 1.0, 5)
    [(0.0, '0'), (0.2, '0.2'), (0.4, '0.4'), (0.6, '0.6'), (0.8, '0.8'), (1.0, '1')]
    """
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= 0.999 * rough)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    found = [round(n * step, digits + 2) for n in range(first, last + 1)]
    wide = max(abs(low), abs(high)) >= 1e5 or digits > 4
    if not wide and step < 2e-3 * max(abs(low), abs(high)):  # more than four digits
        return [(v, f"{v:.{digits}f}".replace("-", "−")) for v in found]
    return [(v, signed(v) if wide else short(v)) for v in found]


def signed(value: float) -> str:
    """Return a number with few digits and a true minus."""
    return number(value).replace("-", "−") if value else "0"


def short(value: float) -> str:
    """Return a number with four digits and a true minus."""
    if value and not 1e-4 <= abs(value) < 1e6:
        return signed(value)
    return f"{value:.4g}".replace("-", "−") if value else "0"

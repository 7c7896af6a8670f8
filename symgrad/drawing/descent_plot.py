"""``sg.plot_descent``: the picture of gradient descent, still and animated."""

from __future__ import annotations

import html
import math
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from symgrad.drawing.canvas import Canvas, Dot, Line, Point, Word
from symgrad.drawing.colours import BACKWARD, KINDS, number
from symgrad.drawing.descent import MOST_STEPS, Walk, curve_of, walk
from symgrad.drawing.picture import write
from symgrad.errors import FormatError, GraphError

WIDTH, HEIGHT = 720, 440
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 74, 74
INK, GREY, GRID = "#1f2937", "#6b7280", "#e5e7eb"
CURVE, LOWEST = KINDS["input"][1], KINDS["param"][1]
SUFFIXES = (".svg", ".png", ".pdf", ".html")
MOST_SHOWN = 60  # steps with an arrow and a moment of their own
SECONDS = 0.45  # of a step

DARK = (
    "@media (prefers-color-scheme:dark){.paper{fill:#14181f}.ink{fill:#e5e7eb}"
    ".grey{fill:#9ca3af}.grid{stroke:#2b323d}.halo{stroke:#14181f}.good{fill:#3cc79d}"
    ".warm{fill:#f28c4a}}"
)


def plot_descent(
    f: Any,
    start: float = 0.0,
    lr: float = 0.1,
    steps: int = 20,
    data: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
) -> Descent:
    """Draw gradient descent on a curve: the steps, the uphill gradient, the minima.

    Args:
        f: a text of one variable, such as ``"(x-3)**2"``; or a loss, whose curve is
            taken along its steepest descent from the parameters, ``start`` and the
            steps being distances along it.
        start: where to start.
        lr: the learning rate.
        steps: how many steps to make.
        data: an array for each input by name, for a loss.
        params: an array for each parameter by name, for a loss; by default as
            ``sg.init(f, seed=0)`` makes them.

    Returns:
        A ``Descent``: ``.walk``, ``.svg``, ``.save(path)``, shown by notebooks.

    Raises:
        GraphError: ``f`` has not one variable, or no trainable parameter; ``start`` is
            outside its domain; ``steps`` or ``lr`` is no sensible number.
        ParseError: the text is not in the notation.

    >>> print(plot_descent("(x-3)**2", start=0, lr=0.1, steps=40).walk.summary)
    Converges: after 40 steps x = 3, slope −8.0·10⁻⁴.
    """
    if isinstance(steps, bool) or not isinstance(steps, int):
        raise GraphError(f"steps is a whole number, not {steps!r}")
    if not 0 <= steps <= MOST_STEPS:
        raise GraphError(f"steps is between 0 and {MOST_STEPS}, not {steps}")
    for name, value in (("start", start), ("lr", lr)):
        real = isinstance(value, int | float | np.number)
        if not real or not math.isfinite(value):
            raise GraphError(f"{name} is a finite number, not {value!r}")
    return Descent(walk(curve_of(f, data, params), float(start), float(lr), steps))


class Descent:
    """A picture of gradient descent.

    Attributes:
        walk: the numbers: ``.x``, ``.value``, ``.slope`` at each step, ``.minima``,
            ``.kind`` and ``.summary``.
    """

    def __init__(self, walk: Walk) -> None:
        self.walk = walk

    @cached_property
    def svg(self) -> str:
        """The picture as SVG text, animated where motion is not refused."""
        return self._svg(animated=True)

    def _svg(self, animated: bool) -> str:
        scene = Scene(self.walk, animated)
        style = scene.motion() + DARK if animated else ""
        return scene.canvas.svg(self._label(), style)

    def _label(self) -> str:
        w = self.walk
        return f"Gradient descent on {w.curve.formula}. {w.summary}"

    def save(self, path: str | os.PathLike[str], animated: bool = True) -> Path:
        """Write the picture to a file, all of it or nothing; return the path.

        Args:
            path: ``.svg``, ``.html`` (animated, unless refused), ``.png`` or ``.pdf``
                (still; they need matplotlib).
            animated: let ``.svg`` and ``.html`` move.

        Raises:
            FormatError: the suffix is unknown, the file cannot be written, or
                matplotlib is missing.
        """
        target = Path(path)
        suffix = target.suffix.lower()
        if suffix == ".svg":
            content = self._svg(animated).encode()
        elif suffix == ".html":
            content = self._page(animated).encode()
        elif suffix in SUFFIXES:
            content = Scene(self.walk).canvas.file(suffix[1:])
        else:
            raise FormatError(
                f"cannot save a plot as {target.name!r}: its suffix is "
                f"{suffix or 'missing'}; use one of {', '.join(SUFFIXES)}"
            )
        write(target, content)
        return target

    def _page(self, animated: bool) -> str:
        title = html.escape(f"Gradient descent on {self.walk.curve.formula}")
        controls = CONTROLS if animated and self.walk.shown > 1 else ""
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{title}</title><style>{PAGE}</style></head><body>"
            f"<main>{self._svg(animated)}{controls}</main></body></html>\n"
        )

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        return f'<div style="overflow-x:auto">{self.svg}</div>'

    def __repr__(self) -> str:
        return f"<Descent on {self.walk.curve.formula}: {self.walk.kind}>"


class Scene:
    """The shapes of a walk, and how they move."""

    def __init__(self, w: Walk, animated: bool = False) -> None:
        self.w, self.animated = w, animated
        self.canvas = Canvas(WIDTH, HEIGHT)
        low, high = float(w.grid[0]), float(w.grid[-1])
        tall = w.heights[np.isfinite(w.heights)]
        inside = w.value[: max(w.shown, 1)]
        # a pole or a steep wall must not flatten what the steps see
        most = float(inside.max() + 0.6 * (np.ptp(inside) or np.ptp(tall) or 1.0))
        bottom = min(float(tall.min()), float(inside.min()))
        top = min(float(tall.max()), most)
        pad = 0.13 * ((top - bottom) or max(abs(top), 1.0))
        self.x_range, self.y_range = (low, high), (bottom - pad, top + pad)
        self._frame()
        self._curve()
        self._steps()

    def x(self, value: float) -> float:
        """Return the place of a value on the horizontal axis."""
        low, high = self.x_range
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Return the place of a value on the vertical axis."""
        low, high = self.y_range
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def place(self, k: int) -> Point:
        """Return where a step lies."""
        return self.x(self.w.x[k]), self.y(self.w.value[k])

    def _frame(self) -> None:
        w, name = self.w, self.w.curve.symbol
        add = self.canvas.add
        add(
            Word((LEFT, 28), w.curve.formula, INK, 17, bold=True, role="ink"),
            Word(
                (LEFT, 50),
                f"slope {w.curve.slope_formula}"
                f",  step {name} ← {name} − {w.rate:g} · slope",
                GREY,
                role="grey",
            ),
            Word((LEFT, HEIGHT - 16), w.summary, INK, 13.5, role="ink"),
        )
        bottom = HEIGHT - BOTTOM
        for tick, text in ticks(*self.x_range, 8):
            x = self.x(tick)
            add(Line([(x, TOP), (x, bottom)], GRID, role="grid"))
            add(Word((x, bottom + 18), text, GREY, 12, "middle", role="grey"))
        for tick, text in ticks(*self.y_range, 5):
            y = self.y(tick)
            add(Line([(LEFT, y), (WIDTH - RIGHT, y)], GRID, role="grid"))
            add(Word((LEFT - 8, y + 4), text, GREY, 12, "end", role="grey"))

    def _curve(self) -> None:
        w = self.w
        for piece in _pieces(w.grid, w.heights, self.y_range):
            points = [(self.x(a), self.y(b)) for a, b in piece]
            self.canvas.add(Line(points, CURVE, 2.5))
        for n, (a, b) in enumerate(w.minima):
            if not self.y_range[0] <= b <= self.y_range[1]:
                continue
            at = self.x(a), self.y(b)
            self.canvas.add(Dot(at, 6.5, "none", LOWEST, 2))
            if n == 0:
                several = len(w.minima) > 1
                text = f"{'lowest ' if several else ''}minimum {short(a)}"
                place = min(max(at[0], LEFT + 72), WIDTH - RIGHT - 72), at[1] + 22
                self.canvas.add(
                    Word(
                        place,
                        text,
                        LOWEST,
                        12.5,
                        "middle",
                        True,
                        True,
                        role="halo good",
                    )
                )

    def _steps(self) -> None:
        shown = self.chosen
        path = [self.place(k) for k in shown]
        add = self.canvas.add
        if len(path) > 1:
            add(Line(path, BACKWARD, 1.2, (3, 3), role="trail"))
        for n in range(len(shown)):
            add(Dot(path[n], 4.2, BACKWARD, "#ffffff", 1.0, f"step s{n}"))
        for n, k in enumerate(shown):
            if n == 0 or self.animated:
                self._uphill(n, k)
        if path:
            add(Dot(path[-1], 7, BACKWARD, "#ffffff", 2, "ball"))

    @cached_property
    def chosen(self) -> list[int]:
        """The steps that are shown: all, or some of very many."""
        count = max(self.w.shown, 1)
        return sorted(
            {round(k) for k in np.linspace(0, count - 1, min(count, MOST_SHOWN))}
        )

    def _uphill(self, n: int, k: int) -> None:
        """Add the gradient at a step: an arrow along the tangent, uphill."""
        slope = float(self.w.slope[k])
        steepest = max(abs(self.w.slope[: max(self.w.shown, 1)]))
        if slope == 0 or not steepest:
            return
        length = 22 + 62 * abs(slope) / steepest
        dx = math.copysign(1.0, slope) * (self.x(1.0) - self.x(0.0))
        dy = abs(slope) * (self.y(1.0) - self.y(0.0))
        x, y = self.place(k)
        scale = length / math.hypot(dx, dy)
        if dy:  # it stays inside the picture
            scale = min(scale, max((TOP - 6 - y) / dy, 12 / math.hypot(dx, dy)))
        end = x + dx * scale, y + dy * scale
        colour = KINDS["result"][1]
        role = f"uphill u{n}"
        self.canvas.add(Line([(x, y), end], colour, 2.6, head=11, role=role))
        if n == 0:
            left = end[0] > 190 if end[0] < x else end[0] > WIDTH - 190
            place = end[0] + (-8 if left else 8), max(end[1] + 2, TOP + 6)
            anchor = "end" if left else "start"
            text = f"uphill, slope {_round(slope)}"
            self.canvas.add(
                Word(place, text, colour, 12.5, anchor, True, True, role="halo warm")
            )

    def motion(self) -> str:
        """Return the style sheet that makes the steps appear one after the other.

        Without it, or where motion is refused, everything is there at once.
        """
        path = [self.place(k) for k in self.chosen]
        if len(path) < 2:
            return ""
        total = SECONDS * (len(path) - 1) + 2.5
        part = 100 * SECONDS / total
        x0, y0 = path[-1]
        walk = "".join(
            f"{n * part:.2f}%{{transform:translate({x - x0:.2f}px,{y - y0:.2f}px)}}"
            for n, (x, y) in enumerate(path)
        )
        rules = [f"@keyframes walk{{{walk}100%{{transform:none}}}}"]
        for n in range(len(path)):
            start, end = n * part, (n + 1) * part
            rules.append(
                f"@keyframes s{n}{{0%,{start:.2f}%{{opacity:0}}"
                f"{start + 0.01:.2f}%,100%{{opacity:1}}}}"
                f"@keyframes u{n}{{0%,{start:.2f}%{{visibility:hidden}}"
                f"{start + 0.01:.2f}%,{end:.2f}%{{visibility:visible}}"
                f"{end + 0.01:.2f}%,100%{{visibility:{_last(n, path)}}}}}"
                f".s{n}{{animation-name:s{n}}}.u{n}{{animation-name:u{n}}}"
            )
        return (
            ".uphill:not(.u0){visibility:hidden}"
            "@media (prefers-reduced-motion:no-preference){"
            f".ball,.step,.uphill{{animation:walk {total:g}s linear infinite}}"
            ".ball{animation-timing-function:ease-in-out}.trail{opacity:.45}"
            f"{''.join(rules)}}}"
        )


def _last(n: int, path: list[Point]) -> str:
    """Return what becomes of an arrow when its step is over."""
    return "visible" if n == len(path) - 1 else "hidden"


def _pieces(
    grid: np.ndarray, heights: np.ndarray, limits: tuple[float, float]
) -> list[list[Point]]:
    """Return the parts of a curve that are finite and inside the picture."""
    pieces: list[list[Point]] = [[]]
    for a, b in zip(grid.tolist(), heights.tolist(), strict=True):
        if math.isfinite(b) and limits[0] <= b <= limits[1]:
            pieces[-1].append((a, b))
        elif pieces[-1]:
            pieces.append([])
    return [p for p in pieces if len(p) > 1]


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
    return [(v, f"{v:.3g}" if wide else short(v)) for v in found]


def _round(value: float) -> str:
    return number(value).replace("-", "−")


def short(value: float) -> str:
    """Return a number with four digits and a true minus."""
    return f"{value:.4g}".replace("-", "−") if value else "0"


PAGE = (
    "body{margin:0;font-family:system-ui,sans-serif;background:#fff;color:#1f2937}"
    "main{max-width:60rem;margin:auto;padding:1rem}svg{width:100%;height:auto}"
    ".bar{display:flex;gap:1rem;align-items:center}.bar input{flex:1;min-height:2rem;"
    "accent-color:#d55e00}.bar button{font:inherit;padding:.4rem 1rem;min-width:5rem}"
    "@media (prefers-color-scheme:dark){body{background:#14181f;color:#e5e7eb}}"
    "@media print{.bar{display:none}}"
)

CONTROLS = """<div class="bar"><button type="button">Pause</button>
<input type="range" min="0" max="1" step="any" value="0" aria-label="time"></div>
<script>
"use strict";
const moves = document.getAnimations();
const [button] = document.getElementsByTagName("button");
const [place] = document.getElementsByTagName("input");
const ball = moves.find(m => m.animationName === "walk");
if (!ball) document.querySelector(".bar").hidden = true;
else {
  const total = ball.effect.getTiming().duration;
  const playing = () => ball.playState === "running";
  const show = () => {
    place.value = (ball.currentTime % total) / total;
    button.textContent = playing() ? "Pause" : "Play";
    if (playing()) requestAnimationFrame(show);
  };
  button.onclick = () => {
    const action = playing() ? "pause" : "play";
    for (const m of moves) m[action]();
    show();
  };
  place.oninput = () => {
    for (const m of moves) { m.pause(); m.currentTime = place.value * total; }
    button.textContent = "Play";
  };
  show();
}
</script>"""

"""``sg.plot_descent``: the picture of gradient descent, still and animated."""

from __future__ import annotations

import html
import math
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from symgrad.declare.tensor import Tensor
from symgrad.drawing.descent import Walk, walks
from symgrad.drawing.descent_curve import CurvePicture
from symgrad.drawing.descent_curves import Expression, Ray, exact, parsed
from symgrad.drawing.descent_map import MapPicture
from symgrad.drawing.descent_picture import MOST_COURSES, Picture
from symgrad.drawing.descent_plane import Surface, Tour, tour
from symgrad.drawing.picture import write
from symgrad.errors import FormatError, GraphError

MOST_STEPS = 10_000
SUFFIXES = (".svg", ".png", ".pdf", ".html")

DARK = (
    "@media (prefers-color-scheme:dark){.paper{fill:#14181f}.ink{fill:#e5e7eb}"
    ".grey{fill:#9ca3af}.grid{stroke:#2b323d}.halo{stroke:#14181f}.good{fill:#3cc79d}"
    ".warm{fill:#f28c4a}}"
)


def plot_descent(
    f: Any,
    start: Any = 0.0,
    lr: Any = 0.1,
    steps: int = 20,
    data: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    direction: Mapping[str, Any] | None = None,
) -> Descent:
    """Draw gradient descent: the steps, the uphill gradient, the minima.

    A function of one variable is drawn as a curve, one of two variables by its
    contours.  Several starts or learning rates are compared in one picture.

    Args:
        f: a text of one variable, such as ``"(x-3)**2"``, or of two, such as
            ``"x**2 + 4*y**2"``; or a loss, whose curve is taken along its steepest
            descent from the parameters (or along ``direction``), ``start`` and the
            steps being distances along it.
        start: where to start: a number, for two variables a pair of numbers in the
            order of the alphabet; or a list of such, at most six.
        lr: the learning rate, or a list of rates; of several starts and several rates
            there must be as many.
        steps: how many steps to make.
        data: an array for each input by name, for a loss.
        params: an array for each parameter by name, for a loss; by default as
            ``sg.init(f, seed=0)`` makes them.
        direction: for a loss, an array for some of its trained parameters by name:
            the direction in which to go; its length does not matter.

    Returns:
        A ``Descent``: ``.walk``, ``.walks``, ``.svg``, ``.save(path)``, shown by
        notebooks.

    Raises:
        GraphError: ``f`` has not one or two variables, or no trainable parameter;
            ``start`` is outside its domain; ``start``, ``steps`` or ``lr`` is no
            sensible number, or there are not as many starts as rates; ``direction``
            is zero or names no trained parameter.
        ShapeError: an array of ``direction`` does not suit its parameter.
        ParseError: the text is not in the notation.

    >>> print(plot_descent("(x-3)**2", start=0, lr=0.1, steps=40).walk.summary)
    Converges: after 40 steps x = 3, slope −8.0·10⁻⁴.
    >>> for w in plot_descent("x**2 + 9*y**2", start=(2, 1), lr=[0.02, 0.1]).walks:
    ...     print(w.summary)
    Still descending: after 20 steps (0.884, 1.3·10⁻⁴), value 0.7815, ‖gradient‖ 1.768.
    Oscillates: after 20 steps (0.02306, 0.01153), value 0.001728, ‖gradient‖ 0.2126.
    """
    if isinstance(steps, bool) or not isinstance(steps, int):
        raise GraphError(f"steps is a whole number, not {steps!r}")
    if not 0 <= steps <= MOST_STEPS:
        raise GraphError(f"steps is between 0 and {MOST_STEPS}, not {steps}")
    curve = _function(f, data, params, direction)
    pair = isinstance(curve, Surface)
    starts, rates, labels = _runs(start, lr, curve.symbols if pair else None)
    found: Sequence[Walk] | Sequence[Tour]
    if isinstance(curve, Surface):
        found = [tour(curve, s, r, steps) for s, r in zip(starts, rates, strict=True)]
    else:
        found = walks(curve, starts, rates, steps)
    return Descent(found, labels)


def _function(f: Any, data: Any, params: Any, direction: Any) -> Any:
    """Return the function of a text, or of a model's loss."""
    if isinstance(f, str):
        if data is not None or params is not None:
            raise GraphError("data= and params= belong to a model's loss, not to text")
        if direction is not None:
            raise GraphError("direction= belongs to a model's loss, not to text")
        e, names = parsed(f)
        return Surface(f, e, names) if len(names) == 2 else Expression(f)
    if isinstance(f, Tensor):
        return Ray(f, data, params, direction)
    raise GraphError(
        f"descent is on a text such as '(x-3)**2' or on a loss, not on "
        f"{type(f).__name__} {f!r}"
    )


def _runs(
    start: Any, lr: Any, symbols: Sequence[str] | None
) -> tuple[list[Any], list[float], list[str]]:
    """Return starts and rates, one of each for every descent, and what tells them."""
    rates = [_number("lr", r) for r in _listed(lr)]
    starts: list[Any]
    if symbols is None:
        starts = [_number("start", s) for s in _listed(start)]
    else:
        one = _is_pair(start)
        several = [start] if one or not _is_list(start) else list(start)
        if not several or not all(map(_is_pair, several)):
            raise GraphError(
                f"start is a pair of numbers for {' and '.join(symbols)}, such as "
                f"(2, 1), or a list of pairs, not {start!r}"
            )
        starts = [tuple(_number("start", v) for v in s) for s in several]
    count = max(len(starts), len(rates))
    if not starts or not rates or {len(starts), len(rates)} - {1, count}:
        raise GraphError(
            f"there are {len(starts)} starts and {len(rates)} learning rates; give as "
            "many of each, or one of either"
        )
    if count > MOST_COURSES:
        raise GraphError(
            f"a picture holds at most {MOST_COURSES} descents, not {count}"
        )
    if len(starts) < count:
        starts = starts * count
    if len(rates) < count:
        rates = rates * count
    return starts, rates, _labels(starts, rates)


def _labels(starts: Sequence[Any], rates: Sequence[float]) -> list[str]:
    """Return what tells one descent from the others."""
    labels = [""] * len(starts)
    if len(set(rates)) > 1:
        labels = [f"lr {r:g}: " for r in rates]
    if len(set(starts)) > 1:
        words = (
            f"({', '.join(map(exact, s))})" if isinstance(s, tuple) else exact(s)
            for s in starts
        )
        labels = [
            f"from {w}{', ' if text else ': '}{text}"
            for w, text in zip(words, labels, strict=True)
        ]
    return labels


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str)


def _is_pair(value: Any) -> bool:
    return _is_list(value) and len(value) == 2 and not any(map(_is_list, value))


def _listed(value: Any) -> list[Any]:
    return list(value) if _is_list(value) else [value]


def _number(name: str, value: Any) -> float:
    real = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not real or not math.isfinite(value):
        raise GraphError(f"{name} is a finite number, not {value!r}")
    return float(value)


class Descent:
    """A picture of gradient descent.

    Attributes:
        walks: the numbers of each descent: ``.x``, ``.value``, ``.slope`` at each step,
            ``.kind`` and ``.summary``; along a curve also ``.minima``.
    """

    def __init__(
        self, walks: Sequence[Walk] | Sequence[Tour], labels: Sequence[str]
    ) -> None:
        self.walks: list[Any] = list(walks)
        self._labels = labels

    @property
    def walk(self) -> Any:
        """The numbers of the first descent."""
        return self.walks[0]

    def _picture(self, animated: bool) -> Picture:
        kind: Any = CurvePicture if isinstance(self.walk, Walk) else MapPicture
        picture: Picture = kind(self.walks, self._labels, animated)
        return picture

    @property
    def _formula(self) -> str:
        w = self.walk
        text: str = (w.curve if isinstance(w, Walk) else w.surface).formula
        return text

    @cached_property
    def svg(self) -> str:
        """The picture as SVG text, animated where motion is not refused."""
        return self._svg(animated=True)

    def _svg(self, animated: bool) -> str:
        picture = self._picture(animated)
        style = picture.motion() + DARK if animated else ""
        return picture.canvas.svg(self._label(), style)

    def _label(self) -> str:
        pairs = zip(self._labels, self.walks, strict=True)
        return f"Gradient descent on {self._formula}. " + " ".join(
            f"{label}{w.summary}" for label, w in pairs
        )

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
            content = self._picture(False).canvas.file(suffix[1:])
        else:
            raise FormatError(
                f"cannot save a plot as {target.name!r}: its suffix is "
                f"{suffix or 'missing'}; use one of {', '.join(SUFFIXES)}"
            )
        write(target, content)
        return target

    def _page(self, animated: bool) -> str:
        title = html.escape(f"Gradient descent on {self._formula}")
        moves = any(len(c.points) > 1 for c in self._picture(False).courses)
        controls = CONTROLS if animated and moves else ""
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
        kinds = ", ".join(w.kind for w in self.walks)
        return f"<Descent on {self._formula}: {kinds}>"


PAGE = (
    "body{margin:0;font-family:system-ui,sans-serif;background:#fff;color:#1f2937}"
    "main{max-width:60rem;margin:auto;padding:1rem}svg{width:100%;height:auto}"
    ".bar{display:flex;gap:1rem;align-items:center}.bar input{flex:1;min-height:2rem;"
    "accent-color:#d55e00}.bar button{font:inherit;padding:.4rem 1rem;min-width:5rem}"
    "@media (prefers-color-scheme:dark){body{background:#14181f;color:#e5e7eb}}"
    ".bar[hidden]{display:none}@media print{.bar{display:none}}"
)

CONTROLS = """<div class="bar"><button type="button">Pause</button>
<input type="range" min="0" max="1" step="any" value="0" aria-label="time"></div>
<script>
"use strict";
const moves = document.getAnimations();
const [button] = document.getElementsByTagName("button");
const [place] = document.getElementsByTagName("input");
const ball = moves.find(m => m.animationName === "walk0");
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

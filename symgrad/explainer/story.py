"""What a page is told by: scenes with captions, and figures as data.

A figure is a dict that the player draws (``player/*.js``): its ``kind``, its numbers,
and at which second of its scene each part appears.  Texts are escaped by the player;
only ``math`` is markup, and it is made by symgrad from formulas, never from texts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symgrad.drawing.colours import rounded

Figure = dict[str, Any]
MOST_CELLS = 10
DECIMALS = 5  # significant digits of what is only drawn


@dataclass
class Scene:
    """One idea.

    Attributes:
        id: a short name.
        title: what it is about.
        seconds: how long it plays.
        beats: (second, caption).
        panels: its figures.
        layout: ``row`` puts figures side by side where there is room, else ``column``.
        note: which model it shows, where that is not the user's.
        pace: (second on the page, second as figures are written), at each caption.
    """

    id: str
    title: str
    seconds: float
    beats: Sequence[tuple[float, str]]
    panels: Sequence[Figure]
    layout: str = "row"
    note: str = ""
    pace: Sequence[tuple[float, float]] = ()

    def data(self) -> dict[str, Any]:
        """Return what the player reads."""
        return {
            "id": self.id,
            "title": self.title,
            "seconds": self.seconds,
            "beats": [{"at": at, "text": text} for at, text in self.beats],
            "panels": [clean(p) for p in self.panels],
            "layout": self.layout,
            "note": self.note,
            "pace": clean(self.pace),
        }


def clean(value: Any) -> Any:
    """Return plain JSON: numbers rounded for drawing, what is not finite as None."""
    if isinstance(value, dict):
        return {k: clean(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple | np.ndarray):
        return [clean(v) for v in value]
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, int | np.integer):
        return int(value)
    v = float(value)
    return float(f"{v:.{DECIMALS}g}") if math.isfinite(v) else None


def lines(*rows: dict[str, Any], **more: Any) -> Figure:
    """Return lines of mathematics."""
    return {"kind": "lines", "lines": list(rows), **more}


def line(
    math: str = "", text: str = "", then: str = "", at: float | None = None, **more: Any
) -> dict[str, Any]:
    """Return a line: a word before, a formula (MathML), a word after."""
    return {"math": math, "text": text, "then": then, "at": at, **more}


def cells(values: np.ndarray, most: int = MOST_CELLS) -> tuple[np.ndarray, list[float]]:
    """Return which values stand for a tensor, and these between -1 and 1."""
    flat = np.asarray(values, np.float64).ravel()
    if flat.size == 0:
        return np.zeros(0, int), []
    places = np.unique(np.linspace(0, flat.size - 1, most).round().astype(int))
    top = float(np.abs(flat[places]).max())
    scale = 1 / top if top > 0 and math.isfinite(top) else 0.0
    return places, [float(v) for v in np.nan_to_num(flat[places]) * scale]


def signed(value: float) -> str:
    """Return a number with three digits and a true minus."""
    return rounded(value, 3, ",")


def plural(count: int, word: str) -> str:
    """Return ``3 layers``, ``1 layer``."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"

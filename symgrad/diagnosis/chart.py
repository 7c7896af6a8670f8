"""The chart of a report: gradients and values by layer, measured and predicted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from html import escape

from symgrad.diagnosis.report import COLUMNS, Diagnosis

WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 720, 280, 56, 24, 34, 44
#: Beyond this many powers of ten from what was measured a bound is left out.
FAR = 4
Points = Sequence[tuple[float, float]]


def chart(d: Diagnosis) -> str:
    """Return an SVG of gradient norms and values by layer, on a logarithmic scale.

    Solid lines are measured, dashed ones predicted; the thin line is the bound, which
    nothing measured can exceed.
    """
    rows = d.layers
    series = _series(d)
    live = [v for _, _, values in series for v in values if v > 0 and math.isfinite(v)]
    if len(rows) < 2 or not live:
        return ""
    low = math.floor(math.log10(min(live)))
    high = max(math.ceil(math.log10(max(live))), low + 1)

    def x(n: int) -> float:
        return LEFT + 12 + n * (WIDTH - LEFT - 12 - RIGHT) / (len(rows) - 1)

    def y(v: float) -> float:
        part = (math.log10(v) - low) / (high - low)
        return TOP + (1 - part) * (HEIGHT - TOP - BOTTOM)

    parts = [*_grid(low, high, y), *_names([str(r["layer"]) for r in rows], x)]
    at = LEFT + 12.0
    for label, kind, values in series:
        points = [
            (x(n), y(v)) for n, v in enumerate(values) if v > 0 and math.isfinite(v)
        ]
        if len(points) > 1 or (points and kind in ("gradient", "values")):
            parts += _line(kind, points)
            parts += _key(label, kind, at)
            at += 44 + 6.6 * len(label)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" '
        f'aria-label="{escape(_words(d))}" class="chart">{"".join(parts)}</svg>'
    )


def _series(d: Diagnosis) -> list[tuple[str, str, list[float]]]:
    """Return label, kind of line and a value for each layer."""

    def column(name: str) -> list[float]:
        return [float(row[name]) for row in d.layers]

    found = [
        ("gradient norm", "gradient", column("gradient_norm")),
        ("predicted", "predicted", column("predicted_norm")),
        ("rms of values", "values", column("activation_rms")),
    ]
    live = [v for _, _, values in found for v in values if v > 0 and math.isfinite(v)]
    top = max(live, default=1.0) * 10.0**FAR
    name = "bound_at_data" if "bound_at_data" in d.columns else "bound"
    bounds = [v if v <= top else math.nan for v in column(name)]
    return [*found, (COLUMNS[name], "bound", bounds)]


def _words(d: Diagnosis) -> str:
    return f"gradient norm by layer, measured and predicted, in {len(d.layers)} layers"


def _names(names: Sequence[str], x: Callable[[int], float]) -> Iterator[str]:
    room = 7 * min(max(map(len, names)), 12) + 8
    step = max(1, math.ceil(len(names) * room / (WIDTH - LEFT - RIGHT)))
    for n in range(0, len(names), step):
        name = names[n] if len(names[n]) <= 12 else "…" + names[n][-11:]
        yield (
            f'<text x="{x(n):.1f}" y="{HEIGHT - 12}" text-anchor="middle">'
            f"{escape(name)}</text>"
        )


def _grid(low: int, high: int, y: Callable[[float], float]) -> Iterator[str]:
    step = max(1, math.ceil((high - low) / 6))
    for power in range(low, high + 1, step):
        at = y(10.0**power)
        sign = str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        yield (
            f'<line x1="{LEFT}" x2="{WIDTH - 12}" y1="{at:.1f}" y2="{at:.1f}" '
            'class="grid"/>'
            f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">10{sign}</text>'
        )


def _line(kind: str, points: Points) -> Iterator[str]:
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    yield f'<polyline points="{path}" class="line {kind}"/>'
    if len(points) <= 60 and kind in ("gradient", "values"):
        for a, b in points:
            yield f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" class="dot {kind}"/>'


def _key(label: str, kind: str, at: float) -> Iterator[str]:
    ends = f'x1="{at:.1f}" x2="{at + 22:.1f}" y1="16" y2="16"'
    yield f'<line {ends} class="line {kind}"/>'
    yield f'<text x="{at + 28:.1f}" y="20">{escape(label)}</text>'

"""Gradient intuition: the loss along its steepest descent, and steps down it."""

from __future__ import annotations

import math

from symgrad.drawing.descent import Walk, walk
from symgrad.drawing.descent_curves import Expression, Ray
from symgrad.explainer import markup as m
from symgrad.explainer.story import Scene, line, lines, signed
from symgrad.explainer.subject import Subject

STEPS = 7


def scene(s: Subject) -> Scene:
    """Return the scene."""
    w, note = _walk(s)
    t = m.sym(w.curve.symbol)
    slope = m.partial("<mi>L</mi>", t, "d")
    points = list(zip(w.x.tolist(), w.value.tolist(), strict=True))
    lowest = w.minima[0] if w.minima else None
    marks = []
    if lowest is not None:
        label = f"minimum {signed(lowest[1])}"
        marks = [{"x": lowest[0], "y": lowest[1], "label": label, "tone": "param",
                  "at": 8.2, "below": True}]  # fmt: skip
    chart = {
        "kind": "chart", "weight": 1.9,
        "alt": f"The loss along its steepest descent, with {len(points) - 1} steps.",
        "x": {"label": "distance along the gradient"
              if isinstance(w.curve, Ray) else w.curve.symbol},
        "y": {"label": "loss"},
        "series": [{"points": list(zip(w.grid.tolist(), w.heights.tolist(),
                                       strict=True)),
                    "shape": "line", "tone": "forward", "at": 0.1, "for": 1.4}],
        "walk": {"points": points, "slopes": w.slope.tolist(), "at": 2.0, "for": 6.0,
                 "tone": "backward", "label": "gradient: uphill"},
        "marks": marks,
    }  # fmt: skip
    return Scene(
        "descent", "Follow the slope downhill", 9.5,
        [
            (0.0, "The loss is a landscape; this is a cut along its gradient."),
            (2.0, "The gradient points uphill; each step goes the other way, further "
                  "where it is steep."),
            (6.6, _end(w)),
        ],
        [
            chart,
            lines(
                line(m.whole(t, m.op("←"), t, m.op("−"), m.sym("eta"), slope),
                     "one step", at=2.2, size="large"),
                line(m.whole(slope, m.op("="), m.num(w.slope[0])), "slope at the start",
                     at=2.8, tone="backward"),
                line(m.whole(m.sym("eta"), m.op("="), m.num(w.rate)),
                     "learning rate, chosen for this cut", at=3.2),
                line(m.whole(*_change(w)),
                     f"loss after {len(points) - 1} steps", at=7.2, tone="param"),
            ),
        ],
        note=note,
    )  # fmt: skip


def _change(w: Walk) -> list[str]:
    """Return the loss at first and at last, with the digits in which they differ."""
    first, last = float(w.value[0]), float(w.value[-1])
    texts = [signed(first), signed(last)]
    if texts[0] == texts[1]:
        texts = [f"{v:.6g}".replace("-", "−") for v in (first, last)]
    return [m.num(texts[0]), m.op("→"), m.num(texts[1])]


def _end(w: Walk) -> str:
    if abs(w.slope[-1]) < abs(w.slope[0]):
        return "Near the bottom the slope fades, and so do the steps."
    return f"After {len(w.x) - 1} steps the slope is {signed(w.slope[-1])}."


def _walk(s: Subject) -> tuple[Walk, str]:
    """Return steps along the model's gradient that take about all of them to settle."""
    ray = s.ray
    if ray is not None:
        if ray.norm > 0 and all(map(math.isfinite, (ray.norm, *ray(0.0)))):
            return walk(ray, 0.0, _rate(ray), STEPS), ""
        why = "its gradient is zero or not finite here"
    else:
        why = "it has no trained parameter"
    curve = Expression("(w - 3)**2")
    return walk(curve, 0.0, 0.2, STEPS), f"{s.name}: {why}; a parabola stands in."


def _rate(ray: Ray) -> float:
    """Return a rate whose first step goes two fifths of the way to the lowest point."""
    slope = ray(0.0)[1]
    step = 1e-3
    far = None
    while step < 1e4:
        if ray(step)[1] >= 0:
            far = step
            break
        step *= 2
    if far is None:
        return float(f"{0.1 / abs(slope):.2g}")
    low, high = far / 2, far
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if ray(middle)[1] < 0 else (low, middle)
    return float(f"{0.4 * high / abs(slope):.2g}")

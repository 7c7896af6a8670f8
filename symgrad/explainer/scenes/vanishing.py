"""Why depth can erase a gradient: slopes of at most 1/4, multiplied."""

from __future__ import annotations

import math

import numpy as np

from symgrad.closedform.public import derive
from symgrad.declare import scalar
from symgrad.drawing.descent_curves import Expression
from symgrad.explainer import markup as m
from symgrad.explainer.story import Figure, Scene, line, lines, plural, signed
from symgrad.explainer.subject import Subject
from symgrad.prediction.supremum import greatest_slope

HALF_DEPTH = 10  # layers of which each halves the gradient
NAMES = {"sigmoid": "σ", "tanh": "tanh", "relu": "relu"}


def scene(s: Subject) -> Scene:
    """Return the scene."""
    steepest = greatest_slope(scalar.parse("sigmoid(x)"))
    quarter = steepest.attained
    depth = max(s.depth, 1)
    faded, halved = quarter**depth, 0.5**HALF_DEPTH
    measured = _measured(s)
    slope = derive("sigmoid(x)", "x")
    sigma = "<mi>σ</mi>"
    prime = m.row(sigma, m.op("′"))
    bound = m.whole(
        m.row("<mi>sup</mi>", m.op("|"), prime, m.op("|")), m.op("="),
        m.expression_text(str(steepest)), m.op("at"), m.sym("x"), m.op("="),
        m.num(round(steepest.at, 6) + 0.0),
    )  # fmt: skip
    rows = [
        line(m.whole(prime, m.op("="), m.expression(slope.result)),
             "the sigmoid's slope, derived", at=0.6),
        line(bound, at=1.8, tone="backward"),
        line(m.whole(m.power(m.num(quarter), m.num(str(depth))), m.op("="),
                     m.num(faded)),
             f"at best, after {plural(depth, 'layer')} of it, as deep as {s.name}",
             at=4.2, tone="backward"),
        line(m.whole(m.power(m.num(0.5), m.num(str(HALF_DEPTH))), m.op("="),
                     m.num(halved)),
             f"if each of {HALF_DEPTH} layers halves it", at=5.2),
        *_own(s),
    ]  # fmt: skip
    beats = [
        (0.0, f"Each sigmoid multiplies the gradient by at most {steepest}, besides "
              "the weights."),
        (4.0, f"Small numbers multiplied vanish: {signed(quarter)} to the power "
              f"{depth} is {signed(faded)}."),
        (7.6, _said(s, measured)),
    ]  # fmt: skip
    return Scene(
        "vanishing", "Why depth can erase a gradient", 10.5, beats,
        [_slope(steepest.at, quarter), lines(*rows, weight=0.95),
         _products(s, quarter, depth, measured)],
    )  # fmt: skip


def _own(s: Subject) -> list[dict[str, object]]:
    """Return the steepest slope of each activation of the model."""
    kinds = dict.fromkeys(a.kind for a in s.model.activations if a.kind != "sigmoid")
    rows = []
    for n, kind in enumerate(kinds):
        found = greatest_slope(scalar.parse(f"{kind}(x)"))
        name = m.row(m.word(NAMES[kind]), m.op("′"))
        shown = m.whole("<mi>sup</mi>", m.op("|"), name, m.op("|"), m.op("="),
                        m.expression_text(str(found)))  # fmt: skip
        rows.append(line(shown, f"{kind}, which {s.name} uses", at=7.6 + 0.4 * n))
    return rows[:2]


def _slope(at: float, height: float) -> Figure:
    x = np.linspace(-6, 6, 61)
    curve = Expression("sigmoid(x)")
    values, slopes = zip(*(curve(float(v)) for v in x), strict=True)
    return {
        "kind": "chart", "weight": 0.9,
        "alt": "The sigmoid and its slope, which is greatest at 0.",
        "x": {}, "y": {"range": [0, 1.05]},
        "series": [
            {"points": list(zip(x, values, strict=True)), "shape": "line",
             "tone": "forward", "label": "σ", "at": 0.1, "for": 1.2},
            {"points": list(zip(x, slopes, strict=True)), "shape": "line",
             "tone": "backward", "label": "σ′", "at": 0.8, "for": 1.4},
        ],
        "marks": [{"x": at, "y": height, "label": f"{signed(height)}",
                   "tone": "backward", "at": 1.9}],
    }  # fmt: skip


def _products(
    s: Subject, quarter: float, depth: int, measured: list[tuple[float, float]]
) -> Figure:
    most = max(HALF_DEPTH, depth)
    ks = np.unique(np.linspace(0, most, min(most, 60) + 1).round())
    live = [v for _, v in measured if v > 0]
    least = max(min([quarter**most, *live]), 1e-30)
    series = [
        {"points": [(k, quarter**k) for k in ks if quarter**k >= least],
         "shape": "both" if most <= 20 else "line", "tone": "backward",
         "label": f"{signed(quarter)}ᵏ", "at": 4.0, "for": 2.2},
        {"points": [(k, 0.5**k) for k in ks if 0.5**k >= least], "shape": "line",
         "tone": "muted", "label": "0.5ᵏ", "at": 4.8, "for": 2.0, "dash": True},
    ]  # fmt: skip
    if len(measured) > 1:
        series.append(
            {"points": measured, "shape": "both", "tone": "param",
             "label": f"{s.name}, measured", "at": 7.4, "for": 2.0}
        )  # fmt: skip
    return {
        "kind": "chart", "weight": 1.1,
        "alt": "Products of slopes over depth, on a logarithmic scale.",
        "x": {"label": "layers k back from the loss", "range": [0, most]},
        "y": {"log": True, "label": "gradient, relative to the prediction's"},
        "series": series, "marks": [],
    }  # fmt: skip


def _measured(s: Subject) -> list[tuple[float, float]]:
    """Return (layers back, gradient's norm relative to that by the prediction)."""
    found = [None if g is None else np.linalg.norm(np.float64(g)) for g in s.cotangents]
    last = next((v for v in reversed(found) if v), None)
    if last is None:
        return []
    pairs = [
        (float(s.stations[-1].level - station.level), float(v / last))
        for station, v in zip(s.stations, found, strict=True)
        if v is not None and v > 0 and math.isfinite(v)
    ]
    return sorted(pairs)


def _said(s: Subject, measured: list[tuple[float, float]]) -> str:
    if len(measured) < 2:
        return f"In {s.name} there is a single layer: nothing is multiplied."
    back, ratio = measured[-1]
    return (
        f"Measured here, {plural(int(back), 'layer')} back: {signed(ratio)} times the "
        "gradient at the prediction."
    )

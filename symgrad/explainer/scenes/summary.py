"""The end: what can go wrong, whether it does here, and the formulas to keep."""

from __future__ import annotations

import math
from typing import Any

from symgrad.declare.loop import Scan
from symgrad.diagnosis.report import Diagnosis
from symgrad.diagnosis.structure import growth
from symgrad.explainer.story import Scene, plural, signed
from symgrad.explainer.subject import Subject


def instability(s: Subject) -> Scene:
    """Return the table of instabilities with the model's numbers."""
    d = s.diagnosis
    rows = _rows(s, d)
    bad = sum(r["tone"] == "bad" for r in rows)
    for n, row in enumerate(rows):
        row["at"] = 0.6 + 0.75 * n
    end = (
        f"{plural(bad, 'row')} of {len(rows)} "
        f"{'applies' if bad == 1 else 'apply'} to {s.name}."
        if bad
        else f"None of these {len(rows)} applies to {s.name}."
    )
    return Scene(
        "instability", "What can go wrong, and whether it does here", 9.0,
        [
            (0.0, "Most failures of training show in the gradient."),
            (3.4, "Each has a number that shows it; here they are, measured."),
            (6.8, end),
        ],
        [{"kind": "table", "head": ["instability", "what shows it", "measured here"],
          "rows": rows}],
        "column",
    )  # fmt: skip


def _rows(s: Subject, d: Diagnosis) -> list[dict[str, Any]]:
    e = d.evidence
    now = e.now if e.now.finite else e.start
    kinds = {f.kind for f in d.findings if f.severity != "note"}
    _, backward, depth = growth(e, now)
    relus = [u for u in now.units if u.activation.kind == "relu"]
    others = [u for u in now.units if u.activation.kind != "relu"]
    dead, total = sum(len(u.dead) for u in relus), sum(len(u.idle) for u in relus)
    flat = [float(u.idle.mean()) for u in others]
    reach = (
        f"× {signed(backward)} over {s.depth} layers" if depth > 2 else "too shallow"
    )
    rows = [
        ("vanishing", "gradient, first layer ÷ last", reach, {"vanishing"}),
        ("exploding", "the same, far over 1", reach, {"exploding"}),
        ("dead units", "slope 0 on all samples",
         f"{dead} of {total}" if total else "no ReLU", {"dead_relu"}),
        ("saturation", "slope under a twentieth of its greatest",
         f"{max(flat):.0%} at most" if flat else _unseen(s), {"saturated"}),
        ("steps too long", "learning rate × curvature over 2", _steps(s, d),
         {"learning_rate_too_high", "loss_diverged", "loss_oscillates"}),
        ("NaN, infinity", "any value that is not finite",
         "all finite" if e.start.finite and e.now.finite else "found", {"nan"}),
        ("cut off", "trained weights without a gradient",
         f"{len(s.model.trainable) - len(now.gradients)} of {len(s.model.trainable)}",
         {"unreached"}),
    ]  # fmt: skip
    return [
        {"cells": [a, b, c], "tone": "bad" if names & kinds else "good"}
        for a, b, c, names in rows
    ]


def _unseen(s: Subject) -> str:
    """Return why no activation that may saturate was measured."""
    loops = any(isinstance(t.op, Scan) for t in s.model.order)
    return "inside the loop, not measured" if loops else "no sigmoid or tanh"


def _steps(s: Subject, d: Diagnosis) -> str:
    sharpness = d.evidence.sharpness
    if sharpness is None or not sharpness > 0 or not math.isfinite(sharpness):
        return "curvature not known"
    if s.rate_is_given:
        return f"{signed(s.rate)} · {signed(sharpness)} = {signed(s.rate * sharpness)}"
    return f"stable for rates under {signed(2 / sharpness)}"

"""Rules about loops: their gates, and gradients on their way back through time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from symgrad.diagnosis.evidence import Evidence
from symgrad.diagnosis.findings import Finding, Rule
from symgrad.diagnosis.forecast import FADED, GROWN
from symgrad.diagnosis.measure import Measured, Units
from symgrad.diagnosis.through_time import Journey
from symgrad.drawing.colours import number

STUCK = 0.5  # of a loop's units that do not change with the data: nothing is learned
FULL = 0.8  # of a loop's values that are saturated; half of them is usual
SHUT = 0.95  # of a gate's values near 0: nothing passes


def by_loop(m: Measured) -> dict[str, list[Units]]:
    """Return the gates and other saturating activations of each layer with a loop."""
    found: dict[str, list[Units]] = {}
    for u in m.units:
        if u.activation.loops and u.activation.kind != "relu":
            found.setdefault(u.activation.layer, []).append(u)
    return found


def held(units: Sequence[Units]) -> float:
    """Return the fraction of units that are saturated on nearly all values.

    That a gate is open or shut at some steps is its use; but not at all of them.
    """
    return float(np.mean([len(u.flat) / len(u.idle) for u in units]))


def stuck(units: Sequence[Units]) -> bool:
    """Say whether a loop hardly reacts to what it reads."""
    return held(units) > STUCK or saturation(units) > FULL


def saturation(units: Sequence[Units]) -> float:
    """Return the fraction of values that are saturated."""
    return float(np.mean([u.idle.mean() for u in units]))


def gates(e: Evidence) -> Iterator[Finding]:
    """Loops whose gates and states do not react to what they read."""
    now = by_loop(e.start if e.diverged or not e.now.finite else e.now)
    for layer, before in by_loop(e.start).items():
        units = now[layer]
        shut = [u for u in before if u.activation.gate and u.shut.mean() > SHUT]
        early = saturation(before) > STUCK or bool(shut)
        if not (early or stuck(units)):
            continue
        size = e.input_scale
        cause = "training drove the values there"
        if early:
            large = f"inputs are large (rms {number(size)})"
            cause = large if size > 4 else "weights or biases are large"
        yield Finding(
            "saturated",
            layer,
            f"{saturation(units):.0%} of the values in the loop have under a twentieth "
            f"of the greatest slope ({saturation(before):.0%} at the start): "
            f"{_listed(units)}; {held(units):.0%} of the units on nearly all steps and "
            "samples" + _shut(len(shut)),
            [cause],
            "Scale inputs to deviation 1, and start with smaller weights and biases."
            if early
            else "Lower the learning rate, or clip gradients (clip_norm=).",
            rank=15 if early else 35,
        )


def _shut(count: int) -> str:
    gates = "1 gate lets" if count == 1 else f"{count} gates let"
    return f"; {gates} nothing pass at the start" if count else ""


def _listed(units: Sequence[Units]) -> str:
    """Return how much of each is saturated: ``sigmoid gates 90%, 40%, tanh 7%``."""
    kinds: dict[str, list[str]] = {}
    for u in units:
        kinds.setdefault(u.activation.what, []).append(f"{u.idle.mean():.0%}")
    return ", ".join(f"{what} {', '.join(parts)}" for what, parts in kinds.items())


def time(e: Evidence) -> Iterator[Finding]:
    """Gradients that vanish or explode on their way back through the steps."""
    present = e.now if e.now.finite and not e.diverged else e.start
    for first, now in zip(e.start.journeys, present.journeys, strict=True):
        if first.steps < 2:
            continue
        if first.change > GROWN or now.change > GROWN:
            yield _exploding(e, first, now)
        if first.last_only and first.change < FADED and now.change < FADED:
            yield _vanishing(e, first, now)


def _exploding(e: Evidence, first: Journey, now: Journey) -> Finding:
    early = first.change > GROWN
    symptom = e.diverged or e.oscillates or e.stuck
    shown = _told(first if early else now) + _before(e, first)
    return _grows(first.layer, shown, early, early or symptom)


def _grows(layer: str, shown: str, early: bool, harms: bool) -> Finding:
    return Finding(
        "exploding",
        f"{layer}, through time",
        shown,
        ["every step passes on more than it gets"],
        "Start with recurrent weights of smaller gain (orthogonal), use gates (LSTM, "
        "GRU), or clip gradients (clip_norm=).",
        "warning" if harms else "note",
        rank=13 if early else 38,
    )


def _vanishing(e: Evidence, first: Journey, now: Journey) -> Finding:
    shown = (
        f"{_told(now)}; the loss reads the last step only, and less than a tenth of "
        f"its gradient comes from {now.reach} steps before or more"
    )
    shown += _before(e, first)
    return _fades(e, first.layer, shown, not e.run.steps or e.slow)


def _fades(e: Evidence, layer: str, shown: str, early: bool) -> Finding:
    """Return the finding; gates may yet learn to remember, if it is early."""
    gated = _gated(e, layer)
    advice = "Use gates (LSTM, GRU), recurrent weights that keep lengths (orthogonal)"
    if gated:
        advice = "Start with a forget gate that is open (forget_bias=)"
    return Finding(
        "vanishing",
        f"{layer}, through time",
        shown,
        ["every step passes on less than it gets"],
        f"{advice}, or a loss that reads every step.",
        "note" if gated and early else "warning",
        rank=19,
    )


def _gated(e: Evidence, layer: str) -> bool:
    return any(a.gate and a.loops and a.layer == layer for a in e.run.model.activations)


def _told(j: Journey) -> str:
    return (
        f"back through {j.steps} steps the gradient changes by {number(j.change)} "
        f"({number(j.rate)} a step)"
    )


def _before(e: Evidence, j: Journey) -> str:
    """Say what was predicted, and what it was at the start."""
    loops = e.forecast.loops if e.forecast is not None else []
    f = next((f for f in loops if f.layer == j.layer), None)
    if f is None or not 0 < f.change < math.inf:
        return f"; at the start by {number(j.change)}"
    said = f"; predicted before training: {number(f.change)}"
    if f.most < FADED:
        said += f", and at most {number(f.most)} for any data"
    off = abs(math.log(j.change / f.change)) if j.change > 0 else math.inf
    right = off < max(math.log(5), 0.25 * abs(math.log(j.change or 1)))
    return f"{said} (measured then: {number(j.change)}{', confirmed' * right})"


def foreseen(e: Evidence) -> Iterator[Finding]:
    """Gradients that will vanish or explode through time, as the formulas tell."""
    for f in e.forecast.loops if e.forecast is not None else ():
        shown = (
            f"predicted without data: back through {f.steps} steps the gradient "
            f"changes by {number(f.change)}"
        )
        if math.isfinite(f.most):
            shown += f", by {number(f.most)} at most, whatever the data"
        if f.change > GROWN:
            yield _grows(f.layer, shown, early=True, harms=True)
        # How far a gate is open depends on its own bias, of which theory takes the
        # mean with those of the other gates.
        sure = f.change if not _gated(e, f.layer) else f.most
        if f.last_only and sure < FADED:
            yield _fades(e, f.layer, shown, early=True)


#: Rules that need no measurement.
FORESEEN: tuple[Rule, ...] = (foreseen,)
RULES: tuple[Rule, ...] = (gates, time)

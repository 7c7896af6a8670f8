"""Rules about the run: its learning rate, its batches, its loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from symgrad.diagnosis.evidence import TRIAL_STEPS, Evidence
from symgrad.diagnosis.findings import Finding
from symgrad.diagnosis.measure import Measured
from symgrad.diagnosis.recurrence import by_loop, stuck
from symgrad.drawing.colours import number

LEFT = 0.1  # a loss above this part of the first one has not been learned
LATE = 34  # findings of a greater rank are consequences of the training

Rule = Callable[[Evidence, list[Finding]], Iterator[Finding]]


def nan(e: Evidence, found: list[Finding]) -> Iterator[Finding]:
    """A NaN that is not the end of a divergence."""
    if e.nan is None and not math.isfinite(e.start.loss) and not found:
        yield Finding(
            "nan",
            "the loss",
            f"the loss is {number(e.start.loss)} before training",
            ["a value is larger than the type of its numbers can hold"],
            "Scale the data or the loss, or compute in float64.",
            "error",
            rank=1,
        )
    if e.nan is None:
        return
    for name, array in e.run.data.items():
        count = int(np.sum(~np.isfinite(array)))
        if count:
            yield Finding(
                "nan",
                f"input {name}",
                f"{count} of its {array.size} values are not finite; {e.nan}",
                ["the data hold NaN or infinity"],
                "Remove these samples, or fill in values.",
                "error",
                rank=1,
            )
            return
    where = "the loss" if not math.isfinite(e.start.loss) else "training"
    grown = [f.kind for f in found if f.kind in ("bad_initialization", "exploding")]
    # of infinities that the layers before made
    beyond = "exploding" in grown and "not finite)" in e.nan
    if grown and (e.overflow or beyond):
        causes, advice = grown, f"Deal with {grown[0].replace('_', ' ')} first."
        yield Finding("nan", where, e.nan, causes, advice, "error", rank=89)
        return
    yield Finding(
        "nan",
        where,
        e.nan,
        ["the function has no value, or no finite slope, there"],
        "Keep the operand inside its domain: add a small constant, or use where on "
        "the operand.",
        "error",
        rank=1,
    )


def rate_too_high(e: Evidence, found: list[Finding]) -> Iterator[Finding]:
    """Steps longer than the curvature allows."""
    if e.nan:
        return
    product, limit = e.product, e.limit
    sharp = product is not None and limit is not None and product > limit
    same, smaller = e.trials.get("same", 0.0), _smaller(e)
    # Before the first step, that the loss would rise is a symptom.
    rises = e.run.steps == 0 and same < 0
    symptom = e.diverged or e.oscillates or e.stuck or rises
    heals = smaller > 0.05 and smaller > max(same, 0.0) + 0.1
    better = e.again > max(e.achieved, 0.0) + 0.1
    hurt = any(f.rank > LATE and f.severity != "note" for f in found)
    spares = hurt and e.again > e.achieved - 0.02 and not _harmed(e.instead)
    better = better or spares or (hurt and 1 - e.again < 0.3 * e.remaining)
    better = better and e.run.steps >= 20
    if not (better or (symptom and (sharp or heals))) or _noisy(e):
        return
    shown = []
    steepest = max(e.sharpness or 0.0, e.first_sharpness or 0.0)
    if limit is not None and e.run.rate and steepest:
        when = "at the start " if steepest == e.first_sharpness else ""
        shown.append(
            f"lr·sharpness {when}= {number(e.run.rate)} × {number(steepest)} = "
            f"{number(e.run.rate * steepest)}, stable below {number(limit)}"
        )
    if e.trials and heals:
        shown.append(
            f"in {TRIAL_STEPS} steps the loss falls by {_percent(same)} of its first "
            f"value with this rate, by {_percent(smaller)} with a smaller one"
        )
    if better:
        shown.append(
            f"from the start, {e.again_steps} steps with a smaller rate take "
            f"{_percent(e.again)} off the loss, all steps with this one "
            f"{_percent(e.achieved)}"
            + ("; they leave no layer dead or saturated, this one does" * spares)
        )
    broken = [f for f in found if f.rank > LATE and f.severity == "error"]
    yield Finding(
        "learning_rate_too_high",
        "the optimiser",
        "; ".join(shown),
        ["steps are longer than the curvature of the loss allows"],
        f"Lower the learning rate{_below(e, steepest)}.",
        "error" if e.diverged or broken else "warning",
        rank=30,
    )


def _harmed(m: Measured | None) -> bool:
    """Is there a layer that is mostly dead or saturated?"""
    if m is None:
        return True
    loops = any(map(stuck, by_loop(m).values()))
    return loops or any(
        len(u.dead) >= 0.4 * len(u.idle)
        if u.activation.kind == "relu"
        else not u.activation.loops and u.idle.mean() > 0.5
        for u in m.units
    )


def _below(e: Evidence, steepest: float) -> str:
    """Say below what; a limit above the rate in use would be no advice."""
    if e.limit is None or not e.run.rate or e.run.rate * steepest <= e.limit:
        return " tenfold, or warm it up"
    return f" below {number(e.limit / steepest)}, or warm it up"


def _smaller(e: Evidence) -> float:
    return max(e.trials.get("rate/10", 0.0), e.trials.get("rate/100", 0.0))


def _noisy(e: Evidence) -> bool:
    """Is it the noise of small batches rather than the curvature?"""
    if not e.trials or not e.run.batch or e.noise is None:
        return False
    gain = e.trials["batch*16"] - max(e.trials["same"], 0.0)
    stable = e.product is None or e.limit is None or e.product < e.limit
    # Of a loss that has fallen a good way, a part of what is left.
    helps = gain > 0.1 or (e.remaining > LEFT and gain > e.remaining / 4)
    # Where the loss jumps, more than a smaller rate gives.
    helps = helps or (e.oscillates and gain > 0.05 and gain > _smaller(e) / 2)
    return helps and stable and e.noise > 4 * e.run.batch


def batch_too_small(e: Evidence, found: list[Finding]) -> Iterator[Finding]:
    """Gradients that are mostly noise."""
    jumps = e.remaining > LEFT and e.swing > e.remaining / 2
    symptom = e.diverged or e.oscillates or e.stuck or jumps
    if e.nan or not symptom or not _noisy(e):
        return
    yield Finding(
        "batch_too_small",
        f"batches of {e.run.batch}",
        f"the gradient noise scale is {number(e.noise or 0)} samples; in {TRIAL_STEPS} "
        f"steps the loss falls by {_percent(e.trials['same'])} of its first value with "
        f"this batch, by {_percent(e.trials['batch*16'])} with one 16 times as large",
        ["the noise of a step outweighs its gradient"],
        f"Use batches of at least {16 * (e.run.batch or 1)}, or lower the learning "
        "rate as the loss falls.",
        "error" if e.diverged else "warning",
        rank=31,
    )


def rate_too_low(e: Evidence, found: list[Finding]) -> Iterator[Finding]:
    """Steps so short that little is learned."""
    if e.nan or e.remaining < 0.5 or not e.slow:
        return
    if any(f.severity != "note" for f in found):
        return
    same = e.trials["same"]
    larger = max(v for name, v in e.trials.items() if name.startswith("rate*"))
    product = e.product
    curvature = f"lr·sharpness = {number(product)}; " if product is not None else ""
    yield Finding(
        "learning_rate_too_low",
        "the optimiser",
        f"{curvature}in {TRIAL_STEPS} steps the loss falls by {_percent(same)} of its "
        f"first value with this rate, by {_percent(larger)} with a larger one",
        ["steps are far shorter than the curvature of the loss allows"],
        "Raise the learning rate tenfold, and again as long as the loss stays stable.",
        rank=32,
    )


def symptoms(e: Evidence, found: list[Finding]) -> Iterator[Finding]:
    """What the loss does, with what explains it."""
    causes = [f.kind for f in sorted(found, key=_rank) if f.severity != "note"]
    causes = list(dict.fromkeys(causes))
    first = "from {} to {}".format(*map(number, e.ends))
    first_cause = causes[0].replace("_", " ") if causes else ""
    advice = f"Deal with {first_cause} first." if causes else "Look at data and labels."
    if e.diverged:
        yield Finding(
            "loss_diverged", "the loss", first, causes, advice, "error", rank=90
        )
    if e.oscillates:
        shown = f"it jumps by {_percent(e.swing)} of its first value on average"
        yield Finding("loss_oscillates", "the loss", shown, causes, advice, rank=91)
    if e.stuck:
        yield Finding("loss_not_decreasing", "the loss", first, causes, advice, rank=92)


def _rank(f: Finding) -> int:
    return f.rank


def _percent(part: float) -> str:
    if not math.isfinite(part):
        return "−∞"
    return f"{part:.0%}" if abs(part) < 10 else f"{number(part)} times all"


RULES: tuple[Rule, ...] = (nan, rate_too_high, batch_too_small, rate_too_low, symptoms)

"""Rules about the model: its parameters, its initialisation, its depth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from symgrad.declare.comprehension import Comprehension
from symgrad.declare.tensor import Param, Tensor
from symgrad.diagnosis.evidence import LARGE, Evidence
from symgrad.diagnosis.findings import Finding, Rule, listed, ranges
from symgrad.diagnosis.forecast import FADED, GROWN
from symgrad.diagnosis.layers import dependents, trains
from symgrad.diagnosis.measure import Measured
from symgrad.diagnosis.weights import gains
from symgrad.drawing.colours import number
from symgrad.train.initialize import name_of

FLAT = ("zeros", "ones")  # initialisers that draw nothing


def unreached(e: Evidence) -> Iterator[Finding]:
    """Parameters to which no gradient comes."""
    reached = set(e.start.gradients)
    names = [name_of(p) for p in e.run.model.trainable if name_of(p) not in reached]
    for name in (*names, *e.run.extra):
        absent = name in e.run.extra
        yield Finding(
            "unreached",
            name,
            "the loss does not depend on it"
            if absent
            else "no derivative of the loss leads to it",
            ["it is declared but not used"]
            if absent
            else ["stop_gradient, a comparison or argmax lies on every path"],
            "Use it on a differentiable path to the loss, or remove it.",
            rank=5,
        )


def frozen(e: Evidence) -> Iterator[Finding]:
    """Weights that are not trained; random ones are hardly meant so."""
    matrices = [p for p in e.run.model.params if p.ndim > 1 and not trains(p)]
    adapted = _adapted(e, matrices)
    for p in matrices:
        assert isinstance(p.op, Param)
        init = p.op.init
        random = callable(init) or (isinstance(init, str) and init not in FLAT)
        random = random and name_of(p) not in e.run.given
        meant = not random or bool(adapted)
        beside = ", and a trained term is added to it" if p in adapted else ""
        yield Finding(
            "frozen",
            name_of(p),
            "trainable=False; its values are "
            f"{'random' if random else 'given'}{beside}",
            ["declared with trainable=False"],
            "Leave it if it is meant to be fixed."
            if meant
            else "Declare it with trainable=True, or give it trained values.",
            "note" if meant else "warning",
            rank=8,
        )


def _adapted(e: Evidence, frozen: Sequence[Tensor]) -> set[Tensor]:
    """Return the weights to which trained terms of their shape are added, as by LoRA.

    Where there are some, the others are frozen on purpose.
    """
    live = dependents(e.run.model.order, e.run.model.trainable)
    found = set()
    for node in e.run.model.order:
        if isinstance(node.op, Comprehension) and node.op.body.fn == "add":
            trained = any(id(a) in live and a.shape == node.shape for a in node.args)
            found |= set(frozen) & set(node.args) if trained else set()
    return found


def profile(e: Evidence, m: Measured) -> list[tuple[str, float, float]]:
    """Return layer, rms of its value and norm of its cotangent, in order of depth."""
    place = {id(t): n for n, t in enumerate(e.run.model.order)}
    rows = [
        (place[id(site)], layer.name, *pair)
        for layer in e.run.model.layers
        for site, pair in zip(layer.sites, m.sites.get(layer.name, ()), strict=False)
    ]
    return [row[1:] for row in sorted(rows) if not math.isnan(row[3])]


def growth(e: Evidence, m: Measured) -> tuple[float, float, int]:
    """Return how values grow forward, gradients backward, and the number of layers."""
    rows = profile(e, m)
    if len(rows) < 3:
        return 1.0, 1.0, len(rows)
    values = [v for _, v, _ in rows if v > 0]
    back = [g for _, _, g in rows]
    # The last layer makes the prediction: it is compared with, not part of the depth.
    forward = values[-2] / values[0] if len(values) > 2 else 1.0
    backward = back[0] / back[-1] if back[-1] > 0 else 1.0
    return forward, backward, len(rows)


def initialization(e: Evidence) -> Iterator[Finding]:
    """Weights that start with the wrong size, or all alike."""
    found = gains(e.run.model, e.run.start)
    alike = [n for n, g in found.items() if g == 0]
    if found and 2 * len(alike) >= len(found) and len(found) > 1:
        yield Finding(
            "bad_initialization",
            listed(alike),
            f"{len(alike)} of {len(found)} weight matrices start with all their values "
            "equal",
            ["units that start alike get equal gradients and stay alike"],
            "Initialise at random: he_normal for relu, glorot_uniform otherwise.",
            rank=10,
        )
        return
    off = {n: g for n, g in found.items() if g and abs(math.log(g)) > math.log(LARGE)}
    if not off or 2 * len(off) < len(found):
        return
    if e.overflow:
        yield _overflowing(off)
        return
    values, gradients, depth = growth(e, e.start)
    last = profile(e, e.start)[-1][1] if depth else 1.0
    flat = _flat(e.start)
    typical = float(np.median(list(off.values())))
    large = typical > 1
    through = max((j.change for j in e.start.journeys), default=1.0)
    grows = max(values / 30, gradients / 100, last / 20, through / 20) > 1
    harmful = (large and (grows or flat > 0.5)) or (
        not large and (values < 0.03 or gradients < 0.01) and not e.run.model.norms
    )
    if not harmful:
        return
    yield Finding(
        "bad_initialization",
        listed(list(off)),
        f"weights scale a signal by {number(typical)} at the start (about 1 is usual); "
        f"values grow by {number(values)} and gradients, backward, by "
        f"{number(gradients)} over {depth} layers"
        + (f", by {number(through)} through time" if e.start.journeys else "")
        + f"; the last values are about {number(last)}",
        [
            f"initial weights are about {number(max(typical, 1 / typical))} times too "
            + ("large" if large else "small")
        ],
        "Initialise with he_normal before relu, glorot_uniform or lecun_normal "
        "otherwise.",
        rank=11,
    )


def _overflowing(off: Mapping[str, float]) -> Finding:
    typical = float(np.median(list(off.values())))
    return Finding(
        "bad_initialization",
        listed(list(off)),
        f"weights scale a signal by {number(typical)} at the start (about 1 is usual), "
        "and values become infinite; with weights scaled to 1 the loss is finite",
        [f"initial weights are about {number(typical)} times too large"],
        "Initialise with he_normal before relu, glorot_uniform or lecun_normal "
        "otherwise.",
        "error",
        rank=11,
    )


def predicted(e: Evidence) -> str:
    """Say what the formulas predicted of the first layer, and whether it came so."""
    first = e.forecast.first if e.forecast is not None else None
    if first is None or not 0 < first.flow < math.inf:
        return ""
    _, measured, _ = growth(e, e.start)
    said = f"predicted before training: {number(first.flow)}"
    if first.most < FADED:
        said += f", and at most {number(first.most)} for any data"
    if not 0 < measured < math.inf:
        return said
    off = abs(math.log(measured / first.flow))
    right = off < max(math.log(5), 0.25 * abs(math.log(measured)))
    return f"{said} (measured then: {number(measured)}{', confirmed' if right else ''})"


def _flat(m: Measured) -> float:
    parts = [
        float(u.idle.mean())
        for u in m.units
        if u.activation.kind != "relu" and not u.activation.gate
    ]
    return max(parts, default=0.0)


def units(e: Evidence) -> Iterator[Finding]:
    """Dead and saturated units, by layer."""
    before = {id(u.activation): u for u in e.start.units}
    for u in e.start.units if e.diverged or not e.now.finite else e.now.units:
        from_start = before[id(u.activation)]
        count = len(u.idle)
        if u.activation.kind == "relu" and u.dead and u.telling:
            yield _dead(e, u.activation.layer, u.dead, from_start.dead, count)
        share = float(u.idle.mean())
        if u.activation.loops:
            continue  # by layer: recurrence.gates
        if u.activation.kind != "relu" and (share > 0.5 or u.flat):
            early = float(from_start.idle.mean()) > 0.4
            size = e.input_scale
            yield Finding(
                "saturated",
                f"{u.activation.layer}: units {ranges(u.flat)}"
                if u.flat
                else u.activation.layer,
                f"{share:.0%} of the values of {u.activation.kind} have under a "
                f"twentieth of its greatest slope; {len(u.flat)} of {count} units have "
                f"on nearly all data ({float(from_start.idle.mean()):.0%} of the "
                "values at the start)",
                [
                    f"inputs are large (rms {number(size)})"
                    if size > 4
                    else "weights or biases are large"
                    if early
                    else "training drove the values there"
                ],
                "Scale inputs to deviation 1, and normalise or shrink what enters the "
                "activation.",
                "warning" if share > 0.5 else "note",
                rank=15 if early else 35,
                units=u.flat,
            )


def _dead(
    e: Evidence, layer: str, dead: list[int], early: list[int], count: int
) -> Finding:
    share = len(dead) / count
    severity = "error" if share == 1 else "warning" if share >= 0.4 else "note"
    first = 2 * len(early) > len(dead) and len(early) >= min(0.4, share) * count
    return Finding(
        "dead_relu",
        f"{layer}: units {ranges(dead)}",
        f"{len(dead)} of {count} units are 0 on every sample, so no gradient passes "
        f"through them; {len(early)} were before training",
        ["their biases or weights keep the sum below 0 from the start"]
        if first
        else ["a large step moved the sums below 0"],
        "Start biases at 0 with he_normal weights"
        + ("" if first else ", lower the learning rate")
        + ", or use leaky_relu.",
        severity,
        rank=14 if first else 36,
        units=dead,
    )


def depth(e: Evidence) -> Iterator[Finding]:
    """Gradients that vanish or explode on their way to the first layer."""
    m = e.now if e.now.finite and not e.diverged else e.start
    values, gradients, count = growth(e, e.start)
    late = FADED <= gradients <= GROWN
    if m is not e.start and late and not FADED <= growth(e, m)[1] <= GROWN:
        values, gradients, count = growth(e, m)
    rate = gradients ** (1 / max(count - 1, 1)) if gradients > 0 else 0.0
    shown = (
        f"from the last layer to the first the gradient changes by {number(gradients)} "
        f"({number(rate)} a layer, {count} layers); values change forward by "
        f"{number(values)}"
    )
    shown += f"; {predicted(e)}" if predicted(e) else ""
    plain = len(e.run.model.shortcuts) < 3
    blocked = gradients == 0 and any(len(u.dead) == len(u.idle) for u in m.units)
    if gradients < FADED and not blocked:
        yield _vanishing(e, profile(e, m)[0][0], shown, rank=37 if late else 20)
    grows = not plain and not e.run.model.norms and (values > 20 or gradients > 20)
    if grows:
        yield Finding(
            "missing_normalization",
            f"{len(e.run.model.shortcuts)} shortcuts",
            f"{shown}; no normalisation in the model",
            ["each block adds to the stream, whose variance grows with depth"],
            "Normalise what enters each block (layer_norm), or scale blocks by "
            "1/√depth.",
            rank=12,
        )
    if gradients > GROWN or values > GROWN:
        rank = 38 if late and values <= GROWN else 13
        yield _exploding(profile(e, m)[0][0], shown, rank)


def _vanishing(e: Evidence, where: str, shown: str, rank: int) -> Finding:
    cause = "every layer passes on less than it gets"
    small = e.forecast.small_slopes if e.forecast is not None else ""
    if small:
        cause = f"the gradient passes {small}, and every layer multiplies by it"
    plain = len(e.run.model.shortcuts) < 3
    return Finding(
        "vanishing",
        where,
        shown,
        [cause, *(["no shortcut past the layers"] if plain else [])],
        "Use relu with he_normal, shortcuts (x + f(x)) or normalisation.",
        rank=rank,
    )


def _exploding(where: str, shown: str, rank: int) -> Finding:
    return Finding(
        "exploding",
        where,
        shown,
        ["every layer passes on more than it gets"],
        "Use weights of smaller gain, normalisation, or clip_norm= of the optimiser.",
        rank=rank,
    )


def foreseen(e: Evidence) -> Iterator[Finding]:
    """Gradients that will vanish or explode, as the formulas tell without data."""
    f = e.forecast
    if f is None or f.first is None:
        return
    first = f.first
    shown = (
        f"predicted without data: from the last layer to the first the gradient "
        f"changes by {number(first.flow)} ({number(f.rate)} a layer, {f.places} layers)"
    )
    if math.isfinite(first.most):
        shown += f", by {number(first.most)} at most, whatever the data"
    if first.flow < FADED:
        yield _vanishing(e, first.name, shown, 20)
    if first.flow > GROWN:
        yield _exploding(first.name, shown, 13)


#: Rules that need no measurement.
FORESEEN: tuple[Rule, ...] = (frozen, foreseen)
RULES: tuple[Rule, ...] = (unreached, frozen, initialization, units, depth)

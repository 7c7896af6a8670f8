"""What a report says of the formulas: each derived from the model at hand."""

from __future__ import annotations

import math
from collections.abc import Iterator

from symgrad.declare import scalar
from symgrad.declare.build import build
from symgrad.declare.tensor import input
from symgrad.derivation.reverse import grad
from symgrad.diagnosis.forecast import Slope
from symgrad.diagnosis.measure import Measured
from symgrad.diagnosis.report import Diagnosis
from symgrad.diagnosis.structure import growth
from symgrad.drawing.colours import number
from symgrad.drawing.highways import local_derivative
from symgrad.errors import SymgradError

Row = tuple[str, str, str]
MOST = 40  # parameters whose gradients are printed


def key_formulas(d: Diagnosis) -> str:
    """Return the gradient of every parameter in closed form; empty if too many."""
    from symgrad.notation import parameter_gradients

    model = d.evidence.run.model
    known = d.evidence.start.gradients
    wrt = [p for p in model.trainable if p.name in known or not d.evidence.measured]
    if len(wrt) > MOST or not wrt:
        return ""
    try:
        return str(parameter_gradients(model.loss, wrt))
    except SymgradError:
        return ""


def matters(d: Diagnosis) -> list[Row]:
    """Return formula, when it matters, and what it is in this model."""
    e = d.evidence
    m = e.now if e.now.finite else e.start
    return [*_chain(d, m), *_slopes(d, m), *_shortcuts(d), *_steps(d)]


def _chain(d: Diagnosis, m: Measured) -> Iterator[Row]:
    f = d.prediction
    if f is None or f.first is None:
        return
    said = (
        f"expected {number(f.first.flow)} over {f.places} layers, {number(f.rate)} each"
    )
    if d.evidence.measured:
        said += f"; measured {number(growth(d.evidence, m)[1])}"
    yield (
        "∂L/∂h₁ = ∏ Wₗᵀ diag(φ′(hₗ)) · ∂L/∂h_L",
        "the network is deep: factors under 1 vanish, over 1 explode",
        said,
    )
    row = d.layers[0]
    if math.isfinite(float(row["bound"])):
        said = f"{row['layer']}: at most {number(float(row['bound']))}"
        if d.evidence.measured:
            said += f"; measured {number(float(row['gradient_norm']))}"
        yield (
            "‖∂L/∂W₁‖ ≤ ‖h₀‖ ∏ ‖Wₗ‖ sup|φ′|",
            "a gradient is to be limited whatever the data",
            said,
        )


def _slopes(d: Diagnosis, m: Measured) -> Iterator[Row]:
    for slope in d.prediction.slopes[:6] if d.prediction else ():
        units = [u for u in m.units if u.activation.kind == slope.name]
        said = f"passed {slope.times} times"
        if units:
            share = sum(float(u.idle.mean()) for u in units) / len(units)
            said += f"; {share:.0%} of the values have no slope worth the name"
        yield (
            f"{derived(slope)}, {slope.says}",
            "many units are flat, or its slope is far from 1",
            said,
        )


def derived(slope: Slope) -> str:
    """Return the slope of an elementwise function as a formula.

    >>> body = scalar.parse("tanh(x)")
    >>> derived(Slope("tanh", body, "sup|tanh′| = 1", 1.0))
    'tanh′ = 1 − tanh²(x)'
    """
    from symgrad.notation import formula

    x = input("x", (), "float64")
    made = build(slope.body, {scalar.var("x"): x}, "float64")
    name = slope.name if len(slope.name) < 12 else "f"
    return f"{name}′ = {formula(grad(made, x)).replace(' ⊙ ', '·')}"


def _shortcuts(d: Diagnosis) -> Iterator[Row]:
    count = len(d.evidence.run.model.shortcuts)
    said = f"{count} shortcuts" if count else "no shortcut"
    if d.road_share:
        said += f"; {d.road_share} of the gradient passes by them"
    made = d.evidence.run.model.shortcuts
    yield (
        f"∂(x + f(x))/∂x = {local_derivative(made[0]) if made else '1 + ∂f/∂x'}",
        "depth would otherwise fade the gradient",
        said,
    )


def _steps(d: Diagnosis) -> Iterator[Row]:
    e = d.evidence
    if e.product is not None and e.limit is not None:
        both = f"{number(e.run.rate or 0)} × {number(e.sharpness or 0)}"
        yield (
            f"lr·λ < {number(e.limit)}",
            "the loss oscillates or diverges",
            f"{both} = {number(e.product)}",
        )
    if e.noise is not None:
        yield (
            "B ≈ tr Σ/|G|²",
            "steps are mostly noise",
            f"{number(e.noise)} samples; batches have {e.run.batch}",
        )

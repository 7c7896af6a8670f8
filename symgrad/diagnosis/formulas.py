"""What a report says of the formulas: each derived from the model at hand."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import numpy as np

from symgrad.declare import scalar
from symgrad.declare.build import build
from symgrad.declare.tensor import input
from symgrad.derivation.reverse import grad
from symgrad.diagnosis.forecast import Slope
from symgrad.diagnosis.layers import trains
from symgrad.diagnosis.measure import FLAT, Measured
from symgrad.diagnosis.report import Diagnosis
from symgrad.diagnosis.structure import growth
from symgrad.drawing.colours import number
from symgrad.drawing.highways import local_derivative
from symgrad.errors import SymgradError
from symgrad.prediction.bound import gradient_bound
from symgrad.prediction.intervals import enclose
from symgrad.prediction.supremum import derivative
from symgrad.train.initialize import name_of

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
        return _summed(str(parameter_gradients(model.loss, wrt)))
    except SymgradError:
        return ""


def _summed(formulas: str) -> str:
    """Say of a gradient that a loop gives what it is: a sum over the steps.

    >>> _summed("∂L/∂U = scan_9")
    '∂L/∂U = Σₜ (∂hₜ₊₁/∂U)ᵀ ∂L/∂hₜ₊₁'
    """
    return re.sub(
        r"∂L/∂(\S+)(\s*) = scan(_\d+)?$",
        r"∂L/∂\1\2 = Σₜ (∂hₜ₊₁/∂\1)ᵀ ∂L/∂hₜ₊₁",
        formulas,
        flags=re.MULTILINE,
    )


def matters(d: Diagnosis) -> list[Row]:
    """Return formula, when it matters, and what it is in this model."""
    e = d.evidence
    m = e.now if e.now.finite else e.start
    parts = (_chain(d, m), _time(d, m), _slopes(d, m), _shortcuts(d), _steps(d))
    return [row for part in parts for row in part]


def _time(d: Diagnosis, m: Measured) -> Iterator[Row]:
    """Yield what becomes of a gradient on its way back through each loop."""
    rates = {j.layer: j for j in m.journeys}
    for f in d.prediction.loops if d.prediction else ():
        if not f.steps:
            continue
        said = f"{f.layer}: expected {number(f.change)} over {f.steps} steps"
        rate = f.change ** (1 / f.steps)
        if f.layer in rates:
            rate = rates[f.layer].rate
            said += f"; measured {number(rates[f.layer].change)}"
        where = _depth(rate, f.steps).replace("layer", "step")
        yield ("∂L/∂hₜ = (∂hₜ₊₁/∂hₜ)ᵀ ∂L/∂hₜ₊₁", where, said)


def _chain(d: Diagnosis, m: Measured) -> Iterator[Row]:
    f = d.prediction
    if f is None or f.first is None:
        return
    said = f"expected {number(f.first.flow)} over {f.places} layers"
    if d.evidence.measured:
        said += f"; measured {number(growth(d.evidence, m)[1])}"
    yield (_back(d), _depth(f.rate, f.places), said)
    row = d.layers[0]
    formula = _product(d)
    if math.isfinite(float(row["bound"])) and formula:
        said = f"at most {number(float(row['bound']))}"
        if float(row["bound_at_data"]) < float(row["bound"]):
            said += f", at these data {number(float(row['bound_at_data']))}"
        if d.evidence.measured:
            said += f"; measured {number(float(row['gradient_norm']))}"
        yield (formula, "the data are not known: it holds for all of them", said)


def _back(d: Diagnosis) -> str:
    """Return how the gradient of the first layer is made of the one behind it."""
    lines = [line.strip() for line in key_formulas(d).splitlines() if " = " in line]
    made = dict(
        re.split(r"\s+=\s+", line.removeprefix("where "), maxsplit=1) for line in lines
    )
    first = next(iter(made), "")
    for name in re.findall(r"\bG\w*", made.get(first, "")):
        if name in made:
            return f"{first} = {made[first]}, {name} = {made[name]}"
    return f"{first} = {made[first]}" if first else "∂L/∂h₁ = ∏ (∂hₗ₊₁/∂hₗ)ᵀ · ∂L/∂h_L"


def _depth(rate: float, places: int) -> str:
    """Say from what depth on a factor in each layer is too much."""
    if not 0 < rate < math.inf or rate == 1:
        return "there are many layers"
    count = math.ceil(math.log(1000) / abs(math.log(rate)))
    limit = "under 10⁻³" if rate < 1 else "over 10³"
    reached = "this one has" if count <= places else "more than the"
    layers = f"{reached} {places}{'' if count <= places else ' here'}"
    return f"{number(rate)} a layer is {limit} from {count} layers on ({layers})"


def _product(d: Diagnosis) -> str:
    """Return the bound of the first layer's weights as the product that it is."""
    run = d.evidence.run
    live = d.evidence.start.gradients if d.evidence.measured else None
    first = next(
        (
            p
            for layer in run.model.layers
            for p in layer.params
            if trains(p) and (live is None or name_of(p) in live)
        ),
        None,
    )
    if first is None:
        return ""
    data = run.data if d.evidence.measured else None
    bound = gradient_bound(run.model.loss, first, run.now, data)
    parts = [
        "(1 + …)" if f.paths else re.split(" [=≤] ", f.says)[0]
        for f in bound.factors
        if f.paths or not (f.says.startswith(("factor", "sum")) or _is_one(f.value))
    ]
    if len(parts) > 6:
        parts[3:-2] = ["…"]
    return f"‖∂L/∂{bound.name}‖ ≤ {' · '.join(parts)}"


def _is_one(value: float) -> bool:
    return math.isclose(value, 1, rel_tol=1e-5)


def _slopes(d: Diagnosis, m: Measured) -> Iterator[Row]:
    found = [f for f in d.prediction.slopes if not f.is_scaling] if d.prediction else []
    for slope in found[:6]:
        units = [u for u in m.units if u.activation.kind == slope.name]
        said = f"passed {slope.times} times"
        if units:
            share = sum(float(u.idle.mean()) for u in units) / len(units)
            said += f"; {share:.0%} of the values are there"
        yield (f"{derived(slope)}, {slope.says}", _flat(slope), said)


def _flat(slope: Slope) -> str:
    """Say where a function is flat.

    >>> _flat(Slope("sigmoid", scalar.parse("sigmoid(x)"), "", 0.25))
    'x < −4.36 or x > 4.36: under a twentieth of its greatest slope'
    """
    x = np.linspace(-20, 20, 8001)
    low, high = enclose(derivative(slope.body, "x"), {"x": (x, x)})
    size = np.abs(low / 2 + high / 2)
    steep = x[size >= FLAT * slope.supremum] if math.isfinite(slope.supremum) else x
    if not len(steep):
        return "it is flat all over"
    ends = round(steep[0] - 0.0025, 2) + 0.0, round(steep[-1] + 0.0025, 2) + 0.0
    parts = [f"x < {ends[0]:g}"] if steep[0] > x[0] else []
    parts += [f"x > {ends[1]:g}"] if steep[-1] < x[-1] else []
    if not parts:
        return "its slope is far from 1"
    where = " or ".join(parts).replace("-", "−")
    return f"{where}: under a twentieth of its greatest slope"


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
    made = d.evidence.run.model.shortcuts
    count = len(made)
    said = f"{count} shortcut{'s' if count > 1 else ''}" if count else "no shortcut"
    if d.road_share:
        said += f"; {d.road_share} of the gradient passes by them"
    roads = [r for r in d.evidence.roads if r.arriving > 0]
    left = math.prod(math.hypot(*r.blocks) / r.arriving for r in roads)
    yield (
        f"∂(x + f(x))/∂x = {local_derivative(made[0]) if made else '1 + ∂f/∂x'}",
        f"the blocks alone would pass {number(left)} of it"
        if roads
        else "depth fades the gradient",
        said,
    )


def _steps(d: Diagnosis) -> Iterator[Row]:
    e = d.evidence
    if e.product is not None and e.limit is not None and e.sharpness:
        both = f"{number(e.run.rate or 0)} × {number(e.sharpness)}"
        yield (
            f"lr·λ < {number(e.limit)}",
            f"lr is above {number(e.limit / e.sharpness)}: the loss rises"
            if e.sharpness > 0
            else "the loss curves upward; here it does not",
            f"{both} = {number(e.product)}",
        )
    if e.noise is not None:
        drowned = math.isinf(e.noise)
        yield (
            "B ≈ tr Σ/|G|²",
            "the loss still falls: the gradient drowns in noise"
            if drowned
            else f"batches are far below {number(e.noise)}: steps are mostly noise",
            f"batches have {e.run.batch}",
        )

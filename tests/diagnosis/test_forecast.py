"""What is predicted of layers, against what is measured then."""

import math
import re

import numpy as np
import pytest

import symgrad as sg
from symgrad.declare import scalar
from symgrad.diagnosis.forecast import forecast
from symgrad.diagnosis.formulas import derived, matters
from symgrad.diagnosis.layers import model_of
from symgrad.diagnosis.measure import Instrument
from symgrad.prediction.bound import make_flow
from symgrad.prediction.meanfield import MeanField
from tests.diagnosis import runs


def ahead(loss, data=None):
    model, params = model_of(loss), sg.init(loss)
    return forecast(model, params, params, data)


def test_sigmoids_are_foretold_to_vanish():
    loss = runs.mlp("digits", 12, act=sg.sigmoid, init="glorot_normal")
    found = ahead(loss)
    assert found.first.verdict == "vanishes for any data"
    assert found.rate == pytest.approx(0.24, abs=0.03)
    (slope,) = found.slopes
    assert (slope.says, slope.times) == ("sup|sigmoid′| = 1/4", 12)
    assert found.small_slopes == "sup|sigmoid′| = 1/4 12 times"
    diagnosis = sg.diagnose(loss)  # without data
    (finding,) = diagnosis.findings
    assert finding.kind == "vanishing"
    assert "predicted without data" in finding.evidence
    assert "sup|sigmoid′| = 1/4 12 times" in finding.causes[0]
    assert "vanishes for any data" in str(diagnosis)
    assert "Predicted: vanishing" in diagnosis._repr_html_()


@pytest.mark.parametrize(
    ("make", "verdict"),
    [
        (lambda: runs.mlp("digits", 4), "steady"),
        (lambda: runs.mlp("digits", 25, init=runs.normal(2.4)), "expected to explode"),
        (
            lambda: runs.mlp("digits", 40, 24, act=sg.tanh, init=runs.normal(0.7)),
            "expected to vanish",
        ),
        (lambda: runs.residual("digits", 6), "steady"),
        (lambda: runs.cnn(), "steady"),
    ],
)
def test_verdicts_without_data(make, verdict):
    assert ahead(make()).first.verdict == verdict


def test_the_forecast_is_near_what_is_measured():
    """Of twelve sigmoid layers, over eight powers of ten."""
    loss = runs.mlp("digits", 12, act=sg.sigmoid, init="glorot_normal")
    model, params, data = model_of(loss), sg.init(loss), runs.data("digits")
    found = forecast(model, params, params, data)
    measured = Instrument(model)(data, params)
    last = measured.sites["out"][-1][1]
    for layer in found.layers:
        assert layer.flow == pytest.approx(
            measured.sites[layer.name][-1][1] / last, rel=0.6
        )
        norms = [measured.gradients[p] for p in (f"{layer.name}/W", f"{layer.name}/b")]
        assert math.hypot(*norms) <= layer.bound
        assert layer.flow <= layer.most * 1.001


def concatenated(x):
    """A dense network: each layer reads all results before it (Huang et al. 2017)."""
    h = x
    for n in range(4):
        h = sg.concat([h, sg.relu(sg.nn.linear(h, 6, name=f"part{n}"))], axis=1)
    return sg.nn.linear(h, 3, name="out")


def experts(x):
    """A mixture of experts, stacked and weighted (Jacobs et al. 1991)."""
    gate = sg.softmax(sg.nn.linear(x, 5, name="gate"))
    found = [sg.relu(sg.nn.linear(x, 3, name=f"expert{n}")) for n in range(5)]
    return sg.sum(gate[:, :, None] * sg.stack(found, axis=1), axis=1)


@pytest.mark.parametrize("model", [concatenated, experts])
def test_parts_side_by_side_are_foretold(model):
    x, y = sg.input("x", ("n", 6)), sg.input("y", ("n", 3))
    rng = np.random.default_rng(0)
    data = {"x": rng.normal(size=(200, 6)), "y": rng.normal(size=(200, 3))}
    loss = sg.nn.mse(model(x), y)
    params, made = sg.init(loss), model_of(loss)
    found = forecast(made, params, params, data)
    measured = Instrument(made)({k: np.float32(v) for k, v in data.items()}, params)
    assert len(found.layers) >= 5
    for layer in found.layers:
        norms = [measured.gradients[p] for p in (f"{layer.name}/W", f"{layer.name}/b")]
        assert 0.2 < layer.expected / math.hypot(*norms) < 5
        assert layer.verdict == "steady"


def test_a_loss_that_no_gradient_is_expected_to_leave():
    x, W = sg.input("x", ("n", 3)), sg.param("W", (3, 4))
    h = sg.relu(x @ W) @ sg.param("V", (4, 2))
    found = ahead(sg.mean(sg.relu(h - 1000.0)))
    assert [math.isnan(layer.flow) for layer in found.layers] == [True, True]


@pytest.mark.parametrize("name", ["tanh", "relu", "sigmoid"])
def test_mean_field_is_that_of_schoenholz(name):
    """χ = σ_w² E[φ′(√q z)²] and q = σ_w² E[φ(√q z)²], by PyTorch's sampling."""
    rng = np.random.default_rng(0)
    width, gain = 400, 1.3
    x = sg.input("x", ("n", width), "float64")
    W = gain * rng.normal(size=(width, width)) / math.sqrt(width)
    h = x @ sg.param("W", (width, width), init=W, dtype="float64")
    y = getattr(sg, name)(h)
    flow = make_flow(sg.sum(y), [h, y], data={"x": rng.normal(size=(50, width))})
    field = MeanField(flow)
    torch = pytest.importorskip("torch")
    z = torch.randn(400_000, dtype=torch.float64, requires_grad=True)
    out = getattr(torch, name, None) or getattr(torch.nn.functional, name)
    value = out(gain * z)
    (slope,) = torch.autograd.grad(value.sum(), z)
    assert field.moments[h].variance == pytest.approx(gain**2, rel=0.02)
    assert field.moments[y].square == pytest.approx(
        float((value**2).mean().detach()), rel=0.03
    )
    assert (field.norm(h) / field.norm(y)) ** 2 == pytest.approx(
        float((slope**2).mean()) / gain**2, rel=0.05
    )


def test_formulas_are_derived():
    found = ahead(runs.mlp("digits", 2, act=sg.silu))
    (slope,) = found.slopes
    assert slope.says == "sup|silu′| = 1.0998"
    assert "σ(x)" in derived(slope)
    own = scalar.parse("x*exp(-x*x)")
    assert "exp" in derived(type(slope)("own", own, "", 1.0))
    rows = matters(sg.diagnose(runs.mlp("digits", 2, act=sg.silu)))
    assert any("sup|silu′| = 1.0998" in formula for formula, _, _ in rows)


def test_layers_without_a_gradient_have_no_forecast():
    found = ahead(runs.adapted())
    assert math.isnan(found["base"].bound) or found["base"].bound >= 0
    assert found["nothing"] is None
    x = sg.input("x", ("n", 4))
    assert ahead(sg.mean(x**2)) is None
    frozen = sg.param("W", (4, 2), trainable=False)
    assert ahead(sg.mean((x @ frozen) ** 2)) is None


def test_the_table_is_of_this_model():
    """Formula, when it matters, and what it is here: numbers of this very model."""
    rng = np.random.default_rng(0)
    x = sg.input("x", ("n", 6))
    h = x
    for n in range(4):
        with sg.scope(f"layer{n}"):
            h = sg.tanh(h @ sg.param("W", (6, 6)))
    found = sg.diagnose(sg.mean(h * h), {"x": rng.normal(size=(64, 6))})
    chain, bound, slope, *_ = matters(found)
    assert chain[0].startswith("∂L/∂W0 = xᵀ")
    assert "W1ᵀ" in chain[0]
    count = int(re.search(r"from (\d+) layers on", chain[1])[1])
    rate = found.prediction.rate
    assert rate**count < 1e-3 < rate ** (count - 1)
    assert "‖∂L/∂layer0/W‖ ≤ " in bound[0]
    assert "‖layer3/W‖" in bound[0]
    assert "sup|tanh′|" not in bound[0]  # it is 1
    end = float(re.search(r"x > (\S+?):", slope[1])[1])
    assert 1 - np.tanh(end) ** 2 == pytest.approx(1 / 20, rel=0.02)
    flat = found.evidence.now.units[0].idle.mean()
    assert "of the values are there" in slope[2]
    assert flat < 1

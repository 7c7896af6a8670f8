"""``sg.diagnose``: planted faults, healthy models, what it takes and refuses."""

import math

import numpy as np
import pytest

import symgrad as sg
from symgrad.diagnosis.findings import ranges
from tests.diagnosis import runs

KINDS = {
    *("vanishing", "exploding", "dead_relu", "saturated", "frozen", "unreached"),
    *("nan", "loss_not_decreasing", "loss_diverged", "loss_oscillates"),
    *("learning_rate_too_high", "learning_rate_too_low", "bad_initialization"),
    *("missing_normalization", "batch_too_small"),
}
#: Cases that are run here: one of each cause, the quick ones.  All of them, on several
#: seeds: ``python -m tests.diagnosis.confusion``.
QUICK = {
    ("MLP, SGD 2", runs.R),
    ("MLP, SGD 1e-5", runs.R),
    ("sigmoid × 12", runs.D),
    ("recurrent, gain 1.6", runs.R),
    ("MLP × 4, gain 12", runs.D),
    ("MLP, batch 2", runs.D),
    ("MLP, biases −30", runs.D),
    ("sigmoid, inputs × 100", runs.R),
    ("first layer frozen", runs.D),
    ("stop_gradient", runs.D),
    ("log of a scale", runs.R),
    ("MLP, SGD", runs.D),
    ("RNN, Adam 0.3", runs.A),
    ("RNN × 10", runs.A),
    ("RNN, gain 0.3", runs.A),
    ("RNN, biases 8", runs.A),
    ("linear RNN, gain 1.8", runs.A),
    ("VAE × 10", runs.V),
}
FAST = [c for c in runs.CASES if (c.name, c.kind) in QUICK]


@pytest.mark.parametrize("case", FAST, ids=lambda c: f"{c.cause}: {c.name}, {c.kind}")
def test_the_cause_is_found_first(case):
    diagnosis = runs.diagnosed(case, 0)
    assert runs.said(diagnosis) == (case.cause or "healthy"), str(diagnosis)
    for f in diagnosis.findings:
        assert f.kind in KINDS
        assert f.severity in ("error", "warning", "note")
        assert f.evidence
        assert f.where
        assert f.advice.endswith(".")


def test_every_cause_is_planted():
    symptoms = {k for k in KINDS if k.startswith("loss_")}
    assert {c.cause for c in runs.CASES if c.cause} == KINDS - symptoms
    assert sum(c.cause is not None for c in runs.CASES) >= 40
    assert sum(c.cause is None for c in runs.CASES) >= 20


def small(bias="zeros", dtype="float32"):
    x = sg.input("x", ("n", 4), dtype)
    W, b = sg.param("W", (4, 6), dtype=dtype), sg.param("b", (6,), bias, dtype=dtype)
    return sg.mean((sg.relu(x @ W + b) @ sg.param("V", (6, 2), dtype=dtype)) ** 2)


DATA = {"x": np.random.default_rng(0).normal(size=(64, 4))}


def test_a_loss_alone_is_diagnosed():
    loss = small(bias=[0, -99, 0, 0, -99, 0])
    found = sg.diagnose(loss, DATA)
    (finding,) = found.findings
    assert (finding.kind, finding.severity) == ("dead_relu", "note")
    assert finding.units == [1, 4]
    assert finding.where == "W: units 1, 4"
    assert found.healthy
    assert math.isnan(found.layers[0]["update_to_weight"])


def test_one_sample_tells_nothing_of_dead_units():
    """Half of the units are 0 on one sample, of any network."""
    one = {"x": DATA["x"][:1]}
    assert sg.diagnose(small(), one).healthy
    loss = small(bias=[0, -99, 0, 0, -99, 0])
    assert sg.diagnose(loss, one).findings == []
    (finding,) = sg.diagnose(loss, {"x": DATA["x"][:9]}).findings
    assert finding.units == [1, 4]


def test_the_table_of_layers():
    loss = small()
    trainer = sg.Trainer(loss, sg.optim.SGD(0.1))
    first, last = sg.diagnose(trainer, DATA).layers
    assert (first["layer"], last["layer"]) == ("W", "V")
    assert last["ratio_to_last"] == 1
    before = {n: a.copy() for n, a in trainer.params.items()}
    rows = np.random.default_rng(0).choice(64, 32, replace=False)  # the trial's batch
    trainer.step(x=DATA["x"][rows])
    change = np.linalg.norm(trainer.params["V"] - before["V"])
    expected = change / np.linalg.norm(before["V"])
    assert last["update_to_weight"] == pytest.approx(expected, rel=1e-3)


def test_a_run_is_not_changed():
    trainer = sg.Trainer(small(), sg.optim.Adam(0.01))
    trainer.fit(DATA, epochs=3, batch_size=16, progress=False)
    before = {n: a.copy() for n, a in trainer.arrays.items()}
    sg.diagnose(trainer, DATA)
    for name, array in trainer.arrays.items():
        np.testing.assert_array_equal(array, before[name])


def test_parameters_that_the_loss_lacks_are_unreached():
    loss = small()
    params = sg.init(loss) | {"forgotten": np.ones(3)}
    (finding,) = sg.diagnose(loss, DATA, params).findings
    assert (finding.kind, finding.where) == ("unreached", "forgotten")


def test_a_nan_is_named():
    x = sg.input("x", ("n", 4))
    with sg.scope("inner"):
        h = sg.sqrt(x @ sg.param("W", (4, 2)))
    (finding, *_) = sg.diagnose(sg.mean(h), DATA).findings
    assert (finding.kind, finding.severity) == ("nan", "error")
    assert "sqrt" in finding.evidence
    assert "inner" in finding.evidence


def test_text_and_page(tmp_path):
    loss = small(bias=[0, -99, 0, 0, -99, 0])
    found = sg.diagnose(loss, DATA)
    assert "dead_relu (W: units 1, 4)" in str(found)
    assert "gradient" in str(found)
    assert "dead relu" in found._repr_html_()
    page = found.save(tmp_path / "report.html").read_text()
    for part in ("<svg", "Key formulas", "When this matters", "∂L/∂W"):
        assert part in page
    for outside in ("<script", "src=", "url(", "@import"):
        assert outside not in page
    with pytest.raises(sg.FormatError, match="suffix"):
        found.save(tmp_path / "report.pdf")


def test_names_are_escaped_in_the_page():
    x = sg.input("x", ("n", 4))
    with sg.scope("<script>alert(1)</script>"):
        W = sg.param("W", (4, 2))
    page = sg.diagnose(sg.mean((x @ W) ** 2), DATA)._repr_html_()
    assert "<script" not in page


def test_data_that_are_not_finite_are_the_cause():
    data = {k: v.copy() for k, v in runs.data("digits").items()}
    data["x"][3, 5] = np.nan
    first = sg.diagnose(runs.mlp("digits", 2), data).findings[0]
    assert (first.kind, first.where) == ("nan", "input x")
    assert first.evidence.startswith("1 of its")


def test_what_is_refused():
    loss = small()
    with pytest.raises(sg.GraphError, match="a loss or a trainer"):
        sg.diagnose(3.0, DATA)
    with pytest.raises(sg.GraphError, match="'x' missing"):
        sg.diagnose(loss, {})
    with pytest.raises(sg.ShapeError, match="does not suit"):
        sg.diagnose(loss, {"x": np.ones(4)})
    with pytest.raises(sg.SymgradError, match="history"):
        sg.diagnose(loss, DATA, history=3)
    for history in ("0.5", {"accuracy": [1.0]}):
        with pytest.raises(sg.SymgradError, match="history"):
            sg.diagnose(loss, DATA, history=history)
    with pytest.raises(sg.ShapeError, match="no samples"):
        sg.diagnose(loss, {"x": np.ones((0, 4))})
    with pytest.raises(sg.GraphError, match="a dict from names to arrays"):
        sg.diagnose(loss, "x")
    with pytest.raises(sg.ShapeError, match="scalar"):
        sg.diagnose(sg.input("z", (3,)), DATA)
    with pytest.raises(sg.GraphError, match="params has no array for"):
        sg.diagnose(loss, DATA, {"W": np.ones((4, 6))})


def test_a_trainer_before_its_first_step():
    assert sg.diagnose(sg.Trainer(small(), sg.optim.SGD(0.1)), DATA).healthy
    (first, *_) = sg.diagnose(sg.Trainer(small(), sg.optim.SGD(100.0)), DATA).findings
    assert first.kind == "learning_rate_too_high"
    assert "lr·sharpness" in first.evidence


def test_initial_values_that_were_given_are_where_training_began():
    """Weights ten times too large are the cause, whatever was declared."""
    loss = runs.mlp(runs.D, 4, act=sg.tanh)
    drawn = sg.init(loss)
    large = {n: 12 * a for n, a in drawn.items() if a.ndim > 1}
    trainer = sg.Trainer(loss, sg.optim.SGD(0.01), params=large)
    np.testing.assert_array_equal(trainer.given["layer1/W"], 12 * drawn["layer1/W"])
    for _ in range(2):
        (first, *_) = sg.diagnose(trainer, runs.data(runs.D)).findings
        assert first.kind == "bad_initialization"
        trainer.fit(runs.data(runs.D), 2, batch_size=64, progress=False)


def test_losses_of_few_parts():
    x = sg.input("x", ("n", 4))
    W = sg.param("W", (4, 2), trainable=False)
    assert sg.diagnose(sg.mean(x**2), DATA).layers == []
    (finding,) = sg.diagnose(sg.mean((x @ W) ** 2), DATA).findings
    assert finding.kind == "frozen"
    assert sg.diagnose(sg.param("a", (), init=2.0) ** 2, {}).healthy


def test_a_run_of_fit():
    trainer = sg.Trainer(runs.mlp("digits"), sg.optim.Adam(1e-3))
    trainer.fit(runs.data("digits"), epochs=3, batch_size=64, progress=False)
    found = sg.diagnose(trainer, runs.data("digits"))
    assert found.healthy
    assert found.evidence.run.batch == 64
    assert len(found.evidence.run.losses) == 3


def test_inputs_of_a_fixed_size():
    x = sg.input("x", (64, 4))
    loss = sg.mean((x @ sg.param("W", (4, 3))) ** 2)
    assert sg.diagnose(sg.Trainer(loss, sg.optim.SGD(0.1)), DATA).healthy


def test_a_history_alone_shows_divergence():
    (finding,) = sg.diagnose(small(), DATA, history=[1.0, 2.0, math.nan]).findings
    assert finding.kind == "loss_diverged"


def test_a_history_alone_tells_of_its_own_losses():
    falling = list(np.linspace(2.3, 0.1, 40))
    assert sg.diagnose(small(), DATA, history=falling).healthy
    (finding,) = sg.diagnose(small(), DATA, history={"loss": [0.7] * 40}).findings
    assert finding.kind == "loss_not_decreasing"
    assert finding.evidence == "from 0.7 to 0.7"


def test_a_loss_below_zero_may_fall():
    """A log-likelihood of a normal distribution that grows."""
    x = sg.input("x", ("n", 4))
    size = sg.softplus(x @ sg.param("W", (4, 1)) + sg.param("b", (1,), init=-3.0))
    target = sg.sum(x, axis=1, keepdims=True) * 1e-3
    loss = sg.mean(sg.log(size) + (target / size) ** 2 / 2)
    trainer = sg.Trainer(loss, sg.optim.SGD(0.05))
    losses = [trainer.step(**DATA) for _ in range(40)]
    assert losses[-1] < losses[0] < 0
    kinds = {f.kind for f in sg.diagnose(trainer, DATA).findings}
    assert not kinds & {"loss_not_decreasing", "loss_diverged", "loss_oscillates"}


@pytest.mark.parametrize("optimizer", [sg.optim.SGD(1e-8), sg.optim.Adam(1e-9)])
def test_a_rate_that_is_far_too_low(optimizer):
    trainer = sg.Trainer(runs.mlp("digits", 2), optimizer)
    for _ in range(30):
        trainer.step(**{k: v[:64] for k, v in runs.data("digits").items()})
    first = sg.diagnose(trainer, runs.data("digits"), batch_size=64).findings[0]
    assert first.kind == "learning_rate_too_low"


def test_an_overflow_is_the_consequence_of_growth():
    x, y = sg.input("x", ("n", 4)), sg.input("y", ("n", 8))
    h = x
    for n in range(25):
        h = sg.nn.linear(h, 8, name=f"e{n}", init=lambda r, s: 3 * r.normal(size=s))
    data = {**DATA, "y": np.ones((len(DATA["x"]), 8))}
    first, *others = sg.diagnose(sg.nn.mse(h, y), data).findings
    assert (first.kind, first.severity) == ("bad_initialization", "error")
    assert {f.kind for f in others} == {"nan", "exploding"}


def test_results_may_be_dead_too():
    """A rectified output is 0 on every sample, and nothing is learned."""
    x = sg.input("x", ("n", 4))
    h = sg.nn.linear(sg.tanh(sg.nn.linear(x, 6, name="a")), 3, name="b", bias_init=-60)
    (finding,) = sg.diagnose(sg.mean((sg.relu(h) - 1) ** 2), DATA).findings
    assert (finding.kind, finding.units) == ("dead_relu", [0, 1, 2])
    hinge = sg.mean(sg.relu(1 - 100 * sg.softplus(h + 99)))  # satisfied everywhere
    assert sg.diagnose(hinge, DATA).healthy


def test_a_loss_that_overflows_is_named():
    x = sg.input("x", ("n", 4))
    loss = sg.exp(1e4 + sg.mean((x @ sg.param("W", (4, 2))) ** 2))
    first = sg.diagnose(loss, DATA).findings[0]
    assert (first.kind, first.severity) == ("nan", "error")


def test_ranges():
    assert ranges([]) == ""
    assert ranges([3]) == "3"
    assert ranges([0, 1, 3, 4, 5]) == "0–1, 3–5"

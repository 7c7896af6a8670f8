"""Loops: what is measured in them, and the way of a gradient back through time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import symgrad as sg
from symgrad.diagnosis.layers import model_of
from symgrad.diagnosis.measure import FLAT, Instrument
from tests.diagnosis import losses, models, sequences

rng = np.random.default_rng(0)
N, TIME, IN, WIDTH = 6, 7, 3, 5
DATA = {"x": 2 * rng.normal(size=(N, TIME, IN)), "y": rng.normal(size=(N, TIME, WIDTH))}


def plain(every, reverse=False, checkpoint_every=None):
    """Return the loss of a network that reads x; the loss reads all or the last."""
    x, y = (sg.input(n, ("n", *DATA[n].shape[1:]), "float64") for n in DATA)
    W = sg.param("rnn/W", (IN, WIDTH), dtype="float64")
    U = sg.param("rnn/U", (WIDTH, WIDTH), dtype="float64")

    def step(h, v):
        h = sg.tanh(v @ W + h @ U)
        return h, h

    start = sg.broadcast_to(sg.constant(np.float64(0)), (x.shape[0], WIDTH))
    seen = sg.permute_dims(x, (1, 0, 2))
    last, outputs = sg.scan(
        step, start, seen, reverse=reverse, checkpoint_every=checkpoint_every
    )
    error = (outputs - sg.permute_dims(y, (1, 0, 2))) ** 2
    return sg.sum(error) if every else sg.sum((last - y[:, 0]) ** 2)


def states(params, added, reverse):
    """Return the states before the first step and after each, in JAX."""
    x = DATA["x"][:, ::-1] if reverse else DATA["x"]
    found = [jnp.zeros((N, WIDTH)) + added[0]]
    for t in range(TIME):
        h = jnp.tanh(x[:, t] @ params["rnn/W"] + found[-1] @ params["rnn/U"])
        found.append(h + added[t + 1])
    return found


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("every", [False, True])
def test_gradients_through_time_are_jaxs(every, reverse):
    loss = plain(every, reverse)
    params = sg.init(loss, seed=3)
    (journey,) = Instrument(model_of(loss))(DATA, params).journeys

    def last(added):  # what is read of the last step
        target = DATA["y"][:, (0 if reverse else -1) if every else 0]
        return jnp.sum((states(params, added, reverse)[-1] - target) ** 2)

    zeros = [jnp.zeros((N, WIDTH))] * (TIME + 1)
    expected = [float(jnp.linalg.norm(g)) for g in jax.grad(last)(zeros)]
    # After the last step nothing has come back yet where each step is read.
    np.testing.assert_allclose(journey.gradients[:-1], expected[:-1], rtol=1e-9)
    assert journey.last_only is not every
    assert journey.change == pytest.approx(expected[0] / expected[-2])
    sizes = [float(jnp.sqrt(jnp.mean(h**2))) for h in states(params, zeros, reverse)]
    np.testing.assert_allclose(journey.values, sizes, rtol=1e-9)


@pytest.mark.parametrize("checkpoint_every", [None, 3])
def test_saturation_is_that_of_all_steps(checkpoint_every):
    loss = plain(every=True, checkpoint_every=checkpoint_every)
    params = {n: 2 * a for n, a in sg.init(loss, seed=3).items()}
    units = Instrument(model_of(loss))(DATA, params).units
    zeros = [0.0] * (TIME + 1)
    after = np.stack(states(params, zeros, reverse=False)[1:])
    flat = 1 - after**2 < FLAT
    # With checkpoints the last step, which is left over, is a loop of its own.
    parts = [flat] if checkpoint_every is None else [flat[:6], flat[6:]]
    assert 0.05 < flat.mean() < 0.95
    assert [u.count for u in units] == [len(p) * N for p in parts]
    for u, part in zip(units, parts, strict=True):
        assert u.activation.layer == "rnn"
        np.testing.assert_allclose(u.idle, part.mean(axis=(0, 1)))


def test_the_gates_of_an_lstm():
    x = sg.input("x", ("n", TIME, IN), "float64")
    _, (h, _) = sg.nn.lstm(x, WIDTH)
    loss = sg.sum(h**2)
    params = {n: 4 * a for n, a in sg.init(loss, seed=1).items()}
    units = Instrument(model_of(loss))({"x": DATA["x"]}, params).units
    h, c, gates = np.zeros((N, WIDTH)), np.zeros((N, WIDTH)), []
    for t in range(TIME):
        z = DATA["x"][:, t] @ params["lstm/W"] + h @ params["lstm/U"] + params["lstm/b"]
        i, f, g, o = np.split(z, 4, axis=1)
        i, f, o = (1 / (1 + np.exp(-v)) for v in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        gates.append([*(4 * s * (1 - s) for s in (i, f, o)), 1 - np.tanh(g) ** 2,
                      1 - np.tanh(c) ** 2])  # fmt: skip
    expected = (np.array(gates) < FLAT).mean(axis=(0, 2))
    found = [u.idle for u in units]
    assert [u.activation.gate for u in units].count(True) == 3
    for one in expected:
        assert any(np.allclose(one, other) for other in found)
    low = np.sort([u.shut.mean() for u in units if u.activation.gate])
    assert (low < [u.idle.mean() for u in units if u.activation.gate]).all()


def test_what_is_expected_through_time_is_measured():
    loss = sequences.last("rnn", act=lambda t: t, recurrent_init=models.normal(1.1))
    found = sg.diagnose(loss, sequences.adding())
    (journey,), (foreseen,) = found.evidence.start.journeys, found.prediction.loops
    assert foreseen.steps == journey.steps == sequences.TIME - 1
    assert 1 / 3 < foreseen.change / journey.change < 3
    assert foreseen.most > journey.change
    assert "a step back" in found.table()
    assert found.healthy, str(found)


def test_loops_are_foreseen_without_data():
    explodes = sequences.last("rnn", act=lambda t: t, recurrent_init=models.normal(2))
    assert sg.diagnose(explodes).findings[0].kind == "exploding"
    fades = sequences.last("rnn", recurrent_init=models.normal(0.2))
    (finding,) = sg.diagnose(fades).findings
    assert (finding.kind, finding.where) == ("vanishing", "rnn, through time")
    assert "whatever the data" in finding.evidence


def test_a_gate_that_is_shut():
    loss = sequences.last("lstm", 8)
    params = sg.init(loss)
    params["lstm/b"][:8] = -12.0  # nothing enters the cell
    (finding, *_) = sg.diagnose(loss, sequences.adding(), params).findings
    assert (finding.kind, finding.where) == ("saturated", "lstm")
    assert "1 gate lets nothing pass at the start" in finding.evidence


def test_dropout_and_batch_norm_are_measured_as_in_training():
    x = sg.input("x", ("n", 6))
    h = sg.relu(sg.nn.batch_norm(sg.nn.linear(x, 8, name="one"), name="norm"))
    loss = sg.mean(sg.nn.linear(sg.nn.dropout(h, 0.5), 1, name="two") ** 2)
    data = {"x": rng.normal(3, 2, size=(64, 6)).astype("float32")}
    trainer = sg.Trainer(loss, sg.optim.Adam(1e-2))
    trainer.fit(data, 5, batch_size=16, progress=False)
    found = sg.diagnose(trainer, data)
    assert found.healthy, str(found)
    assert [row["layer"] for row in found.layers] == ["one", "norm", "two"]
    values = [v for v, _ in found.evidence.now.sites["norm"]]
    assert values[-1] == pytest.approx(1, rel=0.2)  # by the batch, not running means


def test_frozen_weights_beside_low_rank_ones_are_notes():
    x = sg.input("x", ("n", 4))
    h = sg.relu(x @ sg.nn.lora(sg.param("base", (4, 6)), 2))
    loss = sg.mean((h @ sg.param("head", (6, 1), trainable=False)) ** 2)
    data = {"x": rng.normal(size=(32, 4)).astype("float32")}
    found = sg.diagnose(loss, data)
    assert {(f.kind, f.where) for f in found.findings} == {
        ("frozen", "base"),
        ("frozen", "head"),
    }
    assert found.healthy, str(found)


def test_given_weights_may_be_frozen():
    x = sg.input("x", ("n", 4))
    h = sg.relu(x @ sg.param("base", (4, 6), trainable=False))
    loss = sg.mean((h @ sg.param("head", (6, 1))) ** 2)
    data = {"x": rng.normal(size=(32, 4)).astype("float32")}
    assert not sg.diagnose(loss, data).healthy
    assert sg.diagnose(loss, data, sg.init(loss)).healthy


def test_layers_of_a_loss_with_derivatives_are_in_forward_order():
    found = model_of(losses.physics(3))
    assert [a.name for a in found.layers] == ["layer1", "layer2", "layer3", "out"]
    assert [len(a.sites) for a in found.layers] == [1, 1, 1, 1]


def test_the_bound_at_the_data_is_shown():
    x = sg.input("x", ("n", 4))
    h = sg.nn.layer_norm(sg.nn.linear(x, 8, name="one"), name="norm")
    loss = sg.mean(sg.nn.linear(h, 1, name="two") ** 2)
    data = {"x": rng.normal(size=(32, 4)).astype("float32")}
    found = sg.diagnose(loss, data)
    for row in found.layers:
        assert row["gradient_norm"] <= row["bound_at_data"] <= row["bound"]
    first = found.layers[0]
    assert first["bound_at_data"] < first["bound"] / 3
    assert "bound at data" in found.table()
    assert "bound at data" in found._repr_html_()
    blind = sg.diagnose(loss)
    assert "bound" in blind.columns
    assert "bound_at_data" not in blind.columns

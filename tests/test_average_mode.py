"""Layers that differ in training: looked at as in training, but without chance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import symgrad as sg
from symgrad.declare.mode import on_average
from symgrad.declare.tensor import topological
from symgrad.explainer.subject import Subject

rng = np.random.default_rng(0)
DATA = {"x": rng.normal(3, 2, (40, 6)), "y": rng.normal(size=(40, 6))}


def leaves():
    x, y = (sg.input(n, ("n", 6), "float64") for n in "xy")
    return x, y, sg.param("W", (6, 6), dtype="float64")


def normalised():
    x, y, W = leaves()
    h = sg.relu(sg.nn.batch_norm(x @ W, name="bn"))
    h = x + sg.nn.dropout(h @ sg.param("V", (6, 6), dtype="float64"), 0.5)
    return sg.nn.mse(h, y)


def reference(params):
    z = DATA["x"] @ params["W"]
    z = (z - z.mean(0)) / jnp.sqrt(z.var(0) + 1e-5)
    h = jax.nn.relu(z * params["bn/scale"] + params["bn/bias"]) @ params["V"]
    return jnp.mean((DATA["x"] + h - DATA["y"]) ** 2)


@pytest.fixture(scope="module")
def trainer():
    made = sg.Trainer(normalised(), sg.optim.SGD(0.02), seed=3)
    for _ in range(25):
        made.step(**DATA)
    return made


def test_measured_gradients_are_those_of_the_batch(trainer):
    params = {n: jnp.asarray(v) for n, v in trainer.params.items()}
    with jax.enable_x64(True):
        gradients = jax.grad(reference)(params)
    diagnosis = sg.diagnose(trainer, DATA)
    assert diagnosis.healthy
    measured = diagnosis.evidence.now.gradients
    assert set(measured) == {"W", "V", "bn/scale", "bn/bias"}
    for name, norm in measured.items():
        assert norm == pytest.approx(float(jnp.linalg.norm(gradients[name])), rel=1e-5)
    bounds = sg.gradient_bound(
        trainer.loss,
        [t for t in topological([trainer.loss]) if t.name in measured],
        params=trainer.params,
        data=DATA,
        measure=True,
    )
    for bound in bounds:
        assert measured[bound.name] <= bound.at_data <= bound.value


@pytest.mark.parametrize("view", ["forward", "gradient", "flow", "highways"])
def test_every_view(view, trainer):
    loss = trainer.loss
    picture = sg.draw(loss, view=view, data=DATA, params=trainer.params)
    assert "training" not in picture.svg
    assert "running" not in picture.svg
    assert "<html" in picture.html


def test_what_an_explanation_measures(trainer):
    subject = Subject(trainer.loss, DATA, trainer.params)
    value = float(subject.value_of(subject.loss))
    assert value == pytest.approx(float(reference(trainer.params)), rel=1e-4)


def test_what_is_left_to_chance_is_left_out():
    x, _, W = leaves()
    plain, dropped = x @ W, sg.nn.dropout(x, 0.5) @ W
    assert on_average([dropped])[0] is plain
    assert on_average([plain])[0] is plain
    (found,) = on_average([sg.nn.batch_norm(sg.nn.dropout(x, 0.5), name="bn")])
    names = {t.name for t in topological([found])}
    assert "bn/running_mean" not in names
    assert found.shape == x.shape

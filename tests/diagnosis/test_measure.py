"""What is measured: gradient norms, dead units, sharpness, noise, the first NaN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import symgrad as sg
from symgrad.diagnosis.layers import model_of
from symgrad.diagnosis.measure import Instrument
from symgrad.diagnosis.sharpness import Sharpness, noise_scale
from symgrad.diagnosis.weights import gains

rng = np.random.default_rng(0)
DATA = {"x": rng.normal(size=(40, 5)), "y": rng.normal(size=(40, 3))}


def model(activation=sg.relu):
    x = sg.input("x", ("n", 5), "float64")
    y = sg.input("y", ("n", 3), "float64")
    W, b = sg.param("W", (5, 8), dtype="float64"), sg.param("b", (8,), dtype="float64")
    V = sg.param("V", (8, 3), dtype="float64")
    return sg.mean((activation(x @ W + b) @ V - y) ** 2)


def reference(params, activation):
    h = activation(DATA["x"] @ params["W"] + params["b"])
    return jnp.mean((h @ params["V"] - DATA["y"]) ** 2)


@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid"])
def test_norms_and_sharpness_are_jaxs(name):
    loss = model(getattr(sg, name))
    found, params = model_of(loss), sg.init(loss, seed=1)
    measured = Instrument(found)(DATA, params)
    theirs = getattr(jnp, name, None) or getattr(jax.nn, name)
    value, gradient = jax.value_and_grad(reference)(params, theirs)
    flat, back = ravel_pytree(params)
    H = jax.hessian(lambda v: reference(back(v), theirs))(flat)
    assert measured.loss == pytest.approx(float(value), rel=1e-12)
    for key, g in gradient.items():
        assert measured.gradients[key] == pytest.approx(
            float(jnp.linalg.norm(g)), rel=1e-10
        )
    largest = float(np.linalg.eigvalsh(np.asarray(H))[-1])
    sharpness = Sharpness(found, found.trainable)(DATA, params)
    assert sharpness == pytest.approx(largest, rel=1e-3)


@pytest.mark.parametrize("dead", [[], [0], [2, 5], list(range(8))])
def test_dead_units_are_named_exactly(dead):
    loss = model()
    params = sg.init(loss, seed=0)
    params["b"][:] = 0.5
    params["b"][dead] = -100.0
    (units,) = Instrument(model_of(loss))(DATA, params).units
    assert units.dead == dead
    assert units.activation.layer == "W"


def test_channels_of_a_convolution_are_units():
    x = sg.input("x", ("n", 1, 8, 8))
    K = sg.param("K", (6, 1, 3, 3))
    b = sg.param("b", (6,))
    h = sg.relu(sg.conv2d(x, K) + b.reshape((6, 1, 1)))
    loss = sg.mean((h.reshape((-1, 6 * 36)) @ sg.param("V", (216, 2))) ** 2)
    params = sg.init(loss, seed=0)
    params["b"][:] = 1.0
    params["b"][[1, 4]] = -100.0
    data = {"x": rng.normal(size=(10, 1, 8, 8)).astype("float32")}
    (units,) = Instrument(model_of(loss))(data, params).units
    assert units.dead == [1, 4]


def test_saturated_units_are_counted():
    loss = model(sg.tanh)
    params = sg.init(loss, seed=0)
    params["b"][:] = 0.0
    params["b"][[1, 6]] = 50.0
    (units,) = Instrument(model_of(loss))(DATA, params).units
    assert units.flat == [1, 6]


def test_norms_beyond_float32_are_measured():
    x = sg.input("x", ("n", 4))
    W = sg.param("W", (4, 4), init=1e-30)
    loss = sg.mean((x @ W) ** 2)
    data = {"x": np.ones((3, 4), "float32")}
    found = Instrument(model_of(loss))(data, sg.init(loss))
    assert found.gradients["W"] == pytest.approx(8e-30, rel=0.01)


def test_layers_without_scopes_hold_their_biases():
    layers = model_of(model()).layers
    assert {n.name: [p.name for p in n.params] for n in layers} == {
        "W": ["W", "b"],
        "V": ["V"],
    }


def test_noise_scale_of_a_known_mixture():
    gradients = 1.0 + rng.normal(size=(20000, 4)) * 3  # |G|² = 4, tr Σ = 36
    batches = np.linalg.norm(gradients.reshape(-1, 10, 4).mean(1), axis=1)
    whole = float(np.linalg.norm(gradients.mean(0)))
    assert noise_scale(batches, 10, whole, 20000) == pytest.approx(9.0, rel=0.1)


def test_the_first_nan_is_named():
    x = sg.input("x", ("n", 2))
    with sg.scope("inner"):
        h = sg.log(x @ sg.param("W", (2, 2), init=-1.0))
    loss = sg.mean(h)
    data = {"x": np.ones((3, 2), "float32")}
    said = Instrument(model_of(loss)).first_nan(data, sg.init(loss))
    assert "'log'" in said
    assert "inner" in said


def test_weights_inside_a_loop_are_seen():
    x = sg.input("x", ("n", 5, 8))
    _, (h, _) = sg.nn.lstm(x, 16, name="cell")
    loss = sg.mean(sg.nn.linear(h, 1, name="out") ** 2)
    params = sg.init(loss)
    params["cell/U"] = 10 * params["cell/U"]
    data = {"x": np.random.default_rng(0).normal(size=(32, 5, 8))}
    run = sg.diagnose(loss, data, params).evidence.run
    scale = gains(run.model, run.start)
    assert set(scale) == {"cell/W", "cell/U", "out/W"}
    assert scale["cell/U"] > 4
    assert 0.5 < scale["cell/W"] < 2

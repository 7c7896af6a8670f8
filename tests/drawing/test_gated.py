"""Gated and scaled shortcuts: highway networks, ReZero, LayerScale."""

import numpy as np
import pytest

import symgrad as sg
from symgrad.drawing import draw
from symgrad.drawing.condense import condense
from symgrad.drawing.highways import local_derivative, road_factor, shares
from symgrad.drawing.labels import Labels
from symgrad.drawing.residuals import residuals, roads

WIDE = 5


def highway(h, f):
    """Srivastava, Greff & Schmidhuber, "Highway networks", 2015."""
    t = sg.sigmoid(h @ sg.param("T", (WIDE, WIDE)) + sg.param("c", (WIDE,)))
    return t * f + (1 - t) * h


def swapped(h, f):
    """The update of a GRU: the gate keeps what was there."""
    z = sg.sigmoid(h @ sg.param("T", (WIDE, WIDE)))
    return z * h + (1 - z) * f


KINDS = {
    "highway": (highway, "(1 − t) + ∂f/∂x"),
    "gru": (swapped, "t + ∂f/∂x"),
    "rezero": (lambda h, f: h + sg.param("a", ()) * f, "1 + a ∂f/∂x"),
    "layerscale": (lambda h, f: sg.param("g", (WIDE,)) * f + h, "1 + diag(g) ∂f/∂x"),
    "scaled": (lambda h, f: sg.param("a", ()) * h + f, "a + ∂f/∂x"),
}


def model(kind, blocks=3):
    h = sg.input("x", ("n", WIDE))
    for n in range(blocks):
        with sg.scope(f"block{n + 1}"):
            f = sg.relu(h @ sg.param("V", (WIDE, 7))) @ sg.param("W", (7, WIDE))
            h = KINDS[kind][0](h, f)
    data = {"x": np.random.default_rng(0).normal(size=(4, WIDE)).astype("float32")}
    return sg.mean(h**2), data


@pytest.mark.parametrize("kind", KINDS)
def test_shortcuts_are_found_with_their_factor(kind):
    loss, _ = model(kind)
    (road,) = roads(loss)
    assert len(road.residuals) == 3
    assert {local_derivative(r) for r in road.residuals} == {KINDS[kind][1]}
    assert [r.name for r in road.residuals] == ["block1", "block2", "block3"]


def test_the_factor_is_in_the_picture():
    loss, data = model("highway")
    text = draw(loss, "highways", data=data).dot
    assert "∂y/∂x = (1 − t) + ∂f/∂x" in text
    assert text.count('label="1 − t"') == 3


def test_the_shares_of_a_highway_are_those_of_its_terms():
    """∂L/∂x = (1 − t) ⊙ ȳ along the road; the rest comes through block and gate."""
    loss, data = model("highway", blocks=1)
    params = sg.init(loss, seed=0)
    (r,) = residuals(loss)
    (found,) = shares(loss, [r], data, params)
    x = data["x"].astype(float)
    p = {n.removeprefix("block1/"): v.astype(float) for n, v in params.items()}

    def value(x):
        t = 1 / (1 + np.exp(-(x @ p["T"] + p["c"])))
        f = np.maximum(x @ p["V"], 0) @ p["W"]
        return t, t * f + (1 - t) * x

    t, y = value(x)
    arriving = 2 * y / y.size
    whole, step = np.zeros_like(x), 1e-6
    for at in np.ndindex(x.shape):
        e = np.zeros_like(x)
        e[at] = step
        up, down = value(x + e)[1], value(x - e)[1]
        whole[at] = ((up**2).mean() - (down**2).mean()) / (2 * step)
    road = (1 - t) * arriving
    expected = [np.linalg.norm(v) for v in (arriving, road, whole - road, whole)]
    measured = [found.arriving, found.road, *found.blocks, found.whole]
    np.testing.assert_allclose(measured, expected, rtol=1e-4)


def test_what_is_no_shortcut():
    """A function of single elements times x is an activation: x σ(x)."""
    x, W = sg.input("x", ("n", WIDE)), sg.param("W", (WIDE, WIDE))
    found = residuals(sg.sum(x * sg.sigmoid(x) + sg.relu(x @ W)))
    assert all(r.gate is None for r in found)
    assert road_factor(*residuals(sg.sum(0.5 * x + sg.relu(x @ W)))) == "1/2"


@pytest.mark.parametrize(
    "name",
    ["relu", "leaky_relu", "gelu", "silu", "mish", "softplus", "elu", "selu"],
)
def test_activations_have_titles(name):
    x = sg.input("x", ("n", 4))
    z = x @ sg.param("W", (4, 4))
    t = getattr(sg, name)(z) @ sg.param("V", (4, 4))
    boxes = condense([t])
    assert list(Labels(boxes, t).titles.values()) == ["linear", name, "linear"]
    rounded = 0.5 * z * (1 + sg.erf(z / 1.4142135)) @ sg.param("V", (4, 4))
    assert "gelu" in Labels(condense([rounded]), rounded).titles.values()

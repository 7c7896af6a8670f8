"""The picture of residual roads: what it says, folds and refuses."""

import re

import numpy as np
import pytest

import symgrad as sg
from symgrad.drawing import draw
from symgrad.drawing.highways import local_derivative, shares
from symgrad.drawing.layout import render
from symgrad.drawing.residuals import residuals
from symgrad.errors import GraphError, ShapeError
from tests.drawing.models import mlp, residual, transformer
from tests.drawing.test_views import NASTY


def words(dot):
    """Return the labels, without markup and justification."""
    found = re.findall(r"label=<(.*?)>, |label=\"(.*?)\"", dot)
    texts = [re.sub(r"<[^>]+>", "|", a or b).removesuffix("\\l") for a, b in found]
    return [t.removesuffix("\\r").strip("|") for t in texts]


@pytest.fixture(scope="module")
def compared():
    loss, data = residual(3)
    return loss, data, draw(loss, "highways", data=data, compare="without_residuals")


def test_road_and_blocks_carry_their_measured_shares(compared):
    loss, data, picture = compared
    said = words(picture.dot)
    for s in shares(loss, residuals(loss), data):
        assert f"{s.by_road:.0%}" in said
        assert f"{1 - s.by_road:.0%}" in said
    assert said.count("∂y/∂x = 1 + ∂f/∂x") == 3
    assert "∂y/∂x = 1 + ∂f/∂x   at 3 residual sums" in said
    assert any("linear · relu · linear" in w for w in said)


def test_both_models_are_drawn_on_one_scale(compared):
    said = words(compared[2].dot)
    assert {"With residuals", "Without residuals"} <= set(said)
    assert sum(w.startswith("‖∂L/∂x‖ at the start") for w in said) == 2
    assert render(compared[2].dot, "png").startswith(b"\x89PNG")
    assert "<svg" in compared[2].svg


def test_long_roads_show_their_ends():
    loss, data = residual(40)
    said = words(draw(loss, "highways", data=data).dot)
    assert any(re.match(r"⋮  20 more sums, \d+% to \d+% by the road", w) for w in said)
    assert any(w.startswith("block40") for w in said)
    assert "block20" not in said
    every = words(draw(loss, "highways", data=data, collapse=None).dot)
    assert {f"block{n}" for n in range(1, 41)} <= set(every)


def test_blocks_of_one_scope_are_told_apart():
    x, y = sg.input("x", ("n", 4, 8)), sg.input("y", ("n", 4, 8))
    h = sg.nn.transformer_block(x, 2, name="block1")
    data = {name: np.ones((2, 4, 8), "f") for name in "xy"}
    said = words(draw(sg.mean((h - y) ** 2), "highways", data=data).dot)
    titles = [w for w in said if w.startswith("block1")]
    assert titles[0].startswith("block1 · attention|||normalise · linear · matmul")
    assert titles[1].startswith("block1 · mlp|||normalise · linear · gelu")


def test_a_road_through_relu_and_projection():
    h = x = sg.input("x", ("n", 2))
    for n, wide in enumerate((2, 4)):
        f = sg.relu(h @ sg.param(f"V{n}", (2, wide))) @ sg.param(f"W{n}", (wide, 4))
        h = sg.relu(h @ sg.param(f"P{n}", (2, 4)) + f) @ sg.param(f"Q{n}", (4, 2))
    data = {"x": np.ones((3, 2), "f")}
    said = words(draw(sg.sum(h), "highways", data=data).dot)
    assert "·P0ᵀ" in said
    assert "relu · linear" in said
    assert "∂y/∂x = ·P1ᵀ + ∂f/∂x" in said
    assert x is not h


@pytest.mark.parametrize("name", NASTY)
def test_scopes_are_text(name):
    x = sg.input(name, ("n", 2))
    with sg.scope(name):
        loss = sg.sum(x + sg.tanh(x @ sg.param(name, (2, 2))))
    picture = draw(loss, "highways", data={name: np.ones((3, 2), "f")})
    assert "<svg" in picture.svg


def test_what_cannot_be_drawn_is_said():
    loss, data = mlp()
    with pytest.raises(GraphError, match="no residual sum to draw as a highway"):
        draw(loss, "highways", data=data)
    with pytest.raises(GraphError, match=r"none for 'y' .*data="):
        draw(transformer()[0], "highways")
    with pytest.raises(GraphError, match="compare='plain' does not go with"):
        draw(loss, "highways", data=data, compare="plain")
    with pytest.raises(GraphError, match="goes with 'highways'"):
        draw(loss, compare="without_residuals")
    x = sg.input("x", ("n", 2))
    with pytest.raises(ShapeError, match="summed first"):
        draw(x, "highways")


def test_blocks_of_a_transformer_are_named():
    x = sg.input("x", ("batch", "time", 8))
    for n in range(2):
        x = sg.nn.transformer_block(x, heads=2, name=f"block{n + 1}")
    data = {"x": np.random.default_rng(0).normal(size=(2, 3, 8)).astype("f")}
    found = words(draw(sg.mean(x**2), view="highways", data=data).dot)
    for title in ("block1 · attention", "block1 · mlp", "block2 · mlp"):
        assert any(w.startswith(title) for w in found)


def test_the_scale_of_a_norm_belongs_to_its_block():
    x = sg.input("x", ("n", 4))
    f = sg.nn.layer_norm(sg.relu(x @ sg.param("W", (4, 4))))
    (found,) = residuals(x + f)
    assert local_derivative(found) == "1 + ∂f/∂x"
    (found,) = residuals(x + sg.param("g", (4,)) * sg.relu(x @ sg.param("W", (4, 4))))
    assert local_derivative(found) == "1 + diag(g) ∂f/∂x"

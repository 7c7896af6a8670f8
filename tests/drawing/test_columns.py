"""Long pictures in columns, the other direction, and leaves near their readers."""

import re

import pytest

import symgrad as sg
from symgrad.drawing import draw
from symgrad.drawing.columns import columns
from symgrad.errors import GraphError
from tests.drawing.models import mlp, residual, rng


def size(svg):
    return [
        float(x) for x in re.search(r'width="(\d+)pt" height="(\d+)pt"', svg).groups()
    ]


def deep(layers):
    h, y = sg.input("x", ("n", 4)), sg.input("y", ("n", 4))
    for n in range(layers):
        with sg.scope(f"layer{n + 1}"):
            h = sg.sigmoid(h @ sg.param("W", (4, 4)) + sg.param("b", (4,)))
    data = {name: rng.normal(size=(3, 4)).astype("f") for name in "xy"}
    return sg.mean((h - y) ** 2), data


def test_a_long_chain_fits_a_page():
    loss, data = deep(20)
    width, height = size(draw(loss, "flow", data=data).svg)
    assert 0.8 < width / height < 2.5
    width, height = size(draw(loss, "flow", data=data, direction="down").svg)
    assert height > 4 * width


def test_every_layer_of_a_long_chain_stays():
    loss, data = deep(60)
    dot = draw(loss, "flow", data=data).dot
    assert all(f"<b>layer{n}</b>" in dot for n in range(1, 61))


def test_a_chain_goes_to_the_right():
    loss, _ = mlp()
    wide, high = (size(draw(loss, direction=d).svg) for d in ("right", "down"))
    assert wide[0] > wide[1]
    assert high[0] < high[1]


def test_unknown_directions_are_named():
    with pytest.raises(GraphError, match="'up' is unknown; use one of 'auto', 'down'"):
        draw(mlp()[0], direction="up")


def test_columns_are_cut_where_few_lines_pass():
    links = [(f"n{k}", f"n{k + 1}") for k in range(29)]
    links += [(f"n{k}", "n16") for k in range(8, 12)]  # no cut within these
    found = columns([f"n{k}" for k in range(30)], links)
    assert found["n10"] == found["n14"]
    assert sorted(set(found.values())) == [0, 1, 2]
    assert columns([f"n{k}" for k in range(9)], links[:8]) is None
    assert columns([], []) is None


def tied(steps=4):
    h = x = sg.input("x", ("n", 4))
    W = sg.param("W", (4, 4))
    for n in range(steps):
        with sg.scope(f"step{n + 1}"):
            h = sg.tanh(sg.exp(h @ W) + x)
    return sg.mean(h * h), {"x": rng.normal(size=(3, 4)).astype("f")}


def test_shared_leaves_stand_beside_each_reader():
    loss, data = tied()
    for view in ("forward", "gradient", "flow"):
        dot = draw(loss, view, data=data).dot
        assert dot.count("4 × 4 · shared") == 4
        assert dot.count("n × 4 · shared") == 4
        assert "shared: one tensor, drawn beside each of its readers" in dot


def test_the_gradient_of_a_shared_leaf_is_a_sum():
    dot = draw(tied()[0], "gradient").dot
    assert "∂L/∂W = (∂L/∂W)₁ + … + (∂L/∂W)₄" in dot
    assert all(f"(∂L/∂W){k}<" in dot for k in "₁₂₃₄")
    x, W, V = sg.input("x", ("n", 4)), sg.param("W", (4, 4)), sg.param("V", (4, 4))
    h = sg.relu(sg.relu(sg.relu(x @ W) @ V) @ V) @ W
    dot = draw(sg.mean(h * h), "gradient").dot
    assert "∂L/∂W = (∂L/∂W)₁ + (∂L/∂W)₂" in dot
    assert "∂L/∂V =" not in dot


def test_near_readers_share_one_leaf():
    dot = draw(residual(1)[0]).dot  # x is read by a block and by the sum past it
    assert "shared" not in dot

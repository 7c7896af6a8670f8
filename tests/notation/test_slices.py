"""A slice that stops early is no whole tensor, whatever formula it stands in."""

import pytest

import symgrad as sg

x, v = sg.input("x", ("n", 5)), sg.input("v", (6,))
W, U = sg.param("W", (5, 4)), sg.param("U", (2, 2))


@pytest.mark.parametrize(
    ("t", "text"),
    [
        (x[:, :3], "x[:, :3]"),
        (x[:2], "x[:2]"),
        ((x @ W)[:, :2], "x W[:, :2]"),
        (sg.tanh(x)[:, :2], "tanh(x[:, :2])"),
        (x[:, :2] @ U, "x[:, :2] U"),
        (sg.sum(v[:3]), "Σ(v[:3])"),
        (sg.sum((x[:, :2] @ W[:2] - x[:, :4]) ** 2), "‖x[:, :2] W[:2] − x[:, :4]‖²"),
        (sg.sum((v[1:] - v[:-1]) ** 2), "y = Σ_i (v_{1+i} − v_i)²"),
        (x[:3, :2].T, "x[:3, :2]ᵀ"),
        (x + sg.sum(x, axis=0), "x + 𝟏 𝟏ᵀ x"),
    ],
)
def test_a_part_is_written_as_one(t, text):
    assert sg.formula(t) == text

"""Residual sums are found in the graph, followed as roads, measured, and taken out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import symgrad as sg
from symgrad.drawing.highways import local_derivative, shares
from symgrad.drawing.residuals import residuals, roads, without_residuals
from tests.drawing.models import conv, mlp, residual, transformer

D = 3
rng = np.random.default_rng(0)


def normalised(h):
    spread = sg.sqrt(sg.var(h, axis=-1, keepdims=True) + 1e-5)
    return (h - sg.mean(h, axis=-1, keepdims=True)) / spread


def weight(name):
    return sg.param(name, (D, D))


def start():
    return sg.input("x", ("n", D))


def f(x, name="W"):
    return sg.relu(x @ weight(name)) @ weight(name + "2")


@pytest.mark.parametrize(
    ("build", "derivative"),
    [
        (lambda x: x + f(x), "1 + ∂f/∂x"),
        (lambda x: f(x) + x, "1 + ∂f/∂x"),
        (lambda x: x + f(normalised(x)), "1 + ∂f/∂x"),
        (lambda x: normalised(x + f(x)), "1 + ∂f/∂x"),
        (lambda x: x + (f(x) + sg.param("b", (D,))), "1 + ∂f/∂x"),
        (lambda x: x + f(x) + f(x, "V"), "1 + ∂f1/∂x + ∂f2/∂x"),
        (lambda x: x / 2 + f(x), "1/2 + ∂f/∂x"),
        (lambda x: x @ weight("P") + f(x), "·Pᵀ + ∂f/∂x"),
        (lambda x: f(x) + x @ weight("P"), "·Pᵀ + ∂f/∂x"),
        (lambda x: x + sg.param("a", ()) * sg.tanh(x), "1 + a ∂f/∂x"),
    ],
)
def test_a_residual_sum_is_found(build, derivative):
    x = start()
    (found,) = residuals(sg.sum(build(x) ** 2))
    assert found.stream is x
    assert local_derivative(found) == derivative
    assert found.projected == ("P" in derivative)


def test_a_road_that_only_moves_elements_is_one():
    y = sg.input("y", ("n", 2, 3))
    flat = y.reshape(("n", 6))
    there = sg.relu(sg.tensordot(y, sg.param("W", (2, 3, 6)), axes=2))
    (found,) = residuals(sg.sum((there + flat) ** 2))
    assert local_derivative(found) == "1 + ∂f/∂x"
    x = start()
    (found,) = residuals(sg.sum((x.T + f(x).T) ** 2))
    assert (found.stream is x, local_derivative(found)) == (True, "1 + ∂f/∂x")


def test_a_strided_projection_is_named_and_fits():
    """As in residual networks on images, where the resolution halves."""
    x = sg.input("x", ("n", 4, 6, 6))
    with sg.scope("block"):
        h = sg.relu(sg.nn.conv2d(x, 8, stride=2, padding=1, name="a"))
        road = sg.nn.conv2d(x, 8, 1, stride=2, name="road")
        loss = sg.mean((sg.nn.conv2d(h, 8, padding=1, name="b") + road) ** 2)
    (found,) = residuals(loss)
    assert found.projected
    assert local_derivative(found) == "∂s/∂x + ∂f/∂x"
    data = {"x": np.random.default_rng(0).normal(size=(2, 4, 6, 6))}
    picture = sg.draw(loss, view="highways", data=data).dot
    assert 'label="conv2d' in picture
    assert 'label="𝟙' not in picture


def test_a_sum_over_an_axis_is_no_road():
    """The logarithms of determinants in a normalising flow (Dinh et al. 2017)."""
    x = start()
    scales = sg.tanh(x @ weight("W"))
    total = sg.sum(scales, axis=1)
    total = total + sg.sum(sg.tanh(scales @ weight("V")), axis=1)
    assert residuals(sg.mean(total)) == []


def test_a_projection_may_be_normalised():
    x = start()
    (found,) = residuals(normalised(x @ weight("P")) + f(x))
    assert found.stream is x
    assert found.projected


@pytest.mark.parametrize(
    "build",
    [
        lambda x: x @ weight("W") + sg.param("b", (D,)),
        lambda x: x @ weight("W") + x @ weight("V"),
        lambda x: sg.relu(x @ weight("W")) + sg.tanh(x @ weight("V")),
        lambda x: x + 0.04 * x**3,
        lambda x: x - sg.mean(x),
        lambda x: x + sg.input("z", (D,)),
        lambda x: (
            x @ (sg.param("F", (D, D), trainable=False) + weight("A") @ weight("B"))
        ),
    ],
)
def test_other_sums_are_none(build):
    assert residuals(sg.sum(build(start()))) == []


def test_recurrences_are_none():
    x = sg.input("x", ("n", 4, D))
    h = sg.zeros((D,)) + x[:, 0] @ weight("W")
    for t in range(1, 4):
        h = sg.tanh(x[:, t] @ weight("W") + h @ weight("U"))
    assert residuals(sg.sum(h)) == []


def test_nested_sums_are_roads_in_blocks():
    x = start()
    inner = x + f(x, "V")
    (outer_road, inner_road) = roads(sg.sum(x + f(inner)))
    assert outer_road.owner is None
    assert inner_road.owner is outer_road.residuals[0]


def test_a_road_goes_through_what_is_between():
    x = start()
    h = x
    for n in range(3):
        h = sg.relu(h + f(h, f"W{n}"))
    (road,) = roads(sg.sum(h))
    assert [len(s) for s in road.stations] == [0, 1, 1]
    h = normalised(x + f(x))
    (post,) = roads(sg.sum(normalised(h + f(h))))
    assert len(post.residuals) == 2
    assert len(post.stations[1]) > 4


def test_two_blocks_a_layer_in_a_transformer():
    loss, _ = transformer(3)
    (road,) = roads(loss)
    names = [r.name for r in road.residuals]
    assert names[:2] == ["block1/attention", "block1/mlp"]
    assert len(names) == 6
    assert not residuals(mlp()[0])
    assert not residuals(conv()[0])


def test_many_blocks_are_found_in_time():
    loss, _ = residual(400)
    (road,) = roads(loss)
    assert len(road.residuals) == 400


def relu(x):
    return jnp.maximum(x, 0)


def test_shares_are_jax_gradients():
    loss, data = residual(3)
    params = {k: np.asarray(v) for k, v in sg.init(loss, seed=1).items()}
    found = shares(loss, residuals(loss), data, params)

    def block(n, h):
        V, W = (params[f"block{n}/{k}"].astype("d") for k in "VW")
        return relu(h @ V) @ W

    def after(n, h):
        for k in range(n, 4):
            h = h + block(k, h)
        return jnp.mean((h - data["y"]) ** 2)

    with jax.enable_x64(True):
        h = jnp.asarray(data["x"], "float64")
        for n, s in enumerate(found, 1):
            y, back = jax.vjp(lambda h, n=n: block(n, h), h)
            whole = jax.grad(lambda h, n=n: after(n, h))(h)
            g = jax.grad(lambda h, n=n: after(n + 1, h))(h + y)
            expected = [np.linalg.norm(v) for v in (g, g, *back(g), whole)]
            got = [s.arriving, s.road, *s.blocks, s.whole]
            np.testing.assert_allclose(got, expected, rtol=1e-5)
            share = expected[1] / (expected[1] + expected[2])
            assert s.by_road == pytest.approx(share, rel=1e-5)
            h = h + y


def test_a_projected_road_is_measured_by_itself():
    x, P = start(), weight("P")
    loss = sg.sum(x @ P + f(x))
    values = {k: np.asarray(v) for k, v in sg.init(loss, seed=0).items()}
    data = {"x": rng.normal(size=(2, D)).astype("f")}
    (s,) = shares(loss, residuals(loss), data, values)
    assert s.road == pytest.approx(np.linalg.norm(np.ones((2, D)) @ values["P"].T))


def test_a_block_without_slope_sends_nothing():
    x = start()
    loss = sg.sum(x + sg.where(x @ weight("W") > 0, 1.0, 2.0))
    (s,) = shares(loss, residuals(loss), {"x": np.ones((2, D), "f")})
    assert s.blocks == (0.0,)
    assert s.by_road == 1
    assert local_derivative(s.residual) == "1"


def test_without_residuals_computes_the_plain_chain():
    loss, data = residual(3)
    plain = without_residuals(loss)[loss]
    params = {k: np.asarray(v) for k, v in sg.init(loss, seed=1).items()}
    inputs = inputs_of(plain)
    found = sg.compile(inputs, plain)(*(data[t.name] for t in inputs), params=params)
    h = data["x"].astype("d")
    for n in (1, 2, 3):
        h = np.maximum(h @ params[f"block{n}/V"], 0) @ params[f"block{n}/W"]
    assert float(found) == pytest.approx(np.mean((h - data["y"]) ** 2), rel=1e-5)
    chain, _ = mlp()
    assert without_residuals(chain)[chain] is chain


def inputs_of(t):
    from symgrad.declare.tensor import Input, topological

    return [n for n in topological([t]) if isinstance(n.op, Input)]

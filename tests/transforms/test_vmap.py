"""The conventions of vmap, against JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import symgrad as sg
from tests.transforms.functions import XP, W, assert_same

RNG = np.random.default_rng(3)
B, C = RNG.normal(size=(3, 4)), RNG.normal(size=(4, 3))
T = RNG.normal(size=(2, 3, 4))


def product(xp):
    return lambda x, y: xp.sin(x) * y


#: (in_axes, out_axes, arguments)
AXES = [
    (0, 0, (B, B)),
    (1, 0, (B, B)),
    (-1, 0, (B, B)),
    ((0, 1), 0, (B, C)),
    ((0, None), 0, (B, B[0])),
    ((None, 0), 0, (B[0], B)),
    ([0, -1], 0, (B, C)),
    (0, 1, (B, B)),
    (0, -1, (B, B)),
    (1, 1, (T, T)),
    (2, 1, (T, T)),
    ((-2, -2), -2, (T, T)),
    ((1, None), 0, (T, 2.0)),
]


@pytest.mark.parametrize(("in_axes", "out_axes", "args"), AXES)
def test_axes(in_axes, out_axes, args):
    axes = tuple(in_axes) if isinstance(in_axes, list) else in_axes
    ours = sg.vmap(product(XP), in_axes, out_axes)(*args)
    assert_same(ours, jax.vmap(product(jnp), axes, out_axes)(*args))


def test_trees_of_axes():
    def f(xp):
        def g(p, x):
            y = p["w"] @ x + p["b"][0]
            return {"y": y, "parts": (xp.sum(y), p["b"][1])}

        return g

    p = {"w": np.stack([W, 2 * W], -1), "b": (RNG.normal(size=(2, 3)), np.float64(2.0))}
    x = RNG.normal(size=(4, 2))
    axes = ({"w": -1, "b": (0, None)}, 1)
    out = {"y": 1, "parts": (0, None)}
    ours = sg.vmap(f(XP), axes, out)(p, x)
    assert_same(ours, jax.vmap(f(jnp), axes, out)(p, x))


def test_what_is_not_mapped_is_repeated():
    ours = sg.vmap(lambda x, y: (x, y * 2), (0, None))(B, C)
    assert_same(ours, jax.vmap(lambda x, y: (x, y * 2), (0, None))(B, C))


def test_keyword_arguments_are_mapped_along_axis_0():
    ours = sg.vmap(lambda x, y: x * y)(B, y=B)
    assert_same(ours, B * B)


def test_per_example_gradients():
    def loss(xp):
        return lambda w, x, y: xp.sum((w @ x - y) ** 2)

    xs, ys = RNG.normal(size=(5, 4)), RNG.normal(size=(5, 3))
    ours = sg.vmap(sg.grad(loss(XP)), (None, 0, 0))(W, xs, ys)
    assert_same(ours, jax.vmap(jax.grad(loss(jnp)), (None, 0, 0))(W, xs, ys))


def test_a_jit_with_constants_inside():
    power = sg.jit(lambda x, n: x**n, static_argnums=1)
    assert_same(sg.vmap(lambda x: power(x, 3))(B), B**3)


def test_sizes_that_differ():
    with pytest.raises(sg.ShapeError, match="x has 3 along axis 0, y has 4 along axis"):
        sg.vmap(lambda x, y: x)(B, C)


def test_an_axis_that_is_not_there():
    with pytest.raises(sg.ShapeError, match=r"argument y has no axis 0.*float64\[\]"):
        sg.vmap(lambda x, y: x)(B, 2.0)


def test_axes_of_another_structure():
    with pytest.raises(sg.GraphError, match=r"in_axes=.* has 3 entries.*2 positional"):
        sg.vmap(lambda x, y: x, (0, 0, 0))(B, B)
    with pytest.raises(sg.GraphError, match=r"in_axes=.* does not fit"):
        sg.vmap(lambda x: x["a"], ({"b": 0},))({"a": B})


def test_nothing_mapped():
    with pytest.raises(sg.GraphError, match="maps no argument"):
        sg.vmap(lambda x: x, None)(B)


def test_a_mapped_result_without_an_axis():
    with pytest.raises(sg.GraphError, match=r"out_axes is None for result\[1\]"):
        sg.vmap(lambda x: (1.0, x), out_axes=(0, None))(B)
    with pytest.raises(sg.ShapeError, match="out_axes=2 for result"):
        sg.vmap(lambda x: x, out_axes=2)(B)

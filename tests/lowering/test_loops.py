"""Loops by JAX against the compiled kernels: forward, gradients, training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import symgrad as sg
from symgrad.errors import NumericError
from tests.recurrent import LAYERS, loss, nested, training_step


@pytest.mark.parametrize("layer", LAYERS)
def test_a_training_step_is_the_same(layer):
    losses = []
    for backend in ("numba", "jax"):
        step, data = training_step(layer, "float64", backend=backend)
        params = sg.init([step.outputs, *step.updates.values()], seed=1)
        step.bind(params)
        losses.append([float(step(*data)) for _ in range(4)])
    np.testing.assert_allclose(*losses, rtol=1e-12)
    assert losses[0][-1] < losses[0][0]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("layer", LAYERS)
def test_jax_differentiates_what_to_jax_gives(layer, reverse):
    x, value = loss(layer, "float64", reverse)
    gradient = sg.grad(value, x)
    params = sg.init(value, seed=1)
    data = np.random.default_rng(0).normal(size=(2, 5, 3))
    found, slope = sg.compile([x], [value, gradient])(data, params=params)
    with jax.enable_x64(True):
        f = sg.interop.to_jax(value)
        given = {name: jnp.asarray(a) for name, a in params.items()}
        theirs = jax.jit(jax.value_and_grad(lambda x: f(x=x, params=given)))
        wanted = theirs(jnp.asarray(data))
        np.testing.assert_allclose(found, wanted[0], rtol=1e-12)
        np.testing.assert_allclose(slope, wanted[1], rtol=1e-10, atol=1e-12)


def test_loops_in_loops():
    xs, outputs = nested()
    x = np.random.default_rng(0).normal(size=(3, 4, 2))
    for options in ({}, {"nan_check": True}):
        program = sg.compile([xs], outputs, backend="jax", **options)
        for a, b in zip(program(x), sg.compile([xs], outputs)(x), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)
    assert "scan of 3 steps" in program.source
    assert "\n    t" in program.source


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("nan_check", [False, True])
def test_lengths_states_and_types(reverse, nan_check):
    """No step and one; all states; carries of integers and booleans; no sequence."""
    x = sg.input("x", ("n", 2), "float64")

    def step(carry, row):
        count, seen, c = carry
        new = (count + 2, seen | (row[0] > 0), c * 0.5 + row)
        return new, (count, c, seen, row * 2)

    start = (1, False, sg.zeros(2, "float64"))
    last, ys = sg.scan(step, start, x, reverse=reverse)
    powers, _ = sg.scan(lambda c, _: (c * 2, None), 1.0, length="n")
    outputs = [*last, *ys, powers, sg.grad(sg.sum(ys[1] ** 2) + sg.sum(last[2]), x)]
    ours = sg.compile([x], outputs)
    theirs = sg.compile([x], outputs, backend="jax", nan_check=nan_check)
    for n in (0, 1, 4):
        data = np.random.default_rng(n).normal(size=(n, 2))
        for a, b in zip(ours(data), theirs(data), strict=True):
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            np.testing.assert_allclose(b, a, rtol=1e-13)


def test_the_first_nan_is_found_in_its_step():
    x = sg.input("x", (3,))
    last, _ = sg.scan(lambda c, v: (sg.log(c - v), None), 4.0, x)
    program = sg.compile([x], last, backend="jax", nan_check=True)
    program(np.zeros(3, "f"))
    with pytest.raises(NumericError, match="made by 'log'"):
        program(np.array([0, 2, 0], "f"))

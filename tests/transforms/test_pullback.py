"""Pulling cotangents back runs the backward pass, and only that."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import symgrad as sg

RNG = np.random.default_rng(0)
X, W, V = (RNG.normal(size=s) for s in ((5, 4), (4, 6), (6, 3)))


def network(xp):
    def f(x, w, v):
        h = xp.tanh(x @ w)
        return {"y": xp.exp(h @ v / 4), "sum": h.sum()}

    return f


COTANGENTS = {"y": np.cos(np.arange(15.0)).reshape(5, 3), "sum": np.array(0.5)}


def assert_same(found, expected):
    leaves = jax.tree.leaves(found), jax.tree.leaves(expected)
    for a, b in zip(*leaves, strict=True):
        np.testing.assert_allclose(a, b, 1e-10)


def test_the_backward_program_computes_no_value_again():
    value, pull = sg.vjp(network(np), X, W, V)
    expected, jax_pull = jax.vjp(network(jnp), X, W, V)
    assert_same(value, expected)
    assert_same(pull(COTANGENTS), jax_pull(jax.tree.map(jnp.asarray, COTANGENTS)))
    program = pull.program(COTANGENTS)
    assert "tanh" not in program.source
    assert "exp" not in program.source
    products = 2 * 5 * (2 * 4 * 6 + 2 * 6 * 3)  # two for each matrix; forward has one
    elementwise = 5 * (4 * 6 + 2 * 3)
    assert program.report()["flops"] <= products + elementwise


def test_a_pull_is_called_again_and_with_other_cotangents():
    _, pull = sg.vjp(lambda x: np.sin(x) * x, X)
    _, jax_pull = jax.vjp(lambda x: jnp.sin(x) * x, X)
    for scale in (1.0, -2.0):
        assert_same(pull(scale * X), jax_pull(scale * X))


def test_arguments_that_nothing_depends_on():
    value, pull = sg.vjp(lambda x, y: 2 * x, X, W)
    assert_same(pull(value), (4 * X, np.zeros_like(W)))


def test_constants_and_views_are_not_kept():
    mask = np.tril(np.ones((5, 4)))
    _, pull = sg.vjp(lambda x: (x * mask).T, X)
    assert_same(pull(X.T), (X * mask,))
    assert not pull._kept[1]


def test_vmap_of_a_pull():
    _, pull = sg.vjp(lambda x: np.tanh(x) * x, X)
    _, jax_pull = jax.vjp(lambda x: jnp.tanh(x) * x, X)
    many = RNG.normal(size=(3, 5, 4))
    assert_same(sg.vmap(pull)(many), jax.vmap(jax_pull)(many))


def test_derivatives_of_a_pull():
    def through(t, xp):
        def f(x, g):
            return xp.sum(t.vjp(lambda z: xp.tanh(z) ** 2, x)[1](g)[0] ** 2)

        return t.grad(f, (0, 1))

    ours, theirs = through(sg, np), through(jax, jnp)
    assert_same(ours(X, X + 1), theirs(X, X + 1))
    assert_same(sg.jit(ours)(X, X + 1), theirs(X, X + 1))


def test_loops_keep_their_residuals():
    def f(t, xp):
        scan = sg.scan if t is sg else jax.lax.scan
        return lambda x: scan(lambda c, v: (xp.tanh(c + v), c * v), x[0], x)[1]

    value, pull = sg.vjp(f(sg, np), X)
    expected, jax_pull = jax.vjp(f(jax, jnp), X)
    assert_same(value, expected)
    assert_same(pull(X), jax_pull(jnp.asarray(X)))


def test_wrong_cotangents_are_named():
    _, pull = sg.vjp(network(np), X, W, V)
    with pytest.raises(sg.ShapeError, match=r"cotangent.*y"):
        pull({"y": X, "sum": np.array(1.0)})

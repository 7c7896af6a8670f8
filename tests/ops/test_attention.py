"""Attention: no scores in memory, forward and backward; values against JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import symgrad as sg


def attention(q, k, v, causal):
    scores = (q @ k.mT) * 0.3
    if causal:
        i = sg.arange(q.shape[-2])
        past = sg.expand_dims(i, axis=1) >= sg.expand_dims(i, axis=0)
        scores = sg.where(past, scores, -np.inf)
    return sg.softmax(scores, axis=-1) @ v


def reference(q, k, v, causal):
    scores = jnp.einsum("...id,...jd->...ij", q, k) * 0.3
    if causal:
        scores = jnp.where(jnp.tri(q.shape[-2], dtype=bool), scores, -jnp.inf)
    return jax.nn.softmax(scores, -1) @ v


def loss_of(y):
    return sg.sum(sg.sin(y))


def arrays_of(shape, dtype="float64"):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(dtype) for _ in range(3)]


@pytest.fixture(scope="module")
def any_size():
    """The gradients of causal attention of any batch and length."""
    q, k, v = (sg.input(n, ("b", "h", "t", 4), "float64") for n in "qkv")
    loss = loss_of(attention(q, k, v, True))
    return sg.compile([q, k, v], sg.grad(loss, [q, k, v]))


@pytest.mark.parametrize("shape", [(2, 3, 150, 4), (1, 1, 1, 4), (3, 2, 65, 4)])
def test_any_length(any_size, shape):
    arrays = arrays_of(shape)
    theirs = jax.grad(lambda *a: jnp.sum(jnp.sin(reference(*a, True))), (0, 1, 2))
    for a, b in zip(any_size(*arrays), theirs(*arrays), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_no_positions(any_size):
    for a in any_size(*arrays_of((2, 3, 0, 4))):
        assert a.shape == (2, 3, 0, 4)


def test_the_scores_need_no_memory(any_size):
    any_size(*arrays_of((2, 3, 400, 4)))
    scores = 2 * 3 * 400 * 400 * 8
    assert any_size.report()["arena_bytes"] < scores / 4
    stored = [t.shape for t in any_size._parts.plan.stored]
    assert not any(str(s[-1]) == str(s[-2]) == "t" for s in stored if len(s) > 1)


def test_small_scores_are_kept_for_the_gradient():
    q, k, v = (sg.input(n, (4, 33, 8)) for n in "qkv")
    loss = loss_of(attention(q, k, v, False))
    program = sg.compile([q, k, v], [loss, *sg.grad(loss, [q, k, v])])
    arrays = arrays_of((4, 33, 8), "float32")
    theirs = jax.value_and_grad(
        lambda *a: jnp.sum(jnp.sin(reference(*a, False))), (0, 1, 2)
    )(*(a.astype("f8") for a in arrays))
    found = program(*arrays)
    np.testing.assert_allclose(found[0], theirs[0], rtol=1e-5)
    for a, b in zip(found[1:], theirs[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_second_derivatives():
    arrays = arrays_of((2, 9, 3))
    q, k, v = (sg.input(n, (2, 9, 3), "float64") for n in "qkv")
    first = sg.grad(loss_of(attention(q, k, v, True)), k)
    ours = sg.compile([q, k, v], sg.grad(sg.sum(first**2), [q, k, v]))(*arrays)

    def slope(q, k, v):
        g = jax.grad(lambda k: jnp.sum(jnp.sin(reference(q, k, v, True))))(k)
        return jnp.sum(g**2)

    theirs = jax.grad(slope, (0, 1, 2))(*arrays)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_a_model_that_also_returns_its_scores():
    arrays = arrays_of((2, 70, 5))
    q, k, v = (sg.input(n, (2, 70, 5), "float64") for n in "qkv")
    weights = sg.softmax((q @ k.mT) * 0.3, axis=-1)
    y = weights @ v
    program = sg.compile([q, k, v], [weights, y, sg.grad(loss_of(y), v)])
    found = program(*arrays)
    expected = jax.nn.softmax(jnp.einsum("bid,bjd->bij", *arrays[:2]) * 0.3, -1)
    np.testing.assert_allclose(found[0], expected, rtol=1e-12)
    np.testing.assert_allclose(found[1], expected @ arrays[2], rtol=1e-12)
    for threads in (1, 2):
        again = sg.compile([q, k, v], [weights, y], threads=threads)(*arrays)
        np.testing.assert_allclose(again[1], found[1], rtol=1e-12)

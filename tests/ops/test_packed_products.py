"""Convolutions large enough to run as packed matrix products, against JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import symgrad as sg


def reference(stride, padding, dilation):
    def conv(x, w):
        rank = x.ndim - 2
        return jax.lax.conv_general_dilated(
            x,
            w,
            (stride,) * rank,
            [(padding, padding)] * rank,
            rhs_dilation=(dilation,) * rank,
        )

    return conv


def both(rank, shapes, stride, padding, dilation, dtype="float64", batch=None):
    """Return value and gradients of a sum over a convolution: ours, and JAX's."""
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal(s).astype(dtype) for s in shapes]
    shape = shapes[0] if batch is None else (batch, *shapes[0][1:])
    x, w = sg.input("x", shape, dtype), sg.input("w", shapes[1], dtype)
    y = (sg.conv1d, sg.conv2d, sg.conv3d)[rank - 1](
        x, w, stride=stride, padding=padding, dilation=dilation
    )
    program = sg.compile([x, w], [y, *sg.grad(sg.sum(sg.sin(y)), [x, w])])
    conv = reference(stride, padding, dilation)
    gradients = jax.grad(lambda x, w: jnp.sum(jnp.sin(conv(x, w))), (0, 1))(*arrays)
    return program, program(*arrays), [conv(*arrays), *gradients]


@pytest.mark.parametrize(
    ("rank", "shapes", "stride", "padding", "dilation"),
    [
        (2, [(3, 5, 16, 14), (7, 5, 3, 3)], 1, 1, 1),
        (2, [(3, 5, 16, 14), (7, 5, 5, 3)], 2, 2, 1),
        (2, [(2, 6, 17, 19), (8, 6, 3, 3)], 3, 1, 2),
        (2, [(2, 16, 16, 16), (8, 16, 1, 1)], 1, 0, 1),
        (2, [(130, 4, 6, 6), (140, 4, 3, 3)], 1, 1, 1),
        (1, [(4, 8, 151), (16, 8, 4)], 2, 1, 1),
        (3, [(2, 3, 8, 8, 8), (6, 3, 3, 3, 3)], 1, 1, 1),
    ],
)
def test_values_and_gradients(rank, shapes, stride, padding, dilation):
    _, ours, theirs = both(rank, shapes, stride, padding, dilation)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)


def test_large_ones_are_matrix_products():
    program, _, _ = both(2, [(4, 16, 14, 14), (32, 16, 3, 3)], 1, 1, 1)
    kinds = [g.kind for g in program._parts.plan.groups]
    assert set(kinds) <= {"gemm", "sum", "rows"}, kinds


def test_float32_and_any_batch():
    shapes = [(5, 8, 14, 14), (16, 8, 3, 3)]
    program, ours, theirs = both(2, shapes, 1, 1, 1, "float32", "n")
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4)
    for n in (0, 1, 9):
        x = np.ones((n, *shapes[0][1:]), np.float32)
        w = np.ones(shapes[1], np.float32)
        y, _, w_bar = program(x, w)
        assert y.shape == (n, 16, 14, 14)
        assert np.all(y[:, :, 1:-1, 1:-1] == 72)
        assert np.isfinite(w_bar).all()
        assert n or not w_bar.any()


def test_the_same_bits_for_the_same_threads():
    rng = np.random.default_rng(0)
    x = sg.input("x", (16, 8, 14, 14))
    w = sg.input("w", (16, 8, 3, 3))
    y = sg.conv2d(x, w, padding=1)
    arrays = [rng.standard_normal(t.shape).astype("f4") for t in (x, w)]
    gradient = sg.grad(sg.sum(y * y), w)
    for threads in (1, 2):
        program = sg.compile([x, w], gradient, threads=threads)
        first = program(*arrays).copy()
        for _ in range(3):
            np.testing.assert_array_equal(program(*arrays), first)


def test_second_derivatives():
    rng = np.random.default_rng(3)
    shapes = [(2, 4, 10, 10), (6, 4, 3, 3)]
    arrays = [rng.standard_normal(s) for s in shapes]
    x, w = (sg.input(n, s, "float64") for n, s in zip("xw", shapes, strict=True))
    y = sg.conv2d(x, w, padding=1)
    loss = sg.sum(y**3)
    slope = sg.sum(sg.grad(loss, w) ** 2)
    ours = sg.compile([x, w], sg.grad(slope, [x, w]))(*arrays)
    conv = reference(1, 1, 1)

    def inner(x, w):
        g = jax.grad(lambda w: jnp.sum(conv(x, w) ** 3))(w)
        return jnp.sum(g**2)

    for a, b in zip(ours, jax.grad(inner, (0, 1))(*arrays), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)

"""Sums of products, against JAX: value, gradient, second derivative."""

import jax.numpy as jnp
import numpy as np
import pytest

import symgrad as sg
from tests.ops.harness import Case, booleans, check, integers, real, run, table


def same(name, function, *inputs):
    """Return a case of a function that has one name in both libraries.

    Its value is put through ``sin``, so that second derivatives are not trivial.
    """

    def through(xp):
        def whole(*x):
            y = function(xp, *x)
            return xp.sin(y) if str(y.dtype).startswith("float") else y

        return whole

    return Case(name, through(sg), through(jnp), inputs)


def product(*shapes):
    """Return a case of ``matmul`` of these shapes."""
    name = " @ ".join(str(list(s)) for s in shapes)
    return same(name, lambda xp, a, b: xp.matmul(a, b), *(real(*s) for s in shapes))


def summed(subscripts, *shapes):
    """Return a case of ``einsum``."""
    inputs = tuple(real(*s) for s in shapes)
    return same(subscripts, lambda xp, *x: xp.einsum(subscripts, *x), *inputs)


CASES = [
    product((3, 4), (4, 5)),
    product((4,), (4,)),
    product((3, 4), (4,)),
    product((4,), (4, 5)),
    product((2, 3, 4), (2, 4, 5)),
    product((2, 3, 4), (4, 5)),
    product((3, 4), (2, 4, 5)),
    product((2, 1, 3, 4), (5, 4, 2)),
    product((1, 3, 4), (6, 4, 2)),
    product((2, 3, 4), (4,)),
    product((4,), (2, 4, 3)),
    product((1, 1), (1, 1)),
    product((3, 0), (0, 4)),
    product((0, 3), (3, 2)),
    product((33, 65), (65, 17)),
    same(
        "tensordot", lambda xp, a, b: xp.tensordot(a, b), real(2, 3, 4), real(3, 4, 5)
    ),
    same("tensordot 1", lambda xp, a, b: xp.tensordot(a, b, 1), real(2, 3), real(3, 4)),
    same("tensordot 0", lambda xp, a, b: xp.tensordot(a, b, 0), real(2), real(3)),
    same(
        "tensordot of axes",
        lambda xp, a, b: xp.tensordot(a, b, ([0, 2], [1, 0])),
        real(2, 3, 4),
        real(4, 2, 5),
    ),
    same("vecdot", lambda xp, a, b: xp.vecdot(a, b), real(3, 4), real(3, 4)),
    same(
        "vecdot first", lambda xp, a, b: xp.vecdot(a, b, axis=0), real(3, 4), real(3, 4)
    ),
    same("vecdot broadcast", lambda xp, a, b: xp.vecdot(a, b), real(3, 4), real(4)),
    same("outer", lambda xp, a, b: xp.outer(a, b), real(3), real(4)),
    same("dot", lambda xp, a, b: xp.dot(a, b), real(2, 3, 4), real(5, 4, 2)),
    same("A Aᵀ", lambda xp, a: xp.matmul(a, a.T), real(6, 4)),
    same("Aᵀ A", lambda xp, a: xp.matmul(a.T, a), real(6, 4)),
    same("A A", lambda xp, a: xp.matmul(a, a), real(5, 5)),
    same("xᵀ A x", lambda xp, a, x: xp.matmul(x, xp.matmul(a, x)), real(4, 4), real(4)),
    same(
        "a chain",
        lambda xp, a, b, c: xp.matmul(xp.matmul(a, b), c),
        real(3, 20),
        real(20, 20),
        real(20),
    ),
    same(
        "A (B + C)",
        lambda xp, a, b, c: xp.matmul(a, b) + xp.matmul(a, c),
        real(3, 4),
        real(4, 5),
        real(4, 5),
    ),
    same(
        "slices",
        lambda xp, a, b: xp.matmul(a[1:, ::2], b[::-1]),
        real(4, 6),
        real(3, 2),
    ),
    summed("ij,jk->ik", (3, 4), (4, 5)),
    summed("ij,jk", (3, 4), (4, 5)),
    summed("ba,bc", (3, 4), (3, 5)),
    summed("ii->i", (4, 4)),
    summed("ii->", (4, 4)),
    summed("iij->j", (3, 3, 2)),
    summed("ij->ji", (3, 4)),
    summed("ij->", (3, 4)),
    summed("i,i->i", (4,), (4,)),
    summed("i,j->ij", (3,), (4,)),
    summed("i,ij,j->", (3,), (3, 4), (4,)),
    summed("ij,jk,kl->il", (2, 7), (7, 3), (3, 4)),
    summed("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    summed("bhid,bhjd->bhij", (2, 2, 3, 4), (2, 2, 5, 4)),
    summed("...ij,...jk->...ik", (2, 3, 4), (4, 5)),
    summed("...i,...i->...", (2, 3), (2, 3)),
    summed("i...->...", (3, 2, 2)),
    summed("ij,ij,ij->i", (3, 4), (3, 4), (3, 4)),
    summed("ij,kj,lj->ikl", (2, 5), (3, 5), (4, 5)),
    summed("ij,,k->ik", (2, 3), (), (4,)),
    summed("ij,kl->", (2, 3), (4, 2)),
    summed("ijk,jil->kl", (2, 3, 4), (3, 2, 5)),
    summed("i,i->", (0,), (0,)),
    summed("aab,bc->ac", (3, 3, 2), (2, 4)),
    same(
        "integers", lambda xp, a, b: a @ b, integers(-9, 9, 3, 4), integers(-9, 9, 4, 2)
    ),
    same("mixed", lambda xp, a, b: a @ b, integers(-9, 9, 3, 4), real(4, 2)),
]


@table(CASES)
def test_against_jax(case):
    check(case)


def window(name, function, *inputs, order=2):
    return Case(name, function(sg), function(_JAX), inputs, order=order)


class _JAX:
    """Convolution and pooling as XLA does them."""

    @staticmethod
    def conv(x, w, stride=1, padding=0, dilation=1):
        import jax

        rank = x.ndim - 2

        def each(v):
            return (v,) * rank if isinstance(v, int) else tuple(v)

        if not isinstance(padding, str):
            padding = [(p, p) if isinstance(p, int) else p for p in each(padding)]
        else:
            padding = padding.upper()
        return jax.lax.conv_general_dilated(
            x, w, each(stride), padding, rhs_dilation=each(dilation)
        )

    conv1d = conv2d = conv3d = conv
    sin = staticmethod(jnp.sin)

    @staticmethod
    def max_pool(x, window, stride=None):
        return jnp.max(_windows(x, window, stride), axis=(-2, -1))

    @staticmethod
    def avg_pool(x, window, stride=None):
        return jnp.mean(_windows(x, window, stride), axis=(-2, -1))


def _windows(x, window, stride):
    """Return the windows over the last two axes as two more axes."""
    a, b = (window, window) if isinstance(window, int) else window
    stride = (a, b) if stride is None else stride
    s, t = (stride, stride) if isinstance(stride, int) else stride
    rows = np.arange((x.shape[-2] - a) // s + 1)[:, None] * s + np.arange(a)
    columns = np.arange((x.shape[-1] - b) // t + 1)[:, None] * t + np.arange(b)
    return x[..., rows[:, None, :, None], columns[None, :, None, :]]


def convolved(name, function, *shapes):
    def whole(xp):
        return lambda x, w: xp.sin(function(xp, x, w))

    return window(name, whole, *(real(*s) for s in shapes))


WINDOWS = [
    convolved("conv1d", lambda xp, x, w: xp.conv1d(x, w), (2, 3, 9), (4, 3, 3)),
    convolved("conv1d of 1", lambda xp, x, w: xp.conv1d(x, w), (2, 3, 5), (4, 3, 1)),
    convolved(
        "conv1d strided",
        lambda xp, x, w: xp.conv1d(x, w, stride=2, padding=1),
        (2, 3, 10),
        (2, 3, 3),
    ),
    convolved(
        "conv1d dilated",
        lambda xp, x, w: xp.conv1d(x, w, dilation=2, padding=2),
        (1, 2, 9),
        (3, 2, 3),
    ),
    convolved("conv2d", lambda xp, x, w: xp.conv2d(x, w), (2, 3, 6, 7), (4, 3, 3, 2)),
    convolved(
        "conv2d same",
        lambda xp, x, w: xp.conv2d(x, w, padding="same"),
        (2, 2, 5, 6),
        (3, 2, 3, 3),
    ),
    convolved(
        "conv2d all",
        lambda xp, x, w: xp.conv2d(
            x, w, stride=(2, 1), padding=(1, 2), dilation=(1, 2)
        ),
        (2, 2, 7, 8),
        (3, 2, 3, 3),
    ),
    convolved(
        "conv2d empty", lambda xp, x, w: xp.conv2d(x, w), (0, 2, 5, 5), (3, 2, 3, 3)
    ),
    convolved(
        "conv2d whole", lambda xp, x, w: xp.conv2d(x, w), (2, 2, 3, 3), (3, 2, 3, 3)
    ),
    convolved(
        "conv3d", lambda xp, x, w: xp.conv3d(x, w), (1, 2, 4, 4, 5), (2, 2, 2, 2, 3)
    ),
    window(
        "max_pool", lambda xp: lambda x: xp.sin(xp.max_pool(x, 2)), real(2, 3, 6, 8)
    ),
    window(
        "max_pool overlapping",
        lambda xp: lambda x: xp.sin(xp.max_pool(x, 3, stride=1)),
        real(2, 2, 5, 5),
    ),
    window(
        "max_pool uneven",
        lambda xp: lambda x: xp.sin(xp.max_pool(x, (2, 3), stride=(2, 2))),
        real(1, 2, 7, 8),
    ),
    window(
        "avg_pool", lambda xp: lambda x: xp.sin(xp.avg_pool(x, 2)), real(2, 3, 6, 8)
    ),
    window(
        "avg_pool overlapping",
        lambda xp: lambda x: xp.sin(xp.avg_pool(x, 3, stride=2)),
        real(1, 2, 7, 7),
    ),
]


@table(WINDOWS)
def test_windows_against_jax(case):
    check(case)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "bool"])
def test_types(dtype):
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 2, s).astype(dtype) for s in ((5, 6), (6, 4)))
    (got,) = run([a, b], lambda a, b: [a @ b])
    np.testing.assert_array_equal(got, a.astype(float) @ b.astype(float))
    assert got.dtype == {"bool": "int64"}.get(dtype, dtype)


def test_arrays_that_are_not_contiguous():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(8, 40))[::-2, ::2], rng.normal(size=(3, 20)).T
    (got,) = run([a, b], lambda a, b: [sg.tanh(a @ b)])
    np.testing.assert_allclose(got, np.tanh(a @ b), rtol=1e-12)


def test_named_dimensions_of_any_size():
    x, w = sg.input("x", ("n", "d"), "float64"), sg.input("w", ("d", "k"), "float64")
    loss = sg.sum(sg.tanh(x @ w))
    program = sg.compile([x, w], [loss, *sg.grad(loss, [x, w])])
    for n, d, k in (
        (1, 1, 1),
        (3, 5, 2),
        (0, 4, 3),
        (4, 0, 3),
        (200, 130, 1),
        (129, 3, 257),
    ):
        rng = np.random.default_rng(n)
        a, b = rng.normal(size=(n, d)), rng.normal(size=(d, k)) / 10
        found = program(a, b)
        t = np.tanh(a @ b)
        slope = 1 - t * t
        for got, wanted in zip(found, (t.sum(), slope @ b.T, a.T @ slope), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-12)


def test_nan_and_inf_reach_what_they_touch():
    a, b = np.ones((2, 3)), np.ones((3, 2))
    a[0, 1], b[2, 1] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        wanted = a @ b
    np.testing.assert_array_equal(run([a, b], lambda a, b: [a @ b])[0], wanted)


def test_a_tie_in_a_window_is_shared():
    a = np.zeros((1, 1, 2, 2))
    (slope,) = run([a], lambda x: [sg.grad(sg.sum(sg.max_pool(x, 2)), x)])
    np.testing.assert_array_equal(slope, np.full((1, 1, 2, 2), 0.25))


def test_booleans_and_numbers_mix():
    mask, x = np.array([True, False, True]), np.arange(3.0)
    (got,) = run([mask, x], lambda m, x: [sg.vecdot(m, x)])
    assert got == 2.0
    assert booleans(3)(np.random.default_rng(0)).dtype == bool


x, w = sg.input("x", (2, 3, 8)), sg.input("w", (4, 5, 3))
a, b = sg.input("a", (3, 4)), sg.input("b", (3, 4))
ERRORS = [
    (lambda: a @ b, "'a' .* is 4, but dimension 0 of 'b' .* is 3"),
    (lambda: a @ sg.input("s", ()), "'s'"),
    (lambda: sg.vecdot(a, sg.input("v", (3,))), "'v'"),
    (lambda: sg.tensordot(a, b, 1), "'a'.*'b'"),
    (lambda: sg.einsum("ij,jk->ik", a, b), "'a'|'b'"),
    (lambda: sg.einsum("ij->ik", a), "k"),
    (lambda: sg.einsum("ijk->i", a), "'a'"),
    (lambda: sg.einsum("ij->ii", a), "i"),
    (lambda: sg.conv1d(x, w), "'x'.*'w'"),
    (lambda: sg.conv2d(x, w), "'x'|conv2d"),
    (lambda: sg.conv1d(x, sg.input("k", (4, 3, 9))), "'x'|'k'|window"),
    (lambda: sg.conv1d(x, sg.input("k", (4, 3, 2)), stride=0), "at least 1"),
    (lambda: sg.conv1d(x, sg.input("k", (4, 3, 2)), padding="most"), "most"),
    (lambda: sg.max_pool(sg.input("p", (2, 2, 3, 3)), 5), "max_pool|'p'"),
]


@pytest.mark.parametrize(("make", "message"), ERRORS, ids=range(len(ERRORS)))
def test_what_does_not_fit(make, message):
    with pytest.raises(sg.SymgradError, match=message):
        make()

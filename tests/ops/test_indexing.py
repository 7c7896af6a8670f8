"""Indexing, against JAX: value, gradient, second derivative."""

import jax.numpy as jnp
import numpy as np
import pytest

import symgrad as sg
from tests.ops.harness import booleans, check, given, integers, real, run, table
from tests.ops.test_shape import both, same


def key(name, index, *shape):
    """Return a case of ``x[index]``."""
    return same(name, lambda xp, x: x[index], real(*shape))


def pair(name, function, *inputs):
    """Return a case of an expression that is the same in both libraries."""
    return both(name, function, function, *inputs)


def taken(name, axis, *inputs):
    """Return a case of ``take``."""
    return same(name, lambda xp, x, i: xp.take(x, i, axis=axis), *inputs)


def along(name, axis, *inputs):
    """Return a case of ``take_along_axis``."""
    return same(name, lambda xp, x, i: xp.take_along_axis(x, i, axis=axis), *inputs)


IDS = given([2, 0, 2, 1, 2])
GRID = given([[0, 3], [3, 1]])
CASES = [
    key("a number", 1, 4, 3),
    key("a negative number", (-1, 2), 4, 3),
    key("a slice", slice(1, 3), 4, 3),
    key("steps", (slice(None, None, 2), slice(1, None, 3)), 5, 7),
    key("backwards", (slice(None, None, -1), slice(4, 0, -2)), 3, 6),
    key("negative ends", (slice(-3, -1),), 5, 2),
    key("beyond the end", (slice(2, 99),), 5, 2),
    key("nothing", (slice(3, 3),), 5, 2),
    key("ellipsis", (..., 0), 2, 3, 4),
    key("ellipsis in between", (1, ..., slice(0, 2)), 2, 3, 4),
    key("newaxis", (None, slice(None), None, 1), 4, 3),
    key("everything", ..., 4, 3),
    key("of nothing", (slice(None), slice(0, 2)), 0, 3),
    pair("integers", lambda x, i: x[i], real(4, 3), IDS),
    pair("integers of a later axis", lambda x, i: x[:, i], real(2, 4), IDS),
    pair("a grid of integers", lambda x, i: x[i], real(4, 3), GRID),
    pair("negative integers", lambda x, i: x[i - 3], real(4, 3), IDS),
    pair("pairs", lambda x, i, j: x[i, j], real(4, 5), IDS, given([0, 4, 4, 0, 4])),
    taken("take", 0, real(4, 3), IDS),
    taken("take last", -1, real(2, 4), GRID),
    taken("take none", 0, real(4, 3), integers(0, 1, 0)),
    taken("take int32", 0, real(4, 3), integers(0, 4, 6, dtype="int32")),
    along("take_along_axis", 1, real(3, 5), integers(0, 5, 3, 4)),
    along("take_along_axis first", 0, real(3, 5), integers(0, 3, 2, 5)),
    same(
        "where",
        lambda xp, c, x, y: xp.where(c, x, y),
        booleans(3, 4),
        real(3, 4),
        real(4),
    ),
    same(
        "where of a row", lambda xp, c, x: xp.where(c, x, 0.0), booleans(4), real(3, 4)
    ),
    same("a mask", lambda xp, x: xp.where(x > 0, x, 0), real(5, 5)),
    both(
        "a mask as a key",
        lambda x: x[x > 0],
        lambda x: jnp.where(x > 0, x, 0),
        real(5, 5),
    ),
]


@table(CASES)
def test_against_jax(case):
    check(case)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "bool"])
def test_one_hot(dtype):
    ids = np.array([[2, 0], [1, 3]])
    (got,) = run([ids], lambda i: [sg.one_hot(i, 4, dtype=dtype)])
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, np.eye(4)[ids].astype(dtype))


def test_one_hot_of_what_is_out_of_range_is_zero():
    (got,) = run([np.array([-1, 4, 9, 1])], lambda i: [sg.one_hot(i, 4)])
    np.testing.assert_array_equal(got, [[0] * 4, [0] * 4, [0] * 4, [0, 1, 0, 0]])


def test_indices_out_of_range_stay_inside():
    """The nearest element is read, never other memory; the gradient goes there too."""
    a = np.arange(12.0).reshape(4, 3)
    ids = np.array([0, 99, -99, 3, -1, 2**62, -(2**62)])
    x, i = sg.input("x", (4, 3), "float64"), sg.input("i", (7,), "int64")
    y = sg.take(x, i, axis=0)
    got, slope = sg.compile([x, i], [y, sg.grad(sg.sum(y), x)])(a, ids)
    places = np.array([0, 3, 0, 3, 3, 3, 0])
    np.testing.assert_array_equal(got, a[places])
    np.testing.assert_array_equal(slope[:, 0], np.bincount(places, minlength=4))


def test_places_named_many_times_add_up():
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 5, 20_000)
    g = rng.normal(size=(20_000, 3))
    x, i = sg.input("x", (5, 3), "float64"), sg.input("i", ("n",), "int64")
    w = sg.input("g", ("n", 3), "float64")
    slope = sg.grad(sg.sum(x[i] * w), x)
    wanted = np.zeros((5, 3))
    np.add.at(wanted, ids, g)
    for threads in (1, 2):
        run = sg.compile([x, i, w], slope, threads=threads)
        got = run(np.zeros((5, 3)), ids, g)
        np.testing.assert_allclose(got, wanted, rtol=1e-10)
        assert got.tobytes() == run(np.zeros((5, 3)), ids, g).tobytes()


def test_named_dimensions():
    x, i = sg.input("x", ("n", 3), "float64"), sg.input("i", ("m",), "int64")
    y = x[i]
    program = sg.compile([x, i], [y, x[::-1], x[1:], sg.grad(sg.sum(y * y), x)])
    for n, m in ((4, 2), (1, 7), (300, 1000), (3, 0)):
        rng = np.random.default_rng(n)
        a, ids = rng.normal(size=(n, 3)), rng.integers(0, n, m)
        found = program(a, ids)
        np.testing.assert_array_equal(found[0], a[ids])
        np.testing.assert_array_equal(found[1], a[::-1])
        np.testing.assert_array_equal(found[2], a[1:])
        wanted = np.zeros((n, 3))
        np.add.at(wanted, ids, 2 * a[ids])
        np.testing.assert_allclose(found[3], wanted, rtol=1e-12)


x, m = sg.input("x", (4, 6)), sg.input("m", (4, 6), "bool")
ERRORS = [
    (lambda: x[4], "'x'"),
    (lambda: x[0, 0, 0], "'x'"),
    (lambda: x[..., ...], "'x'|ellipsis|Ellipsis|\\.\\.\\."),
    (lambda: x[1.5], "'x'|1.5"),
    (lambda: x["a"], "'x'|'a'"),
    (lambda: x[::0], "'x'|step"),
    (lambda: sg.take(x, sg.input("f", (2,)), axis=0), "'f'"),
    (lambda: sg.take(x, sg.input("i", (2,), "int64"), axis=2), "axis 2"),
    (lambda: sg.take_along_axis(x, sg.input("i", (2,), "int64"), axis=0), "'i'"),
    (lambda: sg.where(x, x, x), "'x'|bool"),
]


@pytest.mark.parametrize(("make", "message"), ERRORS, ids=range(len(ERRORS)))
def test_what_does_not_fit(make, message):
    with pytest.raises(sg.SymgradError, match=message):
        make()

"""Functions that move values, against JAX: value, gradient, second derivative."""

import jax.numpy as jnp
import numpy as np
import pytest

import symgrad as sg
from tests.ops.harness import Case, booleans, check, integers, real, run, table


def both(name, ours, theirs, *inputs):
    """Return a case of a movement, squared so that there is a second derivative."""
    return Case(
        name,
        lambda *x: _squared(sg, ours(*x)),
        lambda *x: _squared(jnp, theirs(*x)),
        inputs,
    )


def _squared(xp, y):
    return y * y * y if str(y.dtype).startswith("float") else y


def same(name, function, *inputs):
    """Return a case of a function that has one name in both libraries."""
    return both(
        name, lambda *x: function(sg, *x), lambda *x: function(jnp, *x), *inputs
    )


CASES = [
    same("reshape", lambda xp, x: xp.reshape(x, (3, 8)), real(4, 6)),
    same("reshape -1", lambda xp, x: xp.reshape(x, (2, -1, 3)), real(4, 6)),
    same("reshape to one axis", lambda xp, x: xp.reshape(x, -1), real(2, 3, 4)),
    same("reshape of one number", lambda xp, x: xp.reshape(x, (1, 1)), real()),
    same("reshape to a scalar", lambda xp, x: xp.reshape(x, ()), real(1, 1)),
    same("reshape empty", lambda xp, x: xp.reshape(x, (0, 7)), real(3, 0)),
    same("permute_dims", lambda xp, x: xp.permute_dims(x, (2, 0, 1)), real(2, 3, 4)),
    same("permute with ones", lambda xp, x: xp.permute_dims(x, (1, 0)), real(1, 4)),
    both("T", lambda x: x.T, lambda x: x.T, real(3, 4)),
    both("mT", lambda x: x.mT, lambda x: jnp.matrix_transpose(x), real(2, 3, 4)),
    same("expand_dims", lambda xp, x: xp.expand_dims(x, axis=1), real(3, 4)),
    same("expand_dims last", lambda xp, x: xp.expand_dims(x, axis=-1), real(3)),
    same("squeeze", lambda xp, x: xp.squeeze(x, axis=1), real(3, 1, 4)),
    same("squeeze two", lambda xp, x: xp.squeeze(x, axis=(0, 2)), real(1, 3, 1)),
    same("broadcast_to", lambda xp, x: xp.broadcast_to(x, (5, 3, 4)), real(3, 1)),
    same("broadcast_to scalar", lambda xp, x: xp.broadcast_to(x, (2, 2)), real()),
    same("broadcast_to empty", lambda xp, x: xp.broadcast_to(x, (0, 3)), real(1, 3)),
    same(
        "concat", lambda xp, x, y: xp.concat([x, y, x], axis=1), real(3, 2), real(3, 4)
    ),
    same("concat first", lambda xp, x, y: xp.concat([x, y]), real(3, 2), real(1, 2)),
    same("concat empty", lambda xp, x, y: xp.concat([x, y]), real(0, 2), real(3, 2)),
    same(
        "concat promotes",
        lambda xp, x, y: xp.concat([x, y]),
        real(2),
        integers(0, 9, 3),
    ),
    same(
        "concat flat",
        lambda xp, x, y: xp.concat([x, y], axis=None),
        real(2, 2),
        real(3),
    ),
    same("stack", lambda xp, x, y: xp.stack([x, y], axis=1), real(3, 2), real(3, 2)),
    same("stack last", lambda xp, x, y: xp.stack([x, y], axis=-1), real(3), real(3)),
    same("stack scalars", lambda xp, x, y: xp.stack([x, y]), real(), real()),
    same("split", lambda xp, x: xp.split(x, 3, axis=1)[1], real(2, 6)),
    same("split at", lambda xp, x: xp.split(x, [1, 4], axis=0)[1], real(6, 2)),
    same("flip", lambda xp, x: xp.flip(x, axis=1), real(3, 4)),
    same("flip all", lambda xp, x: xp.flip(x), real(3, 4)),
    same("flip two", lambda xp, x: xp.flip(x, axis=(0, -1)), real(2, 3, 4)),
    same("roll", lambda xp, x: xp.roll(x, 2, axis=1), real(3, 5)),
    same("roll back", lambda xp, x: xp.roll(x, -7, axis=0), real(3, 5)),
    same("roll flat", lambda xp, x: xp.roll(x, 4), real(3, 5)),
    same("roll two", lambda xp, x: xp.roll(x, (1, -2), axis=(0, 1)), real(3, 5)),
    same("tile", lambda xp, x: xp.tile(x, (2, 3)), real(2, 2)),
    same("tile more axes", lambda xp, x: xp.tile(x, (2, 1, 2)), real(3)),
    same("tile none", lambda xp, x: xp.tile(x, (0, 2)), real(2, 2)),
    same("repeat", lambda xp, x: xp.repeat(x, 3, axis=1), real(2, 4)),
    same("repeat flat", lambda xp, x: xp.repeat(x, 2), real(2, 3)),
    same("tril", lambda xp, x: xp.tril(x), real(4, 4)),
    same("tril above", lambda xp, x: xp.tril(x, k=1), real(2, 3, 5)),
    same("triu", lambda xp, x: xp.triu(x), real(4, 3)),
    same("triu below", lambda xp, x: xp.triu(x, k=-1), real(4, 4)),
    same("pad", lambda xp, x: xp.pad(x, ((1, 2), (0, 3))), real(2, 3)),
    same("pad value", lambda xp, x: xp.pad(x, 1, constant_values=2.5), real(2, 3)),
    same("pad nothing", lambda xp, x: xp.pad(x, 0), real(2, 3)),
    same("moves integers", lambda xp, x: xp.flip(xp.pad(x, 1)), integers(0, 9, 2, 3)),
    same("moves booleans", lambda xp, x: xp.roll(xp.stack([x, ~x]), 1), booleans(4)),
    same(
        "one after the other",
        lambda xp, x: xp.flip(xp.pad(xp.permute_dims(x, (1, 0)), 1)[::2, 1:]),
        real(5, 4),
    ),
]


@table(CASES)
def test_against_jax(case):
    check(case)


def test_named_dimensions():
    x = sg.input("x", ("n", 4), "float64")
    y = sg.concat([sg.flip(x, axis=0), sg.roll(x, 1, axis=1)], axis=0)
    flat = sg.reshape(x, -1)
    back = sg.reshape(flat, x.shape)
    loss = sg.sum(y * y * sg.exp(y)) + sg.sum(back * x)
    program = sg.compile([x], [y, flat, sg.stack([x, x], axis=1), sg.grad(loss, x)])
    for n in (1, 0, 5, 40):
        a = np.random.default_rng(n).normal(size=(n, 4))
        whole = np.concatenate([a[::-1], np.roll(a, 1, axis=1)])
        found = program(a)
        np.testing.assert_array_equal(found[0], whole)
        np.testing.assert_array_equal(found[1], a.ravel())
        np.testing.assert_array_equal(found[2], np.stack([a, a], axis=1))
        slope = (2 * a + a * a) * np.exp(a)
        np.testing.assert_allclose(found[3], 2 * slope + 2 * a, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "int32", "int64", "bool"])
def test_types_stay(dtype):
    a = np.random.default_rng(0).integers(0, 2, (3, 4)).astype(dtype)
    found = run([a], lambda x: [sg.flip(x), sg.tile(x, (2, 1)), sg.reshape(x, (4, 3))])
    for got, wanted in zip(
        found, (np.flip(a), np.tile(a, (2, 1)), a.reshape(4, 3)), strict=True
    ):
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, wanted)


def test_nan_and_inf_are_moved_as_they_are():
    a = np.array([[np.nan, np.inf], [-np.inf, -0.0]])
    flipped, padded = run([a], lambda x: [sg.flip(x), sg.pad(x, 1)])
    np.testing.assert_array_equal(flipped, np.flip(a))
    np.testing.assert_array_equal(padded, np.pad(a, 1))
    assert np.signbit(flipped[0, 0])


x, y = sg.input("x", (4, 6)), sg.input("y", (3, 6))
ERRORS = [
    (lambda: sg.reshape(x, (5, 5)), "'x' .* has 24 elements"),
    (lambda: sg.reshape(x, (-1, -1)), "-1"),
    (lambda: sg.permute_dims(x, (0, 0)), "'x'"),
    (lambda: sg.squeeze(x, axis=0), "'x'"),
    (lambda: sg.broadcast_to(x, (4, 5)), "'x'"),
    (lambda: sg.concat([x, y], axis=1), "'x'.*'y'|'y'.*'x'"),
    (lambda: sg.stack([x, y]), "'x'.*'y'|'y'.*'x'"),
    (lambda: sg.split(x, 5, axis=1), "'x'|5"),
    (lambda: sg.expand_dims(x, axis=9), "9"),
    (lambda: sg.flip(x, axis=2), "axis 2"),
    (lambda: sg.roll(x, 1, axis=-3), "axis -3"),
    (lambda: sg.pad(x, ((1, 1),) * 3), "'x'|pad"),
    (lambda: sg.tril(sg.input("v", (3,))), "'v'"),
]


@pytest.mark.parametrize(("make", "message"), ERRORS, ids=range(len(ERRORS)))
def test_what_does_not_fit(make, message):
    with pytest.raises(sg.SymgradError, match=message):
        make()

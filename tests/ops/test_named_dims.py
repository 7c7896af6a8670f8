"""Named dimensions: one program for every size, against JAX at each of them."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import logsumexp

import symgrad as sg
from symgrad.run import kernels

SIZES = (0, 1, 2, 17, 300)


THEIRS = SimpleNamespace(
    **vars(jnp),
    softmax=jax.nn.softmax,
    log_softmax=jax.nn.log_softmax,
    logsumexp=logsumexp,
)

#: Functions of an (n, 3) and an (n, 1) array, in symgrad's or JAX's names.
CASES = {
    "sum": lambda xp, x, y: xp.sum(x, 0),
    "sum of all": lambda xp, x, y: xp.sum(x),
    "prod": lambda xp, x, y: xp.prod(x, 0),
    "prod of all": lambda xp, x, y: xp.prod(x),
    "cumulative_sum": lambda xp, x, y: xp.cumulative_sum(x, axis=0),
    "softmax": lambda xp, x, y: xp.softmax(x, 0),
    "log_softmax": lambda xp, x, y: xp.log_softmax(x, 0),
    "logsumexp of rows": lambda xp, x, y: xp.logsumexp(x, 1),
    "max of rows": lambda xp, x, y: xp.max(x, 1),
    "min of rows": lambda xp, x, y: xp.min(x, 1),
    "mean of rows": lambda xp, x, y: xp.mean(x, 1),
    "var of rows": lambda xp, x, y: xp.var(x, 1),
    "outer sums": lambda xp, x, y: xp.sum(x * y, 0) + xp.sum(y),
    "column times": lambda xp, x, y: x * y,
    "add a row": lambda xp, x, y: x + xp.sum(y, 0),
    "Gram": lambda xp, x, y: x @ x.T,
    "product": lambda xp, x, y: x.T @ y,
    "transposed": lambda xp, x, y: xp.sin(x.T),
    "joined": lambda xp, x, y: xp.concat([x, y, x * x], axis=1),
    "stacked": lambda xp, x, y: xp.stack([x, x * y], axis=0),
    "joined along the name": lambda xp, x, y: xp.concat([x, 2 * x], axis=0),
    "flattened": lambda xp, x, y: xp.reshape(x * y, -1),
    "every second": lambda xp, x, y: x[::2] ** 2,
    "reversed": lambda xp, x, y: x[::-1] * y,
    "flip": lambda xp, x, y: xp.flip(x, axis=0),
    "rolled": lambda xp, x, y: xp.roll(x, 3, axis=0) - xp.roll(x, -1, axis=0),
    "normalised": lambda xp, x, y: (x - xp.mean(x, 1, keepdims=True)) * xp.exp(y),
}


def _declare():
    return (
        sg.input("x", ("n", 3), dtype="float64"),
        sg.input("y", ("n", 1), dtype="float64"),
    )


def _arrays(n):
    rng = np.random.default_rng(n)
    return rng.uniform(0.5, 1.5, (n, 3)), rng.normal(size=(n, 1))


@pytest.fixture(scope="module")
def _shared_kernels():
    """Load the kernels that all programs share, those of threads among them."""
    x, y = _declare()
    sg.compile([x, y], sg.sin(x @ x.T) * y, threads=2)(*_arrays(1000))


@pytest.mark.usefixtures("_shared_kernels")
@pytest.mark.parametrize("function", CASES.values(), ids=CASES)
def test_one_program_for_every_size(function):
    x, y = _declare()
    value = function(sg, x, y)
    program = sg.compile([x, y], [value, sg.grad(sg.sum(sg.sin(value)), x)])
    before, report = kernels.counts(), program.report()

    @jax.jit
    def theirs(a, b):
        def loss(a):
            value = function(THEIRS, a, b)
            return jnp.sum(jnp.sin(value)), value

        return jax.grad(loss, has_aux=True)(a)

    for n in (17, *SIZES):  # back and forth
        a, b = _arrays(n)
        found, by_x = program(a, b)
        slope, want = theirs(a, b)
        np.testing.assert_allclose(found, want, 1e-11, 1e-13)
        np.testing.assert_allclose(by_x, slope, 1e-9, 1e-12)
    assert kernels.counts() == before
    after = program.report()
    for what in ("kernels", "unique_kernels", "compile_seconds", "stage_seconds"):
        assert after[what] == report[what]


@pytest.mark.parametrize("n", SIZES)
def test_two_names_at_once(n):
    x = sg.input("x", ("n", "m"), dtype="float64")
    v = sg.input("v", ("m",), dtype="float64")
    loss = sg.sum(sg.logsumexp(x * v, 0)) + sg.mean((x @ v) ** 2)
    program = sg.compile([x, v], [loss, *sg.grad(loss, [x, v])])
    rng = np.random.default_rng(n)
    a, b = rng.normal(size=(n + 1, 4)), rng.normal(size=4)
    for rows, columns in ((a, b), (np.ascontiguousarray(a[:, :1]), b[:1])):
        want, slopes = jax.value_and_grad(
            lambda a, b: jnp.sum(logsumexp(a * b, 0)) + jnp.mean((a @ b) ** 2),
            (0, 1),
        )(rows, columns)
        got = program(rows, columns)
        np.testing.assert_allclose(got[0], want, 1e-11)
        for g, w in zip(got[1:], slopes, strict=True):
            np.testing.assert_allclose(g, w, 1e-9, 1e-12)


def test_sizes_take_part_in_arithmetic():
    x = sg.input("x", ("n", 2), dtype="float64")
    program = sg.compile([x], [sg.mean(x, 0), sg.var(x, correction=1), sg.std(x, 0)])
    for n in SIZES[1:]:
        a, _ = _arrays(n)
        a = a[:, :2].copy()
        mean, spread, deviation = program(a)
        np.testing.assert_allclose(mean, a.mean(0), 1e-12)
        np.testing.assert_allclose(spread, a.var(ddof=1), 1e-12)
        np.testing.assert_allclose(deviation, a.std(0), 1e-12, 1e-14)


def test_statistics_of_nothing_are_as_in_numpy():
    x = sg.input("x", ("n", 2), dtype="float64")
    program = sg.compile(
        [x],
        [
            sg.mean(x, 0),
            sg.var(x, 0),
            sg.logsumexp(x, 0),
            sg.max(x, 0),
            sg.min(x, 0),
            sg.argmax(x, 0),
        ],
    )
    for found, one in zip(
        program(np.zeros((0, 2))),
        (np.nan, np.nan, -np.inf, -np.inf, np.inf, -1),
        strict=True,
    ):
        np.testing.assert_array_equal(found, [one, one])


# -- sizes that must agree -------------------------------------------------------------


def test_one_name_is_one_size():
    x = sg.input("x", ("n", 3))
    y = sg.input("y", ("n",))
    program = sg.compile([x, y], sg.sum(x, 1) * y)
    with pytest.raises(sg.ShapeError, match=r"y has 5 along axis 0 .*n = 4"):
        program(np.ones((4, 3), np.float32), np.ones(5, np.float32))
    with pytest.raises(sg.ShapeError, match=r"y has 1 along axis 0 .*n = 4"):
        program(np.ones((4, 3), np.float32), np.ones(1, np.float32))


def test_one_name_twice_in_one_shape():
    x = sg.input("x", ("n", "n"))
    program = sg.compile([x], sg.sum(x))
    assert program(np.ones((3, 3), np.float32)) == 9
    with pytest.raises(sg.ShapeError, match=r"x has 4 along axis 1 .*n = 3"):
        program(np.ones((3, 4), np.float32))


def test_sizes_made_of_names_are_checked():
    x = sg.input("x", ("n",))
    double = sg.input("double", (2 * x.shape[0],))
    program = sg.compile([x, double], sg.concat([x, x]) * double)
    one = np.ones(3, np.float32)
    assert program(one, np.ones(6, np.float32)).shape == (6,)
    with pytest.raises(
        sg.ShapeError, match=r"'double'.* dimension 0 .*2\*n = 6, not 5"
    ):
        program(one, np.ones(5, np.float32))


def test_different_names_do_not_broadcast():
    x, y = sg.input("x", ("n",)), sg.input("y", ("m",))
    with pytest.raises(sg.ShapeError, match=r"add: .*'x' .*'y' .* n .* m"):
        x + y
    with pytest.raises(sg.ShapeError, match=r"add: .*'x'"):
        x + np.ones(3, np.float32)


def test_a_name_broadcasts_with_one():
    x, y = sg.input("x", ("n", 1)), sg.input("y", (1, "m"))
    z = x * y + 1.0
    assert [str(s) for s in z.shape] == ["n", "m"]
    program = sg.compile([x, y], [z, *sg.grad(sg.sum(z**2), [x, y])])
    for n, m in ((1, 1), (1, 3), (4, 1), (2, 3), (0, 3)):
        a = np.arange(n, dtype=np.float32)[:, None] + 1
        b = np.arange(m, dtype=np.float32)[None] - 1
        found, by_x, by_y = program(a, b)
        want = a * b + 1
        np.testing.assert_allclose(found, want)
        np.testing.assert_allclose(by_x, (2 * want * b).sum(1, keepdims=True))
        np.testing.assert_allclose(by_y, (2 * want * a).sum(0, keepdims=True))


def test_a_named_dimension_of_size_one_does_not_stretch():
    x, y = sg.input("x", ("n",)), sg.input("y", (3,))
    with pytest.raises(sg.ShapeError, match="do not fit"):
        x + y


# -- sizes that must be large enough


@pytest.mark.parametrize(
    ("part", "least"),
    [
        (lambda x: x[5], 6),
        (lambda x: x[-5], 5),
        (lambda x: x[:5], 5),
        (lambda x: x[2:5], 5),
        (lambda x: x[-5:], 5),
        (lambda x: x[:-5], 5),
        (lambda x: x[5:], 5),
        (lambda x: x[5::3], 3),
        (lambda x: sg.take(x, np.array([0, 7, -1]), axis=0), 1),
    ],
)
def test_nothing_out_of_range_is_read(part, least):
    x = sg.input("x", ("n", 2), dtype="float64")
    program = sg.compile([x], [part(x), sg.grad(sg.sum(part(x) ** 2), x)])
    for n in (300, least, least + 1, least + 2):
        a = np.arange(2.0 * n).reshape(n, 2)
        want = a[[0, min(7, n - 1), -1]] if least == 1 else part(a)
        found, slope = program(a)
        np.testing.assert_array_equal(found, want)
        assert slope.shape == a.shape
    with pytest.raises(sg.ShapeError, match=rf"n = {least - 1}.*give larger"):
        program(np.zeros((least - 1, 2)))
    np.testing.assert_array_equal(program(a)[0], want)  # it still runs


def test_what_is_empty_at_every_size():
    x = sg.input("x", ("n",))
    assert x[5:2].shape == (0,)
    with pytest.raises(sg.ShapeError, match=r"take from 'z'.* no elements"):
        sg.take(sg.input("z", (0, 3)), np.array([1]), axis=0)


# -- sizes that must divide ------------------------------------------------------------


def test_reshape_into_a_number_of_rows():
    x = sg.input("x", ("n",), dtype="float64")
    rows = sg.reshape(x, (4, -1))
    assert str(rows.shape[1]) == "(n)//4"
    weights = np.arange(4.0)[:, None]
    y = sg.sum(sg.sin(rows) * weights, 1)
    slope = sg.grad(sg.sum(y**2), x)
    back = sg.reshape(2 * rows, x.shape)
    program = sg.compile([x], [y, slope, sg.sum(rows, 0), back])
    for n in (0, 4, 16, 300):
        a = np.random.default_rng(n).normal(size=n)
        table = a.reshape(4, -1)
        of_rows = (np.sin(table) * weights).sum(1)
        found, by_x, columns, doubled = program(a)
        np.testing.assert_allclose(found, of_rows, 1e-11)
        want = 2 * of_rows[:, None] * weights * np.cos(table)
        np.testing.assert_allclose(by_x, want.ravel(), 1e-11)
        np.testing.assert_allclose(columns, table.sum(0), 1e-11)
        np.testing.assert_array_equal(doubled, 2 * a)
    for n in (1, 17):
        with pytest.raises(
            sg.ShapeError, match=rf"reshape of 'x' .*\[4, .*n = {n}.* divide"
        ):
            program(np.zeros(n))


def test_reshape_by_a_number_and_a_name():
    x = sg.input("x", ("n", "m"))
    y = sg.reshape(x, ("n", 2, -1))
    program = sg.compile([x], sg.sum(y, 1))
    a = np.arange(24, dtype=np.float32).reshape(4, 6)
    np.testing.assert_array_equal(program(a), a.reshape(4, 2, 3).sum(1))
    with pytest.raises(sg.ShapeError, match="m = 3, n = 8"):
        program(a.reshape(8, 3))


def test_reshape_by_another_name_is_an_error():
    x, y = sg.input("x", ("n",)), sg.input("y", ("m",))
    with pytest.raises(sg.ShapeError, match=r"'x' .* n elements, which m does not"):
        sg.reshape(x, (y.shape[0], -1))
    with pytest.raises(sg.ShapeError, match=r"'x' .* n elements, but .* has 2\*m"):
        sg.reshape(x, ("m", 2))
    with pytest.raises(sg.ShapeError, match=r"'x' .* n elements, which 0 does not"):
        sg.reshape(x, (0, -1))


def test_reshape_of_the_right_parity_only():
    x = sg.input("x", (2, "n"))
    assert [str(s) for s in sg.reshape(x, (-1, 2)).shape] == ["n", "2"]
    with pytest.raises(sg.ShapeError, match="'x'"):
        sg.reshape(x, (3, "n"))

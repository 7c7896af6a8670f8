"""Symmetric sums of products, of which one triangle is computed, against NumPy."""

import numpy as np
import pytest

import symgrad as sg

ROWS, COLUMNS = 600, 40
WEIGHTS = {
    "none negative": lambda rng: rng.random(ROWS),
    "of both signs": lambda rng: rng.standard_normal(ROWS),
    "of one sign by blocks": lambda rng: np.where(np.arange(ROWS) < 300, 1.0, -2.0),
    "zero": lambda rng: np.zeros(ROWS),
    "huge and tiny": lambda rng: rng.choice([1e-300, 1.0, 1e150], ROWS),
}


def kinds(program):
    return [g.kind for g in program._parts.plan.groups]


def spelled(X, d):
    """Return the same product as users write it."""
    return {
        "einsum": sg.einsum("ki,k,kj->ij", X, d, X),
        "scaled columns": (X.T * d) @ X,
        "scaled rows": X.T @ (d[:, None] * X),
        "reshaped": X.T @ (sg.reshape(d, (-1, 1)) * X),
    }


@pytest.mark.parametrize("way", ["einsum", "scaled columns", "scaled rows", "reshaped"])
@pytest.mark.parametrize("threads", [1, 2])
def test_weighted(way, threads):
    X = sg.input("X", (ROWS, COLUMNS), "float64")
    d = sg.input("d", (ROWS,), "float64")
    program = sg.compile([X, d], spelled(X, d)[way], threads=threads)
    assert kinds(program) == ["symmetric"]
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, COLUMNS))
    for weights in WEIGHTS.values():
        w = weights(rng)
        found = program(x, w)
        np.testing.assert_array_equal(found, found.T)
        wanted = (x.T * w) @ x
        scale = (np.abs(x).T * np.abs(w)) @ np.abs(x)
        assert (np.abs(found - wanted) <= 1e-13 * scale).all()
    w[7] = np.nan
    assert np.isnan(program(x, w)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("transposed", [False, True])
def test_unweighted(dtype, transposed):
    shape = (COLUMNS, ROWS) if transposed else (ROWS, COLUMNS)
    X = sg.input("X", shape, dtype)
    program = sg.compile([X], X @ X.T if transposed else X.T @ X)
    assert kinds(program) == ["symmetric"]
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    wanted = x @ x.T if transposed else x.T @ x
    tolerance = 1e-4 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(program(x), wanted, tolerance, tolerance * 10)


def test_any_number_of_rows():
    X, d = sg.input("X", ("n", 32)), sg.input("d", ("n",))
    program = sg.compile([X, d], (X.T * d) @ X)
    assert kinds(program) == ["symmetric"]
    rng = np.random.default_rng(0)
    for n in (0, 1, 255, 256, 257, 1000):
        x = rng.standard_normal((n, 32), dtype=np.float32)
        w = rng.random(n, dtype=np.float32)
        np.testing.assert_allclose(program(x, w), (x.T * w) @ x, 1e-4, 1e-3)


def test_summed_over_several_axes():
    X = sg.input("X", (20, 30, 40), "float64")
    program = sg.compile([X], sg.einsum("abi,abj->ij", X, X))
    assert kinds(program) == ["symmetric"]
    x = np.random.default_rng(0).standard_normal(X.shape)
    np.testing.assert_allclose(program(x), np.einsum("abi,abj->ij", x, x), 1e-12, 1e-11)


def test_weighted_copy_that_is_an_output():
    X, d = sg.input("X", (ROWS, COLUMNS)), sg.input("d", (ROWS,))
    scaled = X.T * d
    program = sg.compile([X, d], [scaled @ X, scaled])
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, COLUMNS), dtype=np.float32)
    w = rng.standard_normal(ROWS, dtype=np.float32)
    product, copy = program(x, w)
    np.testing.assert_array_equal(copy, x.T * w)
    np.testing.assert_allclose(product, (x.T * w) @ x, 1e-3, 1e-3)


@pytest.mark.parametrize(
    "build",
    [
        lambda X, Y: X.T @ Y,
        lambda X, Y: X @ X.T,  # fewer rows are summed than the result has
        lambda X, Y: X[:, :8].T @ X[:, :8],  # small
        lambda X, Y: X[:, :33].T @ X[:, 1:34],
    ],
)
def test_other_products_stay_whole(build):
    X, Y = (sg.input(name, (ROWS, COLUMNS)) for name in "XY")
    program = sg.compile([X, Y], build(X, Y))
    assert "symmetric" not in kinds(program)
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal(X.shape, dtype=np.float32) for _ in "xy")
    np.testing.assert_allclose(program(x, y), build(x, y), 1e-3, 1e-3)


@pytest.mark.parametrize(
    ("build", "wanted"),
    [
        (lambda X, d: X.T @ (X * X), lambda x, w: x.T @ (x * x)),
        (lambda X, d: (X * X).T @ (X * X), lambda x, w: (x * x).T @ (x * x)),
        (
            lambda X, d: (X.T * d) @ (d[:, None] * X),
            lambda x, w: (x.T * w**2) @ x,
        ),
        (
            lambda X, d: (X.T * d) @ (d[:, None] * (X * X)),
            lambda x, w: (x.T * w**2) @ (x * x),
        ),
    ],
)
def test_squares_have_a_factor_twice(build, wanted):
    X = sg.input("X", (ROWS, COLUMNS), "float64")
    d = sg.input("d", (ROWS,), "float64")
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal(X.shape), rng.random(ROWS)
    found = sg.compile([X, d], build(X, d))(x, w)
    np.testing.assert_allclose(found, wanted(x, w), 1e-11, 1e-10)


def test_step_of_least_squares_by_normal_equations():
    X, y = sg.input("X", (ROWS, COLUMNS), "float64"), sg.input("y", (ROWS,), "float64")
    w = sg.linalg.solve(X.T @ X, X.T @ y)
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal(X.shape), rng.standard_normal(ROWS)
    found = sg.compile([X, y], w)(x, t)
    np.testing.assert_allclose(found, np.linalg.lstsq(x, t)[0], 1e-10)

"""Kinks and untaken branches; the expected values are written by hand."""

import numpy as np
import pytest

import symgrad as sg

NAN, INF = np.nan, np.inf
ONE_INPUT = [
    # name, function, points, gradient of the sum, gradient of the gradient's sum
    ("relu", sg.relu, [-1, -0.0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]),
    ("abs", sg.abs, [-2, -0.0, 0, 3], [-1, 0, 0, 1], [0, 0, 0, 0]),
    ("sign", sg.sign, [-2, 0, 3], [0, 0, 0], [0, 0, 0]),
    ("floor at integers", sg.floor, [-1, 0, 1], [0, 0, 0], [0, 0, 0]),
    (
        "leaky_relu",
        lambda x: sg.leaky_relu(x, 0.25),
        [-1, 0, 1],
        [0.25, 0.25, 1],
        [0] * 3,
    ),
    ("elu", sg.elu, [-INF, 0, 1], [0, 1, 1], [0, 1, 0]),
    ("hardtanh", sg.hardtanh, [-2, -1, 0, 1, 2], [0, 0.5, 1, 0.5, 0], [0] * 5),
    ("maximum with 0", lambda x: sg.maximum(x, 0), [-1, 0, 1], [0, 0.5, 1], [0] * 3),
    ("minimum with 0", lambda x: sg.minimum(x, 0), [-1, 0, 1], [1, 0.5, 0], [0] * 3),
    ("maximum with itself", lambda x: sg.maximum(x, x), [-1, 0, 2], [1, 1, 1], [0] * 3),
    (
        "clip",
        lambda x: sg.clip(x, -1, 1),
        [-2, -1, 0, 1, 2],
        [0, 0.5, 1, 0.5, 0],
        [0] * 5,
    ),
    ("square of relu", lambda x: sg.relu(x) ** 2, [-1, 0, 2], [0, 0, 4], [0, 0, 2]),
    ("square of abs", lambda x: sg.abs(x) ** 2, [-3, 0, 2], [-6, 0, 4], [2, 0, 2]),
    ("x**2", lambda x: x**2, [-3, 0, 2], [-6, 0, 4], [2, 2, 2]),
    ("x**3", lambda x: x**3, [-3, 0, 2], [27, 0, 12], [-18, 0, 12]),
    ("x**1", lambda x: x**1, [-3, 0, 2], [1, 1, 1], [0, 0, 0]),
    ("x**0", lambda x: x**0, [-3, 0, 2], [0, 0, 0], [0, 0, 0]),
    ("x**1.5", lambda x: x**1.5, [0, 4], [0, 3], [INF, 0.375]),
    ("sqrt", sg.sqrt, [0, 4], [INF, 0.25], [-INF, -1 / 32]),
    ("1/x", lambda x: 1 / x, [-0.5, 2], [-4, -0.25], [-16, 0.25]),
    # the branch that is not taken contributes an exact 0
    (
        "log where positive",
        lambda x: sg.where(x > 0, sg.log(x), 0),
        [-1, 0, 2],
        [0, 0, 0.5],
        [0, 0, -0.25],
    ),
    (
        "sqrt where positive",
        lambda x: sg.where(x > 0, sg.sqrt(x), 0),
        [-1, 0, 4],
        [0, 0, 0.25],
        [0, 0, -1 / 32],
    ),
    (
        "reciprocal where not 0",
        lambda x: sg.where(x == 0, 1, 1 / x),
        [0, 2],
        [0, -0.25],
        [0, 0.25],
    ),
    (
        "exp where small",
        lambda x: sg.where(x < 100, sg.exp(x), x),
        [0, 1000],
        [1, 1],
        [1, 0],
    ),
    (
        "log of a log where defined",
        lambda x: sg.where(x > 1, sg.log(sg.log(x)), x),
        [-1, 0, 1, np.e],
        [1, 1, 1, 1 / np.e],
        [0, 0, 0, -2 / np.e**2],
    ),
    (
        "where in where",
        lambda x: sg.where(x > 0, sg.where(x > 1, sg.log(x - 1), sg.sqrt(x)), x**2),
        [-1, 0, 0.25, 2],
        [-2, 0, 1, 1],
        [2, 2, -2, -1],
    ),
    (
        "infinite where untaken",
        lambda x: sg.where(x > 0, x, x * INF),
        [1, 2],
        [1, 1],
        [0, 0],
    ),
    (
        "product with an untaken branch",
        lambda x: x * sg.where(x > 0, sg.log(x), 0),
        [-1, 0, 1],
        [0, 0, 1],
        [0, 0, 1],
    ),
    (
        "sum of untaken branches",
        lambda x: sg.where(x > 0, sg.log(x), 0) + sg.where(x < 0, sg.log(-x), 0),
        [-2, 0, 2],
        [-0.5, 0, 0.5],
        [-0.25, 0, -0.25],
    ),
    (
        "a root used twice where positive",
        lambda x: sg.where(x > 0, sg.sin(sg.sqrt(x)) * sg.sqrt(x), 0),
        [-1, 0],
        [0, 0],
        [0, 0],
    ),
    (
        "roots in two branches",
        lambda x: sg.where(x > 1, sg.sqrt(x), 0) + sg.where(x > 3, 2 * sg.sqrt(x), 0),
        [-1, 0, 4],
        [0, 0, 0.75],
        [0, 0, -3 / 32],
    ),
    (
        "where in where, untaken inside",
        lambda x: sg.where(x > 0, sg.where(x > 1, sg.log(x - 1), sg.sqrt(x)), x),
        [0, 1, 2],
        [1, 0.5, 1],
        [0, -0.25, -1],
    ),
    (
        "norm guarded at 0",
        lambda x: sg.where(x * x > 0, sg.sqrt(x * x), 0),
        [-3, 0, 2],
        [-1, 0, 1],
        [0, 0, 0],
    ),
    (
        "atan2 guarded at 0",
        lambda x: sg.where(x == 0, 0, sg.atan2(x, x)),
        [0, 2],
        [0, 0],
        [0, 0],
    ),
]


@pytest.mark.parametrize(
    ("function", "points", "first", "second"),
    [line[1:] for line in ONE_INPUT],
    ids=[line[0] for line in ONE_INPUT],
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_derivatives(function, points, first, second, dtype):
    x = sg.input("x", ("n",), dtype=dtype)
    g = sg.grad(sg.sum(function(x)), x)
    try:
        h = sg.grad(sg.sum(g), x)
    except sg.GraphError:  # the gradient is constant
        h = sg.zeros_like(x)
    got, again = sg.compile([x], [g, h])(np.asarray(points, dtype))
    tolerance = 1e-14 if dtype == "float64" else 1e-6
    np.testing.assert_allclose(got, first, tolerance, err_msg="first derivative")
    np.testing.assert_allclose(again, second, tolerance, tolerance, err_msg="second")


TIES = [
    # name, function, array, gradient
    ("max all equal", sg.max, [2, 2, 2, 2], [0.25] * 4),
    ("max two equal", sg.max, [3, 1, 3, 2], [0.5, 0, 0.5, 0]),
    ("min two equal", sg.min, [3, 1, 3, 1], [0, 0.5, 0, 0.5]),
    ("max of signed zeros", sg.max, [-1, -0.0, 0.0], [0, 0.5, 0.5]),
    ("max of infinities", sg.max, [-INF, INF, INF, 0], [0, 0.5, 0.5, 0]),
    ("max of all -inf", sg.max, [-INF, -INF], [0.5, 0.5]),
    ("prod without zeros", sg.prod, [2, 3, 4], [12, 8, 6]),
    ("prod with a zero", sg.prod, [2, 0, 4], [0, 8, 0]),
    ("prod with two zeros", sg.prod, [2, 0, 0], [0, 0, 0]),
    ("logsumexp of equals", sg.logsumexp, [1000, 1000], [0.5, 0.5]),
    ("logsumexp with -inf", sg.logsumexp, [-INF, 0, 0], [0, 0.5, 0.5]),
]


@pytest.mark.parametrize(
    ("function", "array", "expected"),
    [line[1:] for line in TIES],
    ids=[line[0] for line in TIES],
)
def test_reductions(function, array, expected):
    x = sg.input("x", (len(array),), dtype="float64")
    g = sg.grad(function(x), x)
    got = sg.compile([x], g)(np.asarray(array, "float64"))
    np.testing.assert_allclose(got, expected, 1e-14)


def test_ties_along_an_axis():
    array = np.array([[1.0, 1, 0], [2, 5, 5], [3, 3, 3]])
    x = sg.input("x", (3, 3), dtype="float64")
    weights = np.array([6.0, 10, 9])
    got = sg.compile([x], sg.grad(sg.sum(sg.max(x, 1) * weights), x))(array)
    np.testing.assert_array_equal(got, [[3, 3, 0], [0, 5, 5], [3, 3, 3]])


def test_prod_with_zeros_has_exact_second_derivatives():
    x = sg.input("x", (2, 3), dtype="float64")
    g = sg.grad(sg.sum(sg.prod(x, 1)), x)
    h = sg.grad(sg.sum(g * np.array([[1.0, 10, 100], [1, 10, 100]])), x)
    got, again = sg.compile([x], [g, h])(np.array([[2.0, 0, 5], [0, 3, 0]]))
    np.testing.assert_array_equal(got, [[0, 10, 0], [0, 0, 0]])
    # d²(abc)/da db = c, weighted: for a, 10c + 100b; for b, c + 100a; for c, b + 10a
    np.testing.assert_array_equal(again, [[50, 205, 20], [300, 0, 3]])


def test_ties_of_a_binary_maximum_share_with_broadcasting():
    x = sg.input("x", (2, 3), dtype="float64")
    y = sg.input("y", (3,), dtype="float64")
    program = sg.compile([x, y], sg.grad(sg.sum(sg.maximum(x, y)), [x, y]))
    by_x, by_y = program(np.array([[1.0, 2, 3], [0, 0, 0]]), np.array([1.0, 0, 5]))
    np.testing.assert_array_equal(by_x, [[0.5, 1, 0], [0, 0.5, 0]])
    np.testing.assert_array_equal(by_y, [1.5, 0.5, 2])


def test_an_infinite_cotangent_does_not_pass_an_untaken_branch():
    x = sg.input("x", (3,), dtype="float64")
    seed = np.array([INF, NAN, 2.0])
    kept = sg.vjp(sg.where(x > 0, x, 0), x, seed)
    relu = sg.vjp(sg.relu(x), x, seed)
    found = sg.compile([x], [kept, relu])(np.array([-1.0, -1, 3]))
    for got in found:
        np.testing.assert_array_equal(got, [0, 0, 2])

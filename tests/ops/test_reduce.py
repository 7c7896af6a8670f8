"""Reductions and what is built of them, against JAX."""

import jax
import jax.numpy as jnp
import jax.scipy.special as special
import numpy as np
import pytest

import symgrad as sg
from tests.ops.harness import (
    Case,
    booleans,
    check,
    distinct,
    given,
    integers,
    positive,
    real,
    run,
    table,
)

INF, NAN = np.inf, np.nan
AXES = [None, 0, 1, -1, (0, 2), (-1, 1), (0, 1, 2)]
REDUCTIONS = {
    "sum": (sg.sum, jnp.sum, real),
    "mean": (sg.mean, jnp.mean, real),
    "prod": (sg.prod, jnp.prod, positive),
    "max": (sg.max, jnp.max, distinct),
    "min": (sg.min, jnp.min, distinct),
    "var": (sg.var, jnp.var, real),
    "std": (sg.std, jnp.std, real),
    "logsumexp": (sg.logsumexp, special.logsumexp, real),
}


def _with(function, **options):
    return lambda x: function(x, **options)


CASES = [
    *(
        Case(f"{n} axis={a}", _with(f, axis=a), _with(g, axis=a), (spec(2, 3, 4),))
        for n, (f, g, spec) in REDUCTIONS.items()
        for a in AXES
    ),
    *(
        Case(
            f"{n} axis={a} keepdims",
            _with(f, axis=a, keepdims=True),
            _with(g, axis=a, keepdims=True),
            (spec(2, 3, 4),),
        )
        for n, (f, g, spec) in REDUCTIONS.items()
        for a in (None, 1, (0, 2))
    ),
    *(
        Case(
            f"{n} of size-1 axes", _with(f, axis=1), _with(g, axis=1), (spec(3, 1, 2),)
        )
        for n, (f, g, spec) in REDUCTIONS.items()
        if n != "std"  # the root of a variance of 0 has no slope
    ),
    *(
        Case(f"{n} of one number", _with(f), _with(g), (spec(),))
        for n, (f, g, spec) in REDUCTIONS.items()
        if n not in ("std", "var")
    ),
    *(
        Case(
            f"{n} to an empty result", _with(f, axis=1), _with(g, axis=1), (spec(0, 3),)
        )
        for n, (f, g, spec) in REDUCTIONS.items()
    ),
    *(
        Case(f"{n} of nothing", _with(f, axis=0), _with(g, axis=0), (real(0, 3),))
        for n, f, g in (("sum", sg.sum, jnp.sum), ("prod", sg.prod, jnp.prod))
    ),
    *(
        Case(
            f"{n} with correction",
            _with(f, axis=1, correction=1),
            _with(g, axis=1, ddof=1),
            (real(3, 5),),
        )
        for n, f, g in (("var", sg.var, jnp.var), ("std", sg.std, jnp.std))
    ),
    *(
        Case(f"{n} axis={a}", _with(f, axis=a), _with(g, axis=a), (real(2, 3, 4),))
        for n, f, g in (
            ("softmax", sg.softmax, jax.nn.softmax),
            ("log_softmax", sg.log_softmax, jax.nn.log_softmax),
        )
        for a in (0, 1, -1, (1, 2))
    ),
    *(
        Case(f"{n} axis={a}", _with(f, axis=a), _with(g, axis=a), (positive(2, 3, 4),))
        for n, f, g in (
            ("cumulative_sum", sg.cumulative_sum, jnp.cumsum),
            ("cumulative_prod", sg.cumulative_prod, jnp.cumprod),
        )
        for a in (0, 1, -1)
    ),
    Case("cumulative_sum of a vector", sg.cumulative_sum, jnp.cumsum, (real(7),)),
    Case(
        "cumulative_sum from 0",
        _with(sg.cumulative_sum, axis=1, include_initial=True),
        _with(jnp.cumulative_sum, axis=1, include_initial=True),
        (real(3, 4),),
    ),
    Case(
        "cumulative_prod with zeros",
        sg.cumulative_prod,
        lambda x: jnp.stack(
            [x[0], x[0] * x[1], x[0] * x[1] * x[2], x[0] * x[1] * x[2] * x[3]]
        ),
        (given([2.0, 0, 3, 0]),),
    ),
    Case(
        "prod with a zero", sg.prod, lambda x: x[0] * x[1] * x[2], (given([2.0, 0, 3]),)
    ),
    Case(
        "prod with two zeros",
        sg.prod,
        lambda x: x[0] * x[1] * x[2] * x[3],
        (given([2.0, 0, 0, 3]),),
    ),
    Case(
        "prod of three zeros",
        sg.prod,
        lambda x: x[0] * x[1] * x[2],
        (given([0.0, 0, 0]),),
    ),
    Case(
        "sum of squares",
        lambda x: sg.sum(x * x, 1),
        lambda x: jnp.sum(x * x, 1),
        (real(5, 9),),
    ),
    Case(
        "normalised",
        lambda x: x / sg.sum(x, 1, keepdims=True),
        lambda x: x / jnp.sum(x, 1, keepdims=True),
        (positive(3, 4),),
    ),
    Case(
        "norm of rows",
        lambda x: sg.sqrt(sg.sum(x * x, -1)),
        lambda x: jnp.sqrt(jnp.sum(x * x, -1)),
        (real(3, 4),),
    ),
    Case(
        "max minus min",
        lambda x: sg.max(x, 0) - sg.min(x, 0),
        lambda x: jnp.max(x, 0) - jnp.min(x, 0),
        (distinct(4, 5),),
    ),
    Case(
        "sum of a max",
        lambda x: sg.sum(sg.max(x, 1) ** 2),
        lambda x: jnp.sum(jnp.max(x, 1) ** 2),
        (distinct(4, 5),),
    ),
    Case(
        "sum of a long row",
        lambda x: sg.sum(sg.sin(x)),
        lambda x: jnp.sum(jnp.sin(x)),
        (real(3000),),
    ),
    Case(
        "sum of long columns",
        lambda x: sg.sum(sg.sin(x), 0),
        lambda x: jnp.sum(jnp.sin(x), 0),
        (real(3000, 2),),
    ),
    Case(
        "softmax of large numbers",
        sg.softmax,
        jax.nn.softmax,
        (given([[1000.0, 1001, 999], [-1000, -1e4, -1001]]),),
    ),
    Case(
        "log_softmax of large numbers",
        sg.log_softmax,
        jax.nn.log_softmax,
        (given([[1000.0, 1001, 999], [-1000, -1e4, -1001]]),),
    ),
    Case(
        "logsumexp of large numbers",
        _with(sg.logsumexp, axis=1),
        _with(special.logsumexp, axis=1),
        (given([[1000.0, 1001, 999], [-1000, -1e4, -1001]]),),
    ),
]


@table(CASES)
def test_against_jax(case):
    check(case)


def _total_of(name, dtype):
    return lambda x: getattr(jnp, name)(x).astype(dtype)


EXACT = [
    *(
        Case(f"{n} {k}", _with(getattr(sg, n)), _with(getattr(jnp, n)), (spec,))
        for n in ("argmax", "argmin")
        for k, spec in (
            ("of a vector", real(7)),
            ("of a matrix", real(3, 4)),
            ("of integers", integers(-2, 3, 3, 4)),
            ("of bools", booleans(7)),
            ("with ties", given([1.0, 3, 3, 0, 0])),
            ("with NaN", given([1.0, NAN, 9, NAN, -9])),
            ("with infinities", given([0.0, INF, -INF, INF, -INF])),
            ("of one element", real(1)),
        )
    ),
    *(
        Case(
            f"{n} axis={a}{' keepdims' * k}",
            _with(getattr(sg, n), axis=a, keepdims=k),
            _with(getattr(jnp, n), axis=a, keepdims=k),
            (real(2, 3, 4),),
        )
        for n in ("argmax", "argmin")
        for a in (0, 1, -1)
        for k in (False, True)
    ),
    *(
        Case(
            f"{n} axis={a} of {what}",
            _with(getattr(sg, n), axis=a),
            _with(getattr(jnp, n), axis=a),
            (spec,),
        )
        for n in ("any", "all")
        for a in (None, 0, (0, 1))
        for what, spec in (
            ("bools", booleans(3, 2, 2)),
            ("integers", integers(0, 2, 3, 2, 2)),
            ("floats", given([[0.0, -0.0, NAN], [0, 1e-30, 0]])),
        )
    ),
    Case("any of nothing", sg.any, jnp.any, (booleans(0),)),
    Case("all of nothing", sg.all, jnp.all, (booleans(0),)),
    *(
        Case(f"{n} of {what}", _with(getattr(sg, n)), _total_of(n, kind), (spec,))
        for n in ("sum", "prod")
        for what, spec, kind in (
            ("int64", integers(-3, 4, 4, 5), "int64"),
            ("int32", integers(-3, 4, 4, 5, dtype="int32"), "int64"),
            ("bools", booleans(4, 5), "int64"),
        )
    ),
    *(
        Case(
            f"{n} of {k}",
            _with(getattr(sg, n), axis=1),
            _with(getattr(jnp, n), axis=1),
            (integers(-9, 9, 4, 5, dtype=k),),
        )
        for n in ("max", "min")
        for k in ("int32", "int64")
    ),
    *(
        Case(
            f"{n} of bools",
            _with(getattr(sg, n), axis=1),
            _with(getattr(jnp, n), axis=1),
            (booleans(4, 2),),
        )
        for n in ("max", "min")
    ),
    Case(
        "cumulative_sum of int32",
        sg.cumulative_sum,
        lambda x: jnp.cumsum(x, dtype="int64"),
        (integers(-3, 4, 6, dtype="int32"),),
    ),
    Case(
        "cumulative_sum of bools",
        sg.cumulative_sum,
        lambda x: jnp.cumsum(x, dtype="int64"),
        (booleans(6),),
    ),
    Case(
        "mean of integers",
        lambda x: sg.mean(x, 0),
        lambda x: jnp.mean(x, 0, dtype="float32"),
        (integers(-9, 9, 4, 5),),
        1e-6,
    ),
    Case(
        "var of integers",
        lambda x: sg.var(x, 0),
        lambda x: jnp.var(x.astype("float32"), 0),
        (integers(-9, 9, 4, 5),),
        1e-5,
    ),
]


@table(EXACT)
def test_without_derivatives(case):
    check(case)


EXTREME = [
    ("sum", [[INF, 1], [-INF, INF], [NAN, 1]], [INF, NAN, NAN]),
    ("max", [[INF, 1], [-INF, -INF], [NAN, 1], [1, NAN]], [INF, -INF, NAN, NAN]),
    ("min", [[INF, INF], [-INF, 1], [NAN, 1], [1, NAN]], [INF, -INF, NAN, NAN]),
    ("prod", [[INF, 0], [-INF, 2], [NAN, 0]], [NAN, -INF, NAN]),
    ("logsumexp", [[-INF, -INF], [INF, 1], [-INF, 2], [NAN, 1]], [-INF, INF, 2, NAN]),
    ("softmax", [[-INF, 0], [-INF, -INF], [NAN, 0]], [[0, 1], [NAN, NAN], [NAN, NAN]]),
    ("log_softmax", [[-INF, 0], [NAN, 0]], [[-INF, 0], [NAN, NAN]]),
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "rows", "want"), EXTREME, ids=[e[0] for e in EXTREME])
def test_infinity_and_nan(name, rows, want, dtype):
    array = np.asarray(rows, dtype)
    got = run([array], lambda x: getattr(sg, name)(x, axis=1))
    np.testing.assert_array_equal(got, np.asarray(want, dtype))


def test_masked_rows_have_gradients_without_nan():
    x = sg.input("x", (2, 3), dtype="float64")
    scores = sg.where(np.array([[True, True, False], [True, False, False]]), x, -INF)
    g = sg.grad(sg.sum(sg.softmax(scores) * np.arange(6.0).reshape(2, 3)), x)
    got = sg.compile([x], g)(np.zeros((2, 3)))
    np.testing.assert_allclose(got, [[-0.25, 0.25, 0], [0, 0, 0]], 1e-15)


@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin"])
def test_extremum_of_nothing_is_an_error_at_declaration(name):
    with pytest.raises(sg.ShapeError, match=f"{name} of 'x'.*empty axis"):
        getattr(sg, name)(sg.input("x", (0, 3)), axis=0)


@pytest.mark.parametrize("name", ["sum", "max", "softmax", "cumulative_sum", "argmax"])
def test_unknown_axis_is_an_error_that_names_the_tensor(name):
    with pytest.raises(sg.ShapeError, match=r"axis 2.*'x' float32\[3, 4\]"):
        getattr(sg, name)(sg.input("x", (3, 4)), axis=2)


def test_axis_given_twice_is_an_error():
    with pytest.raises(sg.ShapeError, match="twice"):
        sg.sum(sg.input("x", (3, 4)), axis=(0, -2))


def test_long_sums_of_float32_stay_accurate():
    x = sg.input("x", (10_000_000,))
    rows = sg.reshape(x, (4, -1))
    program = sg.compile([x], [sg.sum(x), sg.mean(x), sg.sum(rows, 1), sg.sum(rows, 0)])
    rng = np.random.default_rng(0)
    array = rng.uniform(0, 1, 10_000_000).astype("float32")
    wide = array.astype("float64")
    total, mean, of_rows, of_columns = program(array)
    np.testing.assert_allclose(total, wide.sum(), 1e-5)
    np.testing.assert_allclose(mean, wide.mean(), 1e-5)
    np.testing.assert_allclose(of_rows, wide.reshape(4, -1).sum(1), 1e-5)
    np.testing.assert_allclose(of_columns, wide.reshape(4, -1).sum(0), 1e-5)


def test_long_columns_and_products_of_float32_stay_accurate():
    x = sg.input("x", ("n", 2))
    program = sg.compile([x], [sg.sum(x, 0), sg.sum(x * x), sg.cumulative_sum(x, 0)])
    array = np.full((2_000_000, 2), 0.1, "float32")
    columns, squares, running = program(array)
    exact = float(np.float32(0.1))
    np.testing.assert_allclose(columns, [2e6 * exact] * 2, 1e-5)
    np.testing.assert_allclose(squares, 4e6 * exact**2, 1e-5)
    np.testing.assert_allclose(running[-1], [2e6 * exact] * 2, 1e-5)

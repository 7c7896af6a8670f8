"""Reductions at the edges of types: result types, float32, layouts, extreme values."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import jax.scipy.special as special
import numpy as np
import pytest

import symgrad as sg
from tests.ops.harness import Case, check, distinct, positive, real, run, table

INF, NAN = np.inf, np.nan
JAX = SimpleNamespace(
    **vars(jnp),
    logsumexp=special.logsumexp,
    softmax=jax.nn.softmax,
    log_softmax=jax.nn.log_softmax,
)
FLOATING = ("mean", "var", "std", "logsumexp", "softmax", "log_softmax")
KEEPING = ("sum", "prod", "max", "min", "cumulative_sum", "cumulative_prod")

# -- the type of the result, as the array API standard has it

#: bool, int32, int64, float32, float64 -> result
RESULTS = {
    "sum": ("int64", "int64", "int64", "float32", "float64"),
    "prod": ("int64", "int64", "int64", "float32", "float64"),
    "cumulative_sum": ("int64", "int64", "int64", "float32", "float64"),
    "cumulative_prod": ("int64", "int64", "int64", "float32", "float64"),
    "max": ("bool", "int32", "int64", "float32", "float64"),
    "min": ("bool", "int32", "int64", "float32", "float64"),
    "argmax": ("int64",) * 5,
    "argmin": ("int64",) * 5,
    "any": ("bool",) * 5,
    "all": ("bool",) * 5,
    # of integers: the default float, which is float32
    **dict.fromkeys(FLOATING, ("float32",) * 4 + ("float64",)),
}


@pytest.mark.parametrize("name", RESULTS)
def test_type_of_the_result(name):
    types = ("bool", "int32", "int64", "float32", "float64")
    arrays = [np.array([[3, 0, 1], [2, 5, 4]]).astype(d) for d in types]
    found = run(arrays, lambda *xs: [getattr(sg, name)(x, axis=1) for x in xs])
    for got, array, want in zip(found, arrays, RESULTS[name], strict=True):
        assert got.dtype == want
        wide = array.astype(bool if array.dtype == bool else "float64")
        if name in KEEPING + FLOATING and array.dtype == bool and want != "bool":
            wide = wide.astype("float64")
        exact = getattr(JAX, name)(wide, axis=1)
        np.testing.assert_allclose(got, np.asarray(exact).astype(want), 1e-6)


def test_integers_do_not_lose_digits():
    large = np.array([2**53 + 1, 1, -(2**60), 2**60], "int64")
    total, top, running = run(
        [large], lambda x: [sg.sum(x), sg.max(x), sg.cumulative_sum(x)]
    )
    assert total == 2**53 + 2
    assert top == 2**60
    np.testing.assert_array_equal(running, np.cumsum(large))
    many = np.full(3, 2**31 - 1, "int32")
    np.testing.assert_array_equal(
        run([many], lambda x: [sg.sum(x), sg.prod(x[:2]), sg.min(x)]),
        [3 * (2**31 - 1), (2**31 - 1) ** 2, 2**31 - 1],
    )


# -- float32


def _case(name, spec, rtol=1e-5):
    return Case(
        f"{name} of float32",
        lambda x: getattr(sg, name)(x, axis=1),
        lambda x: getattr(JAX, name)(x, axis=1),
        (lambda rng: spec(rng).astype("float32"),),
        rtol,
    )


@table(
    [
        *(_case(n, real(3, 5)) for n in ("sum", *FLOATING, "cumulative_sum")),
        *(_case(n, positive(3, 5)) for n in ("prod", "cumulative_prod")),
        *(_case(n, distinct(3, 5)) for n in ("max", "min")),
    ]
)
def test_float32_against_jax(case):
    check(case)


# -- arrays of any layout, and operands that are broadcast


LAYOUTS = {
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "every second": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "reversed": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "in another byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
    "read only": lambda a: _read_only(a),
}


def _read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def test_arrays_of_any_layout():
    x = sg.input("x", (4, 6), dtype="float64")
    names = ("sum", "max", "var", "logsumexp", "softmax", "cumulative_sum", "argmin")
    values = [getattr(sg, n)(x, axis=a) for n in names for a in (0, 1)]
    program = sg.compile([x], [*values, sg.grad(sg.sum(sg.sin(sg.sum(x, 0))), x)])
    plain = np.random.default_rng(0).normal(size=(4, 6))
    for name, arrange in LAYOUTS.items():
        array = arrange(plain)
        want = program(np.array(array, "float64"))
        for got, expected in zip(program(array), want, strict=True):
            np.testing.assert_array_equal(got, expected, name)


@table(
    [
        Case(
            f"{name} of a {what}",
            lambda x, y, n=name: getattr(sg, n)(x * y, axis=(0, 2)),
            lambda x, y, n=name: getattr(JAX, n)(x * y, axis=(0, 2)),
            (positive(*one), positive(*other)),
        )
        for name in ("sum", "max", "prod", "var", "logsumexp")
        for what, one, other in (
            ("row by a column", (1, 4), (2, 3, 1)),
            ("number by an array", (), (2, 3, 4)),
        )
    ]
)
def test_broadcast_operands(case):
    check(case)


def test_of_a_tensor_broadcast_along_the_axis():
    a = np.arange(3.0)[:, None]
    b = np.zeros((1, 5))
    rows, top, slope = run(
        [a, b],
        lambda x, y: [
            sg.sum(sg.broadcast_to(x, (3, 5)), 1),
            sg.max(x + y, 1),
            sg.grad(sg.sum(sg.max(x + y, 1) ** 2), y),
        ],
    )
    np.testing.assert_array_equal(rows, [0, 5, 10])
    np.testing.assert_array_equal(top, [0, 1, 2])
    np.testing.assert_allclose(slope, np.full((1, 5), 6 / 5))


# -- huge, tiny, infinite


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_numbers_near_the_ends_of_the_range(dtype):
    info = np.finfo(dtype)
    big, tiny = info.max, info.tiny
    rows = np.array(
        [[big, big, -big], [big / 4, big / 4, big / 4], [tiny, tiny, tiny]], dtype
    )
    names = ("max", "min", "logsumexp", "softmax", "log_softmax", "mean", "sum")
    found = run([rows], lambda x: {n: getattr(sg, n)(x, axis=1) for n in names})
    np.testing.assert_array_equal(found["max"], [big, big / 4, tiny])
    np.testing.assert_array_equal(found["min"], [-big, big / 4, tiny])
    third, half = dtype_of(1 / 3, dtype), dtype_of(0.5, dtype)
    np.testing.assert_allclose(
        found["softmax"], [[half, half, 0], [third] * 3, [third] * 3], info.eps
    )
    np.testing.assert_allclose(
        found["logsumexp"], [big, big / 4, np.log(3)], 4 * info.eps
    )
    np.testing.assert_allclose(
        found["log_softmax"][1:], np.full((2, 3), -np.log(3)), 4 * info.eps
    )
    assert found["log_softmax"][0, 2] == -INF
    np.testing.assert_allclose(found["mean"][1:], [big / 4, tiny], 4 * info.eps)
    np.testing.assert_allclose(found["sum"][1:], [big / 4 * 3, tiny * 3], 4 * info.eps)


def dtype_of(value, dtype):
    return np.dtype(dtype).type(value)


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-9), ("float32", 1e-3)])
def test_variance_far_from_zero(dtype, rtol):
    offset = 1e6 if dtype == "float64" else 1e3
    array = (np.random.default_rng(0).normal(size=10_000) + offset).astype(dtype)
    want = array.astype("float64").var()
    np.testing.assert_allclose(run([array], sg.var), want, rtol)
    np.testing.assert_allclose(run([array], sg.std), np.sqrt(want), rtol)


def test_gradients_where_values_are_infinite_or_nan():
    cases = {
        "sum": ([1, INF, NAN], [1, 1, 1]),
        "max": ([1, INF, 2], [0, 1, 0]),
        "min": ([1, INF, 2], [1, 0, 0]),
        "logsumexp": ([-INF, 0, 0], [0, 0.5, 0.5]),
    }
    for name, (values, want) in cases.items():
        array = np.array(values, "float64")
        got = run([array], lambda x, n=name: sg.grad(getattr(sg, n)(x), x))
        np.testing.assert_array_equal(got, want, name)


def test_derivatives_of_masked_sums_stay_finite():
    """What ``where`` leaves out adds exactly nothing, were it infinite."""
    mask = np.array([True, False, True])
    array = np.array([1.0, 0.0, 2.0])
    total, slope = run(
        [array],
        lambda x: (
            y := sg.sum(sg.where(mask, sg.log(x), 0.0)),
            sg.grad(y, x),
        ),
    )
    np.testing.assert_allclose(total, np.log(2))
    np.testing.assert_array_equal(slope, [1, 0, 0.5])

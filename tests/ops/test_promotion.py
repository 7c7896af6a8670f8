"""The type in which operands meet, for every pair of types, and what values result.

The array API standard says how types of one kind promote; what it leaves open is as in
JAX: a float type wins over an integer type, whatever their widths.
"""

import operator
import warnings

import jax.numpy as jnp
import numpy as np
import pytest

import symgrad as sg
from tests.ops.harness import run

TYPES = ("bool", "int32", "int64", "float32", "float64")
FLOATS = ("float32", "float64")

#: From the standard's "type promotion rules", and JAX's "type promotion semantics".
TABLE = {
    ("bool", "bool"): "bool",
    ("bool", "int32"): "int32",
    ("bool", "int64"): "int64",
    ("bool", "float32"): "float32",
    ("bool", "float64"): "float64",
    ("int32", "int32"): "int32",
    ("int32", "int64"): "int64",
    ("int32", "float32"): "float32",
    ("int32", "float64"): "float64",
    ("int64", "int64"): "int64",
    ("int64", "float32"): "float32",
    ("int64", "float64"): "float64",
    ("float32", "float32"): "float32",
    ("float32", "float64"): "float64",
    ("float64", "float64"): "float64",
}
PAIRS = [(a, b) for a in TYPES for b in TYPES]


def meet(a, b):
    return TABLE.get((a, b)) or TABLE[b, a]


def same(kind):
    """Numbers stay as they are."""
    return kind


def counted(kind):
    """Truth values are added and multiplied as integers."""
    return "int64" if kind == "bool" else kind


def floating(kind):
    """What need not be whole is a float, by default float32."""
    return kind if kind in FLOATS else "float32"


def truth(kind):
    del kind
    return "bool"


#: name -> our function, NumPy's, type of the result for the type in which they meet.
BINARY = {
    "+": (operator.add, np.add, counted),
    "-": (operator.sub, np.subtract, counted),
    "*": (operator.mul, np.multiply, counted),
    "/": (operator.truediv, np.divide, floating),
    "//": (operator.floordiv, np.floor_divide, counted),
    "**": (operator.pow, np.power, counted),
    "maximum": (sg.maximum, np.maximum, same),
    "minimum": (sg.minimum, np.minimum, same),
    "<": (operator.lt, np.less, truth),
    "<=": (operator.le, np.less_equal, truth),
    ">": (operator.gt, np.greater, truth),
    ">=": (operator.ge, np.greater_equal, truth),
    "==": (operator.eq, np.equal, truth),
    "!=": (operator.ne, np.not_equal, truth),
    "atan2": (sg.atan2, np.arctan2, floating),
    "where": (
        lambda a, b: sg.where(np.array([True, False, True, False]), a, b),
        lambda a, b: np.where([True, False, True, False], a, b),
        same,
    ),
}
LEFT = np.array([3, 1, 7, 2])
RIGHT = np.array([2, 1, 3, 4])


def test_the_table_is_that_of_the_standard_and_of_jax():
    for (a, b), kind in TABLE.items():
        assert jnp.promote_types(a, b) == kind
        if a[:3] == b[:3]:
            assert np.result_type(a, b) == kind


@pytest.mark.parametrize("name", BINARY)
def test_every_pair_of_types(name):
    ours, theirs, result = BINARY[name]
    left = {k: LEFT.astype(k) for k in TYPES}
    right = {k: RIGHT.astype(k) for k in TYPES}
    found = run(
        [*left.values(), *right.values()],
        lambda *xs: [
            ours(x, y)
            for x, y in ((xs[TYPES.index(a)], xs[5 + TYPES.index(b)]) for a, b in PAIRS)
        ],
    )
    for (a, b), got in zip(PAIRS, found, strict=True):
        kind = result(meet(a, b))
        assert got.dtype == kind, f"{a} {name} {b}"
        within = meet(a, b) if result is truth else kind
        want = theirs(left[a].astype(within), right[b].astype(within))
        np.testing.assert_allclose(got, want, 1e-6, err_msg=f"{a} {name} {b}")


@pytest.mark.parametrize("a", TYPES)
@pytest.mark.parametrize("b", TYPES)
def test_matrix_products_and_joins(a, b):
    x, y = sg.input("x", (2, 3), dtype=a), sg.input("y", (3, 2), dtype=b)
    kind = meet(a, b)
    assert (x @ y).dtype == counted(kind)
    assert sg.concat([x, y.T]).dtype == kind
    assert sg.stack([x, y.T]).dtype == kind
    assert sg.tensordot(x, y, 1).dtype == counted(kind)
    assert sg.einsum("ij,jk->ik", x, y).dtype == counted(kind)


# -- Python's numbers are weak


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize(
    ("number", "kinds"),
    [
        (True, ("bool", "int32", "int64", "float32", "float64")),
        (2, ("int64", "int32", "int64", "float32", "float64")),
        (2.5, ("float32", "float32", "float32", "float32", "float64")),
    ],
)
def test_numbers_take_the_type_beside_them(name, number, kinds):
    ours, _, result = BINARY[name]
    for kind, meeting in zip(TYPES, kinds, strict=True):
        x = sg.input("x", (4,), dtype=kind)
        assert ours(x, number).dtype == result(meeting), kind
        assert ours(number, x).dtype == result(meeting), kind


def test_numbers_do_not_widen_through_a_chain():
    x = sg.input("x", (3,))
    y = 2 * x + 1.5 - x / 3 + True + sg.where(x > 0, x, 0.0) ** 2 + sg.clip(x, 0, 1)
    assert y.dtype == "float32"
    assert sg.grad(sg.sum(y), x).dtype == "float32"
    assert sg.mean(y, keepdims=True).dtype == "float32"


def test_numpys_scalars():
    x = sg.input("x", (3,))
    assert (x * np.float64(2)).dtype == "float32"  # it is a Python float
    assert (x * np.int64(2)).dtype == "float32"
    assert (x * np.float32(2)).dtype == "float32"
    assert (x * np.array(2.0)).dtype == "float64"  # an array has a type
    n = sg.input("n", (3,), dtype="int32")
    assert (n * np.int64(2)).dtype == "int64"
    assert (n + np.bool_(True)).dtype == "int32"


def test_named_sizes_are_weak():
    x = sg.input("x", ("n",))
    assert (x * x.shape[0]).dtype == "float32"
    assert (sg.input("k", ("n",), dtype="int32") * x.shape[0]).dtype == "int32"


def test_numbers_that_do_not_fit_are_errors():
    x = sg.input("x", (3,), dtype="int32")
    with pytest.raises(sg.DTypeError, match=r"1099511627776 .*int32"):
        x + 2**40
    with pytest.raises(sg.DTypeError, match="int64"):
        x.astype("int64") + 2**70
    with pytest.raises(sg.DTypeError, match="int32"):
        sg.full((2,), 2**40, "int32")


# -- one operand


UNARY = {
    "negative": counted,
    "abs": same,
    "sign": same,
    "square": same,
    "floor": same,
    "ceil": same,
    "trunc": same,
    "round": same,
    "relu": same,
    "isnan": truth,
    "isfinite": truth,
    "stop_gradient": same,
    **dict.fromkeys(
        (
            "exp",
            "log",
            "sqrt",
            "sin",
            "tanh",
            "sigmoid",
            "softplus",
            "erf",
            "lgamma",
            "gelu",
            "silu",
            "elu",
            "leaky_relu",
            "reciprocal",
            "cbrt",
            "log1p",
        ),
        floating,
    ),
}


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_operand(name):
    for kind in TYPES:
        x = sg.input("x", (4,), dtype=kind)
        assert getattr(sg, name)(x).dtype == UNARY[name](kind), kind


# -- conversions


def test_every_conversion():
    values = {
        "bool": [True, False, True, True],
        "int32": [-3, 0, 5, 2**31 - 1],
        "int64": [-3, 0, 2**24 + 1, 2**31 - 1],
        "float32": [-2.75, 0.0, 0.5, 1e6],
        "float64": [-2.75, 0.0, 1 / 3, 1e6],
    }
    arrays = [np.array(v, k) for k, v in values.items()]
    found = run(arrays, lambda *xs: [[x.astype(k) for k in TYPES] for x in xs])
    for array, row in zip(arrays, found, strict=True):
        for kind, got in zip(TYPES, row, strict=True):
            assert got.dtype == kind
            np.testing.assert_array_equal(got, array.astype(kind))


def test_gradients_have_the_type_of_what_they_are_of():
    x = sg.input("x", (3,))
    y = sg.input("y", (3,), dtype="float64")
    k = sg.input("k", (3,), dtype="int64")
    by_x, by_y = sg.grad(sg.sum(sg.sin(x * y) * k), [x, y])
    assert (by_x.dtype, by_y.dtype) == ("float32", "float64")
    a = np.array([1, 2, 3], "float32")
    got = sg.compile([x, y, k], [by_x, by_y])(
        a, np.ones(3), np.arange(3, dtype="int64")
    )
    want = np.cos(a.astype("float64")) * np.arange(3)
    np.testing.assert_allclose(got[0], want, 1e-6)
    np.testing.assert_allclose(got[1], want * a, 1e-12)


# -- integer arithmetic


def test_integers_are_exact():
    a = np.array([2**53 + 1, -7, 7, -7, 7, 0], "int64")
    b = np.array([1, 2, 2, -2, -2, 5], "int64")
    ops = (
        operator.add,
        operator.sub,
        operator.mul,
        operator.floordiv,
        operator.mod,
        sg.maximum,
        sg.minimum,
    )
    theirs = (
        np.add,
        np.subtract,
        np.multiply,
        np.floor_divide,
        np.remainder,
        np.maximum,
        np.minimum,
    )
    for kind in ("int64", "int32"):
        left = a.astype(kind) if kind == "int64" else np.minimum(a, 40_000).astype(kind)
        right = b.astype(kind)
        found = run([left, right], lambda x, y: [f(x, y) for f in ops])
        for got, f in zip(found, theirs, strict=True):
            np.testing.assert_array_equal(got, f(left, right), f.__name__)


def test_integers_wrap_around_as_in_numpy():
    a = np.array([2**31 - 1, -(2**31)], "int32")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = a + np.int32(1), a * np.int32(2), -a
    found = run([a], lambda x: [x + 1, x * 2, -x])
    for got, expected in zip(found, want, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_powers_of_integers():
    base = np.array([3, -2, 10, 0, 2], "int64")
    power = np.array([4, 3, 18, 0, 62], "int64")
    found = run([base, power], lambda x, y: [x**y, x**2, x**3, 2 ** sg.abs(x)])
    for got, want in zip(
        found, (base**power, base**2, base**3, 2 ** np.abs(base)), strict=True
    ):
        assert got.dtype == "int64"
        np.testing.assert_array_equal(got, want)


def test_logic_is_for_truth_values():
    x, b = sg.input("x", (3,)), sg.input("b", (3,), dtype="bool")
    assert (b & ~b | (x > 0)).dtype == "bool"
    with pytest.raises(sg.DTypeError, match=r"compare first"):
        x & b
    with pytest.raises(sg.DTypeError, match=r"compare first"):
        sg.logical_not(x)


@pytest.mark.parametrize("kind", ["float16", "int8", "uint64", "complex128", "U3", "O"])
def test_other_types_are_errors_that_list_what_is_known(kind):
    with pytest.raises(sg.DTypeError, match=r"float32.*bool"):
        sg.input("x", (3,), dtype=kind)
    with pytest.raises(sg.DTypeError, match=r"float32.*bool"):
        sg.input("x", (3,)).astype(kind)


def test_plus_is_the_number_itself():
    x = sg.input("x", ("n",))
    assert +x is x
    assert np.positive(x) is x
    with pytest.raises(sg.DTypeError, match="positive takes numbers"):
        sg.positive(x > 0)


def test_what_does_not_fit_is_named_as_it_was_given():
    x, y = sg.input("x", ("n", 3)), sg.input("y", ("n",), dtype="int64")
    with pytest.raises(sg.ShapeError, match=r"'y' int64\[n\] do not fit"):
        x + y

"""Elementary functions at extreme arguments: C99's values, and their slopes."""

import math

import jax
import jax.numpy as jnp
import jax.scipy.special as special
import mpmath
import numpy as np
import pytest

import symgrad as sg
from tests.reference import SCALAR

NAMES = [
    "sqrt",
    "cbrt",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log2",
    "log10",
    "log1p",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "erf",
    "erfc",
    "lgamma",
    "digamma",
    "trigamma",
    "sigmoid",
    "softplus",
    "abs",
    "sign",
    "floor",
    "ceil",
    "trunc",
    "round",
    "square",
    "reciprocal",
    "rsqrt",
    "relu",
    "isnan",
    "isinf",
    "isfinite",
    "negative",
    "stop_gradient",
]
HALVES = np.array(
    [0.0, 1e-30, 1e-8, 0.25, 0.5, 1, 1.5, 2.5, 20, 88.5, 800, 1e30, np.inf]
)
POINTS = np.concatenate([HALVES, -HALVES, [np.nan]])
SUBNORMAL = {"float64": 5e-320, "float32": 1e-42}
ULPS = {"float64": 4, "float32": 4}


def _points(dtype):
    tiny = SUBNORMAL[dtype]
    return np.concatenate([POINTS, [tiny, -tiny]]).astype(dtype)


def _reference(name, x):
    """Return the value computed in float64."""
    if name == "lgamma":  # SciPy's is infinite at subnormal numbers
        numbers = [float(v) for v in x]
        poles = [v <= 0 and (math.isinf(v) or v % 1 == 0) for v in numbers]
        return np.array(
            [
                np.inf if p else math.lgamma(v)
                for v, p in zip(numbers, poles, strict=True)
            ]
        )
    if name == "digamma":  # SciPy's is 7 units off at -1/4
        with np.errstate(all="ignore"):
            theirs = SCALAR[name](x)
        plain = np.isfinite(theirs) & (np.abs(x) < 100) & (np.abs(x) > 1e-9)
        return np.array(
            [
                float(mpmath.digamma(float(v))) if p else t
                for v, t, p in zip(x, theirs, plain, strict=True)
            ]
        )
    fn = {"negative": "neg"}.get(name, name)
    with np.errstate(all="ignore"):
        return np.asarray(SCALAR[fn](x))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NAMES)
def test_value(name, dtype):
    points = _points(dtype)
    x = sg.input("x", ("n",), dtype=dtype)
    got = sg.compile([x], getattr(sg, name)(x))(points)
    wide = _reference(name, points.astype("float64"))
    with np.errstate(all="ignore"):
        want = wide.astype(got.dtype)
    if got.dtype == bool:
        np.testing.assert_array_equal(got, want)
        return
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want), "NaN")
    np.testing.assert_array_equal(np.isinf(got), np.isinf(want), "infinity")
    finite = np.isfinite(want)
    size = np.abs(want[finite])
    if name in ("lgamma", "digamma"):  # absolute accuracy near their zeros
        size = np.maximum(size, 1)
    gap = np.abs(got[finite] - want[finite]) / np.spacing(size)
    worst = gap.argmax()
    assert gap[worst] <= ULPS[dtype], (
        f"{name}({points[finite][worst]!r}) = {got[finite][worst]!r}, "
        f"not {want[finite][worst]!r}"
    )
    zero = (want == 0) & (name != "sign")  # the sign of sign(-0) is left open
    np.testing.assert_array_equal(
        np.signbit(got[zero]), np.signbit(want[zero]), "sign of zero"
    )


# Slopes far from 0, where the naive formula overflows or cancels.
SLOPES = {
    "sigmoid": (jax.nn.sigmoid, [-800, -40, 0, 800]),
    "softplus": (jax.nn.softplus, [-800, -40, 0, 40, 800]),
    "tanh": (jnp.tanh, [-800, -20, -1e-30, 0, 20, 800]),
    "silu": (jax.nn.silu, [-800, -40, 0, 40, 800]),
    "mish": (jax.nn.mish, [-300, -40, 0, 40, 800]),
    "gelu": (lambda x: jax.nn.gelu(x, approximate=False), [-800, -5, 0, 5, 800]),
    "elu": (jax.nn.elu, [-800, -1, 1, 800]),
    "selu": (jax.nn.selu, [-800, -1, 1, 800]),
    "softsign": (jax.nn.soft_sign, [-1e30, -1, 1, 1e30]),
    "erf": (special.erf, [-30, -1e-30, 0, 30, 1e30]),
    "log": (jnp.log, [1e-30, 1e30, np.inf]),
    "log1p": (jnp.log1p, [-0.5, 1e-30, 1e30, np.inf]),
    "expm1": (jnp.expm1, [-800, -1e-30, 1e-30, 700]),
    "atan": (jnp.arctan, [-1e30, 0, 1e30, np.inf]),
    "exp": (jnp.exp, [-800, -np.inf, 0, 700]),
    "sqrt": (jnp.sqrt, [1e-30, 1e30]),
}


@pytest.mark.parametrize("name", SLOPES)
def test_slope(name):
    theirs, points = SLOPES[name]
    points = np.asarray(points, "float64")
    x = sg.input("x", ("n",), dtype="float64")
    got = sg.compile([x], sg.grad(sg.sum(getattr(sg, name)(x)), x))(points)
    want = jax.vmap(jax.grad(theirs))(points)
    np.testing.assert_allclose(got, want, 1e-12, 1e-300)


def test_slope_of_sigmoid_where_one_minus_it_cancels():
    x = sg.input("x", (), dtype="float64")
    got = sg.compile([x], sg.grad(sg.sigmoid(x), x))(np.float64(40))
    np.testing.assert_allclose(got, math.exp(-40) / (1 + math.exp(-40)) ** 2, 1e-12)

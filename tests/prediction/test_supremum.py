"""Greatest slopes: published values, mpmath's, and samples that never exceed them."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symgrad.declare import scalar
from symgrad.declare.ops.elementwise import ACTIVATIONS
from symgrad.prediction.intervals import enclose
from symgrad.prediction.supremum import (
    REALS,
    derivative,
    greatest_slope,
    image,
    stable,
)


def mp_gelu(x):
    return x * (1 + mpmath.erf(x / mpmath.sqrt(2))) / 2


def mp_gelu_tanh(x):
    c = mpmath.sqrt(2 / mpmath.pi)
    return x * (1 + mpmath.tanh(c * (x + mpmath.mpf("0.044715") * x**3))) / 2


def mp_silu(x):
    return x / (1 + mpmath.exp(-x))


def mp_mish(x):
    return x * mpmath.tanh(mpmath.log(1 + mpmath.exp(x)))


@pytest.mark.parametrize(
    ("name", "function", "near"),
    [
        ("gelu", mp_gelu, 1.4),
        ("gelu_tanh", mp_gelu_tanh, 1.4),
        ("silu", mp_silu, 2.4),
        ("mish", mp_mish, 1.5),
    ],
)
def test_the_greatest_slope_is_mpmaths(name, function, near):
    """Its greatest slope is where its second derivative is 0."""
    at = mpmath.findroot(lambda x: mpmath.diff(function, x, 2), near)
    truth = float(mpmath.diff(function, at))
    found = greatest_slope(scalar.parse(ACTIVATIONS[name]))
    assert truth <= found.value <= truth * (1 + 2e-7)
    assert found.at == pytest.approx(float(at), abs=0.01)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("sigmoid(x)", "1/4"),
        ("1/(1 + exp(-x))", "1/4"),
        ("tanh(x)", "1"),
        ("relu(x)", "1"),
        ("maximum(x, 0)", "1"),
        ("softplus(x)", "1"),
        ("log(1 + exp(x))", "1"),
        ("where(x > 0, x, expm1(x))", "1"),
        ("where(x > 0, x, 0.01*x)", "1"),
        ("abs(x)", "1"),
        ("sin(x)", "1"),
        ("cos(3*x)", "3"),
        ("atan(x)", "1"),
        ("asinh(x)", "1"),
        ("x/(1 + abs(x))", "1"),
        ("minimum(maximum(x, -1), 1)", "1"),
        ("x*minimum(relu(x + 3), 6)/6", "3/2"),
        ("erf(x)", f"{2 / math.sqrt(math.pi):.5g}"),
        ("exp(-x*x)", f"{math.sqrt(2 / math.e):.5g}"),
        ("x/sqrt(1 + x*x)", "1"),
        ("log(cosh(x))", "1"),
        ("tanh(x)**3", "3/4"),  # 3t²(1 - t²) at t² = 1/2
        ("exp(x)", "∞"),
        ("x*x", "∞"),
        ("x**3", "∞"),
        ("log(x)", "∞"),
        ("sqrt(x)", "∞"),
        ("1/x", "∞"),
        ("x*sin(x)", "∞"),
        ("3.5", "0"),
        ("floor(x)", "0"),
    ],
)
def test_known_suprema(text, value):
    assert str(greatest_slope(scalar.parse(text))) == value


@pytest.mark.parametrize(
    ("text", "domain", "value"),
    [
        ("exp(x)", (-1.0, 2.0), math.exp(2)),
        ("x*x", (-3.0, 1.0), 6.0),
        ("log(x)", (0.5, 9.0), 2.0),
        ("sqrt(x)", (0.25, 1.0), 1.0),
        ("sigmoid(x)", (2.0, 5.0), 0.1049935854),
        ("sin(x)", (1.0, 2.0), math.cos(1)),
        ("tan(x)", (0.0, 1.0), 1 / math.cos(1) ** 2),
        ("x*y", (0.0, 1.0), 7.0),
    ],
)
def test_on_an_interval(text, domain, value):
    found = greatest_slope(scalar.parse(text), "x", (("x", domain), ("y", (-7.0, 3.0))))
    assert found.value == pytest.approx(value, rel=3e-6)
    assert found.value >= value * (1 - 1e-9)


def test_the_slope_is_nothing_outside_the_domain():
    assert (
        greatest_slope(scalar.parse("sqrt(x)"), "x", (("x", (-2.0, -1.0)),)).value == 0
    )


UNARY = [
    *("sigmoid", "tanh", "relu", "softplus", "sin", "cos", "atan", "erf", "abs"),
    *("exp", "square", "sqrt", "log1p", "sinh", "cosh", "asinh", "neg", "reciprocal"),
]
LEAVES = st.sampled_from(["x", "x", "x", "2", "-0.5", "0.1"]).map(scalar.parse)
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(lambda f, a: scalar.call(f, a), st.sampled_from(UNARY), inner)
        | st.builds(
            lambda f, a, b: scalar.call(f, a, b),
            st.sampled_from(["add", "sub", "mul", "div", "maximum", "minimum"]),
            inner,
            inner,
        )
        | st.builds(
            lambda a, b, c: scalar.call("select", scalar.call("lt", a, b), b, c),
            inner,
            inner,
            inner,
        )
    ),
    max_leaves=5,
)


def mp_value(e, x):
    """Return the value in 60 digits, NaN where it has none."""
    with mpmath.workdps(60):
        if e.fn == "number":
            return mpmath.mpf(e.value)
        if e.fn == "var":
            return x
        args = [mp_value(a, x) for a in e.args]
        own = {
            "add": lambda a, b: a + b,
            "sub": lambda a, b: a - b,
            "mul": lambda a, b: a * b,
            "div": lambda a, b: a / b,
            "neg": lambda a: -a,
            "square": lambda a: a * a,
            "reciprocal": lambda a: 1 / a,
            "abs": abs,
            "sign": mpmath.sign,
            "relu": lambda a: max(a, mpmath.mpf(0)),
            "maximum": max,
            "minimum": min,
            "lt": lambda a, b: a < b,
            "gt": lambda a, b: a > b,
            "eq": lambda a, b: a == b,
            "select": lambda c, a, b: a if c else b,
            "sigmoid": lambda a: 1 / (1 + mpmath.exp(-a)),
            "softplus": lambda a: mpmath.log1p(mpmath.exp(a)),
            "log1p": lambda a: mpmath.log(1 + a),
            "pow": mpmath.power,
        }
        value = own[e.fn](*args) if e.fn in own else getattr(mpmath, e.fn)(*args)
        if mpmath.im(value):  # a square root of -1 may become real again
            raise ZeroDivisionError
        return value


@settings(max_examples=60, deadline=None)
@given(EXPRESSIONS, st.floats(-30, 30))
def test_an_enclosure_holds_the_value(e, x):
    try:
        truth = mp_value(e, mpmath.mpf(x))
    except (ZeroDivisionError, OverflowError):
        return
    if not mpmath.isfinite(truth) or "log1p" in repr(e):
        return
    for width in (0.0, 1e-3, 1.0):
        low, high = enclose(e, {"x": (np.array([x - width]), np.array([x + width]))})
        if not np.isnan(low[0]):
            assert low[0] <= truth <= high[0]


@settings(max_examples=25, deadline=None)
@given(EXPRESSIONS)
def test_samples_stay_below_the_supremum(e):
    domain = (("x", (-4.0, 4.0)),)
    found = greatest_slope(e, "x", domain)
    low, high = image(e, domain)
    x = np.linspace(-4, 4, 4001)
    slopes = enclose(derivative(e, "x"), {"x": (x, x)})
    values = enclose(e, {"x": (x, x)})
    size = np.fmin(*np.abs(slopes))  # the least that it can be: NaN off the domain
    size[(slopes[0] <= 0) & (slopes[1] >= 0)] = 0
    size = size[np.isfinite(size)]
    assert (size <= found.value * (1 + 1e-9)).all()
    assert not (values[1] < low - 1e-9).any()
    assert not (values[0] > high + 1e-9).any()


def test_stable_forms_are_equal():
    for text in (
        "1 - sigmoid(x)",
        "1 - tanh(x)**2",
        "1 - tanh(x)*tanh(x)",
        "x/(1 + exp(-x))",
        "reciprocal(exp(x) + 1)",
        "log(1 + exp(x))",
        "log1p(exp(x))",
        "-x*x",
    ):
        e = scalar.parse(text)
        assert stable(e) is not e
        x = np.linspace(-5, 5, 11)
        ours, theirs = (enclose(f, {"x": (x, x)})[0] for f in (stable(e), e))
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_all_activations_have_a_bound():
    for text in ACTIVATIONS.values():
        e = scalar.substitute(
            scalar.parse(text),
            {scalar.var(n): scalar.number(0.3) for n in ("alpha", "slope")},
        )
        assert 0.9 < greatest_slope(e).value < 2
        assert image(e, (("x", REALS),))[1] > 0.9

"""Derivatives of scalar expressions, against mpmath at 50 digits."""

import math
import re

import mpmath
import numpy as np
import pytest

import symgrad as sg

mp = mpmath.mp.clone()
mp.dps = 50


def _where(c, a, b):
    return a if c else b


def _relu(x):
    return x if x > 0 else mp.mpf(0)


WORDS = {
    **{n: getattr(mp, n) for n in dir(mp) if not n.startswith("_")},
    "lgamma": mp.loggamma,
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "softplus": lambda x: mp.log(1 + mp.exp(x)),
    "where": _where,
    "relu": _relu,
    "maximum": lambda a, b: max(a, b),
    "minimum": lambda a, b: min(a, b),
    "abs": lambda x: abs(x),
    "pi": mp.pi,
    "e": mp.e,
    "log2": lambda x: mp.log(x) / mp.log(2),
    "exp2": lambda x: mp.power(2, x),
}

#: Texts, and points where they are derived.
POLYNOMIALS = """
    (2*x + 1)**2 | x**3 - 2*x + 5 | (x**2 + 1)**3 | (x - 1)*(x + 1)
    x*(x + 1)*(x + 2)
    (3*x - 2)**5 | x**10 | (x**2 - x)**2 | 1 - x + x**2 - x**3 | (x + 1)**2*(x - 1)**3
    2*(x - 3)**2 | x**4/4 - x**2/2 | (1 - x)**2 + 100*(3 - x**2)**2 | -x**2 | x*x*x
    ((x + 1)**2 + 1)**2 | (x**3 + x)**3 | 7 - 3*x | (x/2 + 1/3)**3 | x**2*(1 - x)**2
"""
QUOTIENTS = """
    1/x | 1/(1 + x**2) | (x + 1)/(x - 5) | x/(1 + x) | (x**2 + 1)/(x + 2)
    1/(x*(x + 1))
    x/(x**2 + 1)**2 | (2*x + 3)/(4*x + 5) | 1/(2*x + 1)**3 | (x**3 - 1)/(x**2 + x + 1)
    1/(1 + 1/x) | x**-2 | (1 - x)/(1 + x)**2 | 1/x + 1/x**2 | x/(x + 1/x)
"""
ROOTS = """
    sqrt(x) | sqrt(1 + x**2) | x*sqrt(x) | 1/sqrt(x) | x/sqrt(1 + x**2)
    sqrt(x + sqrt(x))
    (1 + x)**0.5 | x**1.5 | x**(1/4) | sqrt(2*x + 1)/x | cbrt(x) | (x**2 + 1)**-0.5
    sqrt(sqrt(x)) | x**x | x**(2*x) | x**sqrt(x) | 2**x | (1 + x)**x | x**-x
"""
EXPONENTIALS = """
    exp(x) | exp(-x) | exp(x**2) | exp(-x**2/2) | x*exp(x) | x**2*exp(-x)
    exp(exp(x))
    exp(2*x + 1) | exp(x)/(1 + exp(x)) | exp(-x)*sin(x) | exp(1/x) | exp(x)*log(x)
    log(x) | log(2*x) | log(1 + x) | log(x**2 + 1) | x*log(x) | log(log(x + 2))
    log(x)/x
    log(x)**2 | x*log(x) - x | log(1 + exp(x)) | log(x + sqrt(x**2 + 1)) | log10(x)
    log((1 + x)/(2 + x)) | exp(x)*exp(-2*x) | expm1(x) | log1p(x) | log2(x) | exp2(x)
    (exp(x) - exp(-x))/2 | x*2**x | exp(-abs(x)) | log(exp(x) + exp(2*x))
    x*exp(-x**2)
"""
ANGLES = """
    sin(x) | cos(x) | tan(x) | sin(2*x) | sin(x)**2 | cos(x)**3 | sin(x)*cos(x)
    x*sin(x)
    sin(x)/x | sin(x**2) | sin(cos(x)) | tan(x)**2 | 1 - cos(x)
    sin(x)**2 + cos(x)**2
    cos(exp(x)) | sin(1/x) | x**2*sin(1/x) | sin(sin(sin(x))) | 1/cos(x) | atan(x)
    asin(x/3) | acos(x/3) | atan(2*x) | x*atan(x) | atan(1/x) | sinh(x) | cosh(2*x)
    tanh(x) | tanh(3*x - 1) | asinh(x) | acosh(1 + x) | atanh(x/4) | x*tanh(x)
    tanh(x)**2
    sin(x)*exp(cos(x)) | exp(sin(cos(x**2 + 1))) | atan(sinh(x)) | cos(pi*x)
    sin(x)*sinh(x)
"""
LEARNING = """
    sigmoid(x) | 1/(1 + exp(-x)) | sigmoid(3*x - 1) | x*sigmoid(x) | softplus(x)
    sigmoid(x)*(1 - sigmoid(x)) | log(sigmoid(x)) | softplus(-x) | x*tanh(softplus(x))
    -log(1 - sigmoid(x)) | sigmoid(sigmoid(x)) | (sigmoid(x) - 1)**2
    tanh(x)*sigmoid(x)
    erf(x) | erfc(x) | x*(1 + erf(x/sqrt(2)))/2 | exp(-x**2)*erf(x) | relu(x)
    relu(2*x - 1)
    relu(x)**2 | abs(x) | abs(x - 3)**3 | maximum(x, 1 - x) | minimum(x, x**2)
    where(x > 0, log(x), 0) | where(x > 1, x**2, 2*x - 1) | lgamma(x)
    lgamma(x + 1) - x*log(x) | sqrt(x**4) | where(x == 0, 1, sin(x)/x)
"""
CASES = [
    text.strip()
    for group in (POLYNOMIALS, QUOTIENTS, ROOTS, EXPONENTIALS, ANGLES, LEARNING)
    for line in group.strip().splitlines()
    for text in line.split("|")
]
POINTS = (0.3, 0.77, 1.9)


def exactly(text, point, order):
    code = compile(
        re.sub(r"(?<![\w.])(\d+\.?\d*)", r"mpf('\1')", text), "<case>", "eval"
    )

    def function(x):
        return eval(code, {"__builtins__": {}}, {**WORDS, "x": x})  # noqa: S307

    return mp.diff(function, mp.mpf(point), order)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("text", CASES)
def test_against_mpmath(text, order):
    found = sg.derive(text, "x", order)
    function = found.compile()
    symbol = next(iter(found.result.free_symbols), None)
    for point in POINTS:
        wanted = exactly(text, point, order)
        tolerance = 1e-11 * max(1, abs(float(wanted)))
        assert abs(function(point) - float(wanted)) <= tolerance
        shown = found.result if symbol is None else found.result.subs(symbol, point)
        number = shown.evalf(30)
        if number.is_Number:  # SymPy does not know the values of sigmoid and its kin
            assert abs(float(number) - float(wanted)) <= 100 * tolerance


def test_there_are_enough():
    assert len(set(CASES)) >= 150


AWKWARD = [
    ("where(x > 0, log(x), 0)", 0.0, 0.0),
    ("where(x > 0, log(x), 0)", -3.0, 0.0),
    ("sqrt(x**4)", 0.0, 0.0),
    ("sqrt(x**4)", -2.0, -4.0),
    ("log(1 + exp(x))", 800.0, 1.0),
    ("log(1 + exp(x))", -800.0, 0.0),
    ("1/(1 + exp(-x))", 800.0, 0.0),
    ("1/(1 + exp(-x))", -800.0, 0.0),
    ("where(x == 0, 1, sin(x)/x)", 0.0, 0.0),
    ("x**x", 1.0, 1.0),
    ("abs(x)", 0.0, 0.0),
    ("relu(x)", 0.0, 0.0),
    ("maximum(x, 0)", 0.0, 0.5),
    ("maximum(x, -x)", 0.0, 0.0),
    ("x*x*x", 0.0, 0.0),
    ("x**0", 0.0, 0.0),
    ("tanh(x)", 1e6, 0.0),
    ("exp(-x*x)", 1e200, 0.0),
    ("log(exp(x) + exp(2*x))", 1e4, 2.0),
    ("where(x > 0, sqrt(x), 0)", 0.0, 0.0),
]


@pytest.mark.parametrize(("text", "point", "wanted"), AWKWARD)
def test_where_plain_rules_give_nan(text, point, wanted):
    got = sg.derive(text, "x").compile()(point)
    assert got == pytest.approx(wanted, abs=1e-300)


@pytest.mark.parametrize("text", CASES[::7])
def test_steps_multiply_to_the_result(text):
    import sympy as sp

    found = sg.derive(text, "x")
    names = {n: v for _, n, v in found._definitions}
    last = found.steps[-1].accumulated
    for name in reversed(list(names)):
        last = last.subs(sp.Symbol(name, real=True), names[name])
    difference = (last - found.result).subs(
        sp.Symbol("x", real=True), sp.Rational(7, 9)
    )
    number = difference.evalf(20)
    assert not number.is_Number or abs(number) < 1e-12


def test_arrays_and_types():
    function = sg.derive("x*exp(y*x)", "x").compile()
    x, y = np.linspace(-1, 1, 7), np.array([[0.5], [2.0]])
    got = function(x, y)
    np.testing.assert_allclose(got, np.exp(y * x) * (1 + y * x), rtol=1e-13)
    assert got.shape == (2, 7)
    assert function(x.astype("f4"), np.float32(2)).dtype == "float32"
    assert isinstance(function(1, 2), float)
    assert function(x=0.5, y=1.0) == function(0.5, 1.0)
    with pytest.raises(sg.GraphError, match="depends on x, y"):
        function(1.0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        function(1.0, z=2)


def test_several_variables():
    found = sg.derive("(1 - x)**2 + 100*(y - x**2)**2", ["x", "y"], 2)
    assert [len(row) for row in found.compile()(1.0, 1.0)] == [2, 2]
    np.testing.assert_allclose(found.compile()(1.0, 1.0), [[802, -400], [-400, 200]])
    assert found.result.shape == (2, 2)
    assert found.check().ok
    first = sg.derive("x*y**2", ["x", "y"])
    assert [str(r) for r in first.result] == ["y**2", "2*x*y"]


@pytest.mark.parametrize("text", CASES[::9])
def test_the_offered_check(text):
    report = sg.derive(text, "x").check()
    assert report.ok, str(report)
    assert "agrees with finite differences" in str(report)


def test_a_wrong_derivative_is_found():
    from symgrad.closedform.numeric import compare

    x = sg.input("x", (), "float64")
    report = compare([x], sg.sin(x), sg.sin(x), [x], 4, 0)
    assert not report.ok
    assert "DIFFERS" in str(report)


def test_third_order():
    found = sg.derive("sin(x)*exp(x)", "x", 3)
    wanted = 2 * math.exp(0.4) * (math.cos(0.4) - math.sin(0.4))
    assert found.compile()(0.4) == pytest.approx(wanted, rel=1e-13)
    assert found.title == "d³y/dx³"

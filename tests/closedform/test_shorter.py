"""Plain functions of floats: fewer operations, no less accurate."""

import math

import mpmath
import pytest

import symgrad as sg

POINTS = [-800.0, -37.0, -1.5, -1e-9, 0.0, 1e-300, 0.3, 2.0, 36.0, 709.0, 1e5, 1e160]
CASES = [
    ("1/(1 + exp(-x))", "exp(-(abs(x)))", lambda x: mpmath.sech(x / 2) ** 2 / 4),
    ("(2*x + 1)**2", "(x * 8.0) + 4.0", lambda x: 8 * x + 4),
    ("log(1 + x**2)", "/ ((x * x) + 1.0)) * 2.0", lambda x: 2 * x / (1 + x * x)),
]


@pytest.mark.parametrize(("text", "part", "exact"), CASES)
def test_values_and_texts(text, part, exact):
    derivation = sg.derive(text, "x")
    slope = derivation.compile()
    assert part in derivation.code()
    with mpmath.workdps(400):
        for x in POINTS:
            wanted = float(exact(mpmath.mpf(x)))
            if abs(x) < 1e150:
                assert slope(x) == pytest.approx(wanted, rel=1e-14, abs=1e-320)
            assert not math.isnan(slope(x))


def test_what_is_shared_stays_shared():
    code = sg.derive("sqrt(x**2 + 1)*cos(x)", "x").code()
    assert code.count("sqrt(") == 1

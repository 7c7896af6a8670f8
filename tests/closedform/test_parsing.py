"""Texts: what is read, and what is said of the rest; nothing is ever evaluated."""

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import symgrad as sg
from symgrad.closedform.parsing import parse_tensor

READ = [
    ("2*x + 1", "2*x + 1"),
    ("-x**2", "-x**2"),
    ("x/y/z", "x/(y*z)"),
    ("1e-3*x", "0.001*x"),
    ("exp(-x)*sin(y)", "exp(-x)*sin(y)"),
    ("ln(x) + arctan(y)", "log(x) + atan(y)"),
    ("where(x > 0, x, -x)", "Piecewise((x, x > 0), (-x, True))"),
    ("x if x > 0 else 0", "Piecewise((x, x > 0), (0, True))"),
    ("pi*x", "3.14159265358979*x"),
    ("  x + 1  ", "x + 1"),
    ("sigmoid(x)*(1 - sigmoid(x))", "(1 - sigmoid(x))*sigmoid(x)"),
]


@pytest.mark.parametrize(("text", "wanted"), READ)
def test_what_is_read(text, wanted):
    assert str(sg.parse(text)) == wanted


REFUSED = [
    ("x^2", 2, "a power is written"),
    ("2x + 1", 2, "write 2*x"),
    ("2(x + 1)", 2, "write 2*"),
    ("(x + 1", 1, "never closed"),
    ("x +", 1, "invalid syntax"),
    ("", 1, ""),
    ("foo(x)", 1, "there is no function 'foo'"),
    ("sum(x)", 1, "there is no function 'sum' of numbers; for tensors give their dim"),
    ("expp(x)", 1, "did you mean exp"),
    ("sin(x, y)", 1, "sin takes 1 argument"),
    ("x.real", 1, "not part of the notation"),
    ("x[0]", 1, "not part of the notation"),
    ("__import__('os')", 1, "there is no function"),
    ("(lambda: 1)()", 1, "not part of the notation"),
    ("'text'", 1, "not part of the notation"),
    ("9**9**9", 1, "too large"),
    ("10**10**10*x", 1, "too large"),
    ("(" * 200 + "x" + ")" * 200, 101, "brackets are open"),
    ("x = 1", 3, ""),
    ("x; y", 2, ""),
    ("x if y", 1, ""),
    ("[x]", 1, "not part of the notation"),
    ("1j*x", 2, "write 1*j"),
]


@pytest.mark.parametrize(("text", "column", "why"), REFUSED)
def test_what_is_refused(text, column, why):
    start = time.perf_counter()
    with pytest.raises(sg.ParseError, match=f"column {column}: ") as caught:
        sg.parse(text)
    assert why in str(caught.value)
    lines = str(caught.value).splitlines()
    assert lines[-1].index("^") == column + 1
    assert time.perf_counter() - start < 1


def test_long_texts_and_other_types():
    with pytest.raises(sg.ParseError, match="5000 are read"):
        sg.parse("x + " * 5000 + "x")
    with pytest.raises(sg.ParseError, match="one line"):
        sg.parse("x +\n1")
    with pytest.raises(sg.ParseError, match="not int"):
        sg.parse(3)


@settings(max_examples=300, deadline=None, database=None)
@given(st.text("xy019.+-*/()<>=,~^ enspilogwhrt_[]'\\@", max_size=40))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(sg.ParseError):
        sg.parse(text)


X, w = sg.input("X", ("n", "d"), "float64"), sg.input("w", ("d",), "float64")
LEAVES = {"X": X, "w": w, "t": sg.input("t", (), "float64")}
TENSORS = [
    ("X@w", "X w"),
    ("X.T@X@w", "Xᵀ X w"),
    ("sum((X@w)**2)", "‖X w‖²"),
    ("norm(w)", "‖w‖"),
    ("t*w.sum()", "t Σ(w)"),
    ("softmax(X@w)", "softmax(X w)"),
    ("sum(X, axis=0)", "Xᵀ 𝟏"),
    ("mean(X, axis=-1)", "mean(X)"),
    ("einsum('nd,nd->', X, X)", "‖X‖²"),
    ("tr(X.T@X)", "‖X‖²"),
    ("-exp(w)/2", "−exp(w) / 2"),
]


@pytest.mark.parametrize(("text", "wanted"), TENSORS)
def test_texts_of_tensors(text, wanted):
    assert sg.formula(parse_tensor(text, LEAVES)) == wanted


WRONG = [
    ("X@X", 1, "dimension"),
    ("X + v", 5, "'v' has no dimensions"),
    ("X.shape", 1, "not part of the notation"),
    ("X.__class__", 1, "not part of the notation"),
    ("eval('1')", 1, "there is no function"),
    ("sum(X, axis=7)", 1, "axis 7"),
    ("soft(X)", 1, "did you mean"),
    ("sum(X, keepdim=True)", 1, "keepdim"),
]


@pytest.mark.parametrize(("text", "column", "why"), WRONG)
def test_wrong_texts_of_tensors(text, column, why):
    with pytest.raises(sg.ParseError, match=f"column {column}: ") as caught:
        parse_tensor(text, LEAVES)
    assert why in str(caught.value)

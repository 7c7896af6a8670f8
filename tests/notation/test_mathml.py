"""MathML: well formed, and it reads as the formula that the text shows."""

import re
import xml.etree.ElementTree as ET

import pytest

import symgrad as sg
from symgrad.notation import formula, mathml
from symgrad.notation.local import local_form
from symgrad.notation.mathml import mathml_text
from tests.notation.test_formula import CASES
from tests.notation.test_gradients import classifier

TAGS = {"math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mtable", "mtr", "mtd"}
ARITY = {"msup": 2, "msub": 2, "mfrac": 2, "munder": 2, "msqrt": 1}


def check(text):
    """Assert that it is well formed and return its letters without spaces."""
    tree = ET.fromstring(text)
    for e in tree.iter():
        tag = e.tag.partition("}")[2]
        assert tag in TAGS | set(ARITY)
        assert len(e) == ARITY.get(tag, len(e)), (tag, text)
    return "".join(tree.itertext())


def letters(text):
    """Return what both ways of writing share: names and digits, in order."""
    plain = text.translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹ᵀΣΠ⊤∑∏⁻", "0123456789TSPTSP-"))
    return re.sub(r"[^\wα-ω𝟏𝟙]", "", plain).replace("_", "")


@pytest.mark.parametrize("t", [t for t, _ in CASES], ids=[c for _, c in CASES])
def test_every_formula(t):
    shown = letters(check(mathml(t)))
    assert sorted(shown) == sorted(letters(formula(t)))


def test_gradients_have_their_definitions():
    loss, params = classifier()
    for g in sg.grad(loss, params):
        shown = check(mathml(g))
        assert ("where" in shown) == ("where" in formula(g))
        assert "where" not in check(mathml(g, where=False))


def test_structure():
    A, x = sg.input("A", (2, 3)), sg.input("x", (3,))
    inside = mathml(A.T @ A).partition(">")[2]
    assert inside.startswith("<mrow><msup><mi>A</mi><mi>⊤</mi></msup><mspace")
    assert "<mfrac>" in mathml(sg.relu(A @ x) / 2)
    assert mathml(sg.input("beta2", ())).partition(">")[2] == (
        "<msub><mi>β</mi><mn>2</mn></msub></math>"
    )


def test_names_are_escaped():
    t = sg.input("<b>&", (3,))
    shown = mathml(sg.exp(t))
    assert "<b>" not in shown
    assert "<b>&" in check(shown)


def test_local_derivatives():
    x, W = sg.input("x", ("n", 4)), sg.param("W", (4, 3))
    form, matrix = local_form(x @ W, {x: "H1", W: "W2"})
    assert matrix
    assert mathml_text(form) == (
        '<mrow><msub><mi>H</mi><mn>1</mn></msub><mspace width="0.17em"/>'
        "<msub><mi>W</mi><mn>2</mn></msub></mrow>"
    )

"""LaTeX: balanced, in known commands, and the formula that the text shows."""

import re

import pytest

import symgrad as sg
from symgrad.notation import latex
from tests.notation.test_formula import CASES
from tests.notation.test_gradients import classifier

KNOWN = """left right top odot frac sqrt operatorname mathrm mathbf mathbb sum lt gt le
ge ne textstyle lVert rVert lvert rvert langle rangle cdot exp log sin cos tan tanh max
min sigma gamma beta begin end quad text land lor mid infty pi prod"""


def check(text):
    """Assert that groups and delimiters close in order, and that commands are known."""
    depth = []
    tokens = re.findall(r"\\[A-Za-z]+|\\.|[{}]", text)
    for token in tokens:
        if token == "{" or token == r"\left":
            depth.append(token)
        elif token == "}":
            assert depth.pop() == "{", text
        elif token == r"\right":
            assert depth.pop() == r"\left", text
        elif re.fullmatch(r"\\[A-Za-z]+", token):
            assert token[1:] in KNOWN.split(), token
    assert not depth, text
    assert text.isascii() or not re.search("[ᵀ⊙𝟙𝟏√σ‖]", text), text
    assert not re.search(r"[_^]\s*[_^]", text), text
    assert not re.search(r"\^\{[^{}]*\}\^", text), text


@pytest.mark.parametrize("t", [t for t, _ in CASES], ids=[c for _, c in CASES])
def test_every_formula_parses(t):
    check(latex(t))


def test_gradients_parse():
    loss, params = classifier()
    for g in sg.grad(loss, params):
        text = latex(g)
        check(text)
        assert text.startswith(r"\begin{aligned}") or "\n" not in text


def test_text():
    A, x = sg.input("A", (2, 3)), sg.input("x", (3,))
    W1 = sg.param("W1", (3, 2))
    assert latex(A.T @ A) == r"A^{\top} \, A"
    assert latex(W1.T @ x) == r"W_{1}^{\top} \, x"
    assert latex(sg.relu(A @ x) / 2) == (
        r"\frac{\operatorname{relu}\left(A \, x\right)}{2}"
    )
    assert latex(sg.sum(x * x)) == r"\left\lVert x \right\rVert^{2}"
    assert latex(sg.softmax(A)) == r"\operatorname{softmax}\left(A\right)"


def test_names_are_escaped():
    t = sg.input("my_name", (2,)) + sg.input("a&b", (2,)) + sg.input("50%", (2,))
    text = latex(t)
    assert r"my\_name" in text
    assert r"a\&b" in text
    assert r"50\%" in text


def test_index_notation():
    x, w = sg.input("x", ("n", 3, 9)), sg.param("w", (4, 3, 2))
    text = latex(sg.conv1d(x, w))
    assert text == r"{y}_{i,j,k} = \sum_{l,m} {x}_{i,l,k + m} \, {w}_{j,l,m}"

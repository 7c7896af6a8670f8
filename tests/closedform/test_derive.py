"""``sg.derive``: worked texts, tensors, conversions, the command."""

import math
import xml.etree.ElementTree

import numpy as np
import pytest
import sympy

import symgrad as sg
from symgrad.cli import main

x, y = sympy.symbols("x y")

WORKED = {
    "(2*x + 1)**2": """
        g     = 2x + 1
        y     = g²
        dy/dg = 2g
        dg/dx = 2

        dy/dx = 2g · 2 = 4(2x + 1)""",
    "sin(exp(x**2))": """
        g     = x²
        h     = e^g
        y     = sin(h)
        dy/dh = cos(h)
        dh/dg = e^g
        dg/dx = 2x

        dy/dx = cos(h) · e^g · 2x = 2x·exp(x²)·cos(exp(x²))""",
    "x*exp(x)": """
        g     = e^x
        y     = g·x
        dy/dg = x
        dy/dx = g
        dg/dx = e^x

        dy/dx = g + x·e^x = (x + 1)·e^x""",
    "sigmoid(x)": """
        dy/dx = (1 − σ(x))·σ(x)""",
    "x**3 - 2*x": """
        dy/dx = 3x² − 2""",
    "tanh(3*x)": """
        g     = 3x
        y     = tanh(g)
        dy/dg = 1 − tanh²(g)
        dg/dx = 3

        dy/dx = (1 − tanh²(g)) · 3 = 3(1 − tanh²(3x))""",
    "sqrt(1 + x**2)": """
        g     = x² + 1
        y     = √g
        dy/dg = 1/(2√g)
        dg/dx = 2x

        dy/dx = 1/(2√g) · 2x = x/√(x² + 1)""",
}


def unindented(text):
    lines = text.strip("\n").splitlines()
    return "\n".join(line[8:] for line in lines)


@pytest.mark.parametrize("text", WORKED)
def test_worked_texts(text):
    found = str(sg.derive(text, "x"))
    shown = found.removeprefix("y     = σ(x)\ndy/dx = (1 − σ(x))·σ(x)\n\n")
    last = shown.split("\n\n")
    assert unindented(WORKED[text]) in (shown, last[-1])


def test_steps_are_as_documented():
    first, second = sg.derive("(2*x + 1)**2", "x").steps
    g = sympy.Symbol("g", real=True)
    assert (str(first.symbol), str(first.wrt), first.local) == ("y", "g", 2 * g)
    assert (str(second.symbol), str(second.definition)) == ("g", "2*x + 1")
    assert (second.local, second.accumulated) == (2, 4 * g)


def test_names_do_not_clash():
    found = sg.derive("sin(g*x)*h + y", "x")
    assert {str(s.symbol) for s in found.steps}.isdisjoint({"x", "y", "g", "h"})
    assert found.check().ok


def test_second_order_shows_both():
    text = str(sg.derive("(2*x + 1)**3", "x", 2))
    assert "dy/dg = 3g²" in text
    assert text.splitlines()[-1].endswith("= 24(2x + 1)")


def test_sympy_expressions_and_symbols():
    assert sg.derive(sympy.sin(x) * y, x).result == sympy.cos(
        sympy.Symbol("x", real=True)
    ) * sympy.Symbol("y", real=True)
    with pytest.raises(sg.DerivationError, match="zeta"):
        sg.derive(sympy.zeta(x), x)
    with pytest.raises(sg.DerivationError, match="takes a text"):
        sg.derive(3, "x")


def test_what_cannot_be_derived():
    with pytest.raises(sg.GraphError, match="'z' does not occur in x"):
        sg.derive("x**2", "z")
    for order in (0, -1, 1.5, True):
        with pytest.raises(sg.GraphError, match="order is a whole number"):
            sg.derive("x**2", "x", order)
    with pytest.raises(sg.GraphError, match="order 1 or 2"):
        sg.derive("x*y", ["x", "y"], 3)
    with pytest.raises(sg.GraphError, match="dims= names 'q'"):
        sg.derive("sum(x)", "x", dims={"x": ("n",), "q": ("n",)})
    with pytest.raises(sg.GraphError, match="'w' does not occur"):
        sg.derive("sum(x)", "w", dims={"x": ("n",)})


DIMS = {"X": ("n", "d"), "w": ("d",), "y": ("n",)}
TENSORS = [
    ("sum((X@w - y)**2)", "w", 1, DIMS, "2 Xᵀ (X w − y)"),
    ("sum((X@w - y)**2)", "w", 2, DIMS, "2 Xᵀ X"),
    ("mean((X@w - y)**2)", "w", 1, DIMS, "2 Xᵀ (X w − y) / n"),
    ("sum((X@w - y)**2) + c*sum(w**2)", "w", 2, DIMS, None),
    ("sum(softplus(X@w) - y*(X@w))", "w", 1, DIMS, "Xᵀ (σ(X w) − y)"),
    ("sum(softplus(X@w) - y*(X@w))", "w", 2, DIMS, None),
    ("x@A@x", "x", 1, {"A": ("n", "n"), "x": ("n",)}, "(A + Aᵀ) x"),
    ("x@A@x", "x", 2, {"A": ("n", "n"), "x": ("n",)}, "A + Aᵀ"),
    ("softmax(x)", "x", 1, {"x": ("n",)}, "diag(softmax(x)) − softmax(x) softmax(x)ᵀ"),
    ("tr(A@X)", "X", 1, {"A": ("n", "m"), "X": ("m", "n")}, "Aᵀ"),
    ("logsumexp(x)", "x", 1, {"x": ("n",)}, "softmax(x)"),
    ("norm(x)", "x", 1, {"x": ("n",)}, "x / ‖x‖"),
    ("exp(-t*sum(x))", "t", 1, {"x": ("n",)}, "−Σ(x) exp(−Σ(x) t)"),
]


@pytest.mark.parametrize(("text", "wrt", "order", "dims", "wanted"), TENSORS)
def test_texts_of_tensors(text, wrt, order, dims, wanted):
    found = sg.derive(text, wrt, order, dims=dims)
    assert wanted in (None, sg.formula(found.result))
    assert found.check().ok, str(found.check())
    assert f"\n{found.title} = " in f"\n{found}"


def test_tensors_with_their_steps():
    X, w = sg.input("X", ("n", 3), "float64"), sg.param("w", (3,), dtype="float64")
    found = sg.derive(sg.sum(sg.tanh(X @ w)), w)
    text = str(found)
    assert "∂u2/∂u1 = diag(1 − tanh²(X w))" in text
    assert text.endswith("= Xᵀ (1 − tanh²(X w))")
    a, b = np.ones((2, 3)), np.full(3, 0.1)
    run = sg.compile([X], found.result)
    np.testing.assert_allclose(run(a, params={"w": b}), a.T @ (1 - np.tanh(a @ b) ** 2))
    with pytest.raises(sg.GraphError, match="does not depend on 'q'"):
        sg.derive(sg.sum(X), "q")


def test_forms():
    found = sg.derive("x**2/(1 + x)", "x")
    assert found.latex().startswith(r"\begin{aligned}")
    assert r"\frac{dy}{dx} &=" in found.latex()
    tree = xml.etree.ElementTree.fromstring(found.mathml())
    assert tree.tag.endswith("math")
    assert "<math" in found._repr_html_()
    compile(found.code(), "<emitted>", "exec")
    tensor = sg.derive("sum(x**2)", "x", dims={"x": ("n",)})
    xml.etree.ElementTree.fromstring(tensor.mathml())
    assert "2 \\, x" in tensor.latex()


def test_conversions():
    t = sg.input("t", (3,), "float64")
    u = sg.input("u", (), "float64")
    made = sg.from_sympy(sympy.exp(x) * sympy.Max(x, y) + sympy.erf(y), {x: t, "y": u})
    run = sg.compile([t, u], made)
    a = np.array([0.1, 0.5, 2.0])
    wanted = np.exp(a) * np.maximum(a, 0.4) + 0.42839235504666845
    np.testing.assert_allclose(run(a, np.float64(0.4)), wanted, rtol=1e-12)
    back = sg.to_sympy(sg.sigmoid(u) * u**2 + 1)
    assert str(back) == "u**2*sigmoid(u) + 1"
    with pytest.raises(sg.GraphError, match="'y' has no tensor"):
        sg.from_sympy(x + y, {x: t})
    with pytest.raises(sg.DerivationError, match=r"'sum' .* is not elementwise"):
        sg.to_sympy(sg.sum(t))


def test_the_command(capsys):
    assert main(["derive", "(2*x + 1)**2", "x", "--check"]) == 0
    out = capsys.readouterr().out
    assert "dy/dx = 2g · 2 = 4(2x + 1)" in out
    assert "agrees with finite differences" in out
    dims = ["--dims", "X=n,d", "--dims", "w=d", "--dims", "y=n"]
    text = "sum((X@w - y)**2)"
    assert main(["derive", text, "w", *dims, "--order", "2", "--latex", "--code"]) == 0
    out = capsys.readouterr().out
    assert r"2 \, X^{\top} \, X" in out
    assert "def kernel" in out
    assert main(["derive", "x*y", "x", "y", "--mathml"]) == 0
    assert "<math" in capsys.readouterr().out


def test_the_command_points_at_mistakes(capsys):
    assert main(["derive", "x^2", "x"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "   ^"
    assert main(["derive", "x", "x", "--dims", "X:n"]) == 1
    assert "not like X=n,d" in capsys.readouterr().err


MATRIX_TEXTS = [
    ("log(det(A))", "A", "∂/∂A log det A = A⁻ᵀ"),
    ("tr(inv(A)@B)", "A", "∂/∂A tr(A⁻¹ B) = −A⁻ᵀ Bᵀ A⁻ᵀ"),
    ("b@solve(A, b)", "b", "∂/∂b bᵀ A⁻¹ b = (A⁻¹ + A⁻ᵀ) b"),
    ("logdet(A)", "A", "∂/∂A log |det A| = A⁻ᵀ"),
]


@pytest.mark.parametrize(("text", "wrt", "wanted"), MATRIX_TEXTS)
def test_linear_algebra_in_texts(text, wrt, wanted):
    dims = {"A": ("n", "n"), "B": ("n", "n"), "b": ("n",)}
    dims = {n: s for n, s in dims.items() if n in text.replace("tr(", "")}
    found = sg.derive(text, wrt, dims=dims)
    assert str(found).splitlines()[-1] == wanted
    assert found.check().ok


def test_compiled_functions_of_floats():
    f = sg.derive("x*y + exp(x)", "x").compile()
    assert f(0.0, 2.0) == f(y=2.0, x=0.0) == f(0, y=2) == 3.0
    assert type(f(1, 2)) is float
    assert f(1000.0, 1.0) == math.inf  # where Python raises OverflowError
    assert np.array_equal(f(np.zeros(2), np.ones(2)), [2.0, 2.0])
    assert f.source.splitlines()[-1] == "    return exp(x) + y"
    with pytest.raises(sg.GraphError, match="depends on x, y, but 1 values"):
        f(1.0)
    with pytest.raises(TypeError, match="takes from 0 to 2 positional arguments"):
        f(1.0, 2.0, 3.0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        f(1.0, z=2.0)


@pytest.mark.parametrize("name", ["exp", "t0", "lambda_", "type", "x1"])
def test_compiled_functions_by_any_name(name):
    f = sg.derive(f"sin({name})*{name}", name).compile()
    assert f(0.5) == f(**{name: 0.5}) == pytest.approx(0.9182165, abs=1e-6)


def test_hessians_of_floats_are_nested_lists():
    f = sg.derive("x**2*y", ["x", "y"], order=2).compile()
    assert f(2.0, 3.0) == [[6.0, 4.0], [4.0, 0.0]]


def test_a_branch_that_is_not_taken_is_not_computed():
    f = sg.derive("where(x > 0, log(x)*x, 0)", "x").compile()
    assert f(0.0) == f(-1.0) == 0.0
    assert f(1.0) == 1.0

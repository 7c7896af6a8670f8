"""Loops in pictures: one box, its step, and what it multiplies a gradient by."""

import re

import numpy as np
import pytest

import symgrad as sg
from symgrad.drawing import draw
from symgrad.drawing.facts import collect
from symgrad.drawing.graph import Graph
from symgrad.drawing.labels import Labels
from symgrad.drawing.loops import is_loop
from symgrad.drawing.views import Backward
from symgrad.notation.render import unicode_text


def recurrent(steps=6, backwards=False):
    """Return Σ h², h ← tanh(h U + x), and data."""
    x, U = sg.input("x", (steps, 3)), sg.param("U", (3, 3))

    def step(h, x):
        return sg.tanh(h @ U + x), None

    h, _ = sg.scan(step, sg.param("h0", (3,)), x, reverse=backwards)
    return sg.sum(h * h), {"x": np.ones((steps, 3), "float32")}


def cell(kind, steps=5):
    x, y = sg.input("x", ("n", steps, 4)), sg.input("y", ("n",), "int64")
    out, _ = getattr(sg.nn, kind)(x, 6, name="cell")
    z = sg.nn.linear(out[:, -1, :], 3, name="head")
    data = {"x": np.ones((2, steps, 4), "float32"), "y": np.arange(2)}
    return sg.nn.cross_entropy(z, y), data


def loops(loss):
    back = Backward(loss, None, None)
    return back, [b for h, b in back.graph.boxes.boxes.items() if is_loop(h)]


def test_a_loop_says_what_it_repeats_and_how_often():
    text = draw(recurrent()[0]).dot
    assert "↻ scan × 6" in text
    assert "hₜ₊₁ = tanh(Uᵀ hₜ + xₜ)" in text
    assert "peripheries=2" in text
    assert re.search(r'(n\d+) -> \1 \[.*label="  hₜ "', text)
    assert "scan × 6, backwards" in draw(recurrent(backwards=True)[0]).dot


def test_the_derivatives_of_a_step_over_all_steps():
    """BPTT: Σ_t h_t δ_tᵀ for the weights, Π_t of the steps' Jacobians for h0."""
    back, (box,) = loops(recurrent()[0])
    labels: Labels = back.graph.labels
    found = {labels.names[s]: v.text for s, v in labels.locals(box, False).items()}
    assert found["U"] == "Σ_t hₜ (· ⊙ (1 − hₜ₊₁⊙²))ᵀ"
    assert found["h0"] == "Π_t U (· ⊙ (1 − hₜ₊₁⊙²))"
    assert found["x"] == "⊙ (1 − hₜ₊₁⊙²)"


def test_the_steps_of_an_lstm():
    """c ← σ(f) ⊙ c + σ(i) ⊙ tanh(g), h ← σ(o) ⊙ tanh(c)."""
    loss, data = cell("lstm")
    (scan,) = [
        n for n in collect(loss, "flow", None, data, None, "auto")["nodes"]
        if n["carries"]
    ]  # fmt: skip
    assert scan["carries"] == "hₜ, cₜ"
    assert scan["detail"] == "matmul, sigmoid, tanh"
    assert len(scan["steps"]) == 3
    assert scan["norm"] > 0  # measured, as on the edges of the flow
    assert "def " not in "".join(scan["steps"])


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("collapse", ["auto", "scope", None])
def test_recurrent_layers_in_every_view(kind, collapse):
    loss, _ = cell(kind)
    for view in ("forward", "gradient"):
        assert "scan × 5" in draw(loss, view, collapse=collapse).dot


def test_the_results_of_one_loop_are_one_box():
    x, w = sg.input("x", (4, 3)), sg.param("w", (3,))
    start = sg.constant(np.zeros(3, "float32"))

    def step(c, x):
        return c * w + x, c * x

    last, each = sg.scan(step, start, x)
    loss = sg.sum(last) + sg.sum(each)
    assert draw(loss, "gradient").dot.count("↻ scan") == 1
    facts = collect(loss, "gradient", None, None, None, "auto")
    assert sum("scan" in n["title"] for n in facts["nodes"]) == 1
    assert max(e["a"] for e in facts["edges"]) < len(facts["nodes"])


def test_loops_in_loops_and_without_sequences():
    x, W = sg.input("x", (5, 4, 3)), sg.param("W", (3, 3))

    def inner(h, x):
        return sg.tanh(h @ W + x), None

    def outer(h, x):
        return sg.scan(inner, h, x)[0], None

    h, _ = sg.scan(outer, sg.constant(np.zeros(3, "float32")), x)
    assert "hₜ₊₁ = scan(hₜ, xₜ, W)" in draw(sg.sum(h), "gradient").dot
    w = sg.param("w", ())
    c, _ = sg.scan(lambda c, _: (c * w + 1.0, None), sg.constant(0.0), length=7)
    assert "hₜ₊₁ = hₜ w + 1" in draw(c * c, "gradient").dot


def rnn(last):
    """Return a loss on the last state of a recurrence, or on all of them."""
    x, U = sg.input("x", ("n", 6, 4)), sg.param("U", (8, 8))
    W, V = sg.param("W", (4, 8)), sg.param("V", (8, 3))

    def step(h, x):
        h = sg.tanh(h @ U + x @ W)
        return h, h

    _, states = sg.scan(step, sg.zeros(("n", 8)), sg.permute_dims(x, (1, 0, 2)))
    states = sg.permute_dims(states, (1, 0, 2))
    return sg.mean(((states[:, -1] if last else states) @ V) ** 2)


@pytest.mark.parametrize(("last", "name"), [(True, "h₆"), (False, "H")])
def test_the_result_of_a_loop_is_called_a_state(last, name):
    """No index notation: the state after step 6 is h₆, the states of all steps H."""
    dot = draw(rnn(last), "gradient").dot
    assert f"Z = {name} V" in dot
    assert f"∂L/∂{name}<" in dot
    assert f"{name}ᵀ ·" in dot
    assert "<b>slice" not in dot
    assert "𝟙" not in dot


def test_gates_are_slices():
    loss, _ = cell("lstm")
    graph = Graph(loss, "auto")
    (scan,) = [t for t in graph.boxes.boxes if is_loop(t)]
    equations = graph.labels.equations(scan)
    texts = [f"{left} = {unicode_text(form)}" for left, form in equations]
    assert any(t.startswith("cₜ₊₁ = σ(Z[:, ") and "] ⊙ cₜ" not in t for t in texts)
    assert any(t.endswith(") ⊙ tanh(cₜ₊₁)") for t in texts)
    assert "_" not in "".join(texts)


def test_parts_of_other_tensors_are_slices():
    """A product of which each head takes a part."""
    x, W, V = sg.input("x", ("n", 4)), sg.param("W", (4, 6)), sg.param("V", (4, 6))
    z = sg.tanh(x @ W)
    loss = sg.mean((z[:, :3] @ z[:, 3:].mT @ (x @ V)) ** 2)
    dot = draw(loss, "gradient").dot
    assert "= H[:, :3]" in dot
    assert "· → H[:, 3:]" in dot

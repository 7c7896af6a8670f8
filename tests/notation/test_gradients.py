"""The gradient of a network prints like a textbook, raw and simplified."""

import itertools

import pytest

import symgrad as sg
from symgrad.errors import GraphError
from symgrad.notation import formula, parameter_gradients


def classifier(sizes=(64, 64, 32, 10)):
    h, y = sg.input("X", ("n", sizes[0])), sg.input("y", ("n",), "int64")
    params = []
    for n, (a, b) in enumerate(itertools.pairwise(sizes), start=1):
        with sg.scope(f"layer{n}"):
            W, c = sg.param("W", (a, b)), sg.param("b", (b,))
            params += [W, c]
            h = h @ W + c
            if n < len(sizes) - 1:
                h = sg.relu(h)
    picked = sg.take_along_axis(sg.log_softmax(h), sg.expand_dims(y, 1), axis=1)
    return -sg.mean(picked), params


TEXTBOOK = """\
∂L/∂W1 = Xᵀ G1
∂L/∂b1 = G1ᵀ 𝟏
∂L/∂W2 = H1ᵀ G2
∂L/∂b2 = G2ᵀ 𝟏
∂L/∂W3 = H2ᵀ G3
∂L/∂b3 = G3ᵀ 𝟏
  where H1 = relu(X W1 + b1)
        H2 = relu(H1 W2 + b2)
        G3 = (softmax(H2 W3 + b3) − onehot(y)) / n
        G2 = G3 W3ᵀ ⊙ 𝟙[H2 > 0]
        G1 = G2 W2ᵀ ⊙ 𝟙[H1 > 0]"""

DELTA = "(softmax(H2 W3 + b3) − onehot(y))"
HIDDEN = "\n  where H1 = relu(X W1 + b1)\n        H2 = relu(H1 W2 + b2)"
SECOND = f"({DELTA} W3ᵀ ⊙ 𝟙[H2 > 0])"
FIRST = f"({SECOND} W2ᵀ ⊙ 𝟙[H1 > 0])"
EACH = [
    f"Xᵀ {FIRST} / n{HIDDEN}",
    f"{FIRST}ᵀ 𝟏 / n{HIDDEN}",
    f"H1ᵀ {SECOND} / n{HIDDEN}",
    f"{SECOND}ᵀ 𝟏 / n\n  where H2 = relu(relu(X W1 + b1) W2 + b2)",
    f"H2ᵀ {DELTA} / n\n  where H2 = relu(relu(X W1 + b1) W2 + b2)",
    "(softmax(relu(relu(X W1 + b1) W2 + b2) W3 + b3) − onehot(y))ᵀ 𝟏 / n",
]


def test_loss():
    loss, _ = classifier((64, 32, 10))
    assert formula(loss) == ("−⟨onehot(y), log_softmax(relu(X W1 + b1) W2 + b2)⟩ / n")


@pytest.mark.parametrize("simplified", [False, True])
def test_each_gradient(simplified):
    loss, params = classifier()
    grads = sg.grad(loss, params)
    if simplified:
        grads = [sg.simplify(g) for g in grads]
    assert [formula(g) for g in grads] == EACH


@pytest.mark.parametrize("simplified", [False, True])
def test_all_gradients_together(simplified):
    loss, params = classifier()
    grads = sg.grad(loss, params)
    if simplified:
        grads = [sg.simplify(g) for g in grads]
    assert parameter_gradients(loss, params, grads) == TEXTBOOK
    assert parameter_gradients(loss) == TEXTBOOK


def test_tanh_network_without_scopes():
    h = sg.input("x", ("n", 4))
    for n in (1, 2, 3):
        h = sg.tanh(h @ sg.param(f"W{n}", (4, 4)) + sg.param(f"b{n}", (4,)))
    loss = sg.mean((h - sg.input("y", ("n", 4))) ** 2)
    assert parameter_gradients(loss).splitlines()[-3:] == [
        "        G3 = (H3 − y) ⊙ (1 − H3⊙²) / (2 n)",
        "        G2 = G3 W3ᵀ ⊙ (1 − H2⊙²)",
        "        G1 = G2 W2ᵀ ⊙ (1 − H1⊙²)",
    ]


def test_frozen_weights_have_no_line():
    x, y = sg.input("x", ("n", 8)), sg.input("y", ("n", 8))
    base = sg.param("W0", (8, 8), trainable=False)
    A, B = sg.param("A", (8, 2)), sg.param("B", (2, 8))
    text = parameter_gradients(sg.mean((x @ (base + A @ B) - y) ** 2))
    assert [line.split(" =")[0] for line in text.splitlines()[:2]] == [
        "∂L/∂A",
        "∂L/∂B",
    ]
    assert "xᵀ (x (W0 + A B) − y) / (4 n)" in text


def test_nothing_to_derive_by():
    with pytest.raises(GraphError, match="no trainable parameter"):
        parameter_gradients(sg.sum(sg.input("x", (3,))))


def test_attention_gradient():
    X, G = sg.input("X", (5, 8)), sg.input("G", (5, 8))
    Wv = sg.param("Wv", (8, 8))
    out = sg.softmax(X @ X.T / 8**0.5) @ (X @ Wv)
    g = sg.grad(sg.sum(out * G), Wv)
    assert formula(g) == "Xᵀ softmax(X Xᵀ / √8)ᵀ G"

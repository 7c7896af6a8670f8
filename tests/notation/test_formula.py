"""Formulas: what a mathematician would write, whatever graph computes it."""

import time

import pytest

import symgrad as sg
from symgrad.errors import GraphError
from symgrad.notation import formula

A, B, C = (sg.input(n, ("n", "n")) for n in "ABC")
x, y, z = (sg.input(n, ("n",)) for n in "xyz")
X, G = sg.input("X", ("m", "n")), sg.input("G", ("m", "n"))
s, v = sg.input("s", ("m",)), sg.input("v", ("n",))
ids = sg.input("ids", ("m",), "int64")
E = sg.param("E", (50, 8))

CASES = [
    (A @ B, "A B"),
    (A.T @ B, "Aᵀ B"),
    (A @ B.T, "A Bᵀ"),
    ((A @ B).T, "Bᵀ Aᵀ"),
    (A @ B @ C, "A B C"),
    (A @ (B @ C), "A B C"),
    (A @ (B + C), "A (B + C)"),
    (A @ x, "A x"),
    (x @ A, "Aᵀ x"),
    (x @ A @ y, "xᵀ A y"),
    (x @ y, "x · y"),
    (sg.sum(x * y), "x · y"),
    (sg.sum(x * x), "‖x‖²"),
    (sg.sum(X**2), "‖X‖²"),
    (sg.sum(A * B), "⟨A, B⟩"),
    (sg.sum(A * B.T), "tr(A B)"),
    (sg.einsum("ij,jk,ki->", A, B, C), "tr(A B C)"),
    (sg.einsum("ii->", A), "tr(A)"),
    (sg.einsum("ii->i", A), "diag(A)"),
    (sg.outer(x, y), "x yᵀ"),
    (A * B, "A ⊙ B"),
    (s[:, None] * X, "diag(s) X"),
    (X * v, "X diag(v)"),
    (X + v, "X + v"),
    (sg.sum(X), "Σ(X)"),
    (sg.sum(X, axis=1), "X 𝟏"),
    (sg.sum(X, axis=0), "Xᵀ 𝟏"),
    (sg.mean(X), "mean(X)"),
    (sg.mean(X, axis=1), "mean(X)"),
    (sg.mean(X, axis=0), "Xᵀ 𝟏 / m"),
    (sg.mean((X @ v - s) ** 2), "‖X v − s‖² / m"),
    (sg.var(X, axis=1), "var(X)"),
    (sg.std(X), "std(X)"),
    (sg.max(X, axis=1), "max(X)"),
    (sg.softmax(X), "softmax(X)"),
    (sg.softmax(x), "softmax(x)"),
    (sg.softmax(X, axis=0), "softmax(Xᵀ)ᵀ"),
    (sg.log_softmax(X), "log_softmax(X)"),
    (sg.logsumexp(X, axis=1), "logsumexp(X)"),
    (sg.exp(X) / sg.sum(sg.exp(X), axis=1, keepdims=True), "softmax(X)"),
    (sg.exp(sg.log_softmax(X)), "softmax(X)"),
    (sg.log(sg.softmax(X)), "log_softmax(X)"),
    (1 / (1 + sg.exp(-x)), "σ(x)"),
    (sg.log1p(sg.exp(x)), "softplus(x)"),
    (sg.where(x > 0, x, 0), "relu(x)"),
    (sg.where(x > y, x, 2 * y), "where(x > y, x, 2 y)"),
    (sg.silu(x), "x ⊙ σ(x)"),
    (-x, "−x"),
    (x - (y - z), "x + z − y"),
    (x - y / z, "x − y / z"),
    (x / (y * z), "x / (y ⊙ z)"),
    (x**2 + 3 * x - 0.5, "x⊙² + 3 x − 0.5"),
    (sg.abs(x), "|x|"),
    (sg.sqrt(x), "√x"),
    (x / 8**0.5, "x / √8"),
    (sg.tril(A), "tril(A)"),
    (sg.cumulative_sum(x), "tril(𝟏 𝟏ᵀ) x"),
    (sg.eye(3), "I"),
    (sg.one_hot(ids, 10), "onehot(ids)"),
    (E[ids], "E[ids]"),
    (X[:, 0], "X[:, 0]"),
    (x, "x"),
    (sg.constant(2.0), "2"),
]


@pytest.mark.parametrize(("t", "text"), CASES, ids=[text for _, text in CASES])
def test_notation(t, text):
    assert formula(t) == text


p = sg.sigmoid(X @ v)
GRADIENTS = [
    (sg.sum((X @ v - s) ** 2), v, "2 Xᵀ (X v − s)"),
    (sg.mean((X @ v - s) ** 2), v, "2 Xᵀ (X v − s) / m"),
    (-sg.sum(s * sg.log(p) + (1 - s) * sg.log(1 - p)), v, "Xᵀ (σ(X v) − s)"),
    (sg.sum(sg.softplus(X @ v) - s * (X @ v)), v, "Xᵀ (σ(X v) − s)"),
    (sg.sum(sg.logsumexp(X, axis=1)), X, "softmax(X)"),
    (sg.sum(sg.softmax(X) * G), X, "softmax(X) ⊙ (G − (G ⊙ softmax(X)) 𝟏 𝟏ᵀ)"),
    (x @ A @ x, x, "(A + Aᵀ) x"),
    (x @ A @ x, A, "x xᵀ"),
    (sg.sum(A * B.T), A, "Bᵀ"),
    (sg.sqrt(sg.sum(X**2)), X, "X / ‖X‖"),
    (sg.sum(sg.relu(x)), x, "𝟙[x > 0]"),
    (sg.sum(sg.relu(x) * y), x, "y ⊙ 𝟙[x > 0]"),
    (sg.sum(sg.sigmoid(x)), x, "σ(x) ⊙ (1 − σ(x))"),
    (sg.sum(sg.tanh(x)), x, "1 − tanh²(x)"),
    (sg.sum(sg.exp(E[ids])), E, "onehot(ids)ᵀ exp(E[ids])"),
    (sg.sum(sg.max(X, axis=1)), X, "diag(1 / (𝟙[X = max(X)] 𝟏)) 𝟙[X = max(X)]"),
]


@pytest.mark.parametrize(
    ("loss", "wrt", "text"), GRADIENTS, ids=[f"{n}" for n in range(len(GRADIENTS))]
)
def test_gradients(loss, wrt, text):
    assert formula(sg.grad(loss, wrt)) == text


def test_layer_norm():
    gamma, beta = sg.param("gamma", (8,)), sg.param("beta", (8,))
    h = sg.input("x", ("n", 8))
    centred = h - sg.mean(h, axis=1, keepdims=True)
    spread = sg.sqrt(sg.var(h, axis=1, keepdims=True) + 1e-5)
    normal = centred / spread * gamma + beta
    assert formula(normal) == "(x − mean(x)) ⊙ γ / √(var(x) + 1e−5) + β"


def test_attention_and_its_batched_form():
    q, k, w = (sg.input(n, (5, 8)) for n in "QKV")
    assert formula(sg.softmax(q @ k.T / 8**0.5) @ w) == "softmax(Q Kᵀ / √8) V"
    q, k, w = (sg.input(n, ("b", 2, 5, 8)) for n in "QKV")
    assert formula(sg.softmax(q @ k.mT / 8**0.5) @ w) == "softmax(Q Kᵀ / √8) V"


def test_leading_axes_of_a_weight_gradient_are_rows():
    xs, W = sg.input("X", ("b", 5, 8)), sg.param("W", (8, 3))
    assert formula(xs @ W) == "X W"
    g = sg.grad(sg.sum(sg.exp(xs @ W)), W)
    assert formula(g) == "Xᵀ exp(X W)"


def test_index_notation_where_there_is_no_other():
    image, w = sg.input("x", ("n", 3, 9)), sg.param("w", (4, 3, 2))
    assert formula(sg.conv1d(image, w, stride=2)) == "y_ijk = Σ_lm x_{i,l,2k+m} w_jlm"
    assert formula(x[1:]) == "y_i = x_{1+i}".replace("1+i", "1+i")
    assert formula(sg.pad(x, 1)) == "y_i = x_{i−1} 𝟙[0 ≤ i − 1 < n]"


def test_shared_subexpressions_are_named():
    h = sg.tanh(A @ B)
    text = formula(h @ C + h)
    assert text == "H C + H\n  where H = tanh(A B)"
    assert formula(h @ C + h, where=False) == "H C + H"


def test_names_are_as_short_as_they_may_be():
    h = x
    for n in (1, 2):
        with sg.scope(f"layer{n}"):
            h = sg.relu(h @ sg.param("W", (3, 3))) if n > 1 else h[:3]
    assert "W" in formula(h)
    with sg.scope("a"):
        first = sg.param("W", (2, 2))
    with sg.scope("b"):
        second = sg.param("W", (2, 2))
    assert formula(first @ second) == "a.W b.W"


def test_str_of_a_tensor_has_no_side_effect_on_names():
    assert formula(A @ B) == formula(A @ B)


def test_only_tensors_have_formulas():
    with pytest.raises(GraphError, match="of a tensor"):
        formula(3)


def test_deep_networks_are_linear():
    h = sg.input("x", ("n", 8))
    for n in range(200):
        with sg.scope(f"layer{n}"):
            h = h + sg.relu(h @ sg.param("W", (8, 8)))
    start = time.process_time()
    text = formula(h)
    assert time.process_time() - start < 5
    assert max(map(len, text.splitlines())) < 200

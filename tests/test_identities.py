"""Published identities of matrix calculus: what is printed, and that it is right.

The text is compared with the published closed form, up to the order of terms and to
notation; the values with central differences of the function itself, of fourth order.

Sources: C(n), equation n of Petersen & Pedersen, "The Matrix Cookbook" (2012); B,
Boyd & Vandenberghe, "Convex Optimization" (2004), appendix A.4 and chapters 3 and 9; P,
Bishop, "Pattern Recognition and Machine Learning" (2006); L, Laue, Mitterreiter &
Giesen (2018) and their matrixcalculus.org; M, Magnus & Neudecker, "Matrix Differential
Calculus" (2019).
"""

import numpy as np
import pytest

import symgrad as sg
from tests.notation.differences import check

SIZES = {"n": 4, "m": 5, "k": 3}


def given(name, *shape):
    return sg.input(name, shape, "float64")


x, y, a, b, c, d, s, w, q = (given(name, "n") for name in "xyabcdswq")
z, u = given("z", "m"), given("u", "m")
A, B, C, D, X, W, S = (given(name, "n", "n") for name in "ABCDXWS")
M, Y = given("M", "m", "n"), given("Y", "m", "n")
F, G = given("F", "m", "k"), given("G", "n", "k")
V = given("V", "n", "k")
t = given("t")

total, exp, log, tanh = sg.sum, sg.exp, sg.log, sg.tanh
inv, det, solve = sg.linalg.inv, sg.linalg.det, sg.linalg.solve


def tr(m):
    return sg.einsum("ii->", m)


def norm(v):
    return sg.sqrt(total(v * v))


def sigmoid(v):
    return sg.sigmoid(v)


#: (source, what is derived, by what, how it is written)
GRADIENTS = [
    ("C69", a @ x, x, "a"),
    ("C69", x @ a, x, "a"),
    ("C70", a @ X @ b, X, "a bᵀ"),
    ("C71", a @ X.T @ b, X, "b aᵀ"),
    ("C72", a @ X @ a, X, "a aᵀ"),
    ("C72", a @ X.T @ a, X, "a aᵀ"),
    ("C76", total(X) ** 2, X, "2 Σ(X) 𝟏 𝟏ᵀ"),
    ("C77", b @ X.T @ X @ c, X, "X (b cᵀ + c bᵀ)"),
    ("C78", (B @ x + b) @ C @ (D @ x + d), x, "Dᵀ Cᵀ (B x + b) + Bᵀ C (D x + d)"),
    ("C81", x @ B @ x, x, "(B + Bᵀ) x"),
    ("C82", b @ X.T @ D @ X @ c, X, "D X c bᵀ + Dᵀ X b cᵀ"),
    ("C83", (X @ b + c) @ D @ (X @ b + c), X, "(D + Dᵀ) (X b + c) bᵀ"),
    ("C84", (x - A @ s) @ (x - A @ s), s, "2 Aᵀ (A s − x)"),
    ("C85", (x - s) @ (x - s), x, "2 (x − s)"),
    ("C86", (x - s) @ W @ (x - s), s, "−(W + Wᵀ) (x − s)"),
    ("C88", (x - A @ s) @ (x - A @ s), A, "2 (A s − x) sᵀ"),
    ("C97", x @ A @ x + b @ x, x, "b + (A + Aᵀ) x"),
    ("C99", tr(X), X, "I"),
    ("C100", tr(X @ A), X, "Aᵀ"),
    ("C101", tr(A @ X @ B), X, "Aᵀ Bᵀ"),
    ("C102", tr(A @ X.T @ B), X, "B A"),
    ("C103", tr(X.T @ A), X, "A"),
    ("C104", tr(A @ X.T), X, "A"),
    ("C106", tr(X @ X), X, "2 Xᵀ"),
    ("C107", tr(X @ X @ B), X, "(X B + B X)ᵀ"),
    ("C108", tr(X.T @ B @ X), X, "(B + Bᵀ) X"),
    ("C109", tr(B @ X @ X.T), X, "(B + Bᵀ) X"),
    ("C110", tr(X @ X.T @ B), X, "(B + Bᵀ) X"),
    ("C111", tr(X @ B @ X.T), X, "X (B + Bᵀ)"),
    ("C112", tr(B @ X.T @ X), X, "X (B + Bᵀ)"),
    ("C113", tr(X.T @ X @ B), X, "X (B + Bᵀ)"),
    ("C114", tr(A @ X @ B @ X), X, "(A X B + B X A)ᵀ"),
    ("C115", tr(X.T @ X), X, "2 X"),
    ("C115", tr(X @ X.T), X, "2 X"),
    ("C116", tr(B.T @ X.T @ C @ X @ B), X, "(C + Cᵀ) X B Bᵀ"),
    ("C117", tr(X.T @ B @ X @ C), X, "B X C + Bᵀ X Cᵀ"),
    ("C118", tr(A @ X @ B @ X.T @ C), X, "C A X B + Aᵀ Cᵀ X Bᵀ"),
    ("C119", tr((A @ X @ B + C) @ (A @ X @ B + C).T), X, "2 Aᵀ (A X B + C) Bᵀ"),
    ("C120", tr(X) * tr(X), X, "2 tr(X) I"),
    ("C121", tr(X @ X @ X), X, "3 Xᵀ Xᵀ"),
    ("C122", tr(A @ X @ X), X, "(A X + X A)ᵀ"),
    ("C129", norm(x - a), x, "(x − a) / ‖x − a‖"),
    ("C131", x @ x, x, "2 x"),
    ("C132", total(X * X), X, "2 X"),
    ("M", norm(X), X, "X / ‖X‖"),
    ("M", tr(X) ** 3, X, "3 tr(X)² I"),
    ("M", total(X @ A), X, "𝟏 𝟏ᵀ Aᵀ"),
    ("M", total(A @ X @ B), X, "Aᵀ 𝟏 𝟏ᵀ Bᵀ"),
    ("M", tr(A @ (X * B)), X, "Aᵀ ⊙ B"),
    ("M", a @ (X * B) @ c, X, "diag(a) B diag(c)"),
    ("M", exp(a @ X @ b), X, "exp(aᵀ X b) a bᵀ"),
    ("M", log(x @ A @ x), x, "(A + Aᵀ) x / (xᵀ A x)"),
    ("M", (a @ x) * (b @ x), x, "(a · x) b + (b · x) a"),
    ("M", (a @ x) / (b @ x), x, "(a − (a · x) b / (b · x)) / (b · x)"),
    ("M", 1 / (a @ x), x, "−a / (a · x)²"),
    ("M", sg.sqrt(a @ x), x, "a / (2 √(a · x))"),
    ("M", (x @ x) ** 2, x, "4 ‖x‖² x"),
    ("M", x @ A @ y, A, "x yᵀ"),
    ("M", x @ A @ y, x, "A y"),
    ("M", x @ A @ y, y, "Aᵀ x"),
    ("M", norm(M @ w - z), w, "Mᵀ t1 / ‖t1‖\n  where t1 = M w − z"),
    ("B", total((M @ w - z) ** 2), w, "2 Mᵀ (M w − z)"),
    ("B", total((M @ w - z) ** 2) / 2, w, "Mᵀ (M w − z)"),
    ("B", total((M @ w - z) ** 2) + 3 * total(w * w), w, "6 w + 2 Mᵀ (M w − z)"),
    ("B", sg.logsumexp(x), x, "softmax(x)"),
    ("B", sg.logsumexp(M @ w + z), w, "Mᵀ softmax(M w + z)"),
    ("B", log(total(exp(x))), x, "softmax(x)"),
    ("B", -total(log(x)), x, "−1 / x"),
    ("B", -total(log(z - M @ w)), w, "Mᵀ (1 / (z − M w))"),
    ("B", total(x * log(x)), x, "log(x) + 1"),
    ("B", total(x * log(x / y)), x, "log(x / y) + 1"),
    ("B", total(exp(x)), x, "exp(x)"),
    ("B", total(sg.relu(M @ w - z)), w, "Mᵀ 𝟙[M w − z > 0]"),
    ("B", total(abs(M @ w - z)), w, "Mᵀ sign(M w − z)"),
    ("B", sg.max(x), x, "𝟙[x = max(x)] / Σ(𝟙[x = max(x)])"),
    ("B", total(sg.sqrt(1 + x * x)), x, "x / √(1 + x⊙²)"),
    ("B", x @ x / t, t, "−‖x‖² / t²"),
    ("B", x @ x / t, x, "2 x / t"),
    ("P3.13", total((z - M @ w) ** 2) / 2, w, "Mᵀ (M w − z)"),
    ("P4.91", total(sg.softplus(M @ w) - z * (M @ w)), w, "Mᵀ (σ(M w) − z)"),
    (
        "P4.91",
        -total(z * log(sigmoid(M @ w)) + (1 - z) * log(1 - sigmoid(M @ w))),
        w,
        "Mᵀ (σ(M w) − z)",
    ),
    ("P4.109", -total(y * sg.log_softmax(x)), x, "Σ(y) softmax(x) − y"),
    ("P", total(sigmoid(x)), x, "σ(x) ⊙ (1 − σ(x))"),
    ("P", total(tanh(x)), x, "1 − tanh²(x)"),
    ("P", total(tanh(A @ x)), x, "Aᵀ (1 − tanh²(A x))"),
    ("P", total(tanh(A @ x)), A, "(1 − tanh²(A x)) xᵀ"),
    ("P", total(sg.softplus(x)), x, "σ(x)"),
    ("P", total(sg.relu(x)), x, "𝟙[x > 0]"),
    ("P", total(sigmoid(X @ w)), X, "(H ⊙ (1 − H)) wᵀ\n  where H = σ(X w)"),
    ("L", total(sg.sin(M @ w)), w, "Mᵀ cos(M w)"),
    ("L", total((Y - F @ G.T) ** 2), F, "2 (F Gᵀ − Y) G"),
    ("L", total((Y - F @ G.T) ** 2), G, "2 (G Fᵀ − Yᵀ) F"),
    ("L", total((X.T @ X - A) ** 2), X, "X (G + Gᵀ)\n  where G = 2 (Xᵀ X − A)"),
    ("L", tr(X.T @ X @ A), X, "X (A + Aᵀ)"),
    ("L", total(exp(-z * (M @ w))), w, "−Mᵀ (z ⊙ exp(−z ⊙ M w))"),
    ("L", total(log(1 + exp(-z * (M @ w)))), w, "−Mᵀ (σ(−M w ⊙ z) ⊙ z)"),
    ("L", x @ A @ exp(x), x, "Aᵀ x ⊙ exp(x) + A exp(x)"),
    (
        "L",
        (x @ A @ x) / (x @ x),
        x,
        "((A + Aᵀ) x − 2 (xᵀ A x) x / ‖x‖²) / ‖x‖²",
    ),
    ("L", total(x * (A @ x)), x, "(A + Aᵀ) x"),
    ("L", norm(x) ** 3, x, "3 ‖x‖ x"),
    ("L", total(M @ w), w, "Mᵀ 𝟏"),
    ("L", total(X), X, "𝟏 𝟏ᵀ"),
    ("L", total(sg.sum(X, axis=0) * a), X, "𝟏 aᵀ"),
    ("L", total(sg.sum(X, axis=1) * a), X, "a 𝟏ᵀ"),
    ("L", total(sg.einsum("ii->i", X) * a), X, "diag(a)"),
    ("L", sg.mean((x - sg.mean(x)) ** 2), x, "2 (x − mean(x)) / n"),
    ("L", sg.mean(x), x, "𝟏 / n"),
    ("L", sg.prod(x), x, "y_i = Π_{j≠i} x_j"),
    ("L", total(sg.cumulative_sum(x) * a), x, "triu(𝟏 𝟏ᵀ) a"),
    ("L", total(A * X * B), X, "B ⊙ A"),
    ("L", tr(sg.outer(x, a) @ A), x, "Aᵀ a"),
    ("L", total((A @ X @ B - C) ** 2), X, "2 Aᵀ (A X B − C) Bᵀ"),
]

JACOBIANS = [
    ("L", x, x, "I"),
    ("L", 3 * x, x, "3 I"),
    ("L", A @ x, x, "A"),
    ("L", A @ x + b, x, "A"),
    ("L", x @ A, x, "Aᵀ"),
    ("L", A @ B @ x, x, "A B"),
    ("L", A @ x, A, "I ⊗ xᵀ"),
    ("L", x * y, x, "diag(y)"),
    ("L", x * x, x, "diag(2 x)"),
    ("L", exp(x), x, "diag(exp(x))"),
    ("L", sg.sin(x), x, "diag(cos(x))"),
    ("L", tanh(x), x, "diag(1 − tanh²(x))"),
    ("L", sigmoid(x), x, "diag(σ(x) ⊙ (1 − σ(x)))"),
    ("L", 1 / x, x, "−diag(1 / x⊙²)"),
    ("L", sg.relu(A @ x), x, "diag(𝟙[A x > 0]) A"),
    ("L", A @ tanh(x), x, "A diag(1 − tanh²(x))"),
    ("L", A @ tanh(B @ x), x, "A diag(1 − tanh²(B x)) B"),
    ("L", tanh(A @ x), x, "diag(1 − tanh²(A x)) A"),
    ("P4.106", sg.softmax(x), x, "diag(softmax(x)) − softmax(x) softmax(x)ᵀ"),
    ("P", sg.log_softmax(x), x, "I − 𝟏 softmax(x)ᵀ"),
    (
        "L",
        sg.softmax(A @ x),
        x,
        "(diag(P) − P Pᵀ) A\n  where P = softmax(A x)",
    ),
    (
        "C130",
        (x - a) / norm(x - a),
        x,
        "(I − t1 t1ᵀ / ‖t1‖²) / ‖t1‖\n  where t1 = x − a",
    ),
    ("L", x / norm(x), x, "(I − x xᵀ / ‖x‖²) / ‖x‖"),
    ("L", x * (x @ x), x, "2 x xᵀ + ‖x‖² I"),
    ("L", x * (a @ x), x, "x aᵀ + (x · a) I"),
    ("L", x - sg.mean(x), x, "I − 𝟏 𝟏ᵀ / n"),
    ("L", x * t, x, "t I"),
    ("L", x * t, t, "x"),
    ("L", sg.outer(a, b) @ x, x, "a bᵀ"),
    ("L", (A @ x) * (B @ x), x, "diag(B x) A + diag(A x) B"),
    ("L", x + tanh(A @ x), x, "diag(1 − tanh²(A x)) A + I"),
    ("L", A @ X @ B, X, "A ⊗ Bᵀ"),
    ("L", X @ B, X, "I ⊗ Bᵀ"),
    ("L", A @ X, X, "A ⊗ I"),
    ("L", X @ X, X, "I ⊗ Xᵀ + X ⊗ I"),
    ("L", X @ b, X, "I ⊗ bᵀ"),
    ("L", sg.cumulative_sum(x), x, "tril(𝟏 𝟏ᵀ)"),
    ("L", x / total(x), x, "(I − (x / Σ(x)) 𝟏ᵀ) / Σ(x)"),
]

HESSIANS = [
    ("C98", x @ A @ x + b @ x, x, "A + Aᵀ"),
    ("B", total((M @ w - z) ** 2), w, "2 Mᵀ M"),
    ("B", total((M @ w - z) ** 2) + 3 * total(w * w), w, "2 Mᵀ M + 6 I"),
    ("B", sg.logsumexp(x), x, "diag(softmax(x)) − softmax(x) softmax(x)ᵀ"),
    (
        "B",
        sg.logsumexp(M @ w),
        w,
        "Mᵀ (diag(P) − P Pᵀ) M\n  where P = softmax(M w)",
    ),
    ("B", -total(log(x)), x, "diag(1 / x⊙²)"),
    ("B", total(x * log(x)), x, "diag(1 / x)"),
    ("B", norm(x), x, "(I − x xᵀ / ‖x‖²) / ‖x‖"),
    ("B", x @ x, x, "2 I"),
    ("B", total(exp(M @ w)), w, "Mᵀ diag(exp(M w)) M"),
    ("B", total(exp(M @ w) - z * (M @ w)), w, "Mᵀ diag(exp(M w)) M"),
    ("B", -total(log(z - M @ w)), w, "Mᵀ diag(1 / (z − M w)⊙²) M"),
    ("B", x @ x / t, x, "(2 / t) I"),
    (
        "P4.97",
        total(sg.softplus(M @ w) - z * (M @ w)),
        w,
        "Mᵀ diag(H ⊙ (1 − H)) M\n  where H = σ(M w)",
    ),
    (
        "P4.97",
        total(log(1 + exp(-(M @ w)))),
        w,
        "Mᵀ diag(H ⊙ (1 − H)) M\n  where H = σ(M w)",
    ),
    ("L", total(x**3), x, "diag(6 x)"),
    ("L", total(x**4), x, "diag(12 x⊙²)"),
    ("L", total(sg.sin(x)), x, "−diag(sin(x))"),
    ("L", (x @ x) ** 2, x, "8 x xᵀ + 4 ‖x‖² I"),
    ("L", exp(-(x @ x) / 2), x, "exp(−‖x‖² / 2) (x xᵀ − I)"),
    (
        "L",
        total(sg.sqrt(1 + (M @ w - z) ** 2)),
        w,
        "Mᵀ diag(1 / ((M w − z)⊙² + 1)⊙^(3/2)) M",
    ),
    ("L", total((Y - F @ G.T) ** 2), F, "2 (I ⊗ Gᵀ G)"),
    ("L", a @ x, x, "0"),
    ("L", (a @ x) * (b @ x), x, "a bᵀ + b aᵀ"),
    ("L", (a @ x) ** 2, x, "2 a aᵀ"),
    ("L", exp(a @ x), x, "exp(x · a) a aᵀ"),
    ("L", log(a @ x), x, "−a aᵀ / (x · a)²"),
    (
        "L",
        sg.prod(x),
        x,
        None,
    ),
    ("L", sg.mean((x - sg.mean(x)) ** 2), x, "2 (I − 𝟏 𝟏ᵀ / n) / n"),
    ("L", tr(X.T @ A @ X), X, "A ⊗ I + Aᵀ ⊗ I"),
    ("L", total(tanh(x)), x, "diag(2 (tanh²(x) − 1) ⊙ tanh(x))"),
]


POINTS = {
    tensor: np.random.default_rng(n).uniform(
        0.4, 1.6, [SIZES.get(str(e), e) for e in tensor.shape]
    )
    for n, tensor in enumerate(
        [x, y, a, b, c, d, s, w, q, z, u, A, B, C, D, X, W, S, M, Y, F, G, V, t]
    )
}
POINTS[z] = POINTS[z] + 9.0  # above M w: -log(z - M w) is defined

#: Inverses and determinants: the same, of matrices that are regular.
INVERSES = [
    ("C49", det(X), X, "det(X) X⁻ᵀ"),
    ("C51", det(A @ X @ B), X, None),
    ("C57", sg.linalg.slogdet(X).logabsdet, X, "X⁻ᵀ"),
    ("B", log(det(X @ X.T)), X, None),
    ("C55", log(det(M.T @ M)), M, "2 M (Mᵀ M)⁻¹"),
    ("C61", a @ inv(X) @ b, X, "−X⁻ᵀ a bᵀ X⁻ᵀ"),
    ("C62", det(inv(X)), X, None),
    ("C63", tr(A @ inv(X) @ B), X, "−X⁻ᵀ Aᵀ Bᵀ X⁻ᵀ"),
    ("C124", tr(inv(X) @ B), X, "−X⁻ᵀ Bᵀ X⁻ᵀ"),
    ("C64", tr(inv(X + A)), X, None),
    ("L", x @ solve(A, x), x, "(A⁻¹ + A⁻ᵀ) x"),
    ("L", x @ solve(A, x), A, "−A⁻ᵀ x xᵀ A⁻ᵀ"),
    ("M", tr(inv(X)), X, "−X⁻ᵀ X⁻ᵀ"),
]


def names(rows):
    return [f"{source} {n}" for n, (source, *_) in enumerate(rows)]


@pytest.mark.parametrize(
    ("source", "loss", "wrt", "text"), GRADIENTS, ids=names(GRADIENTS)
)
def test_gradients(source, loss, wrt, text):
    del source
    slope = sg.grad(loss, wrt)
    assert sg.formula(slope) == text
    check(slope, loss, wrt, POINTS)


@pytest.mark.parametrize(
    ("source", "loss", "wrt", "text"), INVERSES, ids=names(INVERSES)
)
def test_inverses(source, loss, wrt, text):
    del source
    slope = sg.grad(loss, wrt)
    assert text in (None, sg.formula(slope))
    check(slope, loss, wrt, POINTS)


@pytest.mark.parametrize(
    ("source", "of", "wrt", "text"), JACOBIANS, ids=names(JACOBIANS)
)
def test_jacobians(source, of, wrt, text):
    del source
    found = sg.jacobian(of, wrt)
    assert found.shape == (*of.shape, *wrt.shape)
    assert sg.formula(found) == text
    check(found, of, wrt, POINTS)


@pytest.mark.parametrize(
    ("source", "loss", "wrt", "text"), HESSIANS, ids=names(HESSIANS)
)
def test_hessians(source, loss, wrt, text):
    del source
    found = sg.hessian(loss, wrt)
    assert text in (None, sg.formula(found))
    check(found, sg.grad(loss, wrt), wrt, POINTS)


def test_there_are_enough():
    assert len(GRADIENTS) + len(JACOBIANS) + len(HESSIANS) >= 150

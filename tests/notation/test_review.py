"""What a user of matrix calculus would type, judged as a textbook would print it.

The text is what is printed; the values are compared with central differences of the
function itself (of its gradient, for Hessians).
"""

import numpy as np
import pytest

import symgrad as sg
from tests.notation.differences import check

SIZES = {"n": 4, "m": 5, "k": 3, "d": 2}


def given(name, *shape):
    return sg.input(name, shape, "float64")


x, y, a, b, g = (given(name, "n") for name in "xyabg")
z, gamma = given("z", "n"), given("γ", "n")
A, B, S = (given(name, "n", "n") for name in "ABS")
M, u = given("M", "m", "n"), given("u", "m")
X, Y = given("X", "m", "n"), given("Y", "m", "n")
U, V = given("U", "m", "k"), given("V", "n", "k")
Q, K, E = given("Q", "m", "n"), given("K", "k", "n"), given("V", "k", "d")
G, T = given("G", "m", "d"), given("T", "k", "d")
lam, tau = given("λ"), given("τ")
P = given("C", "k", "n")
centre, spread = given("μ", "n"), given("Σ", "n", "n")
total, mean, exp, log, sqrt = sg.sum, sg.mean, sg.exp, sg.log, sg.sqrt
inv, det, solve = sg.linalg.inv, sg.linalg.det, sg.linalg.solve
scale = given("s")
attended = sg.softmax(Q @ K.T / sqrt(scale), axis=-1) @ E
weights = "P = softmax(Q Kᵀ / √s)"
normal = (x - mean(x)) / sqrt(sg.var(x))
columns = (X - mean(X, axis=0)) / sqrt(sg.var(X, axis=0))
distances = total((X[:, None, :] - P[None]) ** 2, axis=-1)
mixture = total(sg.logsumexp(-distances / 2, axis=1))
apart = "Z_ij = Σ_k (X_ik − C_jk)²"
residual = M @ x - u
bent = sg.where(sg.abs(residual) <= 1, residual**2 / 2, sg.abs(residual) - 0.5)
away = x - centre
distance = away @ solve(spread, away)
rayleigh = (x @ A @ x) / (x @ x)


def tr(m):
    return sg.einsum("ii->", m)


def point(t):
    rng = np.random.default_rng(len(t.shape) + ord(t.name[0]))
    sizes = [SIZES.get(str(n), n) for n in t.shape]
    value = rng.uniform(0.4, 1.6, sizes)
    square = len(sizes) == 2 and sizes[0] == sizes[1]
    return value / 4 + np.eye(*sizes) if square else value


LEAVES = [x, y, a, b, g, z, gamma, A, B, S, M, u, X, Y, U, V, Q, K, E, G, T]
LEAVES += [lam, tau, P, centre, spread, scale]
POINTS = {t: point(t) for t in LEAVES}
GRADIENTS = [
    (
        total(attended * G),
        Q,
        f"(P ⊙ (G1 − (G1 ⊙ P) 𝟏 𝟏ᵀ)) K / √s\n  where G1 = G Vᵀ\n        {weights}",
    ),
    (
        total(attended * G),
        K,
        f"(P ⊙ (G1 − (G1 ⊙ P) 𝟏 𝟏ᵀ))ᵀ Q / √s\n  where G1 = G Vᵀ\n        {weights}",
    ),
    (total(attended * G), E, "softmax(Q Kᵀ / √s)ᵀ G"),
    (mixture, P, f"softmax(−Z / 2)ᵀ X − diag(softmax(−Z / 2)ᵀ 𝟏) C\n  where {apart}"),
    (total(normal * gamma * g), gamma, "g ⊙ (x − mean(x)) / std(x)"),
    (total(normal * gamma * g), x, None),
    (total(columns * Y), X, None),
    (
        total(X / sqrt(total(X * X, axis=0)) * Y),
        Y,
        "X diag(1 / √(Xᵀ⊙² 𝟏))",
    ),
    (total(sqrt(total(X * X, axis=1))), X, "diag(1 / √(X⊙² 𝟏)) X"),
    (total(a * log(a / b)), a, "log(a / b) + 1"),
    (total(a * log(a / b)), b, "−a / b"),
    (-(1 + z - x**2 - exp(z)).sum() / 2, z, "(exp(z) − 1) / 2"),
    (total(sg.softmax(z) * sg.log_softmax(z)), z, None),
    (1 - total(sg.softmax(z) ** 2), z, "2 softmax(z) ⊙ (‖softmax(z)‖² − softmax(z))"),
    (-total(a * sg.log_softmax(z)), z, "Σ(a) softmax(z) − a"),
    (sg.logsumexp(z) - z @ a, z, "softmax(z) − a"),
    (total((X - U @ V.T) ** 2), U, "2 (U Vᵀ − X) V"),
    (
        total((X - U @ V.T) ** 2) + lam * (total(U**2) + total(V**2)),
        U,
        "2 (λ U + (U Vᵀ − X) V)",
    ),
    (total((Y * (X - U @ V.T)) ** 2), U, "2 (Y⊙² ⊙ (U Vᵀ − X)) V"),
    (rayleigh, x, "((A + Aᵀ) x − 2 (xᵀ A x) x / ‖x‖²) / ‖x‖²"),
    (
        (x @ A @ x) / (x @ B @ x),
        x,
        "((A + Aᵀ) x − (xᵀ A x) (B + Bᵀ) x / (xᵀ B x)) / (xᵀ B x)",
    ),
    (
        total((X @ x) ** 2) / total(x**2),
        x,
        "2 (Xᵀ X x − ‖X x‖² x / ‖x‖²) / ‖x‖²",
    ),
    (sg.prod(x), x, "y_i = Π_{j≠i} x_j"),
    (tr(X.T @ X @ X.T @ X), X, "4 X Xᵀ X"),
    (tr(inv(X.T @ X)), X, "−2 X (Xᵀ X)⁻¹ (Xᵀ X)⁻¹"),
    (log(det(X.T @ X)), X, "2 X (Xᵀ X)⁻¹"),
    (total(residual**2) + lam * total(x * x), x, "2 (λ x + Mᵀ (M x − u))"),
    (total(residual**2), M, "2 (M x − u) xᵀ"),
    (total(bent), x, None),
    (total(log(sg.cosh(residual))), x, "Mᵀ tanh(M x − u)"),
    (mean(sg.relu(1 - u * (M @ x)) ** 2), x, "−2 Mᵀ (relu(1 − u ⊙ M x) ⊙ u) / m"),
    (distance, x, "(Σ⁻¹ + Σ⁻ᵀ) (x − μ)"),
    (
        -(total(((X - centre) @ inv(spread)) * (X - centre))) / 2
        - lam / 2 * log(det(spread)),
        spread,
        None,
    ),
    (lam * x @ A @ x, x, "λ (A + Aᵀ) x"),
    ((x @ y) / (sqrt(x @ x) * sqrt(y @ y)), x, "(y − (x · y) x / ‖x‖²) / (‖x‖ ‖y‖)"),
    (mean(X), X, "𝟏 𝟏ᵀ / (m n)"),
]
JACOBIANS = [
    (
        normal,
        x,
        "(I − 𝟏 𝟏ᵀ / n − (x − mean(x)) (x − mean(x))ᵀ / ‖x − mean(x)‖²) / std(x)",
    ),
    (x / sqrt(mean(x * x)), x, "(I − x xᵀ / ‖x‖²) / √(‖x‖² / n)"),
    (sg.softmax(M @ x), x, "(diag(P) − P Pᵀ) M\n  where P = softmax(M x)"),
    (
        sg.softmax(z / tau),
        z,
        "(diag(softmax(z / τ)) − softmax(z / τ) softmax(z / τ)ᵀ) / τ",
    ),
    (sg.silu(x), x, "diag(σ(x) ⊙ (1 − σ(x)) ⊙ x + σ(x))"),
    (A @ A @ x, x, "A A"),
    (inv(A), A, "−A⁻¹ ⊗ A⁻ᵀ"),
    (
        exp(-total((X - x) ** 2, axis=1) / 2),
        x,
        "diag(exp(−(X − x)⊙² 𝟏 / 2)) (X − x)",
    ),
]
HESSIANS = [
    (sg.logsumexp(M @ x + u), x, "Mᵀ (diag(P) − P Pᵀ) M\n  where P = softmax(M x + u)"),
    (log(total(exp(x))), x, "diag(softmax(x)) − softmax(x) softmax(x)ᵀ"),
    (total(bent), x, "Mᵀ diag(𝟙[|M x − u| ≤ 1]) M"),
    (
        -total(u * log(sg.sigmoid(M @ x)) + (1 - u) * log(1 - sg.sigmoid(M @ x))),
        x,
        "Mᵀ diag(H ⊙ (1 − H)) M\n  where H = σ(M x)",
    ),
    (total(log(sg.cosh(residual))), x, "Mᵀ diag(1 − tanh²(M x − u)) M"),
    (total(residual**2) + lam * total(x * x), x, "2 (Mᵀ M + λ I)"),
    (total((X - U @ V.T) ** 2), U, "2 (I ⊗ Vᵀ V)"),
    (sg.prod(x), x, "y_ij = 𝟙[i ≠ j] (Π_{k≠i,k≠j} x_k)"),
    (distance, x, "Σ⁻¹ + Σ⁻ᵀ"),
    (exp(-(x @ x) / 2), x, "exp(−‖x‖² / 2) (x xᵀ − I)"),
    (sg.var(x), x, "2 (I − 𝟏 𝟏ᵀ / n) / n"),
]


def numbered(rows):
    return [str(n) for n in range(len(rows))]


@pytest.mark.parametrize(("loss", "wrt", "text"), GRADIENTS, ids=numbered(GRADIENTS))
def test_gradients(loss, wrt, text):
    slope = sg.grad(loss, wrt)
    assert text in (None, sg.formula(slope))
    check(slope, loss, wrt, POINTS, "jax")


@pytest.mark.parametrize(("of", "wrt", "text"), JACOBIANS, ids=numbered(JACOBIANS))
def test_jacobians(of, wrt, text):
    found = sg.jacobian(of, wrt)
    assert sg.formula(found) == text
    check(found, of, wrt, POINTS, "jax")


@pytest.mark.parametrize(("loss", "wrt", "text"), HESSIANS, ids=numbered(HESSIANS))
def test_hessians(loss, wrt, text):
    found = sg.hessian(loss, wrt)
    assert sg.formula(found) == text
    check(found, sg.grad(loss, wrt), wrt, POINTS, "jax")

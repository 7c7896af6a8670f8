"""Contractions distributed over sums: when, and with the same values."""

import numpy as np
import pytest

import symgrad as sg
from symgrad.declare.tensor import topological
from symgrad.simplification import simplify, simplify_outputs
from symgrad.simplification.distribution import distribute

RNG = np.random.default_rng(0)


def tensors(dtype="float64", **shapes):
    return [sg.input(name, shape, dtype) for name, shape in shapes.items()]


def test_thin_products_are_never_made_large():
    Y, U, V, W = tensors(Y=(500, 400), U=(500, 5), V=(400, 5), W=(400, 7))
    (found,) = simplify_outputs([(U @ V.T - Y) @ W])
    assert largest(found) == 500 * 7


def largest(t):
    """Return the size of the largest tensor that is computed."""
    return max(np.prod(n.shape) for n in topological([t]) if n.args)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_hessian_products_of_a_factorisation(dtype):
    shapes = {"Y": (60, 50), "U": (60, 3), "V": (50, 3), "dU": (60, 3), "dV": (50, 3)}
    Y, U, V, dU, dV = inputs = tensors(dtype, **shapes)
    products = sg.hvp(sg.sum((Y - U @ V.T) ** 2), [U, V], [dU, dV])
    arrays = {n: RNG.normal(size=s).astype(dtype) for n, s in shapes.items()}
    program = sg.compile(inputs, products)
    a = {n: x.astype(float) for n, x in arrays.items()}
    R = a["U"] @ a["V"].T - a["Y"]
    dR = a["dU"] @ a["V"].T + a["U"] @ a["dV"].T
    right = 2 * (dR @ a["V"] + R @ a["dV"]), 2 * (dR.T @ a["U"] + R.T @ a["dU"])
    for found, wanted in zip(program(*arrays.values()), right, strict=True):
        scale = 1e-5 if dtype == "float32" else 1e-13
        assert np.abs(found - wanted).max() < scale * np.abs(wanted).max()
    assert program.report()["flops"] < 0.6 * 2 * 7 * 60 * 50 * 3


def test_formulas_stay_as_people_write_them():
    Y, U, V = tensors(Y=("m", "n"), U=("m", 2), V=("n", 2))
    slope = sg.grad(sg.sum((U @ V.T - Y) ** 2), U)
    assert sg.formula(slope) == "2 (U Vᵀ − Y) V"


def test_nothing_is_distributed_where_that_costs_more():
    X, w, y = tensors(X=("m", "n"), w=("n",), y=("m",))
    slope = simplify(sg.grad(sg.sum((X @ w - y) ** 2), w))
    assert distribute([slope])[0] is slope
    A, B, C = tensors(A=(30, 30), B=(30, 30), C=(30, 30))
    t = simplify((A @ B + C) @ A)
    assert distribute([t])[0] is t


def test_a_sum_that_is_needed_anyhow_is_used():
    Y, U, V, W = tensors(Y=(50, 40), U=(50, 2), V=(40, 2), W=(40, 3))
    R = U @ V.T - Y
    for other in (R, sg.sum(R**2), sg.exp(R)):
        product = simplify_outputs([R @ W, other])[0]
        assert largest(product) == 50 * 40


@pytest.mark.parametrize(
    "make",
    [
        lambda A, U, V, x: (A + U @ V.T) @ x,
        lambda A, U, V, x: x[:40, :].T @ (3 * (A - U @ V.T) + A),
        lambda A, U, V, x: -(U @ V.T - 2 * A - 3 * x @ x.T) @ x,
        lambda A, U, V, x: (A / 2 - (U @ V.T) / 4) @ x,
        lambda A, U, V, x: np.sin((A + U @ V.T) @ x) + (U @ V.T + A) @ (x * x),
        lambda A, U, V, x: (A + U @ V.T) @ ((A + U @ V.T) @ x),
        lambda A, U, V, x: np.einsum("ij,jk,jk->i", A - U @ V.T, x, x),
    ],
)
def test_values_are_those_of_the_sum(make):
    A, U, V, x = inputs = tensors(A=(40, 40), U=(40, 20), V=(40, 20), x=(40, 2))
    simple = simplify(make(A, U, V, x))
    assert distribute([simple])[0] is not simple
    arrays = [RNG.normal(size=i.shape) for i in inputs]
    found, right = sg.compile(inputs, make(A, U, V, x))(*arrays), make(*arrays)
    assert np.allclose(found, right, rtol=1e-12, atol=1e-12 * np.abs(right).max())

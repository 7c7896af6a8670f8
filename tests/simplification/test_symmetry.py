"""Transposes of matrices that are symmetric by construction."""

import pytest

import symgrad as sg
from symgrad.simplification.symmetry import is_symmetric

X = sg.input("X", (30, 5))
A = sg.input("A", (5, 5))
B = sg.input("B", (4, 6, 5))
d, e = sg.input("d", (30,)), sg.input("e", (5,))
GRAM = X.T @ X

SYMMETRIC = {
    "Gram": GRAM,
    "weighted": (X.T * sg.exp(d)) @ X,
    "scaled": GRAM * 2 + 1,
    "function": sg.tanh(GRAM) * sg.sum(e),
    "sum": GRAM + (X.T * d) @ X,
    "batch": sg.einsum("bki,bkj->bij", B, B),
    "both sides": A @ A.T,
    "squares": (X * X).T @ (X * X),
}
OTHERS = {
    "square": A,
    "product": A @ A,
    "row added": GRAM + e,
    "other factor": X.T @ sg.sin(X),
    "square on one side": X.T @ (X * X),
    "two weights": sg.einsum("ki,k,kj,j->ij", X, d, X, e),
}


@pytest.mark.parametrize("name", SYMMETRIC)
def test_transpose_goes(name):
    t = sg.simplify(SYMMETRIC[name])
    assert is_symmetric(t)
    assert sg.simplify(sg.permute_dims(t, _turned(t))) is t


@pytest.mark.parametrize("name", OTHERS)
def test_transpose_stays(name):
    t = sg.simplify(OTHERS[name])
    assert not is_symmetric(t)
    assert sg.simplify(sg.permute_dims(t, _turned(t))) is not t


def test_only_the_last_two_axes():
    t = sg.einsum("bki,bkj->bij", B, B)
    turned = sg.simplify(sg.permute_dims(t, (1, 0, 2)))
    assert turned.shape == (5, 4, 5)


def _turned(t):
    return (*range(t.ndim - 2), t.ndim - 1, t.ndim - 2)

"""NumPy's functions on tensors give what they give on arrays."""

import numpy as np
import pytest

import symgrad as sg
from symgrad.declare.tensor import as_tensor
from tests.reference import evaluate_graph

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(3, 4)), RNG.uniform(0.1, 2, size=(3, 4))
W = RNG.normal(size=(4, 2))

FUNCTIONS = {
    "clip": lambda a, b, w: np.clip(a, -0.5, 0.5),
    "clip_by_name": lambda a, b, w: np.clip(a, a_min=None, a_max=0.5),
    "where": lambda a, b, w: np.where(np.arange(4) > 1, a, 0.0),
    "stack": lambda a, b, w: np.stack([a, b], axis=1),
    "concatenate": lambda a, b, w: np.concatenate([np.ones((3, 2)), a], axis=-1),
    "hstack": lambda a, b, w: np.hstack([a, b]),
    "hstack_vectors": lambda a, b, w: np.hstack([a[0], b[1], a[0, 0]]),
    "vstack": lambda a, b, w: np.vstack([a, b[0]]),
    "column_stack": lambda a, b, w: np.column_stack([a[:, 0], b]),
    "split": lambda a, b, w: np.split(a, 2, axis=1)[1],
    "cumsum": lambda a, b, w: np.cumsum(a, axis=1),
    "cumsum_flat": lambda a, b, w: np.cumsum(a),
    "cumprod": lambda a, b, w: np.cumprod(b, axis=0),
    "sum": lambda a, b, w: np.sum(a, axis=(0, 1), keepdims=True),
    "mean": lambda a, b, w: np.mean(a, axis=0),
    "std": lambda a, b, w: np.std(a, ddof=1),
    "var": lambda a, b, w: np.var(a, axis=1, keepdims=True),
    "average": lambda a, b, w: np.average(a, axis=1, weights=b),
    "ptp": lambda a, b, w: np.ptp(a, axis=0),
    "norm": lambda a, b, w: np.linalg.norm(a),
    "norm_of_rows": lambda a, b, w: np.linalg.norm(a, 1, axis=1),
    "norm_inf": lambda a, b, w: np.linalg.norm(a[0], np.inf),
    "dot": lambda a, b, w: np.dot(a, w),
    "inner": lambda a, b, w: np.inner(a, b),
    "vdot": lambda a, b, w: np.vdot(a, b),
    "outer": lambda a, b, w: np.outer(a[0], b[0]),
    "einsum": lambda a, b, w: np.einsum("ij,jk->ik", a, w),
    "tensordot": lambda a, b, w: np.tensordot(a, w, axes=1),
    "kron": lambda a, b, w: np.kron(a, w),
    "cross": lambda a, b, w: np.cross(a[:, :3], b[:, 1:]),
    "trace": lambda a, b, w: np.trace(a, 1),
    "diagonal": lambda a, b, w: np.diagonal(a, -1),
    "diagonal_of_many": lambda a, b, w: np.diagonal(np.stack([a, b])),
    "diag": lambda a, b, w: np.diag(a[0]),
    "diag_above": lambda a, b, w: np.diag(a[0], 2),
    "diag_below": lambda a, b, w: np.diag(a[0], -1),
    "diag_of_matrix": lambda a, b, w: np.diag(a, 1),
    "ravel": lambda a, b, w: np.ravel(a.T),
    "reshape": lambda a, b, w: np.reshape(a, (2, 6)),
    "transpose": lambda a, b, w: np.transpose(a),
    "atleast": lambda a, b, w: np.atleast_2d(np.atleast_1d(a[0, 0])),
    "full_like": lambda a, b, w: np.full_like(a, 2) + a,
    "copy": lambda a, b, w: np.copy(a),
    "sizes": lambda a, b, w: a * np.shape(a)[0] + np.ndim(a) + np.size(a, 1),
    "pad": lambda a, b, w: np.pad(a, 1),
    "flip": lambda a, b, w: np.fliplr(np.flipud(a)),
    "diff": lambda a, b, w: np.diff(a, n=2, axis=1),
    "roll": lambda a, b, w: np.roll(a, 1, axis=0),
    "take": lambda a, b, w: np.take(a, [0, 2], axis=0),
    "heaviside": lambda a, b, w: np.heaviside(np.floor(a), 0.5),
    "power": lambda a, b, w: np.power(b, 1.5),
    "hypot": lambda a, b, w: np.hypot(a, b),
    "logaddexp": lambda a, b, w: np.logaddexp(a, b),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_as_on_arrays(name):
    expected = FUNCTIONS[name](A, B, W)
    inputs = [
        sg.input(n, v.shape, "float64") for n, v in zip("abw", (A, B, W), strict=True)
    ]
    found = as_tensor(FUNCTIONS[name](*inputs))
    (value,) = evaluate_graph([found], dict(zip(inputs, (A, B, W), strict=True)))
    assert value.shape == expected.shape
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-14)


def test_diagonals_of_named_sizes():
    x = sg.input("x", ("n", "n"), "float64")
    np.testing.assert_allclose(sg.compile([x], np.trace(x))(np.eye(5)), 5.0)
    v = sg.input("v", ("n",), "float64")
    np.testing.assert_array_equal(sg.compile([v], np.diag(v))(A[0]), np.diag(A[0]))


def test_what_does_not_fit():
    a, v = sg.input("a", ("m", "n")), sg.input("v", (4,))
    with pytest.raises(sg.ShapeError, match=r"'a' float32.m, n. is not surely square"):
        np.trace(a)
    with pytest.raises(sg.ShapeError, match="fewer than 2 dimensions"):
        np.diagonal(v)
    with pytest.raises(sg.ShapeError, match="must be 3"):
        np.cross(v, v)
    with pytest.raises(sg.ShapeError, match="as many dimensions"):
        np.kron(a, v)
    with pytest.raises(sg.ShapeError, match="norm: order 'fro' over 1 axes"):
        np.linalg.norm(v, "fro")

"""ADBench's objectives and a Gaussian process: derivatives as JAX gives them."""

import numpy as np
import pytest

import symgrad as sg
from tests.benchmarks import adbench
from tests.benchmarks.peers import jax_objectives, symgrad_objectives

CASES = {
    "adbench_gmm": adbench.gmm_arrays(20, 3, 4),
    "adbench_ba": adbench.bundle_arrays(3, 5, 12),
    "adbench_lstm": adbench.lstm_arrays(2, 9, 5),
    "gaussian_process": adbench.process_arrays(12),
    "logdet": adbench.matrix_arrays(6),
}


@pytest.mark.parametrize("name", CASES)
def test_objectives(name):
    ours, theirs = (
        (task := getattr(peer, name)(CASES[name])).read(task.run())
        for peer in (symgrad_objectives, jax_objectives)
    )
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, 1e-10, 1e-12)


def test_bundle_adjustment_has_a_sparse_jacobian():
    cameras, points, observations = 4, 6, 9
    rng = np.random.default_rng(0)
    cams = sg.input("cams", (cameras, 11), "float64")
    where = sg.input("points", (points, 3), "float64")
    seen = rng.integers(0, cameras, observations), rng.integers(0, points, observations)
    residuals = sg.vmap(lambda *given: adbench.reprojection(np, *given))(
        cams[seen[0]],
        where[seen[1]],
        sg.constant(np.ones(observations)),
        sg.constant(rng.normal(size=(observations, 2))),
    )
    values = [rng.normal(size=(cameras, 11)), rng.normal(size=(points, 3)) + 5]
    sparse = sg.sparse_jacobian(residuals, cams)
    found = sparse.compile([cams, where])(*values)
    dense = sg.compile([cams, where], sg.jacobian(residuals, cams))(*values)
    dense = dense.reshape(observations * 3, cameras * 11)
    np.testing.assert_allclose(found.toarray(), dense, 1e-12)
    assert found.nnz <= observations * 3 * 11
    assert sparse.products <= 11  # a camera's numbers, all cameras at once

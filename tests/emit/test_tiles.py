"""Kernels that read across their rows run over tiles: against NumPy at every edge."""

import numpy as np
import pytest

import symgrad as sg

SIZES = (0, 1, 31, 32, 33, 100)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_sum_with_the_transpose(dtype):
    A = sg.input("A", ("n", "n"), dtype)
    program = sg.compile([A], A + A.T)
    assert "for start in range(0, " in program.source
    for n in SIZES:
        a = np.arange(n * n).reshape(n, n).astype(dtype)
        np.testing.assert_array_equal(program(a), a + a.T)


@pytest.mark.parametrize("axes", [(0, 2, 1), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_permuted_copies(axes):
    A = sg.input("A", (3, "n", 40))
    program = sg.compile([A], sg.permute_dims(A, axes) + 1)
    for n in SIZES:
        a = np.arange(3 * n * 40, dtype=np.float32).reshape(3, n, 40)
        np.testing.assert_array_equal(program(a), a.transpose(axes) + 1)


def test_contiguous_rows_have_no_tiles():
    A, b = sg.input("A", (50, 60)), sg.input("b", (50,))
    assert "start" not in sg.compile([A, b], A * b[:, None]).source


@pytest.mark.parametrize(("n", "m"), [(70, 90), (5, 3), (130, 65)])
def test_sums_in_a_kernel_over_tiles(n, m):
    """A total starts before the first tile and ends behind the last."""
    A, B = sg.input("A", (n, m)), sg.input("B", (m, n))
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=s).astype("float32") for s in ((n, m), (m, n)))
    t = sg.sin(A) + sg.permute_dims(B, (1, 0))
    found = sg.compile([A, B], [sg.sum(t * t), sg.sum(t, axis=0), t])(a, b)
    expected = (np.sin(a) + b.T).astype(float)
    wanted = ((expected**2).sum(), expected.sum(axis=0), expected)
    for got, value in zip(found, wanted, strict=True):
        np.testing.assert_allclose(got, value, rtol=2e-5, atol=2e-5)

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

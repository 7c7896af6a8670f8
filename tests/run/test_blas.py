import numpy as np
import pytest
from threadpoolctl import threadpool_info

from symgrad.run import blas
from tests.run.support import run_kernel

GEMM = """
a = read_f64(operands, 0)
c = write_f64(operands, 1)
gemm_f64(operands[2], 0, 1, 3, 3, 4, 1.0, a, 4, a, 4, 0.0, c, 3)
"""


@pytest.fixture
def without_openblas(monkeypatch):
    """A process whose NumPy has another BLAS."""
    for function in (blas.address, blas.thread_control):
        function.cache_clear()
    monkeypatch.setattr(blas, "_library", lambda: None)
    yield
    for function in (blas.address, blas.thread_control):
        function.cache_clear()


def check_gemm():
    a, c = np.arange(12.0).reshape(3, 4), np.zeros((3, 3))
    run_kernel(GEMM, a, c, blas.address("gemm", "f64"), hi=1)
    np.testing.assert_allclose(c, a @ a.T)


def test_numpys_own_library_is_found_first():
    loaded = {library["filepath"] for library in threadpool_info()}
    assert str(next(iter(blas._places()))) in loaded
    check_gemm()


def test_scipys_table_is_the_last_resort(without_openblas):
    check_gemm()
    for routine in blas.ROUTINES:
        assert blas.address(routine, "f32") != blas.address(routine, "f64") != 0
    assert blas.thread_control() == (0, 0)
    blas.set_threads(1)


@pytest.mark.parametrize("dtype", blas.LETTERS)
@pytest.mark.parametrize("routine", blas.ROUTINES)
def test_every_routine_has_an_address(routine, dtype):
    assert blas.address(routine, dtype) > 0


def test_an_unknown_routine_is_an_error():
    with pytest.raises(ValueError, match="gemm, gemv, syrk, dot, trsm, potrf, getrf"):
        blas.address("gesv", "f32")

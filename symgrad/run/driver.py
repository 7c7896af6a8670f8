"""Runs programs: tables of kernels.

A table has int64 rows `[fn, operands, lo, hi, grain, operand_stride]`: the address of
a kernel, the address of its operands, and the range of its outermost loop.

- grain 0: the kernel runs as it is, on the calling thread.
- grain > 0: the range is split into as many parts as there are threads, at multiples
  of the grain.  Part t has the operands at `operands + t*operand_stride` bytes (0:
  all share them), so that scratch and partial sums can be each part's own.  Every
  part is run, even an empty one (its partial sum has to be set).  The next row starts
  when all parts are done.

The same table on the same number of threads gives the same bits, whoever runs a part.
"""

import ctypes
from collections.abc import Callable
from functools import partial

import numpy as np

from symgrad.run import driver_texts
from symgrad.run.kernels import address
from symgrad.run.pool import checked_threads, default_threads, pool

COLUMNS = ("fn", "operands", "lo", "hi", "grain", "operand_stride")
_ROW_BYTES = 8 * len(COLUMNS)
_RUN = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 4)


def native_driver(threads: int) -> tuple[int, int, int]:
    """Return the address of native code that runs a table, with what it takes.

    It takes the table's address, its number of rows, the number of threads and the
    pool's state.
    """
    return address(driver_texts.RUN), threads, pool().address


def prepare(table: np.ndarray, threads: int | None = None) -> Callable[[], None]:
    """Return a function that runs the table: the cheapest call there is.

    The table is read at each call; it may be changed in between, but not moved.
    """
    if table.dtype != np.int64 or table.shape[1:] != (len(COLUMNS),):
        raise ValueError(f"a program's table has int64 rows of {COLUMNS}")
    if not table.flags.c_contiguous:
        raise ValueError("a program's table must be contiguous")
    threads = default_threads() if threads is None else checked_threads(threads)
    code, threads, state = native_driver(threads)
    native, start, rows = _RUN(code), table.ctypes.data, len(table)
    call = partial(native, *map(ctypes.c_int64, (start, rows, threads, state)))

    def run_prepared(_table: np.ndarray = table) -> None:
        left = call()
        while left:
            pool().start(threads)
            left = native(start + _ROW_BYTES * (rows - left), left, threads, state)

    return run_prepared


def run(table: np.ndarray, threads: int | None = None) -> None:
    """Run a table once, on `threads` threads (all processors that we may use).

    `SYMGRAD_NUM_THREADS` sets the default.

    >>> run(np.zeros((0, 6), np.int64))
    """
    prepare(table, threads)()

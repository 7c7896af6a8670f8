"""Runs programs: tables of kernels."""

import ctypes

import numpy as np

from symgrad.run.kernels import address

SERIAL = '''"""Run the rows [fn, operands, lo, hi, grain, operand_stride] of a table."""

from symgrad.emit.intrinsics.native import call_kernel, load


def kernel(table, rows):
    for row in range(table, table + 48 * rows, 48):
        call_kernel(load(row), load(row + 8), load(row + 16), load(row + 24))
'''


def run(table: np.ndarray, threads: int | None = None) -> None:
    """Run a table of int64 rows [fn, operands, lo, hi, grain, operand_stride]."""
    kind = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)
    kind(address(SERIAL))(table.ctypes.data, len(table))

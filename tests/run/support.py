"""Kernels for tests: from a text to a call."""

import ctypes
from pathlib import Path

import numpy as np

from symgrad.run.kernels import address

CALL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


def table(*slots):
    """The operands of a kernel: arrays by address, and whole numbers."""
    values = [s.ctypes.data if isinstance(s, np.ndarray) else int(s) for s in slots]
    return np.array(values, np.int64)


def header(body):
    """The imports that the names in the kernel's body need."""
    import symgrad.emit.intrinsics as intrinsics

    names = [name for name in intrinsics.__all__ if f"{name}(" in body]
    lines = ["import numpy as np"]
    if names:
        lines.append(f"from symgrad.emit.intrinsics import {', '.join(names)}")
    return "\n".join([*lines, "", "", "def kernel(operands, lo, hi):", ""])


def kernel_text(body):
    """A kernel's text from the statements of its function."""
    return header(body) + "".join(f"    {line}\n" for line in body.strip().splitlines())


def run_kernel(body, *slots, lo=0, hi=None):
    """Compile a kernel and run it on arrays and sizes."""
    operands = table(*slots)
    hi = len(slots[0]) if hi is None else hi
    CALL(address(kernel_text(body)))(operands.ctypes.data, lo, hi)


def optimized_ir(body, directory: Path):
    """What LLVM makes of a kernel."""
    from symgrad.run.compiler import llvm_text

    path = directory / "kernel_for_reading.py"
    path.write_text(kernel_text(body))
    return llvm_text(path)

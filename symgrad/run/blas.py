"""Addresses of routines of BLAS and LAPACK, from the OpenBLAS that NumPy has loaded.

Wheels of NumPy and SciPy bundle OpenBLAS under decorated names, `scipy_sgemm_64_` for
the build with 64-bit integers; other installations have plain ones.  (The size of
integers needs no care: see `symgrad.emit.intrinsics.blas`.)  Where NumPy has another
BLAS, SciPy's tables for Cython give the same routines at the price of importing
`scipy.linalg`, and the threads of that BLAS are the user's to set.
"""

import ctypes
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

ROUTINES = ("gemm", "gemv", "syrk", "dot", "trsm", "potrf", "getrf")
LAPACK = ("potrf", "getrf")
LETTERS = {"f32": "s", "f64": "d"}
# What stands before and after a name; Fortran's routines have a `_` in between.
DECORATIONS = (("scipy_", "64_"), ("scipy_", ""), ("", "64_"), ("", ""))


def function_address(function: object) -> int:
    """Return the address of a function of a library that ctypes has loaded."""
    pointer = ctypes.cast(function, ctypes.c_void_p).value  # type: ignore[arg-type]
    assert pointer is not None
    return pointer


def _places() -> Iterator[Path]:
    """List where the process has OpenBLAS from, NumPy's own copy first."""
    package = Path(np.__file__).parent
    for folder in (package.parent / "numpy.libs", package / ".dylibs"):
        yield from sorted(folder.glob("*openblas*"))
    from threadpoolctl import threadpool_info

    for library in threadpool_info():
        if library["internal_api"] == "openblas":
            yield Path(library["filepath"])


@cache
def _library() -> tuple[ctypes.CDLL, str, str] | None:
    """Find the process's OpenBLAS and what stands before and after its names."""
    for path in _places():
        library = ctypes.CDLL(str(path))
        for before, after in DECORATIONS:
            if hasattr(library, f"{before}sgemm_{after}"):
                return library, before, after
    return None


@cache
def address(routine: str, dtype: str) -> int:
    """Find the address of a routine of `ROUTINES` for "f32" or "f64".

    >>> address("gemm", "f32") != address("gemm", "f64")
    True
    """
    if routine not in ROUTINES:
        raise ValueError(f"{routine!r} is not one of {', '.join(ROUTINES)}")
    name = LETTERS[dtype] + routine
    found = _library()
    if found is None:
        return _from_scipy(name)
    library, before, after = found
    return function_address(getattr(library, f"{before}{name}_{after}"))


def _from_scipy(name: str) -> int:
    """Find a routine in the tables that SciPy offers to Cython."""
    from scipy.linalg import cython_blas, cython_lapack

    table = cython_lapack if name[1:] in LAPACK else cython_blas
    capsule = table.__pyx_capi__[name]
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype = ctypes.c_char_p
    api.PyCapsule_GetName.argtypes = [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule))


@cache
def thread_control() -> tuple[int, int]:
    """Find OpenBLAS's functions that get and set its number of threads, else 0, 0."""
    found = _library()
    if found is None:
        return 0, 0
    library, before, after = found
    names = [f"{before}openblas_{verb}_num_threads{after}" for verb in ("get", "set")]
    get, set_ = (function_address(getattr(library, name)) for name in names)
    return get, set_


def set_threads(threads: int) -> None:
    """Set OpenBLAS's number of threads."""
    setter = thread_control()[1]
    if setter:
        ctypes.CFUNCTYPE(None, ctypes.c_int)(setter)(threads)

"""Addresses of BLAS routines, from the OpenBLAS that NumPy has loaded already.

Wheels of NumPy and SciPy bundle OpenBLAS with decorated names (`scipy_sgemm_64_`);
the decoration also tells the size of the library's integers.  Where NumPy is linked
otherwise, SciPy's `cython_blas` table gives the same routines at the price of
importing `scipy.linalg`.
"""

import ctypes
from functools import cache
from pathlib import Path

import numpy as np

ROUTINES = ("gemm", "gemv", "syrk", "dot")
LETTERS = {"f32": "s", "f64": "d"}
# Prefix and suffix of the names in a library; Fortran's own `_` is in the suffix.
DECORATIONS = (
    ("scipy_", "_64_"),
    ("scipy_", "_"),
    ("", "_64_"),
    ("", "64_"),
    ("", "_"),
)


@cache
def _library() -> tuple[ctypes.CDLL, str, str] | None:
    """NumPy's OpenBLAS with the prefix and suffix of its names, if it has one."""
    package = Path(np.__file__).parent
    places = (package.parent / "numpy.libs", package / ".dylibs")
    for place in places:
        for path in sorted(place.glob("*openblas*")):
            library = ctypes.CDLL(str(path))
            for prefix, suffix in DECORATIONS:
                if hasattr(library, f"{prefix}sgemm{suffix}"):
                    return library, prefix, suffix
    return None


def _function_address(function: object) -> int:
    pointer = ctypes.cast(function, ctypes.c_void_p).value  # type: ignore[arg-type]
    assert pointer is not None
    return pointer


@cache
def address(routine: str, dtype: str) -> int:
    """The address of a routine of `ROUTINES` for "f32" or "f64".

    >>> address("gemm", "f32") != address("gemm", "f64")
    True
    """
    name = LETTERS[dtype] + routine
    found = _library()
    if found is not None:
        library, prefix, suffix = found
        return _function_address(getattr(library, f"{prefix}{name}{suffix}"))
    return _from_scipy(name)


def _from_scipy(name: str) -> int:
    """The address of a routine in the table that SciPy offers to Cython."""
    from scipy.linalg import cython_blas

    capsule = cython_blas.__pyx_capi__[name]
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype = ctypes.c_char_p
    api.PyCapsule_GetName.argtypes = [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule))

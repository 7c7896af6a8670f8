"""Data types and their promotion.

The five types of the notation are ``float32 float64 int32 int64 bool``.  Two types of a
kind promote as in the Python array API standard; an integer or bool beside a float
takes the float's type, as in JAX.  Python numbers are weak: they take the type of the
tensor they meet.  An operation that needs a float makes ``float32`` of integers.
"""

from __future__ import annotations

import numpy as np

from symgrad.errors import DTypeError

FLOATS = ("float32", "float64")
INTEGERS = ("int32", "int64")
ALL = (*FLOATS, *INTEGERS, "bool")
DEFAULT_FLOAT = "float32"
_ORDER = ("bool", "int32", "int64", "float32", "float64")
_SHORT = {
    "float32": "f32",
    "float64": "f64",
    "int32": "i32",
    "int64": "i64",
    "bool": "b1",
}


def canonical(dtype: object) -> str:
    """Return the name of a supported data type.

    >>> canonical(np.float64), canonical("int32"), canonical(bool)
    ('float64', 'int32', 'bool')
    """
    try:
        name = np.dtype(dtype).name  # type: ignore[call-overload]
    except TypeError:
        raise DTypeError(f"{dtype!r} is not a data type; use one of {ALL}") from None
    if name not in ALL:
        raise DTypeError(f"dtype {name} is not supported; use one of {ALL}")
    return name


def short(dtype: str) -> str:
    """Return the abbreviation used in printed graphs and kernels (``f32``)."""
    return _SHORT[dtype]


def is_float(dtype: str) -> bool:
    """Return True for float32 and float64."""
    return dtype in FLOATS


def promote(*types: str) -> str:
    """Return the type in which values of these types meet.

    >>> promote("int64", "float32"), promote("int32", "int64"), promote("bool", "int32")
    ('float32', 'int64', 'int32')
    """
    return max(types, key=_ORDER.index)


def weak(value: bool | int | float, beside: str | None) -> str:
    """Return the type that a Python number takes beside a tensor of type ``beside``."""
    if isinstance(value, bool | np.bool_):
        return beside or "bool"
    if isinstance(value, int | np.integer):
        if beside is None or beside == "bool":
            return "int64"
        return beside
    return beside if beside in FLOATS else DEFAULT_FLOAT


def number(value: bool | int | float, dtype: str) -> np.ndarray:
    """Return a Python number as a 0-d array.

    Raises:
        DTypeError: an integer that is out of the type's range.
    """
    try:
        return np.asarray(value, dtype)
    except OverflowError:
        raise DTypeError(
            f"the number {value} is out of the range of {dtype}; convert what it meets "
            "with .astype, or write it as a float"
        ) from None


def as_float(dtype: str) -> str:
    """Return the type in which a function with real values computes."""
    return dtype if dtype in FLOATS else DEFAULT_FLOAT


def nbytes(dtype: str) -> int:
    """Return the size of one element, in bytes."""
    return np.dtype(dtype).itemsize

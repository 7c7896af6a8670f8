"""The library of operations; every function here is a public ``sg.<name>``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from symgrad.declare.ops import (
    contract,
    create,
    elementwise,
    indexing,
    linalg,
    numpy_names,
    reduce,
    shape,
)
from symgrad.declare.tensor import NUMPY_FUNCTIONS, OPERATORS

#: Public name -> function on tensors.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **elementwise.FUNCTIONS,
    **reduce.FUNCTIONS,
    **shape.FUNCTIONS,
    **indexing.FUNCTIONS,
    **create.FUNCTIONS,
    **contract.FUNCTIONS,
}
OPERATORS |= {**FUNCTIONS, "getitem": indexing.getitem}
#: NumPy's names where they differ from the array API's.
NUMPY_FUNCTIONS |= FUNCTIONS
NUMPY_FUNCTIONS |= {
    numpy: FUNCTIONS[ours]
    for numpy, ours in {
        "power": "pow",
        "float_power": "pow",
        "true_divide": "divide",
        "mod": "remainder",
        "absolute": "abs",
        "fabs": "abs",
        "fix": "trunc",
        "rint": "round",
        "around": "round",
        "arcsin": "asin",
        "arccos": "acos",
        "arctan": "atan",
        "arctan2": "atan2",
        "arcsinh": "asinh",
        "arccosh": "acosh",
        "arctanh": "atanh",
        "amax": "max",
        "amin": "min",
        "concatenate": "concat",
        "transpose": "permute_dims",
        "bitwise_and": "logical_and",
        "bitwise_or": "logical_or",
        "bitwise_xor": "logical_xor",
        "invert": "logical_not",
        "bitwise_not": "logical_not",
        "radians": "deg2rad",
    }.items()
}
NUMPY_FUNCTIONS |= numpy_names.FUNCTIONS
NUMPY_FUNCTIONS |= {f"linalg.{name}": f for name, f in linalg.FUNCTIONS.items()}

"""What flows along the edges of an ONNX graph, and its element types.

Types that symgrad has not are computed in a wider one: small integers as int32 or
int64, small floats as float32; arrays are converted where they enter and leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from symgrad.declare.dims import Dim
from symgrad.declare.ops.shape import stack
from symgrad.declare.tensor import Tensor, as_tensor, constant
from symgrad.errors import DTypeError, GraphError
from symgrad.extras import optional

#: A ``Tensor``; its operators and methods are set where they are declared, so that
#: checkers of types do not see them.
Operand = Any

#: Element type by ONNX's name -> the type in which symgrad computes it.
TYPES = {
    "FLOAT": "float32",
    "FLOAT16": "float32",
    "BFLOAT16": "float32",
    "DOUBLE": "float64",
    "INT8": "int32",
    "UINT8": "int32",
    "INT16": "int32",
    "UINT16": "int32",
    "INT32": "int32",
    "UINT32": "int64",
    "INT64": "int64",
    "UINT64": "int64",
    "BOOL": "bool",
}
#: Element type -> bits and sign, where results have to be brought into its range.
NARROW = {
    "INT8": (8, True),
    "UINT8": (8, False),
    "INT16": (16, True),
    "UINT16": (16, False),
    "UINT32": (32, False),
}
_KINDS = {
    "float32": "FLOAT",
    "float64": "DOUBLE",
    "int32": "INT32",
    "int64": "INT64",
    "bool": "BOOL",
}


def imported() -> Any:
    """Import the ONNX package, which is optional.

    Raises:
        CompileError: it is not installed; the message names the extra that has it.
    """
    modules = ("onnx.inliner", "onnx.shape_inference")
    return optional("the ONNX package", "onnx", "onnx", *modules)


@cache
def kind_name(number: int) -> str:
    """Return ONNX's name of an element type.

    Raises:
        DTypeError: symgrad does not compute with the type.
    """
    name: str = imported().TensorProto.DataType.Name(number)
    if name not in TYPES:
        raise DTypeError(f"ONNX's element type {name} is not supported")
    return name


def array_type(kind: str) -> np.dtype:
    """Return the element type of arrays that ONNX's type has outside of symgrad."""
    onnx = imported()
    number = onnx.TensorProto.DataType.Value(kind)
    found: np.dtype = onnx.helper.tensor_dtype_to_np_dtype(number)
    return found


def widened(array: np.ndarray, kind: str) -> np.ndarray:
    """Return an array in the type in which symgrad computes its elements.

    Raises:
        DTypeError: a number of uint64 is above the range of int64.
    """
    array = np.asarray(array)
    if kind == "UINT64" and array.size and array.max() > np.iinfo(np.int64).max:
        raise DTypeError("a number of type uint64 is above the range of int64")
    return array.astype(TYPES[kind])


class NeedsConstantError(GraphError):
    """A node needs to know a value at import that depends on inputs of the model."""

    def __init__(self, node: str, names: Sequence[str]) -> None:
        listed = " and ".join(map(repr, names)) or "a random or unknown value"
        super().__init__(
            f"{node} needs the value of {listed} when it is imported; give it in "
            "values="
        )
        self.names = list(names)


@dataclass(eq=False)
class Value:
    """A tensor, or an array that is known at import (sizes of named dimensions too)."""

    kind: str
    name: str = ""
    node: Tensor | None = None
    array: np.ndarray | None = None

    @property
    def tensor(self) -> Tensor:
        """The value as a node of the graph."""
        if self.node is None:
            assert self.array is not None
            if self.array.dtype == object:
                self.node = _sizes(self.array)
            else:
                self.node = constant(widened(self.array, self.kind))
        return self.node


def _sizes(array: np.ndarray) -> Operand:
    """Return an array of sizes, some of them named, as a tensor."""
    parts: list[Operand] = [as_tensor(s, "int64") for s in array.reshape(-1).tolist()]
    if not array.ndim:
        return parts[0]
    whole: Operand = stack(parts)
    return whole.reshape(array.shape)


def known(array: Any, kind: str | None = None, name: str = "") -> Value:
    """Return a value that is known at import."""
    array = np.asarray(array)
    if kind is None:
        onnx = imported()
        is_sizes = array.dtype == object
        number = onnx.TensorProto.INT64 if is_sizes else _number_of(array.dtype)
        kind = kind_name(number)
    return Value(kind, name, array=array)


def _number_of(dtype: np.dtype) -> int:
    number: int = imported().helper.np_dtype_to_tensor_dtype(dtype)
    return number


def computed(t: Tensor, kind: str | None, name: str = "") -> Value:
    """Return a value that the graph computes."""
    if kind is None or TYPES[kind] != t.dtype:
        kind = _KINDS[t.dtype]
    return Value(kind, name, node=t)


def shape_array(t: Tensor) -> np.ndarray:
    """Return a shape as an array: of int64, or of sizes where some are named."""
    named = any(isinstance(s, Dim) for s in t.shape)
    array = np.empty(len(t.shape), object if named else np.int64)
    array[:] = t.shape
    return array

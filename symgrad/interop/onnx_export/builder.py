"""The ONNX graph that is being written: nodes, constants, and sizes at run time."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from itertools import count
from typing import Any

import numpy as np

from symgrad.declare.dims import Dim, Size
from symgrad.errors import GraphError
from symgrad.interop.onnx_import.values import imported

OPSET, IR = 18, 8
TYPES = {
    "float32": "FLOAT",
    "float64": "DOUBLE",
    "int32": "INT32",
    "int64": "INT64",
    "bool": "BOOL",
}


class Builder:
    """Collects nodes; every method returns the name of a value."""

    def __init__(self) -> None:
        self.onnx = imported()
        self.nodes: list[Any] = []
        self.initial: list[Any] = []
        self._constants: dict[tuple, str] = {}
        self._known: dict[tuple, str] = {}
        self._numbers = count()
        #: The scope of what is being written, for the names of its nodes.
        self.scope = ""
        #: Named dimension -> an input that has it, and where.
        self.places: dict[str, tuple[str, int]] = {}

    def inside(self) -> Builder:
        """Return a builder of a graph inside, which sees the values of this one."""
        inner = copy(self)
        inner.nodes, inner._known = [], dict(self._known)
        return inner

    def name(self, what: str) -> str:
        """Return a name that no other value of the model has."""
        return f"{what}_{next(self._numbers)}"

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Return the value of an operator; equal ones are one."""
        key = (op, inputs, repr(sorted(attributes.items())))
        if key not in self._known:
            (self._known[key],) = self.add_many(op, inputs, 1, **attributes)
        return self._known[key]

    def add_many(
        self, op: str, inputs: Sequence[str], results: int, **attributes: Any
    ) -> list[str]:
        """Return the values of an operator that has several."""
        names = [self.name(op.lower()) for _ in range(results)]
        own = f"{self.scope}/{names[0]}" if self.scope else names[0]
        self.nodes.append(
            self.onnx.helper.make_node(op, inputs, names, own, **attributes)
        )
        return names

    def constant(self, array: Any, dtype: str) -> str:
        """Return a constant."""
        array = np.asarray(array, dtype)
        key = (array.tobytes(), array.shape, dtype)
        if key not in self._constants:
            self._constants[key] = self.initializer(
                f"constant_{len(self._constants)}", array
            )
        return self._constants[key]

    def initializer(self, name: str, array: np.ndarray) -> str:
        """Return a named array that is part of the model."""
        array = np.ascontiguousarray(array).reshape(array.shape)
        self.initial.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def cast(self, value: str, dtype: str) -> str:
        """Return a value in another type."""
        number = self.onnx.TensorProto.DataType.Value(TYPES[dtype])
        return self.add("Cast", value, to=number)

    # -- sizes -------------------------------------------------------------------------

    def size(self, size: Size) -> str:
        """Return a size as a scalar of int64."""
        if isinstance(size, int):
            return self.constant(size, "int64")
        total = ""
        for monomial, factor in size.terms:
            part = self.constant(factor, "int64")
            for atom in monomial:
                part = self.add("Mul", part, self._atom(atom))
            total = self.add("Add", total, part) if total else part
        return total

    def _atom(self, atom: Any) -> str:
        if isinstance(atom, str):
            if atom not in self.places:
                raise GraphError(f"no input has the dimension {atom!r}")
            name, place = self.places[atom]
            shape = self.add("Shape", name)
            return self.add("Gather", shape, self.constant(place, "int64"))
        return self.floor_divide(self.size(atom[1]), self.constant(atom[2], "int64"))

    def floor_divide(self, a: str, b: str) -> str:
        """Return the floor quotient of integers; ONNX's Div cuts off."""
        return self.add("Div", self.add("Sub", a, self.add("Mod", a, b)), b)

    def shape(self, sizes: Sequence[Size]) -> str:
        """Return a shape as a vector of int64."""
        if not any(isinstance(s, Dim) for s in sizes):
            return self.constant(list(sizes), "int64")
        zero = self.constant([0], "int64")
        parts = [self.add("Unsqueeze", self.size(s), zero) for s in sizes]
        return self.add("Concat", *parts, axis=0)

"""A node of an ONNX graph as an operator's function sees it, and the table of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from symgrad.declare.tensor import topological
from symgrad.errors import GraphError, ShapeError
from symgrad.interop.onnx_import.values import NeedsConstantError, Operand, Value

#: Operator -> the function that declares it.  It gives a tensor, an array (known at
#: import), a list of values (a sequence), or a tuple of such for several results.
OPERATORS: dict[str, Callable[[Node], Any]] = {}


def operator(*names: str) -> Callable[[Callable[[Node], Any]], Callable[[Node], Any]]:
    """Put a function into the table of operators, under these names."""

    def enter(function: Callable[[Node], Any]) -> Callable[[Node], Any]:
        for name in names:
            OPERATORS[name] = function
        return function

    return enter


@dataclass(frozen=True)
class Node:
    """An operator with its operands; an operand that is left out is None."""

    op: str
    name: str
    version: int
    inputs: list[Any]
    attributes: Mapping[str, Any]
    outputs: list[str]
    kinds: list[str | None]
    graph: Callable[[Any, list[Any]], list[Any]]

    def __str__(self) -> str:
        return f"{self.op} {self.name!r}" if self.name else self.op

    def has(self, place: int) -> bool:
        """Return True if an operand is given."""
        return place < len(self.inputs) and self.inputs[place] is not None

    def value(self, place: int) -> Value:
        """Return an operand."""
        if not self.has(place):
            raise GraphError(f"{self}: operand {place} is missing")
        found = self.inputs[place]
        if not isinstance(found, Value):
            raise GraphError(f"{self}: operand {place} is a sequence, not a tensor")
        return found

    def t(self, place: int) -> Operand:
        """Return an operand as a tensor."""
        return self.value(place).tensor

    @property
    def tensors(self) -> list[Operand]:
        """All operands, as tensors."""
        return [self.t(n) for n in range(len(self.inputs))]

    def array(self, place: int) -> np.ndarray:
        """Return an operand that has to be known at import.

        Raises:
            NeedsConstantError: it is not.
        """
        value = self.value(place)
        if value.array is None:
            leaves = [t for t in topological([value.tensor]) if t.name is not None]
            raise NeedsConstantError(str(self), [str(t.name) for t in leaves])
        return value.array

    def numbers(self, place: int) -> list[Any]:
        """Return a known operand as a list."""
        return self.array(place).reshape(-1).tolist()

    def scalar(self, place: int) -> Any:
        """Return a known operand that is one number."""
        return self.array(place).reshape(()).item()

    def attr(self, name: str, default: Any = None) -> Any:
        """Return an attribute; texts are decoded."""
        found = self.attributes.get(name, default)
        return found.decode() if isinstance(found, bytes) else found

    def given(self, name: str, place: int) -> list[Any] | None:
        """Return a list that is an attribute or, in later versions, an operand."""
        if name in self.attributes:
            found = self.attributes[name]
            return list(found) if not isinstance(found, int) else [found]
        return self.numbers(place) if self.has(place) else None

    def axis(self, default: int = 0, rank: int | None = None) -> int:
        """Return the attribute ``axis``, counted from the front."""
        rank = self.t(0).ndim if rank is None else rank
        axis = int(self.attr("axis", default))
        if not -rank <= axis <= rank:
            raise ShapeError(f"{self}: axis {axis} of {rank} dimensions")
        return axis + rank if axis < 0 else axis

    def fixed(self, t: Operand, axis: int) -> int:
        """Return a dimension that has to be an integer."""
        size = t.shape[axis]
        if not isinstance(size, int):
            raise ShapeError(
                f"{self}: dimension {axis} of its operand has the size {size}, which "
                "is not known at import; fix it in the model"
            )
        return size

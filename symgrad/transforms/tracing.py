"""Tracing: a Python function becomes a graph by being called with tensors."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from symgrad.declare import dtypes
from symgrad.declare.bodies import substitute
from symgrad.declare.tensor import Shape, Tensor, as_tensor, constant, input
from symgrad.errors import DTypeError
from symgrad.transforms.arguments import as_leaf, element_types
from symgrad.transforms.trees import Tree, flatten, paths, unflatten

_active: contextvars.ContextVar[bool] = contextvars.ContextVar("tracing", default=False)
#: True while a function is being called with tensors.
is_active = _active.get


@contextlib.contextmanager
def active() -> Iterator[None]:
    """Mark that a function is being traced: transformed functions extend its graph."""
    token = _active.set(True)
    try:
        yield
    finally:
        _active.reset(token)


class Point:
    """Arguments, and inputs of their shapes that stand for them while deriving.

    A derivative is taken by inputs of its own: a tensor that a function only closes
    over is a constant to it, even where it equals an argument.
    """

    def __init__(self, value: Any, names: Sequence[str]) -> None:
        leaves, self.tree = flatten(value)
        self.names = list(names)
        self.actual = as_tensors(leaves, names)
        self.inputs = [
            input(name, t.shape, t.dtype)
            for name, t in zip(names, self.actual, strict=True)
        ]

    @property
    def value(self) -> Any:
        """The arguments' structure with the inputs in it."""
        return unflatten(self.tree, self.inputs)

    def check_float(self, what: str) -> None:
        """Raise DTypeError for an argument by which nothing can be differentiated."""
        for name, t in zip(self.names, self.actual, strict=True):
            if not dtypes.is_float(t.dtype):
                raise DTypeError(
                    f"{what}: the argument {name} is {t.dtype}; only float32 and "
                    "float64 can be differentiated: convert it, or leave it out of "
                    "argnums"
                )

    def resolve(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return graphs over the inputs as graphs over the arguments."""
        return substitute(tensors, dict(zip(self.inputs, self.actual, strict=True)))


def as_tensors(leaves: Sequence[Any], names: Sequence[str]) -> list[Tensor]:
    """Return arguments as tensors; arrays and numbers become constants."""
    values = [as_leaf(v, name) for v, name in zip(leaves, names, strict=True)]
    kinds = element_types(values, names)
    return [
        v if isinstance(v, Tensor) else constant(np.asarray(v, kind))
        for v, kind in zip(values, kinds, strict=True)
    ]


def outputs(result: Any, fun_name: str) -> tuple[list[Tensor], Tree]:
    """Return the tensors that a traced function has returned, and their structure.

    Raises:
        DTypeError: something in the result is no array, naming where it is.
    """
    leaves, tree = flatten(result)
    found = []
    for leaf, path in zip(leaves, paths(tree, "result"), strict=True):
        if type(leaf) is float:  # a tensor would be made of it in float32
            leaf = np.asarray(leaf)
        try:
            found.append(as_tensor(leaf))
        except DTypeError:
            raise DTypeError(
                f"{fun_name} returns a {type(leaf).__name__} ({path}); a traced "
                "function returns arrays, numbers, and containers of them"
            ) from None
    return found, tree


def signature(shape: Shape, dtype: str) -> str:
    """Return ``float32[3, 4]``."""
    return f"{dtype}[{', '.join(map(str, shape))}]"

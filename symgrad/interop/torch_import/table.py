"""The table of PyTorch's operators, and what several of them share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from symgrad.declare.ops import FUNCTIONS as SG
from symgrad.errors import ShapeError

#: A ``Tensor``; its operators and methods are set where they are declared, so that
#: checkers of types do not see them.
Operand = Any

#: Operator of ATen, ``name`` for all overloads or ``name.overload`` -> the function
#: that declares it.  Its parameters have ATen's order; those that ATen takes by keyword
#: have ATen's names.
OPERATORS: dict[str, Callable[..., Any]] = {}


def operator(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Put a function into the table of operators, under these names."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            OPERATORS[name] = function
        return function

    return enter


def axis_of(axis: int, rank: int) -> int:
    """Return an axis counted from the front."""
    return axis + rank if axis < 0 else axis


def axes_of(x: Operand, axes: int | Sequence[int] | None) -> tuple[int, ...]:
    """Return axes counted from the front; all of them for None or none."""
    if axes is None or (not isinstance(axes, int) and not axes):
        return tuple(range(x.ndim))
    listed = [axes] if isinstance(axes, int) else axes
    return tuple(axis_of(a, x.ndim) for a in listed)


def fixed(x: Operand, axis: int) -> int:
    """Return a dimension that has to be an integer."""
    size = x.shape[axis]
    if not isinstance(size, int):
        raise ShapeError(
            f"dimension {axis} of {x.describe()} has the size {size}, but a number is "
            "needed here; give dynamic_shapes=None, or a Dim for the others only"
        )
    return size


def times(value: Sequence[int] | int, rank: int) -> list[int]:
    """Return one number for each axis; a single one stands for all."""
    listed = [value] if isinstance(value, int) else list(value)
    return listed * rank if len(listed) == 1 else listed


def reduced(values: Operand, reduction: int) -> Operand:
    """Return a loss as PyTorch's number for ``none``, ``mean`` or ``sum`` asks for."""
    return (
        (values, *(SG[f](values) for f in ("mean", "sum")))[reduction]
        if (reduction)
        else values
    )


def like(value: float, x: Operand) -> Operand:
    """Return a tensor of the shape and type of another, filled with a number."""
    return SG["full"](x.shape, value, x.dtype)


INF = math.inf

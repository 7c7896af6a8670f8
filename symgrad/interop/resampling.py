"""Resampling of axes, each by one small matrix that is known when a model is read."""

from __future__ import annotations

from typing import Any

import numpy as np

from symgrad.declare.ops import FUNCTIONS as SG
from symgrad.declare.tensor import constant

#: A ``Tensor``, whose operators checkers of types do not see.
Operand = Any


def interpolation(
    at: np.ndarray,
    extent: int,
    *,
    cubic: float | None = None,
    stretch: float = 1.0,
    inside: bool = False,
) -> np.ndarray:
    """Return the matrix ``[places, extent]`` that interpolates an axis at places.

    Args:
        at: places in units of the operand's elements; its edge goes on outside.
        extent: of the operand.
        cubic: None for linear, else the coefficient of the cubic (Keys 1981).
        stretch: below 1, the kernel widens, so that what is left out counts.
        inside: elements beyond the edge do not count.
    """
    reach = int(np.ceil((1 if cubic is None else 2) / stretch))
    matrix = np.zeros((len(at), extent))
    for row, x in enumerate(at):
        taps = np.arange(int(np.floor(x)) - reach + 1, int(np.floor(x)) + reach + 1)
        distance = np.abs(x - taps) * stretch
        weight = np.maximum(1 - distance, 0)
        if cubic is not None:
            weight = _cubic(distance, cubic)
        if inside:
            weight = np.where((taps >= 0) & (taps < extent), weight, 0)
        if inside or stretch < 1:
            weight = weight / weight.sum()
        np.add.at(matrix[row], np.clip(taps, 0, extent - 1), weight)
    return matrix


def _cubic(d: np.ndarray, a: float) -> np.ndarray:
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def selection(places: np.ndarray, extent: int) -> np.ndarray:
    """Return the matrix ``[places, extent]`` that takes the element at each place."""
    matrix = np.zeros((len(places), extent))
    index = np.clip(places, 0, extent - 1).astype(int)
    matrix[np.arange(len(places)), index] = 1
    return matrix


def resampled(x: Operand, axis: int, matrix: np.ndarray) -> Operand:
    """Return ``x`` with each line along the axis multiplied by the matrix."""
    ones = matrix == 1
    if ((ones | (matrix == 0)).all()) and (ones.sum(axis=1) == 1).all():
        places = constant(ones.argmax(axis=1).astype(np.int64))
        return SG["take"](x, places, axis=axis)
    letters = "abcdefgh"[: x.ndim]
    out: Any = letters.replace(letters[axis], "z")
    text = f"{letters},z{letters[axis]}->{out}"
    if not x.dtype.startswith("float"):
        y = SG["einsum"](text, x.astype("float64"), constant(matrix))
        return y.astype(x.dtype)
    return SG["einsum"](text, x, constant(matrix.astype(x.dtype)))

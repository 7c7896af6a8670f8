"""Samples of the data as brightness."""

from __future__ import annotations

import numpy as np

WIDEST = 16  # features of a sample that is no image
LEAST, MOST = 5, 32  # pixels along a side


def pixels(values: np.ndarray) -> list[list[float]]:
    """Return brightness from 0 to 1, as an image if the values are one."""
    v = np.nan_to_num(np.asarray(values, np.float64))
    side = round(v.size**0.5)
    if v.ndim == 1 and side * side == v.size and side >= LEAST:
        v = v.reshape(side, side)
    while v.ndim > 2:  # the first channel, wherever channels lie
        v = v[0] if v.shape[0] <= v.shape[-1] else v[..., 0]
    v = np.atleast_2d(v)
    v = v[:MOST, :MOST] if min(v.shape) > 1 else v[:, :WIDEST]
    low, high = float(v.min()), float(v.max())
    return ((v - low) / ((high - low) or 1.0)).tolist()


def picture_of(values: np.ndarray) -> list[list[float]] | None:
    """Return the pixels of a sample that looks like an image, else None."""
    if values.dtype.kind != "f" or not values.size:
        return None
    found = pixels(values)
    return found if min(len(found), len(found[0])) >= LEAST else None

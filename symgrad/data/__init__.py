"""Data that come with the package: a set of handwritten digits."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np

from symgrad.errors import FormatError


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return 1,797 images of handwritten digits as rows of 64 pixels, and their labels.

    Pixels are 0 to 16, in an image of 8 rows and 8 columns.  The data are the test
    set of "Optical Recognition of Handwritten Digits" (Alpaydin & Kaynak 1998), from
    the UCI Machine Learning Repository (CC BY 4.0).

    >>> images, labels = digits()
    >>> images.shape, labels.shape
    ((1797, 64), (1797,))
    """
    installed = files("symgrad.data") / "digits.npz"
    in_a_checkout = Path(__file__).parents[2] / "examples" / "data" / "digits.npz"
    for place in (installed, in_a_checkout):
        if place.is_file():
            with place.open("rb") as file, np.load(file, allow_pickle=False) as found:
                return found["images"], found["labels"]
    raise FormatError("the digits are missing from this installation; install it again")

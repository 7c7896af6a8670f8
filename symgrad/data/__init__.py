"""Data that come with the package: a set of handwritten digits."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np

from symgrad.errors import FormatError


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return 1,797 images of handwritten digits as rows of 64 pixels, and their labels.

    Pixels are float32 from 0 to 1, of an image of 8 rows and 8 columns; labels are
    int64.  They are the test set of "Optical Recognition of Handwritten Digits"
    (Alpaydin & Kaynak 1998), from the UCI Machine Learning Repository (CC BY 4.0).

    >>> images, labels = digits()
    >>> images.shape, labels.shape
    ((1797, 64), (1797,))
    """
    installed = files("symgrad.data") / "digits.npz"
    in_a_checkout = Path(__file__).parents[2] / "examples" / "data" / "digits.npz"
    for place in (installed, in_a_checkout):
        if place.is_file():
            with place.open("rb") as file, np.load(file, allow_pickle=False) as found:
                images = found["images"].astype("float32") / np.float32(16)
                return images, found["labels"].astype("int64")
    raise FormatError("the digits are missing from this installation; install it again")

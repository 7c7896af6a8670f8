"""How often each unit of the hidden layers has a slope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from symgrad.declare.tensor import Tensor
from symgrad.diagnosis.measure import idle

if TYPE_CHECKING:
    from symgrad.explainer.subject import Subject


@dataclass
class Units:
    """The units of one ReLU.

    Attributes:
        layer: the name of its layer.
        off: for each unit, the part of the batch on which its slope is 0.
    """

    layer: str
    off: np.ndarray

    @property
    def dead(self) -> int:
        """How many are off on all of the batch."""
        return int((self.off == 1).sum())


def relu_units(s: Subject) -> list[Units]:
    """Return the units of each ReLU of a model, measured."""
    found = [a for a in s.model.activations if a.kind == "relu"]
    off = s.values_of([idle(a) for a in found])
    return [Units(a.layer, np.atleast_1d(o)) for a, o in zip(found, off, strict=True)]


def relu_tensors(s: Subject) -> list[Tensor]:
    """Return what ``relu_units`` measures."""
    return [idle(a) for a in s.model.activations if a.kind == "relu"]

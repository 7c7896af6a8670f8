"""What a model answers to its samples, where its loss tells how to read that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from symgrad.declare.tensor import Tensor
from symgrad.explainer.story import signed
from symgrad.train.initialize import name_of

if TYPE_CHECKING:
    from symgrad.explainer.subject import Subject


@dataclass
class Answers:
    """The predictions beside what they should be.

    Attributes:
        label: the input that holds the right answers.
        given: for each sample, what the model answers, as text.
        right: for each sample, is it right?  None where that is a matter of degree.
        says: a sentence about all of them.
    """

    label: Tensor
    given: list[str]
    right: list[bool] | None
    says: str


def answers(s: Subject) -> Answers | None:
    """Return the answers of a classifier or a regression; None of other models.

    A loss is taken for a cross entropy only where it has that value on the batch.
    """
    station = s.stations[-1]
    z = np.asarray(s.values[-1], np.float64)
    if s.batch_axis(station.node) != 0 or not np.isfinite(z).all():
        return None
    for t in s.model.inputs:
        y = s.data[name_of(t)]
        if y.dtype.kind in "iu" and y.shape == z.shape[:-1] and z.shape[-1] > 1:
            found = _classes(s, t, z, y)
        elif y.dtype.kind == "f" and y.shape == z.shape and z[0].size == 1:
            found = _numbers(t, z, y)
        else:
            continue
        if found is not None:
            return found
    return None


def _classes(s: Subject, t: Tensor, z: np.ndarray, y: np.ndarray) -> Answers | None:
    if y.min(initial=0) < 0 or y.max(initial=0) >= z.shape[-1]:
        return None
    shifted = z - z.max(-1, keepdims=True)
    p = np.exp(shifted) / np.exp(shifted).sum(-1, keepdims=True)
    of_right = np.take_along_axis(p, y[..., None].astype(int), -1)
    if not np.isclose(-np.log(of_right).mean(), s.loss_value, rtol=1e-3):
        return None
    best = p.argmax(-1)
    good = best == y
    if y.ndim == 1:
        given = [f"{k} ({q.max():.0%})" for k, q in zip(best, p, strict=True)]
        return Answers(t, given, good.tolist(), f"The model gives {_of(good)}.")
    given = [" ".join(map(str, row.ravel()[:4])) + " …" for row in best]
    return Answers(t, given, None, f"The model gives {_of(good)}.")


def _of(good: np.ndarray) -> str:
    return f"{int(good.sum()):,} of {good.size:,}"


def _numbers(t: Tensor, z: np.ndarray, y: np.ndarray) -> Answers:
    gap = float(np.sqrt(np.mean((z - y) ** 2)))
    given = [signed(float(v)) for v in z.ravel()]
    said = f"The model is off by {signed(gap)} (rms)."
    return Answers(t, given, None, said)

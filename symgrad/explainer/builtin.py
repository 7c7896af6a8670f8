"""Models that come with the page, for ideas that the user's model does not hold."""

from __future__ import annotations

import math
from copy import copy
from functools import cache
from typing import Any

import numpy as np

from symgrad.data import digits
from symgrad.declare.ops import FUNCTIONS
from symgrad.declare.tensor import Tensor, exact_scope, input, scope
from symgrad.explainer.subject import Subject
from symgrad.explainer.units import relu_tensors
from symgrad.nn import (
    cross_entropy,
    linear,
    residual,
    transformer_block,
)

SAMPLES = 128
BLOCKS = 5
SCALE = 0.4  # about 1/√BLOCKS


@cache
def substitute() -> Subject:
    """Return a residual network on handwritten digits.

    It is the model of the default page, with what was measured of that so far.
    """
    made = copy(default())
    made.name = "the built-in digits network"
    return made


@cache
def default() -> Subject:
    """Return the same network as the model that the page is about."""
    return _residual_network("this model")


def _residual_network(name: str) -> Subject:
    with exact_scope(""):  # outside of any that the caller is in
        images, labels = digits()
        x, y = input("X", ("n", 64)), input("y", ("n",), dtype="int64")
        h: Any = FUNCTIONS["relu"](linear(x, 32, init="he_normal", name="stem"))
        for n in range(1, BLOCKS + 1):
            with scope(f"block{n}"):
                h = residual(_block)(h)
        loss = cross_entropy(linear(h, 10, name="head"), y)
    data = {"X": images[:SAMPLES], "y": labels[:SAMPLES]}
    return Subject(loss, data, name=name, plan=_plan)


def _plan(s: Subject) -> list[Tensor]:
    """Return what scenes measure of a model that stands in for another."""
    assert s.highway is not None
    return [*relu_tensors(s), *s.highway.tensors()]


def _road(s: Subject) -> list[Tensor]:
    """Return what the scene of the transformer measures."""
    assert s.highway is not None
    return s.highway.tensors(bare=False)


def _block(h: Tensor) -> Tensor:
    inner = FUNCTIONS["relu"](linear(h, 32, init="he_normal", name="in"))
    return linear(inner, 32, init=_small, name="out")


def _small(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw weights that keep a deep residual stream near its size.

    Zhang, Dauphin & Ma (2019), "Fixup initialization": the deeper the network, the
    smaller a block's last weights.
    """
    return rng.standard_normal(shape) * SCALE / math.sqrt(shape[0])


@cache
def transformer() -> Subject:
    """Return a small transformer that reads a digit row by row."""
    with exact_scope(""):  # outside of any that the caller is in
        images, labels = digits()
        x, y = input("X", ("n", 8, 8)), input("y", ("n",), dtype="int64")
        h: Any = linear(x, 16, name="embed")
        for n in range(1, 3):
            h = transformer_block(h, 2, hidden=32, name=f"block{n}")
        logits = linear(FUNCTIONS["mean"](h, axis=1), 10, name="head")
        loss = cross_entropy(logits, y)
    data = {"X": images[:SAMPLES].reshape(-1, 8, 8), "y": labels[:SAMPLES]}
    return Subject(loss, data, name="the built-in transformer on digits", plan=_road)

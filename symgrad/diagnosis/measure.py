"""Measurement: one instrumented program gives every number, reduced to norms.

Nothing large leaves the program: a tensor is reduced to its norm, an activation to one
number for each unit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from symgrad.declare import dtypes
from symgrad.declare.bodies import stacked
from symgrad.declare.build import cast, elementwise
from symgrad.declare.conditions import sizes_of
from symgrad.declare.dims import evaluate
from symgrad.declare.loop import Loop
from symgrad.declare.ops import FUNCTIONS
from symgrad.declare.tensor import Tensor, constant
from symgrad.derivation.reverse import reverse
from symgrad.diagnosis.activations import RECTIFIERS, Activation
from symgrad.diagnosis.layers import Model
from symgrad.diagnosis.through_time import Journey, journey, probes
from symgrad.drawing.measure import norm
from symgrad.errors import NumericError
from symgrad.pipeline import compile
from symgrad.train.initialize import name_of

Arrays = Mapping[str, np.ndarray]

#: A unit is saturated where its slope is below this part of the greatest slope.
FLAT = 0.05


@dataclass
class Units:
    """One activation, unit by unit.

    Attributes:
        activation: which.
        idle: for each unit, the fraction of values at which it has no slope (relu) or
            under a twentieth of the greatest slope (sigmoid, tanh).
        shut: the same for values of a sigmoid near 0, which let nothing pass.
        dead: the numbers of the units that have no slope on any value.
        count: the number of values of a unit.
    """

    activation: Activation
    idle: np.ndarray
    shut: np.ndarray
    dead: list[int]
    count: int

    @property
    def telling(self) -> bool:
        """Are there values enough to tell a dead unit from one that is 0 by chance?

        A live unit is 0 on about half of them; that one of all is on each by chance has
        a probability below 1/20.
        """
        return self.count > math.log2(20 * len(self.idle))

    @property
    def flat(self) -> list[int]:
        """The units that are saturated on nearly all values."""
        return [int(n) for n in np.flatnonzero(self.idle > 0.95)]


@dataclass
class Measured:
    """The numbers at one set of parameters.

    Attributes:
        loss: the loss.
        gradients: parameter -> norm of its gradient (trainable and reached ones).
        weights: parameter -> norm of its values.
        sites: layer -> (rms of the value, norm of the cotangent) at each of its sites;
            the cotangent is NaN where no gradient is needed.
        units: what each hidden relu, sigmoid and tanh does.
        journeys: the way of a gradient through the steps of each loop.
        finite: is every number finite?
    """

    loss: float
    gradients: dict[str, float]
    weights: dict[str, float]
    sites: dict[str, list[tuple[float, float]]]
    units: list[Units] = field(default_factory=list)
    journeys: list[Journey] = field(default_factory=list)

    @property
    def finite(self) -> bool:
        """Is every number finite?"""
        values = [self.loss, *self.gradients.values(), *self.weights.values()]
        return all(map(math.isfinite, values))

    @property
    def gradient(self) -> float:
        """The norm of the whole gradient."""
        return math.sqrt(sum(v * v for v in self.gradients.values()))


class Instrument:
    """The instrumented program of a model."""

    def __init__(self, model: Model, threads: int | None = None) -> None:
        self.model = model
        wrt = model.trainable
        adjoints = reverse([model.loss], wrt, [constant(1.0, model.loss.dtype)])
        self.cotangents = adjoints.cotangents
        self.reached = [p for p in wrt if p in self.cotangents]
        sites = {layer.name: layer.sites for layer in model.layers}
        self.outputs: dict[str, Any] = {
            "loss": model.loss,
            "gradients": [norm(self.cotangents[p]) for p in self.reached],
            "values": {n: [rms(s) for s in found] for n, found in sites.items()},
            "cotangents": {
                n: [norm(self.cotangents[s]) for s in found if s in self.cotangents]
                for n, found in sites.items()
            },
            "idle": [idle(a) for a in model.activations],
            "shut": [_share(a, _shut(a)) for a in model.activations],
            "loops": [probes(r, self.cotangents) for r in model.repeats],
        }
        self.program = compile(model.inputs, self.outputs, threads=threads)

    def __call__(self, data: Arrays, params: Arrays) -> Measured:
        """Measure."""
        order = [name_of(t) for t in self.model.inputs]
        needed = {name_of(p): params[name_of(p)] for p in self.model.params}
        found = self.program(*(data[n] for n in order), params=needed)
        sizes = sizes_of(self.model.inputs, [np.shape(data[n]) for n in order])
        sites = {}
        for layer in self.model.layers:
            back = iter(found["cotangents"][layer.name])
            sites[layer.name] = [
                (float(v), float(next(back)) if s in self.cotangents else math.nan)
                for s, v in zip(layer.sites, found["values"][layer.name], strict=True)
            ]
        return Measured(
            float(found["loss"]),
            {
                name_of(p): float(g)
                for p, g in zip(self.reached, found["gradients"], strict=True)
            },
            {n: float(np.linalg.norm(np.float64(v))) for n, v in needed.items()},
            sites,
            [
                _units(*one, sizes)
                for one in zip(
                    self.model.activations, found["idle"], found["shut"], strict=True
                )
            ],
            [
                journey(r.layer, arrays, r.backwards)
                for r, arrays in zip(self.model.repeats, found["loops"], strict=True)
                if arrays
            ],
        )

    def first_nan(self, data: Arrays, params: Arrays) -> str | None:
        """Return the sentence that names the first node that makes a NaN."""
        wrt = [self.cotangents[p] for p in self.reached]
        for outputs in ([self.model.loss], [self.model.loss, *wrt]):
            program = compile(self.model.inputs, outputs, nan_check=True)
            needed = {name_of(p): params[name_of(p)] for p in self.model.params}
            try:
                program(*(data[name_of(t)] for t in self.model.inputs), params=needed)
            except NumericError as error:
                return str(error)
        return None


def _count(a: Activation, sizes: Mapping[str, int]) -> int:
    """Return the number of values of a unit."""
    kept = [s for d, s in enumerate(a.node.shape) if d != a.axis]
    kept += [t.op.loop.length for t in a.loops]  # type: ignore[union-attr]
    return math.prod(evaluate(s, sizes) for s in kept)


def _units(
    a: Activation, off: np.ndarray, shut: np.ndarray, sizes: Mapping[str, int]
) -> Units:
    off, shut = np.atleast_1d(off), np.atleast_1d(shut)
    dead = np.flatnonzero(off == 1).tolist()
    return Units(a, off, shut, dead, _count(a, sizes))


def rms(t: Tensor) -> Tensor:
    """Return the root of the mean square (0 for a type that is no float)."""
    if not dtypes.is_float(t.dtype):
        return constant(0.0, "float64")
    return elementwise("sqrt", mean(elementwise("square", cast(t, "float64")), None))


def mean(t: Tensor, kept: int | None) -> Tensor:
    """Return the mean over all axes but one."""
    axes = tuple(a for a in range(t.ndim) if a != kept)
    found: Tensor = FUNCTIONS["mean"](t, axis=axes)
    return found


def idle(a: Activation) -> Tensor:
    """Return, for each unit, the fraction of values without a slope worth the name."""
    return _share(a, _idle(a))


def _idle(a: Activation) -> Tensor:
    """Return where there is no slope worth the name."""
    wide = cast(a.node, "float64")
    if a.kind in RECTIFIERS:
        return elementwise("le", wide, 0.0)
    if a.kind == "tanh":  # 1 - t²
        return elementwise("gt", elementwise("abs", wide), math.sqrt(1 - FLAT))
    # s(1 - s), of at most 1/4: (2s - 1)² = 1 - 4s(1 - s)
    centred = elementwise("abs", elementwise("sub", wide, 0.5))
    return elementwise("gt", centred, math.sqrt(1 - FLAT) / 2)


def _shut(a: Activation) -> Tensor:
    """Return where a sigmoid is near 0; of others, where a value is 0."""
    least = (1 - math.sqrt(1 - FLAT)) / 2 if a.kind == "sigmoid" else 0.0
    return elementwise("le", elementwise("abs", cast(a.node, "float64")), least)


def _share(a: Activation, true: Tensor) -> Tensor:
    """Return, for each unit, the fraction of values at which something holds."""
    found = mean(cast(true, "float64"), a.axis)
    for t in reversed(a.loops):
        loop: Loop = t.op.loop  # type: ignore[union-attr]
        found = stacked(loop, t.args, found)
        found = mean(found, found.ndim - 1 if found.ndim > 1 else None)
    return found

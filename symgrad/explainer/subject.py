"""A model on a batch: what scenes ask it for, measured once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from symgrad.declare import dtypes
from symgrad.declare.dims import Dim
from symgrad.declare.mode import on_average
from symgrad.declare.tensor import Input, Tensor, constant, topological
from symgrad.derivation.reverse import Adjoints, flatten, reverse
from symgrad.diagnosis.layers import Layer, Model, model_of
from symgrad.diagnosis.public import diagnose
from symgrad.diagnosis.report import Diagnosis
from symgrad.diagnosis.trials import cuttable, samples
from symgrad.drawing.measure import arguments
from symgrad.explainer.backward import names_of
from symgrad.pipeline import compile
from symgrad.train.data import as_input
from symgrad.train.initialize import init, name_of

MOST = 256  # samples that are measured
SHOWN = 8  # layers in a picture


@dataclass(frozen=True, eq=False)
class Station:
    """A place on the way from the data to the loss.

    Attributes:
        node: its value.
        name: the layer that makes it, or the input.
        symbol: its name in formulas.
        level: how many layers it has behind it.
    """

    node: Tensor
    name: str
    symbol: str
    level: int


Place = tuple[Tensor, str, int]  # a station before it has a symbol


class Subject:
    """A loss, arrays for it, and what was measured of it.

    Attributes:
        loss, data, params: the model and its arrays.
        name: what a caption calls it.
        given: how many samples there were before some were chosen.
    """

    def __init__(
        self,
        loss: Tensor,
        data: Mapping[str, Any],
        params: Mapping[str, Any] | None = None,
        name: str = "this model",
        rate: float | None = None,
    ) -> None:
        (self.loss,), self.name = on_average([loss]), name
        self.model: Model = model_of(self.loss)
        self.params: Mapping[str, Any] = (
            init(self.loss, seed=0) if params is None else params
        )
        arrays = {
            name_of(t): as_input("data", t, data[name_of(t)]) for t in self.model.inputs
        }
        self.given = samples(self.model, arrays)
        self.data = self._some(arrays)
        self.count = samples(self.model, self.data)
        self._rate = rate

    def _some(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if not cuttable(self.model, arrays) or self.given <= MOST:
            return arrays
        rows = np.sort(np.random.default_rng(0).permutation(self.given)[:MOST])
        return {
            name_of(t): arrays[name_of(t)][rows] if t.shape else arrays[name_of(t)]
            for t in self.model.inputs
        }

    # -- measuring ---------------------------------------------------------------------

    def run(self, tensors: Any) -> Any:
        """Return the values of tensors on the batch, in the structure they are in."""
        inputs, order = self.model.inputs, topological(flatten(tensors))
        arrays, params = arguments(self.loss, inputs, order, self.data, self.params)
        return compile(inputs, tensors)(*arrays, params=params)

    @cached_property
    def diagnosis(self) -> Diagnosis:
        """What is wrong with it, if anything."""
        return diagnose(self.loss, self.data, self.params)

    @cached_property
    def adjoints(self) -> Adjoints:
        """The cotangents of everything that leads to the stations or the parameters."""
        wrt = list(self.model.trainable)
        wrt += [s.node for s in self.stations if dtypes.is_float(s.node.dtype)]
        return reverse([self.loss], wrt, [constant(1.0, self.loss.dtype)])

    def adjoints_of(self, tensors: Sequence[Tensor]) -> list[Tensor | None]:
        """Return the cotangents of any tensors of the graph."""
        wrt = [*self.model.trainable, *tensors]
        seed = constant(1.0, self.loss.dtype)
        found = reverse([self.loss], wrt, [seed]).cotangents
        return [found.get(t) for t in tensors]

    def gradient(self, t: Tensor) -> Tensor | None:
        """Return the cotangent of a tensor, None where no derivative leads to it."""
        return self.adjoints.cotangents.get(t)

    @property
    def rate(self) -> float:
        """A learning rate: the trainer's, else one over the greatest curvature."""
        if self._rate is not None:
            return self._rate
        sharpness = self.diagnosis.evidence.sharpness
        usable = sharpness is not None and sharpness > 0 and math.isfinite(sharpness)
        return float(f"{1 / sharpness:.2g}") if usable and sharpness else 0.1

    @property
    def rate_is_given(self) -> bool:
        """Was the rate a trainer's?"""
        return self._rate is not None

    # -- layers ------------------------------------------------------------------------

    @cached_property
    def stations(self) -> list[Station]:
        """The data, what layers make of them, and the prediction: some, if many."""
        found = self._every_station
        if len(found) > SHOWN:
            found = _folded(found)
        if len(found) > SHOWN:
            places = np.linspace(0, len(found) - 1, SHOWN).round().astype(int)
            found = [found[k] for k in places]
        last = len(found) - 1
        return [
            Station(node, name, "z" if k == last and k else f"h{k}", level)
            for k, (node, name, level) in enumerate(found)
        ]

    @cached_property
    def _every_station(self) -> list[Place]:
        model = self.model
        place = {n: k for k, n in enumerate(model.order)}
        nodes: list[tuple[Tensor, str]] = []
        before = ""
        layers = [layer for layer in model.layers if layer.sites]
        for layer in layers:
            reads = self._reads(layer)
            if reads:
                nodes.append((max(reads, key=place.__getitem__), before))
            before = layer.name
        if layers:
            nodes.append((layers[-1].sites[-1], before))
        found: dict[Tensor, str] = {}
        for node, name in nodes:
            found.setdefault(node, name or self._input_name(node))
        return [(node, name, k) for k, (node, name) in enumerate(found.items())]

    def _reads(self, layer: Layer) -> list[Tensor]:
        """Return the data that a layer's first result is made of."""
        own = set(layer.params)
        for node in self.model.order:
            if any(a in own for a in node.args):
                own.add(node)
        found: list[Tensor] = []
        pending = [layer.sites[0]]
        while pending:
            for a in pending.pop().args:
                if a in own and a in self._data:
                    pending.append(a)
                elif a in self._data:
                    found.append(a)
        return found

    @cached_property
    def _data(self) -> set[Tensor]:
        """Every node that depends on an input."""
        found = set(self.model.inputs)
        for node in self.model.order:
            if any(a in found for a in node.args):
                found.add(node)
        return found

    def _input_name(self, node: Tensor) -> str:
        names = [n.name for n in topological([node]) if isinstance(n.op, Input)]
        return (names[0] if names else None) or "data"

    @cached_property
    def names(self) -> dict[Tensor, str]:
        """Names for formulas: of leaves and of stations."""
        return names_of(self.model.order, {s.node: s.symbol for s in self.stations})

    @cached_property
    def values(self) -> list[np.ndarray]:
        """The value of each station on the batch."""
        return [np.asarray(v) for v in self.run([s.node for s in self.stations])]

    @cached_property
    def cotangents(self) -> list[np.ndarray | None]:
        """The gradient by each station on the batch."""
        wanted = [self.gradient(s.node) for s in self.stations]
        live = [g for g in wanted if g is not None]
        found = iter(self.run(live)) if live else iter(())
        return [None if g is None else np.asarray(next(found)) for g in wanted]

    def of_one(self, t: Tensor, value: np.ndarray, sample: int = 0) -> np.ndarray:
        """Return the part of a value that belongs to one sample."""
        axis = self.batch_axis(t)
        return value if axis is None else np.take(value, sample, axis=axis)

    def batch_axis(self, t: Tensor) -> int | None:
        """Return the axis along which samples lie, None if there is none."""
        first = [i.shape[0] for i in self.model.inputs if i.shape]
        sizes = [s for s in first if isinstance(s, Dim)]
        for axis, s in enumerate(t.shape):
            if any(s == b for b in sizes):
                return axis
        return None

    def shape_of_one(self, t: Tensor) -> str:
        """Return a shape without the batch's axis: ``8 × 8``."""
        axis = self.batch_axis(t)
        kept = [str(s) for k, s in enumerate(t.shape) if k != axis]
        return " × ".join(kept) or "1"

    @property
    def parameters(self) -> tuple[int, int]:
        """How many numbers are trained, and how many are frozen."""
        sizes = {
            name_of(p): math.prod(np.shape(self.params[name_of(p)]))
            for p in self.model.params
        }
        trained = sum(sizes[name_of(p)] for p in self.model.trainable)
        return trained, sum(sizes.values()) - trained

    @property
    def depth(self) -> int:
        """How many layers lie between the data and the loss."""
        return max(len(self._every_station) - 1, 0)


def _folded(found: list[Place]) -> list[Place]:
    """Return what leaves each outermost scope, in place of all layers inside."""
    kept: list[Place] = []
    for node, name, level in found:
        scope = name.partition("/")[0]
        if kept and kept[-1][1] == scope:
            kept.pop()
        kept.append((node, scope, level))
    return kept

"""A model on a batch: what scenes ask it for, measured once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from symgrad.declare import dtypes
from symgrad.declare.dims import Dim
from symgrad.declare.mode import on_average
from symgrad.declare.tensor import Input, Tensor, constant, topological
from symgrad.derivation.reverse import Adjoints, reverse
from symgrad.diagnosis.layers import Layer, Model, model_of
from symgrad.diagnosis.public import diagnose
from symgrad.diagnosis.report import Diagnosis
from symgrad.diagnosis.trials import cuttable, samples
from symgrad.drawing.descent_curves import Ray
from symgrad.drawing.measure import arguments
from symgrad.explainer.backward import names_of, step
from symgrad.explainer.roads import Highway, highway
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

    @property
    def delta(self) -> str:
        """The name of the gradient by it."""
        digits = self.symbol.removeprefix("h")
        return f"delta{digits}" if digits.isdigit() else "delta"


Place = tuple[Tensor, str, int]  # a station before it has a symbol
Plan = Callable[["Subject"], Sequence[Tensor]]


class Subject:
    """A loss, arrays for it, and what was measured of it.

    Attributes:
        loss, data, params: the model and its arrays.
        name: what a caption calls it.
        given: how many samples there were before some were chosen.
        plan: what will be measured, told before the first value is.
    """

    def __init__(
        self,
        loss: Tensor,
        data: Mapping[str, Any],
        params: Mapping[str, Any] | None = None,
        name: str = "this model",
        rate: float | None = None,
        plan: Plan | None = None,
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
        self.plan = plan
        self._known: dict[Tensor, np.ndarray] = {}
        self._steps: dict[int, str | None] = {}

    def _some(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if not cuttable(self.model, arrays) or self.given <= MOST:
            return arrays
        rows = np.sort(np.random.default_rng(0).permutation(self.given)[:MOST])
        return {
            name_of(t): arrays[name_of(t)][rows] if t.shape else arrays[name_of(t)]
            for t in self.model.inputs
        }

    # -- measuring ---------------------------------------------------------------------

    def values_of(self, tensors: Sequence[Tensor]) -> list[np.ndarray]:
        """Return the values of tensors on the batch.

        With the first of them, all that ``plan`` names is measured: one program for
        all scenes is simplified and compiled much sooner than one for each.
        """
        missing = dict.fromkeys(t for t in tensors if t not in self._known)
        if missing:
            planned = () if self.plan is None else self.plan(self)
            missing |= dict.fromkeys(t for t in planned if t not in self._known)
            self._measure(list(missing))
        return [self._known[t] for t in tensors]

    def value_of(self, t: Tensor) -> np.ndarray:
        """Return the value of a tensor on the batch."""
        return self.values_of([t])[0]

    def _measure(self, tensors: list[Tensor]) -> None:
        inputs, order = self.model.inputs, topological(tensors)
        arrays, params = arguments(self.loss, inputs, order, self.data, self.params)
        found = compile(inputs, tensors)(*arrays, params=params)
        self._known |= dict(zip(tensors, map(np.asarray, found), strict=True))

    @cached_property
    def ray(self) -> Ray | None:
        """The loss along its steepest descent, None where nothing is trained."""
        if not any(self.gradient(p) is not None for p in self.model.trainable):
            return None
        return Ray(self.loss, self.data, self.params)

    @cached_property
    def loss_value(self) -> float:
        """The loss on the batch."""
        return float(self.value_of(self.loss) if self.ray is None else self.ray.loss)

    @cached_property
    def diagnosis(self) -> Diagnosis:
        """What is wrong with it, if anything."""
        return diagnose(self.loss, self.data, self.params)

    @cached_property
    def adjoints(self) -> Adjoints:
        """The cotangents of all that the data and the trained parameters lead to."""
        wrt = [*self.model.trainable, *self.model.inputs]
        wrt += [s.node for s in self.stations]
        floats = dict.fromkeys(t for t in wrt if dtypes.is_float(t.dtype))
        return reverse([self.loss], list(floats), [constant(1.0, self.loss.dtype)])

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

    @cached_property
    def highway(self) -> Highway | None:
        """The longest road of residual sums, None where no gradient passes one."""
        return highway(self)

    # -- layers ------------------------------------------------------------------------

    @cached_property
    def places(self) -> list[Station]:
        """The data, what layers (or blocks, if many) make of them, the prediction."""
        found = self._every_station
        if len(found) > SHOWN:
            found = _folded(found)
        last = len(found) - 1
        return [
            Station(node, name, "z" if k == last and k else f"h{k}", level)
            for k, (node, name, level) in enumerate(found)
        ]

    @cached_property
    def stations(self) -> list[Station]:
        """The places that a picture has room for."""
        count = len(self.places)
        chosen = np.linspace(0, count - 1, min(count, SHOWN)).round().astype(int)
        return [self.places[k] for k in chosen]

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
        if not found:  # no layer combines data with parameters
            leaf = next(iter([*model.inputs, *model.params, self.loss]))
            found[leaf] = leaf.name or "loss"
        return [(node, name, k) for k, (node, name) in enumerate(found.items())]

    def _reads(self, layer: Layer) -> list[Tensor]:
        """Return the data that come into a layer from outside of it.

        Outside is what neither depends on its parameters nor lies in its scope: a
        normalisation begins where the mean is taken, not where the scale comes in.
        """
        own = set(layer.params)
        for node in self.model.order:
            if any(a in own for a in node.args):
                own.add(node)
        found: list[Tensor] = []
        pending, seen = [layer.sites[0]], {layer.sites[0]}
        while pending:
            for a in pending.pop().args:
                if a in seen or a not in self._data:
                    continue
                seen.add(a)
                inside = a in own or (a.scope == layer.name and a.args)
                (pending if inside else found).append(a)
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
        """Names for formulas: of leaves and of places."""
        return names_of(self.model.order, {s.node: s.symbol for s in self.places})

    def step_to(self, k: int) -> str | None:
        """Return what the gradient of the place after ``k`` becomes there, as MathML.

        After the last place comes the loss.  None where the formula is too long.
        """
        if k not in self._steps:
            above = self.places[k + 1] if k + 1 < len(self.places) else None
            top, seed, names = self.loss, None, self.names
            if above is not None:
                top, seed, names = above.node, above.delta, {**names, self.loss: "L"}
            node = self.places[k].node
            live = self.gradient(node) is not None
            self._steps[k] = step(top, node, names, seed) if live else None
        return self._steps[k]

    @cached_property
    def values(self) -> list[np.ndarray]:
        """The value of each station on the batch."""
        return self.values_of([s.node for s in self.stations])

    @cached_property
    def cotangents(self) -> list[np.ndarray | None]:
        """The gradient by each station on the batch."""
        wanted = [self.gradient(s.node) for s in self.stations]
        return [None if g is None else self.value_of(g) for g in wanted]

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

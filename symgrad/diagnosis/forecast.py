"""What the formulas say of every layer before a gradient is measured.

For each layer: an upper bound on the norm of its gradient, the norm to expect at
initialisation, how the gradient is expected to change between it and the last layer,
and by how much it can change at most, whatever the data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from symgrad.declare import scalar
from symgrad.declare.conditions import sizes_of
from symgrad.declare.dims import evaluate
from symgrad.declare.loop import Final, Scan
from symgrad.declare.scalar import Expr
from symgrad.declare.tensor import Tensor
from symgrad.diagnosis.layers import Layer, Model
from symgrad.diagnosis.through_time import Repeat
from symgrad.prediction.bound import make_flow, meetings
from symgrad.prediction.flow import Edge, Flow
from symgrad.prediction.meanfield import MeanField
from symgrad.prediction.measured import measured
from symgrad.prediction.norms import spectral_norm
from symgrad.prediction.supremum import derivative
from symgrad.train.initialize import name_of

FADED, GROWN = 1e-3, 1e3  # of a gradient, between the first and the last layer
MOST = 3000  # nodes of a loss
MOST_VALUES = 50_000_000  # that are held for a bound at the data
LINEAR = ("add", "sub", "mul", "div", "neg")  # beside a number


@dataclass(frozen=True)
class LayerForecast:
    """What is predicted of one layer.

    Attributes:
        name: the layer.
        bound: the norm of its gradient is at most this.
        expected: the norm to expect at initialisation; NaN if it has no gradient.
        ratio: the same, as a part of the last layer's.
        flow: the norm of the cotangent of its result, as a part of that of the last
            layer's result: what the layers between do to a gradient.
        most: an upper bound on ``flow``, for any data.
    """

    name: str
    bound: float
    expected: float
    ratio: float
    flow: float
    most: float

    @property
    def verdict(self) -> str:
        """What will become of the gradient on its way to this layer."""
        if self.most < FADED:
            return "vanishes for any data"
        if self.flow < FADED:
            return "expected to vanish"
        if self.flow > GROWN:
            return "expected to explode"
        if self.flow < 0.05:
            return "fades"
        return "grows" if self.flow > 20 else "steady"


@dataclass(frozen=True)
class LoopForecast:
    """What is predicted of a gradient on its way back through the steps of a loop.

    Attributes:
        layer: the name of the layer.
        steps: how many steps it passes, the last one left out.
        change: by how much its norm is expected to change.
        most: an upper bound on that, for any data.
        last_only: does the loss read nothing but what the last step leaves?
    """

    layer: str
    steps: int
    change: float
    most: float
    last_only: bool


@dataclass
class Slope:
    """An elementwise function that a gradient passes.

    Attributes:
        name: what it is called.
        body: the function, of ``x``.
        says: the supremum of its slope, such as ``sup|sigmoid′| = 1/4``.
        supremum: its value.
        times: how often it is passed.
    """

    name: str
    body: Expr
    says: str
    supremum: float
    times: int = 0

    @property
    def is_scaling(self) -> bool:
        """Is it a multiple of ``x`` and no more, whose slope is the same everywhere?"""
        slope = derivative(self.body, "x")
        return scalar.substitute(slope, {scalar.var("x"): scalar.number(2)}) == slope


@dataclass(frozen=True)
class Forecast:
    """What is predicted of a model.

    Attributes:
        layers: in the order in which data reach them.
        slopes: the elementwise functions that the gradient passes on its way from the
            last layer to the first.
        places: how many results of layers it passes.
        loops: those that data pass, in the order of the graph.
    """

    layers: list[LayerForecast]
    slopes: list[Slope]
    places: int
    loops: list[LoopForecast]

    @property
    def first(self) -> LayerForecast | None:
        """The first layer that a gradient reaches."""
        live = [f for f in self.layers if not math.isnan(f.flow)]
        return live[0] if len(live) > 1 else None

    @property
    def rate(self) -> float:
        """By how much the gradient is expected to change from layer to layer."""
        if self.first is None or not self.first.flow > 0 or self.places < 2:
            return math.nan
        rate: float = self.first.flow ** (1 / (self.places - 1))
        return rate

    @property
    def small_slopes(self) -> str:
        """Suprema under 1 as text: ``sup|sigmoid′| = 1/4 8 times``."""
        small = [s for s in self.slopes if s.supremum < 0.99]
        return ", ".join(f"{s.says} {s.times} times" for s in small)

    def __getitem__(self, name: str) -> LayerForecast | None:
        return next((f for f in self.layers if f.name == name), None)


def forecast(
    model: Model,
    start: Mapping[str, np.ndarray],
    now: Mapping[str, np.ndarray],
    data: Mapping[str, np.ndarray] | None,
) -> Forecast | None:
    """Predict gradients from the formulas, the weights, and the range of the inputs.

    Args:
        model: the model.
        start: its parameters before training, for what is expected.
        now: its parameters at present, for the bounds.
        data: arrays of inputs; their extremes and moments are used.

    Returns:
        None for a loss without trained layers, or a very large one.
    """
    layers = [layer for layer in model.layers if layer.sites]
    if not model.trainable or not layers or len(model.order) > MOST:
        return None
    watched = [*model.trainable, *(s for layer in layers for s in layer.sites)]
    flow = make_flow(model.loss, watched, start, data)
    expected = MeanField(flow)
    present = flow if now is start else make_flow(model.loss, watched, now, data)
    bounds, into = present.accumulate()
    meeting = meetings(present, into)
    last = _last(flow, expected, layers)
    most, through = flow.accumulate(last)
    final = _norm(expected, layers[-1])
    found = []
    for layer in layers:
        norm = _norm(expected, layer)
        site = layer.sites[0]
        trained = [p for p in layer.params if id(p) in bounds]
        found.append(
            LayerForecast(
                layer.name,
                math.hypot(*(bounds[id(p)] for p in trained)) if trained else math.nan,
                norm,
                _part(norm, final),
                _part(expected.norm(site), expected.norm(last)),
                most.get(id(site), math.nan)
                if _passes(meeting, site, last)
                else math.inf,
            )
        )
    sites = [s for layer in layers for s in layer.sites]
    places = sum(not math.isnan(expected.norm(s)) for s in sites)
    loops = [_through_time(r, flow, expected) for r in model.repeats]
    return Forecast(found, _slopes(through), places, loops)


def bounds_at_data(
    model: Model, params: Mapping[str, np.ndarray], data: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Return bounds on the norms of gradients at these data: parameter -> bound.

    They rest on the values that all nodes have there.  There are none for losses
    without trained parameters, nor where the values would take much memory.
    """
    sizes = sizes_of(model.inputs, [np.shape(data[name_of(t)]) for t in model.inputs])
    held = sum(math.prod(evaluate(s, sizes) for s in t.shape) for t in model.order)
    if not model.trainable or len(model.order) > MOST or held > MOST_VALUES:
        return {}
    known = measured(model.loss, params, data)
    flow = make_flow(model.loss, model.trainable, params, data, known=known)
    found, _ = flow.accumulate()
    return {name_of(p): found[id(p)] for p in model.trainable if id(p) in found}


def _through_time(repeat: Repeat, flow: Flow, expected: MeanField) -> LoopForecast:
    """Predict how a gradient of the last step's results changes on its way back."""
    steps, field = flow.steps_of(repeat.results[0]), expected.loop(repeat.results[0])
    if steps.length < 2:
        return LoopForecast(repeat.layer, 0, math.nan, math.nan, False)
    read = [t.op for t in repeat.results if isinstance(t.op, Scan)]
    ends, squares = steps.back(read, field.row)
    _, limits = steps.back(read, steps.row)
    change = math.sqrt((squares @ ends).sum() / ends.sum()) if ends.any() else math.nan
    most = spectral_norm(limits) if np.isfinite(limits).all() else math.inf
    alone = all(isinstance(op, Final) for op in read)
    return LoopForecast(repeat.layer, steps.length - 1, change, most, alone)


def _part(norm: float, whole: float) -> float:
    return norm / whole if whole else math.nan


def _norm(expected: MeanField, layer: Layer) -> float:
    found = [expected.norm(p) for p in layer.params]
    live = [n for n in found if not math.isnan(n)]
    return math.hypot(*live) if live else math.nan


def _last(flow: Flow, expected: MeanField, layers: list[Layer]) -> Tensor:
    """Return the last place at which a layer's result enters the graph."""
    sites = [s for layer in layers for s in layer.sites]
    live = [s for s in sites if not math.isnan(expected.norm(s))]
    return max(live or sites, key=lambda s: flow.place[id(s)])


def _passes(meeting: Mapping[int, Tensor], site: Tensor, last: Tensor) -> bool:
    """Does every path from a tensor to the loss pass ``last``?"""
    t: Tensor | None = site
    while t is not None and t is not last:
        t = meeting.get(id(t))
    return t is last


def _slopes(through: Mapping[int, list[Edge]]) -> list[Slope]:
    """Return the functions of one variable that a gradient passes, with how often."""
    found: dict[Expr, Slope] = {}
    for e in (e for edges in through.values() for e in edges if e.slope is not None):
        assert e.slope is not None
        cone, _ = e.slope
        single = len(cone.leaves) == 1 and cone.name not in LINEAR
        if single and _varies(derivative(cone.body, e.slope[1])):
            says = e.says.split(" · ")[0]
            new = Slope(cone.name, cone.body, says, e.factor)
            slope = found.setdefault(cone.body, new)
            slope.times += 1
            if e.factor > slope.supremum:
                slope.says, slope.supremum = says, e.factor
    return list(found.values())


def _varies(slope: Expr) -> bool:
    """Does a slope depend on anything?"""
    return slope.fn == "var" or any(map(_varies, slope.args))

"""What a model is made of: its layers, activations, units, shortcuts and norms.

Layers are found from the parameters: those of one scope are a layer, and so are a
matrix outside of scopes and the vectors added to what it makes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from symgrad.declare import dtypes
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.tensor import Input, Param, Reshape, Tensor, topological
from symgrad.drawing.residuals import Residual, residuals
from symgrad.train.initialize import name_of

#: Activations of which a unit can die (no slope) or saturate (hardly any).
RECTIFIERS, SQUASHERS = ("relu",), ("sigmoid", "tanh")


@dataclass
class Layer:
    """Parameters that work together, and where their results enter the graph.

    Attributes:
        name: the scope, or the name of the weight.
        params: in the order of their use.
        sites: the nodes that combine data with the parameters; a recurrent layer has
            several.
    """

    name: str
    params: list[Tensor] = field(default_factory=list)
    sites: list[Tensor] = field(default_factory=list)

    @property
    def frozen(self) -> bool:
        """Is no parameter trained?"""
        return not any(trains(p) for p in self.params)


@dataclass(frozen=True, eq=False)
class Activation:
    """A node at which units may die or saturate.

    Attributes:
        node: the activation's value.
        kind: ``relu``, ``sigmoid`` or ``tanh``.
        layer: the name of the layer that it belongs to.
        axis: the axis along which the units lie, None if there is none.
    """

    node: Tensor
    kind: str
    layer: str
    axis: int | None


@dataclass
class Model:
    """The structure of a loss.

    Attributes:
        loss: the scalar that is trained.
        order: every node, operands first.
        layers: in the order in which data reach them.
        activations: hidden ones and rectified results, in the order of the graph.
        shortcuts: residual sums, of a tensor and something computed from it.
        norms: divisions by a deviation that is computed from data.
    """

    loss: Tensor
    order: list[Tensor]
    layers: list[Layer]
    activations: list[Activation]
    shortcuts: list[Residual]
    norms: list[Tensor]

    @property
    def params(self) -> list[Tensor]:
        """Every parameter, in the order of the graph."""
        return [n for n in self.order if isinstance(n.op, Param)]

    @property
    def trainable(self) -> list[Tensor]:
        """The parameters that are trained."""
        return [p for p in self.params if trains(p)]

    @property
    def inputs(self) -> list[Tensor]:
        """The inputs."""
        return [n for n in self.order if isinstance(n.op, Input)]


def trains(p: Tensor) -> bool:
    """Say whether a parameter is trained."""
    return isinstance(p.op, Param) and p.op.trainable and dtypes.is_float(p.dtype)


def model_of(loss: Tensor) -> Model:
    """Return the structure of a loss.

    >>> import symgrad as sg
    >>> x, W = sg.input("x", ("n", 4)), sg.param("W", (4, 3))
    >>> [layer.name for layer in model_of(sg.sum(sg.relu(x @ W))).layers]
    ['W']
    """
    order = topological([loss])
    data = dependents(order, (n for n in order if isinstance(n.op, Input)))
    layers, owner = _layers(order, data)
    last = _last_sites(layers, order)
    return Model(
        loss,
        order,
        layers,
        _activations(order, data, owner, last, layers),
        residuals(loss),
        _norms(order, data, last),
    )


def dependents(order: Sequence[Tensor], roots: Iterable[Tensor]) -> set[int]:
    """Return the identities of the nodes that depend on any of ``roots``."""
    found = {id(t) for t in roots}
    for node in order:
        if any(id(a) in found for a in node.args):
            found.add(id(node))
    return found


def _layers(
    order: Sequence[Tensor], data: set[int]
) -> tuple[list[Layer], dict[int, str]]:
    """Return the layers, and the name of the layer that each data node belongs to."""
    weights = _weights(order, data)
    layers: dict[str, Layer] = {}
    place: dict[str, str] = {}  # parameter -> its layer
    owner: dict[int, str] = {}
    for node in order:
        if id(node) not in data:
            continue
        rank = {name: n for n, name in enumerate(layers)}
        known = [owner[id(a)] for a in node.args if id(a) in owner]
        latest = max(known, key=lambda n: rank[n], default=None)
        direct = [p for a in node.args for p in weights.get(id(a), ())]
        for p in direct:
            name = place.setdefault(name_of(p), _layer_name(p, latest))
            layer = layers.setdefault(name, Layer(name))
            if not any(p is q for q in layer.params):
                layer.params.append(p)
        if direct:
            latest = place[name_of(max(direct, key=lambda p: p.ndim))]
            _add_site(layers[latest], node)
        if latest is not None:
            owner[id(node)] = latest
    return list(layers.values()), owner


def _weights(order: Sequence[Tensor], data: set[int]) -> dict[int, list[Tensor]]:
    """Return the parameters that each node without data is made of."""
    found: dict[int, list[Tensor]] = {}
    for node in order:
        if isinstance(node.op, Param):
            found[id(node)] = [node]
        elif id(node) not in data:
            parts = [p for a in node.args for p in found.get(id(a), ())]
            if parts:
                found[id(node)] = list(dict.fromkeys(parts))
    return found


def _layer_name(p: Tensor, latest: str | None) -> str:
    name = name_of(p)
    if "/" in name:
        return name.rpartition("/")[0]
    return name if p.ndim > 1 or latest is None else latest


def _add_site(layer: Layer, node: Tensor) -> None:
    """Add where a layer makes its result; an added bias moves it on."""
    if isinstance(node.op, Comprehension) and node.op.is_elementwise:
        layer.sites = [s for s in layer.sites if not any(s is a for a in node.args)]
    layer.sites.append(node)


def _last_sites(layers: Sequence[Layer], order: Sequence[Tensor]) -> set[int]:
    """Return the nodes on which some layer still depends."""
    needed = {id(a) for layer in layers for s in layer.sites for a in s.args}
    for node in reversed(order):
        if id(node) in needed:
            needed |= {id(a) for a in node.args}
    return needed


def kind_of(node: Tensor) -> str | None:
    """Return ``relu``, ``sigmoid`` or ``tanh``, also for relu as a maximum with 0."""
    if not isinstance(node.op, Comprehension) or node.op.reduce is not None:
        return None
    fn = node.op.body.fn
    if fn in (*RECTIFIERS, *SQUASHERS):
        return fn
    values = [getattr(a.op, "value", None) for a in node.args]
    zero = any(v is not None and v.ndim == 0 and v == 0 for v in values)
    return "relu" if fn == "maximum" and zero else None


def _activations(
    order: Sequence[Tensor],
    data: set[int],
    owner: dict[int, str],
    hidden: set[int],
    layers: Sequence[Layer],
) -> list[Activation]:
    gates = _gates(order)
    axes = unit_axes(order)
    results = {id(s) for layer in layers for s in layer.sites}
    found = []
    for node in order:
        kind = kind_of(node)
        if kind is None or id(node) not in data:
            continue
        # no output is saturated; but a rectified one may be dead as hidden ones are
        last = kind in RECTIFIERS and id(node.args[0]) in results
        if id(node) not in hidden and not last:
            continue
        if id(node) in gates or id(node) not in owner:
            continue
        found.append(Activation(node, kind, owner[id(node)], axes[id(node)]))
    return found


def _gates(order: Sequence[Tensor]) -> set[int]:
    """Return the activations that only multiply something: those may saturate."""
    users: dict[int, list[str]] = {}
    for node in order:
        local = isinstance(node.op, Comprehension) and node.op.is_elementwise
        fn = node.op.body.fn if local else ""  # type: ignore[union-attr]
        for a in node.args:
            users.setdefault(id(a), []).append(fn)
    gate = {"mul", "sub", "add"}  # x·s, (1 - s)·x, 1 + tanh
    return {
        id(n)
        for n in order
        if kind_of(n) in SQUASHERS
        and "mul" in users.get(id(n), ())
        and set(users[id(n)]) <= gate
    } | {
        id(n.args[0])
        for n in order
        if isinstance(n.op, Comprehension)
        and n.op.body.fn == "add"
        and any(a.shape == () and hasattr(a.op, "value") for a in n.args)
        and len(n.args) == 2
        and kind_of(n.args[0]) in SQUASHERS
    }


def unit_axes(order: Sequence[Tensor]) -> dict[int, int | None]:
    """Return the axis of each node that belongs to the nearest parameter.

    In ``x @ W`` it is the axis of W's columns, in a convolution that of its channels.
    """
    near: dict[int, tuple[float, ...]] = {}
    for node in order:
        near[id(node)] = _distances(node, near)
    found: dict[int, int | None] = {}
    for node in order:
        distances = near[id(node)]
        least = min(distances, default=math.inf)
        at = [a for a, d in enumerate(distances) if d == least]
        found[id(node)] = at[-1] if least < math.inf else None
    return found


def _distances(node: Tensor, near: dict[int, tuple[float, ...]]) -> tuple[float, ...]:
    """Return, for each axis, how many nodes away the nearest parameter's axis is."""
    if isinstance(node.op, Param):
        return (0.0,) * node.ndim
    if isinstance(node.op, Reshape):
        return _through_reshape(node, near[id(node.args[0])])
    least = [math.inf] * node.ndim
    if not isinstance(node.op, Comprehension) or node.op.target is not None:
        return tuple(least)
    for read in node.op.reads:
        distances = near[id(node.args[read.operand])]
        for d, index in enumerate(read.index):
            for a in index.axes():
                if a < node.ndim:
                    least[a] = min(least[a], distances[d] + 1)
    return tuple(least)


def _through_reshape(node: Tensor, before: tuple[float, ...]) -> tuple[float, ...]:
    """Axes keep their distances from the left and right as long as sizes agree."""
    old, new = node.args[0].shape, node.shape
    left = 0
    while left < min(len(old), len(new)) and old[left] == new[left]:
        left += 1
    right = 0
    while right < min(len(old), len(new)) - left and old[-1 - right] == new[-1 - right]:
        right += 1
    middle = min(before[left : len(old) - right], default=math.inf)
    count = len(new) - left - right
    return (*before[:left], *([middle] * count), *before[len(old) - right :])


def _norms(order: Sequence[Tensor], data: set[int], hidden: set[int]) -> list[Tensor]:
    """Return divisions by the square root of something measured on data."""
    found = []
    for node in order:
        if not isinstance(node.op, Comprehension) or id(node) not in hidden:
            continue
        fn = node.op.body.fn
        below = node.args[-1] if fn == "div" and len(node.args) == 2 else None
        while below is not None and isinstance(below.op, Comprehension):
            if below.op.body.fn == "sqrt":
                break
            below = below.args[0] if below.op.is_movement else None
        root = below is not None and isinstance(below.op, Comprehension)
        if id(node) in data and (fn == "rsqrt" or root):
            found.append(node)
    return found

"""What a model is made of: its layers, activations, units, shortcuts and norms.

Layers are found from the parameters: those of one scope are a layer, and so are a
matrix outside of scopes and the vectors added to what it makes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from symgrad.declare import dtypes
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.tensor import Input, Param, Tensor, topological
from symgrad.diagnosis.activations import Activation, activations
from symgrad.diagnosis.through_time import Repeat, repeats
from symgrad.drawing.residuals import Residual, residuals
from symgrad.train.initialize import name_of


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


@dataclass
class Model:
    """The structure of a loss.

    Attributes:
        loss: the scalar that is trained.
        order: every node, operands first.
        layers: in the order in which data reach them.
        activations: hidden ones and rectified results, in the order of the graph; those
            of loops' bodies too.
        repeats: the loops.
        shortcuts: residual sums, of a tensor and something computed from it.
        norms: divisions by a deviation that is computed from data.
    """

    loss: Tensor
    order: list[Tensor]
    layers: list[Layer]
    activations: list[Activation]
    repeats: list[Repeat]
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
        activations(order, data, owner, last, [s for a in layers for s in a.sites]),
        repeats(loss, owner),
        [r for r in residuals(loss) if _learned(r)],
        _norms(order, data, last),
    )


def _learned(r: Residual) -> bool:
    """Is there a parameter in a block, not just functions beside their argument?"""
    members = {id(r.stream)} | {id(t) for b in r.blocks for t in b.members}
    beside = [
        a for b in r.blocks for t in b.members for a in t.args if id(a) not in members
    ]
    leaves = ({type(t.op) for t in topological([a])} for a in beside)
    return any(Param in kinds and Input not in kinds for kinds in leaves)


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
    home: dict[str, str] = {}  # parameter -> its layer
    owner: dict[int, str] = {}
    for node in order:
        if id(node) not in data:
            continue
        rank = {name: n for n, name in enumerate(layers)}
        known = [owner[id(a)] for a in node.args if id(a) in owner]
        latest = max(known, key=lambda n: rank[n], default=None)
        direct = [p for a in node.args for p in weights.get(id(a), ())]
        for p in direct:
            name = home.setdefault(name_of(p), _layer_name(p, latest))
            layer = layers.setdefault(name, Layer(name))
            if not any(p is q for q in layer.params):
                layer.params.append(p)
        if direct:
            latest = home[name_of(max(direct, key=lambda p: p.ndim))]
            _add_site(layers[latest], node)
        if latest is not None:
            owner[id(node)] = latest
    for layer in layers.values():
        layer.sites = _forward(layer.sites, weights)
    return _in_order(list(layers.values()), order), owner


def _in_order(layers: list[Layer], order: Sequence[Tensor]) -> list[Layer]:
    """Return the layers by their first sites; one without follows the one before."""
    place = {id(node): n for n, node in enumerate(order)}
    keys: list[int] = []
    for layer in layers:
        before = keys[-1] if keys else 0
        keys.append(place[id(layer.sites[0])] if layer.sites else before)
    by_key = sorted(zip(keys, range(len(layers)), strict=True))
    return [layers[n] for _, n in by_key]


def _forward(sites: list[Tensor], weights: dict[int, list[Tensor]]) -> list[Tensor]:
    """Return the sites of the forward pass, where the loss holds derivatives too.

    In derivatives of a layer by its input the weights appear again, but no bias does.
    """

    def used(site: Tensor) -> list[Tensor]:
        return [p for a in site.args for p in weights.get(id(a), ())]

    biased = any(p.ndim == 1 for s in sites for p in used(s))
    again = {id(s) for s in sites if biased and all(p.ndim > 1 for p in used(s))}
    return [s for s in sites if id(s) not in again]


def _weights(order: Sequence[Tensor], data: set[int]) -> dict[int, list[Tensor]]:
    """Return the parameters that each node without data is made of."""
    found: dict[int, list[Tensor]] = {}
    for node in order:
        if isinstance(node.op, Param):
            if dtypes.is_float(node.dtype):  # no random key, nor a switch of the mode
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

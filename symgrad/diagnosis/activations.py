"""Activations: nodes at which units can die or saturate, in the bodies of loops too."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from symgrad.declare.bodies import demanded, dependents, grouped, reached_formals
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.loop import Loop, Scan
from symgrad.declare.tensor import Param, Reshape, Tensor, topological

#: Activations of which a unit can die (no slope) or saturate (hardly any).
RECTIFIERS, SQUASHERS = ("relu",), ("sigmoid", "tanh")

Near = dict[Tensor, tuple[float, ...]]


@dataclass(frozen=True, eq=False)
class Activation:
    """A node at which units may die or saturate.

    Attributes:
        node: the activation's value.
        kind: ``relu``, ``sigmoid`` or ``tanh``.
        layer: the name of the layer that it belongs to.
        axis: the axis along which the units lie, None if there is none.
        gate: does it only multiply something, as in an LSTM?
        loops: results of the loops in whose bodies the node is, the outermost first.
    """

    node: Tensor
    kind: str
    layer: str
    axis: int | None
    gate: bool = False
    loops: tuple[Tensor, ...] = ()

    @property
    def what(self) -> str:
        """The activation in words."""
        return f"{self.kind} gates" if self.gate else self.kind


def activations(
    order: Sequence[Tensor],
    data: Collection[int],
    owner: Mapping[int, str],
    hidden: Collection[int],
    sites: Sequence[Tensor],
) -> list[Activation]:
    """Return the activations of a loss, those of a loop's body at the loop.

    Args:
        order: every node, operands first.
        data: the identities of those that depend on data.
        owner: identity of a node -> its layer.
        hidden: the identities of nodes on which a layer still depends.
        sites: the results of layers.
    """
    gates = _gates(order)
    near = distances(order, {})
    results = {id(s) for s in sites}
    looped = {id(g[0]): g for g in grouped(order[-1:]) if isinstance(g[0].op, Scan)}
    found = []
    for node in order:
        if id(node) not in data or id(node) not in owner:
            continue
        layer = owner[id(node)]
        if id(node) in looped:
            live = {t for t in node.args if id(t) in data}
            found += _inside(looped[id(node)], layer, live, near, ())
        kind = kind_of(node)
        if kind is None or id(node) in gates:
            continue
        # no output is saturated; but a rectified one may be dead as hidden ones are
        last = kind in RECTIFIERS and id(node.args[0]) in results
        if id(node) in hidden or last:
            found.append(Activation(node, kind, layer, unit_axis(near[node])))
    return found


def _inside(
    results: Sequence[Tensor],
    layer: str,
    data: Collection[Tensor],
    outer: Near,
    loops: tuple[Tensor, ...],
) -> list[Activation]:
    """Return the activations in the body of a loop, given its results."""
    loop: Loop = results[0].op.loop  # type: ignore[union-attr]
    args = results[0].args
    pairs = list(zip(loop.formals, args, strict=True))
    values = demanded(results)
    order = topological(values)
    reached = reached_formals(loop, [f for f, a in pairs if a in data], lambda _: True)
    live = dependents(order, reached)
    near = distances(order, _entering(loop, args, outer))
    gates = _gates(order)
    looped = {id(g[0]): g for g in grouped(values) if isinstance(g[0].op, Scan)}
    found = []
    here = (*loops, results[0])
    for node in order:
        if node not in live:
            continue
        if id(node) in looped:
            found += _inside(looped[id(node)], layer, live, near, here)
        kind = kind_of(node)
        if kind is not None:
            gate = kind == "sigmoid" and id(node) in gates
            axis = unit_axis(near[node])
            found.append(Activation(node, kind, layer, axis, gate, here))
    return found


def _entering(loop: Loop, args: Sequence[Tensor], outer: Near) -> Near:
    """Return the distances of a body's formals from parameters."""
    found: Near = {f: (math.inf,) * f.ndim for f in loop.carries}
    first = len(loop.updates)
    given = zip(loop.formals[first:], args[first:], strict=True)
    for n, (formal, actual) in enumerate(given):
        found[formal] = outer[actual][int(n < loop.sequences) :]
    return found


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


def unit_axis(near: tuple[float, ...]) -> int | None:
    """Return the axis that belongs to the nearest parameter, None if there is none.

    In ``x @ W`` it is the axis of W's columns, in a convolution that of its channels.
    """
    least = min(near, default=math.inf)
    at = [a for a, d in enumerate(near) if d == least]
    return at[-1] if least < math.inf else None


def distances(order: Sequence[Tensor], known: Near) -> Near:
    """Return, for each axis, how many nodes away the nearest parameter's axis is."""
    near: Near = {}
    for node in order:
        near[node] = known[node] if node in known else _distances(node, near)
    return near


def _distances(node: Tensor, near: Near) -> tuple[float, ...]:
    if isinstance(node.op, Param):
        return (0.0,) * node.ndim
    if isinstance(node.op, Reshape):
        return _through_reshape(node, near[node.args[0]])
    least = [math.inf] * node.ndim
    if not isinstance(node.op, Comprehension) or node.op.target is not None:
        return tuple(least)
    for read in node.op.reads:
        distances = near[node.args[read.operand]]
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

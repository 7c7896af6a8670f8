"""Reverse and forward accumulation over a graph.

``reverse`` returns every cotangent and, for pictures and diagnosis, what each edge
contributed.  A tensor that no ``wrt`` reaches gets no cotangent: a frozen weight costs
nothing, by construction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from symgrad.declare import dtypes
from symgrad.declare.bodies import sibling_key, siblings
from symgrad.declare.build import broadcast_to
from symgrad.declare.loop import Scan
from symgrad.declare.tensor import (
    Param,
    Tensor,
    constant,
    exact_scope,
    print_shape,
    topological,
)
from symgrad.derivation import local, loops
from symgrad.errors import GraphError, ShapeError


@dataclass
class Adjoints:
    """The result of reverse accumulation.

    Attributes:
        cotangents: that of each node between ``wrt`` and the outputs.
        edges: (node, operand, what the node's cotangent sends to the operand).
    """

    cotangents: dict[Tensor, Tensor] = field(default_factory=dict)
    edges: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list)


def reverse(
    outputs: Sequence[Tensor],
    wrt: Sequence[Tensor],
    seeds: Sequence[Tensor],
    order: Sequence[Tensor] | None = None,
) -> Adjoints:
    """Accumulate cotangents from ``outputs`` (seeded) back to ``wrt``.

    ``order``, operands first, are the nodes to go through, where they are known; all
    below ``outputs`` otherwise.
    """
    order = topological(outputs) if order is None else order
    between = {id(t) for t in wrt}
    for node in order:
        if any(id(a) in between for a in node.args):
            between.add(id(node))
    result = Adjoints()
    sums = result.cotangents
    for output, seed in zip(outputs, seeds, strict=True):
        if id(output) in between:
            sums[output] = _plus(sums.get(output), seed)
    together = siblings(order)
    for node in reversed(order):
        found = together.get(sibling_key(node), []) if together else []
        if found and found[0] is not node:
            continue  # the results of a loop wait for the first of them
        live = any(t in sums for t in found or [node])
        if not live or not any(id(a) in between for a in node.args):
            continue
        with exact_scope(node.scope):
            for n, part in _local_vjp(found or [node], sums, between):
                operand = node.args[n]
                result.edges.append((node, operand, part))
                sums[operand] = _plus(sums.get(operand), part)
    return result


def _local_vjp(
    nodes: Sequence[Tensor], sums: Mapping[Tensor, Tensor], between: set[int]
) -> list[local.Contribution]:
    """Return what a node, or all results of a loop, send back to the operands."""

    def wanted(a: Tensor) -> bool:
        return id(a) in between

    if isinstance(nodes[0].op, Scan):
        return loops.vjp(nodes, sums, wanted, _cotangents)
    return local.vjp(nodes[0], sums[nodes[0]], wanted)


def _cotangents(
    outputs: Sequence[Tensor], wrt: Sequence[Tensor], seeds: Sequence[Tensor]
) -> dict[Tensor, Tensor]:
    return reverse(outputs, wrt, seeds).cotangents


def _plus(total: Tensor | None, part: Tensor) -> Tensor:
    return part if total is None else local.plus(total, part)


def flatten(structure: Any) -> list[Any]:
    """Return the leaves of nested tuples, lists and dicts (by sorted key)."""
    if isinstance(structure, dict):
        return [leaf for k in sorted(structure) for leaf in flatten(structure[k])]
    if isinstance(structure, list | tuple):
        return [leaf for part in structure for leaf in flatten(part)]
    return [structure]


def unflatten(structure: Any, leaves: Sequence[Any]) -> Any:
    """Return ``leaves`` in the shape of ``structure``."""
    rest = iter(leaves)

    def walk(part: Any) -> Any:
        if isinstance(part, dict):
            made = {k: walk(part[k]) for k in sorted(part)}
            return {k: made[k] for k in part}
        if isinstance(part, tuple) and hasattr(part, "_fields"):
            return type(part)(*(walk(p) for p in part))
        if isinstance(part, list | tuple):
            return type(part)(walk(p) for p in part)
        return next(rest)

    return walk(structure)


def grad(loss: Tensor, wrt: Any) -> Any:
    """Return the gradient of a scalar with respect to ``wrt`` (tensor, list or dict).

    Raises:
        ShapeError: ``loss`` is not a scalar.
        GraphError: a tensor in ``wrt`` is frozen, or ``loss`` does not depend on it.
        DTypeError: ``loss`` is not of a float type.
    """
    if not isinstance(loss, Tensor):
        raise GraphError(f"sg.grad differentiates a tensor, not {type(loss).__name__}")
    if loss.shape != ():
        raise ShapeError(
            f"sg.grad needs a scalar, but {loss.describe()} has the shape "
            f"{print_shape(loss.shape)}; sum it, or use sg.jacobian or sg.vjp"
        )
    seed = constant(1.0, loss.dtype) if dtypes.is_float(loss.dtype) else None
    if seed is None:
        raise GraphError(
            f"sg.grad: {loss.describe()} is not of a float type; it has no gradient"
        )
    return vjp(loss, wrt, seed)


def vjp(outputs: Any, wrt: Any, cotangents: Any) -> Any:
    """Return the cotangents of ``wrt``, given those of ``outputs``."""
    targets = flatten(wrt)
    results = flatten(outputs)
    seeds = []
    for t, g in zip(results, flatten(cotangents), strict=True):
        g = g if isinstance(g, Tensor) else constant(g, t.dtype)
        seeds.append(broadcast_to(g, t.shape))
    check_wrt(targets, results)
    adjoints = reverse(results, targets, seeds)
    found = []
    for t in targets:
        g = adjoints.cotangents.get(t)
        found.append(broadcast_to(constant(0.0, t.dtype), t.shape) if g is None else g)
    return unflatten(wrt, found)


def check_wrt(targets: Sequence[Any], outputs: Sequence[Tensor]) -> None:
    """Raise GraphError for a frozen, non-float or unreached tensor, naming it."""
    reached = {id(t) for t in topological(outputs)}
    for t in targets:
        if not isinstance(t, Tensor):
            raise GraphError(f"wrt holds tensors, not {type(t).__name__} {t!r}")
        if isinstance(t.op, Param) and not t.op.trainable:
            raise GraphError(
                f"{t.describe()} is frozen (trainable=False), so it has no gradient; "
                "leave it out of wrt"
            )
        if not dtypes.is_float(t.dtype):
            raise GraphError(
                f"{t.describe()} is not of a float type, so it has no gradient"
            )
        if id(t) not in reached:
            names = ", ".join(o.describe() for o in outputs)
            raise GraphError(
                f"{t.describe()} is not reached from {names}: nothing computed there "
                "depends on it; leave it out of wrt"
            )


def jvp(outputs: Any, wrt: Any, tangents: Any) -> Any:
    """Return the tangents of ``outputs``, given those of ``wrt``."""
    results = flatten(outputs)
    targets = flatten(wrt)
    check_wrt(targets, results)
    known: dict[Tensor, Tensor] = {}
    for t, v in zip(targets, flatten(tangents), strict=True):
        v = v if isinstance(v, Tensor) else constant(v, t.dtype)
        known[t] = broadcast_to(v, t.shape)
    return unflatten(outputs, forward(results, known))


def forward(outputs: Sequence[Tensor], tangents: Mapping[Tensor, Tensor]) -> list:
    """Accumulate tangents from the keys of ``tangents`` forward to ``outputs``."""
    return [
        broadcast_to(constant(0.0, t.dtype), t.shape) if v is None else v
        for t, v in zip(outputs, _tangents(outputs, tangents), strict=True)
    ]


def _tangents(
    outputs: Sequence[Tensor], tangents: Mapping[Tensor, Tensor]
) -> list[Tensor | None]:
    """Accumulate tangents; None is that of an output that has none."""
    known: dict[Tensor, Tensor | None] = dict(tangents)
    order = topological(outputs)
    together = siblings(order)
    for node in order:
        if node in known:
            continue
        parts = [known[a] for a in node.args]
        with exact_scope(node.scope):
            if not any(p is not None for p in parts):
                known[node] = None
            elif isinstance(node.op, Scan):
                results = together[sibling_key(node)]
                found = loops.jvp(results, parts, _tangents)
                known |= {t: found.get(t) for t in results if t not in tangents}
            else:
                known[node] = local.jvp(node, parts)
    return [known[t] for t in outputs]

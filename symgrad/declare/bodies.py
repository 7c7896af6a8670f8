"""Bodies of loops: cut out of a graph, closed, and made into nodes of a loop."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from symgrad.declare.build import apply, broadcast_to, movement
from symgrad.declare.comprehension import Comprehension, Index, affine, along
from symgrad.declare.dims import Size
from symgrad.declare.loop import Final, Formal, Loop, Scan, Stacked, States
from symgrad.declare.tensor import (
    Constant,
    Reshape,
    SizeOf,
    Tensor,
    exact_scope,
    make,
    topological,
)


def substitute(
    outputs: Sequence[Tensor], replacements: Mapping[Tensor, Tensor]
) -> list[Tensor]:
    """Return the outputs with nodes replaced by others of their shape and type."""
    found = dict(replacements)
    for node in topological(outputs):
        if node not in found and any(found.get(a, a) is not a for a in node.args):
            args = [found.get(a, a) for a in node.args]
            with exact_scope(node.scope):
                found[node] = with_args(node, args)
    return [found.get(t, t) for t in outputs]


def with_args(node: Tensor, args: Sequence[Tensor]) -> Tensor:
    """Return a node of the same operation and shape over other operands."""
    if isinstance(node.op, Comprehension):  # two operands may have become one
        return apply(node.op, args, node.dtype)
    return make(node.op, args, node.shape, node.dtype)


def formal(number: int, like: Tensor) -> Tensor:
    """Return argument ``number`` of a body, of the shape and type of a tensor.

    It is in no scope, as all bodies share it.
    """
    with exact_scope(""):
        return make(Formal(number), (), like.shape, like.dtype)


def number_of(formal: Tensor) -> int:
    """Return which argument of a body a formal is."""
    assert isinstance(formal.op, Formal)
    return formal.op.number


@dataclass(frozen=True)
class Body:
    """A closed graph.

    Attributes:
        values: over the formals.
        formals: one for each node that was cut, then one for each operand.
        operands: the tensors of the outer graph that the values are computed from.
    """

    values: list[Tensor]
    formals: list[Tensor]
    operands: list[Tensor]


def closed(values: Sequence[Tensor], cut: Sequence[Tensor]) -> Body:
    """Return graphs with formals in the place of ``cut`` and of all outer tensors.

    What depends on nothing that is cut is an operand, computed once; movements of it
    stay in the body, as they cost nothing there, and constants too.

    >>> from symgrad.declare.tensor import input
    >>> x, w = input("x", (3,)), input("w", (3,))
    >>> closed([x * (w + w)], [x]).operands
    [<Tensor 'add' float32[3]>]
    """
    order = _down_to(values, cut)
    inside = dependents(order, cut)
    own = dependents(order, [t for t in order if _varies(t)])
    operands: dict[Tensor, None] = {}
    given = set(cut)
    pending = [t for t in values if t not in inside]
    pending += [a for t in order if t in inside - given for a in t.args]
    seen: set[Tensor] = set()
    while pending:
        t = pending.pop(0)
        if t in inside or t in seen or t not in own:
            continue
        seen.add(t)
        if _moves(t):
            pending = [*t.args, *pending]
        else:
            operands[t] = None
    actual = [*cut, *operands]
    formals = [formal(n, t) for n, t in enumerate(actual)]
    swap = dict(zip(reversed(actual), reversed(formals), strict=True))
    return Body(substitute(values, swap), formals, list(operands))


def _down_to(values: Sequence[Tensor], cut: Sequence[Tensor]) -> list[Tensor]:
    """Return the nodes from which values are computed, given those that are cut."""
    given = set(cut)
    needed = set(values)
    for t in reversed(topological(values)):
        if t in needed and t not in given:
            needed.update(t.args)
    return [t for t in topological(values) if t in needed]


def _varies(t: Tensor) -> bool:
    """Return True for a leaf whose value the graph does not know."""
    return not t.args and not isinstance(t.op, Constant | SizeOf | Comprehension)


def _moves(t: Tensor) -> bool:
    if isinstance(t.op, Reshape):
        return True
    return isinstance(t.op, Comprehension) and t.op.is_movement


def dependents(order: Iterable[Tensor], sources: Iterable[Tensor]) -> set[Tensor]:
    """Return the sources and all nodes of ``order`` that depend on them."""
    found = set(sources)
    for t in order:
        if t not in found and any(a in found for a in t.args):
            found.add(t)
    return found


def reached_formals(
    loop: Loop, sources: Iterable[Tensor], counts: Callable[[Tensor], bool]
) -> set[Tensor]:
    """Return the sources, and the carries that depend on them after any steps.

    Args:
        loop: the loop.
        sources: formals of its body.
        counts: whether a carry may be added.
    """
    found = set(sources)
    order = topological(loop.updates)
    while True:
        reached = dependents(order, found)
        pairs = zip(loop.carries, loop.updates, strict=True)
        more = {c for c, u in pairs if u in reached and counts(c)}
        if more <= found:
            return found
        found |= more


# -- the results of a loop -----------------------------------------------------------


def final(loop: Loop, args: Sequence[Tensor], number: int) -> Tensor:
    """Return a carry after the last step."""
    carry = loop.formals[number]
    if loop.updates[number] is carry or loop.length == 0:
        return args[number]
    return make(Final(loop, number), args, carry.shape, carry.dtype)


def states(loop: Loop, args: Sequence[Tensor], number: int) -> Tensor:
    """Return a carry before the first step and after each, ``length + 1`` of it."""
    carry = loop.formals[number]
    shape = (loop.length + 1, *carry.shape)
    if loop.updates[number] is carry:
        return broadcast_to(args[number], shape)
    return make(States(loop, number), args, shape, carry.dtype)


def before(loop: Loop, args: Sequence[Tensor], number: int) -> Tensor:
    """Return a carry before each step."""
    return part(states(loop, args, number), int(loop.reverse), loop.length)


def after(loop: Loop, args: Sequence[Tensor], number: int) -> Tensor:
    """Return a carry after each step."""
    return part(states(loop, args, number), int(not loop.reverse), loop.length)


def part(t: Tensor, start: Size, length: Size) -> Tensor:
    """Return ``t[start : start + length]``."""
    index = [affine([(0, 1)], start), *(along(d) for d in range(1, t.ndim))]
    return movement("slice", t, (length, *t.shape[1:]), index)


def element(t: Tensor, place: Size) -> Tensor:
    """Return ``t[place]``."""
    index = [Index((), place), *(along(d) for d in range(t.ndim - 1))]
    return movement("slice", t, t.shape[1:], index)


def stacked(loop: Loop, args: Sequence[Tensor], value: Tensor) -> Tensor:
    """Return a value of the body at each step.

    What is an argument of the loop, a carry or constant has memory already.
    """
    shape = (loop.length, *value.shape)
    for number, update in enumerate(loop.updates):
        if value is loop.formals[number]:
            return before(loop, args, number)
        if value is update:
            return after(loop, args, number)
    if value in set(loop.elements):
        return args[number_of(value)]
    if value in set(loop.operands):
        return broadcast_to(args[number_of(value)], shape)
    if not any(isinstance(t.op, Formal) for t in topological([value])):
        return broadcast_to(value, shape)
    return make(Stacked(loop, value), args, shape, value.dtype)


def siblings(order: Iterable[Tensor]) -> dict[tuple, list[Tensor]]:
    """Return the results of each loop on the same operands, by ``sibling_key``."""
    found: dict[tuple, list[Tensor]] = {}
    for t in order:
        if isinstance(t.op, Scan):
            found.setdefault(sibling_key(t), []).append(t)
    return found


def grouped(
    outputs: Sequence[Tensor], known: Container[Tensor] = ()
) -> list[list[Tensor]]:
    """Return the nodes of a graph, operands first; siblings are one entry.

    Args:
        outputs: what the graph is for.
        known: nodes that are left out.
    """
    order = [t for t in topological(outputs) if t not in known]
    together = siblings(order)
    groups = [together.get(sibling_key(t), [t]) for t in order]
    return [g for g, t in zip(groups, order, strict=True) if g[0] is t]


def sibling_key(t: Tensor) -> tuple:
    """Return what the results of one loop on the same operands have in common."""
    if not isinstance(t.op, Scan):
        return ()
    return t.op.loop, tuple(map(id, t.args))


def demanded(results: Sequence[Tensor]) -> list[Tensor]:
    """Return the values of the body that the results of one loop need at each step."""
    loop: Loop = results[0].op.loop  # type: ignore[union-attr]
    found = [t.op.value for t in results if isinstance(t.op, Stacked)]
    live = {t.op.number for t in results if isinstance(t.op, Final | States)}
    while True:
        values = [*found, *(loop.updates[n] for n in sorted(live))]
        reached = set(topological(values))
        more = {n for n, c in enumerate(loop.carries) if c in reached} - live
        if not more:
            return values
        live |= more


def needed(results: Sequence[Tensor]) -> list[Tensor]:
    """Return the formals, in order, without which the results of one loop are not."""
    loop: Loop = results[0].op.loop  # type: ignore[union-attr]
    used = set(topological(demanded(results)))
    used |= {
        loop.formals[t.op.number] for t in results if isinstance(t.op, Final | States)
    }
    return [f for f in loop.formals if f in used]

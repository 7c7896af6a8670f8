"""The loops of a graph as JSON: each step is a list of nodes over its formals.

A file has every loop once, however many results of it there are, and a loop in a step
before the one around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from symgrad.declare.loop import Formal, Loop, Scan, Stacked, loop
from symgrad.declare.tensor import Input, Param, Tensor, print_shape, topological
from symgrad.errors import FormatError, SymgradError
from symgrad.serialize.nodes import node, read_nodes, write_nodes
from symgrad.serialize.operations import Contents
from symgrad.serialize.values import integer, items, read_size, write_size


def write_loops(nodes: Sequence[Tensor], contents: Contents) -> list[dict[str, Any]]:
    """Return the loops of nodes, and those in their steps, as JSON.

    They are put into ``contents``, under whose numbers nodes refer to them.
    """
    steps = _steps(nodes)
    found: list[dict[str, Any]] = []

    def visit(of: Loop) -> None:
        if of in contents.loops:
            return
        for inner in _loops(steps[of]):
            visit(inner)
        contents.loops[of] = steps[of]
        found.append(_write(of, steps[of], contents))

    for of in _loops(nodes):
        visit(of)
    return found


def _loops(nodes: Iterable[Tensor]) -> list[Loop]:
    return list(dict.fromkeys(t.op.loop for t in nodes if isinstance(t.op, Scan)))


def _steps(nodes: Sequence[Tensor]) -> dict[Loop, list[Tensor]]:
    """Return the nodes of each loop's step: those of updates and of stacked values."""
    values: dict[Loop, dict[Tensor, None]] = {}
    pending, seen = list(nodes), set(nodes)
    while pending:
        t = pending.pop()
        more = list(t.args)
        if isinstance(t.op, Scan):
            asked = values.setdefault(t.op.loop, {})
            more += [*t.op.loop.formals, *t.op.loop.updates]
            if isinstance(t.op, Stacked):
                asked[t.op.value] = None
                more.append(t.op.value)
        more = [a for a in dict.fromkeys(more) if a not in seen]
        seen.update(more)
        pending += more
    return {
        of: topological([*of.formals, *of.updates, *asked])
        for of, asked in values.items()
    }


def _write(of: Loop, nodes: Sequence[Tensor], contents: Contents) -> dict[str, Any]:
    number = {t: n for n, t in enumerate(nodes)}
    return {
        "length": write_size(of.length),
        "nodes": write_nodes(nodes, contents),
        "formals": [number[f] for f in of.formals],
        "updates": [number[u] for u in of.updates],
        "sequences": of.sequences,
        "reverse": of.reverse,
        "recompute": of.recompute,
    }


def read_loops(data: Any, contents: Contents) -> None:
    """Put the loops that JSON says into ``contents``.

    Raises:
        FormatError: the JSON is not as ``write_loops`` makes it; the message has the
            number of the loop.
    """
    for fields in items(data, "'loops'"):
        number = len(contents.loops)
        try:
            of, nodes = _read(fields, contents)
        except SymgradError as error:
            raise FormatError(f"loop {number}: {error}") from error
        if of in contents.loops:
            raise FormatError(f"loop {number} is there twice")
        contents.loops[of] = nodes


def _read(data: Any, contents: Contents) -> tuple[Loop, list[Tensor]]:
    if not isinstance(data, dict):
        raise FormatError("it is no JSON object")
    nodes = read_nodes(data.get("nodes"), contents)
    formals = [node(n, nodes) for n in items(data.get("formals"), "'formals'")]
    updates = [node(n, nodes) for n in items(data.get("updates"), "'updates'")]
    sequences = integer(data.get("sequences"), "'sequences'", 0)
    _check(nodes, formals, updates, sequences)
    flags = [data.get(name) for name in ("reverse", "recompute")]
    if not all(type(flag) is bool for flag in flags):
        raise FormatError("'reverse' and 'recompute' are true or false")
    length = read_size(data.get("length"))
    return loop(length, formals, updates, sequences, *flags), nodes  # type: ignore[arg-type]


def _check(
    nodes: Sequence[Tensor],
    formals: Sequence[Tensor],
    updates: Sequence[Tensor],
    sequences: int,
) -> None:
    """Raise FormatError unless these are the parts of a loop."""
    if [t.op for t in formals] != [Formal(n) for n in range(len(formals))]:
        raise FormatError("its formals are not those of its arguments in order")
    if len(updates) + sequences > len(formals):
        raise FormatError(
            f"{len(updates)} carries and {sequences} sequences, but "
            f"{len(formals)} formals"
        )
    for t in nodes:
        if isinstance(t.op, Input | Param) or (
            isinstance(t.op, Formal) and t not in set(formals)
        ):
            raise FormatError(f"{t.describe()} is no argument of the step")
    for f, u in zip(formals, updates, strict=False):
        if (f.shape, f.dtype) != (u.shape, u.dtype):
            raise FormatError(
                f"a carry {f.dtype}{print_shape(f.shape)} becomes "
                f"{u.dtype}{print_shape(u.shape)}"
            )

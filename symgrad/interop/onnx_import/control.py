"""Branches, loops and sequences whose extents are known at import."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from symgrad.declare.ops import FUNCTIONS as SG
from symgrad.errors import GraphError
from symgrad.interop.onnx_import.nodes import Node, operator
from symgrad.interop.onnx_import.values import Value, computed, known
from symgrad.transforms.scan import scan as sg_scan

#: Loops are unrolled up to so many steps.
MOST_STEPS = 1000
#: Scans are, where it takes no more steps; shapes computed in a step are then known.
MOST_UNROLLED = 16


@operator("If")
def branch(n: Node) -> tuple[Any, ...]:
    """The branch that a known condition takes."""
    body = n.attr("then_branch" if n.scalar(0) else "else_branch")
    return tuple(n.graph(body, []))


@operator("Loop")
def loop(n: Node) -> tuple[Any, ...]:
    """Unrolled; the condition has to be known in each step."""
    body = n.attr("body")
    most = int(n.scalar(0)) if n.has(0) else None
    going = bool(n.scalar(1)) if n.has(1) else True
    state, rows, step = list(n.inputs[2:]), [], 0
    while going and (most is None or step < most):
        if step >= MOST_STEPS:
            raise GraphError(f"{n}: a loop of more than {MOST_STEPS} steps")
        begin = [known(np.array(step)), known(np.array(True))]
        test, *results = n.graph(body, [*begin, *state])
        if test.array is None:
            raise GraphError(f"{n}: its condition is not known at import")
        going = bool(test.array)
        state, row = results[: len(state)], results[len(state) :]
        rows.append(row)
        step += 1
    if not rows and len(n.outputs) > len(state):
        raise GraphError(f"{n}: a loop without steps has no results to join")
    joined = [_stacked(column, 0) for column in zip(*rows, strict=True)]
    return (*state, *joined)


@operator("Scan")
def scan(n: Node) -> tuple[Any, ...]:
    """Unrolled along the scanned axes where they are short, else a loop."""
    if n.version < 9:
        raise GraphError(f"{n}: before version 9 it is not supported")
    count = n.attr("num_scan_inputs")
    states, given = list(n.inputs[:-count]), n.inputs[-count:]
    axes = n.attr("scan_input_axes", [0] * count)
    turned = n.attr("scan_input_directions", [0] * count)
    sequences = [
        _flipped(SG["moveaxis"](v.tensor, axis, 0), back)
        for v, axis, back in zip(given, axes, turned, strict=True)
    ]
    steps = sequences[0].shape[0]
    short = isinstance(steps, int) and steps <= MOST_UNROLLED
    states, columns = (_unrolled if short else _looped)(n, states, given, sequences)
    axes = n.attr("scan_output_axes", [0] * len(columns))
    turned = n.attr("scan_output_directions", [0] * len(columns))
    joined = [
        computed(SG["moveaxis"](_flipped(v.tensor, back), 0, axis), v.kind)
        for v, axis, back in zip(columns, axes, turned, strict=True)
    ]
    return (*states, *joined)


def _flipped(t: Any, back: int) -> Any:
    return SG["flip"](t, axis=0) if back else t


def _unrolled(
    n: Node, states: list[Value], given: Sequence[Value], sequences: Sequence[Any]
) -> tuple[list[Value], list[Value]]:
    """Return the last states, and the results of all steps."""
    rows = []
    for step in range(sequences[0].shape[0]):
        parts = [
            computed(t[step], v.kind) for t, v in zip(sequences, given, strict=True)
        ]
        results = n.graph(n.attr("body"), [*states, *parts])
        states, row = results[: len(states)], results[len(states) :]
        rows.append(row)
    return states, [_stacked(column, 0) for column in zip(*rows, strict=True)]


def _looped(
    n: Node, states: list[Value], given: Sequence[Value], sequences: Sequence[Any]
) -> tuple[list[Value], list[Value]]:
    """Return what ``_unrolled`` does, by one loop however long it is."""
    kinds: list[str] = []

    def step(carry: Any, elements: Any) -> tuple[Any, Any]:
        pairs = zip([*carry, *elements], [*states, *given], strict=True)
        results = n.graph(n.attr("body"), [computed(t, v.kind) for t, v in pairs])
        kinds[:] = [v.kind for v in results]
        tensors = [v.tensor for v in results]
        return tensors[: len(states)], tensors[len(states) :]

    last, stacks = sg_scan(step, [v.tensor for v in states], list(sequences))
    found = [computed(t, k) for t, k in zip([*last, *stacks], kinds, strict=True)]
    return found[: len(states)], found[len(states) :]


def _stacked(column: Any, axis: int) -> Value:
    """Return the results of all steps as one tensor."""
    if all(v.array is not None and v.node is None for v in column):
        return known(np.stack([v.array for v in column], axis))
    tensors = [v.tensor for v in column]
    return computed(SG["stack"](tensors, axis=axis), column[0].kind)


# -- sequences -------------------------------------------------------------------------


@operator("SequenceEmpty")
def sequence_empty(n: Node) -> tuple[list[Value]]:
    """No values."""
    return ([],)


@operator("SequenceConstruct")
def sequence_construct(n: Node) -> tuple[list[Value]]:
    """The operands."""
    return (list(n.inputs),)


def _sequence(n: Node) -> list[Value]:
    if not isinstance(n.inputs[0], list):
        raise GraphError(f"{n}: its operand is not a sequence known at import")
    return n.inputs[0]


@operator("SequenceInsert")
def sequence_insert(n: Node) -> tuple[list[Value]]:
    """At the end by default."""
    found = list(_sequence(n))
    place = int(n.scalar(2)) if n.has(2) else len(found)
    found.insert(place + len(found) if place < 0 else place, n.value(1))
    return (found,)


@operator("SequenceErase")
def sequence_erase(n: Node) -> tuple[list[Value]]:
    """The last by default."""
    found = list(_sequence(n))
    del found[int(n.scalar(1)) if n.has(1) else -1]
    return (found,)


@operator("SequenceAt")
def sequence_at(n: Node) -> Value:
    """One value."""
    return _sequence(n)[int(n.scalar(1))]


@operator("SequenceLength")
def sequence_length(n: Node) -> np.ndarray:
    """How many values."""
    return np.array(len(_sequence(n)))


@operator("SplitToSequence")
def split_to_sequence(n: Node) -> tuple[list[Value]]:
    """Parts along an axis, without it if ``keepdims`` is 0."""
    from symgrad.interop.onnx_import.shape import cut

    x, axis = n.t(0), n.axis()
    extent = n.fixed(x, axis)
    size = n.array(1) if n.has(1) else np.array(1)
    if size.ndim:
        sizes = [int(s) for s in size]
    else:
        step = int(size)
        sizes = [min(step, extent - k) for k in range(0, extent, step)]
    parts = cut(x, axis, sizes)
    if not n.has(1) and not n.attr("keepdims", 1):
        parts = [SG["squeeze"](p, axis=axis) for p in parts]
    return ([computed(p, n.value(0).kind) for p in parts],)


@operator("ConcatFromSequence")
def concat_from_sequence(n: Node) -> Any:
    """Joined along an axis, an old or a new one."""
    tensors = [v.tensor for v in _sequence(n)]
    name = "stack" if n.attr("new_axis", 0) else "concat"
    return SG[name](tensors, axis=n.attr("axis"))

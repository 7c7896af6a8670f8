"""Branches, loops and sequences whose extents are known at import."""

from __future__ import annotations

from typing import Any

import numpy as np

from symgrad.declare.ops import FUNCTIONS as SG
from symgrad.errors import GraphError
from symgrad.interop.onnx_import.nodes import Node, operator
from symgrad.interop.onnx_import.values import Value, computed, known

#: Loops are unrolled up to so many steps.
MOST_STEPS = 1000


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
    """Unrolled along the scanned axes."""
    if n.version < 9:
        raise GraphError(f"{n}: before version 9 it is not supported")
    body, count = n.attr("body"), n.attr("num_scan_inputs")
    states, given = list(n.inputs[:-count]), n.inputs[-count:]
    axes = n.attr("scan_input_axes", [0] * count)
    turned = n.attr("scan_input_directions", [0] * count)
    steps = n.fixed(given[0].tensor, axes[0])
    rows = []
    for step in range(steps):
        parts = []
        for value, axis, back in zip(given, axes, turned, strict=True):
            place = steps - 1 - step if back else step
            part = SG["take"](value.tensor, place, axis=axis)
            parts.append(computed(part, value.kind))
        results = n.graph(body, [*states, *parts])
        states, row = results[: len(states)], results[len(states) :]
        rows.append(row)
    outs = len(n.outputs) - len(states)
    axes = n.attr("scan_output_axes", [0] * outs)
    turned = n.attr("scan_output_directions", [0] * outs)
    joined = [
        _stacked(column[::-1] if back else column, axis)
        for column, axis, back in zip(
            zip(*rows, strict=True), axes, turned, strict=True
        )
    ]
    return (*states, *joined)


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

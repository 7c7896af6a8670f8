"""Graphs as nodes of ONNX; a loop is ``Scan``, its step a graph of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from symgrad.declare.bodies import grouped, needed, number_of
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.loop import Loop, Scan, Stacked, States
from symgrad.declare.tensor import (
    Constant,
    Param,
    Reshape,
    SizeOf,
    Tensor,
)
from symgrad.errors import GraphError
from symgrad.interop.onnx_export.builder import TYPES, Builder
from symgrad.interop.onnx_export.statements import Statement

Arrays = Mapping[str, Any]


def add_graph(
    b: Builder, outputs: Sequence[Tensor], known: dict[Tensor, str], arrays: Arrays
) -> list[str]:
    """Return the values of tensors.

    Args:
        b: takes the nodes.
        outputs: the tensors.
        known: tensors whose values are there; others are added.
        arrays: those of parameters, by name.
    """
    for group in grouped(outputs, known):
        t = group[0]
        b.scope = t.scope
        args = [known[a] for a in t.args]
        if isinstance(t.op, Scan):
            known.update(zip(group, _add_loop(b, group, args), strict=True))
        else:
            known[t] = _node(b, t, args, arrays)
    b.scope = ""
    return [known[t] for t in outputs]


def info(b: Builder, name: str, t: Tensor) -> Any:
    """Return the name, type and shape of a graph's input or output."""
    kind = b.onnx.TensorProto.DataType.Value(TYPES[t.dtype])
    shape = [s if isinstance(s, int) else str(s) for s in t.shape]
    return b.onnx.helper.make_tensor_value_info(name, kind, shape)


def _node(b: Builder, t: Tensor, args: list[str], arrays: Arrays) -> str:
    op = t.op
    if isinstance(op, Constant):
        return b.constant(op.value, t.dtype)
    if isinstance(op, Param):
        if op.name not in arrays:
            raise GraphError(f"the array of {t.describe()} is missing in params=")
        array = np.asarray(arrays[op.name], t.dtype)
        if array.shape != t.shape:
            raise GraphError(f"{t.describe()} is given an array of shape {array.shape}")
        return b.initializer(op.name, array)
    if isinstance(op, SizeOf):
        size = b.size(op.dim)
        return size if t.dtype == "int64" else b.cast(size, t.dtype)
    if isinstance(op, Reshape):
        return b.add("Reshape", args[0], b.shape(op.shape), allowzero=1)
    if not isinstance(op, Comprehension):
        raise GraphError(f"{t.describe()} cannot be exported: ONNX has nothing for it")
    try:
        return Statement(b, t, args).result()
    except GraphError as error:
        raise GraphError(f"{t.describe()} cannot be exported: {error}") from error


# -- loops -----------------------------------------------------------------------------


def _add_loop(b: Builder, results: Sequence[Tensor], args: Sequence[str]) -> list[str]:
    """Return the values of the results of one loop."""
    loop: Loop = results[0].op.loop  # type: ignore[union-attr]
    formals = needed(results)
    given = {f: args[number_of(f)] for f in formals}
    carries = [f for f in formals if f in set(loop.carries)]
    elements = [f for f in formals if f in set(loop.elements)]
    every = [given[f] for f in elements] or [_counter(b, loop)]
    states = [t for t in results if isinstance(t.op, States)]
    stacks = [t for t in results if isinstance(t.op, Stacked)]
    values: list[Tensor] = [t.op.value for t in stacks]  # type: ignore
    values += [loop.updates[t.op.number] for t in states]  # type: ignore[union-attr]
    directions = {}  # ONNX's default is forward
    if loop.reverse:
        directions["scan_input_directions"] = [1] * len(every)
    if loop.reverse and values:
        directions["scan_output_directions"] = [1] * len(values)
    made = b.add_many(
        "Scan",
        [*(given[f] for f in carries), *every],
        len(carries) + len(values),
        body=_body(b, loop, carries, elements, values, given),
        num_scan_inputs=len(every),
        **directions,
    )
    last = dict(zip(map(number_of, carries), made, strict=False))
    stacked = dict(zip([*stacks, *states], made[len(carries) :], strict=True))
    front = b.constant([0], "int64")
    found = []
    for t in results:
        if isinstance(t.op, States):
            start = b.add("Unsqueeze", given[loop.formals[t.op.number]], front)
            parts = [start, stacked[t]]
            value = b.add("Concat", *(parts[::-1] if loop.reverse else parts), axis=0)
        else:
            value = stacked[t] if t in stacked else last[t.op.number]  # type: ignore[union-attr]
        found.append(value)
    return found


def _counter(b: Builder, loop: Loop) -> str:
    """Return a sequence for a loop that has none: ONNX takes the length from one."""
    zero, one = b.constant(0, "int64"), b.constant(1, "int64")
    return b.add("Range", zero, b.size(loop.length), one)


def _body(
    b: Builder,
    loop: Loop,
    carries: Sequence[Tensor],
    elements: Sequence[Tensor],
    values: Sequence[Tensor],
    given: Mapping[Tensor, str],
) -> Any:
    """Return the graph of a step; what is the same in every step is read from around.

    Its outputs have values of their own, as ONNX demands.
    """
    inner, helper = b.inside(), b.onnx.helper
    moving = [*carries, *elements]
    names = {f: inner.name("step") for f in moving}
    inputs = [info(b, names[f], f) for f in moving]
    if not elements:
        kind = b.onnx.TensorProto.INT64
        inputs.append(helper.make_tensor_value_info(inner.name("step"), kind, []))
    updates = [loop.updates[number_of(f)] for f in carries]
    outputs = [*updates, *values]
    found = add_graph(inner, outputs, {**given, **names}, {})
    results = []
    for t, value in zip(outputs, found, strict=True):
        name = inner.name("result")
        inner.nodes.append(helper.make_node("Identity", [value], [name], name))
        results.append(info(b, name, t))
    return helper.make_graph(inner.nodes, inner.name("body"), inputs, results)

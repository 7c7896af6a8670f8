"""Whole declarations as files: what a program computes, from which inputs.

The file is one safetensors archive; its metadata hold the graph as JSON, a list of
nodes in which operands come before their users, so that a cycle cannot be written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from symgrad.declare import dtypes
from symgrad.declare.tensor import Param, Tensor, exact_scope, topological
from symgrad.errors import FormatError, GraphError, SymgradError
from symgrad.serialize.container import Kind
from symgrad.serialize.operations import (
    Arrays,
    Record,
    read_operation,
    write_operation,
)
from symgrad.serialize.values import integer, items, text, write_size

FILE = Kind("symgrad program", 1, "a program that program.save")


@dataclass(frozen=True)
class Declaration:
    """What ``sg.compile`` was given: all that a program can be made of again."""

    inputs: list[Tensor]
    outputs: Any
    updates: Mapping[Tensor, Tensor] = field(default_factory=dict)
    nan_check: bool = False


def save(declaration: Declaration, path: Any) -> None:
    """Write a declaration to a file, replacing it in one step.

    Raises:
        FormatError: the file cannot be written.
        GraphError: the outputs are in a structure that a file cannot say.
    """
    arrays = Arrays()
    graph = write(declaration, arrays)
    FILE.write(path, arrays.found, {"graph": json.dumps(graph, allow_nan=False)})


def load(path: Any) -> Declaration:
    """Return the declaration that a file holds; its leaves are new ones.

    Raises:
        FormatError: it cannot be read, or is not a program's; the message names the
            file, the node in it and what is wrong.
    """
    arrays, texts = FILE.read(path)
    try:
        data = json.loads(texts["graph"])
        return read(data, Arrays(arrays))
    except KeyError as error:
        raise FormatError(f"{path} is damaged: it has no {error}") from error
    except RecursionError:
        raise FormatError(f"{path} is damaged: it is nested too deeply") from None
    except SymgradError as error:
        raise FormatError(f"{path} is damaged: {error}") from error
    except ValueError as error:
        raise FormatError(
            f"{path} is damaged: its graph is no JSON: {error}"
        ) from error


# -- writing ---------------------------------------------------------------------------


def write(declaration: Declaration, arrays: Arrays) -> dict[str, Any]:
    """Return a declaration as JSON, its arrays put into ``arrays``."""
    pairs = list(declaration.updates.items())
    given = [*declaration.inputs, *_leaves(declaration.outputs)]
    given += [t for pair in pairs for t in pair]
    nodes = topological(given)
    number = {t: n for n, t in enumerate(nodes)}
    return {
        "nodes": [_write_node(t, number, arrays) for t in nodes],
        "inputs": [number[t] for t in declaration.inputs],
        "outputs": _write_structure(declaration.outputs, number),
        "updates": [[number[p], number[value]] for p, value in pairs],
        "nan_check": declaration.nan_check,
    }


def _write_node(
    t: Tensor, number: Mapping[Tensor, int], arrays: Arrays
) -> dict[str, Any]:
    fields = write_operation(t.op, arrays)
    fields |= {"dtype": t.dtype, "shape": [write_size(s) for s in t.shape]}
    if t.args:
        fields["args"] = [number[a] for a in t.args]
    if t.scope:
        fields["scope"] = t.scope
    return fields


def _leaves(structure: Any) -> list[Tensor]:
    if isinstance(structure, Mapping):
        return [t for part in structure.values() for t in _leaves(part)]
    if isinstance(structure, list | tuple):
        return [t for part in structure for t in _leaves(part)]
    return [structure]


def _write_structure(structure: Any, number: Mapping[Tensor, int]) -> Any:
    if isinstance(structure, Mapping):
        for key in structure:
            if not isinstance(key, str | int):
                raise GraphError(
                    f"outputs are saved under names or integers, not under {key!r}"
                )
        parts = [[k, _write_structure(v, number)] for k, v in structure.items()]
        return {"dict": parts}
    if isinstance(structure, list | tuple):
        kind = "list" if isinstance(structure, list) else "tuple"
        return {kind: [_write_structure(part, number) for part in structure]}
    return number[structure]


# -- reading ---------------------------------------------------------------------------


def read(data: Any, arrays: Arrays) -> Declaration:
    """Return the declaration that JSON says.

    Raises:
        FormatError: the JSON is not as ``write`` makes it.
    """
    if not isinstance(data, dict):
        raise FormatError("its graph is no JSON object")
    nodes: list[Tensor] = []
    for fields in items(data.get("nodes"), "'nodes'"):
        try:
            nodes.append(_read_node(fields, nodes, arrays))
        except SymgradError as error:
            raise FormatError(f"node {len(nodes)}: {error}") from error
    inputs = [_node(n, nodes) for n in items(data.get("inputs"), "'inputs'")]
    updates: dict[Tensor, Tensor] = {}
    for pair in items(data.get("updates"), "'updates'"):
        parameter, value = (_node(n, nodes) for n in _pair(pair, "an update"))
        if not isinstance(parameter.op, Param) or parameter in updates:
            raise FormatError(f"{parameter.describe()} is updated, or updated twice")
        updates[parameter] = value
    outputs = _read_structure(data.get("outputs"), nodes)
    return Declaration(inputs, outputs, updates, data.get("nan_check") is True)


def _read_node(data: Any, nodes: Sequence[Tensor], arrays: Arrays) -> Tensor:
    if not isinstance(data, dict):
        raise FormatError("it is no JSON object")
    args = [_node(n, nodes) for n in items(data.get("args", []), "'args'")]
    dtype = dtypes.canonical(text(data.get("dtype"), "'dtype'"))
    with exact_scope(text(data.get("scope", ""), "'scope'")):
        return read_operation(Record(data, args, dtype, arrays))


def _node(data: Any, nodes: Sequence[Tensor]) -> Tensor:
    if integer(data, "a node", 0) >= len(nodes):
        raise FormatError(f"there is no node {data} before its use")
    return nodes[data]


def _pair(data: Any, what: str) -> list:
    if len(items(data, what)) != 2:
        raise FormatError(f"{what} is a pair, not {len(data)} things")
    return data


def _read_structure(data: Any, nodes: Sequence[Tensor]) -> Any:
    if isinstance(data, int):
        return _node(data, nodes)
    if isinstance(data, dict) and len(data) == 1:
        ((kind, parts),) = data.items()
        parts = items(parts, "the structure of the outputs")
        if kind == "dict":
            pairs = [_pair(part, "an entry of the outputs") for part in parts]
            if all(isinstance(key, str | int) for key, _ in pairs):
                return {key: _read_structure(part, nodes) for key, part in pairs}
        if kind in ("list", "tuple"):
            found = [_read_structure(part, nodes) for part in parts]
            return found if kind == "list" else tuple(found)
    raise FormatError("the structure of the outputs is of lists, tuples and dicts")

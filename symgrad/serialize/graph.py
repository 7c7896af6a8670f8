"""Whole declarations as files: what a program computes, from which inputs.

The file is one safetensors archive; its metadata hold the graph as JSON, a list of
nodes in which operands come before their users, so that a cycle cannot be written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from symgrad.declare.loop import Formal
from symgrad.declare.tensor import Param, Tensor, topological
from symgrad.errors import FormatError, GraphError, SymgradError
from symgrad.serialize.container import Kind
from symgrad.serialize.loops import read_loops, write_loops
from symgrad.serialize.nodes import node, read_nodes, write_nodes
from symgrad.serialize.operations import Contents
from symgrad.serialize.values import items

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
    contents = Contents()
    graph = write(declaration, contents)
    FILE.write(path, contents.arrays, {"graph": json.dumps(graph, allow_nan=False)})


def load(path: Any) -> Declaration:
    """Return the declaration that a file holds; its leaves are new ones.

    Raises:
        FormatError: it cannot be read, or is not a program's; the message names the
            file, the node in it and what is wrong.
    """
    arrays, texts = FILE.read(path)
    try:
        data = json.loads(texts["graph"])
        return read(data, Contents(arrays))
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


def write(declaration: Declaration, contents: Contents) -> dict[str, Any]:
    """Return a declaration as JSON, its arrays and loops put into ``contents``."""
    pairs = list(declaration.updates.items())
    given = [*declaration.inputs, *_leaves(declaration.outputs)]
    given += [t for pair in pairs for t in pair]
    nodes = topological(given)
    number = {t: n for n, t in enumerate(nodes)}
    loops = write_loops(nodes, contents)
    return {
        **({"loops": loops} if loops else {}),
        "nodes": write_nodes(nodes, contents),
        "inputs": [number[t] for t in declaration.inputs],
        "outputs": _write_structure(declaration.outputs, number),
        "updates": [[number[p], number[value]] for p, value in pairs],
        "nan_check": declaration.nan_check,
    }


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


def read(data: Any, contents: Contents) -> Declaration:
    """Return the declaration that JSON says.

    Raises:
        FormatError: the JSON is not as ``write`` makes it.
    """
    if not isinstance(data, dict):
        raise FormatError("its graph is no JSON object")
    read_loops(data.get("loops", []), contents)
    nodes = read_nodes(data.get("nodes"), contents)
    for t in nodes:
        if isinstance(t.op, Formal):
            raise FormatError(f"{t.describe()} is an argument of no loop")
    inputs = [node(n, nodes) for n in items(data.get("inputs"), "'inputs'")]
    updates: dict[Tensor, Tensor] = {}
    for pair in items(data.get("updates"), "'updates'"):
        parameter, value = (node(n, nodes) for n in _pair(pair, "an update"))
        if not isinstance(parameter.op, Param) or parameter in updates:
            raise FormatError(f"{parameter.describe()} is updated, or updated twice")
        updates[parameter] = value
    outputs = _read_structure(data.get("outputs"), nodes)
    return Declaration(inputs, outputs, updates, data.get("nan_check") is True)


def _pair(data: Any, what: str) -> list:
    if len(items(data, what)) != 2:
        raise FormatError(f"{what} is a pair, not {len(data)} things")
    return data


def _read_structure(data: Any, nodes: Sequence[Tensor]) -> Any:
    if isinstance(data, int):
        return node(data, nodes)
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

"""Lists of nodes as JSON, in which operands come before their users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from symgrad.declare import dtypes
from symgrad.declare.tensor import Tensor, exact_scope
from symgrad.errors import FormatError, SymgradError
from symgrad.serialize.operations import (
    Contents,
    Record,
    read_operation,
    write_operation,
)
from symgrad.serialize.values import integer, items, text, write_size


def write_nodes(nodes: Sequence[Tensor], contents: Contents) -> list[dict[str, Any]]:
    """Return nodes as JSON; their arrays are put into ``contents``.

    Args:
        nodes: in topological order, with all operands among them.
        contents: has the loops whose results are among them.
    """
    number = {t: n for n, t in enumerate(nodes)}
    found = []
    for t in nodes:
        fields = write_operation(t.op, contents)
        fields |= {"dtype": t.dtype, "shape": [write_size(s) for s in t.shape]}
        if t.args:
            fields["args"] = [number[a] for a in t.args]
        if t.scope:
            fields["scope"] = t.scope
        found.append(fields)
    return found


def read_nodes(data: Any, contents: Contents) -> list[Tensor]:
    """Return the nodes that JSON says.

    Raises:
        FormatError: the JSON is not as ``write_nodes`` makes it; the message has the
            number of the node.
    """
    nodes: list[Tensor] = []
    for fields in items(data, "'nodes'"):
        try:
            nodes.append(_read(fields, nodes, contents))
        except SymgradError as error:
            raise FormatError(f"node {len(nodes)}: {error}") from error
    return nodes


def _read(data: Any, nodes: Sequence[Tensor], contents: Contents) -> Tensor:
    if not isinstance(data, dict):
        raise FormatError("it is no JSON object")
    args = [node(n, nodes) for n in items(data.get("args", []), "'args'")]
    dtype = dtypes.canonical(text(data.get("dtype"), "'dtype'"))
    with exact_scope(text(data.get("scope", ""), "'scope'")):
        return read_operation(Record(data, args, dtype, contents))


def node(data: Any, nodes: Sequence[Tensor]) -> Tensor:
    """Return the node of a number."""
    if integer(data, "a node", 0) >= len(nodes):
        raise FormatError(f"there is no node {data} before its use")
    return nodes[data]

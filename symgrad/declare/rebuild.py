"""A graph made again with some of its nodes replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from symgrad.declare.build import apply
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.tensor import Tensor, exact_scope, make, topological


def rebuilt(
    outputs: Sequence[Tensor], replaced: Mapping[Tensor, Tensor]
) -> list[Tensor]:
    """Return the outputs with nodes replaced by others of the same shape and type.

    Nodes that depend on none of them stay the same objects; the others keep their
    scopes.

    >>> import symgrad as sg
    >>> x, y = sg.input("x", (3,)), sg.input("y", (3,))
    >>> rebuilt([sg.exp(x)], {x: y})[0] is sg.exp(y)
    True
    """
    found: dict[Tensor, Tensor] = dict(replaced)
    for node in topological(outputs):
        if node not in found:
            found[node] = rebuilt_node(node, found)
    return [found[t] for t in outputs]


def rebuilt_node(node: Tensor, found: Mapping[Tensor, Tensor]) -> Tensor:
    """Return a node on the counterparts of its operands; itself if they are its own."""
    args = [found[a] for a in node.args]
    if all(new is old for new, old in zip(args, node.args, strict=True)):
        return node
    with exact_scope(node.scope):
        if isinstance(node.op, Comprehension):
            return apply(node.op, args, node.dtype)
        return make(node.op, args, node.shape, node.dtype)

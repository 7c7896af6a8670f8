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
        if node in found:
            continue
        args = [found[a] for a in node.args]
        if all(new is old for new, old in zip(args, node.args, strict=True)):
            found[node] = node
            continue
        with exact_scope(node.scope):
            if isinstance(node.op, Comprehension):
                found[node] = apply(node.op, args, node.dtype)
            else:
                found[node] = make(node.op, args, node.shape, node.dtype)
    return [found[t] for t in outputs]

"""A graph computed in another float type."""

from __future__ import annotations

from collections.abc import Sequence

from symgrad.declare import dtypes
from symgrad.declare.build import apply
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.tensor import (
    Constant,
    Tensor,
    constant,
    exact_scope,
    make,
    topological,
)


def retyped(outputs: Sequence[Tensor], dtype: str) -> dict[Tensor, Tensor]:
    """Return node -> its counterpart, for the outputs and all nodes below them.

    Every float of the graph, leaves included, becomes one of ``dtype``; integers and
    booleans stay.

    >>> import symgrad as sg
    >>> x = sg.input("x", (3,))
    >>> y = sg.exp(x)
    >>> retyped([y], "float64")[y]
    <Tensor 'exp' float64[3]>
    """
    found: dict[Tensor, Tensor] = {}
    for node in topological(outputs):
        kind = dtype if dtypes.is_float(node.dtype) else node.dtype
        args = [found[a] for a in node.args]
        with exact_scope(node.scope):
            if isinstance(node.op, Constant):
                found[node] = constant(node.op.value, kind)
            elif isinstance(node.op, Comprehension) and args:
                found[node] = apply(node.op, args, kind)
            else:
                found[node] = make(node.op, args, node.shape, kind)
    return found

"""A graph computed in another float type."""

from __future__ import annotations

from collections.abc import Sequence

from symgrad.declare import dtypes
from symgrad.declare.build import apply
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.loop import Scan, Stacked, loop
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
            elif isinstance(node.op, Scan):
                op = _retyped_scan(node.op, dtype)
                found[node] = make(op, args, node.shape, kind)
            elif isinstance(node.op, Comprehension) and args:
                found[node] = apply(node.op, args, kind)
            else:
                found[node] = make(node.op, args, node.shape, kind)
    return found


def _retyped_scan(op: Scan, dtype: str) -> Scan:
    """Return a loop's result with the body computed in another float type."""
    old = op.loop
    values = [op.value] if isinstance(op, Stacked) else []
    found = retyped([*old.formals, *old.updates, *values], dtype)
    new = loop(
        old.length,
        [found[f] for f in old.formals],
        [found[u] for u in old.updates],
        old.sequences,
        old.reverse,
        old.recompute,
    )
    if isinstance(op, Stacked):
        return Stacked(new, found[op.value])
    return type(op)(new, op.number)

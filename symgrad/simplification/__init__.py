"""Simplify: graphs to smaller, faster and more stable graphs of the same value.

    simplify: graph -> graph

Rules never change a value beyond rounding, nor the type or shape of a node.  They are
applied bottom-up, each node to its normal form: linear in the size of the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from symgrad.declare.tensor import Tensor, as_tensor
from symgrad.derivation.reverse import flatten, unflatten
from symgrad.simplification.distribution import distribute
from symgrad.simplification.nodes import Rewrite
from symgrad.simplification.stage import rewritten


def simplify(structure: Any) -> Any:
    """Return the simplified graph of a tensor, or of each in nested lists and dicts.

    The result may be derived further: ``stop_gradient`` stays.

    >>> import symgrad as sg
    >>> x = sg.input("x", (3,))
    >>> simplify(sg.log(1 + sg.exp(x))).op.name
    'softplus'
    """
    leaves = [as_tensor(t) for t in flatten(structure)]
    return unflatten(structure, rewritten(leaves)[0])


def explain_rewrites(structure: Any) -> list[Rewrite]:
    """Return the rules that ``simplify`` applies, in order.

    >>> import symgrad as sg
    >>> x = sg.input("x", (3,))
    >>> for step in explain_rewrites(sg.log(1 + sg.exp(x))):
    ...     print(step)
    softplus: log(exp(x) + 1.0)  ->  softplus(x)
    """
    leaves = [as_tensor(t) for t in flatten(structure)]
    return rewritten(leaves, trace=True)[1]


def simplify_outputs(outputs: Sequence[Tensor]) -> list[Tensor]:
    """Return the simplified outputs of a program, from which nothing is derived."""
    found = rewritten(outputs, final=True)[0]
    cheaper = distribute(found)
    if all(a is b for a, b in zip(found, cheaper, strict=True)):
        return found
    return rewritten(cheaper, final=True)[0]

"""Products with a weight that is frozen plus a small change, as in LoRA."""

from __future__ import annotations

from symgrad.declare.rebuild import rebuilt_node
from symgrad.declare.tensor import Param, Tensor, exact_scope, topological
from symgrad.simplification.contractions import open_sum


def opened(loss: Tensor) -> Tensor:
    """Return the loss with ``x·(W + A·B)`` as ``x·W + x·A·B`` where that is cheaper.

    It is to be done before gradients are derived: of the first form, the gradient for
    A and B goes through a matrix as large as W.

    >>> import symgrad as sg
    >>> x, W = sg.input("x", ("n", 64)), sg.param("W", (64, 64))
    >>> whole, low = sg.sum(x @ W), sg.sum(x @ sg.nn.lora(W, 2))
    >>> opened(whole) is whole, opened(low) is low
    (True, False)
    """
    learning: set[Tensor] = set()
    found: dict[Tensor, Tensor] = {}
    for node in topological([loss]):
        learns = isinstance(node.op, Param) and node.op.trainable
        if learns or not learning.isdisjoint(node.args):
            learning.add(node)
        new = rebuilt_node(node, found)
        with exact_scope(node.scope):
            apart = open_sum(new, learning.__contains__)
        found[node] = new if apart is None else apart
        if node in learning:
            learning.add(found[node])
    return found[loss]

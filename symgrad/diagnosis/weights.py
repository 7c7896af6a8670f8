"""The sizes of weights at the start, by what they do to a signal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from symgrad.declare.comprehension import Comprehension
from symgrad.declare.loop import Scan
from symgrad.declare.tensor import Tensor, topological
from symgrad.diagnosis.layers import Model, dependents, trains
from symgrad.train.initialize import fans, name_of

Arrays = Mapping[str, np.ndarray]


def gains(model: Model, start: Arrays) -> dict[str, float]:
    """Return how each weight of a product scales a typical signal at the start.

    It is the deviation times the root of the fan-in, or of the mean fan, whichever is
    nearer to 1 (LeCun et al. 1998; Glorot & Bengio 2010).
    """
    found = {}
    for p in _weights(model):
        a, b = fans(_shape(p))
        spread = float(np.std(np.float64(start[name_of(p)])))
        both = [spread * math.sqrt(a), spread * math.sqrt((a + b) / 2)]
        found[name_of(p)] = min(both, key=lambda g: abs(math.log(g)) if g else math.inf)
    return found


def _weights(model: Model) -> list[Tensor]:
    """Return the trained matrices that data are multiplied by, in loops too.

    A product of parameters, such as LoRA's ``A B``, is one weight: ``B`` may be 0.
    """
    used: dict[int, Tensor] = {}
    data = dependents(model.order, model.inputs)
    alone = {id(t) for t in model.order} - data
    for node, outer in _nodes(model.order, {}):
        if not (isinstance(node.op, Comprehension) and node.op.is_contraction):
            continue
        if id(node) in alone:
            continue
        for a in node.args:
            source = _source(a, outer)
            if trains(source) and source.ndim > 1:
                used[id(source)] = source
    return [p for p in used.values() if min(fans(_shape(p))) > 0]


Operands = Mapping[int, Tensor]


def _nodes(
    order: Sequence[Tensor], outer: Operands
) -> Iterator[tuple[Tensor, Operands]]:
    """Yield each node, those of loops' bodies once, with the operands of its loop."""
    seen: set[int] = set()
    for node in order:
        yield node, outer
        if isinstance(node.op, Scan) and id(node.op.loop) not in seen:
            loop = node.op.loop
            seen.add(id(loop))
            given = [_source(a, outer) for a in node.args]
            inner = {id(f): a for f, a in zip(loop.formals, given, strict=True)}
            yield from _nodes(topological(loop.updates), inner)


def _source(t: Tensor, outer: Operands) -> Tensor:
    """Return what a tensor is before it was moved, and before it entered a loop."""
    while isinstance(t.op, Comprehension) and t.op.is_movement:
        t = t.args[0]
    return outer.get(id(t), t)


def _shape(p: Tensor) -> tuple[int, ...]:
    return tuple(s for s in p.shape if isinstance(s, int))  # as sg.param checked

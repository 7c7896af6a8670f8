"""Symmetric matrices: ``XᵀX``, ``XᵀDX`` with a diagonal D, and what is made of them.

A sum of products is symmetric where exchanging its last two axes only exchanges
factors.  The transpose of such a matrix is the matrix itself, and half of its elements
say everything about it.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from symgrad.declare.comprehension import Comprehension
from symgrad.declare.tensor import Shape, Tensor
from symgrad.simplification.contractions import Axes, as_product
from symgrad.simplification.engine import Rule
from symgrad.simplification.nodes import Facts, function, kind, source, statement
from symgrad.simplification.structure import axes_of_read, factors, main_index


class Part(NamedTuple):
    """A factor: a tensor, and the axis of the whole product along each dimension.

    None where the dimension is 1.
    """

    tensor: Tensor
    axes: tuple[int | None, ...]


class Parts(NamedTuple):
    """A sum of products, as `Product`, of such parts."""

    factors: tuple[Part, ...]
    output: Axes
    extents: Shape


def scaled_product(t: Tensor) -> Parts | None:
    """Return a sum of products whose factors are no products or movements themselves.

    ``X·(d ⊙ Xᵀ)`` has the factors X, d and X.  What is only summed over stays whole.
    """
    found = as_product(t)
    if found is None:
        return None
    pending: list[Part] = [Part(*f) for f in found.factors]
    flat: list[Part] = []
    while pending:
        f = pending.pop()
        parts = _taken_apart(f, found.output)
        if parts is None:
            flat.append(f)
        else:
            pending += parts
    return Parts(tuple(flat), found.output, found.extents)


def _taken_apart(f: Part, output: Axes) -> list[Part] | None:
    """Return the factors of an elementwise product, or what a movement moves."""
    t = f.tensor
    moves = kind(t) == "movement"
    if not moves and (function(t) != "mul" or not set(f.axes) & set(output)):
        return None
    c = statement(t)
    if c.guards:
        return None
    parts = []
    for k in factors(c):  # x*x reads x once, and has it twice
        r = c.reads[k]
        axes = [i.axis for i in r.index]
        ones = [not i.terms and i.constant == 0 for i in r.index]
        live = [a for a in axes if a is not None]
        if len(set(live)) < len(live) or len(live) + sum(ones) < len(axes):
            return None
        moved = tuple(None if a is None else f.axes[a] for a in axes)
        parts.append(Part(t.args[r.operand], moved))
    return parts


def is_symmetric(t: Tensor, known: dict[Tensor, bool] | None = None) -> bool:
    """Return True if exchanging the last two axes provably changes nothing."""
    known = {} if known is None else known
    if t not in known:
        known[t] = False
        known[t] = t.ndim >= 2 and t.shape[-1] == t.shape[-2] and _made(t, known)
    return known[t]


def _made(t: Tensor, known: dict[Tensor, bool]) -> bool:
    if kind(t) == "reduction":
        p = scaled_product(t)
        if p is None:
            return False
        a, b = p.output[-2:]
        return _counted(p, {}) == _counted(p, {a: b, b: a})
    if function(t) is None:
        return False
    c = statement(t)
    return all(_alike(t, c, k, known) for k in range(len(c.reads)))


def _counted(p: Parts, swap: dict[int | None, int]) -> Counter[tuple]:
    """Return how often each factor occurs, with some axes renamed."""
    return Counter(
        (id(f.tensor), tuple(swap.get(n, n) for n in f.axes)) for f in p.factors
    )


def _alike(t: Tensor, c: Comprehension, k: int, known: dict[Tensor, bool]) -> bool:
    """Return True if an operand is the same at exchanged places."""
    last = {t.ndim - 2, t.ndim - 1}
    if not axes_of_read(c, k) & last:
        return True
    r = c.reads[k]
    own = [i.axis for i in r.index] == list(range(t.ndim))
    return own and is_symmetric(t.args[r.operand], known)


def drop_transpose(t: Tensor, facts: Facts) -> Tensor | None:
    """``Aᵀ`` is ``A`` where A is symmetric."""
    del facts
    c, x = statement(t), source(t)
    own = list(range(t.ndim))
    turned = [*own[:-2], *own[:-3:-1]]
    if c.guards or t.ndim < 2 or x.shape != t.shape:
        return None
    if [i.axis for i in main_index(c)] != turned or not is_symmetric(x):
        return None
    return x


TRANSPOSE = (Rule("drop_transpose", drop_transpose),)

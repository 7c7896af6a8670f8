"""What nodes read from memory, through the nodes that have none."""

from __future__ import annotations

from collections.abc import Iterable

from symgrad.declare.comprehension import Comprehension
from symgrad.declare.linear_algebra import LinearAlgebra
from symgrad.declare.tensor import Tensor
from symgrad.schedule.group import Group
from symgrad.schedule.loops import base
from symgrad.schedule.terms import (
    Load,
    Resolver,
    Term,
    Where,
    is_virtual,
    loop_index,
    subterms,
)


class Reading:
    """What nodes read from memory: virtual nodes are looked through, unless forced.

    ``node in reading`` tells whether a virtual node is forced to have memory.
    """

    def __init__(self) -> None:
        self.forced: set[Tensor] = set()
        self._memo: dict[tuple[Tensor, Where], list[Load]] = {}

    def __contains__(self, t: Tensor) -> bool:
        return t in self.forced

    def force(self, nodes: Iterable[Tensor]) -> None:
        """Give memory to nodes that would be virtual."""
        self.forced.update(nodes)
        self._memo.clear()

    def loads(self, t: Tensor, where: Where) -> list[Load]:
        """Return every element of other nodes that one point of ``t`` reads."""
        key = (t, where)
        if key not in self._memo:
            resolver = Resolver(self.looks_through, lambda n, w: None)
            self._memo[key] = _loads(resolver.body(t, dict(enumerate(where))))
        return self._memo[key]

    def elements(self, t: Tensor) -> list[Load]:
        """Return every element that is read where ``t`` itself is, anywhere."""
        resolver = Resolver(self.looks_through, lambda n, w: None)
        return _loads(resolver.at(t, loop_index(t.shape)))

    def looks_through(self, t: Tensor) -> bool:
        """Return True for a node that is computed where it is used."""
        return is_virtual(t) and t not in self.forced


def _loads(term: Term) -> list[Load]:
    return [x for x in subterms(term) if isinstance(x, Load)]


def reads_of(g: Group, t: Tensor, reading: Reading) -> list[Tensor]:
    """Return the tensors in memory that a member of a group reads."""
    if g.kind == "loop":
        return list(dict.fromkeys(base(x.tensor) for x in g.sources.values()))
    if g.symmetric is not None:
        return [base(x) for x in g.symmetric.reads]
    gemm = g.product(t)
    if gemm is not None:
        return [base(gemm.left.tensor), base(gemm.right.tensor)]
    if isinstance(t.op, LinearAlgebra):
        loads = (x for a in t.args for x in reading.elements(a))
        return list(dict.fromkeys(x.tensor for x in loads))
    c: Comprehension = t.op  # type: ignore[assignment]
    found = {x.tensor: None for x in reading.loads(t, loop_index(c.extents))}
    for index in c.target or ():
        for k in index.values():
            found[base(t.args[c.reads[k].operand])] = None
    return list(found)

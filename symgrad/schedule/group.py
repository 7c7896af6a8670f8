"""Groups: the nodes of one kernel."""

from __future__ import annotations

from dataclasses import dataclass, field

from symgrad.declare.comprehension import Comprehension
from symgrad.declare.dims import Size
from symgrad.declare.tensor import Tensor
from symgrad.schedule.contraction import Gemm, Tail
from symgrad.schedule.loops import Source, Step
from symgrad.schedule.symmetric import Symmetric
from symgrad.schedule.terms import Where, loop_index

Shape = tuple[Size, ...]


@dataclass
class Group:
    """The nodes of one kernel.

    Attributes:
        kind: ``rows`` (elementwise, with reductions of trailing axes), ``gemm`` (the
            same behind a matrix product), ``sum`` (a sum of matrix products),
            ``symmetric`` (one that is), ``nest`` (any other reduction), ``running`` (a
            cumulative reduction), ``scatter``, ``matrix`` (linear algebra, for each
            matrix of a batch) or ``loop``.
        domain: the extents of all loops.
        split: how many leading loops are rows; None while nothing is reduced.
        members: the nodes, operands before users.
        gemm: the matrix product that the other members follow.
        symmetric: the only member, as a symmetric sum of products.
        heads: more products of the same shape, computed panel by panel beside it.
        tails: products that take each panel of a member as a factor at once, so that
            the member itself needs no memory beyond a panel.
        sources: where the operands of a loop lie, by formal.
        step: how a loop runs.
        columns: the members that are sums over the rows, a value for each inner point.
    """

    kind: str
    domain: Shape
    split: int | None
    members: list[Tensor] = field(default_factory=list)
    gemm: Gemm | None = None
    columns: set[Tensor] = field(default_factory=set)
    heads: list[Gemm] = field(default_factory=list)
    tails: list[Tail] = field(default_factory=list)
    sources: dict[Tensor, Source] = field(default_factory=dict)
    step: Step | None = None
    symmetric: Symmetric | None = None

    @property
    def panels(self) -> list[Gemm]:
        """The products that the row-wise members follow."""
        return [] if self.gemm is None else [self.gemm, *self.heads]

    def product(self, t: Tensor) -> Gemm | None:
        """Return the matrix product that makes a member, if one does."""
        made = [*self.panels, *(x.gemm for x in self.tails)]
        return next((g for g in made if g.node is t), None)

    def level(self, t: Tensor) -> str:
        """Return what ``t`` has values for: ``full``, ``row``, ``column``, ``tail``."""
        if t in self.columns:
            return "column"
        if any(g.node is t for g in self.panels):
            return "full"
        if any(x.gemm.node is t for x in self.tails):
            return "tail"
        return "row" if is_row_reduction(t) or t.shape != self.domain else "full"

    def loops(self, t: Tensor) -> Where:
        """Return the indices at which a member's axes run through the loops."""
        c: Comprehension = t.op  # type: ignore[assignment]
        if t not in self.columns or not c.rank:
            return loop_index(c.extents)
        assert self.split is not None
        where = loop_index(self.domain)
        return (*where[self.split :], *where[: self.split])

    def is_row(self, shape: Shape, split: int | None) -> bool:
        """Return True for the shape of one value for each row."""
        if split is None:
            return False
        rest = shape[split:]
        return shape[:split] == self.domain[:split] and (
            not rest or (len(shape) == len(self.domain) and all(n == 1 for n in rest))
        )


def is_row_reduction(t: Tensor) -> bool:
    """Return True for a reduction of one read's trailing axes, or of products."""
    c = t.op
    return (
        isinstance(c, Comprehension)
        and c.reduce is not None
        and c.target is None
        and not c.guards
    )

"""Read through a movement: substitute its index map into the statement that reads it.

``y[A] = … x[φ(A)] …`` where ``x[B] = z[ψ(B)] if g(B) else 0`` becomes
``y[A] = … z[ψ(φ(A))] … if g(φ(A))``.
"""

from __future__ import annotations

from symgrad.declare import scalar
from symgrad.declare.comprehension import (
    Comprehension,
    Guard,
    Index,
    Read,
    substitute_index,
)
from symgrad.declare.tensor import Tensor
from symgrad.simplification.nodes import (
    replaced,
    statement,
)
from symgrad.simplification.structure import (
    in_range,
    structure,
)


def reachable(c: Comprehension, k: int, inner: Tensor) -> bool:
    """Return True if read ``k`` surely stays within ``inner`` where it matters.

    It matters in the dimensions on which ``inner`` depends.  Elsewhere an index out of
    range would be clamped, which composition does not do.
    """
    op = statement(inner)
    facts = structure(op)
    used = facts.guard_axes.union(*facts.read_axes)
    return all(
        in_range(i, n, c.extents, c.guards)
        for d, (i, n) in enumerate(zip(c.reads[k].index, inner.shape, strict=True))
        if d in used
    )


def inlined(
    c: Comprehension, args: list[Tensor], k: int
) -> tuple[Comprehension, list[Tensor]] | None:
    """Return the statement with read ``k``, of a movement, read from its source.

    The movement's guards become guards of the statement: the caller knows whether it
    may have them.
    """
    inner = args[c.reads[k].operand]
    op = statement(inner)
    main: int = op.body.value
    if not reachable(c, k, inner):
        return None
    axes = dict(enumerate(c.reads[k].index))
    first = len(c.reads)

    def number(j: int) -> int:
        return k if j == main else first + (j if j < main else j - 1)

    def moved(index: Index) -> Index:
        return substitute_index(index, axes, number)

    reads = list(c.reads)
    for j, r in enumerate(op.reads):
        new = Read(r.operand + len(args), tuple(map(moved, r.index)))
        if j == main:
            reads[k] = new
        else:
            reads.append(new)
    guards = [Guard(moved(g.index), g.bound, g.modulus) for g in op.guards]
    changed = replaced(c, reads=tuple(reads), guards=(*c.guards, *guards))
    return changed, [*args, *inner.args]


def with_axes(
    c: Comprehension, axes: dict[int, Index], extents: tuple, rank: int
) -> Comprehension:
    """Return the statement with its axes replaced by indices over others."""

    def moved(index: Index) -> Index:
        return substitute_index(index, axes)

    body = c.body
    for a in range(len(c.extents)):
        new = axes.get(a)
        if new is not None and new.axis is not None and new.axis != a:
            body = scalar.substitute(body, {scalar.axis(a): scalar.axis(new.axis)})
    return replaced(
        c,
        rank=rank,
        extents=extents,
        body=body,
        reads=tuple(Read(r.operand, tuple(map(moved, r.index))) for r in c.reads),
        guards=tuple(Guard(moved(g.index), g.bound, g.modulus) for g in c.guards),
        target=None if c.target is None else tuple(map(moved, c.target)),
    )

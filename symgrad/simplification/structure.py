"""What a statement says of itself: its form, and what depends on which axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from symgrad.declare import scalar
from symgrad.declare.comprehension import (
    Comprehension,
    Guard,
    Index,
    Quotient,
    bounds,
)
from symgrad.declare.dims import Size, nonnegative

Axes = frozenset[int]


@dataclass(frozen=True)
class Structure:
    """Facts about a statement, found once.

    Attributes:
        form: scatter, reduction, movement, elementwise or statement (any other).
        factors: the reads that the body multiplies; None if it is no such product.
        read_axes: the axes on which each read depends, through other reads too.
        guard_axes: the axes on which the guards depend.
        index_reads: the reads whose values serve as indices.
    """

    form: str
    factors: tuple[int, ...] | None
    read_axes: tuple[Axes, ...]
    guard_axes: Axes
    index_reads: Axes


def structure(c: Comprehension) -> Structure:
    """Return the facts about a statement, which remembers them."""
    known = vars(c)
    if "_structure" not in known:
        known["_structure"] = _analysed(c)
    return known["_structure"]


@lru_cache(maxsize=16384)
def _analysed(c: Comprehension) -> Structure:
    parts = scalar.factors(c.body)
    product = all(p.fn == "read" for p in parts)
    read_axes = tuple(
        Axes().union(*(axes_of_index(c, i) for i in r.index)) for r in c.reads
    )
    places = [i for r in c.reads for i in r.index]
    places += [g.index for g in c.guards]
    places += c.target or ()
    return Structure(
        _form(c),
        tuple(p.value for p in parts) if product else None,
        read_axes,
        Axes().union(*(axes_of_index(c, g.index) for g in c.guards)),
        Axes().union(*(i.values() for i in places)),
    )


def _form(c: Comprehension) -> str:
    if c.target is not None:
        return "scatter"
    if c.reduce is not None:
        return "reduction"
    if c.body.fn == "read":
        return "movement"
    if c.body.args and all(a.fn == "read" for a in c.body.args) and c.is_elementwise:
        return "elementwise"
    return "statement"


def factors(c: Comprehension) -> tuple[int, ...]:
    """Return the reads that the body multiplies; none if it is no such product."""
    return structure(c).factors or ()


def axes_of_read(c: Comprehension, k: int) -> Axes:
    """Return the axes on which a read depends, through other reads too."""
    return structure(c).read_axes[k]


def axes_of_index(c: Comprehension, index: Index) -> set[int]:
    """Return the axes on which an index depends, through the values of reads too."""
    found = index.axes()
    pending = list(index.values())
    seen: set[int] = set()
    while pending:
        k = pending.pop()
        if k in seen:
            continue
        seen.add(k)
        for i in c.reads[k].index:
            found |= i.axes()
            pending += i.values()
    return found


def is_identity(c: Comprehension, shape: tuple[Size, ...]) -> bool:
    """Return True for a movement that leaves every element where it is."""
    if c.guards or c.shape != shape or c.reduce is not None:
        return False
    return all(
        i.axis == a or (n == 1 and not i.terms and i.constant == 0)
        for a, (i, n) in enumerate(zip(main_index(c), shape, strict=True))
    )


def main_index(c: Comprehension) -> tuple[Index, ...]:
    """Return the index at which a movement reads what it moves."""
    return c.reads[c.body.value].index


def in_range(
    index: Index, size: Size, extents: Sequence[Size], guards: Sequence[Guard]
) -> bool:
    """Return True if ``0 <= index < size`` surely holds wherever the guards do."""
    axis = index.axis
    if axis is not None and extents[axis] == size:
        return True
    low, high = bounds(index, extents)
    if nonnegative(low) and nonnegative(size - 1 - high):
        return True
    return any(_implies(g, index, size) for g in guards)


def _implies(g: Guard, index: Index, size: Size) -> bool:
    if g.bound is None:
        return False
    if g.index == index:
        return nonnegative(size - g.bound)
    if len(index.terms) == 1 and index.constant == 0:
        atom, factor = index.terms[0]
        if factor == 1 and isinstance(atom, Quotient) and atom.index == g.index:
            return nonnegative(size * atom.divisor - g.bound)
    return False


def movement_name(c: Comprehension, before: tuple[Size, ...]) -> str:
    """Return the name of a movement of a shape, from what it does alone."""
    index = main_index(c)
    if any(i.values() for i in index):
        return "take"
    if c.guards:
        return "pad"
    axes = [i.axis for i in index if i.axis is not None]
    fixed = [n for i, n in zip(index, before, strict=True) if i.axis is None]
    if len(set(axes)) < len(axes) or any(n != 1 for n in fixed):
        return "slice"
    if axes != sorted(axes):
        return "transpose"
    if any(n != 1 for a, n in enumerate(c.shape) if a not in axes):
        return "broadcast_to"
    return "squeeze" if fixed else "expand_dims"


def product_of(reads: Sequence[int]) -> scalar.Expr:
    """Return the body that multiplies these reads."""
    return scalar.multiply([scalar.read(k) for k in reads])

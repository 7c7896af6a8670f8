"""No file makes a kernel read or write outside of its operands.

Kernels do not check indices: what the library of operations declares is in range by
construction, or by a guard.  A statement from a file is checked: an index that cannot
be in range is refused, and one that is not shown to be gets a guard of its own, which
changes nothing where the others imply it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from symgrad.declare.comprehension import (
    Comprehension,
    Guard,
    Index,
    Quotient,
    surely_holds,
)
from symgrad.declare.dims import Dim, Size
from symgrad.declare.tensor import Tensor
from symgrad.errors import FormatError


def within_bounds(c: Comprehension, args: Sequence[Tensor]) -> Comprehension:
    """Return the statement, guarded where its indices are not shown to be in range.

    Raises:
        FormatError: a read has not as many indices as its operand dimensions, its
            indices are of floats, or an index is out of range.
    """
    _check_values(c, args)
    needed: list[Guard] = []
    for read in c.reads:
        x = args[read.operand]
        if len(read.index) != x.ndim:
            raise FormatError(f"{len(read.index)} indices into {x.describe()}")
        for guard in _unsure(read.index, x.shape, c.extents):
            if not c.guards:
                _refuse(guard, c, x.describe())
            elif not _implied(guard, c.guards):
                needed.append(guard)
    if c.target is not None:
        shape = c.target_shape or ()
        if len(c.target) != len(shape) or c.reduce != "sum":
            raise FormatError("a scatter adds to one place for each dimension")
        # written whatever the guards say, so that these do not help
        for guard in _unsure(c.target, shape, c.extents):
            _refuse(guard, c, "the result")
    return c.with_guards([*c.guards, *needed]) if needed else c


def _unsure(
    places: Sequence[Index], shape: Sequence[Size], extents: Sequence[Size]
) -> Iterator[Guard]:
    """Yield, as guards, what is not shown of indices into a shape."""
    for index, extent in zip(places, shape, strict=True):
        guard = Guard(index, extent)
        if not surely_holds(guard, extents):
            yield guard


def _refuse(guard: Guard, c: Comprehension, what: str) -> None:
    """Raise FormatError unless it is checked when sizes are known, or nothing is read.

    See ``symgrad.declare.conditions``.
    """
    assert guard.bound is not None
    sizes = (*c.extents, guard.bound, guard.index.constant)
    if 0 not in c.extents and not any(isinstance(s, Dim) for s in sizes):
        raise FormatError(f"an index is out of the range of {what}")


def _implied(guard: Guard, given: Sequence[Guard]) -> bool:
    """Return True where one of the given guards says as much.

    That is the same one, or ``0 <= d*i < b`` with ``b <= d*bound`` for the quotient
    ``i`` of its index by ``d``.
    """
    for g in given:
        if g.index == guard.index and g.bound == guard.bound:
            return True
        match guard.index.terms:
            case ((Quotient(index=inner, divisor=d), 1),) if inner == g.index:
                most = guard.bound * d if guard.bound is not None else None
                if guard.index.constant == 0 and g.bound is not None:
                    slack = most - g.bound if most is not None else 0
                    if isinstance(slack, int) and slack >= 0:
                        return True
    return False


def _check_values(c: Comprehension, args: Sequence[Tensor]) -> None:
    """Raise FormatError where an index uses the value of a read that is no integer."""
    indices = [i for r in c.reads for i in r.index]
    indices += [g.index for g in c.guards] + list(c.target or ())
    for k in set().union(*(i.values() for i in indices)) if indices else ():
        x = args[c.reads[k].operand]
        if x.dtype not in ("int32", "int64"):
            raise FormatError(f"an index is the value of {x.describe()}, no integer")

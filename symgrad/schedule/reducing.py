"""What kind of reduction a statement is, to the scheduler."""

from __future__ import annotations

from collections.abc import Sequence

from symgrad.declare import dtypes
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.dims import product
from symgrad.schedule.terms import Load

#: A sum to a scalar over more elements than this may be split over threads.
LARGE = 32768


def is_total(c: Comprehension, dtype: str) -> bool:
    """Return True for a sum of everything that may be worth several threads."""
    if c.rank or c.reduce != "sum" or c.guards or not dtypes.is_float(dtype):
        return False
    count = product(c.extents)
    return not isinstance(count, int) or count > LARGE


def reduces_fast(c: Comprehension, loads: Sequence[Load]) -> bool:
    """Return True if the innermost reduced axis runs through memory without gaps.

    Otherwise the innermost loop had better run along the result.
    """
    if not c.rank:
        return True
    inner, out = len(c.extents) - 1, c.rank - 1
    if c.reduce in ("argmax", "argmin", "any", "all") or c.extents[out] == 1:
        return True
    steps = [dict(x.linear) for x in loads]
    gaps = any(s.get(inner, 1) != 1 for s in steps)
    return not (gaps and any(s.get(out) == 1 for s in steps))


def is_running(c: Comprehension) -> bool:
    """Return True for a cumulative statement: the terms up to, or from, an axis."""
    if len(c.guards) != 1 or len(c.reduced) != 1 or c.reduce not in ("sum", "prod"):
        return False
    guard, (k,) = c.guards[0], c.reduced
    if guard.bound is not None or guard.modulus != 1 or len(guard.index.terms) != 2:
        return False
    factors = dict(guard.index.terms)
    other = next((a for a in factors if a != k), None)
    if not isinstance(other, int) or {factors.get(k), factors[other]} != {1, -1}:
        return False
    used = set().union(*(i.axes() for r in c.reads for i in r.index))
    return other not in used

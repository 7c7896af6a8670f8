"""The loops of a kernel of rows."""

from __future__ import annotations

from dataclasses import dataclass

from symgrad.declare.dims import Size, product
from symgrad.declare.tensor import Shape, Tensor
from symgrad.schedule.group import Group
from symgrad.schedule.reading import Reading
from symgrad.schedule.terms import (
    AxisValue,
    Load,
    Resolver,
    Term,
    strides,
    subterms,
)


@dataclass
class Layout:
    """The loops of a kernel: rows (flattened into one) and inner loops.

    ``rows`` and ``inner`` are lists of (axis, extent); an axis stands for all those
    that were merged into it, ``dropped`` ones have extent 1 or are merged away.
    """

    rows: list[tuple[int, Size]]
    inner: list[tuple[int, Size]]
    flat: bool


def product_of(g: Group) -> set[Tensor]:
    """Return the members that matrix products make."""
    return {t for t in g.members if g.product(t) is not None}


def layout_of(g: Group, reading: Reading) -> Layout:
    """Return the loops of a kernel, axes that are one run of memory merged."""
    extents = g.domain
    loads, used = _uses(g, reading)
    live = [a for a, n in enumerate(extents) if n != 1]
    split = g.split
    groups: list[list[int]] = []
    for a in live:
        new_side = split is not None and groups and groups[-1][-1] < split <= a
        if (
            groups
            and not new_side
            and _merges(g.domain, groups[-1][-1], a, loads, used)
        ):
            groups[-1].append(a)
        else:
            groups.append([a])
    merged = [(axes[-1], product(extents[a] for a in axes)) for axes in groups]
    if split is None:
        if len(merged) <= 1 and g.gemm is None:
            inner = merged or [(0, 1)]
            return Layout([], inner, True)
        return Layout(merged[:-1], merged[-1:], False)
    rows = [(a, n) for a, n in merged if a < split]
    return Layout(rows, [(a, n) for a, n in merged if a >= split], False)


def crosses(g: Group, layout: Layout, reading: Reading) -> bool:
    """Return True if an elementwise kernel reads some elements across its rows.

    Such loops run over tiles, so that what a cache line brings is used.
    """
    if g.split is not None or g.gemm is not None or len(layout.inner) != 1:
        return False
    if not layout.rows or layout.flat:
        return False
    row, inner = layout.rows[-1][0], layout.inner[0][0]
    loads, _ = _uses(g, reading)
    steps = [dict(x.linear) for x in loads]
    return any(s.get(row) == 1 and s.get(inner, 0) not in (0, 1) for s in steps)


def _uses(g: Group, reading: Reading) -> tuple[list[Load], set[int]]:
    """Return what all members read, and the axes whose index itself is used."""
    loads: list[Load] = []
    used: set[int] = set()
    for t in g.members:
        if t in product_of(g):
            continue
        resolver = Resolver(lambda n: reading.looks_through(n), lambda n, w: None)
        _scan(resolver.body(t, dict(enumerate(g.loops(t)))), loads, used)
    extents = g.domain
    for t in g.members:
        steps = strides(t.shape)
        if g.level(t) in ("column", "tail"):
            continue
        if t.shape == extents or t.ndim <= len(extents):
            linear = tuple((a, s) for a, s in enumerate(steps) if t.shape[a] != 1)
            loads.append(Load(t, linear, 0, (), t.dtype))
    return loads, used


def _merges(domain: Shape, a: int, b: int, loads: list[Load], used: set[int]) -> bool:
    """Return True if axes ``a`` and ``b`` are one run of memory for every load."""
    if a in used or b in used:
        return False
    extent = domain[b]
    for load in loads:
        steps = dict(load.linear)
        if steps.get(a, 0) != steps.get(b, 0) * extent:
            return False
    return True


def _scan(term: Term, loads: list[Load], used: set[int]) -> None:
    """Collect the loads of a term, and the axes that occur outside plain offsets."""
    for here in subterms(term):
        if isinstance(here, Load):
            loads.append(here)
        elif isinstance(here, AxisValue):
            used.add(here.axis)

"""Rules of reductions: what is read, over which axes, and what may be taken outside."""

from __future__ import annotations

from symgrad.declare import build
from symgrad.declare.comprehension import (
    Comprehension,
    Guard,
    Index,
    along,
)
from symgrad.declare.dims import Size, nonnegative
from symgrad.declare.tensor import Tensor, size_of
from symgrad.simplification.engine import Rule
from symgrad.simplification.inline import inlined, with_axes
from symgrad.simplification.movements import solved
from symgrad.simplification.nodes import (
    Facts,
    kind,
    replaced,
    statement,
)
from symgrad.simplification.structure import (
    axes_of_index,
    factors,
    in_range,
    structure,
)


def finish(c: Comprehension, args: list[Tensor], dtype: str) -> Tensor:
    """Return the node of a statement that may have lost its last reduced axis."""
    if c.target is None and c.rank == len(c.extents) and c.reduce is not None:
        y = build.normal_form(replaced(c, reduce=None, name="read"), args)
        return build.cast(y, dtype)
    return build.apply(c, args, dtype)


# -- reads -----------------------------------------------------------------------------


def read_through(t: Tensor, facts: Facts) -> Tensor | None:
    """A reduction reads through movements: ``Σ_k T(x)[i, k]`` is ``Σ_k x[k, i]``.

    A product reads through what is a matrix in memory (transposes, slices, repeats);
    a guard must be solved on the way, or be one for the whole sum.
    """
    del facts
    c = statement(t)
    single = len(factors(c)) == 1 and c.target is None
    indices = structure(c).index_reads
    for k, r in enumerate(c.reads):
        inner = t.args[r.operand]
        if kind(inner) != "movement":
            continue
        guarded = bool(statement(inner).guards)
        if guarded and (k in indices or c.reduce not in ("sum", "any")):
            continue
        found = inlined(c, list(t.args), k)
        if found is None:
            continue
        if guarded:
            solution = eliminated(found[0])
            outer = _outer_guards(solution, found[1], c.guards)
            if len(solution.guards) - len(outer) > len(c.guards):
                continue
            if outer:
                return _guarded_outside(solution, found[1], outer, t.dtype)
            found = solution, found[1]
        elif k not in indices and not _readable(found[0], k, single):
            continue
        return finish(*found, t.dtype)
    return None


def _outer_guards(
    c: Comprehension, args: list[Tensor], before: tuple[Guard, ...]
) -> list[Guard]:
    """Return the new guards of a sum that hold or fail for all of its terms.

    None if a read could leave its operand where they fail.
    """
    reduced = set(c.reduced)
    outer = [
        g
        for g in c.guards
        if g not in before and not axes_of_index(c, g.index) & reduced
    ]
    rest = [g for g in c.guards if g not in outer]
    inside = all(
        in_range(i, n, c.extents, rest)
        for r in c.reads
        for i, n in zip(r.index, args[r.operand].shape, strict=True)
    )
    return outer if inside and c.target is None else []


def _guarded_outside(
    c: Comprehension, args: list[Tensor], outer: list[Guard], dtype: str
) -> Tensor:
    """Return ``Σ_k a[i, k] if g(i)`` as the sum, where ``g`` holds, else 0."""
    inner = replaced(c, guards=tuple(g for g in c.guards if g not in outer))
    total = finish(inner, args, dtype)
    index = tuple(map(along, range(c.rank)))
    return build.movement("where", total, c.shape, index, guards=outer)


def _readable(c: Comprehension, k: int, single: bool) -> bool:
    """Return True if a read is as fast as that of a matrix: each axis has a stride.

    What is not multiplied may also be read in windows.
    """
    index = c.reads[k].index
    if single and not any(i.values() for i in index):
        return True
    seen: set[int] = set()
    for i in index:
        axes = i.axes()
        if i.values() or len(i.terms) > 1 or axes & seen or len(axes) != len(i.terms):
            return False
        seen |= axes
    return True


# -- axes ------------------------------------------------------------------------------


def solve_guards(t: Tensor, facts: Facts) -> Tensor | None:
    """``Σ_k δ(k, j)·a[i, k]`` is ``a[i, j]``; a range guard narrows the axis."""
    del facts
    c = statement(t)
    if not c.guards or c.reduce not in ("sum", "any"):
        return None
    new = eliminated(c)
    return None if new is c else finish(new, list(t.args), t.dtype)


def eliminated(c: Comprehension) -> Comprehension:
    """Return a sum whose guards are solved for reduced axes as far as possible."""
    while True:
        new = _solve_one(c)
        if new is None:
            return c
        c = new.with_guards(new.guards)


def _solve_one(c: Comprehension) -> Comprehension | None:
    axes = range(len(c.extents)) if c.target is not None else c.reduced
    for g in c.guards:
        others = tuple(h for h in c.guards if h is not g)
        found = solved(c, g, list(axes))
        if found is not None:
            a, value = found
            if in_range(value, c.extents[a], c.extents, others):
                kept = others
            else:
                kept = (*others, Guard(value, c.extents[a]))
            return without_axis(replaced(c, guards=kept), a, value)
        narrow = _narrowed(c, g, others, list(axes))
        if narrow is not None:
            return narrow
    return None


def _narrowed(
    c: Comprehension, g: Guard, others: tuple[Guard, ...], axes: list[int]
) -> Comprehension | None:
    """``Σ_{k<n} f(k) if 0 <= k - p < m`` is ``Σ_{k<m} f(k + p)`` where that fits."""
    if g.modulus != 1 or g.bound is None or len(g.index.terms) != 1:
        return None
    (a, factor), start = g.index.terms[0], g.index.constant
    if factor != 1 or not isinstance(a, int) or a not in axes:
        return None
    if not nonnegative(-start) or not nonnegative(c.extents[a] + start - g.bound):
        return None
    extents = tuple(g.bound if b == a else n for b, n in enumerate(c.extents))
    shifted = Index(((a, 1),), -start)
    return with_axes(replaced(c, guards=others), {a: shifted}, extents, c.rank)


def without_axis(c: Comprehension, a: int, value: Index) -> Comprehension:
    """Return the statement with axis ``a`` replaced by an index over the others."""
    kept = [b for b in range(len(c.extents)) if b != a]
    axes = {b: along(n) for n, b in enumerate(kept)}
    lower = with_axes(c, {a: value}, c.extents, c.rank)
    rank = c.rank - (a < c.rank)
    return with_axes(lower, axes, tuple(c.extents[b] for b in kept), rank)


def free_axes(c: Comprehension) -> list[int]:
    """Return the reduced axes on which nothing depends."""
    facts = structure(c)
    used = facts.guard_axes.union(*facts.read_axes)
    used = used.union(*(axes_of_index(c, i) for i in c.target or ()))
    return [a for a in c.reduced if a not in used]


def drop_axes(t: Tensor, facts: Facts) -> Tensor | None:
    """``Σ_k x[i]`` is ``n·x[i]``; the max over such an axis is ``x[i]``."""
    del facts
    c = statement(t)
    free = free_axes(c)
    if not free or c.reduce not in ("sum", "max", "min", "any", "all"):
        return None
    if c.target is not None:
        return None
    if c.reduce != "sum" and not all(
        isinstance(c.extents[a], int) and c.extents[a] != 0 for a in free
    ):
        return None
    count: Size = 1
    for a in sorted(free, reverse=True):
        count = count * c.extents[a]
        c = without_axis(c, a, Index())
    y = finish(c, list(t.args), t.dtype)
    if t.op.reduce != "sum" or count == 1:  # type: ignore[union-attr]
        return y
    return build.elementwise("mul", y, size_of(count, t.dtype))


def repeat_result(t: Tensor, facts: Facts) -> Tensor | None:
    """``y[i, j] = Σ_k x[i, k]`` is computed once for every ``j``."""
    del facts
    c = statement(t)
    known = structure(c)
    used = known.guard_axes.union(*known.read_axes)
    unused = [a for a in range(c.rank) if a not in used and c.extents[a] != 1]
    if not unused or c.target is not None:
        return None
    for a in reversed(unused):
        c = without_axis(c, a, Index())
    y = build.apply(c, t.args, t.dtype)
    kept = [along(a) for a in range(t.ndim) if a not in unused]
    return build.movement("broadcast_to", y, t.shape, kept)


REDUCTION = (
    Rule("read_through", read_through),
    Rule("solve_guards", solve_guards),
    Rule("drop_axes", drop_axes),
    Rule("repeat_result", repeat_result),
)
SCATTER = REDUCTION[:2]

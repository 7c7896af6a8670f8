"""Rules of movements: composed, removed, and put where the work is least."""

from __future__ import annotations

from collections.abc import Sequence

from symgrad.declare import build, scalar
from symgrad.declare.comprehension import (
    Comprehension,
    Guard,
    Index,
    Read,
    along,
    combine,
    substitute_index,
)
from symgrad.declare.tensor import Reshape, Tensor, make
from symgrad.simplification.engine import Rule
from symgrad.simplification.inline import inlined, with_axes
from symgrad.simplification.nodes import (
    Facts,
    kind,
    measure,
    operands,
    replaced,
    source,
    statement,
)
from symgrad.simplification.structure import (
    axes_of_index,
    axes_of_read,
    in_range,
    is_identity,
    main_index,
    movement_name,
    structure,
)


def drop_identity(t: Tensor, facts: Facts) -> Tensor | None:
    """``y[i, j] = x[i, j]`` is ``x``."""
    del facts
    x = source(t)
    return x if is_identity(statement(t), x.shape) else None


def compose(t: Tensor, facts: Facts) -> Tensor | None:
    """A movement of a movement is one movement; likewise where indices are read."""
    del facts
    c = statement(t)
    main = c.body.value
    indices = structure(c).index_reads
    for k, r in enumerate(c.reads):
        inner = t.args[r.operand]
        if kind(inner) != "movement":
            continue
        if statement(inner).guards and (k != main or k in indices):
            continue
        found = inlined(c, list(t.args), k)
        if found is not None:
            return build.apply(*found, t.dtype)
    return None


def name(t: Tensor, facts: Facts) -> Tensor | None:
    """A movement is named by what it does."""
    del facts
    c = statement(t)
    wanted = movement_name(c, source(t).shape)
    if c.name == wanted:
        return None
    return make(replaced(c, name=wanted), t.args, t.shape, t.dtype)


def solve_guard(t: Tensor, facts: Facts) -> Tensor | None:
    """``y[i, j] = x[i, j] if i == j`` reads ``x[i, i]``: the same where it counts."""
    del facts
    c = statement(t)
    main: int = c.body.value
    used = axes_of_read(c, main)
    for g in c.guards:
        found = solved(c, g, sorted(used, reverse=True))
        if found is None:
            continue
        a, value = found
        others = [h for h in c.guards if h != g]
        if not in_range(value, c.extents[a], c.extents, others):
            continue
        index = tuple(substitute_index(i, {a: value}) for i in c.reads[main].index)
        left = set().union(*(axes_of_index(c, i) for i in index))
        if len(left) < len(used):
            return moving(c, t.args, source(t), index)
    return None


def solved(c: Comprehension, g: Guard, axes: list[int]) -> tuple[int, Index] | None:
    """Return one of ``axes`` and its value, where an equality guard determines it."""
    if g.bound != 1 or g.modulus != 1:
        return None
    for a in axes:
        for atom, factor in g.index.terms:
            if atom != a or factor not in (1, -1) or not isinstance(atom, int):
                continue
            rest = combine([(g.index, 1), (along(a), -factor)])
            if a not in axes_of_index(c, rest):
                return a, combine([(rest, -factor)])
    return None


def split(t: Tensor, facts: Facts) -> Tensor | None:
    """A movement that repeats or masks a smaller one is two: the smaller comes first.

    Only of what is computed for it alone, so that less is computed.
    """
    c = statement(t)
    x = source(t)
    main: int = c.body.value
    if kind(x) not in ("elementwise", "reduction", "cast") or not facts.single(x):
        return None
    used = sorted(axes_of_read(c, main))
    if len(used) == c.rank and not c.guards:
        return None
    shape = tuple(c.extents[a] for a in used)
    if measure(shape) >= measure(x.shape):
        return None
    if kind(x) == "reduction" and any(i.values() for i in main_index(c)):
        return None
    if not stays_inside(c, x):
        return None
    axes = {a: along(n) for n, a in enumerate(used)}
    core = with_axes(replaced(c, guards=()), axes, shape, len(shape))
    small = build.apply(core, t.args, t.dtype)
    return moving(c, t.args, small, tuple(map(along, used)))


def moving(
    c: Comprehension, args: Sequence[Tensor], x: Tensor, index: tuple[Index, ...]
) -> Tensor:
    """Return the movement ``c`` with ``x[index]`` as what is moved."""
    reads = (*c.reads, Read(len(args), index))
    body = scalar.read(len(c.reads))
    return build.apply(replaced(c, reads=reads, body=body), [*args, x], x.dtype)


def push(t: Tensor, facts: Facts) -> Tensor | None:
    """``f(x)[part]`` is ``f(x[part])``: what is not selected need not be computed."""
    c = statement(t)
    f = source(t)
    if c.guards or not facts.single(f) or measure(t.shape) >= measure(f.shape):
        return None
    index = main_index(c)
    if kind(f) == "cast":
        return build.cast(moving(c, t.args, source(f), index), t.dtype)
    if kind(f) != "elementwise":
        return None
    axes = dict(enumerate(index))
    parts = []
    op = statement(f)
    for a in op.body.args:
        r = op.reads[a.value]
        x = f.args[r.operand]
        if not x.shape:
            parts.append(x)
            continue
        where = tuple(substitute_index(i, axes) for i in r.index)
        parts.append(moving(c, t.args, x, where))
    y = build.elementwise(op.body.fn, *parts)
    return y if y.shape == t.shape and y.dtype == t.dtype else None


def stays_inside(c: Comprehension, x: Tensor) -> bool:
    """Return True if a movement of ``x`` stays within it even where a guard fails."""
    return all(
        in_range(i, n, c.extents, ())
        for i, n in zip(main_index(c), x.shape, strict=True)
    )


def absorb(t: Tensor, facts: Facts) -> Tensor | None:
    """A part or transpose of a sum is the sum of the part or transposed terms."""
    c = statement(t)
    r = source(t)
    if c.guards or kind(r) != "reduction" or not facts.single(r):
        return None
    if any(i.values() for i in main_index(c)):
        return None
    smaller = measure(t.shape) < measure(r.shape)
    op = statement(r)
    main: int = c.body.value
    index = c.reads[main].index
    if not smaller and not (op.is_contraction and _permutes(index, c.rank)):
        return None
    if not stays_inside(c, r):
        return None
    axes = dict(enumerate(index))
    axes |= {a: along(a - op.rank + c.rank) for a in op.reduced}
    extents = (*c.extents, *op.extents[op.rank :])
    return build.apply(with_axes(op, axes, extents, c.rank), r.args, t.dtype)


def _permutes(index: tuple[Index, ...], rank: int) -> bool:
    return len(index) == rank and {i.axis for i in index} == set(range(rank))


# -- around elementwise functions ------------------------------------------------------


def shrink(t: Tensor, facts: Facts) -> Tensor | None:
    """A repeated operand is read where it is small: ``f(x, repeat(y)) -> f(x, y)``."""
    del facts
    parts = operands(t)
    small = [unrepeated(x) for x in parts]
    if all(a is b for a, b in zip(parts, small, strict=True)):
        return None
    y = build.elementwise(statement(t).body.fn, *small)
    return build.broadcast_to(y, t.shape) if y.dtype == t.dtype else None


def unrepeated(t: Tensor) -> Tensor:
    """Return the smallest tensor that broadcasts to ``t``, a movement."""
    if kind(t) != "movement" or statement(t).guards:
        return t
    c = statement(t)
    used = axes_of_read(c, c.body.value)
    first = min((a for a in used if c.extents[a] != 1), default=c.rank)
    if first == 0 and all(a in used or n == 1 for a, n in enumerate(c.extents)):
        return t
    kept = range(first, c.rank)
    axes = {a: Index() for a in range(c.rank)}
    axes |= {a: along(a - first) for a in kept if a in used}
    shape = tuple(c.extents[a] if a in used else 1 for a in kept)
    return build.apply(with_axes(c, axes, shape, len(shape)), t.args, t.dtype)


def lift(t: Tensor, facts: Facts) -> Tensor | None:
    """``f(move(x), move(y)) -> move(f(x, y))`` where that computes no more elements."""
    del facts
    parts = operands(t)
    arrays = [x for x in parts if x.shape]
    if not arrays or any(kind(x) != "movement" for x in arrays):
        return None
    first = statement(arrays[0])
    inner = source(arrays[0])
    if first.guards or arrays[0].shape != t.shape:
        return None
    if measure(inner.shape) > measure(t.shape):
        return None
    if any(not _same_map(x, arrays[0]) for x in arrays[1:]):
        return None
    fn = statement(t).body.fn
    y = build.elementwise(fn, *(source(x) if x.shape else x for x in parts))
    if y.shape != inner.shape or y.dtype != t.dtype:
        return None
    return moving(first, arrays[0].args, y, main_index(first))


def _same_map(x: Tensor, y: Tensor) -> bool:
    """Return True if two movements differ in nothing but what they move."""
    if statement(x) != statement(y) or source(x).shape != source(y).shape:
        return False
    return all(
        a is b or (a is source(x) and b is source(y))
        for a, b in zip(x.args, y.args, strict=True)
    )


def lift_over_cast(t: Tensor, facts: Facts) -> Tensor | None:
    """``cast(move(x)) -> move(cast(x))`` where that converts no more elements."""
    del facts
    x = source(t)
    if kind(x) != "movement" or measure(source(x).shape) > measure(t.shape):
        return None
    y = build.cast(source(x), t.dtype)
    return moving(statement(x), x.args, y, main_index(statement(x)))


# -- reshapes --------------------------------------------------------------------------


def reshape_again(t: Tensor, facts: Facts) -> Tensor | None:
    """``reshape(reshape(x))`` is one reshape; none where the shape is the same."""
    del facts
    x = t.args[0]
    while isinstance(x.op, Reshape):
        x = x.args[0]
    if x.shape == t.shape:
        return x
    return None if x is t.args[0] else make(t.op, [x], t.shape, t.dtype)


def reshape_ones(t: Tensor, facts: Facts) -> Tensor | None:
    """A reshape that only adds or drops dimensions of 1 is a movement."""
    del facts
    x = t.args[0]
    new = [a for a, n in enumerate(t.shape) if n != 1]
    old = [d for d, n in enumerate(x.shape) if n != 1]
    if [t.shape[a] for a in new] != [x.shape[d] for d in old]:
        return None
    place = {d: along(a) for d, a in zip(old, new, strict=True)}
    index = [place.get(d, Index()) for d in range(x.ndim)]
    return build.movement("squeeze", x, t.shape, index)


MOVEMENT = (
    Rule("drop_identity", drop_identity),
    Rule("compose", compose),
    Rule("solve_guard", solve_guard),
    Rule("split", split),
    Rule("push", push),
    Rule("absorb", absorb),
    Rule("", name),
)
ELEMENTWISE = (
    Rule("shrink", shrink),
    Rule("lift", lift),
)
CAST = (Rule("lift_over_cast", lift_over_cast),)
RESHAPE = (Rule("reshape_again", reshape_again), Rule("reshape_ones", reshape_ones))

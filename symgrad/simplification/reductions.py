"""Rules of reductions: what is read, over which axes, and what may be taken outside."""

from __future__ import annotations

from symgrad.declare import build, scalar
from symgrad.declare.comprehension import (
    Comprehension,
    Guard,
    Index,
    Read,
    along,
)
from symgrad.declare.dims import Size, nonnegative
from symgrad.declare.tensor import Tensor, make, size_of
from symgrad.simplification.engine import Rule
from symgrad.simplification.inline import index_reads, inlined, with_axes
from symgrad.simplification.movements import solved
from symgrad.simplification.nodes import (
    Facts,
    axes_of_guards,
    axes_of_index,
    axes_of_read,
    factors,
    float_like,
    function,
    in_range,
    kind,
    measure,
    operands,
    product_of,
    replaced,
    statement,
)

Statement = tuple[Comprehension, list[Tensor]]


def finish(c: Comprehension, args: list[Tensor], dtype: str) -> Tensor:
    """Return the node of a statement that may have lost its last reduced axis."""
    if c.target is None and c.rank == len(c.extents) and c.reduce is not None:
        y = build.normal_form(replaced(c, reduce=None, name="read"), args)
        return build.cast(y, dtype)
    return build.apply(c, args, dtype)


# -- reads ---------------------------------------------------------------------------------


def read_through(t: Tensor, facts: Facts) -> Tensor | None:
    """A reduction reads through movements: ``Σ_k T(x)[i, k]`` is ``Σ_k x[k, i]``.

    A product reads through what is a matrix in memory (transposes, slices, repeats);
    a guard must be solved on the way, or stays outside.
    """
    del facts
    c = statement(t)
    parts = factors(c)
    indices = index_reads(c)
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
            if len(solution.guards) > len(c.guards):
                continue
            found = solution, found[1]
        elif k not in indices and not _readable(c, found[0], k, parts):
            continue
        return finish(*found, t.dtype)
    return None


def _readable(
    c: Comprehension, new: Comprehension, k: int, parts: list[int] | None
) -> bool:
    """Return True if a read stays as fast as it was."""
    plain = c.target is None and parts is not None and len(parts) == 1
    if plain and new.reads[k].index and not any(i.values() for i in new.reads[k].index):
        return True
    seen: set[int] = set()
    for i in new.reads[k].index:
        axes = i.axes()
        if i.values() or len(i.terms) > 1 or axes & seen or len(axes) != len(i.terms):
            return False
        seen |= axes
    return True


# -- axes ----------------------------------------------------------------------------------


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
    used = axes_of_guards(c)
    for k in range(len(c.reads)):
        used |= axes_of_read(c, k)
    for i in c.target or ():
        used |= axes_of_index(c, i)
    return [a for a in c.reduced if a not in used]


def drop_axes(t: Tensor, facts: Facts) -> Tensor | None:
    """``Σ_k x[i]`` is ``n·x[i]``; a max over an axis on which nothing depends is none."""
    del facts
    c = statement(t)
    free = free_axes(c)
    if not free or c.reduce not in ("sum", "max", "min", "any", "all"):
        return None
    if c.reduce != "sum" and not all(
        isinstance(c.extents[a], int) and c.extents[a] != 0 for a in free
    ):
        return None
    count: Size = 1
    for a in sorted(free, reverse=True):
        count = count * c.extents[a]
        c = without_axis(c, a, Index())
    if c.target is not None:
        return None
    y = finish(c, list(t.args), t.dtype)
    if t.op.reduce != "sum" or count == 1:  # type: ignore[union-attr]
        return y
    return build.elementwise("mul", y, size_of(count, t.dtype))


# -- what is summed ------------------------------------------------------------------------


def pull_negation(t: Tensor, facts: Facts) -> Tensor | None:
    """``Σ -x·y`` is ``-Σ x·y`` where that negates no more elements."""
    del facts
    c = statement(t)
    if c.reduce != "sum" or c.target is not None or not float_like(t):
        return None
    for k in factors(c) or ():
        x = t.args[c.reads[k].operand]
        if function(x) == "neg" and measure(t.shape) <= measure(x.shape):
            (inner,) = operands(x)
            return build.elementwise("neg", reading(t, k, inner))
    return None


def reading(t: Tensor, k: int, x: Tensor) -> Tensor:
    """Return a reduction with ``x`` in the place of what read ``k`` reads."""
    c = statement(t)
    reads = list(c.reads)
    reads[k] = Read(len(t.args), reads[k].index)
    return build.apply(replaced(c, reads=tuple(reads)), [*t.args, x], t.dtype)


def open_product(t: Tensor, facts: Facts) -> Tensor | None:
    """``Σ (x·y)`` becomes a contraction of ``x`` and ``y``.

    Inside a contraction, only where a factor can then be taken out of the sum.
    """
    c = statement(t)
    parts = factors(c)
    if c.reduce != "sum" or parts is None or not float_like(t) or c.target is not None:
        return None
    for k in parts:
        x = t.args[c.reads[k].operand]
        if function(x) != "mul" or parts.count(k) > 1 or k in index_reads(c):
            continue
        new = _opened(c, list(t.args), k, x)
        outside = _constant_factors(new[0])
        if len(parts) == 1:
            fits = facts.single(x) or _is_matrix_product(new[0])
        else:
            fits = bool(outside) and facts.single(x)
            fits = fits and measure(t.shape) <= measure(x.shape)
        if fits:
            return build.apply(*new, t.dtype)
    return None


def _opened(c: Comprehension, args: list[Tensor], k: int, x: Tensor) -> Statement:
    """Return the statement with read ``k`` of ``x = a·b`` as reads of ``a`` and ``b``."""
    op = statement(x)
    where = dict(enumerate(c.reads[k].index))
    reads, body = list(c.reads), []
    for part in op.body.args:
        r = op.reads[part.value]  # type: ignore[index]
        index = tuple(where[i.axis] if i.axis is not None else Index() for i in r.index)
        body.append(scalar.read(len(reads)))
        reads.append(Read(len(args) + r.operand, index))
    product = scalar.call("mul", *body)
    opened = scalar.substitute(c.body, {scalar.read(k): product})
    return replaced(c, reads=tuple(reads), body=opened), [*args, *x.args]


def _constant_factors(c: Comprehension) -> list[int]:
    """Return the factors on which no reduced axis depends."""
    reduced = set(c.reduced)
    return [k for k in factors(c) or () if not axes_of_read(c, k) & reduced]


def _is_matrix_product(c: Comprehension) -> bool:
    """Return True if each of two factors lacks an axis of the result that the other has."""
    parts = factors(c)
    if parts is None or len(parts) != 2 or c.guards:
        return False
    if any(i.axis is None and i.terms for k in parts for i in c.reads[k].index):
        return False
    a, b = (axes_of_read(c, k) for k in parts)
    reduced = set(c.reduced)
    return bool(a - b) and bool(b - a) and reduced <= (a & b)


def pull_factor(t: Tensor, facts: Facts) -> Tensor | None:
    """``Σ_k a[i]·b[i, k]`` is ``a[i]·Σ_k b[i, k]``."""
    del facts
    c = statement(t)
    parts = factors(c)
    if c.reduce != "sum" or parts is None or len(parts) < 2 or c.target is not None:
        return None
    if c.guards or not float_like(t):
        return None
    outside = _constant_factors(c)
    if not outside or len(outside) == len(parts):
        return None
    rest = [k for k in parts if k not in outside]
    y = build.apply(replaced(c, body=product_of(rest)), t.args, t.dtype)
    for k in outside:
        y = build.elementwise("mul", read_outside(t, k), y)
    return y


def read_outside(t: Tensor, k: int) -> Tensor:
    """Return a read on which no reduced axis depends, over the axes of the result."""
    c = statement(t)
    x = t.args[c.reads[k].operand]
    if not x.shape:
        return x
    moved = Comprehension(
        "broadcast_to", c.rank, c.extents[: c.rank], scalar.read(k), c.reads
    )
    return build.apply(moved, t.args, x.dtype)


def pull_divisor(t: Tensor, facts: Facts) -> Tensor | None:
    """``Σ_k x[i, k]/s[i]`` is ``(Σ_k x[i, k])/s[i]`` where that divides less often."""
    c = statement(t)
    if c.reduce != "sum" or c.target is not None or c.guards or not float_like(t):
        return None
    for k in factors(c) or ():
        x = t.args[c.reads[k].operand]
        if function(x) != "div" or not facts.single(x):
            continue
        if measure(t.shape) > measure(x.shape):
            continue
        above, _ = operands(x)
        new, args = _opened(c, list(t.args), k, x)
        divisor = new.reads[-1]
        if (
            axes_of_read(new, len(new.reads) - 1) & set(c.reduced)
            or above.shape != x.shape
        ):
            continue
        body = scalar.substitute(
            c.body, {scalar.read(k): scalar.read(len(new.reads) - 2)}
        )
        y = build.apply(replaced(new, body=body), args, t.dtype)
        below = make_outside(new, args, divisor)
        return build.elementwise("div", y, below)
    return None


def make_outside(c: Comprehension, args: list[Tensor], r: Read) -> Tensor:
    """Return a read, free of the reduced axes, over the axes of the result."""
    x = args[r.operand]
    if not x.shape:
        return x
    moved = Comprehension(
        "broadcast_to",
        c.rank,
        c.extents[: c.rank],
        scalar.read(len(c.reads)),
        (*c.reads, r),
    )
    return build.apply(moved, args, x.dtype)


def merge(t: Tensor, facts: Facts) -> Tensor | None:
    """``Σ_i Σ_j x[i, j]`` is one sum over ``i`` and ``j``; likewise max, min, any, all."""
    c = statement(t)
    parts = factors(c)
    if parts is None or len(parts) != 1 or c.target is not None or c.guards:
        return None
    k = parts[0]
    x = t.args[c.reads[k].operand]
    if kind(x) != "reduction" or not facts.single(x) or x.dtype != t.dtype:
        return None
    op = statement(x)
    if op.reduce != c.reduce or op.reduce not in ("sum", "max", "min", "any", "all"):
        return None
    if op.guards or op.target is not None or k in index_reads(c):
        return None
    index = c.reads[k].index
    if any(i.axis is None for i in index) or len({i.axis for i in index}) < len(index):
        return None
    axes = dict(enumerate(index))
    new = len(c.extents)
    axes |= {a: along(new + a - op.rank) for a in op.reduced}
    extents = (*c.extents, *op.extents[op.rank :])
    return build.apply(with_axes(op, axes, extents, c.rank), x.args, t.dtype)


def name(t: Tensor, facts: Facts) -> Tensor | None:
    """A plain reduction is named by what it does; its factors stand in a fixed order."""
    c = statement(t)
    parts = factors(c)
    if parts is None or c.guards or c.target is not None:
        return None
    plain = all(
        i.axis is not None or (not i.terms and i.constant == 0)
        for k in parts
        for i in c.reads[k].index
    )
    wanted = c.name
    if plain and len(parts) == 1:
        wanted = c.reduce or c.name
    elif plain and c.reduce == "sum":
        wanted = "matmul" if len(parts) == 2 and len(c.reduced) == 1 else "einsum"
    order = sorted(parts, key=lambda k: _factor_key(t, c, k, facts))
    if wanted == c.name and order == parts:
        return None
    if order == parts or len(c.reads) != len(set(parts)):
        if wanted == c.name:
            return None
        return make(replaced(c, name=wanted), t.args, t.shape, t.dtype)
    number = {k: n for n, k in enumerate(dict.fromkeys(order))}
    reads = tuple(c.reads[k] for k in number)
    body = product_of([number[k] for k in order])
    return build.apply(
        replaced(c, name=wanted, reads=reads, body=body), t.args, t.dtype
    )


def _factor_key(t: Tensor, c: Comprehension, k: int, facts: Facts) -> tuple:
    r = c.reads[k]
    output = sorted(a for a in axes_of_read(c, k) if a < c.rank)
    return output, facts.key(t.args[r.operand]), repr(r.index)


REDUCTION = (
    Rule("read_through", read_through),
    Rule("solve_guards", solve_guards),
    Rule("drop_axes", drop_axes),
    Rule("pull_negation", pull_negation),
    Rule("open_product", open_product),
    Rule("pull_factor", pull_factor),
    Rule("pull_divisor", pull_divisor),
    Rule("merge", merge),
)
NAMES = (Rule("", name),)

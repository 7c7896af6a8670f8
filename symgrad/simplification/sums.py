"""Rules of sums of products: factors taken in, factors taken out, names."""

from __future__ import annotations

from collections.abc import Sequence

from symgrad.declare import build, scalar
from symgrad.declare.comprehension import Comprehension, Index, Read, along
from symgrad.declare.tensor import Tensor, make
from symgrad.simplification.engine import Rule
from symgrad.simplification.inline import with_axes
from symgrad.simplification.nodes import (
    Facts,
    float_like,
    function,
    kind,
    measure,
    operands,
    replaced,
    statement,
)
from symgrad.simplification.reductions import finish, without_axis
from symgrad.simplification.structure import (
    axes_of_read,
    factors,
    product_of,
    structure,
)

Statement = tuple[Comprehension, list[Tensor]]


def pull_negation(t: Tensor, facts: Facts) -> Tensor | None:
    """``Σ -x·y`` is ``-Σ x·y`` where that negates no more elements."""
    del facts
    c = statement(t)
    if c.reduce != "sum" or c.target is not None or not float_like(t):
        return None
    for k in factors(c):
        x = t.args[c.reads[k].operand]
        if function(x) == "neg" and measure(t.shape) <= measure(x.shape):
            (inner,) = operands(x)
            y = reading(t, k, inner)
            odd = factors(c).count(k) % 2  # a square keeps its sign
            return build.elementwise("neg", y) if odd else y
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
    if c.reduce != "sum" or not parts or not float_like(t) or c.target is not None:
        return None
    for k in parts:
        x = t.args[c.reads[k].operand]
        if function(x) != "mul" or parts.count(k) > 1 or k in structure(c).index_reads:
            continue
        alone = len(parts) == 1
        if not alone and (measure(t.shape) > measure(x.shape) or not facts.single(x)):
            continue
        new, args = _opened(c, list(t.args), k, x)
        if alone:
            fits = facts.single(x) or _is_matrix_product(new)
        else:
            fits = bool(_constant_factors(new))
        if fits:
            return build.apply(new, args, t.dtype)
    return None


def _opened(c: Comprehension, args: list[Tensor], k: int, x: Tensor) -> Statement:
    """Return the statement with read ``k``, of ``x = a·b``, as two reads."""
    op = statement(x)
    where = dict(enumerate(c.reads[k].index))
    reads, body = list(c.reads), []
    for part in op.body.args:
        r = op.reads[part.value]
        index = tuple(where[i.axis] if i.axis is not None else Index() for i in r.index)
        body.append(scalar.read(len(reads)))
        reads.append(Read(len(args) + r.operand, index))
    product = scalar.call("mul", *body)
    opened = scalar.substitute(c.body, {scalar.read(k): product})
    return replaced(c, reads=tuple(reads), body=opened), [*args, *x.args]


def _constant_factors(c: Comprehension) -> list[int]:
    """Return the factors on which no reduced axis depends."""
    reduced = set(c.reduced)
    return [k for k in factors(c) if not axes_of_read(c, k) & reduced]


def _is_matrix_product(c: Comprehension) -> bool:
    """Return True if each of two factors lacks an axis that the other has."""
    parts = factors(c)
    if len(parts) != 2 or c.guards:
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
    if c.reduce != "sum" or len(parts) < 2 or c.target is not None:
        return None
    if c.guards or not float_like(t):
        return None
    outside = _constant_factors(c)
    if not outside or len(outside) == len(parts):
        return None
    rest = [k for k in parts if k not in outside]
    y = build.apply(replaced(c, body=product_of(rest)), t.args, t.dtype)
    for k in outside:
        y = build.elementwise("mul", outside_sum(c, t.args, k), y)
    return y


def outside_sum(c: Comprehension, args: Sequence[Tensor], k: int) -> Tensor:
    """Return a read on which no reduced axis depends, over the axes of the result."""
    x = args[c.reads[k].operand]
    if not x.shape:
        return x
    extents = c.extents[: c.rank]
    moved = Comprehension("broadcast_to", c.rank, extents, scalar.read(k), c.reads)
    return build.apply(moved, args, x.dtype)


def sum_factor_first(t: Tensor, facts: Facts) -> Tensor | None:
    """``Σ_ijk a[i, k]·b[k, j]`` is ``Σ_k (Σ_i a[i, k])·(Σ_j b[k, j])``."""
    del facts
    c = statement(t)
    parts = factors(c)
    if c.reduce != "sum" or len(parts) < 2 or c.target is not None or c.guards:
        return None
    if not float_like(t) or len(set(parts)) < len(parts):
        return None
    for k in parts:
        own = axes_of_read(c, k)
        others = set().union(*(axes_of_read(c, n) for n in parts if n != k))
        alone = [a for a in c.reduced if a in own and a not in others]
        if alone and others - own:
            return _summed_first(t, k, sorted(own - set(alone)), alone)
    return None


def _summed_first(t: Tensor, k: int, kept: list[int], alone: list[int]) -> Tensor:
    """Return the sum with factor ``k`` replaced by its own sum over some axes."""
    c = statement(t)
    order = [*kept, *alone]
    axes = {a: along(n) for n, a in enumerate(order)}
    extents = tuple(c.extents[a] for a in order)
    only = replaced(c, name="sum", body=scalar.read(k))
    first = build.apply(with_axes(only, axes, extents, len(kept)), t.args, t.dtype)
    reads = list(c.reads)
    reads[k] = Read(len(t.args), tuple(map(along, kept)))
    rest = replaced(c, reads=tuple(reads))
    for a in sorted(alone, reverse=True):
        rest = without_axis(rest, a, Index())
    return finish(rest, [*t.args, first], t.dtype)


def pull_divisor(t: Tensor, facts: Facts) -> Tensor | None:
    """``Σ_k x[i, k]/s[i]`` is ``(Σ_k x[i, k])/s[i]`` where that divides less often."""
    c = statement(t)
    if c.reduce != "sum" or c.target is not None or c.guards or not float_like(t):
        return None
    for k in factors(c):
        x = t.args[c.reads[k].operand]
        if function(x) != "div" or not facts.single(x):
            continue
        if measure(t.shape) > measure(x.shape):
            continue
        above, _ = operands(x)
        new, args = _opened(c, list(t.args), k, x)
        over, below = len(new.reads) - 2, len(new.reads) - 1
        if above.shape != x.shape or axes_of_read(new, below) & set(c.reduced):
            continue
        body = scalar.substitute(c.body, {scalar.read(k): scalar.read(over)})
        y = build.apply(replaced(new, body=body), args, t.dtype)
        for _ in range(factors(c).count(k)):  # a square is divided twice
            y = build.elementwise("div", y, outside_sum(new, args, below))
        return y
    return None


def merge(t: Tensor, facts: Facts) -> Tensor | None:
    """``Σ_i Σ_j x[i, j]`` is one sum over ``i`` and ``j``; likewise max and others."""
    c = statement(t)
    parts = factors(c)
    if len(parts) != 1 or c.target is not None or c.guards:
        return None
    k = parts[0]
    x = t.args[c.reads[k].operand]
    if kind(x) != "reduction" or not facts.single(x) or x.dtype != t.dtype:
        return None
    op = statement(x)
    if op.reduce != c.reduce or op.reduce not in ("sum", "max", "min", "any", "all"):
        return None
    if op.guards or op.target is not None or k in structure(c).index_reads:
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
    """A plain reduction is named by what it does; its factors are in order."""
    c = statement(t)
    parts = factors(c)
    if not parts or c.guards or c.target is not None:
        return None
    wanted = _plain_name(c, parts) or c.name
    order = _in_order(t, parts, facts)
    other = len(c.reads) != len(set(parts))
    tidy = order == parts and (
        other or list(dict.fromkeys(order)) == sorted(set(order))
    )
    if wanted == c.name and tidy:
        return None
    if tidy or other:
        if wanted == c.name:
            return None
        return make(replaced(c, name=wanted), t.args, t.shape, t.dtype)
    number = {k: n for n, k in enumerate(dict.fromkeys(order))}
    reads = tuple(c.reads[k] for k in number)
    body = product_of([number[k] for k in order])
    return build.apply(
        replaced(c, name=wanted, reads=reads, body=body), t.args, t.dtype
    )


def _plain_name(c: Comprehension, parts: tuple[int, ...]) -> str | None:
    """Return what a reduction of whole axes is called, or None if it is none."""
    index = (i for k in parts for i in c.reads[k].index)
    if any(i.axis is None and (i.terms or i.constant != 0) for i in index):
        return None
    if len(parts) == 1:
        return c.reduce
    if c.reduce != "sum":
        return None
    if len(parts) > 2 or len(c.reduced) > 1:
        return "einsum"
    a, b = (axes_of_read(c, k) for k in parts)
    return "vecdot" if a == b else "matmul"


def _in_order(t: Tensor, parts: tuple[int, ...], facts: Facts) -> tuple[int, ...]:
    """Return the factors as in ``a[i, k]*b[k, j]``: by the axes of the result."""
    c = statement(t)

    def place(k: int) -> tuple:
        output = sorted(a for a in axes_of_read(c, k) if a < c.rank)
        return not output, output, facts.key(t.args[c.reads[k].operand])

    if len(parts) == 1:
        return parts
    listed: Sequence[int] = parts
    if len(t.args) < len(parts):  # a tensor is read twice: its indices decide
        listed = sorted(parts, key=lambda k: repr(c.reads[k].index))
    return tuple(sorted(listed, key=place))


SUMS = (
    Rule("pull_negation", pull_negation),
    Rule("open_product", open_product),
    Rule("pull_factor", pull_factor),
    Rule("pull_divisor", pull_divisor),
    Rule("sum_factor_first", sum_factor_first),
    Rule("merge_sums", merge),
)
NAMES = (Rule("", name),)

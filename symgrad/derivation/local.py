"""Local derivatives: one rule for each kind of statement, none for an operation.

* elementwise: the slope of the scalar function (SymPy's), times the cotangent;
* sum, movement, scatter: the transposed statement (``transpose``);
* max, min: the slope is 1 where the term equals the result, ties share evenly;
* prod: the slope of a factor is the product of the others, exact at zeros;
* reshape: the reshape back;
* linear algebra: as declared (``linear_algebra``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from symgrad.declare import dtypes, scalar
from symgrad.declare.build import (
    ZERO,
    apply,
    broadcast_to,
    build,
    cast,
    elementwise,
    expand_read,
    movement,
    reduction,
)
from symgrad.declare.comprehension import Comprehension, Guard, Read, affine, along
from symgrad.declare.linear_algebra import LinearAlgebra
from symgrad.declare.scalar import Expr
from symgrad.declare.tensor import Reshape, Tensor, constant, make, scalar_value
from symgrad.derivation.linear_algebra import COTANGENTS, TANGENTS
from symgrad.derivation.symbolic import VARIABLES, slope
from symgrad.derivation.transpose import transpose
from symgrad.errors import DerivationError

#: What a cotangent sends back: (number of the operand, its contribution).
Contribution = tuple[int, Tensor]


def vjp(
    node: Tensor, g: Tensor, wanted: Callable[[Tensor], bool]
) -> list[Contribution]:
    """Return what the cotangent ``g`` of a node contributes to each wanted operand.

    Integer and bool operands get nothing; a slope that is 0 everywhere neither.
    """
    if isinstance(node.op, Reshape):
        x = node.args[0]
        return [(0, make(Reshape(x.shape), [g], x.shape, g.dtype))] if wanted(x) else []
    if isinstance(node.op, LinearAlgebra):
        return _declared(node, g, wanted)
    c = node.op
    if not isinstance(c, Comprehension):
        raise DerivationError(f"{node.describe()} has no derivative")
    found: list[Contribution] = []
    for position, factor in enumerate(_places(c)):
        n = c.reads[factor].operand
        x = node.args[n]
        if not wanted(x) or not dtypes.is_float(x.dtype):
            continue
        contribution = _contribution(node, c, position, factor, g)
        if contribution is not None:
            found.append((n, contribution))
    return found


def _declared(
    node: Tensor, g: Tensor, wanted: Callable[[Tensor], bool]
) -> list[Contribution]:
    """Return the contributions of a node whose cotangents stand in a table."""
    found = []
    for n, x in enumerate(node.args):
        rule = COTANGENTS.get((node.op.name, n))  # type: ignore[union-attr]
        if rule is not None and wanted(x):
            found.append((n, rule(*node.args, y=node, g=g)))
    return found


def _places(c: Comprehension) -> list[int]:
    """Return the number of the read at each argument or factor of the body."""
    parts = (
        c.body.args
        if c.is_elementwise and c.body.fn != "read"
        else scalar.factors(c.body)
    )
    return [p.value for p in parts if p.fn == "read"]


def _contribution(
    node: Tensor, c: Comprehension, position: int, k: int, g: Tensor
) -> Tensor | None:
    if c.reduce in ("max", "min"):
        return _through_read(node, c, k, _masked_share(node, c, k, g))
    if c.reduce == "prod":
        return _through_read(node, c, k, _others_times(node, c, k, g))
    if c.is_elementwise and c.body.fn != "read":
        x = node.args[c.reads[k].operand]
        full = _scaled(g, slope(c.body.fn, position), node)
        return None if full is None else cast(unbroadcast(full, x), x.dtype)
    return transpose(node, k, _rest(c, position), g)


def _rest(c: Comprehension, position: int) -> Expr:
    """Return the slope of a product by one factor: the product of the others."""
    parts = scalar.factors(c.body)
    return scalar.multiply([p for n, p in enumerate(parts) if n != position])


def _scaled(g: Tensor, local: Expr, node: Tensor) -> Tensor | None:
    """Return ``g`` times the slope of an elementwise node, in the node's shape."""
    names = VARIABLES[: len(node.op.body.args)]  # type: ignore[union-attr]
    reads = [node.op.reads[a.value].operand for a in node.op.body.args]  # type: ignore
    values: dict[Expr, Tensor] = {}
    numbers: dict[Expr, Expr] = {}
    for name, n in zip(names, reads, strict=True):
        values[scalar.var(name)] = node.args[n]
        known = scalar_value(node.args[n])
        if known is not None:
            numbers[scalar.var(name)] = scalar.number(known)
    local = scalar.substitute(local, numbers)
    if scalar.is_number(local) and local.value == 0:
        return None
    mask, inner = _mask(g)
    body = scalar.scale(scalar.var("g"), local)
    if mask is not None and body is not scalar.var("g"):
        # the branch that was not taken keeps its exact 0
        body = scalar.call("select", scalar.var("mask"), body, scalar.number(0))
        values[scalar.var("mask")] = mask
        g = inner
    values[scalar.var("g")] = g
    return broadcast_to(build(body, values, node.dtype), node.shape)


def _mask(g: Tensor) -> tuple[Tensor | None, Tensor]:
    """Return the condition under which ``g`` is not an exact 0, and its value there."""
    op = g.op
    if isinstance(op, Comprehension) and op.body.fn == "select" and op.is_elementwise:
        condition, taken, other = (
            g.args[op.reads[a.value].operand] for a in op.body.args
        )
        if scalar_value(taken) == 0:
            condition, taken, other = elementwise("not", condition), other, taken
        if scalar_value(other) == 0:
            inner, value = _mask(taken)
            both = condition if inner is None else elementwise("and", condition, inner)
            return both, value
    return None, g


def plus(a: Tensor, b: Tensor) -> Tensor:
    """Return the sum of two cotangents, an exact 0 where both are."""
    first, x = _mask(a)
    second, y = _mask(b)
    if first is None or second is None:
        return elementwise("add", a, b)
    if first is second:
        return elementwise("select", first, elementwise("add", x, y), 0)
    either = elementwise("or", first, second)
    return elementwise("select", either, elementwise("add", a, b), 0)


def unbroadcast(full: Tensor, x: Tensor) -> Tensor:
    """Return ``full`` summed over the axes along which ``x`` was repeated."""
    offset = full.ndim - x.ndim
    axes = [
        a
        for a in range(full.ndim)
        if a < offset or (x.shape[a - offset] == 1 and full.shape[a] != 1)
    ]
    if not axes:
        return full
    y = reduction("sum", full, axes)
    kept = [a - offset for a in range(offset, full.ndim) if a not in axes]
    return movement("expand_dims", y, x.shape, [along(d) for d in kept])


# -- max, min and prod ------------------------------------------------------------


def _over_axes(t: Tensor, c: Comprehension) -> Tensor:
    """Return a tensor of the result's shape, broadcast along the reduced axes."""
    return movement("broadcast_to", t, c.extents, [along(a) for a in range(c.rank)])


def _guard_mask(c: Comprehension) -> Tensor | None:
    """Return where the guards hold, over all axes; None if they always do."""
    if not c.guards:
        return None
    yes = constant(True)
    mask = Comprehension(
        "guard",
        len(c.extents),
        c.extents,
        scalar.read(0),
        (Read(0, ()),),
        None,
        c.guards,
    )
    return apply(mask, [yes])


def _terms(node: Tensor, c: Comprehension, k: int, identity: float) -> Tensor:
    """Return the terms that are reduced, over all axes."""
    terms = broadcast_to(expand_read(c, node.args, k), c.extents)
    mask = _guard_mask(c)
    return terms if mask is None else elementwise("select", mask, terms, identity)


def _masked_share(node: Tensor, c: Comprehension, k: int, g: Tensor) -> Tensor:
    """Return the cotangent of each term of a max or min: ties share it evenly."""
    if c.guards:
        raise DerivationError(
            f"{node.describe()}: no derivative of a guarded {c.reduce}"
        )
    terms = _terms(node, c, k, 0.0)
    chosen = elementwise("eq", terms, _over_axes(node, c))
    count = reduction("sum", cast(chosen, g.dtype), c.reduced)
    share = elementwise("div", g, count)
    return elementwise("select", chosen, _over_axes(share, c), 0)


def _others_times(node: Tensor, c: Comprehension, k: int, g: Tensor) -> Tensor:
    """Return the cotangent of each factor of a product: the product of the others.

    Two cumulative products, before and after, stay exact where factors are 0.
    """
    (last,) = c.reduced
    terms = _terms(node, c, k, 1.0)
    before, after = (_exclusive_product(terms, last, side) for side in (1, -1))
    full = elementwise("mul", _over_axes(g, c), elementwise("mul", before, after))
    mask = _guard_mask(c)
    return full if mask is None else elementwise("select", mask, full, 0)


def _exclusive_product(terms: Tensor, axis: int, side: int) -> Tensor:
    """Return the product of the terms strictly before (after) each one."""
    rank = terms.ndim
    index = [along(a) for a in range(rank)]
    index[axis] = along(rank)
    distance = affine([(axis, side), (rank, -side)], -1)
    c = Comprehension(
        "cumulative_prod",
        rank,
        (*terms.shape, terms.shape[axis]),
        scalar.read(0),
        (Read(0, tuple(index)),),
        "prod",
        (Guard(distance, None),),
    )
    return apply(c, [terms])


def _through_read(node: Tensor, c: Comprehension, k: int, full: Tensor) -> Tensor:
    """Return a cotangent over all axes, sent back through the index map of a read."""
    args = list(node.args)
    spread = replace(
        c, rank=len(c.extents), reduce=None, body=scalar.read(k), name="read", guards=()
    )
    virtual = _Virtual(spread, tuple(args), c.extents, full.dtype)
    return transpose(virtual, k, scalar.number(1), full)  # type: ignore[arg-type]


class _Virtual:
    """A movement seen as a node, without a place in the graph."""

    def __init__(
        self, op: Comprehension, args: tuple[Tensor, ...], shape: tuple, dtype: str
    ) -> None:
        self.op, self.args, self.shape, self.dtype = op, args, shape, dtype


# -- forward mode -----------------------------------------------------------------


def jvp(node: Tensor, tangents: list[Tensor | None]) -> Tensor | None:
    """Return the tangent of a node, given those of its operands (None: zero).

    A result that is no float (an argmax, a comparison) does not change along with them.
    """
    if not dtypes.is_float(node.dtype):
        return None
    if isinstance(node.op, Reshape):
        t = tangents[0]
        return None if t is None else make(node.op, [t], node.shape, t.dtype)
    if isinstance(node.op, LinearAlgebra):
        rules = [TANGENTS.get((node.op.name, n)) for n in range(len(node.args))]
        return _added(
            rule(*node.args, y=node, t=t)
            for rule, t in zip(rules, tangents, strict=True)
            if rule is not None and t is not None
        )
    c = node.op
    if not isinstance(c, Comprehension):
        return None
    return _added(
        _tangent(node, c, position, k, tangent)
        for position, k in enumerate(_places(c))
        if (tangent := tangents[c.reads[k].operand]) is not None
    )


def _added(parts: Iterable[Tensor | None]) -> Tensor | None:
    total: Tensor | None = None
    for part in parts:
        if part is not None:
            total = part if total is None else elementwise("add", total, part)
    return total


def _tangent(
    node: Tensor, c: Comprehension, position: int, k: int, tangent: Tensor
) -> Tensor | None:
    if c.is_elementwise and c.body.fn != "read":
        return _scaled(tangent, slope(c.body.fn, position), node)
    moved = c.reads[k]._replace(operand=len(node.args))
    args = [*node.args, tangent]
    if c.reduce in ("max", "min", "prod"):
        spread = replace(c, reads=(*c.reads, moved))
        terms = broadcast_to(expand_read(spread, args, len(c.reads)), c.extents)
        ones = broadcast_to(constant(1.0, tangent.dtype), node.shape)
        rule = _others_times if c.reduce == "prod" else _masked_share
        weight = rule(node, c, k, ones)
        return reduction("sum", elementwise("mul", weight, terms), c.reduced)
    body = scalar.multiply([scalar.read(len(c.reads)), _rest(c, position)])
    linear = replace(c, body=body, reads=(*c.reads, moved))
    return apply(linear, args, node.dtype)


__all__ = ["ZERO", "Contribution", "jvp", "plus", "unbroadcast", "vjp"]

"""Build nodes from statements: broadcasting, promotion, and the normal form.

Every function here ends in ``apply``, which makes the node of one comprehension.  The
graph is kept in a normal form of small statements: an elementwise node applies one
scalar function, a movement has one read as its body, a reduction has one read or a
product of reads.  A statement with a larger body is built of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from symgrad.declare import dtypes, scalar
from symgrad.declare.comprehension import (
    Comprehension,
    Guard,
    Index,
    Read,
    along,
    axes_through,
    compact,
    drop_unit_axes,
)
from symgrad.declare.dims import Size
from symgrad.declare.scalar import FUNCTIONS, Expr
from symgrad.declare.tensor import (
    Constant,
    Shape,
    Tensor,
    as_tensor,
    constant,
    make,
    size_of,
)
from symgrad.errors import DTypeError, ShapeError

ZERO = Index()


def apply(c: Comprehension, args: Sequence[Tensor], dtype: str | None = None) -> Tensor:
    """Return the node of one statement, unused operands dropped."""
    if dtype is None:
        dtype = result_type(c, args)
    kept = drop_unit_axes(c)
    nested = any(part.args for part in kept.body.args)
    if nested and kept.reduce is None and kept.target is None:
        return cast(normal_form(kept, args), dtype)
    c, operands = compact(_without_sure_guards(kept), args)
    return make(c, operands, c.shape, dtype)


def _without_sure_guards(c: Comprehension) -> Comprehension:
    return c.with_guards(c.guards) if c.guards else c


def result_type(c: Comprehension, args: Sequence[Tensor]) -> str:
    """Return the element type of a statement's result."""
    if c.reduce in ("argmax", "argmin"):
        return "int64"
    if c.reduce in ("any", "all"):
        return "bool"
    kind = infer_type(c.body, [args[r.operand].dtype for r in c.reads])
    if c.reduce in ("sum", "prod") and kind in ("bool", "int32"):
        return "int64"
    return kind


def infer_type(e: Expr, reads: Sequence[str]) -> str:
    """Return the type of a body, given the types of its reads."""
    if e.fn == "read":
        return reads[e.value]
    if e.fn == "number":
        return dtypes.weak(e.value, None)
    if e.fn in ("axis", "size"):
        return "int64"
    kind = FUNCTIONS[e.fn].result
    if kind == "bool":
        return "bool"
    args = e.args[1:] if e.fn == "select" else e.args
    known = [infer_type(a, reads) for a in args if a.fn != "number"]
    literal = [a.value for a in args if a.fn == "number"]
    merged = dtypes.promote(*known) if known else None
    for value in literal:
        merged = dtypes.weak(value, merged)
    assert merged is not None
    return dtypes.as_float(merged) if kind == "float" else merged


def broadcast_shapes(what: str, *tensors: Tensor, last: int = 0) -> Shape:
    """Return the shape that these shapes, without their last dimensions, broadcast to.

    Raises:
        ShapeError: naming the operation, the operands and their shapes.
    """
    rank = max((t.ndim - last for t in tensors), default=0)
    result: list[Size] = [1] * rank
    for t in tensors:
        shape = t.shape[: t.ndim - last]
        for d, extent in enumerate(shape, start=rank - len(shape)):
            if extent == 1 or extent == result[d]:
                continue
            if result[d] != 1:
                shapes = " and ".join(_uncast(t) for t in tensors if t.shape)
                where = f"dimension {d - rank - last}"
                raise ShapeError(
                    f"{what}: the shapes of {shapes} do not fit: {where} is "
                    f"{result[d]} in one and {extent} in the other; dimensions must be "
                    "equal, or one of them 1"
                )
            result[d] = extent
    return tuple(result)


def _uncast(t: Tensor) -> str:
    """Describe an operand as it was given: promotion has cast it, perhaps."""
    is_cast = isinstance(t.op, Comprehension) and t.op.name.startswith("as_")
    return (t.args[0] if is_cast else t).describe()


def broadcast_index(shape: Shape, out: Shape) -> tuple[Index, ...]:
    """Return how a tensor of ``shape`` is read in an elementwise loop over ``out``."""
    offset = len(out) - len(shape)
    return tuple(
        ZERO if extent == 1 and out[offset + d] != 1 else along(offset + d)
        for d, extent in enumerate(shape)
    )


def elementwise(fn: str, *values: Any) -> Tensor:
    """Return a scalar function applied to each element, with broadcasting.

    >>> from symgrad.declare.tensor import input
    >>> elementwise("add", input("x", (3, 1)), 2.0).shape
    (3, 1)
    """
    function = FUNCTIONS[fn]
    first = 1 if fn == "select" else 0
    known = [v.dtype for v in values[first:] if isinstance(v, Tensor)]
    beside = dtypes.promote(*known) if known else None
    tensors = [
        as_tensor(v, "bool" if n < first else beside) for n, v in enumerate(values)
    ]
    tensors = [*tensors[:first], *_promoted(fn, function.result, tensors[first:])]
    shape = broadcast_shapes(fn, *tensors)
    reads = tuple(
        Read(n, broadcast_index(t.shape, shape)) for n, t in enumerate(tensors)
    )
    body = Expr(fn, *(scalar.read(n) for n in range(len(tensors))))
    return apply(Comprehension(fn, len(shape), shape, body, reads), tensors)


_LOGICAL = ("and", "or", "xor", "not")


def _promoted(fn: str, result: str, tensors: list[Tensor]) -> list[Tensor]:
    common = dtypes.promote(*(t.dtype for t in tensors))
    if result == "float":
        common = dtypes.as_float(common)
    if fn in _LOGICAL and common != "bool":
        raise DTypeError(
            f"{fn} needs bool operands, not {common}: compare first (x != 0)"
        )
    if common == "bool" and fn in ("add", "sub", "mul", "neg", "pow", "floordiv"):
        common = "int64"
    return [cast(t, common) for t in tensors]


def cast(t: Tensor, dtype: str) -> Tensor:
    """Return ``t`` with its elements converted (towards zero, float to integer)."""
    if t.dtype == dtype:
        return t
    known = scalar_constant(t)
    if known is not None and not (dtype in dtypes.INTEGERS and t.dtype != "bool"):
        return constant(known.astype(dtype))
    index = tuple(along(a) for a in range(t.ndim))
    c = Comprehension(
        f"as_{dtypes.short(dtype)}", t.ndim, t.shape, scalar.read(0), (Read(0, index),)
    )
    return apply(c, [t], dtype)


def scalar_constant(t: Tensor) -> Any:
    """Return the 0-d array of a scalar constant, or None."""
    if isinstance(t.op, Constant) and t.op.value.ndim == 0:
        return t.op.value
    return None


def movement(
    name: str,
    t: Tensor,
    shape: Shape,
    index: Sequence[Index],
    guards: Sequence[Guard] = (),
    others: Sequence[tuple[Tensor, tuple[Index, ...]]] = (),
) -> Tensor:
    """Return ``y[axes] = t[index] if guards else 0``.

    ``others`` are integer tensors and how they are read: reads 1, 2, … that indices
    refer to with ``Value``.
    """
    identity = all(i.axis == a for a, i in enumerate(index))
    if not guards and shape == t.shape and identity:
        return t
    reads = [Read(0, tuple(index))]
    reads += [Read(n + 1, where) for n, (_, where) in enumerate(others)]
    c = Comprehension(
        name, len(shape), shape, scalar.read(0), tuple(reads), guards=tuple(guards)
    )
    return apply(c, [t, *(o for o, _ in others)], t.dtype)


def broadcast_to(t: Tensor, shape: Shape) -> Tensor:
    """Return ``t`` repeated along new and size-1 dimensions."""
    if t.shape == shape:
        return t
    return movement("broadcast_to", t, shape, broadcast_index(t.shape, shape))


def reduction(
    kind: str, t: Tensor, axes: Sequence[int], keepdims: bool = False
) -> Tensor:
    """Return ``t`` reduced over ``axes``.

    >>> from symgrad.declare.tensor import input
    >>> reduction("sum", input("x", (3, 4)), [0]).shape
    (4,)
    """
    kept = [d for d in range(t.ndim) if d not in axes]
    order = [*kept, *axes]
    place = {d: a for a, d in enumerate(order)}
    index = tuple(along(place[d]) for d in range(t.ndim))
    c = Comprehension(
        kind,
        len(kept),
        tuple(t.shape[d] for d in order),
        scalar.read(0),
        (Read(0, index),),
        kind,
    )
    if not axes:
        return cast(t, result_type(c, [t]))
    y = apply(c, [t])
    if not keepdims:
        return y
    shape = tuple(1 if d in axes else s for d, s in enumerate(t.shape))
    where = [along(d) for d in kept]
    return movement("expand_dims", y, shape, where)


def build(e: Expr, values: Mapping[Expr, Tensor], beside: str | None = None) -> Tensor:
    """Return the graph of a scalar expression, given tensors for its atoms."""
    memo: dict[Expr, Any] = dict(values)

    def walk(e: Expr) -> Any:
        if e not in memo:
            if e.fn == "number":
                memo[e] = e.value
            elif e.fn == "size":
                memo[e] = size_of(e.value, beside)
            else:
                memo[e] = _call(e.fn, [walk(a) for a in e.args], beside)
        return memo[e]

    return as_tensor(walk(e), beside)


def _call(fn: str, args: list[Any], beside: str | None) -> Tensor:
    if not any(isinstance(a, Tensor) for a in args):
        args = [as_tensor(a, beside) for a in args]
    return elementwise(fn, *args)


def iota(axis: int, shape: Shape, dtype: str = "int64") -> Tensor:
    """Return the index along ``axis``, broadcastable against ``shape``."""
    extents = tuple(s if a == axis else 1 for a, s in enumerate(shape))
    c = Comprehension("arange", len(shape), extents, scalar.axis(axis), ())
    return cast(apply(c, [], "int64"), dtype)


def normal_form(c: Comprehension, args: Sequence[Tensor]) -> Tensor:
    """Return the graph of a statement with any body, in small statements."""
    if c.reduce == "sum" and c.target is None and _is_product(c.body):
        return apply(c, _same_type(args, c))
    if c.body.fn == "read" or c.target is not None:
        return apply(c, args)
    full = expand(c, args)
    index = tuple(along(a) for a in range(len(c.extents)))
    reads = (Read(0, index),)
    if c.reduce is None and not c.guards:
        return full
    name = c.reduce or "where"
    done = Comprehension(
        name, c.rank, c.extents, scalar.read(0), reads, c.reduce, c.guards
    )
    return apply(done, [full])


def expand(c: Comprehension, args: Sequence[Tensor]) -> Tensor:
    """Return the body of a statement as a tensor over all its axes."""
    values: dict[Expr, Tensor] = {}
    for k in sorted(scalar.reads_of(c.body)):
        values[scalar.read(k)] = expand_read(c, args, k)
    for a in range(len(c.extents)):
        values[scalar.axis(a)] = iota(a, c.extents)
    return broadcast_to(build(c.body, values), c.extents)


def expand_read(c: Comprehension, args: Sequence[Tensor], k: int) -> Tensor:
    """Return read ``k`` as a tensor that broadcasts over all axes of ``c``.

    Out of range, where only a guard keeps the statement from reading, it gives 0.
    """
    t = args[c.reads[k].operand]
    index = c.reads[k].index
    used = set().union(*(axes_through(i, c.reads) for i in index))
    shape = tuple(s if a in used else 1 for a, s in enumerate(c.extents))
    guards = [Guard(i, s) for i, s in zip(index, t.shape, strict=True)]
    full = Comprehension(
        "read", len(shape), shape, scalar.read(k), c.reads, guards=tuple(guards)
    )
    if shape == t.shape and all(
        i.axis == a or (s == 1 and not i.terms and i.constant == 0)
        for a, (i, s) in enumerate(zip(index, shape, strict=True))
    ):
        return t
    return apply(full, args, t.dtype)


def _is_product(body: Expr) -> bool:
    return all(f.fn == "read" for f in scalar.factors(body))


def _same_type(args: Sequence[Tensor], c: Comprehension) -> list[Tensor]:
    """Return the operands, those that are multiplied converted to one type."""
    used = {c.reads[k].operand for k in scalar.reads_of(c.body)}
    common = dtypes.promote(*(args[n].dtype for n in used))
    if common == "bool" and len(used) > 1:
        common = "int64"
    return [cast(t, common) if n in used else t for n, t in enumerate(args)]

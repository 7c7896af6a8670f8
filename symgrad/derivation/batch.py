"""vmap on graphs: one more axis, in front, on every read of a batched operand.

For ``y[I] = Σ_K f(x[φ(I, K)], w[ψ(I, K)])`` with ``x`` batched and ``w`` not,

    y[b, I] = Σ_K f(x[b, φ(I, K)], w[ψ(I, K)])

so a batched statement is a statement again, with a derivative, a kernel and a formula.
A node that no batched tensor reaches is left as it is, and computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from symgrad.declare import scalar
from symgrad.declare.bodies import closed, final, reached_formals, stacked, states
from symgrad.declare.build import apply, broadcast_index, broadcast_to, movement
from symgrad.declare.comprehension import (
    Comprehension,
    Guard,
    Index,
    Read,
    along,
    substitute_index,
)
from symgrad.declare.dims import Size
from symgrad.declare.linear_algebra import LinearAlgebra
from symgrad.declare.loop import Final, Scan, Stacked, States, loop
from symgrad.declare.tensor import (
    Reshape,
    Tensor,
    exact_scope,
    input,
    make,
    op_name,
    topological,
)
from symgrad.errors import DerivationError

#: (the node, its operands, which of them are batched, the extent of the new axis)
Rule = Callable[[Tensor, Sequence[Tensor], Sequence[bool], Size], Tensor]


def batch(
    outputs: Sequence[Tensor], batched: Mapping[Tensor, Tensor], size: Size
) -> list[Tensor]:
    """Return the outputs for ``size`` values of some tensors at once.

    Args:
        outputs: the tensors to compute.
        batched: tensor -> what takes its place, with one more axis in front.
        size: the extent of that axis.

    Returns:
        Each output with the new axis in front, also where it does not depend on a
        batched tensor.

    Raises:
        DerivationError: a node's operation has no rule, naming it.

    >>> import symgrad as sg
    >>> x, w = sg.input("x", (3,)), sg.input("w", (4, 3))
    >>> batch([w @ x], {x: sg.input("xs", (5, 3))}, 5)
    [<Tensor 'matmul' float32[5, 4]>]
    """
    found = vectorized(outputs, batched, size)
    return [
        found[t] if t in found else _repeated(t, size)  # the same for every value
        for t in outputs
    ]


def vectorized(
    outputs: Sequence[Tensor], batched: Mapping[Tensor, Tensor], size: Size
) -> dict[Tensor, Tensor]:
    """Return node -> its batched form, for the nodes that ``batched`` reaches."""
    found = dict(batched)
    for node in topological(outputs):
        flags = [a in found for a in node.args]
        if node in found or not any(flags):
            continue
        rule = RULES.get(type(node.op))
        if rule is None:
            raise DerivationError(
                f"{node.describe()} cannot be vectorized: the operation "
                f"{op_name(node.op)!r} has no rule for one more axis"
            )
        with exact_scope(node.scope):
            args = [found.get(a, a) for a in node.args]
            found[node] = rule(node, args, flags, size)
    return found


def _repeated(t: Tensor, size: Size) -> Tensor:
    return broadcast_to(t, (size, *t.shape))


def _batch_reshape(
    node: Tensor, args: Sequence[Tensor], flags: Sequence[bool], size: Size
) -> Tensor:
    del flags
    shape = (size, *node.shape)
    return make(Reshape(shape), args, shape, node.dtype)


def _batch_matrices(
    node: Tensor, args: Sequence[Tensor], flags: Sequence[bool], size: Size
) -> Tensor:
    """The dimensions before the matrices are a batch already; all operands have it."""
    batched = [
        a if flag else _repeated(a, size) for a, flag in zip(args, flags, strict=True)
    ]
    return make(node.op, batched, (size, *node.shape), node.dtype)


def _batch_statement(
    node: Tensor, args: Sequence[Tensor], flags: Sequence[bool], size: Size
) -> Tensor:
    c: Comprehension = node.op  # type: ignore[assignment]
    if c.is_elementwise:
        return _batch_elementwise(node, args, flags, size)
    shift = {a: along(a + 1) for a in range(len(c.extents))}

    def moved(index: Index) -> Index:
        return substitute_index(index, shift)

    def read(r: Read) -> Read:
        index = tuple(map(moved, r.index))
        return Read(r.operand, (along(0), *index) if flags[r.operand] else index)

    target, shape = c.target, c.target_shape
    statement = replace(
        c,
        rank=0 if target is not None else c.rank + 1,
        extents=(size, *c.extents),
        body=_shifted_body(c),
        reads=tuple(map(read, c.reads)),
        guards=tuple(Guard(moved(g.index), g.bound, g.modulus) for g in c.guards),
        target=None if target is None else (along(0), *map(moved, target)),
        target_shape=None if shape is None else (size, *shape),
    )
    return apply(statement, args, node.dtype)


def _batch_elementwise(
    node: Tensor, args: Sequence[Tensor], flags: Sequence[bool], size: Size
) -> Tensor:
    """Batch a statement that reads its operands in place, and let it remain one.

    A batched operand of fewer dimensions than the result gets its missing ones, of
    size 1, behind the new axis.
    """
    c: Comprehension = node.op  # type: ignore[assignment]
    shape = (size, *c.shape)
    padded = [
        _padded(a, len(shape)) if flag else a
        for a, flag in zip(args, flags, strict=True)
    ]
    statement = replace(
        c,
        rank=len(shape),
        extents=shape,
        body=_shifted_body(c),
        reads=tuple(
            Read(r.operand, broadcast_index(padded[r.operand].shape, shape))
            for r in c.reads
        ),
    )
    return apply(statement, padded, node.dtype)


def _padded(t: Tensor, rank: int) -> Tensor:
    missing = rank - t.ndim
    if not missing:
        return t
    shape = (t.shape[0], *(1,) * missing, *t.shape[1:])
    index = [along(0), *(along(d + missing) for d in range(1, t.ndim))]
    return movement("expand_dims", t, shape, index)


def _shifted_body(c: Comprehension) -> scalar.Expr:
    axes = {scalar.axis(a): scalar.axis(a + 1) for a in range(len(c.extents))}
    return scalar.substitute(c.body, axes)


def _batch_loop(
    node: Tensor, args: Sequence[Tensor], flags: Sequence[bool], size: Size
) -> Tensor:
    """Batch a loop's result: carries are batched that depend on what is batched."""
    op: Scan = node.op  # type: ignore[assignment]
    old = op.loop
    sources = [f for f, yes in zip(old.formals, flags, strict=True) if yes]
    batched = reached_formals(old, sources, lambda c: True)
    carries = [c in batched for c in old.carries]
    live = [*carries, *flags[len(carries) :]]
    leaves = {
        f: input("one of many", (size, *f.shape), f.dtype)
        for f, yes in zip(old.formals, live, strict=True)
        if yes
    }
    values = [*old.updates, *([op.value] if isinstance(op, Stacked) else [])]
    many = vectorized(values, leaves, size)
    made = [
        many.get(v, _repeated(v, size) if n < len(carries) and carries[n] else v)
        for n, v in enumerate(values)
    ]
    body = closed(made, [leaves.get(f, f) for f in old.formals])
    new = loop(
        old.length,
        body.formals,
        body.values[: len(carries)],
        old.sequences,
        old.reverse,
        old.recompute,
    )
    given = []
    for n, (arg, flag) in enumerate(zip(args, flags, strict=True)):
        carried, sequence = n < len(carries), n < len(carries) + old.sequences
        if carried and live[n] and not flag:
            arg = _repeated(arg, size)
        given.append(swapped(arg) if flag and sequence and not carried else arg)
    given += body.operands
    if isinstance(op, Final):
        found = final(new, given, op.number)
        return found if carries[op.number] else _repeated(found, size)
    if isinstance(op, States):
        found, yes = states(new, given, op.number), carries[op.number]
    else:
        found, yes = stacked(new, given, body.values[-1]), op.value in many
    return swapped(found) if yes else _repeated(found, size)


def swapped(t: Tensor) -> Tensor:
    """Return a tensor with its first two dimensions exchanged."""
    first, second, *rest = t.shape
    index = [along(1), along(0), *(along(d) for d in range(2, t.ndim))]
    return movement("transpose", t, (second, first, *rest), index)


#: Kind of operation -> how it is batched; a leaf is never reached.
RULES: dict[type, Rule] = {
    Comprehension: _batch_statement,
    Reshape: _batch_reshape,
    LinearAlgebra: _batch_matrices,
    Final: _batch_loop,
    States: _batch_loop,
    Stacked: _batch_loop,
}

"""Loops: where their operands lie in memory, and the plan of one step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from symgrad.declare import scalar
from symgrad.declare.bodies import needed
from symgrad.declare.comprehension import Comprehension, Read, along
from symgrad.declare.dims import Size, product
from symgrad.declare.loop import Final, Formal, Loop, Stacked, States
from symgrad.declare.tensor import (
    Constant,
    Input,
    Param,
    Reshape,
    SizeOf,
    Tensor,
    make,
)
from symgrad.schedule.factors import factored
from symgrad.schedule.terms import Load, Resolver, is_virtual, strides

if TYPE_CHECKING:
    from symgrad.schedule.plan import Plan


class Source(NamedTuple):
    """Where an operand lies: in a tensor's memory, from an element on.

    ``step`` is the distance of the elements of a sequence; all are in numbers of
    elements of the tensor.
    """

    tensor: Tensor
    offset: Size
    step: Size


@dataclass(frozen=True)
class Step:
    """How one loop runs: the plan of a step, and what its values are.

    Attributes:
        loop: the loop.
        plan: of one step.
        sources: formal that is used -> where its argument lies.
        updates: number of a carry that is used -> the step's tensor with its update.
        states: number of a carry -> the result with all its states.
        stacks: tensor of the step -> the result with its values at each step.
        finals: (number of a carry, the result with its last value).
    """

    loop: Loop
    plan: Plan
    sources: dict[Tensor, Source]
    updates: dict[int, Tensor]
    states: dict[int, Tensor] = field(default_factory=dict)
    stacks: dict[Tensor, Tensor] = field(default_factory=dict)
    finals: tuple[tuple[int, Tensor], ...] = ()


def base(t: Tensor) -> Tensor:
    """Return the tensor whose memory a reshape looks at."""
    while isinstance(t.op, Reshape):
        t = t.args[0]
    return t


def is_leaf(t: Tensor) -> bool:
    """Return True for a tensor whose memory exists before any kernel runs."""
    return isinstance(t.op, Input | Param | Constant | Formal)


def sources_of(results: Sequence[Tensor]) -> dict[Tensor, Source]:
    """Return where the operands lie that the results of one loop need, by formal.

    A movement of a tensor needs no memory of its own where a step's part of it is one
    run of the tensor's memory.
    """
    loop: Loop = results[0].op.loop  # type: ignore[union-attr]
    used = set(needed(results))
    elements = set(loop.elements)
    return {
        f: _source(a, f in elements)
        for f, a in zip(loop.formals, results[0].args, strict=True)
        if f in used
    }


def _source(t: Tensor, sequence: bool) -> Source:
    inner = strides(t.shape)
    own = Source(t, 0, inner[0] if sequence else 0)
    if isinstance(t.op, Constant):
        return own
    resolver = Resolver(is_virtual, lambda n, w: None)
    found = resolver.at(t, tuple(map(along, range(t.ndim))))
    if not isinstance(found, Load) or found.extra or found.dtype != t.dtype:
        return own
    steps = dict(found.linear)
    first = int(sequence)
    for a in range(first, t.ndim):
        if t.shape[a] != 1 and steps.get(a, 0) != inner[a]:
            return own
    return Source(found.tensor, found.constant, steps.get(0, 0) if sequence else 0)


def plan_step(
    results: Sequence[Tensor],
    sources: dict[Tensor, Source],
    schedule: Callable[[Sequence[Tensor]], Plan],
) -> Step:
    """Return how the loop runs whose results these are."""
    loop: Loop = results[0].op.loop  # type: ignore[union-attr]
    live = [n for n, c in enumerate(loop.carries) if c in sources]
    stacks = {t: t.op.value for t in results if isinstance(t.op, Stacked)}
    values = [*(loop.updates[n] for n in live), *stacks.values()]
    outputs = _with_memory(factored(values))
    written = [base(t) for t in outputs]
    return Step(
        loop,
        schedule(outputs),
        sources,
        dict(zip(live, written, strict=False)),
        {t.op.number: t for t in results if isinstance(t.op, States)},
        dict(zip(written[len(live) :], stacks, strict=True)),
        tuple((t.op.number, t) for t in results if isinstance(t.op, Final)),
    )


def _with_memory(values: Sequence[Tensor]) -> list[Tensor]:
    """Return values that have memory of their own, copies where they have none."""
    found: list[Tensor] = []
    taken: set[Tensor] = set()
    for n, t in enumerate(values):
        if is_leaf(base(t)) or isinstance(base(t).op, SizeOf) or base(t) in taken:
            t = _copy(t, n)
        taken.add(base(t))
        found.append(t)
    return found


def _copy(t: Tensor, number: int) -> Tensor:
    index = tuple(map(along, range(t.ndim)))
    reads = (Read(0, index),)
    c = Comprehension(f"copy{number}", t.ndim, t.shape, scalar.read(0), reads)
    return make(c, [t], t.shape, t.dtype)


def elements(t: Tensor) -> Size:
    """Return the number of elements of a tensor."""
    return product(t.shape)

"""Loops as ``jax.lax.scan``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from symgrad.declare.bodies import needed, number_of
from symgrad.declare.dims import evaluate
from symgrad.declare.loop import Final, Loop, Stacked, States
from symgrad.declare.tensor import Tensor

Array = Any
#: (values of the step, those of its formals) -> their arrays
Evaluate = Callable[[Sequence[Tensor], Mapping[Tensor, Array]], list[Array]]


def loop_results(
    results: Sequence[Tensor],
    args: Sequence[Array],
    sizes: Mapping[str, int],
    evaluated: Evaluate,
    step_by_step: bool = False,
) -> list[Array]:
    """Return the values of the results of one loop on the same operands.

    Args:
        results: the results.
        args: the operands' values.
        sizes: those of named dimensions.
        evaluated: computes the graph of a step.
        step_by_step: run the steps one by one, on arrays that can be looked at (of no
            steps, one is traced all the same).
    """
    from jax import checkpoint, lax

    one = _Loop(results, args, evaluate(_loop(results).length, sizes), evaluated)
    step = checkpoint(one.step) if one.loop.recompute else one.step
    run = one.by_steps if step_by_step and one.length else lax.scan
    last, stacks = run(
        step, one.first, one.elements, length=one.length, reverse=one.loop.reverse
    )
    return one.values(last, stacks)


def _loop(results: Sequence[Tensor]) -> Loop:
    return results[0].op.loop  # type: ignore[union-attr]


class _Loop:
    """The step of a loop as a function, for what its results need."""

    def __init__(
        self,
        results: Sequence[Tensor],
        args: Sequence[Array],
        length: int,
        evaluated: Evaluate,
    ) -> None:
        self.results, self.args, self.length = results, args, length
        self.evaluated, self.loop = evaluated, _loop(results)
        used = set(needed(results))
        self.carries = [n for n, c in enumerate(self.loop.carries) if c in used]
        self.first = [args[n] for n in self.carries]
        self.moving = [f for f in self.loop.elements if f in used]
        self.elements = [args[number_of(f)] for f in self.moving]
        self.fixed = {f: args[number_of(f)] for f in self.loop.operands if f in used}

    def step(
        self, carries: Sequence[Array], elements: Sequence[Array]
    ) -> tuple[list[Array], list[Array]]:
        """Return the next carries, and what each result needs of the step."""
        own = dict(zip((self.loop.formals[n] for n in self.carries), carries,
                       strict=True))  # fmt: skip
        known = {**self.fixed, **own, **dict(zip(self.moving, elements, strict=True))}
        stacks = [t.op.value for t in self.results if isinstance(t.op, Stacked)]
        updates = [self.loop.updates[n] for n in self.carries]
        found = self.evaluated([*updates, *stacks], known)
        new = found[: len(updates)]
        states = [
            new[self.carries.index(t.op.number)]
            for t in self.results
            if isinstance(t.op, States)
        ]
        return new, [*found[len(updates) :], *states]

    def values(self, last: Sequence[Array], stacks: Sequence[Array]) -> list[Array]:
        """Return the results' values from what the scan gives."""
        from jax.numpy import concatenate

        stacked, found = iter(stacks), dict[Tensor, Array]()
        for t in self.results:
            if isinstance(t.op, Stacked):
                found[t] = next(stacked)
        for t in self.results:
            if isinstance(t.op, States):
                parts = [self.args[t.op.number][None], next(stacked)]
                found[t] = concatenate(parts[::-1] if self.loop.reverse else parts)
            elif isinstance(t.op, Final):
                found[t] = last[self.carries.index(t.op.number)]
        return [found[t] for t in self.results]

    @staticmethod
    def by_steps(
        step: Callable[[Any, Any], tuple[Any, Any]],
        first: Sequence[Array],
        elements: Sequence[Array],
        length: int,
        reverse: bool,
    ) -> tuple[Any, list[Array]]:
        """Do what ``lax.scan`` does, without tracing."""
        from jax.numpy import stack

        carries, rows = first, []
        for t in reversed(range(length)) if reverse else range(length):
            carries, row = step(carries, [x[t] for x in elements])
            rows.append(row)
        columns = zip(*(reversed(rows) if reverse else rows), strict=True)
        return carries, [stack(column) for column in columns]

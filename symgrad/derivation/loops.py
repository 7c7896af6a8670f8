"""Derivatives of loops: loops again.

For ``c[t+1] = f(c[t], x[t], w)`` the cotangents are a loop in the other direction,

    c̄[t] = ∂f/∂cᵀ c̄[t+1]      x̄[t] = ∂f/∂xᵀ c̄[t+1]      w̄ = Σ_t ∂f/∂wᵀ c̄[t+1]

and the tangents one in the same direction.  What their steps need of the loop's own
steps is stored by it (``residuals``), or computed again if the loop says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from symgrad.declare import dtypes
from symgrad.declare.bodies import (
    closed,
    element,
    final,
    number_of,
    part,
    reached_formals,
    stacked,
    states,
)
from symgrad.declare.loop import Final, Loop, Stacked, States, loop
from symgrad.declare.tensor import Tensor, input, topological
from symgrad.derivation import local
from symgrad.derivation.residuals import at_each_step, residuals
from symgrad.derivation.step_sums import Sums, measure, zeros

#: (outputs, wrt, seeds) -> the cotangent of each node that has one
Reverse = Callable[[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]], Mapping]
#: (outputs, tangents) -> the tangent of each output, None for 0
Forward = Callable[[Sequence[Tensor], Mapping[Tensor, Tensor]], list[Tensor | None]]


def vjp(
    results: Sequence[Tensor],
    cotangents: Mapping[Tensor, Tensor],
    wanted: Callable[[Tensor], bool],
    reverse: Reverse,
) -> list[tuple[int, Tensor]]:
    """Return what the cotangents of a loop's results send back to its operands.

    Args:
        results: those of one loop on the same operands.
        cotangents: those of the results that have one.
        wanted: tells whether an operand needs a cotangent.
        reverse: reverse accumulation, for the body.

    Returns:
        (number of the operand, its contribution).
    """
    seeded = [t for t in results if t in cotangents]
    return _Backward(seeded, cotangents, wanted, reverse).contributions()


def active(loop: Loop, given: Sequence[bool]) -> set[Tensor]:
    """Return the formals of float type that depend on the given ones, and those."""
    pairs = zip(loop.formals, given, strict=True)
    sources = [f for f, yes in pairs if yes and dtypes.is_float(f.dtype)]
    return reached_formals(loop, sources, lambda c: dtypes.is_float(c.dtype))


class _Backward:
    """The loop of the cotangents of one loop."""

    def __init__(
        self,
        results: Sequence[Tensor],
        cotangents: Mapping[Tensor, Tensor],
        wanted: Callable[[Tensor], bool],
        reverse: Reverse,
    ) -> None:
        self.loop: Loop = results[0].op.loop  # type: ignore[union-attr]
        self.args = results[0].args
        self.active = active(self.loop, [wanted(a) for a in self.args])
        self.wanted = [
            n
            for n, (f, a) in enumerate(zip(self.loop.formals, self.args, strict=True))
            if f in self.active and wanted(a)
        ]
        self._seeds(results, cotangents)
        self.carries = self._carries()
        self.bars = [self._leaf("bar", self.loop.formals[n]) for n in self.carries]
        self._step(reverse)

    @staticmethod
    def _leaf(name: str, like: Tensor) -> Tensor:
        return input(name, like.shape, like.dtype)

    def _seeds(
        self, results: Sequence[Tensor], cotangents: Mapping[Tensor, Tensor]
    ) -> None:
        """Sort the cotangents: of last carries, and of values at each step."""
        self.last: dict[int, Tensor] = {}
        self.values: list[Tensor] = []  # of the body
        self.value_bars: list[Tensor] = []
        self.before: dict[int, Tensor] = {}  # carry -> leaf, before each step
        self.sequences: list[tuple[Tensor, Tensor]] = []  # (leaf, what it stands for)
        forwards = not self.loop.reverse
        for t in results:
            g, op = cotangents[t], t.op
            if isinstance(op, Stacked):
                self.values.append(op.value)
                self.value_bars.append(self._leaf("seed", op.value))
                self.sequences.append((self.value_bars[-1], g))
                continue
            assert isinstance(op, Final | States)
            n = op.number
            if isinstance(op, States):
                leaf = self.before[n] = self._leaf("seed", self.loop.formals[n])
                steps = part(g, int(not forwards), self.loop.length)
                self.sequences.append((leaf, steps))
                g = element(g, self.loop.length if forwards else 0)
            self.last[n] = local.plus(self.last[n], g) if n in self.last else g

    def _carries(self) -> list[int]:
        """Return the carries that have a cotangent at some step, and need it."""
        found = set(self.last) | set(self.before)
        while True:
            outputs = [*self.values, *(self.loop.updates[n] for n in found)]
            reached = set(topological(outputs))
            more = {n for n, c in enumerate(self.loop.carries) if c in reached} - found
            if not more:
                break
            found |= more
        return [n for n in sorted(found) if self.loop.formals[n] in self.active]

    def _step(self, reverse: Reverse) -> None:
        """Derive one step: the cotangents of the formals, over the body's nodes."""
        outputs = [self.loop.updates[n] for n in self.carries] + self.values
        wrt = [f for f in self.loop.formals if f in self.active]
        found = reverse(outputs, wrt, [*self.bars, *self.value_bars])
        formals = self.loop.formals
        self.updates = []
        for n in self.carries:
            g = found.get(formals[n])
            if n in self.before:
                g = self.before[n] if g is None else local.plus(g, self.before[n])
            self.updates.append(zeros(formals[n]) if g is None else g)
        self.step = {n: found[f] for n, f in enumerate(formals) if f in found}

    def contributions(self) -> list[tuple[int, Tensor]]:
        """Return the operands' cotangents, as results of the backward loop."""
        forward, count = self.loop, len(self.loop.updates)
        first = count + forward.sequences
        live = [n for n in self.wanted if n in self.step]
        stacks = {n: self.step[n] for n in live if count <= n < first}
        sums = [n for n in live if n >= first]
        leaves = [*self.bars, *(leaf for leaf, _ in self.sequences)]
        values = [*self.updates, *stacks.values(), *(self.step[n] for n in sums)]
        cut = residuals(forward, values, leaves)
        moving, saved, fixed = at_each_step(forward, self.args, cut)
        changing = [*leaves, *forward.carries, *forward.elements]
        summing = Sums(values, changing, [*leaves, *moving])
        for n in sorted(sums, key=lambda n: -measure(self.step[n])):
            summing.plan(self.step[n])
        made = summing.loop(
            forward,
            dict(zip(self.bars, self.updates, strict=True)),
            [self.last.get(n, zeros(forward.formals[n])) for n in self.carries],
            [*self.sequences, *zip(moving, saved, strict=True)],
            {f: self.args[number_of(f)] for f in fixed},
            list(stacks.values()),
        )
        outer = dict(zip(forward.formals, self.args, strict=True))
        found = [
            (n, final(made.loop, made.args, k))
            for k, n in enumerate(self.carries)
            if n in self.wanted
        ]
        found += [(n, made.stacked(v)) for n, v in stacks.items()]
        return found + [(n, summing.total(self.step[n], made, outer)) for n in sums]


# -- forward mode --------------------------------------------------------------------


def jvp(
    results: Sequence[Tensor], tangents: Sequence[Tensor | None], forward: Forward
) -> dict[Tensor, Tensor]:
    """Return the tangents of a loop's results, given those of its operands.

    Args:
        results: those of one loop on the same operands.
        tangents: None stands for 0.
        forward: forward accumulation, for the body.
    """
    of: Loop = results[0].op.loop  # type: ignore[union-attr]
    args = results[0].args
    live = active(of, [t is not None for t in tangents])
    leaves = {f: input("tangent", f.shape, f.dtype) for f in of.formals if f in live}
    carries = [n for n, c in enumerate(of.carries) if c in live]
    asked = [t.op.value for t in results if isinstance(t.op, Stacked)]
    updates = [of.updates[n] for n in carries]
    dots = forward([*updates, *asked], leaves)
    values = [d for d in dots if d is not None]
    cut = residuals(of, values, leaves.values())
    moving, saved, fixed = at_each_step(of, args, cut)
    given = {
        f: zeros(f) if t is None else t
        for f, t in zip(of.formals, tangents, strict=True)
    }
    moved = [f for f in of.elements if f in live]
    held = [f for f in of.operands if f in live]
    known = [
        zeros(u) if d is None else d
        for u, d in zip([*updates, *asked], dots, strict=True)
    ]
    body = closed(
        known,
        [
            *(leaves[of.formals[n]] for n in carries),
            *(leaves[f] for f in moved),
            *moving,
            *(leaves[f] for f in held),
            *fixed,
        ],
    )
    made = loop(
        of.length,
        body.formals,
        body.values[: len(carries)],
        len(moved) + len(moving),
        of.reverse,
        of.recompute,
    )
    operands = [
        *(given[of.formals[n]] for n in carries),
        *(given[f] for f in moved),
        *saved,
        *(given[f] for f in held),
        *(args[number_of(f)] for f in fixed),
        *body.operands,
    ]
    found: dict[Tensor, Tensor] = {}
    stacks = iter(body.values[len(carries) :])
    for t in results:
        if isinstance(t.op, Stacked):
            value = next(stacks)
            if dtypes.is_float(t.dtype):
                found[t] = stacked(made, operands, value)
        elif t.op.number in carries:  # type: ignore[union-attr]
            place = carries.index(t.op.number)  # type: ignore[union-attr]
            build = final if isinstance(t.op, Final) else states
            found[t] = build(made, operands, place)
    return found

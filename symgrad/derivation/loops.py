"""Derivatives of loops: loops again.

For ``c[t+1] = f(c[t], x[t], w)`` the cotangents are a loop in the other direction,

    c̄[t] = ∂f/∂cᵀ c̄[t+1]      x̄[t] = ∂f/∂xᵀ c̄[t+1]      w̄ = Σ_t ∂f/∂wᵀ c̄[t+1]

and the tangents one in the same direction.  What their steps need of the loop's own
steps is stored by it (``residuals``), or computed again if the loop says so.

The sum over steps is one statement behind the loop where that is possible: of
``w̄ = Σ_t Σ_k g[t, k, i] · h[t, k, j]`` only the factors are stacked, and a single large
matrix product follows.  Else it is a carry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from symgrad.declare import dtypes, scalar
from symgrad.declare.bodies import (
    closed,
    dependents,
    element,
    final,
    number_of,
    part,
    stacked,
    states,
    substitute,
)
from symgrad.declare.build import apply, broadcast_to, elementwise
from symgrad.declare.comprehension import (
    Comprehension,
    Guard,
    Index,
    Read,
    along,
    substitute_index,
)
from symgrad.declare.dims import Size, evaluate, names
from symgrad.declare.loop import Final, Loop, Stacked, States, loop
from symgrad.declare.tensor import Tensor, constant, input, size_of, topological
from symgrad.derivation import local
from symgrad.derivation.residuals import at_each_step, residuals

#: The size that a named dimension is taken to have where two sizes are compared.
NOMINAL = 1024
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
    found = {
        f
        for f, yes in zip(loop.formals, given, strict=True)
        if yes and dtypes.is_float(f.dtype)
    }
    order = topological(loop.updates)
    while True:
        reached = dependents(order, found)
        pairs = zip(loop.carries, loop.updates, strict=True)
        more = {c for c, u in pairs if u in reached and dtypes.is_float(c.dtype)}
        if more <= found:
            return found
        found |= more


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
        for n in sorted(sums, key=lambda n: -_measure(self.step[n])):
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


def zeros(like: Tensor) -> Tensor:
    """Return zeros of the shape and type of a tensor."""
    return broadcast_to(constant(0.0, like.dtype), like.shape)


def _measure(t: Tensor) -> int:
    size = t.size
    return evaluate(size, dict.fromkeys(names(size), NOMINAL))


class Made(NamedTuple):
    """A loop, its operands, and the counterparts in it of nodes of a step."""

    loop: Loop
    args: list[Tensor]
    found: dict[Tensor, Tensor]

    def stacked(self, value: Tensor) -> Tensor:
        """Return a value of the step at each step."""
        return stacked(self.loop, self.args, self.found[value])


class Sums:
    """Sums of a step's values over all steps, behind the loop or by carries.

    A sum or movement of operands that are stacked takes one more reduced axis.  What
    else is to be summed is carried.

    Args:
        values: of the step.
        changing: the leaves that differ by step.
        stored: what is in memory for each step anyway.
    """

    def __init__(
        self, values: Sequence[Tensor], changing: Sequence[Tensor], stored: list[Tensor]
    ) -> None:
        self.moving = dependents(topological(values), changing)
        self.stored = set(stored) | set(changing)
        self.stacks: dict[Tensor, None] = {}
        self.carried: list[Tensor] = []
        self.routes: dict[Tensor, str] = {}

    def plan(self, v: Tensor) -> None:
        """Decide how the sum of a value is made."""
        if v in self.routes:
            return
        route = self.routes[v] = self._route(v)
        if route == "add":
            for a in v.args:
                self.plan(a)
        elif route == "movement":
            self.plan(_moved(v))
        elif route == "statement":
            self.stacks.update(dict.fromkeys(a for a in v.args if a in self.moving))
            self.stored |= set(self.stacks)
        elif route == "carry":
            self.carried.append(v)

    def _route(self, v: Tensor) -> str:
        c = v.op
        if v not in self.moving:
            return "constant"
        if not isinstance(c, Comprehension):
            return "carry"
        if c.is_elementwise and c.body.fn == "add":
            return "add" if all(a.shape == v.shape for a in v.args) else "carry"
        if c.is_movement and v.dtype == _moved(v).dtype:
            others = [a for a in v.args if a is not _moved(v)]
            return "carry" if any(a in self.moving for a in others) else "movement"
        if c.reduce == "sum" and all(f.fn == "read" for f in scalar.factors(c.body)):
            new = {a for a in v.args if a in self.moving} - self.stored
            fits = sum(map(_measure, new)) <= 2 * _measure(v)
            return "statement" if fits else "carry"
        return "carry"

    def loop(
        self,
        forward: Loop,
        updates: Mapping[Tensor, Tensor],
        starts: Sequence[Tensor],
        sequences: Sequence[tuple[Tensor, Tensor]],
        operands: Mapping[Tensor, Tensor],
        others: Sequence[Tensor],
    ) -> Made:
        """Return the loop in the other direction than ``forward``.

        Args:
            forward: the loop whose cotangents these are.
            updates: leaf of each carry -> its update.
            starts: the first carries.
            sequences: (node of the step, what stands for it at each step).
            operands: node of the step -> tensor.
            others: more values of the step that are asked for.
        """
        sums = [input("sum", v.shape, v.dtype) for v in self.carried]
        more = [
            elementwise("add", s, v) for s, v in zip(sums, self.carried, strict=True)
        ]
        cut = [*updates, *sums, *(x for x, _ in sequences), *operands]
        values = [*updates.values(), *more, *others, *self.stacks]
        body = closed(values, cut)
        count = len(updates) + len(sums)
        made = loop(
            forward.length,
            body.formals,
            body.values[:count],
            len(sequences),
            not forward.reverse,
            forward.recompute,
        )
        args = [*starts, *map(zeros, sums), *(g for _, g in sequences)]
        args += [*operands.values(), *body.operands]
        self.place = {v: len(updates) + n for n, v in enumerate(self.carried)}
        return Made(made, args, dict(zip(values, body.values, strict=True)))

    def total(self, v: Tensor, made: Made, outer: Mapping[Tensor, Tensor]) -> Tensor:
        """Return the sum of a value over all steps.

        Args:
            v: a value for which ``plan`` was called.
            made: the loop.
            outer: the tensors that formals which do not differ by step stand for.
        """
        route = self.routes[v]
        if route == "carry":
            return final(made.loop, made.args, self.place[v])
        if route == "add":
            left, right = (self.total(a, made, outer) for a in _operands(v))
            return local.plus(left, right)
        if route == "constant":
            times = size_of(made.loop.length, v.dtype)
            return elementwise("mul", substitute([v], outer)[0], times)
        if route == "movement":
            inner = _moved(v)
            args = [
                self.total(a, made, outer) if a is inner else substitute([a], outer)[0]
                for a in v.args
            ]
            return apply(v.op, args, v.dtype)  # type: ignore[arg-type]
        flags = [a in self.moving for a in v.args]
        args = [
            made.stacked(a) if flag else substitute([a], outer)[0]
            for a, flag in zip(v.args, flags, strict=True)
        ]
        return summed_statement(v, args, flags, made.loop.length)


def _moved(t: Tensor) -> Tensor:
    c: Comprehension = t.op  # type: ignore[assignment]
    return t.args[c.reads[c.body.value].operand]


def _operands(t: Tensor) -> list[Tensor]:
    """Return the operands of an elementwise node, one for each argument."""
    c: Comprehension = t.op  # type: ignore[assignment]
    return [t.args[c.reads[a.value].operand] for a in c.body.args]


def summed_statement(
    node: Tensor, args: Sequence[Tensor], flags: Sequence[bool], length: Size
) -> Tensor:
    """Return a sum with one more reduced axis, the leading one of flagged operands."""
    c: Comprehension = node.op  # type: ignore[assignment]
    first = c.rank
    shift = {a: along(a + (a >= first)) for a in range(len(c.extents))}

    def moved(index: Index) -> Index:
        return substitute_index(index, shift)

    def read(r: Read) -> Read:
        index = tuple(map(moved, r.index))
        return Read(r.operand, (along(first), *index) if flags[r.operand] else index)

    statement = replace(
        c,
        extents=(*c.extents[:first], length, *c.extents[first:]),
        reads=tuple(map(read, c.reads)),
        guards=tuple(Guard(moved(g.index), g.bound, g.modulus) for g in c.guards),
        target=None if c.target is None else tuple(map(moved, c.target)),
    )
    return apply(statement, args, node.dtype)


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

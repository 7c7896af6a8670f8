"""Sums over the steps of a loop: behind it in one statement, or by carries.

Of ``w̄ = Σ_t Σ_k g[t, k, i] · h[t, k, j]`` only the factors are stacked, and a single
large matrix product follows the loop.  What is no sum of products is carried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from symgrad.declare import scalar
from symgrad.declare.bodies import closed, dependents, final, stacked, substitute
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
from symgrad.declare.loop import Loop, loop
from symgrad.declare.tensor import Tensor, constant, input, size_of, topological
from symgrad.derivation import local

#: The size that a named dimension is taken to have where two sizes are compared.
NOMINAL = 1024


def zeros(like: Tensor) -> Tensor:
    """Return zeros of the shape and type of a tensor."""
    return broadcast_to(constant(0.0, like.dtype), like.shape)


def measure(t: Tensor) -> int:
    """Return the number of elements, each name standing for a nominal size."""
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
            fits = sum(map(measure, new)) <= 2 * measure(v)
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

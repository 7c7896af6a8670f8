"""The one VJP rule of sums and movements: solve the index map of a read.

For ``y[I] = Σ_K f(x[φ(I, K)], …)`` the cotangent of ``x`` is

    x̄[J] = Σ over (I, K) with φ(I, K) = J of  ȳ[I] · ∂f/∂x

The equations ``φ(I, K) = J`` are solved for as many axes as possible.  A solved axis
disappears (a projection leaves a plain reduction, an affine map a guarded read); an
equation without free axes becomes a guard; a data-dependent one with free axes makes
the statement a scatter: results are added at ``φ(I, K)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from symgrad.declare import scalar
from symgrad.declare.build import apply, cast
from symgrad.declare.comprehension import (
    Comprehension,
    Guard,
    Index,
    Quotient,
    Read,
    along,
    combine,
    quotient,
    substitute_index,
)
from symgrad.declare.dims import Size
from symgrad.declare.scalar import Expr
from symgrad.declare.tensor import Tensor


def transpose(node: Tensor, k: int, rest: Expr, g: Tensor) -> Tensor:
    """Return what the cotangent of a sum or movement sends back through a read.

    Args:
        node: a node whose comprehension is linear in read ``k``.
        k: the number of the read.
        rest: the slope of the body by that read, over the other reads.
        g: the cotangent of the node.
    """
    c: Comprehension = node.op  # type: ignore[assignment]
    operand = node.args[c.reads[k].operand]
    solution = _Solution(c, c.reads[k].index, operand.shape)
    if solution.scatters:
        statement, args = _scatter(node, k, rest, g)
    else:
        statement, args = solution.statement(node, rest, g)
    return cast(apply(statement, args, node.dtype), operand.dtype)


def output_index(c: Comprehension) -> tuple[Index, ...]:
    """Return where the result of an iteration goes."""
    return c.target if c.target is not None else tuple(map(along, range(c.rank)))


def with_cotangent(c: Comprehension, rest: Expr) -> tuple[tuple[Read, ...], Expr]:
    """Return the reads of ``c`` and one of the cotangent, and the body ``g*rest``."""
    g = Read(1 + max((r.operand for r in c.reads), default=-1), output_index(c))
    return (*c.reads, g), scalar.scale(scalar.read(len(c.reads)), rest)


def _scatter(
    node: Tensor, k: int, rest: Expr, g: Tensor
) -> tuple[Comprehension, list[Tensor]]:
    c: Comprehension = node.op  # type: ignore[assignment]
    reads, body = with_cotangent(c, rest)
    statement = replace(
        c,
        name="scatter_add",
        rank=0,
        body=body,
        reads=reads,
        reduce="sum",
        target=c.reads[k].index,
        target_shape=node.args[c.reads[k].operand].shape,
    )
    return statement, [*node.args, g]


class _Solution:
    """The axes of ``c`` expressed by the indices ``J`` of the operand.

    While solving, ``J`` are the axes ``0 … m-1`` and axis ``a`` of ``c`` is ``m + a``.
    """

    def __init__(
        self, c: Comprehension, index: tuple[Index, ...], shape: Sequence[Size]
    ) -> None:
        self.c, self.m = c, len(index)
        self.shape = tuple(shape)
        self.extents = (*shape, *c.extents)
        self.solved: dict[int, Index] = {}
        self.guards: list[Guard] = []
        shift = {a: along(self.m + a) for a in range(len(c.extents))}
        self.shift = shift
        equations = [(d, substitute_index(i, shift)) for d, i in enumerate(index)]
        data = [(d, i) for d, i in equations if i.values()]
        pending = [(d, i) for d, i in equations if not i.values()]
        while pending:
            now = [(d, substitute_index(i, self.solved)) for d, i in pending]
            d, phi = min(now, key=lambda e: len(self._free(e[1])))
            pending = [(e, i) for e, i in pending if e != d]
            self._solve(d, phi)
        self.scatters = False
        for d, phi in data:
            self._solve_data(d, substitute_index(phi, self.solved))

    def _free(self, index: Index) -> list[tuple[int, int]]:
        """Return the terms of unsolved axes, (axis, factor)."""
        return [
            (a, f)
            for a, f in index.terms
            if isinstance(a, int) and a >= self.m and a not in self.solved
        ]

    def _solve(self, d: int, phi: Index) -> None:
        free = self._free(phi)
        nested = [a for a, _ in phi.terms if isinstance(a, Quotient)]
        inside = set().union(*(q.index.axes() for q in nested))
        free = [(a, f) for a, f in free if a not in inside]
        if not free:
            self._constrain(d, phi)
            return
        if self._solve_windows(d, phi, free):
            return
        a, factor = max(free, key=self._preference)
        rest = combine([(phi, 1), (along(a), -factor)])
        sign = 1 if factor > 0 else -1
        difference = combine([(along(d), sign), (rest, -sign)])
        stride = abs(factor)
        extent = self.extents[a]
        self.guards.append(Guard(difference, extent * stride, stride))
        self._set(a, quotient(difference, stride))

    def _solve_windows(self, d: int, phi: Index, free: list[tuple[int, int]]) -> bool:
        """Solve ``J = s*t + k + rest`` with ``0 <= k < K <= s`` for both axes.

        Windows that do not overlap: the quotient tells the window, the remainder the
        place in it, and no axis is left to sum over.
        """
        if len(free) != 2:
            return False
        (t, stride), (k, unit) = sorted(free, key=lambda term: -term[1])
        width = self.extents[k]
        if unit != 1 or not isinstance(width, int) or width > stride:
            return False
        rest = combine([(phi, 1), (along(t), -stride), (along(k), -1)])
        place = combine([(along(d), 1), (rest, -1)])
        window = quotient(place, stride)
        within = combine([(place, 1), (window, -stride)])
        self.guards.append(Guard(place, self.extents[t] * stride))
        if width < stride:
            self.guards.append(Guard(within, width))
        self._set(t, window)
        self._set(k, within)
        return True

    def _preference(self, term: tuple[int, int]) -> tuple[bool, int, bool]:
        """Solve for the longest axis, which disappears; among equals, a unit factor."""
        a, factor = term
        extent = self.extents[a]
        known = isinstance(extent, int)
        return not known, extent if known else 0, abs(factor) == 1  # type: ignore[return-value]

    def _set(self, a: int, value: Index) -> None:
        self.solved = {
            b: substitute_index(i, {a: value}) for b, i in self.solved.items()
        }
        self.solved[a] = value

    def _constrain(self, d: int, phi: Index) -> None:
        self.guards.append(Guard(combine([(phi, 1), (along(d), -1)]), 1))

    def _solve_data(self, d: int, phi: Index) -> None:
        """Guard with a data-dependent equation, unless free axes make it a scatter."""
        touched = set(phi.axes())
        pending = list(phi.values())
        while pending:
            for i in self.c.reads[pending.pop()].index:
                moved = substitute_index(substitute_index(i, self.shift), self.solved)
                touched |= moved.axes()
                pending += moved.values()
        if any(a >= self.m and a not in self.solved for a in touched):
            self.scatters = True
        self._constrain(d, phi)

    def statement(
        self, node: Tensor, rest: Expr, g: Tensor
    ) -> tuple[Comprehension, list[Tensor]]:
        """Return ``x̄[J] = Σ over the unsolved axes of g·rest`` under the guards."""
        c = self.c
        reads, body = with_cotangent(c, rest)
        left = [a for a in range(len(c.extents)) if self.m + a not in self.solved]
        final = {self.m + a: along(self.m + n) for n, a in enumerate(left)}

        def moved(index: Index) -> Index:
            index = substitute_index(substitute_index(index, self.shift), self.solved)
            return substitute_index(index, final)

        guards = [
            *(Guard(moved(h.index), h.bound, h.modulus) for h in c.guards),
            *(
                Guard(substitute_index(h.index, final), h.bound, h.modulus)
                for h in map(self._resolved, self.guards)
            ),
        ]
        statement = Comprehension(
            f"{c.name}_vjp",
            self.m,
            (*self.shape, *(c.extents[a] for a in left)),
            body,
            tuple(Read(r.operand, tuple(map(moved, r.index))) for r in reads),
            "sum" if left else None,
            tuple(guards),
        )
        return statement, [*node.args, g]

    def _resolved(self, guard: Guard) -> Guard:
        return Guard(
            substitute_index(guard.index, self.solved), guard.bound, guard.modulus
        )

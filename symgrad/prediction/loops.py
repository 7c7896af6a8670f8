"""Loops: their steps one after another, each as passages of its own.

What is known of the carries goes from step to step until it changes no more; backward,
the cotangents of the carries are a vector of norms that each step multiplies by a
matrix of path sums: entry (i, j) bounds how the cotangent of update i passes to carry
j.  A cotangent that arrives at many steps is bounded for the worst way to spread it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from symgrad.declare.dims import evaluate
from symgrad.declare.loop import Final, Scan, Stacked, States
from symgrad.declare.tensor import Tensor
from symgrad.prediction.facts import Axes, Facts, Known
from symgrad.prediction.norms import spectral_norm

if TYPE_CHECKING:
    from symgrad.prediction.flow import Flow

MOST = 256  # steps with facts of their own; more only if they are all alike by then


class Steps:
    """The steps of a loop for given operands.

    Attributes:
        flows: the passages of the body, one for each step; equal ones are one object.
        carries: facts of the carries before each step and after the last one.
    """

    def __init__(self, outer: Flow, node: Tensor) -> None:
        op = node.op
        assert isinstance(op, Final | States | Stacked)
        self.loop, self.args = op.loop, node.args
        self.length = evaluate(op.loop.length, outer.sizes)
        self.flows: list[Flow] = []
        count = len(op.loop.updates)
        facts = [outer.facts[a] for a in node.args]
        first, last = count, count + op.loop.sequences
        given = [*map(_element, facts[first:last]), *facts[last:]]
        self.carries = [facts[:count]]
        self._rows: dict[tuple[int, int], np.ndarray] = {}
        for n in range(self.length):
            flow = self.flows[-1] if self.flows else None
            if flow is None or not self._same(self.carries[-1], self.carries[-2]):
                if n == MOST:
                    self.carries[-1] = [Facts(f.shape) for f in self.carries[-1]]
                flow = self._flow(outer, [*self.carries[-1], *given])
            self.flows.append(flow)
            following = [flow.facts[u] for u in op.loop.updates]
            if n >= MOST:  # nothing is known of a carry that goes on changing
                following = [Facts(f.shape) for f in following]
            inside = n > 0 and self._same(following, self.carries[-1])
            self.carries.append(self.carries[-1] if inside else following)

    def _flow(self, outer: Flow, known: list[Facts]) -> Flow:
        loop = self.loop
        values = _values(outer, self)
        return outer.inner(
            [*loop.updates, *values], dict(zip(loop.formals, known, strict=True))
        )

    @staticmethod
    def _same(new: list[Facts], old: list[Facts]) -> bool:
        """Is all that may come within what was there before?"""
        return new is old or all(
            not isinstance(o, Known)
            and o.low <= n.low
            and n.high <= o.high
            and all(n.norm(k) <= v for k, v in o.norms.items())
            for n, o in zip(new, old, strict=True)
        )

    # -- values ------------------------------------------------------------------------

    def facts(self, node: Tensor) -> Facts:
        """Return what is known of a result of the loop."""
        op = node.op
        if isinstance(op, Final):
            return self.carries[-1][op.number]
        if isinstance(op, States):
            return _stacked([c[op.number] for c in self.carries])
        assert isinstance(op, Stacked)
        shape = self._shape(op)
        return _stacked([f.facts[op.value] for f in self.flows], shape)

    def _shape(self, op: Stacked) -> tuple[int, ...] | None:
        return self.flows[0].shape(op.value) if self.flows else None

    # -- gradients ---------------------------------------------------------------------

    def factors(self, op: Scan) -> list[float]:
        """Return by how much a result's cotangent grows on its way to each operand."""
        vectors, elements, shared = self.sweep(op, self.row)
        return [
            *np.linalg.norm(vectors, axis=1),
            *(_norm(e) for e in elements),
            *np.linalg.norm(shared, axis=1),
        ]

    def sweep(
        self, op: Scan, row: Callable[[int, Tensor], np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Go through the steps backward with a cotangent of 1 at each place.

        Args:
            op: the result; its places are one or, of all steps, as many as they are.
            row: the factors from a value of the body at a step to its formals.

        Returns:
            What arrives at the first carries ``[carry, place]``, at each element of the
            sequences ``[sequence, step, place]``, and at the operands ``[operand,
            place]``.
        """
        count, length = len(self.loop.updates), self.length
        places = length + 1 if isinstance(op, States) else length
        places = 1 if isinstance(op, Final) else places
        vectors = np.zeros((count, places))
        shared = np.zeros((len(self.loop.operands), places))
        elements = np.zeros((self.loop.sequences, length, places))
        last = count + self.loop.sequences
        if isinstance(op, Final | States):
            vectors[op.number, -1] = 1.0
        for t in reversed(range(length)):
            rows = np.stack([row(t, u) for u in self.loop.updates])
            new = _product(rows.T, vectors)
            if isinstance(op, Stacked):
                new[:, t] += row(t, op.value)
            vectors, elements[:, t] = new[:count].copy(), new[count:last]
            shared += new[last:]
            if isinstance(op, States):
                vectors[op.number, t] += 1.0
        return vectors, elements, shared

    def back(
        self, results: Sequence[Scan], row: Callable[[int, Tensor], np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Follow a cotangent of 1 of the last step's results back to the first step.

        Args:
            results: those that have it.
            row: as for ``sweep``.

        Returns:
            What it is at each carry before the last step, and the matrix by which the
            steps before that one multiply it.
        """
        count, last = len(self.loop.updates), self.length - 1
        ends = np.zeros((count, 1))
        for op in results:
            if isinstance(op, Final | States):
                ends[op.number] = 1.0
        ends = _product(self._carried(last, row), ends)[:, 0]
        for op in results:
            if isinstance(op, Stacked):
                ends += row(last, op.value)[:count]
        found = np.eye(count)
        for t in reversed(range(last)):
            found = _product(self._carried(t, row), found)
        return ends, found

    def _carried(self, t: int, row: Callable[[int, Tensor], np.ndarray]) -> np.ndarray:
        """Return the factors from each update of a step to each carry before it."""
        count = len(self.loop.updates)
        return np.stack([row(t, u)[:count] for u in self.loop.updates]).T

    def row(self, t: int, top: Tensor) -> np.ndarray:
        """Return the path sums from a value of the body to its formals, at a step."""
        flow = self.flows[t]
        key = (id(flow), id(top))
        if key not in self._rows:
            totals, _ = flow.accumulate(top)
            self._rows[key] = np.array(
                [totals.get(id(f), 0.0) for f in self.loop.formals]
            )
        return self._rows[key]


def _values(outer: Flow, steps: Steps) -> list[Tensor]:
    """Return the values of the body that the loss reads."""
    return [
        t.op.value
        for t in outer.order
        if isinstance(t.op, Stacked)
        and t.op.loop is steps.loop
        and all(a is b for a, b in zip(t.args, steps.args, strict=True))
    ]


def _element(x: Facts) -> Facts:
    """Return the facts of one element of a sequence, whichever it is."""
    rank = len(x.shape)
    known = {k - {0} for k in x.keys} | {frozenset(range(1, rank))}
    return Facts(
        x.shape[1:],
        *x.domain,
        {frozenset(a - 1 for a in axes): x.norm(axes) for axes in known},
    )


def _stacked(facts: Sequence[Facts], shape: tuple[int, ...] | None = None) -> Facts:
    """Return the facts of values on top of each other."""
    if not facts:
        return Facts((0, *(shape or ())), 0.0, 0.0)
    keys: set[Axes] = {k for f in facts for k in f.keys}
    keys.add(frozenset(range(len(facts[0].shape))))
    norms: dict[Axes, float] = {}
    for key in keys:
        sizes = [f.norm(key) for f in facts]
        moved = frozenset(a + 1 for a in key)
        norms[moved] = max(sizes)
        norms[moved | {0}] = math.sqrt(sum(s * s for s in sizes))
    low, high = min(f.low for f in facts), max(f.high for f in facts)
    return Facts((len(facts), *facts[0].shape), low, high, norms)


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the product of matrices without negative entries, with 0·∞ = 0."""
    with np.errstate(invalid="ignore"):
        terms = a[:, :, None] * b[None]
    zero = (a == 0)[:, :, None] | (b == 0)[None]
    found: np.ndarray = np.where(zero, 0.0, terms).sum(axis=1)
    return found


def _norm(matrix: np.ndarray) -> float:
    return spectral_norm(matrix) if matrix.size else 0.0

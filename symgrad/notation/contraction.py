"""Sums of products as chains of matrices.

The axes of a contraction are nodes, its factors are edges (two axes) or marks (one
axis).  A path from the row axis to the column axis is a matrix product, a path that
ends in a mark a product with a vector, an interior mark a diagonal matrix, a cycle a
trace; factors that all hold every summed axis make an inner product.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from symgrad.notation import algebra
from symgrad.notation.syntax import ONES, Form, cost, product, transposed
from symgrad.notation.terms import Term, bound_axes, factors, power_parts

if TYPE_CHECKING:
    from symgrad.notation.matrix import Group, Matrices, View


def contraction(matrices: Matrices, e: Term, view: View) -> Form | None:
    """Return the matrix notation of a sum, or None."""
    parts = list(factors(e.args[0]))
    loops = bound_axes(e)
    if not view.axes and all(set(loops) <= f.free for f in parts):
        return _inner(matrices, parts, loops)
    joined: list[Group] = [(a,) for a in loops]
    if view.groups:
        joined = _joined(loops, parts)
    return _Chain(matrices, parts, joined, view).form()


def _inner(matrices: Matrices, parts: list[Term], loops: Group) -> Form | None:
    """Return an inner product, a squared norm or a plain sum over all axes."""
    orders = itertools.permutations(loops) if len(loops) <= 3 else [loops]
    found = [_inner_in_order(matrices, parts, order) for order in orders]
    known = [f for f in found if f is not None]
    return min(known, key=cost, default=None)


def _inner_in_order(matrices: Matrices, parts: list[Term], order: Group) -> Form | None:
    from symgrad.notation.matrix import view_of

    view = view_of(order)
    if len(parts) == 1:
        base, e = power_parts(parts[0])
        shown = matrices.form(base if e == 2 else parts[0], view)
        if shown is None:
            return None
        if shown.kind == "diag":
            return Form("tr", shown.args)
        return Form("norm2" if e == 2 else "total", (shown,))
    first = matrices.form(parts[0], view)
    rest = matrices.form(algebra.mul(*parts[1:]), view)
    if first is None or rest is None:
        return None
    if len(order) == 1:
        return _dot(first, rest)
    if first.kind == "T" and rest.kind == "T":
        return None  # the other order of the axes shows it without transposes
    if _is_transpose(rest) and first.kind in _MATRICES:
        return Form("tr", (product([first, transposed(rest)]),))
    if _is_transpose(first) and rest.kind in _MATRICES:
        return Form("tr", (product([transposed(first), rest]),))
    return Form("inner", (first, rest))


_MATRICES = ("sym", "prod", "inv")


def _is_transpose(f: Form) -> bool:
    return f.kind == "T" and f.args[0].kind in ("sym", "inv")


def _dot(first: Form, rest: Form) -> Form:
    """Return ``x · y``, or ``xᵀ A y`` where one of the vectors is a product."""
    if "prod" not in (first.kind, rest.kind):
        return Form("dot", (first, rest))
    ways = [
        product([transposed(first), rest]),
        product([transposed(rest), first]),
    ]
    return min(ways, key=cost)


def _joined(loops: Group, parts: list[Term]) -> list[Group]:
    """Return the summed axes; those that always occur together are one."""
    found: dict[tuple[bool, ...], list[int]] = {}
    for a in loops:
        found.setdefault(tuple(a in f.free for f in parts), []).append(a)
    return [tuple(group) for group in found.values()]


def _divides_by_statistic(f: Term) -> bool:
    """Return True for ``1/s`` where ``s`` holds a reduction."""
    base, e = power_parts(f)
    pending = [base] if e < 0 else []
    while pending:
        t = pending.pop()
        if t.kind == "fam" or (t.kind == "red" and len(factors(t.args[0])) == 1):
            return True
        pending += t.args
    return False


@dataclass
class _Chain:
    """A walk along the factors of a sum of products."""

    matrices: Matrices
    parts: list[Term]
    loops: list[Group]
    view: View
    marks: dict[Group, list[Term]] = field(default_factory=dict)
    edges: dict[frozenset[Group], list[Term]] = field(default_factory=dict)

    def form(self) -> Form | None:
        if not self._sort():
            return None
        ends = self.view.groups
        if any(g in self.marks for g in ends):
            return None
        if not ends:
            return self._closed()
        walked = self._walk(ends[0])
        if walked is None:
            return None
        chain, last = walked
        if len(ends) == 2:
            return product(chain) if last == ends[1] else None
        end = self._vector(last)
        return None if end is None or last in ends else product([*chain, end])

    def _sort(self) -> bool:
        """Sort the factors into marks and edges; False if one is neither."""
        nodes = [*self.view.groups, *self.loops]
        for f in self.parts:
            touched = [g for g in nodes if any(a in f.free for a in g)]
            if not all(set(g) <= f.free for g in touched) or not touched:
                return False
            if len(touched) == 1:
                self.marks.setdefault(touched[0], []).append(f)
            elif len(touched) == 2:
                self.edges.setdefault(frozenset(touched), []).append(f)
            else:
                return False
        self._merge_divisors()
        return True

    def _merge_divisors(self) -> None:
        """Divide a matrix by a statistic of its rows, rather than by a diagonal."""
        for node in [n for n in self.loops if n in self.marks]:
            touching = [pair for pair in self.edges if node in pair]
            below = [f for f in self.marks[node] if _divides_by_statistic(f)]
            if touching and below:
                self.edges[touching[0]] += below
                self.marks[node] = [f for f in self.marks[node] if f not in below]
                if not self.marks[node]:
                    del self.marks[node]

    def _batch(self, f: Term) -> Group | None:
        """Return the batch axes of a factor: all of them, or the last ones."""
        kept = tuple(a for a in self.view.batch if a in f.free)
        return (
            kept
            if kept == self.view.batch[len(self.view.batch) - len(kept) :]
            else None
        )

    def _shown(self, parts: list[Term], *groups: Group) -> Form | None:
        from symgrad.notation.matrix import View

        f = algebra.mul(*parts)
        batch = self._batch(f)
        return None if batch is None else self.matrices.form(f, View(batch, groups))

    def _vector(self, node: Group) -> Form | None:
        """Return the vector at the end of a chain: a mark, or ones."""
        return self._shown(self.marks[node], node) if node in self.marks else ONES

    def _walk(self, start: Group) -> tuple[list[Form], Group] | None:
        """Return the matrices along the one path from ``start``, and where it ends."""
        left = dict(self.edges)
        chain: list[Form] = []
        node = start
        while True:
            here = [pair for pair in left if node in pair]
            if not here:
                return (chain, node) if not left and self._visited(start) else None
            if len(here) > 1 and node != start:
                return None
            pair = here[0]
            if node != start and node in self.marks:
                mark = self._shown(self.marks[node], node)
                if mark is None:
                    return None
                chain.append(Form("diag", (mark,)))
            (following,) = pair - {node}
            shown = self._shown(left.pop(pair), node, following)
            if shown is None:
                return None
            chain.append(shown)
            node = following
            if node == start:
                return (chain, node) if not left else None

    def _visited(self, start: Group) -> bool:
        """Return True if no mark stands on an axis that no edge touches."""
        touched = {start}.union(*self.edges) if self.edges else {start}
        return all(node in touched for node in self.marks)

    def _closed(self) -> Form | None:
        """Return a scalar: a chain between two vectors, or a trace."""
        degree = {n: sum(n in pair for pair in self.edges) for n in self.loops}
        ends = [n for n in self.loops if degree[n] == 1]
        if not ends:
            walked = self._walk(self.loops[0])
            if walked is None or walked[1] != self.loops[0] or self.marks:
                return None
            return Form("tr", (product(walked[0]),))
        found = [f for f in map(self._between, ends) if f is not None]
        return min(found, key=cost, default=None)

    def _between(self, start: Group) -> Form | None:
        first = self._vector(start)
        walked = self._walk(start)
        if walked is None or first is None:
            return None
        last = self._vector(walked[1])
        if last is None:
            return None
        return product([transposed(first), *walked[0], last])

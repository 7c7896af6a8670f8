"""Residual sums, found in the graph: ``y = x + f(x)``.

A sum is residual if one of its terms is the value ``x`` that another is computed from,
whatever their order, be ``x`` scaled, padded or projected on the way (He et al. 2015,
"Deep residual learning") or gated, ``t(x) f(x) + (1 − t(x)) x`` (Srivastava et al.
2015, "Highway networks"), and wherever blocks are normalised.  Sums that follow each
other along the same stream are a road.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from symgrad.declare.bodies import with_args
from symgrad.declare.build import elementwise
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.dtypes import is_float
from symgrad.declare.tensor import (
    Input,
    Param,
    Reshape,
    Tensor,
    exact_scope,
    topological,
)
from symgrad.drawing.scopes import common

#: A value that is added more often than this starts a recurrence, not roads.
REUSED = 2
#: Steps from a projected shortcut back to where it parts from the block.
PROJECTION = 16
#: Scalar functions that a projected shortcut may apply: those of a normalisation.
_LINEAR = {"read", "add", "sub", "neg", "mul", "div", "sqrt", "rsqrt", "square"}


@dataclass(frozen=True, eq=False)
class Branch:
    """A term of a residual sum.

    Attributes:
        end: the term.
        members: the nodes that lead to it from the stream, operands first; none where
            the term is the stream itself.
    """

    end: Tensor
    members: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Residual:
    """A sum ``y = road(x) + f(x) + …``.

    Attributes:
        add: ``y``, the last of its additions.
        stream: ``x``, where the road and the blocks part.
        road: the term that goes past the blocks; without members it is ``x`` itself.
        blocks: the terms that are computed from ``x``.
        rest: other terms, such as a bias.
        projected: does the road multiply by weights?
        gate: what a gated road, ``(1 − t(x)) ⊙ x``, multiplies ``x`` by.
    """

    add: Tensor
    stream: Tensor
    road: Branch
    blocks: tuple[Branch, ...]
    rest: tuple[Tensor, ...]
    projected: bool
    gate: Branch | None = None

    @property
    def is_identity(self) -> bool:
        """Is the road ``x`` itself?"""
        return not self.road.members

    @property
    def name(self) -> str:
        """The scope in which the blocks are computed, or that of most weights in it."""
        members = [m for b in self.blocks for m in b.members if m.scope]
        shared = "/".join(common(tuple(m.scope.split("/")) for m in members))
        return _heaviest(members, shared) or self.add.scope or "f"


@dataclass(frozen=True, eq=False)
class Road:
    """Residual sums, each of which adds to the result of the one before.

    Attributes:
        residuals: in the order of the data.
        stations: for each of them, the nodes on the road since the one before, such as
            the normalisation of a post-norm transformer.
        owner: the sum in whose block the road lies, None for a road of the whole model.
    """

    residuals: tuple[Residual, ...]
    stations: tuple[tuple[Tensor, ...], ...]
    owner: Residual | None


def _heaviest(members: Sequence[Tensor], scope: str) -> str:
    """Return the scope, or the one right below it that has nearly all its weights.

    So the two blocks of a transformer are called attention and mlp, though both have a
    norm besides.
    """
    weights: Counter[str] = Counter()
    depth = scope.count("/") + bool(scope)
    for m in members:
        below = "/".join(m.scope.split("/")[: depth + 1])
        weights[below] += sum(
            prod(s for s in a.shape if isinstance(s, int))
            for a in m.args
            if isinstance(a.op, Param)
        )
    found, most = max(weights.items(), key=lambda item: item[1], default=(scope, 0))
    return found if most > 0.9 * weights.total() else scope


def residuals(t: Tensor) -> list[Residual]:
    """Return the residual sums below a tensor, operands first.

    >>> import symgrad as sg
    >>> x, W = sg.input("x", ("n", 3)), sg.param("W", (3, 3))
    >>> (found,) = residuals(sg.relu(x @ W) + x)
    >>> found.stream is x, found.is_identity
    (True, True)
    """
    search = _Search(t)
    found = [r for add in search.sums() if (r := search.residual(add)) is not None]
    uses = Counter(id(r.stream) for r in found)
    return [r for r in found if uses[id(r.stream)] <= REUSED]


class _Search:
    """The graph below a tensor, as residual sums are looked for in it."""

    def __init__(self, t: Tensor) -> None:
        self.order = topological([t])
        self.place = {n: k for k, n in enumerate(self.order)}
        self.users: dict[Tensor, list[Tensor]] = {n: [] for n in self.order}
        roots = [n for n in self.order if isinstance(n.op, Input)]
        if not roots:
            roots = [n for n in self.order if isinstance(n.op, Param)]
        self.data = set(roots)
        for n in self.order:
            for a in dict.fromkeys(n.args):
                self.users[a].append(n)
                if a in self.data:
                    self.data.add(n)

    def sums(self) -> Iterator[Tensor]:
        """Return the additions that are not a part of a longer one."""
        for n in self.order:
            if is_sum(n) and n in self.data:
                users = self.users[n]
                part = len(users) == 1 and is_sum(users[0])
                if not part or users[0].shape != n.shape:
                    yield n

    def terms(self, add: Tensor) -> list[Tensor]:
        """Return what a sum adds, through the additions that only it reads."""
        found: list[Tensor] = []
        pending = list(reversed(add.args))
        while pending:
            n = pending.pop()
            inner = is_sum(n) and len(self.users[n]) == 1 and n.shape == add.shape
            if inner:
                pending += reversed(n.args)
            else:
                found.append(n)
        return found

    def residual(self, add: Tensor) -> Residual | None:
        """Return the sum as a residual one, if it is."""
        terms = self.terms(add)
        live = [t for t in terms if t in self.data and t.shape == add.shape]
        if len(live) < 2:
            return None
        for road in sorted(live, key=self.place.__getitem__):
            for stream, gate in self._gated(road):
                found = self._blocks(stream, road, live, False)
                if found:
                    rest = self._rest(terms, road, found)
                    branch = Branch(road, (road,))
                    return Residual(add, stream, branch, found, rest, False, gate)
            for stream, way, projected in self._streams(road):
                found = self._blocks(stream, road, live, projected)
                if found:
                    rest = self._rest(terms, road, found)
                    branch = Branch(road, way)
                    return Residual(add, stream, branch, found, rest, projected)
        return None

    @staticmethod
    def _rest(
        terms: Sequence[Tensor], road: Tensor, blocks: Sequence[Branch]
    ) -> tuple[Tensor, ...]:
        known = {road, *(b.end for b in blocks)}
        return tuple(t for t in terms if t not in known)

    def _gated(self, road: Tensor) -> Iterator[tuple[Tensor, Branch]]:
        """Return the values that a layer of themselves is multiplied with, and it."""
        c = road.op
        if not isinstance(c, Comprehension) or not c.is_elementwise:
            return
        if c.body.fn != "mul" or len(road.args) != 2:
            return
        for stream, gate in (road.args, road.args[::-1]):
            if stream not in self.data or stream.shape != road.shape:
                continue
            members = self.between(stream, gate) if gate in self.data else ()
            curved = any(not _is_linear(m) for m in members)
            if curved and any(_is_layer(m) for m in members):
                yield stream, Branch(gate, members)

    def _blocks(
        self, stream: Tensor, road: Tensor, terms: Sequence[Tensor], projected: bool
    ) -> tuple[Branch, ...]:
        found = []
        for t in terms:
            members = self.between(stream, t) if t is not road else ()
            curved = not projected or any(not _is_linear(m) for m in members)
            if curved and any(_is_layer(m) for m in members):
                found.append(Branch(t, members))
        return tuple(found)

    def between(self, start: Tensor, end: Tensor) -> tuple[Tensor, ...]:
        """Return the nodes after ``start`` on the paths from it to ``end``."""
        first = self.place[start]
        seen, pending = {end}, [end]
        while pending:
            for a in pending.pop().args:
                if a not in seen and a in self.data and self.place[a] >= first:
                    seen.add(a)
                    pending.append(a)
        if start not in seen:
            return ()
        on = {start}
        for n in sorted(seen, key=self.place.__getitem__):
            if any(a in on for a in n.args):
                on.add(n)
        on.remove(start)
        return tuple(sorted(on, key=self.place.__getitem__)) if end in on else ()

    def _streams(
        self, road: Tensor
    ) -> Iterator[tuple[Tensor, tuple[Tensor, ...], bool]]:
        """Return where a shortcut may come from: (stream, the nodes after it, …).

        The first is the term itself.  Further back the way may scale, move, project
        and normalise, but neither apply an activation nor drop an axis.
        """
        yield road, (), False
        way: list[Tensor] = []
        projected = False
        at = road
        for _ in range(PROJECTION):
            passed = self._dominator(at)
            if passed is None or not all(map(_is_linear, passed[1])):
                return
            at, nodes = passed
            way += nodes
            projected |= any(_is_product(n) for n in nodes)
            if not is_float(at.dtype):
                return
            if at.ndim > road.ndim and not any(isinstance(n.op, Reshape) for n in way):
                continue  # what is summed over an axis goes along no road
            ordered = tuple(sorted(way, key=self.place.__getitem__))
            yield at, ordered, projected

    def _dominator(self, t: Tensor) -> tuple[Tensor, list[Tensor]] | None:
        """Return the nearest node that all data come through to ``t``, and the way."""
        heap: list[int] = []
        seen: set[Tensor] = set()
        passed = [t]
        self._push(t, heap, seen)
        while len(heap) > 1:
            n = self.order[-heapq.heappop(heap)]
            passed.append(n)
            if not self._push(n, heap, seen) or len(passed) > 4 * PROJECTION:
                return None
        return (self.order[-heap[0]], passed) if heap else None

    def _push(self, t: Tensor, heap: list[int], seen: set[Tensor]) -> bool:
        """Add the operands that carry data; return False for a leaf."""
        live = [a for a in t.args if a in self.data]
        for a in live:
            if a not in seen:
                seen.add(a)
                heapq.heappush(heap, -self.place[a])
        return bool(live)

    def before(self, t: Tensor) -> Tensor | None:
        """Return the nearest node that all data come through to ``t``."""
        found = self._dominator(t)
        return found and found[0]


def is_sum(t: Tensor) -> bool:
    """Say whether a node adds two tensors, element by element."""
    c = t.op
    return isinstance(c, Comprehension) and c.is_elementwise and c.body.fn == "add"


def _is_product(t: Tensor) -> bool:
    c = t.op
    return isinstance(c, Comprehension) and c.is_contraction and len(c.reads) > 1


def _is_linear(t: Tensor) -> bool:
    """Say whether a shortcut may pass here: no activation, no axis dropped."""
    c = t.op
    if isinstance(c, Reshape):
        return True
    if not isinstance(c, Comprehension) or c.reduce not in (None, "sum"):
        return False
    if c.is_movement and any(a.ndim > t.ndim for a in t.args):
        return False
    return c.body.fn in _LINEAR


def _is_layer(t: Tensor) -> bool:
    """Say whether a node makes a block more than arithmetic of single elements."""
    c = t.op
    if not isinstance(c, Comprehension):
        return False
    weights = any(isinstance(a.op, Param) for a in t.args)
    return weights or c.reduce is not None


# -- roads -------------------------------------------------------------------------


def roads(t: Tensor) -> list[Road]:
    """Return the residual sums below a tensor as roads, the longest first.

    >>> import symgrad as sg
    >>> h = sg.input("x", ("n", 3))
    >>> for n in range(4):
    ...     h = h + sg.relu(h @ sg.param(f"W{n}", (3, 3)))
    >>> [len(road.residuals) for road in roads(sg.sum(h))]
    [4]
    """
    search = _Search(t)
    found = residuals(t)
    owners = _owners(found)
    ends = {r.add: r for r in found}
    roads: list[tuple[list[Residual], list[tuple[Tensor, ...]]]] = []
    open_at: dict[Residual, int] = {}
    for r in found:
        before, stations = _before(search, r, ends, owners)
        number = open_at.pop(before, None) if before is not None else None
        if number is None:
            number = len(roads)
            roads.append(([], []))
        roads[number][0].append(r)
        roads[number][1].append(stations)
        open_at[r] = number
    made = [Road(tuple(rs), tuple(ss), owners[rs[0]]) for rs, ss in roads]
    return sorted(made, key=lambda road: (road.owner is not None, -len(road.residuals)))


def _owners(found: Sequence[Residual]) -> dict[Residual, Residual | None]:
    """Return for each sum the innermost one in a block of which it lies."""
    sums = {r.add: r for r in found}
    owners: dict[Residual, Residual | None] = dict.fromkeys(found)
    inner = sorted(found, key=lambda r: sum(len(b.members) for b in r.blocks))
    for holder in inner:
        for member in (m for b in holder.blocks for m in b.members):
            r = sums.get(member)
            if r is not None and owners[r] is None and r is not holder:
                owners[r] = holder
    return owners


def _before(
    search: _Search,
    r: Residual,
    ends: dict[Tensor, Residual],
    owners: dict[Residual, Residual | None],
) -> tuple[Residual | None, tuple[Tensor, ...]]:
    """Return the sum whose result becomes the stream of ``r``, and what is between."""
    owner = owners[r]
    at: Tensor | None = r.stream
    while at is not None and at is not (owner and owner.stream):
        s = ends.get(at)
        if s is not None and owners[s] is owner:
            way = search.between(at, r.stream) if at is not r.stream else ()
            return s, way
        at = search.before(at)
    return None, ()


def without_residuals(t: Tensor) -> dict[Tensor, Tensor]:
    """Return node -> its counterpart in the model without the shortcuts.

    Each residual sum keeps its blocks and its other terms and loses its road; a model
    without residual sums stays as it is.
    """
    cut = {r.add: r for r in residuals(t)}
    known: dict[Tensor, Tensor] = {}
    for node in topological([t]):
        with exact_scope(node.scope):
            if node in cut:
                r = cut[node]
                parts = [known[p] for p in (*(b.end for b in r.blocks), *r.rest)]
                known[node] = parts[0]
                for p in parts[1:]:
                    known[node] = elementwise("add", known[node], p)
                continue
            args = [known[a] for a in node.args]
            same = all(a is b for a, b in zip(args, node.args, strict=True))
            known[node] = node if same else with_args(node, args)
    return known

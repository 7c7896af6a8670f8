"""Boxes: which nodes of a graph a picture shows as one.

A layer's product and bias are one box, so are the parts of a softmax or of a loss.
Everything that only one box needs belongs to it; constants, sizes, casts and moved
leaves belong to none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from symgrad.declare.comprehension import Comprehension
from symgrad.declare.loop import Formal, Scan
from symgrad.declare.tensor import Input, Param, Reshape, Tensor, topological
from symgrad.drawing.joins import joined
from symgrad.drawing.scopes import Frames, frames, scope_of
from symgrad.drawing.slices import is_part, operand
from symgrad.notation.lower import Lowering, source

#: A graph with at most so many operations shows each of them.
FEW = 12
#: And a box of more members says nothing: each of them is shown.
MANY = 60
#: What softmax, its kin and the losses on them are made of.
_INNER = {"max", "stop_gradient", "isfinite", "select", "sub", "exp", "sum", "div"}
_INNER |= {"log", "neg", "log1p", "mul", "add", ""}


@dataclass(eq=False)
class Box:
    """A node of the picture: ``head`` is its result, ``sources`` what it reads."""

    head: Tensor
    members: list[Tensor] = field(default_factory=list)
    sources: list[Tensor] = field(default_factory=list)


@dataclass
class Boxes:
    """The boxes of a graph by their heads, in order, and the leaves that they read."""

    boxes: dict[Tensor, Box]
    leaves: list[Tensor]
    owner: dict[Tensor, Tensor]
    frames: Frames = field(default_factory=Frames)


def condense(outputs: Sequence[Tensor], each: bool = False) -> Boxes:
    """Return the boxes of a graph; ``each`` gives every operation its own."""
    graph = _Graph(outputs)
    if each or graph.is_small():
        return graph.boxes(graph.every_head())
    heads = graph.heads()
    found = graph.boxes(heads)
    long = [b for b in found.boxes.values() if len(b.members) > MANY]
    if not long:
        return found
    inside = {t for b in long for t in b.members}
    return graph.boxes(heads | (graph.every_head() & inside))


class _Graph:
    """A graph with its users, and the nodes that a picture leaves out."""

    def __init__(self, outputs: Sequence[Tensor]) -> None:
        self.outputs = list(outputs)
        self.ends = set(outputs)
        self.order = topological(outputs)
        self.users: dict[Tensor, list[Tensor]] = {t: [] for t in self.order}
        for t in self.order:
            for a in dict.fromkeys(t.args):
                self.users[a].append(t)
        self.fixed: set[Tensor] = set()
        self.clear: set[Tensor] = set()
        for t in self.order:
            self._sort(t)
        self.results, self.between = self._results()

    def _sort(self, t: Tensor) -> None:
        """Note what depends on no leaf, and what is a leaf but for its place."""
        if isinstance(t.op, Input | Param | Formal):
            return
        if not _is_leaf(t) and all(a in self.fixed for a in t.args):
            self.fixed.add(t)
            self.clear.add(t)
        elif _moves(t) and all(_is_leaf(a) or a in self.clear for a in t.args):
            self.clear.add(t)
        elif isinstance(t.op, Reshape) and not isinstance(source(*t.args).op, Input):
            self.clear |= {t} if all(_is_leaf(source(a)) for a in t.args) else set()

    def _results(self) -> tuple[set[Tensor], set[Tensor]]:
        """Return parts of a loop's results that something else reads, and others."""
        parts: set[Tensor] = set()
        for t in self.order:
            if is_part(t) and (isinstance(operand(t).op, Scan) or operand(t) in parts):
                parts.add(t)
        read = {t for t in parts if any(u not in parts for u in self.users[t])}
        read |= self.ends & parts
        return read, parts - read

    def is_small(self) -> bool:
        """Return True if every operation may be shown: few, and no matrix product."""
        shown = [t for t in self.order if self._is_operation(t)]
        products = any(
            isinstance(t.op, Comprehension) and self._is_product(t) for t in shown
        )
        return len(shown) <= FEW and not products

    def _is_operation(self, t: Tensor) -> bool:
        return not _is_leaf(t) and t not in self.clear

    # -- heads -----------------------------------------------------------------------

    def every_head(self) -> set[Tensor]:
        """Return every operation but the inner ones of a composite, and movements."""
        composites = self._composites()
        inner = {t.args[2] for t in self.order if joined(t)}
        found: set[Tensor] = set()
        inside: dict[Tensor, bool] = {}
        for t in reversed(self.order):
            if not self._is_operation(t):
                continue
            above = [u for u in self.users[t] if self._is_operation(u)]
            inside[t] = (
                t not in self.ends
                and bool(above)
                and all(
                    (u in composites or inside.get(u, False)) and _name(t) in _INNER
                    for u in above
                )
            )
            plain = _moves(t) and t not in self.ends | self.results
            plain |= t in inner and bool(joined(t)) and len(self.users[t]) == 1
            if not plain and (not inside[t] or t in composites):
                found.add(t)
        return found

    def _composites(self) -> set[Tensor]:
        """Return the nodes that notation recognises as a function of rows."""
        terms = Lowering(self.outputs).terms
        found = set()
        for t in self.order:
            term = terms[t]
            rows = term.kind == "fam" or (
                term.kind == "red" and term.value[0] == "logsumexp"
            )
            if rows or _is_loss(term, t):
                found.add(t)
        return found

    def heads(self) -> set[Tensor]:
        """Return the results of the boxes of a network."""
        found = set(self.outputs) | self.results
        absorbed: set[Tensor] = set()
        for t in self.order:
            if not self._is_operation(t):
                continue
            if isinstance(t.op, Reshape):
                found |= {t, *(a for a in t.args if self._is_operation(a))}
            elif joined(t):
                whole = not any(joined(u) for u in self.users[t])
                parts = {source(a) for a in joined(t)} | ({t} if whole else set())
                found |= {a for a in parts if self._is_operation(a)}
            elif isinstance(t.op, Scan):
                below = (source(a) for a in t.args)
                found |= {t, *(a for a in below if self._is_operation(a))}
            elif isinstance(t.op, Comprehension) and self._is_product(t):
                found.add(self._with_bias(t, absorbed))
                below = (source(a) for a in t.args)
                found |= {a for a in below if self._is_operation(a)}
        found |= {t for t in self.order if self._is_compared(t)}
        found -= absorbed | self.between
        found |= {t for t in self.order if self._is_join(t, found)}
        return found

    def _is_compared(self, t: Tensor) -> bool:
        """Return True for an answer whose difference from data is an error."""
        return self._is_operation(t) and any(
            _name(u) == "sub"
            and any(isinstance(source(a).op, Input) and a is not t for a in u.args)
            and all(a.shape == t.shape for a in u.args)
            and any(_name(v) in ("pow", "square", "abs") for v in self.users[u])
            for u in self.users[t]
        )

    def _is_product(self, t: Tensor) -> bool:
        """Return True for a contraction of several operands, a window or a lookup."""
        c = t.op
        assert isinstance(c, Comprehension)
        large = [a for a in t.args if a.ndim and a not in self.fixed]
        if c.is_contraction and len(c.reads) > 1:
            return bool(large) and (len(large) > 1 or t.ndim > 0)
        windows = any(i.axis is None and i.terms for r in c.reads for i in r.index)
        return bool(large) and windows and not c.guards and c.name not in _LOOKUPS

    def _with_bias(self, t: Tensor, absorbed: set[Tensor]) -> Tensor:
        """Return the sum of products and biases that a product is a part of."""
        while len(self.users[t]) == 1 and t not in self.ends:
            (user,) = self.users[t]
            others = [a for a in user.args if a is not t]
            is_sum = _name(user) == "add" and user.op.is_elementwise  # type: ignore[union-attr]
            if not is_sum or not all(self._is_part(a) for a in others):
                break
            absorbed.add(t)
            t = user
        return t

    def _is_part(self, t: Tensor) -> bool:
        """Return True for a bias, or another product that only this sum reads."""
        if _is_leaf(source(t)):
            return not isinstance(source(t).op, Input)
        if t in self.clear:
            return True
        product = isinstance(t.op, Comprehension) and t.op.is_contraction
        return product and len(t.op.reads) > 1 and len(self.users[t]) == 1  # type: ignore[union-attr]

    def _is_join(self, t: Tensor, heads: set[Tensor]) -> bool:
        """Return True for a residual: a sum of two things that have boxes."""
        if _name(t) != "add" or t in heads:
            return False
        wide = [a for a in t.args if a.shape == t.shape and t.ndim]
        return len(wide) == 2 and all(
            a in heads or isinstance(a.op, Input) or self._is_shared(a) for a in wide
        )

    def _is_shared(self, t: Tensor) -> bool:
        return self._is_operation(t) and len(self.users[t]) > 1

    # -- boxes ------------------------------------------------------------------------

    def boxes(self, heads: set[Tensor]) -> Boxes:
        """Return the boxes: each node belongs to the one box that needs it."""
        owner: dict[Tensor, Tensor] = {}
        for t in reversed(self.order):
            if not self._is_operation(t):
                continue
            above = {owner[u] for u in self.users[t] if u in owner}
            alone = t not in heads and len(above) == 1
            if alone and not _moves(t):  # a layer's value does not move into the loss
                alone = scope_of(t) == scope_of(next(iter(above)))
            owner[t] = above.pop() if alone else t
        found = {t: Box(t) for t in self.order if owner.get(t) is t}
        leaves: dict[Tensor, None] = {}
        for t in self.order:
            if t in owner:
                found[owner[t]].members.append(t)
        for box in found.values():
            box.sources = self._sources(box, owner)
            leaves.update(dict.fromkeys(s for s in box.sources if s not in found))
        around = frames({t: box.sources for t, box in found.items()})
        return Boxes(found, list(leaves), owner, around)

    def _sources(self, box: Box, owner: dict[Tensor, Tensor]) -> list[Tensor]:
        found: dict[Tensor, None] = {}
        for t in box.members:
            pending = list(reversed(t.args))
            while pending:
                a = pending.pop()
                if a in owner:
                    if owner[a] is not box.head:
                        found[a] = None
                elif _is_leaf(a):
                    found[a] = None
                elif a not in self.fixed:
                    pending += a.args
        return list(found)


_LOOKUPS = {"slice", "pad", "flip", "take_along_axis"}


def _is_loss(term: object, t: Tensor) -> bool:
    """Return True for the mean log-probability of labels."""
    from symgrad.notation.terms import Term, factors

    assert isinstance(term, Term)
    if t.ndim or t.args == ():
        return False
    for f in factors(term):
        if f.kind == "red" and f.value[0] == "sum":
            rows = [g.value[0] for g in factors(f.args[0]) if g.kind == "fam"]
            return "log_softmax" in rows
    return False


def _is_leaf(t: Tensor) -> bool:
    """Return True for what has a box of its own: not numbers, nor indices."""
    if isinstance(t.op, Comprehension):
        return False
    return not t.args and (t.ndim > 0 or isinstance(t.op, Input | Param | Formal))


def _name(t: Tensor) -> str:
    """Return the scalar function or the reduction of a node, ``""`` for movements."""
    c = t.op
    if not isinstance(c, Comprehension):
        return "reshape"
    if c.body.fn != "read":
        return c.body.fn
    return c.reduce or ""


def _moves(t: Tensor) -> bool:
    c = t.op
    return isinstance(c, Comprehension) and c.is_movement and c.name not in ("take",)

"""From nodes to terms: which nodes get a definition of their own, and what it says.

Most nodes are written into their users.  A node stays apart (a *definition*) when it
is an operand of a contraction, when a longer computation is used more than once, when
it is read at shifted or data-dependent indices, or when its term has grown long.
Whether a definition is shown by name is decided later (``symgrad.notation.define``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fractions import Fraction

import numpy as np

from symgrad.declare.comprehension import Comprehension, Guard, Index, Quotient, Read
from symgrad.declare.dims import Size
from symgrad.declare.linear_algebra import LinearAlgebra
from symgrad.declare.scalar import Expr
from symgrad.declare.tensor import Constant, Reshape, SizeOf, Tensor, topological
from symgrad.notation import algebra, sums
from symgrad.notation.functions import is_symmetric, linear_algebra, place_order
from symgrad.notation.terms import (
    ZERO,
    Term,
    axis,
    fresh,
    make,
    num,
    ref,
    size_term,
)

LONG_SHARED, LONG = 40, 160  # sizes of terms: used more than once, and ever


class Lowering:
    """The terms of a graph.

    Attributes:
        outputs: the tensors that are to be shown.
        terms: the term over the axes ``0 … rank - 1`` of each node.
        apart: the nodes that others refer to by name; leaves are among them.
        order: every node, operands before their users.
    """

    def __init__(
        self, outputs: Sequence[Tensor], leaves: Collection[Tensor] = frozenset()
    ) -> None:
        self.outputs = list(outputs)
        self.leaves = frozenset(leaves)
        self.order = below(self.outputs, self.leaves)
        self.users = _users(self.order, self.outputs)
        inner = [t for t in self.order if t not in self.leaves]
        self.apart = _kept_apart(inner) | self.leaves
        self.terms: dict[Tensor, Term] = {}
        self._heavy: dict[Tensor, bool] = {}
        self._symmetric: dict[Tensor, bool] = {}
        for t in self.order:
            self.terms[t] = self._term(t)
            self._mark(t)

    def at(self, t: Tensor, index: tuple[Term, ...]) -> Term:
        """Return an element of a node: a reference, or its term at these indices."""
        if t in self.apart:
            if len(index) > 1 and self.symmetric(t):
                index = (*index[:-2], *sorted(index[-2:], key=place_order))
            return ref(t, index)
        return algebra.substitute(self.terms[t], dict(enumerate(index)))

    def symmetric(self, t: Tensor) -> bool:
        """Return True for matrices that are symmetric by how they are computed."""
        if t not in self._symmetric:
            self._symmetric[t] = False  # of a reshape, whose term is a reference to it
            term = self.terms.get(t, ZERO)
            square = t.ndim > 1 and t.shape[-1] == t.shape[-2] and bool(t.args)
            self._symmetric[t] = False  # nothing is known of what refers to itself
            self._symmetric[t] = (
                square
                and t not in self.leaves
                and term.size <= LONG
                and is_symmetric(term, t.ndim - 2, t.ndim - 1, self.symmetric)
            )
        return self._symmetric[t]

    def _mark(self, t: Tensor) -> None:
        c, users = t.op, self.users[t]
        own = isinstance(c, LinearAlgebra) or (
            isinstance(c, Comprehension) and c.is_contraction and _is_product(t)
        )
        below = any(self._heavy.get(a) for a in t.args if a not in self.apart)
        self._heavy[t] = own or below
        term = self.terms[t]
        own = term.kind == "fam" and term.value[0] == "softmax"
        if (users > 1 and (own or self._heavy[t] or term.size > LONG_SHARED)) or (
            term.size > LONG or sums.mixes(term)
        ):
            self.apart.add(t)

    def _term(self, t: Tensor) -> Term:
        own = tuple(axis(a) for a in range(t.ndim))
        if t in self.leaves:
            return ref(t, own)
        match t.op:
            case Constant(value=value) if value.ndim == 0:
                return constant_term(value)
            case SizeOf(dim=dim):
                return size_term(dim)
            case Comprehension():
                return _Statement(self, t).term()
            case LinearAlgebra():
                return linear_algebra(t, self.at, self.symmetric(t.args[0]))
        return ref(t, own)


def below(outputs: Sequence[Tensor], leaves: Collection[Tensor]) -> list[Tensor]:
    """Return the nodes below the outputs and not below the leaves, operands first."""
    if not leaves:
        return topological(outputs)
    order: list[Tensor] = []
    seen: set[Tensor] = set()
    stack = [(t, False) for t in reversed(outputs)]
    while stack:
        t, ready = stack.pop()
        if ready:
            order.append(t)
        elif t not in seen:
            seen.add(t)
            stack.append((t, True))
            if t not in leaves:
                stack += [(a, False) for a in reversed(t.args)]
    return order


def constant_term(value: np.ndarray) -> Term:
    """Return a scalar constant; a float32 as the shortest decimal that it is."""
    if value.dtype.kind == "f":
        return num(float(str(value)))
    return num(value.item())


def source(t: Tensor) -> Tensor:
    """Return the tensor that is only transposed, broadcast or cast to give ``t``."""
    while isinstance(t.op, Comprehension) and _is_plain_movement(t.op):
        t = t.args[0]
    return t


def _is_plain_movement(c: Comprehension) -> bool:
    return (
        c.is_movement
        and not c.guards
        and len(c.reads) == 1
        and all(_is_plain(i) for i in c.reads[0].index)
    )


def _is_plain(i: Index) -> bool:
    return not i.terms or i.axis is not None


def _is_product(t: Tensor) -> bool:
    """Return True for a product of at least two operands that are not scalars."""
    return sum(bool(a.shape) for a in t.args) > 1 or len(t.op.reads) > 1  # type: ignore[union-attr]


def _users(order: Sequence[Tensor], outputs: Sequence[Tensor]) -> dict[Tensor, int]:
    users = dict.fromkeys(order, 0)
    for t in order:
        for a in t.args:
            users[a] = users.get(a, 0) + 1
    for t in outputs:
        users[t] += 1
    return users


def _kept_apart(order: Sequence[Tensor]) -> set[Tensor]:
    """Return the leaves, and the nodes that a statement needs to call by name."""
    apart: set[Tensor] = set()
    for t in order:
        if isinstance(t.op, Reshape):
            apart |= {t, t.args[0]}
        elif isinstance(t.op, LinearAlgebra):
            apart |= {source(a) for a in t.args}
        elif not isinstance(t.op, Comprehension):
            if t.ndim or not isinstance(t.op, Constant | SizeOf):
                apart.add(t)
        else:
            apart |= {t.args[r.operand] for r in _by_name(t.op)}
            if t.op.is_contraction:
                sources = (source(a) for a in t.args)
                apart |= {a for a in sources if not _is_exp(a) and a.dtype != "bool"}
    return {t for t in apart if t.ndim or not t.args}


def _is_exp(t: Tensor) -> bool:
    """Return True for an exponential: it may be part of a softmax."""
    return isinstance(t.op, Comprehension) and t.op.body.fn == "exp"


def _by_name(c: Comprehension) -> list[Read]:
    """Return the reads at indices that a term in the middle of others cannot take."""
    return [
        r
        for r in c.reads
        if not _is_along(r) and not all(_is_plain(i) for i in r.index)
    ]


def _is_along(r: Read) -> bool:
    """Return True for a data-dependent read that keeps its other axes."""
    data = [i for i in r.index if i.values()]
    return len(data) == 1 and all(_is_plain(i) for i in r.index if not i.values())


class _Statement:
    """The term of one comprehension."""

    def __init__(self, lowering: Lowering, t: Tensor) -> None:
        self.lowering, self.t = lowering, t
        assert isinstance(t.op, Comprehension)
        self.c: Comprehension = t.op
        scattered = self.c.target is not None
        rank = 0 if scattered else self.c.rank
        self.loops = fresh(len(self.c.extents) - rank)
        self.axes = [*map(axis, range(rank)), *map(axis, self.loops)]
        self.extents = self.c.extents[rank:]

    def term(self) -> Term:
        """Return the value over the axes of the result."""
        c = self.c
        body = self._expression(c.body)
        if c.body.fn == "read" and self._is_condition(c.body):
            body = body if self.t.dtype == "bool" else algebra.indicator(body)
        tests = [self._guard(g) for g in c.guards]
        if c.reduce in (None, "sum") or not tests:
            body = algebra.mul(body, *map(algebra.indicator, tests))
        else:
            for test in tests:
                body = make("call", (body, test), "if")
        if c.target is not None:
            places = (
                algebra.indicator(algebra.call("eq", self._index(i), axis(d)))
                for d, i in enumerate(c.target)
            )
            body = algebra.mul(*places, body)
        return sums.reduce(c.reduce or "sum", self.loops, self.extents, body)

    def _is_condition(self, e: Expr) -> bool:
        r = self.c.reads[e.value]
        return self.t.args[r.operand].dtype == "bool"

    def _expression(self, e: Expr) -> Term:
        match e.fn:
            case "read":
                return self._read(e.value)
            case "axis":
                return self.axes[e.value]
            case "number":
                return num(e.value)
            case "size":
                return size_term(e.value)
        return algebra.call(e.fn, *map(self._expression, e.args))

    def _read(self, k: int) -> Term:
        r = self.c.reads[k]
        operand = self.t.args[r.operand]
        data = [d for d, i in enumerate(r.index) if i.values()]
        if data and operand not in self.lowering.apart:
            return self._selected(operand, r, data[0])
        if data and len(r.index) > 1 and self._shares_axes(r, data):
            return self._selected(operand, r, data[0])
        pairs = zip(r.index, operand.shape, strict=True)
        return self.lowering.at(operand, tuple(self._place(i, s) for i, s in pairs))

    def _place(self, i: Index, size: Size) -> Term:
        """Return an index; one that stops before the end of a dimension is *cut*."""
        place = self._index(i)
        if i.axis is None or self.c.guards:
            return place
        extent = self.c.extents[i.axis]
        return place if extent == size else make("cut", (place,), extent)

    def _shares_axes(self, r: Read, data: list[int]) -> bool:
        """Return True if the data-dependent place moves with the other indices."""
        other = set().union(*(i.axes() for d, i in enumerate(r.index) if d not in data))
        places = [self._index(r.index[d]) for d in data]
        mine = {self.axes[a].value for a in other}
        return any(mine & p.free for p in places)

    def _selected(self, operand: Tensor, r: Read, d: int) -> Term:
        """Return ``Σ_k [k = place]·x[…, k, …]`` for a data-dependent read."""
        (k,) = fresh()
        place = self._index(r.index[d])
        index = [self._index(i) for i in r.index]
        index[d] = axis(k)
        here = algebra.indicator(algebra.call("eq", place, axis(k)))
        body = algebra.mul(here, self.lowering.at(operand, tuple(index)))
        return sums.reduce("sum", (k,), (operand.shape[d],), body)

    def _index(self, i: Index) -> Term:
        parts = [size_term(i.constant)]
        for atom, factor in i.terms:
            if isinstance(atom, int):
                part = self.axes[atom]
            elif isinstance(atom, Quotient):
                part = make(
                    "call", (self._index(atom.index), num(atom.divisor)), "floordiv"
                )
            else:
                part = self._read(atom.read)
            parts.append(algebra.mul(num(factor), part))
        return algebra.add(*parts)

    def _guard(self, g: Guard) -> Term:
        if g.bound == 1 and g.modulus == 1:
            left, right = _sides(g.index)
            return algebra.call("eq", self._index(left), self._index(right))
        if g.bound is None and g.modulus == 1:
            left, right = _sides(g.index)
            return algebra.call("le", self._index(right), self._index(left))
        e = self._index(g.index)
        bound = ZERO if g.bound is None else size_term(g.bound)
        return make("call", (e, bound, num(Fraction(g.modulus))), "within")


def _sides(i: Index) -> tuple[Index, Index]:
    """Return an index as a difference of two without minus signs."""
    left = tuple(t for t in i.terms if t[1] > 0)
    right = tuple((a, -f) for a, f in i.terms if f < 0)
    if isinstance(i.constant, int) and i.constant < 0:
        return Index(left), Index(right, -i.constant)
    return Index(left, i.constant), Index(right)

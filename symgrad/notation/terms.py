"""Terms: a value in index notation, in a normal form that only notation uses.

A node of the graph becomes a *term* over its axes: sums of products of powers, scalar
functions, reductions, brackets ``[condition]`` and references to other nodes at
indices.  Broadcasts, transposes and casts leave no trace in it.  The constructors of
``symgrad.notation.algebra`` keep the normal form, in which composites such as softmax
are recognised whatever graph computes them.

Axes are numbers: ``0, 1, …`` are free, fresh numbers from ``fresh()`` are about to be
bound, and a bound axis is negative.  Its number counts the binders inside the body,
so that terms equal up to the names of bound axes are one object.
"""

from __future__ import annotations

import itertools
import weakref
from fractions import Fraction
from typing import Any

from symgrad.declare.dims import Dim, Size
from symgrad.declare.tensor import Tensor

_FRESH = itertools.count(1 << 20)


class Term:
    """An immutable, interned term; compared by identity.

    kind     args                value
    -------  ------------------  --------------------------------------------------
    num                          Fraction (or a float: inf, nan)
    size                         Dim
    axis                         number of the axis
    ref      indices             Tensor
    call     arguments           name of the scalar function
    add      terms
    mul      factors
    pow      (base,)             Fraction, the exponent
    ind      (condition,)
    red      (body,)             (kind, extents of the bound axes)
    fam      (body, place)       (name, extent): a function of a row, e.g. softmax
    mat      (body, places...)   (name, extents): a function of a matrix, e.g. inv
    """

    __slots__ = ("__weakref__", "args", "free", "height", "kind", "size", "value")
    kind: str
    args: tuple[Term, ...]
    value: Any
    free: frozenset[int]
    height: int
    size: int

    def __repr__(self) -> str:
        inner = ", ".join(map(repr, self.args))
        shown = "" if self.value is None else f" {self.value!r}"
        return f"{self.kind}{shown}({inner})"


_interned: weakref.WeakValueDictionary[tuple, Term] = weakref.WeakValueDictionary()


def make(kind: str, args: tuple[Term, ...] = (), value: Any = None) -> Term:
    """Return the one term with these parts, as they are."""
    identity = id(value) if kind == "ref" else value
    key = (kind, tuple(id(a) for a in args), type(value), identity)
    found = _interned.get(key)
    if found is not None:
        return found
    term = object.__new__(Term)
    term.kind, term.args, term.value = kind, args, value
    bound = _bound_count(kind, value)
    term.height = max((a.height for a in args), default=0) + bound
    inner = frozenset().union(*(a.free for a in args)) if args else frozenset()
    if kind == "axis":
        inner = frozenset((value,))
    if bound:
        hidden = {-n for n in range(term.height - bound + 1, term.height + 1)}
        inner = args[0].free - hidden
        for a in args[1:]:
            inner |= a.free
    term.free = inner
    term.size = 1 + sum(a.size for a in args if kind != "ref")
    _interned[key] = term
    return term


def _bound_count(kind: str, value: Any) -> int:
    if kind in ("red", "mat"):
        return len(value[1])
    return 1 if kind == "fam" else 0


def bound_axes(term: Term) -> tuple[int, ...]:
    """Return the numbers of the axes that a reduction or row function binds."""
    count = _bound_count(term.kind, term.value)
    return tuple(-n for n in range(term.height - count + 1, term.height + 1))


def fresh(count: int = 1) -> tuple[int, ...]:
    """Return axes that occur nowhere yet."""
    return tuple(itertools.islice(_FRESH, count))


def num(value: Any) -> Term:
    """Return a number; a float of few digits becomes the fraction it stands for."""
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            return make("num", (), value)
        value = Fraction(repr(value))
    return make("num", (), Fraction(value))


def axis(a: int) -> Term:
    """Return an index."""
    return make("axis", (), a)


def ref(t: Tensor, index: tuple[Term, ...]) -> Term:
    """Return an element of another node."""
    return make("ref", index, t)


ZERO, ONE, MINUS = num(0), num(1), num(-1)


def size_term(size: Size) -> Term:
    """Return a size; ``64*n`` is a product, so that it cancels factor by factor."""
    from symgrad.notation.algebra import mul

    if isinstance(size, int):
        return num(size)
    if len(size.terms) != 1:
        return make("size", (), size)
    ((atoms, factor),) = size.terms
    return mul(num(factor), *(make("size", (), Dim({(a,): 1})) for a in atoms))


def coefficient(term: Term) -> tuple[Fraction, Term]:
    """Return the rational factor of a term, and the rest."""
    if term.kind == "num" and isinstance(term.value, Fraction):
        return term.value, ONE
    if term.kind == "mul" and term.args[0].kind == "num":
        rest = term.args[1:]
        if isinstance(term.args[0].value, Fraction):
            return term.args[0].value, rest[0] if len(rest) == 1 else make("mul", rest)
    return Fraction(1), term


def factors(term: Term) -> tuple[Term, ...]:
    """Return the factors of a product."""
    return term.args if term.kind == "mul" else (term,)


def addends(term: Term) -> tuple[Term, ...]:
    """Return the terms of a sum."""
    return term.args if term.kind == "add" else (term,)


def power_parts(term: Term) -> tuple[Term, Fraction]:
    """Return base and exponent."""
    return (term.args[0], term.value) if term.kind == "pow" else (term, Fraction(1))


def refs(term: Term) -> list[Term]:
    """Return every reference in a term, left to right, also those inside indices."""
    found: list[Term] = []
    stack = [term]
    while stack:
        t = stack.pop()
        if t.kind == "ref":
            found.append(t)
        stack += reversed(t.args)
    return found

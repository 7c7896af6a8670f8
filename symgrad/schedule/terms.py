"""Scalar terms: what one point of a kernel's loops computes.

A node is resolved at given indices into a tree of terms.  Nodes that are *virtual*
(movements, masks, index arithmetic, scalars made of constants) have no memory: they
are computed where they are used, with their index maps composed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from symgrad.declare import dtypes
from symgrad.declare.comprehension import (
    Comprehension,
    Guard,
    Index,
    Quotient,
    Substitution,
    along,
    substitute_index,
)
from symgrad.declare.dims import Dim, Size
from symgrad.declare.scalar import Expr
from symgrad.declare.tensor import (
    Reshape,
    SizeOf,
    Tensor,
    scalar_value,
)


@dataclass(frozen=True)
class Number:
    """A literal."""

    value: bool | int | float
    dtype: str


@dataclass(frozen=True)
class AxisValue:
    """The index of a loop, an int64."""

    axis: int
    dtype: str = "int64"


@dataclass(frozen=True)
class SizeValue:
    """A size, known when the program runs."""

    dim: Dim
    dtype: str


@dataclass(frozen=True)
class Load:
    """An element of a tensor in memory.

    Its offset is ``sum stride*axis + constant + sum stride*term``.
    """

    tensor: Tensor
    linear: tuple[tuple[int, Size], ...]
    constant: Size
    extra: tuple[tuple[Term, Size], ...]
    dtype: str
    reshaped: bool = False


@dataclass(frozen=True)
class Local:
    """The value of a node that the same kernel computes."""

    node: Tensor
    dtype: str


@dataclass(frozen=True)
class Apply:
    """A scalar function of terms."""

    fn: str
    args: tuple[Term, ...]
    dtype: str


@dataclass(frozen=True)
class Guarded:
    """``value if condition else 0``; the value is not computed otherwise."""

    condition: Term
    value: Term
    dtype: str


def loop_index(extents: Sequence[Size]) -> tuple[Index, ...]:
    """Return the indices that run over all axes (0 where the extent is 1)."""
    return tuple(Index() if n == 1 else along(a) for a, n in enumerate(extents))


Term = Number | AxisValue | SizeValue | Load | Local | Apply | Guarded
Where = tuple[Index, ...]


def is_virtual(t: Tensor) -> bool:
    """Return True for a node that is computed where it is used, by its own nature."""
    if scalar_value(t) is not None or isinstance(t.op, SizeOf):
        return True
    c = t.op
    if not isinstance(c, Comprehension) or c.reduce is not None or c.target is not None:
        return False
    if c.is_movement or not t.args:
        return True
    if t.dtype == "bool":
        return True
    return not t.shape and all(a.shape == () and is_virtual(a) for a in t.args)


def strides(shape: Sequence[Size]) -> list[Size]:
    """Return the row-major strides of a shape, in elements."""
    found: list[Size] = []
    step: Size = 1
    for extent in reversed(shape):
        found.append(step)
        step = step * extent
    return found[::-1]


def subterms(term: Term) -> Iterator[Term]:
    """Yield a term and all that it is made of."""
    stack = [term]
    while stack:
        here = stack.pop()
        yield here
        if isinstance(here, Load):
            stack += [e for e, _ in here.extra]
        elif isinstance(here, Apply):
            stack += here.args
        elif isinstance(here, Guarded):
            stack += [here.condition, here.value]


class Resolver:
    """Resolves nodes at indices into terms, for one kernel.

    ``virtual`` tells which nodes are computed in place; ``local`` gives the term of a
    node that the kernel computes when it is read at these very indices, else None.
    """

    def __init__(
        self,
        virtual: Callable[[Tensor], bool],
        local: Callable[[Tensor, Where], Term | None],
    ) -> None:
        self.virtual, self.local = virtual, local
        self._memo: dict[tuple[int, Where], Term] = {}

    def at(self, t: Tensor, where: Where) -> Term:
        """Return the value of ``t`` at ``where``."""
        key = (id(t), where)
        if key not in self._memo:
            self._memo[key] = self._resolve(t, where)
        return self._memo[key]

    def _resolve(self, t: Tensor, where: Where) -> Term:
        number = scalar_value(t)
        if number is not None:
            return Number(number, t.dtype)
        if isinstance(t.op, SizeOf):
            return SizeValue(t.op.dim, t.dtype)
        here = self.local(t, where)
        if here is not None:
            return here
        if isinstance(t.op, Comprehension) and self.virtual(t):
            return self.body(t, dict(enumerate(where)))
        return self._load(t, where)

    def _load(self, t: Tensor, where: Where) -> Load:
        linear: dict[int, Size] = {}
        constant: Size = 0
        extra: list[tuple[Term, Size]] = []
        for index, step in zip(where, strides(t.shape), strict=True):
            constant = constant + index.constant * step
            for atom, factor in index.terms:
                stride = step * factor
                if isinstance(atom, int):
                    linear[atom] = linear.get(atom, 0) + stride
                else:
                    extra.append((self._atom(atom), stride))
        source = t
        while isinstance(source.op, Reshape):
            source = source.args[0]
        kept = tuple((a, linear[a]) for a in sorted(linear) if linear[a] != 0)
        return Load(source, kept, constant, tuple(extra), t.dtype, source is not t)

    def _atom(self, atom: object) -> Term:
        if isinstance(atom, Frozen):
            return atom.term
        assert isinstance(atom, Quotient)
        inner = self.index(atom.index)
        return Apply("floordiv", (inner, Number(atom.divisor, "int64")), "int64")

    def _normalised(self, value: Term, size: Size) -> Term:
        """Return an index from data: negative counts from the end, then clamped."""
        if value.dtype != "int64":
            value = Apply("cast", (value,), "int64")
        extent = self.size(size)
        zero = Number(0, "int64")
        wrapped = Apply("add", (value, extent), "int64")
        below = Apply("lt", (value, zero), "bool")
        value = Apply("select", (below, wrapped, value), "int64")
        last = Apply("sub", (extent, Number(1, "int64")), "int64")
        low = Apply("imax", (value, zero), "int64")
        return Apply("imin", (low, last), "int64")

    def size(self, size: Size) -> Term:
        """Return a size as an int64 term."""
        if isinstance(size, int):
            return Number(size, "int64")
        return SizeValue(size, "int64")

    def index(self, index: Index) -> Term:
        """Return an index as an int64 term."""
        total: Term | None = None
        for atom, factor in index.terms:
            term = AxisValue(atom) if isinstance(atom, int) else self._atom(atom)
            if factor != 1:
                term = Apply("mul", (term, Number(factor, "int64")), "int64")
            total = term if total is None else Apply("add", (total, term), "int64")
        if total is None:
            return self.size(index.constant)
        if index.constant != 0:
            total = Apply("add", (total, self.size(index.constant)), "int64")
        return total

    def body(self, t: Tensor, axes: Substitution) -> Term:
        """Return the body of a node's statement with its axes replaced.

        The reduction, if there is one, is the caller's; guards are applied.
        """
        c: Comprehension = t.op  # type: ignore[assignment]

        def read(k: int) -> Term:
            r = c.reads[k]
            moved = tuple(substitute(i) for i in r.index)
            return self.at(t.args[r.operand], moved)

        def substitute(index: Index) -> Index:
            return self._freeze(substitute_index(index, axes), read)

        guards = [Guard(substitute(g.index), g.bound, g.modulus) for g in c.guards]
        dtype = t.dtype if c.reduce in (None, "sum", "prod") else ""
        value = self._expression(
            c.body, read, lambda a: self.index(axes.get(a, Index(((a, 1),)))), dtype
        )
        for g in guards:
            value = Guarded(self.guard(g), value, value.dtype)
        return value

    def target(self, t: Tensor, axes: Substitution) -> Load:
        """Return the element to which a scatter adds."""
        c: Comprehension = t.op  # type: ignore[assignment]

        def read(k: int) -> Term:
            r = c.reads[k]
            return self.at(t.args[r.operand], tuple(map(substitute, r.index)))

        def substitute(index: Index) -> Index:
            return self._freeze(substitute_index(index, axes), read)

        assert c.target is not None
        return self._load(t, tuple(map(substitute, c.target)))

    def _freeze(self, index: Index, read: Callable[[int], Term]) -> Index:
        """Return an index whose data-dependent atoms are terms of this kernel.

        An atom ``Value`` names a read of one statement; composed into another one it
        has to carry the value itself.
        """
        if not any(not isinstance(a, int) for a, _ in index.terms):
            return index
        terms: list[tuple[Any, int]] = []
        atom: Any
        for atom, factor in index.terms:
            if isinstance(atom, Quotient):
                atom = Quotient(self._freeze(atom.index, read), atom.divisor)
            elif not isinstance(atom, int | Frozen):
                atom = Frozen(self._normalised(read(atom.read), atom.size))
            terms.append((atom, factor))
        return Index(tuple(terms), index.constant)

    def guard(self, guard: Guard) -> Term:
        """Return a guard as a bool term."""
        index = self.index(guard.index)
        zero = Number(0, "int64")
        if guard.bound == 1 and guard.modulus == 1:
            return Apply("eq", (index, zero), "bool")
        test: Term = Apply("ge", (index, zero), "bool")
        if guard.bound is not None:
            upper = Apply("lt", (index, self.size(guard.bound)), "bool")
            test = Apply("and", (test, upper), "bool")
        if guard.modulus != 1:
            rest = Apply("mod", (index, Number(guard.modulus, "int64")), "int64")
            test = Apply("and", (test, Apply("eq", (rest, zero), "bool")), "bool")
        return test

    def _expression(
        self,
        e: Expr,
        read: Callable[[int], Term],
        axis: Callable[[int], Term],
        dtype: str,
    ) -> Term:
        def walk(e: Expr) -> Term:
            match e.fn:
                case "read":
                    return read(e.value)
                case "axis":
                    return axis(e.value)
                case "number":
                    return Number(e.value, dtypes.weak(e.value, dtype or None))
                case "size":
                    return SizeValue(e.value, "int64")
            args = tuple(walk(a) for a in e.args)
            return Apply(e.fn, args, self._type(e.fn, args))

        value = walk(e)
        if dtype and value.dtype != dtype:
            value = convert(value, dtype)
        return value

    @staticmethod
    def _type(fn: str, args: tuple[Term, ...]) -> str:
        from symgrad.declare.scalar import FUNCTIONS

        if FUNCTIONS[fn].result == "bool":
            return "bool"
        kinds = args[1:] if fn == "select" else args
        return dtypes.promote(*(a.dtype for a in kinds))


@dataclass(frozen=True)
class Frozen:
    """An index atom that is a term already."""

    term: Term


def convert(value: Term, dtype: str) -> Term:
    """Return a term converted to another type."""
    if isinstance(value, Number) and dtype in dtypes.FLOATS:
        return Number(float(value.value), dtype)
    return Apply("cast", (value,), dtype)

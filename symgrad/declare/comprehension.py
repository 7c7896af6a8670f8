"""The comprehension: the one statement that defines an operation.

    y[target(A)]  =  reduce over the axes A that are not outputs
                     of  body(reads)  wherever every guard holds

``A`` are the axes: the first ``rank`` are the output axes, the others are reduced.  A
*read* is an operand and one index for each of its dimensions.  An index is an affine
form of *atoms*: an axis (an ``int``), a floor quotient (``Quotient``), or the value of
another read (``Value``, data-dependent).  A term whose guard fails is left out: it
counts as the reduction's identity, and as 0 where nothing is reduced.

Value, derivative, kernel, formula and cost all follow from this statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, Union

from symgrad.declare import scalar
from symgrad.declare.dims import Size, nonnegative
from symgrad.declare.scalar import Expr

REDUCTIONS = ("sum", "prod", "max", "min", "argmax", "argmin", "any", "all")
Atom = Union[int, "Quotient", "Value"]


class Value(NamedTuple):
    """The value of read number ``read``, used as an index below ``size``.

    A negative value counts from the end, and one out of range is clamped to it.
    """

    read: int
    size: Size


class Quotient(NamedTuple):
    """The floor quotient of an index by a positive integer."""

    index: Index  # type: ignore[assignment]
    divisor: int


class Index(NamedTuple):
    """``sum of factor*atom  +  constant``."""

    terms: tuple[tuple[Atom, int], ...] = ()
    constant: Size = 0

    @property
    def axis(self) -> int | None:
        """The axis, where the index is just that."""
        if self.constant == 0 and len(self.terms) == 1:
            atom, factor = self.terms[0]
            if factor == 1 and isinstance(atom, int):
                return atom
        return None

    def axes(self) -> set[int]:
        """Return every axis on which the index depends (not through reads)."""
        found: set[int] = set()
        for atom, _ in self.terms:
            if isinstance(atom, int):
                found.add(atom)
            elif isinstance(atom, Quotient):
                found |= atom.index.axes()
        return found

    def values(self) -> set[int]:
        """Return the numbers of the reads whose values the index uses."""
        found: set[int] = set()
        for atom, _ in self.terms:
            if isinstance(atom, Value):
                found.add(atom.read)
            elif isinstance(atom, Quotient):
                found |= atom.index.values()
        return found


class Guard(NamedTuple):
    """``0 <= index < bound``, and ``index`` divisible by ``modulus``."""

    index: Index  # type: ignore[assignment]
    bound: Size | None
    modulus: int = 1


class Read(NamedTuple):
    """Operand number, and one index for each of its dimensions."""

    operand: int
    index: tuple[Index, ...]  # type: ignore[assignment]


def along(axis: int) -> Index:
    """Return the index that is one axis."""
    return Index(((axis, 1),))


def affine(terms: Iterable[tuple[Atom, int]], constant: Size = 0) -> Index:
    """Return the canonical index with these terms."""
    total: dict[Atom, int] = {}
    for atom, factor in terms:
        total[atom] = total.get(atom, 0) + factor
    kept = [(a, f) for a, f in total.items() if f]
    kept.sort(key=lambda term: (not isinstance(term[0], int), repr(term[0])))
    return Index(tuple(kept), constant)


def quotient(index: Index, divisor: int) -> Index:
    """Return ``index // divisor``."""
    if divisor == 1:
        return index
    if not index.terms and isinstance(index.constant, int):
        return Index((), index.constant // divisor)
    whole = isinstance(index.constant, int) and index.constant % divisor == 0
    if whole and all(factor % divisor == 0 for _, factor in index.terms):
        terms = tuple((a, f // divisor) for a, f in index.terms)
        return Index(terms, index.constant // divisor)
    return Index(((Quotient(index, divisor), 1),))


def combine(parts: Sequence[tuple[Index, int]], constant: Size = 0) -> Index:
    """Return the sum of ``factor*index`` and a constant."""
    terms: list[tuple[Atom, int]] = []
    for index, factor in parts:
        terms += [(atom, f * factor) for atom, f in index.terms]
        constant = constant + index.constant * factor
    return affine(terms, constant)


Substitution = Mapping[int, Index]


def substitute_index(
    index: Index, axes: Substitution, reads: Callable[[int], int] = lambda k: k
) -> Index:
    """Return ``index`` with axes replaced by indices and reads renumbered."""
    parts: list[tuple[Index, int]] = []
    for atom, factor in index.terms:
        if isinstance(atom, int):
            parts.append((axes.get(atom, along(atom)), factor))
        elif isinstance(atom, Value):
            parts.append((Index(((Value(reads(atom.read), atom.size), 1),)), factor))
        elif isinstance(atom, Quotient):
            inner = substitute_index(atom.index, axes, reads)
            parts.append((quotient(inner, atom.divisor), factor))
        else:  # an atom of a later stage, independent of these axes
            parts.append((Index(((atom, 1),)), factor))
    return combine(parts, index.constant)


def bounds(index: Index, extents: Sequence[Size]) -> tuple[Size, Size]:
    """Return the least and greatest value of an index over non-empty loops."""
    low: Size = index.constant
    high: Size = index.constant
    remainder = _remainder(index)
    if remainder is not None:
        rest, factor, divisor = remainder
        low, high = bounds(rest, extents)
        last = factor * (divisor - 1)
        return low + min(last, 0), high + max(last, 0)
    for atom, factor in index.terms:
        bottom: Size
        top: Size
        if isinstance(atom, int):
            bottom, top = 0, extents[atom] - 1
        elif isinstance(atom, Value):
            bottom, top = 0, atom.size - 1
        else:
            bottom, top = bounds(atom.index, extents)
            bottom, top = bottom // atom.divisor, top // atom.divisor
        if factor < 0:
            bottom, top = top, bottom
        low, high = low + bottom * factor, high + top * factor
    return low, high


def _remainder(index: Index) -> tuple[Index, int, int] | None:
    """Return (rest, factor, divisor) of ``rest + factor*(x % divisor)``."""
    terms = dict(index.terms)
    for atom, scale in index.terms:
        if not isinstance(atom, Quotient) or scale % atom.divisor:
            continue
        factor = -scale // atom.divisor
        if all(terms.get(a) == f * factor for a, f in atom.index.terms):
            whole = combine([(atom.index, factor), (Index(((atom, 1),)), scale)])
            return combine([(index, 1), (whole, -1)]), factor, atom.divisor
    return None


def surely_holds(guard: Guard, extents: Sequence[Size]) -> bool:
    """Return True if a guard holds for every value of the axes."""
    if guard.modulus != 1:
        divisible = all(f % guard.modulus == 0 for _, f in guard.index.terms)
        constant = guard.index.constant
        if not (divisible and isinstance(constant, int)):
            return False
        if constant % guard.modulus:
            return False
    low, high = bounds(guard.index, extents)
    if not nonnegative(low):
        return False
    return guard.bound is None or nonnegative(guard.bound - high - 1)


def axes_through(index: Index, reads: Sequence[Read]) -> set[int]:
    """Return the axes on which an index depends, through the values of reads too."""
    found = index.axes()
    for k in index.values():
        for inner in reads[k].index:
            found |= axes_through(inner, reads)
    return found


@dataclass(frozen=True, eq=False)
class Comprehension:
    """One operation in index notation; see the module's docstring.

    ``extents`` are the sizes of all axes, ``name`` is what pictures and printed graphs
    call it.  ``target`` and ``target_shape`` are given when results are *added* to
    places that depend on data (a scatter); the output axes are then all reduced.
    """

    name: str
    rank: int
    extents: tuple[Size, ...]
    body: Expr
    reads: tuple[Read, ...]
    reduce: str | None = None
    guards: tuple[Guard, ...] = ()
    target: tuple[Index, ...] | None = None
    target_shape: tuple[Size, ...] | None = None
    key: tuple = field(init=False, repr=False)

    def __post_init__(self) -> None:
        parts: tuple = (self.name, self.rank, self.extents, self.body, self.reads)
        parts += (self.reduce, self.guards, self.target, self.target_shape)
        object.__setattr__(self, "key", parts)
        object.__setattr__(self, "_hash", hash(parts))

    def __hash__(self) -> int:
        return self._hash  # type: ignore[attr-defined]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Comprehension) and self.key == other.key

    @property
    def shape(self) -> tuple[Size, ...]:
        """The shape of the result."""
        if self.target_shape is not None:
            return self.target_shape
        return self.extents[: self.rank]

    @property
    def reduced(self) -> tuple[int, ...]:
        """The axes that do not appear in the result."""
        return tuple(range(self.rank, len(self.extents)))

    @cached_property
    def is_elementwise(self) -> bool:
        """True if each element depends on one element of each operand, in place."""
        return (
            self.reduce is None
            and not self.guards
            and self.target is None
            and all(_is_broadcast(r.index, self.rank) for r in self.reads)
        )

    @property
    def is_movement(self) -> bool:
        """True if values are only moved (permuted, sliced, padded, gathered)."""
        return self.reduce is None and self.target is None and self.body.fn == "read"

    @cached_property
    def is_contraction(self) -> bool:
        """True for a sum of products of reads."""
        parts = scalar.factors(self.body)
        return (
            self.reduce == "sum"
            and self.target is None
            and len(parts) > 1
            and all(p.fn == "read" for p in parts)
        )

    def with_guards(self, guards: Iterable[Guard]) -> Comprehension:
        """Return the same statement under other guards, the sure ones left out."""
        kept = tuple(
            dict.fromkeys(g for g in guards if not surely_holds(g, self.extents))
        )
        return replace(self, guards=kept)

    def __str__(self) -> str:
        return print_statement(self, [f"x{n}" for n in range(1 + self._last_operand())])

    def _last_operand(self) -> int:
        return max((r.operand for r in self.reads), default=-1)


AXIS_LETTERS = "ijklmnpqstuvabcdefgh"


def axis_name(a: int) -> str:
    """Return the letter by which axis ``a`` is printed."""
    return AXIS_LETTERS[a] if a < len(AXIS_LETTERS) else f"i{a}"


def print_statement(
    c: Comprehension, operands: Sequence[str], result: str = "y"
) -> str:
    """Return the statement in the text notation that ``define`` reads.

    ``y[i, j] = sum[k](a[i, k]*b[k, j])``
    """

    def index(i: Index) -> str:
        parts = [_term(a, f) for a, f in i.terms]
        if i.constant != 0 or not parts:
            parts.append(str(i.constant))
        return " + ".join(parts).replace("+ -", "- ")

    def _term(atom: Atom, factor: int) -> str:
        if isinstance(atom, int):
            text = axis_name(atom)
        elif isinstance(atom, Value):
            text = read(atom.read)
        else:
            inner = index(atom.index)
            inner = inner if atom.index.axis is not None else f"({inner})"
            text = f"{inner}//{atom.divisor}"
            text = text if factor == 1 else f"({text})"
        return {1: text, -1: f"-{text}"}.get(factor, f"{factor}*{text}")

    def read(k: int) -> str:
        r = c.reads[k]
        where = ", ".join(index(i) for i in r.index)
        return f"{operands[r.operand]}[{where}]" if where else operands[r.operand]

    def atom(e: Expr) -> str:
        if e.fn == "read":
            return read(e.value)
        return axis_name(e.value) if e.fn == "axis" else str(e.value)

    def guard(g: Guard) -> str:
        text = index(g.index)
        tests = []
        if g.bound == 1 and g.modulus == 1:
            return f"{text} == 0"
        if g.modulus != 1:
            tests.append(f"({text}) % {g.modulus} == 0")
        tests.append(f"0 <= {text}" + ("" if g.bound is None else f" < {g.bound}"))
        return " and ".join(tests)

    body = scalar.to_text(c.body, atom)
    if c.guards:
        body += f" if {' and '.join(map(guard, c.guards))} else 0"
    summed = c.reduced if c.target is None else range(len(c.extents))
    if c.reduce is not None and summed:
        body = f"{c.reduce}[{', '.join(map(axis_name, summed))}]({body})"
    left = c.target or tuple(along(a) for a in range(c.rank))
    where = ", ".join(index(i) for i in left)
    return f"{result}[{where}] = {body}" if where else f"{result} = {body}"


def _is_broadcast(index: tuple[Index, ...], rank: int) -> bool:
    """Return True if the dimensions are the trailing axes in order, or 0."""
    offset = rank - len(index)
    return offset >= 0 and all(
        (not i.terms and i.constant == 0) or i.axis == offset + d
        for d, i in enumerate(index)
    )


def used_reads(c: Comprehension) -> tuple[int, ...]:
    """Return the reads that the body, a guard, an index or the target depends on."""
    live = scalar.reads_of(c.body)
    for guard in c.guards:
        live |= guard.index.values()
    for index in c.target or ():
        live |= index.values()
    pending = list(live)
    while pending:
        for index in c.reads[pending.pop()].index:
            new = index.values() - live
            live |= new
            pending += new
    return tuple(sorted(live))


def drop_unit_axes(c: Comprehension) -> Comprehension:
    """Return the statement without reduced axes of extent 1: their index is 0."""
    unit = [a for a in c.reduced if c.extents[a] == 1]
    if not unit or c.reduce not in ("sum", "prod", "max", "min"):
        return c
    kept = [a for a in range(len(c.extents)) if a not in unit]
    axes = {a: along(n) for n, a in enumerate(kept)} | {a: Index() for a in unit}

    def moved(index: Index) -> Index:
        return substitute_index(index, axes)

    reduced = len(kept) > c.rank
    return replace(
        c,
        extents=tuple(c.extents[a] for a in kept),
        reads=tuple(Read(r.operand, tuple(map(moved, r.index))) for r in c.reads),
        guards=tuple(Guard(moved(g.index), g.bound, g.modulus) for g in c.guards),
        target=None if c.target is None else tuple(map(moved, c.target)),
        reduce=c.reduce if reduced or c.target is not None else None,
    )


def compact(c: Comprehension, args: Sequence[object]) -> tuple[Comprehension, list]:
    """Return the statement with unused reads dropped and equal ones merged."""
    live = used_reads(c)
    operands: list[object] = []
    reads: list[Read] = []
    number: dict[int, int] = {}

    def renumber(index: Index) -> Index:
        if not index.values():
            return index
        return substitute_index(index, {}, lambda k: number[k])

    pending = list(live)
    while pending:  # a read comes after the reads that its index uses
        k = next(
            k
            for k in pending
            if all(v in number for i in c.reads[k].index for v in i.values())
        )
        pending.remove(k)
        operand = args[c.reads[k].operand]
        place = next((n for n, o in enumerate(operands) if o is operand), None)
        if place is None:
            place = len(operands)
            operands.append(operand)
        new = Read(place, tuple(renumber(i) for i in c.reads[k].index))
        if new not in reads:
            reads.append(new)
        number[k] = reads.index(new)
    body = scalar.substitute(
        c.body, {scalar.read(k): scalar.read(n) for k, n in number.items()}
    )
    guards = tuple(Guard(renumber(g.index), g.bound, g.modulus) for g in c.guards)
    target = None if c.target is None else tuple(renumber(i) for i in c.target)
    changed = replace(c, body=body, reads=tuple(reads), guards=guards, target=target)
    return changed, operands

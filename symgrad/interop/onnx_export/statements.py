"""One comprehension in ONNX's operators.

As in the JAX back end, a read becomes gathers, a sum of products one ``Einsum``, a
guard a ``Where``, a scatter a ``ScatterND``; whatever else is reduced is laid out over
all its axes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce as fold

import numpy as np

from symgrad.declare import dtypes, scalar
from symgrad.declare.build import infer_type
from symgrad.declare.comprehension import (
    Atom,
    Comprehension,
    Index,
    Quotient,
    Value,
    axes_through,
)
from symgrad.declare.scalar import FUNCTIONS, Expr
from symgrad.declare.tensor import Tensor
from symgrad.interop.onnx_export.builder import Builder
from symgrad.interop.onnx_export.scalars import Scalars

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Laid:
    """A value whose dimensions run along some axes of a statement."""

    value: str
    axes: tuple[int, ...]


class Statement:
    """The operators that compute one statement."""

    def __init__(self, b: Builder, t: Tensor, args: Sequence[str]) -> None:
        assert isinstance(t.op, Comprehension)
        self.b, self.t, self.c, self.args = b, t, t.op, args
        self.kinds = [t.args[r.operand].dtype for r in self.c.reads]
        self.rank = len(self.c.extents)
        self.body_type = infer_type(self.c.body, self.kinds)
        self.reads: dict[int, Laid] = {}

    def result(self) -> str:
        """Return the statement's value."""
        c, b = self.c, self.b
        if c.target is not None:
            return self._scatter()
        if c.is_contraction:
            return self._contraction()
        body = self._full(c.body, self.body_type)
        if c.reduce is not None:
            return self._reduction(body)
        if c.guards:
            body = b.add("Where", self._mask(), body, b.constant(0, self.body_type))
        return self._typed(self._spanned(body), self.body_type)

    def _typed(self, value: str, dtype: str) -> str:
        return (
            value if dtype == self.t.dtype else self._cast(value, dtype, self.t.dtype)
        )

    def _cast(self, value: str, old: str, new: str) -> str:
        return value if old == new else self.b.cast(value, new)

    def _spanned(self, body: str) -> str:
        """Return a body over all axes, where operands may be the same along some."""
        if not self.rank:
            return body
        c = self.c
        used = set()
        for k in scalar.reads_of(c.body):
            used |= set(self._read(k).axes)
        for g in c.guards:
            used |= axes_through(g.index, self.c.reads)
        if used == set(range(self.rank)) and c.body.fn != "number":
            return body
        return self.b.add("Expand", body, self.b.shape(c.extents))

    # -- indices -----------------------------------------------------------------------

    def _index(self, index: Index) -> str:
        """Return an index along all axes (1 where it is the same), of int64."""
        total = self.b.size(index.constant)
        for atom, factor in index.terms:
            part = self._atom(atom)
            if factor != 1:
                part = self.b.add("Mul", part, self.b.constant(factor, "int64"))
            plain = isinstance(index.constant, int) and index.constant == 0
            first = atom is index.terms[0][0]
            total = part if plain and first else self.b.add("Add", total, part)
        return total

    def _atom(self, atom: Atom) -> str:
        b = self.b
        if isinstance(atom, Quotient):
            divisor = b.constant(atom.divisor, "int64")
            return b.floor_divide(self._index(atom.index), divisor)
        if isinstance(atom, Value):
            found = self._spread(self._read(atom.read))
            found = self._cast(found, self.kinds[atom.read], "int64")
            size, zero = b.size(atom.size), b.constant(0, "int64")
            low = b.add("Less", found, zero)
            found = b.add("Where", low, b.add("Add", found, size), found)
            return self._clamped(found, size)
        zero, one = (b.constant(n, "int64") for n in (0, 1))
        line = b.add("Range", zero, b.size(self.c.extents[atom]), one)
        shape = [1] * self.rank
        shape[atom] = -1
        return b.add("Reshape", line, b.constant(shape, "int64"))

    def _clamped(self, index: str, size: str) -> str:
        b = self.b
        top = b.add("Sub", size, b.constant(1, "int64"))
        return b.add("Max", b.add("Min", index, top), b.constant(0, "int64"))

    # -- reads -------------------------------------------------------------------------

    def _read(self, k: int) -> Laid:
        if k not in self.reads:
            self.reads[k] = self._gathered(k)
        return self.reads[k]

    def _gathered(self, k: int) -> Laid:
        """Return a read along the axes that it depends on."""
        r = self.c.reads[k]
        x, value = self.t.args[r.operand], self.args[r.operand]
        axes = [sorted(axes_through(i, self.c.reads)) for i in r.index]
        flat = [a for group in axes for a in group]
        if len(set(flat)) < len(flat):
            return self._point_by_point(x, value, r.index, sorted(set(flat)))
        for d in reversed(range(x.ndim)):
            index = r.index[d]
            if index.axis is not None and self.c.extents[index.axis] == x.shape[d]:
                continue
            found = self._clamped(self._index(index), self.b.size(x.shape[d]))
            found = self._squeezed(found, axes[d])
            value = self.b.add("Gather", value, found, axis=d)
        order = sorted(range(len(flat)), key=flat.__getitem__)
        if order != list(range(len(flat))):
            value = self.b.add("Transpose", value, perm=order)
        return Laid(value, tuple(sorted(flat)))

    def _squeezed(self, value: str, axes: Sequence[int]) -> str:
        """Return a value that varies along these axes without the others."""
        others = [a for a in range(self.rank) if a not in axes]
        if not others or not axes:
            return value
        return self.b.add("Squeeze", value, self.b.constant(others, "int64"))

    def _point_by_point(
        self, x: Tensor, value: str, index: Sequence[Index], axes: Sequence[int]
    ) -> Laid:
        b = self.b
        shape = b.shape([self.c.extents[a] for a in axes])
        last = b.constant([-1], "int64")
        parts = []
        for i, s in zip(index, x.shape, strict=True):
            found = self._clamped(self._index(i), b.size(s))
            if i.terms:
                found = self._squeezed(found, axes)
            parts.append(b.add("Unsqueeze", b.add("Expand", found, shape), last))
        return Laid(
            b.add("GatherND", value, b.add("Concat", *parts, axis=-1)), tuple(axes)
        )

    def _spread(self, laid: Laid) -> str:
        """Return a value with a dimension for each axis, 1 where it is the same."""
        missing = [a for a in range(self.rank) if a not in laid.axes]
        if not missing:
            return laid.value
        return self.b.add("Unsqueeze", laid.value, self.b.constant(missing, "int64"))

    # -- bodies ------------------------------------------------------------------------

    def _type(self, e: Expr, beside: str) -> str:
        return beside if e.fn == "number" else infer_type(e, self.kinds)

    def _full(self, e: Expr, dtype: str) -> str:
        """Return a body along all axes; a literal is of the given type."""
        if e.fn == "number":
            return self.b.constant(e.value, dtype)
        if e.fn == "size":
            return self.b.size(e.value)
        if e.fn == "axis":
            return self._atom(e.value)
        if e.fn == "read":
            return self._spread(self._read(e.value))
        known = [self._type(a, "") for a in e.args if a.fn != "number"]
        if e.fn == "select":
            known = [self._type(a, "") for a in e.args[1:] if a.fn != "number"]
        common = dtypes.promote(*known) if known else dtype
        if FUNCTIONS[e.fn].result == "float":
            common = dtypes.as_float(common)
        parts = []
        for n, a in enumerate(e.args):
            wanted = "bool" if e.fn == "select" and n == 0 else common
            part = self._full(a, wanted)
            parts.append(self._cast(part, self._type(a, wanted), wanted))
        return Scalars(self.b, common).call(e.fn, *parts)

    def _mask(self) -> str:
        """Return where every guard holds, along all axes."""
        b, tests = self.b, []
        for g in self.c.guards:
            index = self._index(g.index)
            tests.append(b.add("GreaterOrEqual", index, b.constant(0, "int64")))
            if g.bound is not None:
                tests.append(b.add("Less", index, b.size(g.bound)))
            if g.modulus != 1:
                rest = b.add("Mod", index, b.constant(g.modulus, "int64"))
                tests.append(b.add("Equal", rest, b.constant(0, "int64")))
        return fold(lambda x, y: b.add("And", x, y), tests)

    # -- kinds of statements -----------------------------------------------------------

    def _contraction(self) -> str:
        c, b, dtype = self.c, self.b, self.t.dtype
        reads = [f.value for f in scalar.factors(c.body)]
        parts = [self._read(k) for k in reads]
        if c.guards:
            parts = self._masked(reads, parts)
        used = set().union(*(p.axes for p in parts))
        terms = ",".join("".join(_LETTERS[a] for a in p.axes) for p in parts)
        kept = [a for a in range(c.rank) if a in used]
        equation = f"{terms}->{''.join(_LETTERS[a] for a in kept)}"
        values = [
            self._cast(p.value, self.kinds[k], dtype)
            for p, k in zip(parts, reads, strict=True)
        ]
        total = b.add("Einsum", *values, equation=equation)
        for a in c.reduced:
            if a not in used:
                total = b.add(
                    "Mul", total, self._cast(b.size(c.extents[a]), "int64", dtype)
                )
        missing = [a for a in range(c.rank) if a not in used]
        if not missing:
            return total
        total = b.add("Unsqueeze", total, b.constant(missing, "int64"))
        return b.add("Expand", total, b.shape(c.extents[: c.rank]))

    def _masked(self, reads: Sequence[int], parts: Sequence[Laid]) -> list[Laid]:
        """Return the factors, 0 where a guard does not hold (see the JAX back end)."""
        b, mask = self.b, self._mask()
        axes_of_mask = set().union(
            *(axes_through(g.index, self.c.reads) for g in self.c.guards)
        )
        plain = [all(i.axis is not None for i in self.c.reads[k].index) for k in reads]
        if all(plain):
            plain[0] = False
        found = []
        for k, p, is_plain in zip(reads, parts, plain, strict=True):
            if is_plain:
                found.append(p)
                continue
            zero = b.constant(0, self.kinds[k])
            axes = tuple(sorted(axes_of_mask | set(p.axes)))
            value = b.add("Where", mask, self._spread(p), zero)
            others = [a for a in range(self.rank) if a not in axes]
            if others:
                value = b.add("Squeeze", value, b.constant(others, "int64"))
            found.append(Laid(value, axes))
        return found

    def _reduction(self, body: str) -> str:
        c, b = self.c, self.b
        assert c.reduce is not None
        dtype = self.body_type
        if c.guards:
            rest = b.constant(_identity(c.reduce, dtype), dtype)
            body = b.add("Where", self._mask(), body, rest)
        body = self._spanned(body)
        if c.reduce in ("argmax", "argmin"):
            op = "ArgMax" if c.reduce == "argmax" else "ArgMin"
            return b.add(op, body, axis=c.reduced[0], keepdims=0)
        if c.reduce in ("any", "all"):
            whole = self._cast(body, dtype, "int32")
            op = "ReduceMax" if c.reduce == "any" else "ReduceMin"
            return b.cast(self._reduced(op, whole), "bool")
        if c.reduce in ("sum", "prod"):
            body, dtype = self._cast(body, dtype, self.t.dtype), self.t.dtype
        return self._typed(self._reduced(f"Reduce{c.reduce.title()}", body), dtype)

    def _reduced(self, op: str, body: str) -> str:
        axes = self.b.constant(list(self.c.reduced), "int64")
        return self.b.add(op, body, axes, keepdims=0)

    def _scatter(self) -> str:
        c, b, dtype = self.c, self.b, self.t.dtype
        assert c.target is not None
        assert c.target_shape is not None
        body = self._cast(self._full(c.body, self.body_type), self.body_type, dtype)
        if c.guards:
            body = b.add("Where", self._mask(), body, b.constant(0, dtype))
        shape, last = b.shape(c.extents), b.constant([-1], "int64")
        parts = [
            b.add("Unsqueeze", b.add("Expand", self._index(i), shape), last)
            for i in c.target
        ]
        zeros = b.add("Expand", b.constant(0, dtype), b.shape(c.target_shape))
        updates = b.add("Expand", body, shape)
        places = b.add("Concat", *parts, axis=-1)
        return b.add("ScatterND", zeros, places, updates, reduction="add")


def _identity(kind: str, dtype: str) -> float | int | bool:
    """Return what a left out term counts as."""
    if kind in ("sum", "prod", "any", "all"):
        return kind in ("prod", "all")
    sign = -1 if kind in ("max", "argmax") else 1
    if dtypes.is_float(dtype):
        return sign * np.inf
    info = np.iinfo(dtype)
    return int(info.min if sign < 0 else info.max)

"""One comprehension as a function of loops for Numba, or a call of ``np.einsum``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from symgrad.declare import dtypes, scalar
from symgrad.declare.comprehension import (
    Atom,
    Comprehension,
    Index,
    Quotient,
    Value,
    print_statement,
)
from symgrad.declare.dims import Size, names
from symgrad.declare.scalar import Expr
from symgrad.declare.tensor import Tensor
from symgrad.interop.standalone.scalars import literal, text

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def size_text(size: Size, dims: Mapping[str, str]) -> str:
    """Return a size as text over the variables of named dimensions."""
    if isinstance(size, int):
        return str(size)
    parts = []
    for monomial, factor in size.terms:
        atoms = [
            dims[a] if isinstance(a, str) else f"(({size_text(a[1], dims)})//{a[2]})"
            for a in monomial
        ]
        if factor != 1 or not atoms:
            atoms = [str(factor), *atoms]
        parts.append("*".join(atoms))
    return " + ".join(parts)


def einsum(t: Tensor) -> str | None:
    """Return the subscripts of a plain sum of products of floats, else None."""
    c = t.op
    assert isinstance(c, Comprehension)
    if not c.is_contraction or c.guards or not dtypes.is_float(t.dtype):
        return None
    terms = []
    for f in scalar.factors(c.body):
        axes = [i.axis for i in c.reads[f.value].index]
        if None in axes:
            return None
        terms.append("".join(_LETTERS[a] for a in axes if a is not None))
    used = set("".join(terms))
    if used != set(_LETTERS[: len(c.extents)]):
        return None
    return f"{','.join(terms)}->{_LETTERS[: c.rank]}"


class Kernel:
    """The text of a function that fills ``out`` from operands and sizes."""

    def __init__(self, name: str, t: Tensor, dims: Mapping[str, str]) -> None:
        assert isinstance(t.op, Comprehension)
        self.t, self.c, self.dims, self.helpers = t, t.op, dims, set[str]()
        self.kinds = [t.args[r.operand].dtype for r in self.c.reads]
        sizes = {n for s in self._sizes() for n in names(s)}
        self.sizes = [n for n in dims if n in sizes]
        operands = [f"x{n}" for n in range(len(t.args))]
        arguments = ", ".join(["out", *operands, *(dims[n] for n in self.sizes)])
        formula = print_statement(self.c, operands, "out")
        head = f'# {formula}\n@njit(error_model="numpy")\ndef {name}({arguments}):'
        self.text = "\n".join([head, *self._body()])

    def _sizes(self) -> list[Size]:
        c = self.c
        found: list[Size] = [*c.extents, *(s for x in self.t.args for s in x.shape)]
        found += [g.index.constant for g in c.guards]
        found += [g.bound for g in c.guards if g.bound is not None]
        found += [i.constant for r in c.reads for i in r.index]
        found += [i.constant for i in c.target or ()]
        pending = [c.body]
        while pending:
            e = pending.pop()
            pending += e.args
            if e.fn == "size":
                found.append(e.value)
        return found

    # -- parts of statements -----------------------------------------------------------

    def _index(self, index: Index) -> str:
        parts = [self._term(a, f) for a, f in index.terms]
        if index.constant != 0 or not parts:
            parts.append(size_text(index.constant, self.dims))
        return " + ".join(parts)

    def _term(self, atom: Atom, factor: int) -> str:
        if isinstance(atom, Quotient):
            found = f"(({self._index(atom.index)})//{atom.divisor})"
        elif isinstance(atom, Value):
            self.helpers.add("place")
            size = size_text(atom.size, self.dims)
            found = f"place({self._read(atom.read)}, {size})"
        else:
            found = f"i{atom}"
        return found if factor == 1 else f"{factor}*{found}"

    def _read(self, k: int) -> str:
        r = self.c.reads[k]
        where = ", ".join(map(self._index, r.index)) or "()"
        return f"x{r.operand}[{where}]"

    def _atom(self, e: Expr) -> str:
        if e.fn == "read":
            return self._read(e.value)
        return f"i{e.value}" if e.fn == "axis" else f"({size_text(e.value, self.dims)})"

    def _guard(self) -> str:
        tests = []
        for g in self.c.guards:
            index = self._index(g.index)
            bound = "" if g.bound is None else f" < {size_text(g.bound, self.dims)}"
            tests.append(f"0 <= {index}{bound}")
            if g.modulus != 1:
                tests.append(f"({index}) % {g.modulus} == 0")
        return " and ".join(tests)

    def _loops(self, axes: range, lines: list[str], depth: int) -> list[str]:
        """Return lines inside loops over axes, indented."""
        found = []
        for n, a in enumerate(axes):
            extent = size_text(self.c.extents[a], self.dims)
            found.append(f"{'    ' * (depth + n)}for i{a} in range({extent}):")
        inner = "    " * (depth + len(axes))
        return found + [inner + line for line in lines]

    # -- whole functions ---------------------------------------------------------------

    def _body(self) -> list[str]:
        c = self.c
        value = text(c.body, self._atom, self.helpers)
        guard = self._guard()
        if c.target is not None:
            place = ", ".join(map(self._index, c.target)) or "()"
            lines = [f"out[{place}] += {value}"]
            if guard:
                lines = [f"if {guard}:", f"    {lines[0]}"]
            return ["    out[...] = 0", *self._loops(range(len(c.extents)), lines, 1)]
        place = ", ".join(f"i{a}" for a in range(c.rank)) or "()"
        if c.reduce is None:
            lines = [f"out[{place}] = {value}"]
            if guard:
                lines = [f"if {guard}:", f"    {lines[0]}", "else:",
                         f"    out[{place}] = 0"]  # fmt: skip
            return self._loops(range(c.rank), lines, 1)
        start, step = self._step(value)
        if guard:
            step = [f"if {guard}:", *(f"    {line}" for line in step)]
        inner = self._loops(range(c.rank, len(c.extents)), step, 0)
        result = "found" if c.reduce in ("argmax", "argmin") else "total"
        lines = [*start, *inner, f"out[{place}] = {result}"]
        return self._loops(range(c.rank), lines, 1)

    def _step(self, value: str) -> tuple[list[str], list[str]]:
        """Return how a reduction starts, and what each term does."""
        c = self.c
        is_float = dtypes.is_float(self.t.dtype)
        match c.reduce:
            case "sum":
                return [f"total = {0.0 if is_float else 0}"], [f"total += {value}"]
            case "prod":
                return [f"total = {1.0 if is_float else 1}"], [f"total *= {value}"]
            case "any":
                return ["total = False"], [f"total = total or {value}"]
            case "all":
                return ["total = True"], [f"total = total and {value}"]
        kind = self.t.dtype if c.reduce in ("max", "min") else self.kinds[0]
        largest = c.reduce in ("max", "argmax")
        sign = ">" if largest else "<"
        start = [f"total = {_worst(kind, largest)}"]
        better = f"value {sign} total or (value != value and total == total)"
        step = [f"value = {value}", f"if {better}:", "    total = value"]
        if c.reduce in ("argmax", "argmin"):
            return [*start, "found = 0"], [*step, f"    found = i{c.rank}"]
        return start, step


def _worst(dtype: str, largest: bool) -> str:
    if dtypes.is_float(dtype):
        return literal(-np.inf if largest else np.inf)
    if dtype == "bool":
        return str(not largest)
    info = np.iinfo(dtype)
    return str(info.min if largest else info.max)

"""Sizes, scalar expressions and indices as JSON, and back with every part checked.

A size is an integer, or the list of its terms ``[factor, atom, …]``, an atom being a
name or ``["//", size, divisor]``.  An expression is a number or ``[function, …]``; a
number that JSON cannot say is ``["number", "inf"]``.  An index is
``[constant, [atom, factor], …]``, an atom being an axis, ``["value", read, size]`` or
``["//", index, divisor]``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from symgrad.declare import scalar
from symgrad.declare.comprehension import (
    Atom,
    Guard,
    Index,
    Quotient,
    Read,
    Value,
    affine,
)
from symgrad.declare.dims import Dim, Size, named
from symgrad.declare.scalar import FUNCTIONS, Expr
from symgrad.errors import FormatError


def integer(data: Any, what: str, least: int | None = None) -> int:
    """Return a checked integer."""
    if type(data) is not int or (least is not None and data < least):
        least_text = "" if least is None else f" of at least {least}"
        raise FormatError(f"{what} is an integer{least_text}, not {_short(data)}")
    return data


def text(data: Any, what: str) -> str:
    """Return a checked text."""
    if not isinstance(data, str):
        raise FormatError(f"{what} is a text, not {_short(data)}")
    return data


def items(data: Any, what: str) -> list:
    """Return a checked list."""
    if not isinstance(data, list):
        raise FormatError(f"{what} is a list, not {_short(data)}")
    return data


def _short(data: Any) -> str:
    shown = repr(data)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"


# -- sizes -----------------------------------------------------------------------------


def write_size(size: Size) -> Any:
    """Return a size as JSON.

    >>> write_size(2 * named("n") + 1)
    [[2, 'n'], [1]]
    """
    if isinstance(size, int):
        return int(size)
    return [
        [factor, *(a if isinstance(a, str) else ["//", write_size(a[1]), a[2]]
                   for a in monomial)]
        for monomial, factor in size.terms
    ]  # fmt: skip


def read_size(data: Any) -> Size:
    """Return the size that JSON says.

    >>> read_size([[1], [2, "n"]])
    2*n + 1
    """
    if not isinstance(data, list):
        return integer(data, "a size", 0)
    return _polynomial(data)


def _polynomial(data: Any) -> Size:
    if not isinstance(data, list):
        return integer(data, "a size")
    total: Size = 0
    for term in data:
        factor, *atoms = items(term, "a term of a size") or [None]
        part: Size = integer(factor, "the factor of a size")
        for atom in atoms:
            part = _size_atom(atom) * part
        total = part + total
    return total


def _size_atom(data: Any) -> Size:
    if isinstance(data, str):
        if not data.isidentifier():
            raise FormatError(f"{_short(data)} is no name of a dimension")
        return named(data)
    match data:
        case ["//", inner, divisor]:
            size = _polynomial(inner)
            return size // integer(divisor, "a divisor", 1)
    raise FormatError(f"{_short(data)} is no part of a size")


# -- scalar expressions ----------------------------------------------------------------


def write_expression(e: Expr) -> Any:
    """Return a scalar expression as JSON.

    >>> write_expression(scalar.call("mul", scalar.read(0), scalar.number(2.5)))
    ['mul', ['read', 0], 2.5]
    """
    if e.fn == "number":
        return write_number(e.value)
    if e.fn == "size":
        return ["size", write_size(e.value)]
    return [e.fn, *map(write_expression, e.args)] if e.args else [e.fn, e.value]


def write_number(value: Any) -> Any:
    """Return a number as JSON can say it."""
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, float) and not math.isfinite(plain):
        return ["number", repr(plain)]
    return plain


def read_expression(data: Any, reads: int, axes: int) -> Expr:
    """Return the expression that JSON says, over so many reads and axes."""
    match data:
        case bool() | int() | float():
            return scalar.number(data)
        case ["number", str(value)] if value in ("inf", "-inf", "nan"):
            return scalar.number(float(value))
        case ["size", size]:
            found = read_size(size)
            return (
                scalar.size(found) if isinstance(found, Dim) else scalar.number(found)
            )
        case ["read", int(k)] if 0 <= k < reads:
            return scalar.read(k)
        case ["axis", int(a)] if 0 <= a < axes:
            return scalar.axis(a)
        case [str(fn), *args] if fn in FUNCTIONS and len(args) == FUNCTIONS[fn].arity:
            # as it was written: `call` would fold literals
            return Expr(fn, *(read_expression(a, reads, axes) for a in args))
    raise FormatError(f"{_short(data)} is no scalar expression")


# -- indices ---------------------------------------------------------------------------


def write_index(index: Index) -> Any:
    """Return an index as JSON."""
    return [
        write_size(index.constant),
        *([_write_atom(atom), factor] for atom, factor in index.terms),
    ]


def _write_atom(atom: Atom) -> Any:
    if isinstance(atom, Value):
        return ["value", atom.read, write_size(atom.size)]
    if isinstance(atom, Quotient):
        return ["//", write_index(atom.index), atom.divisor]
    return atom


def read_index(data: Any, reads: int, axes: int) -> Index:
    """Return the index that JSON says, over reads below ``reads`` and so many axes."""
    constant, *terms = items(data, "an index") or [None]
    parts: list[tuple[Atom, int]] = []
    for term in terms:
        match term:
            case [atom, int(factor)] if type(factor) is int:
                parts.append((_read_atom(atom, reads, axes), factor))
            case _:
                raise FormatError(f"{_short(term)} is no term of an index")
    return affine(parts, _polynomial(constant))


def _read_atom(data: Any, reads: int, axes: int) -> Atom:
    match data:
        case int() if type(data) is int and 0 <= data < axes:
            return data
        case ["value", int(k), size] if type(k) is int and 0 <= k < reads:
            return Value(k, read_size(size))
        case ["//", inner, divisor]:
            return Quotient(
                read_index(inner, reads, axes), integer(divisor, "a divisor", 1)
            )
    raise FormatError(f"{_short(data)} is no part of an index")


def write_read(r: Read) -> Any:
    """Return a read as JSON: the operand, and an index for each dimension."""
    return [r.operand, *map(write_index, r.index)]


def read_read(data: Any, number: int, axes: int, operands: int) -> Read:
    """Return read ``number``, whose indices use the values of earlier ones only."""
    operand, *indices = items(data, "a read") or [None]
    if integer(operand, "an operand", 0) >= operands:
        raise FormatError(f"read {number} is of operand {operand} of {operands}")
    return Read(operand, tuple(read_index(i, number, axes) for i in indices))


def write_guard(g: Guard) -> Any:
    """Return a guard as JSON: index, bound (null: none) and modulus."""
    bound = None if g.bound is None else write_size(g.bound)
    return [write_index(g.index), bound, g.modulus]


def read_guard(data: Any, reads: int, axes: int) -> Guard:
    """Return the guard that JSON says."""
    match data:
        case [index, bound, modulus]:
            return Guard(
                read_index(index, reads, axes),
                None if bound is None else _polynomial(bound),
                integer(modulus, "the modulus of a guard", 1),
            )
    raise FormatError(f"{_short(data)} is no guard")

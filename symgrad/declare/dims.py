"""Dimensions: plain integers, or polynomials in named sizes such as ``2*batch + 1``.

A dimension is an ``int`` wherever its value is known.  A named size makes a ``Dim``:
a polynomial with integer coefficients, kept in one canonical form so that equal sizes
compare equal.  Names stand for non-negative integers, bound when a program is called.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Union

from symgrad.errors import ShapeError

Size = Union[int, "Dim"]
Atom = str | tuple  # a name, or ("//", numerator, divisor)
Monomial = tuple[Atom, ...]


class Dim:
    """A polynomial over named sizes, e.g. ``batch``, ``2*n + 1``, ``n // 2``.

    >>> n = named("n")
    >>> n + n + 1
    2*n + 1
    >>> (n + 1) - 1 == n
    True
    >>> n - n
    0
    """

    __slots__ = ("_hash", "terms")

    def __init__(self, terms: Mapping[Monomial, int]) -> None:
        self.terms = tuple(sorted(terms.items(), key=repr))
        self._hash = hash(self.terms)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dim) and self.terms == other.terms

    def __add__(self, other: Size) -> Size:
        total = dict(self.terms)
        for monomial, factor in _terms(other):
            total[monomial] = total.get(monomial, 0) + factor
        return _canonical(total)

    def __mul__(self, other: Size) -> Size:
        total: dict[Monomial, int] = {}
        for left, a in self.terms:
            for right, b in _terms(other):
                monomial = tuple(sorted(left + right, key=repr))
                total[monomial] = total.get(monomial, 0) + a * b
        return _canonical(total)

    __radd__ = __add__
    __rmul__ = __mul__

    def __neg__(self) -> Size:
        return self * -1

    def __sub__(self, other: Size) -> Size:
        return self + (-other)

    def __rsub__(self, other: Size) -> Size:
        return (-self) + other

    def __floordiv__(self, divisor: int) -> Size:
        if all(factor % divisor == 0 for _, factor in self.terms):
            return _canonical({m: f // divisor for m, f in self.terms})
        return Dim({(("//", self, divisor),): 1})

    def __bool__(self) -> bool:
        raise ShapeError(
            f"the size {self} is known only when the program runs; compare sizes with"
            " '==' or give the dimension as an integer"
        )

    def __repr__(self) -> str:
        parts = [_print_monomial(m, f) for m, f in sorted(self.terms, key=_order)]
        return " + ".join(parts).replace("+ -", "- ")


def named(name: str) -> Dim:
    """Return the dimension called ``name``."""
    return Dim({(name,): 1})


def names(size: Size) -> set[str]:
    """Return the names that a size depends on."""
    if isinstance(size, int):
        return set()
    found: set[str] = set()
    for monomial, _ in size.terms:
        for atom in monomial:
            found |= {atom} if isinstance(atom, str) else names(atom[1])
    return found


def evaluate(size: Size, sizes: Mapping[str, int]) -> int:
    """Return the value of ``size`` when its names have the given sizes."""
    if isinstance(size, int):
        return size
    total = 0
    for monomial, factor in size.terms:
        for atom in monomial:
            if isinstance(atom, str):
                factor *= sizes[atom]
            else:
                factor *= evaluate(atom[1], sizes) // atom[2]
        total += factor
    return total


def product(sizes: Iterable[Size]) -> Size:
    """Return the number of elements of a shape."""
    total: Size = 1
    for size in sizes:
        total = total * size
    return total


def nonnegative(size: Size) -> bool:
    """Return True if ``size`` is surely at least 0 (False: not known)."""
    if isinstance(size, int):
        return size >= 0
    return all(factor >= 0 for _, factor in size.terms)


def divide(size: Size, by: Size) -> Size | None:
    """Return the exact quotient, or None where it is not known to be exact."""
    if isinstance(by, int):
        if by == 0:
            return None
        if isinstance(size, int):
            return size // by if size % by == 0 else None
        quotient = size // by
        return quotient if quotient * by == size else None
    if isinstance(size, int):
        return 0 if size == 0 else None
    if len(by.terms) != 1:
        return 1 if size == by else None
    (divisor, factor), total = by.terms[0], {}
    for monomial, f in size.terms:
        rest = list(monomial)
        for atom in divisor:
            if atom not in rest:
                return None
            rest.remove(atom)
        if f % factor:
            return None
        total[tuple(rest)] = f // factor
    return _canonical(total)


def quotient_if_divisible(size: Size, by: Size) -> Size | None:
    """Return the quotient where names can be such that it is exact, else None.

    >>> n, m = named("n"), named("m")
    >>> quotient_if_divisible(n * m, 4 * n), quotient_if_divisible(m, n)
    ((m)//4, None)
    """
    exact = divide(size, by)
    if exact is not None or not isinstance(size, Dim):
        return exact
    if isinstance(by, int):
        return size // by if by else None
    if len(by.terms) > 1:
        return None
    monomial, factor = by.terms[0]
    rest = divide(size, Dim({monomial: 1}))
    return rest // factor if isinstance(rest, Dim) else None


def equal_without_remainders(left: Size, right: Size) -> bool:
    """Return True if two sizes are equal wherever each ``//`` in them is exact.

    >>> n = named("n")
    >>> equal_without_remainders(4 * (n // 4), n), 4 * (n // 4) == n
    (True, False)
    """
    return _rational(left) == _rational(right)


def _rational(size: Size) -> dict[Monomial, Fraction]:
    """Return the polynomial over names alone, with ``n // d`` read as ``n/d``."""
    total: dict[Monomial, Fraction] = {}
    for monomial, factor in _terms(size):
        part: dict[Monomial, Fraction] = {(): Fraction(factor)}
        for atom in monomial:
            if isinstance(atom, str):
                times: dict[Monomial, Fraction] = {(atom,): Fraction(1)}
            else:
                inner = _rational(atom[1])
                times = {m: f / atom[2] for m, f in inner.items()}
            part = _multiplied(part, times)
        for m, f in part.items():
            total[m] = total.get(m, Fraction()) + f
    return {m: f for m, f in total.items() if f}


def _multiplied(
    left: Mapping[Monomial, Fraction], right: Mapping[Monomial, Fraction]
) -> dict[Monomial, Fraction]:
    total: dict[Monomial, Fraction] = {}
    for a, f in left.items():
        for b, g in right.items():
            monomial = tuple(sorted(a + b, key=repr))
            total[monomial] = total.get(monomial, Fraction()) + f * g
    return total


def _terms(size: Size) -> tuple[tuple[Monomial, int], ...]:
    if isinstance(size, Dim):
        return size.terms
    return (((), int(size)),) if size else ()


def _canonical(total: Mapping[Monomial, int]) -> Size:
    kept = {m: f for m, f in total.items() if f}
    if not kept:
        return 0
    if len(kept) == 1 and () in kept:
        return kept[()]
    return Dim(kept)


def _order(term: tuple[Monomial, int]) -> tuple[int, str]:
    return (-len(term[0]), repr(term[0]))


def _print_monomial(monomial: Monomial, factor: int) -> str:
    parts = [a if isinstance(a, str) else f"({a[1]})//{a[2]}" for a in monomial]
    if factor == -1 and parts:
        return "-" + "*".join(parts)
    if factor != 1 or not parts:
        parts.insert(0, str(factor))
    return "*".join(parts)

"""Contractions that become matrix products once a factor is laid out anew.

A convolution reads its input at ``s*t + k``: no matrix in memory, but a matrix for each
sample once the windows stand side by side ("im2col", Chellapilla, Puri & Simard 2006).
This is decided for any contraction from its index maps, gradients of convolutions
included: some axes become loops; what is left is one matrix product for each point of
the loops, whose factors are read in place where they are matrices there, and are
*packed* into memory of the thread's own, of about the size of a cache, where not.

Loops over axes of the result give panels, which elementwise work may follow.  Loops
over summed axes (a convolution's gradient by its weight, summed over the samples) add
up products: each thread in a sum of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from symgrad.declare import dtypes, scalar
from symgrad.declare.comprehension import (
    Comprehension,
    Guard,
    Index,
    substitute_index,
)
from symgrad.declare.dims import Size, product
from symgrad.declare.tensor import Tensor
from symgrad.schedule.contraction import (
    Axes,
    Gemm,
    Matrix,
    Packing,
    matrix_of,
)
from symgrad.schedule.terms import Load, Resolver, is_virtual, strides

#: Elements of a packed matrix that a core's second-level cache holds.
CACHED = 2**17
#: Columns that a product should keep when loops are split off.
FEWEST = 48
#: How often a packed element is to be used, to be worth packing.
REUSED = 4
#: Multiplications below which direct loops are as good.
SMALL = 4096


@dataclass(frozen=True)
class _Factor:
    """A factor of the product: the element that it reads, where, and by which axes."""

    operand: Tensor
    load: Load
    guards: tuple[Guard, ...]
    axes: frozenset[int]

    @property
    def steps(self) -> dict[int, Size]:
        return dict(self.load.linear)

    @property
    def is_plain(self) -> bool:
        """True if it lies in memory as it is read: no guard, no quotient."""
        return not self.guards and not self.load.extra


def as_packed(t: Tensor, forced: set[Tensor]) -> Gemm | None:
    """Return a contraction as packed matrix products, or None where it is none."""
    c = t.op
    if not isinstance(c, Comprehension) or not c.is_contraction or not c.rank:
        return None
    parts = scalar.factors(c.body)
    if len(parts) != 2 or not dtypes.is_float(t.dtype):
        return None
    pair = [_factor(t, c, p.value, forced) for p in parts]
    if pair[0] is None or pair[1] is None:
        return None
    placed = _with_guards(c, pair[0], pair[1])
    return None if placed is None else _Split(t, c, *placed).gemm()


def _factor(t: Tensor, c: Comprehension, k: int, forced: set[Tensor]) -> _Factor | None:
    """Return a factor with the movements before it followed, as far as they go."""
    read = c.reads[k]
    operand, index = t.args[read.operand], read.index
    guards: list[Guard] = []
    while is_virtual(operand) and operand not in forced:
        inner = operand.op
        if not isinstance(inner, Comprehension) or not inner.is_movement:
            return None
        if any(i.values() for r in inner.reads for i in r.index):
            return None
        axes = dict(enumerate(index))
        guards += [
            Guard(substitute_index(g.index, axes), g.bound, g.modulus)
            for g in inner.guards
        ]
        moved = inner.reads[inner.body.value]
        index = tuple(substitute_index(i, axes) for i in moved.index)
        operand = operand.args[moved.operand]
    if any(i.values() for i in (*index, *(g.index for g in guards))):
        return None
    load = Resolver(lambda n: False, lambda n, w: None).at(operand, index)
    if not isinstance(load, Load) or operand.dtype != t.dtype:
        return None
    used = _axes(*index, *(g.index for g in guards))
    live = frozenset(a for a in used if c.extents[a] != 1)
    return _Factor(operand, load, tuple(guards), live)


def _axes(*indices: Index) -> set[int]:
    return set().union(*(i.axes() for i in indices))


def _with_guards(
    c: Comprehension, a: _Factor, b: _Factor
) -> tuple[_Factor, _Factor] | None:
    """Give each guard of the statement to the factor that has its axes."""
    found = [a, b]
    for g in c.guards:
        if g.index.values():
            return None
        axes = {x for x in g.index.axes() if c.extents[x] != 1}
        n = next((n for n in (0, 1) if axes <= found[n].axes), None)
        if n is None:
            return None
        old = found[n]
        found[n] = _Factor(old.operand, old.load, (*old.guards, g), old.axes)
    return found[0], found[1]


class _Split:
    """The axes of a contraction of two factors: loops, rows, columns, summed."""

    def __init__(self, t: Tensor, c: Comprehension, a: _Factor, b: _Factor) -> None:
        self.t, self.c = t, c
        live = [n for n, extent in enumerate(c.extents) if extent != 1]
        out = [n for n in live if n < c.rank]
        rows = [n for n in out if n in a.axes and n not in b.axes]
        columns = [n for n in out if n in b.axes and n not in a.axes]
        if rows and columns and rows[-1] > columns[-1]:
            a, b, rows, columns = b, a, columns, rows
        self.a, self.b, self.rows, self.columns = a, b, rows, columns
        self.loops = [n for n in out if n in a.axes and n in b.axes]
        self.summed = [n for n in live if n >= c.rank]
        both = a.axes & b.axes
        complete = len(rows) + len(columns) + len(self.loops) == len(out)
        self.valid = bool(
            rows and columns and complete and self.summed and set(self.summed) <= both
        )

    def gemm(self) -> Gemm | None:
        """Return the product with the fewest loops whose packed factors fit a cache."""
        if not self.valid or self._size(self.rows + self.columns + self.summed) < SMALL:
            return None
        found = self._over_samples()
        if found is not None and self._fits(found):
            return found
        return self._over_sums() or found

    def _size(self, axes: Sequence[int]) -> int:
        """Return a number of elements; an unknown extent counts as a large one."""
        total = 1
        for n in axes:
            extent = self.c.extents[n]
            total *= extent if isinstance(extent, int) else 2**20
        return total

    def _over_samples(self) -> Gemm | None:
        """Loop over leading axes of the columns; the loops come before the rows."""
        loops, columns = list(self.loops), list(self.columns)
        while columns:
            found = self._gemm(loops, columns, self.summed, ())
            few = self._size(columns[1:]) < FEWEST
            if found is not None and (few or self._fits(found)):
                return found
            loops.append(columns.pop(0))
        return None

    def _fits(self, found: Gemm) -> bool:
        """Return True if the packed factors fit a cache."""
        packed = [x.packing.axes for x in (found.left, found.right) if x.packing]
        return all(self._size(axes) <= CACHED for axes in packed)

    def _over_sums(self) -> Gemm | None:
        """Loop over leading summed axes, adding up."""
        if self.loops:
            return None
        loops, summed = [], list(self.summed)
        while len(summed) > 1:
            loops.append(summed.pop(0))
            found = self._gemm([], self.columns, summed, tuple(loops))
            if found is not None and self._fits(found):
                return found
        return None

    def _gemm(
        self,
        loops: list[int],
        columns: list[int],
        summed: list[int],
        added: Axes,
    ) -> Gemm | None:
        c, rows = self.c, self.rows
        if not columns:
            return None
        fixed = (*loops, *added)
        left = self._matrix(self.a, rows, summed, fixed)
        right = self._matrix(self.b, summed, columns, fixed)
        steps = dict(enumerate(strides(self.t.shape)))
        at = Load(self.t, (), 0, (), self.t.dtype)
        result = matrix_of(at, steps, rows, columns, loops, c.extents)
        if result is None or result.column != 1:
            return None
        if left.packing and self._size(columns) < REUSED:
            return None
        if right.packing and self._size(rows) < REUSED:
            return None
        ordered = [*loops, *rows, *columns] == sorted([*loops, *rows, *columns])
        m, n, k = (product(c.extents[x] for x in g) for g in (rows, columns, summed))
        return Gemm(
            self.t,
            left,
            right,
            result,
            tuple(c.extents[x] for x in fixed),
            m,
            n,
            k,
            (),
            columns[0] if ordered and not added else None,
            adds=bool(added),
        )

    def _matrix(
        self, f: _Factor, rows: list[int], columns: list[int], fixed: Axes
    ) -> Matrix:
        """Return a factor as it lies in memory, or packed."""
        if f.is_plain:
            steps = {n: f.steps.get(n, 0) for n in range(len(self.c.extents))}
            if all(steps[n] != 0 for n in (*rows, *columns)):
                found = matrix_of(f.load, steps, rows, columns, fixed, self.c.extents)
                if found is not None:
                    return found
        return self._packed(f, rows, columns, fixed)

    def _packed(
        self, f: _Factor, rows: list[int], columns: list[int], fixed: Axes
    ) -> Matrix:
        """Lay a factor out with the axis that is adjacent in its memory innermost."""
        extents = self.c.extents
        adjacent = [n for n in (*rows, *columns) if f.steps.get(n, 0) == 1]
        inner = max(adjacent, key=lambda n: self._size([n]), default=columns[-1])
        row: Size = 1
        column: Size = 1
        if inner in rows:
            order = [*columns, *rows]
            column = product(extents[n] for n in rows)
        else:
            order = [*rows, *columns]
            row = product(extents[n] for n in columns)
        used = [n for n in fixed if n in f.axes]
        packing = Packing(
            f.load,
            f.guards,
            tuple(order),
            tuple(extents[n] for n in order),
            tuple((n, fixed.index(n)) for n in used),
        )
        zero = tuple(0 for _ in fixed)
        return Matrix(f.load.tensor, 0, row, column, zero, packing)

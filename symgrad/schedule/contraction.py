"""Recognise the sums of products that are matrix products in memory.

``C[batch…, M…, N…] = Σ_K A·B``: an axis is a batch axis if both factors and the result
have it, a row axis if only the first factor has it, a column axis if only the second.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from symgrad.declare import dtypes, scalar
from symgrad.declare.comprehension import Comprehension, Guard
from symgrad.declare.dims import Size, product
from symgrad.declare.tensor import Reshape, Tensor
from symgrad.schedule.terms import Load, Number, Resolver, is_virtual, strides

Axes = tuple[int, ...]


@dataclass(frozen=True)
class Packing:
    """How a factor is laid out anew before it is multiplied.

    ``load`` is the element that is read, 0 where a guard fails; ``axes`` run, the last
    fastest, over its ``extents``; ``fixed`` are the axes that batches fix, each with
    the number of the batch axis.
    """

    load: Load
    guards: tuple[Guard, ...]
    axes: Axes
    extents: tuple[Size, ...]
    fixed: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Matrix:
    """A factor as a matrix for each batch: where it lies and how it is stepped.

    ``row`` and ``column`` are strides in elements, one of them 1; ``batch`` the
    strides of the batch axes (0 where a factor is the same for all).  With a
    ``packing``, the strides are those of the memory into which ``tensor`` is packed.
    """

    tensor: Tensor
    constant: Size
    row: Size
    column: Size
    batch: tuple[Size, ...]
    packing: Packing | None = None

    @property
    def transposed(self) -> bool:
        """True if memory runs along the matrix's columns."""
        return self.column != 1


@dataclass(frozen=True)
class Gemm:
    """One matrix product for each point of the batch axes.

    ``copied`` are factors that first have to be laid out in memory.  ``split`` is the
    number of leading axes of the result that are not columns, where batch, rows and
    columns follow each other in memory: then row-wise work can follow each panel.
    ``adds``: the result is the sum of the products of all batches.
    """

    node: Tensor
    left: Matrix
    right: Matrix
    result: Matrix
    batch: tuple[Size, ...]
    m: Size
    n: Size
    k: Size
    copied: tuple[Tensor, ...] = ()
    split: int | None = None
    adds: bool = False


@dataclass(frozen=True)
class Tail:
    """A product with a factor that another product's group makes panel by panel.

    ``member`` is that factor, ``left`` whether it is the first one.  With ``adds`` the
    product is summed over the rows of the panels, panel by panel; else each panel
    gives its own rows of the result.
    """

    gemm: Gemm
    member: Tensor
    left: bool
    adds: bool


def as_tail(
    host: Gemm | None, split: int | None, gemm: Gemm, factor: Matrix
) -> Tail | None:
    """Return how a product follows the panels of another, or None where it cannot.

    Attention is the example: of the scores softmax(QKᵀ) and of their cotangents, the
    products with V, K, Q and the cotangent of the result need a few rows at a time.
    """
    if host is None or split is None or gemm.adds or gemm.batch != host.batch:
        return None
    if not host.batch:
        return None  # a layer: what follows its own panels is worth more
    if factor.packing or gemm.result.packing or factor.constant != 0:
        return None
    if factor.batch != host.result.batch or gemm.left.tensor is gemm.right.tensor:
        return None
    by_rows = (factor.row, factor.column) == (host.result.row, 1)
    by_columns = (factor.row, factor.column) == (1, host.result.row)
    left = factor is gemm.left
    other = gemm.right if left else gemm.left
    if other.packing is not None:
        return None
    if left and by_rows and (gemm.m, gemm.k) == (host.m, host.n):
        return Tail(gemm, factor.tensor, True, False)
    added = gemm.k == host.m
    if left and by_columns and added and gemm.m == host.n:
        return Tail(gemm, factor.tensor, True, True)
    if not left and by_rows and added and gemm.n == host.n:
        return Tail(gemm, factor.tensor, False, True)
    return None


def as_gemm(t: Tensor, forced: set[Tensor]) -> Gemm | None:
    """Return ``t`` as a matrix product, or None where it is not one."""
    c = t.op
    if not isinstance(c, Comprehension) or not c.is_contraction or c.guards:
        return None
    factors = scalar.factors(c.body)
    if len(factors) != 2 or not dtypes.is_float(t.dtype):
        return None
    loads, copied = [], []
    for f in factors:
        read = c.reads[f.value]
        operand = t.args[read.operand]
        load = plain_load(operand, read.index, forced, c.extents)
        if load is None:
            return None
        loads.append(load)
        if needs_memory(operand, load):
            copied.append(operand)
    return _arrange(t, c, loads[0], loads[1], tuple(copied))


def needs_memory(operand: Tensor, load: Load) -> bool:
    """Return True if the operand itself (a virtual node) is what the load reads."""
    return load.tensor is operand and is_virtual(operand)


def plain_load(
    operand: Tensor, index: tuple, forced: set[Tensor], extents: Sequence[Size]
) -> Load | None:
    """Return how a factor is read: through movements if that stays a plain matrix."""
    resolver = Resolver(lambda n: is_virtual(n) and n not in forced, lambda n, w: None)
    if any(i.values() for i in index):
        return None
    term = resolver.at(operand, index)
    if isinstance(term, Load) and not term.extra and _fits(term, extents):
        return term
    if isinstance(term, Number):
        return None
    resolver = Resolver(lambda n: False, lambda n, w: None)
    term = resolver.at(operand, index)
    if isinstance(term, Load) and not term.extra and _fits(term, extents):
        return term
    return None


def _fits(load: Load, extents: Sequence[Size]) -> bool:
    """Return True if each axis steps through memory on its own, one by single steps."""
    live = [(a, s) for a, s in load.linear if extents[a] != 1]
    if isinstance(load.tensor.op, Reshape):
        return False
    total = product(extents[a] for a, _ in live)
    size = product(load.tensor.shape)
    if isinstance(total, int) and isinstance(size, int) and total > max(size, 1):
        return False  # overlapping windows
    return all(not isinstance(s, int) or s > 0 for _, s in live)


def _arrange(
    t: Tensor, c: Comprehension, a: Load, b: Load, copied: tuple[Tensor, ...]
) -> Gemm | None:
    axes = [n for n, extent in enumerate(c.extents) if extent != 1]
    in_a, in_b = dict(a.linear), dict(b.linear)
    batch = [n for n in axes if n < c.rank and n in in_a and n in in_b]
    rows = [n for n in axes if n < c.rank and n in in_a and n not in in_b]
    columns = [n for n in axes if n < c.rank and n in in_b and n not in in_a]
    summed = [n for n in axes if n >= c.rank]
    if any(n not in in_a or n not in in_b for n in summed) or not summed:
        return None
    if len(batch) + len(rows) + len(columns) != sum(n < c.rank for n in axes):
        return None
    if rows and columns and rows[-1] > columns[-1]:
        a, b, rows, columns = b, a, columns, rows
    if not rows or not columns:
        return None
    out = dict(enumerate(strides(t.shape)))
    extents = c.extents
    left = matrix_of(a, dict(a.linear), rows, summed, batch, extents)
    right = matrix_of(b, dict(b.linear), summed, columns, batch, extents)
    result = matrix_of(Load(t, (), 0, (), t.dtype), out, rows, columns, batch, extents)
    if left is None or right is None or result is None or result.column != 1:
        return None
    m, n, k = (product(extents[x] for x in part) for part in (rows, columns, summed))
    sizes = tuple(extents[x] for x in batch)
    ordered = [*batch, *rows, *columns] == sorted([*batch, *rows, *columns])
    split = columns[0] if ordered else None
    return Gemm(t, left, right, result, sizes, m, n, k, copied, split)


def matrix_of(
    load: Load,
    steps: dict[int, Size],
    rows: Sequence[int],
    columns: Sequence[int],
    batch: Sequence[int],
    extents: Sequence[Size],
) -> Matrix | None:
    """Return an operand as a matrix of merged axes, or None where it is none."""
    row, column = (
        merged_step(rows, steps, extents),
        merged_step(columns, steps, extents),
    )
    if row is None or column is None or (row != 1 and column != 1):
        return None
    at = tuple(steps[n] for n in batch)
    return Matrix(load.tensor, load.constant, row, column, at)


def merged_step(
    axes: Sequence[int], steps: dict[int, Size], extents: Sequence[Size]
) -> Size | None:
    """Return the stride of several axes seen as one, or None if they do not line up."""
    for outer, inner in itertools.pairwise(axes):
        if steps[outer] != steps[inner] * extents[inner]:
            return None
    return steps[axes[-1]]

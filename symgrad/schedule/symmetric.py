"""Recognise sums of products that are symmetric: ``XᵀX``, and ``XᵀDX`` with D diagonal.

Half of the elements are computed (BLAS's ``syrk``): each thread adds up the products of
its rows of X, and the sums of all threads are then written on both sides of the
diagonal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from symgrad.declare import dtypes
from symgrad.declare.comprehension import Index, along
from symgrad.declare.dims import Size, product
from symgrad.declare.tensor import Tensor
from symgrad.schedule.contraction import (
    Axes,
    Matrix,
    matrix_of,
    merged_step,
    needs_memory,
    plain_load,
)
from symgrad.schedule.terms import Load
from symgrad.simplification.symmetry import Part, Parts, scaled_product

#: Columns below which a whole matrix product is as fast.
FEWEST = 32


@dataclass(frozen=True)
class Weight:
    """The diagonal of D: where it lies, and its step in elements."""

    tensor: Tensor
    constant: Size
    step: Size


@dataclass(frozen=True)
class Symmetric:
    """``y[i, j] = Σ_k weight[k]·x[k, i]·x[k, j]``.

    Attributes:
        node: y.
        x: the factor, of k rows and n columns.
        weight: None where all weights are 1.
        n, k: sizes.
        copied: factors that first have to be laid out in memory.
    """

    node: Tensor
    x: Matrix
    weight: Weight | None
    n: int
    k: Size
    copied: tuple[Tensor, ...]

    @property
    def reads(self) -> list[Tensor]:
        """The tensors in memory that it reads."""
        return [self.x.tensor, *([self.weight.tensor] if self.weight else [])]


def as_symmetric(t: Tensor, forced: set[Tensor]) -> Symmetric | None:
    """Return ``t`` as a symmetric sum of products, or None where it is not one.

    Also None where it has more columns than rows are summed: the sums of each thread
    would be more than the factor.
    """
    n = t.shape[-1] if t.ndim == 2 else 0
    if not isinstance(n, int) or n < FEWEST or not dtypes.is_float(t.dtype):
        return None
    p = scaled_product(t)
    if p is None or any(f.tensor.dtype != t.dtype for f in p.factors):
        return None
    summed = tuple(a for a in range(2, len(p.extents)) if p.extents[a] != 1)
    k = product(p.extents[a] for a in summed)
    if isinstance(k, int) and k < n:
        return None
    pair = _pair(p.factors, p.output)
    if pair is None:
        return None
    rest = [f for f in p.factors if f is not pair[0] and f is not pair[1]]
    x, copied = _factor(p, pair[0], summed, forced)
    if x is None or len(rest) > 1:
        return None
    if not rest:
        return Symmetric(t, x, None, n, k, copied)
    weight, more = _weight(p, rest[0], summed, forced)
    if weight is None:
        return None
    return Symmetric(t, x, weight, n, k, copied + more)


def _pair(factors: Sequence[Part], output: Axes) -> tuple[Part, Part] | None:
    """Return the factor for the rows of the result, and the same for its columns."""
    i, j = output
    for f in factors:
        if i in f.axes and j not in f.axes:
            turned = tuple(j if a == i else a for a in f.axes)
            for g in factors:
                if g.tensor is f.tensor and g.axes == turned:
                    return f, g
    return None


def _load(
    p: Parts, f: Part, forced: set[Tensor]
) -> tuple[Load | None, tuple[Tensor, ...]]:
    index = tuple(Index() if a is None else along(a) for a in f.axes)
    load = plain_load(f.tensor, index, forced, p.extents)
    copied = load is not None and needs_memory(f.tensor, load)
    return load, (f.tensor,) if copied else ()


def _factor(
    p: Parts, f: Part, summed: Axes, forced: set[Tensor]
) -> tuple[Matrix | None, tuple[Tensor, ...]]:
    load, copied = _load(p, f, forced)
    if load is None or any(a not in dict(load.linear) for a in summed):
        return None, ()
    steps = dict(load.linear)
    return matrix_of(load, steps, summed, p.output[:1], (), p.extents), copied


def _weight(
    p: Parts, f: Part, summed: Axes, forced: set[Tensor]
) -> tuple[Weight | None, tuple[Tensor, ...]]:
    if set(f.axes) - {None} != set(summed):
        return None, ()
    load, copied = _load(p, f, forced)
    if load is None or any(a not in dict(load.linear) for a in summed):
        return None, ()
    step = merged_step(summed, dict(load.linear), p.extents)
    if step is None:
        return None, ()
    return Weight(load.tensor, load.constant, step), copied

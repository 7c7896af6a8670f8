"""The structure of a Jacobian, found from the index maps of the graph.

Element ``I`` of ``y[I] = Σ_K f(x[φ(I, K)], …)`` depends on the elements ``φ(I, K)`` of
``x``, for the ``K`` whose guards hold: that is a sparse matrix of bools, and the
structure of a whole graph is the product and sum of those of its statements.  Constants
are evaluated: a gather reads where its indices say, a branch that a constant condition
never takes and a factor that is 0 give nothing.  Data that is known only when the
program runs counts as possible anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from symgrad.declare import dtypes, scalar
from symgrad.declare.comprehension import Comprehension, Index, Quotient, Value
from symgrad.declare.tensor import (
    Constant,
    Input,
    Param,
    Reshape,
    SizeOf,
    Tensor,
    print_shape,
    topological,
)
from symgrad.derivation.symbolic import slope
from symgrad.derivation.transpose import output_index
from symgrad.errors import DerivationError, ShapeError

#: A statement with more iterations than this is not looked through.
MOST_ITERATIONS = 1 << 27
#: Number of a read whose value is a factor, and whether 0 means that nothing passes
#: (True), or anything else does (False).
Mask = tuple[int, bool]


def structure(t: Tensor, wrt: Tensor) -> sp.csr_array:
    """Return which elements of ``t`` (rows) depend on which of ``wrt`` (columns).

    Elements are numbered in row-major order.  The structure may have entries that are
    always 0, but it lacks none.

    Raises:
        ShapeError: a dimension is not an integer.
        DerivationError: a statement has too many iterations to look through.

    >>> import symgrad as sg
    >>> x = sg.input("x", (4,))
    >>> structure(x[1:] * x[:-1], x).toarray().astype(int)
    array([[1, 1, 0, 0],
           [0, 1, 1, 0],
           [0, 0, 1, 1]])
    """
    order = topological([t])
    reached = {wrt}
    for node in order:
        if dtypes.is_float(node.dtype) and any(a in reached for a in node.args):
            reached.add(node)
    constants = known_values([n for n in order if n in reached], order)
    size = _size(wrt)
    found = {wrt: sp.eye_array(size, dtype=bool, format="csr")}
    for node in order:
        if node in reached and node not in found:
            found[node] = _node(node, found, constants, size)
    pattern = found.get(t)
    if pattern is None:
        pattern = sp.csr_array((_size(t), size), dtype=bool)
    pattern.sum_duplicates()
    return pattern


def _size(t: Tensor) -> int:
    size = t.size
    if not isinstance(size, int):
        raise ShapeError(
            f"the structure of a Jacobian needs integer dimensions, but {t.describe()} "
            f"has the shape {print_shape(t.shape)}"
        )
    return size


def known_values(
    nodes: Sequence[Tensor], order: Sequence[Tensor]
) -> dict[Tensor, np.ndarray]:
    """Return the values of constants that the nodes use as factors or indices."""
    from symgrad.pipeline import compile

    varying: set[Tensor] = set()
    for node in order:
        leaf = isinstance(node.op, Input | Param | SizeOf)
        if leaf or any(a in varying for a in node.args):
            varying.add(node)
    wanted = dict.fromkeys(
        a
        for node in nodes
        if isinstance(node.op, Comprehension)
        for a in node.args
        if a not in varying and _size(a) <= MOST_ITERATIONS
    )
    values = {t: t.op.value for t in wanted if isinstance(t.op, Constant)}
    rest = [t for t in wanted if t not in values]
    if rest:
        values |= zip(rest, compile([], rest)(), strict=True)
    return values


def _node(
    node: Tensor,
    found: Mapping[Tensor, sp.csr_array],
    constants: Mapping[Tensor, np.ndarray],
    size: int,
) -> sp.csr_array:
    """Return the structure of one node from those of its operands."""
    if isinstance(node.op, Reshape):
        return found[node.args[0]]
    total = sp.csr_array((_size(node), size), dtype=bool)
    if not isinstance(node.op, Comprehension):  # all of it may depend on all of that
        for a in node.args:
            if a in found:
                touched = np.asarray(found[a].sum(axis=0)).reshape(1, -1) > 0
                total = total + sp.csr_array(np.repeat(touched, _size(node), axis=0))
        return total
    for k, masks in _passages(node.op):
        operand = node.args[node.op.reads[k].operand]
        if operand in found:
            known = [m for m in masks if _operand(node, m[0]) in constants]
            one = _Incidence(node, constants, k, known).matrix()
            total = total + (found[operand] if one is None else one @ found[operand])
    return total


def _operand(node: Tensor, k: int) -> Tensor:
    return node.args[node.op.reads[k].operand]  # type: ignore[union-attr]


def _passages(c: Comprehension) -> list[tuple[int, list[Mask]]]:
    """Return the reads that a change passes through, and what may keep it from that."""
    if not c.is_elementwise or c.body.fn == "read":
        reads = [p.value for p in scalar.factors(c.body) if p.fn == "read"]
        return [(k, [(other, True) for other in reads if other != k]) for k in reads]
    args, fn = [a.value for a in c.body.args], c.body.fn
    passages: list[tuple[int, list[Mask]]] = []
    for position, k in enumerate(args):
        local = slope(fn, position)
        if scalar.is_number(local) and local.value == 0:
            continue
        masks: list[Mask] = []
        if fn == "mul":
            masks = [(args[1 - position], True)]
        elif fn == "select":
            masks = [(args[0], position == 1)]
        passages.append((k, masks))
    return passages


class _Incidence:
    """Which elements of a statement's result come from which of a read's operand.

    Only the axes that matter are run through.  An index of unknown data is an axis of
    its own, ``(k,)`` for read ``k``: every value is possible.
    """

    def __init__(
        self,
        node: Tensor,
        constants: Mapping[Tensor, np.ndarray],
        k: int,
        masks: Sequence[Mask],
    ) -> None:
        self.node, self.constants, self.masks = node, constants, masks
        self.c: Comprehension = node.op  # type: ignore[assignment]
        self.source = self.c.reads[k]
        self.target = output_index(self.c)
        self.extents: dict[Any, int] = {}
        indices = [*self.target, *self.source.index]
        indices += [g.index for g in self.c.guards]
        indices += [i for m, _ in masks for i in self.c.reads[m].index]
        for index in indices:
            self._note(index)
        self.place = {key: n for n, key in enumerate(self.extents)}

    def _note(self, index: Index) -> None:
        """Note the axes on which an index depends, and their extents."""
        for atom, _ in index.terms:
            if isinstance(atom, int):
                self.extents[atom] = self.c.extents[atom]  # type: ignore[assignment]
            elif isinstance(atom, Quotient):
                self._note(atom.index)
            elif _operand(self.node, atom.read) in self.constants:
                for inner in self.c.reads[atom.read].index:
                    self._note(inner)
            else:
                self.extents[(atom.read,)] = atom.size  # type: ignore[assignment]

    def matrix(self) -> sp.csr_array | None:
        """Return the matrix of bools; None for the identity."""
        operand = self.node.args[self.source.operand]
        same = self.source.index == self.target and operand.shape == self.node.shape
        if same and not self.c.guards and not self.masks:
            return None
        shape = tuple(self.extents.values())
        count = int(np.prod(shape, dtype=object))
        if count > MOST_ITERATIONS:
            raise DerivationError(
                f"the structure of {self.node.describe()} has {count} entries to look "
                "through; use sg.jacobian or products with vectors"
            )
        keep = np.ones((), bool)
        for g in self.c.guards:
            index = self._values(g.index)
            keep = keep & (index >= 0) & (index % g.modulus == 0)
            if g.bound is not None:
                keep = keep & (index < g.bound)
        for k, nonzero in self.masks:
            keep = keep & (self._read(k).astype(bool) == nonzero)
        rows, inside = self._flat(self.target, self.node.shape)
        columns, within = self._flat(self.source.index, operand.shape)
        keep = np.broadcast_to(keep & inside & within, shape)
        rows = np.broadcast_to(rows, shape)[keep]
        columns = np.broadcast_to(columns, shape)[keep]
        size = (_size(self.node), _size(operand))
        ones = np.ones(rows.size, bool)
        return sp.coo_array((ones, (rows, columns)), shape=size).tocsr()

    def _flat(
        self, indices: Sequence[Index], shape: Sequence[Any]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the row-major numbers of elements, and whether they exist."""
        flat, inside = np.zeros((), np.int64), np.ones((), bool)
        for index, extent in zip(indices, shape, strict=True):
            value = self._values(index)
            flat = flat * extent + value
            inside = inside & (value >= 0) & (value < extent)
        return flat, inside

    def _values(self, index: Index) -> np.ndarray:
        """Return the values of an index over all axes that matter."""
        total = np.asarray(index.constant, np.int64)
        for atom, factor in index.terms:
            if isinstance(atom, Quotient):
                value = self._values(atom.index) // atom.divisor
            elif isinstance(atom, Value):
                value = self._data(atom)
            else:
                value = self._axis(atom)
            total = total + factor * value
        return total

    def _axis(self, key: Any) -> np.ndarray:
        after = len(self.place) - self.place[key] - 1
        return np.arange(self.extents[key]).reshape(-1, *(1,) * after)

    def _data(self, atom: Value) -> np.ndarray:
        if (atom.read,) in self.place:
            return self._axis((atom.read,))
        value, size = self._read(atom.read).astype(np.int64), int(atom.size)  # type: ignore[arg-type]
        return np.clip(np.where(value < 0, value + size, value), 0, size - 1)

    def _read(self, k: int) -> np.ndarray:
        """Return the values of a read of a constant."""
        array = self.constants[_operand(self.node, k)]
        where = [
            np.clip(self._values(i), 0, max(n - 1, 0))
            for i, n in zip(self.c.reads[k].index, array.shape, strict=True)
        ]
        return array[tuple(where)]

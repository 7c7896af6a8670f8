"""Compression of a sparse Jacobian: which columns, or rows, one product can share.

Columns without a row in common get one colour: the product with the sum of their unit
vectors holds them all apart (Curtis, Powell & Reid, "On the Estimation of Sparse
Jacobian Matrices", 1974).  Colours are given greedily.  A few dense rows would keep all
columns apart: they are taken in reverse, and the others forward; or the other way round
(Coleman & Verma, "The Efficient Computation of Sparse Jacobian Matrices Using Automatic
Differentiation", 1998).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp


@dataclass(frozen=True)
class Compression:
    """How the entries of a matrix are found in few products with vectors.

    Attributes:
        columns: the colour of each column, -1 for those in no product; or None.
        rows: the colour of each row, likewise; or None.
        place: for each entry, in the order of a CSR matrix: where it is in the
            products with columns, flattened, followed by those with rows.
    """

    columns: np.ndarray | None
    rows: np.ndarray | None
    place: np.ndarray

    @property
    def products(self) -> int:
        """The number of products."""
        return _count(self.columns) + _count(self.rows)


def _count(colours: np.ndarray | None) -> int:
    return 0 if colours is None or not colours.size else int(colours.max()) + 1


def compress(pattern: sp.csr_array) -> Compression:
    """Return a compression of a matrix with this structure.

    >>> arrow = np.eye(6, dtype=bool)
    >>> arrow[0] = arrow[:, 0] = True
    >>> compress(sp.csr_array(arrow)).products
    3
    """
    columns, few_rows = _two_ways(pattern)
    rows, few_columns = _two_ways(pattern.T.tocsr())
    i, j = _entries(pattern)
    m, n = pattern.shape
    if _count(columns) + _count(few_rows) <= _count(rows) + _count(few_columns):
        place = columns[j] * m + i
        if few_rows is not None:
            reverse = _count(columns) * m + few_rows[i] * n + j
            place = np.where(few_rows[i] < 0, place, reverse)
        return Compression(columns, few_rows, place)
    place = _count(few_columns) * m + rows[i] * n + j
    if few_columns is not None:
        place = np.where(few_columns[j] < 0, place, few_columns[j] * m + i)
    return Compression(few_columns, rows, place)


def compress_symmetric(pattern: sp.csr_array) -> Compression:
    """Return a compression of a symmetric matrix: dense rows come from their columns.

    (Powell & Toint, "On the Estimation of Sparse Hessian Matrices", 1979.)

    >>> arrow = np.eye(6, dtype=bool)
    >>> arrow[0] = arrow[:, 0] = True
    >>> compress_symmetric(sp.csr_array(arrow)).products
    2
    """
    n = pattern.shape[0]
    dense = _dense_rows(pattern)
    light = np.ones(n, bool)
    light[dense] = False
    colours = np.full(n, -1)
    rest = pattern[light][:, light]
    colours[light] = colour_columns(rest)
    if _count(colours) + len(dense) < _count(colour_columns(pattern)):
        colours[dense] = _count(colours) + np.arange(len(dense))
    else:
        light[:], colours = True, colour_columns(pattern)
    i, j = _entries(pattern)
    mirrored = light[j] & ~light[i]  # in a dense row: taken from the column
    place = np.where(mirrored, colours[i] * n + j, colours[j] * n + i)
    return Compression(colours, None, place)


def colour_columns(pattern: sp.csr_array) -> np.ndarray:
    """Return a colour for each column: columns that share a row have different ones.

    The columns are taken in their own order, which is best for bands, and from the
    densest to the lightest; the better result is returned.
    """
    from scipy.optimize._numdiff import group_columns

    n = pattern.shape[1]
    if not n or not pattern.nnz:
        return np.zeros(n, np.int64)
    degree = np.bincount(pattern.indices, minlength=n)
    orders = [np.arange(n), np.argsort(-degree, kind="stable")]
    found = [group_columns(pattern, order) for order in orders]
    return min(found, key=_count).astype(np.int64)


def _two_ways(pattern: sp.csr_array) -> tuple[np.ndarray, np.ndarray | None]:
    """Return colours for columns, and for the dense rows that are left to rows."""
    m = pattern.shape[0]
    dense = _dense_rows(pattern)
    plain = colour_columns(pattern)
    if not len(dense):
        return plain, None
    light = np.ones(m, bool)
    light[dense] = False
    columns = colour_columns(pattern[light])
    if _count(columns) + len(dense) >= _count(plain):
        return plain, None
    rows = np.full(m, -1)
    rows[dense] = np.arange(len(dense))
    return columns, rows


def _dense_rows(pattern: sp.csr_array) -> np.ndarray:
    """Return the rows to leave out: then few products may be enough.

    The entries of the fullest row left are a bound for the colours of the columns.
    """
    entries = np.diff(pattern.indptr)
    if not entries.size:
        return np.zeros(0, np.int64)
    order = np.argsort(-entries, kind="stable")
    bound = np.arange(len(order)) + entries[order]
    return order[: int(np.argmin(bound))]


def _entries(pattern: sp.csr_array) -> tuple[np.ndarray, np.ndarray]:
    """Return row and column of each entry, in order."""
    rows = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr))
    return rows, pattern.indices.astype(np.int64)

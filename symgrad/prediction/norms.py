"""Operator norms of linear maps: of weights, convolutions, sums and movements.

The map is the one from a single operand to the result, all else fixed; its norm is also
that of the map back, by which a cotangent is multiplied.  A map with entries of at most
``m`` in size, ``r`` of them in each row and ``c`` in each column, has a norm of at most
``m·√(rc)`` (Schur's test).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from symgrad.declare import scalar
from symgrad.declare.comprehension import Comprehension, Index, Read
from symgrad.prediction.facts import Facts, Known, times

SPECTRAL_SLACK = 1 + 1e-9
LARGEST = 2048  # rows or columns of which eigenvalues are computed


def spectral_norm(matrices: np.ndarray) -> float:
    """Return an upper bound on the spectral norms of matrices, within rounding.

    >>> round(spectral_norm(np.diag([3.0, -4.0])), 6)
    4.0
    """
    if not matrices.size:
        return 0.0
    wide = np.asarray(matrices, np.complex128 if np.iscomplexobj(matrices) else float)
    if not np.isfinite(wide).all():
        return math.inf
    size = float(np.abs(wide).max())
    if size == 0:
        return 0.0
    wide = wide / size
    flipped = np.swapaxes(wide.conj(), -1, -2)
    gram = wide @ flipped if wide.shape[-2] <= wide.shape[-1] else flipped @ wide
    if gram.shape[-1] <= LARGEST:
        return size * math.sqrt(float(np.linalg.eigvalsh(gram).max())) * SPECTRAL_SLACK
    root = 1.0
    scale = 1.0
    for _ in range(6):  # ‖G‖ ≤ ‖G^(2^k)‖_F^(1/2^k)
        length = float(np.linalg.norm(gram, axis=(-2, -1)).max())
        gram, scale = gram / length, scale * length**root
        gram, root = gram @ gram, root / 2
    last = float(np.linalg.norm(gram, axis=(-2, -1)).max())
    return size * math.sqrt(scale * last**root) * SPECTRAL_SLACK


def multiplicity(index: Sequence[Index], extents: Sequence[int]) -> int:
    """Return how many places of the loops read one element, at most.

    An index that is one axis tells that axis; of one with several axes the longest is
    told by the others, and by its factor which of them are possible.
    """
    free = set(range(len(extents)))
    divided: dict[int, int] = {}
    for i in sorted(index, key=lambda i: len(i.terms)):
        if any(not isinstance(atom, int) for atom, _ in i.terms):
            continue
        live = [(int(a), abs(f)) for a, f in i.terms if a in free]
        if not live:
            continue
        axis, factor = max(live, key=lambda term: (extents[term[0]], term[1]))
        free.discard(axis)
        units = [a for a, f in live if f == 1 and a != axis]
        if factor > 1 and len(live) == 2 and units and units[0] not in divided:
            divided[units[0]] = factor
    return math.prod(-(-extents[a] // divided.get(a, 1)) for a in free)


def rows(c: Comprehension, extents: Sequence[int]) -> int:
    """Return how many terms are reduced to one element."""
    if c.target is not None:
        return math.prod(extents)
    return math.prod(extents[a] for a in c.reduced)


def contraction_norm(
    c: Comprehension, k: int, others: Sequence[tuple[Read, Facts]], extents: list[int]
) -> float:
    """Return a bound on the norm of the map from read ``k`` of a sum of products."""
    own = c.reads[k]
    general = math.sqrt(rows(c, extents) * multiplicity(own.index, extents))
    for _, facts in others:
        general = times(general, facts.norm([]))
    if len(others) != 1 or c.target is not None:
        return general
    return min(general, _matrix_norm(c, own, *others[0], extents))


def _matrix_norm(
    c: Comprehension, own: Read, other: Read, facts: Facts, extents: list[int]
) -> float:
    """Bound the map from one operand of a contraction, the other one as a matrix.

    Axes are *batch* (in both and the result), *inner* (in both, reduced), *outer* (in
    the other and the result), *summed* (in the other alone), *lone* (in this one alone,
    reduced), *absent* (in the result alone), or the *window* of a convolution.
    """
    mine, theirs = _axes(own.index), _axes(other.index)
    if mine is None or theirs is None:
        return math.inf
    window = _window(c, (own, mine), (other, theirs))
    if window is None:
        return math.inf
    lone = [a for a in mine if a >= c.rank and a not in theirs]
    absent = [a for a in range(c.rank) if a not in mine and a not in theirs]
    repeated = math.sqrt(math.prod(extents[a] for a in (*lone, *absent)))
    summed = [a for a in theirs if a >= c.rank and a not in mine]
    inner = [a for a in theirs if a in mine and a >= c.rank and a not in window]
    outer = [a for a in theirs if a not in mine and a < c.rank]
    batch = [a for a in theirs if a in mine and a < c.rank]
    known = isinstance(facts, Known) and not c.guards and not _mixed(other)
    if not known or any(not isinstance(i.constant, int) for i in other.index):
        spread = math.sqrt(math.prod(extents[a] for a in (*summed, *window)))
        dims = {theirs[a] for a in (*inner, *outer, *summed, *window)}
        return times(repeated * spread, facts.norm(dims))
    assert isinstance(facts, Known)
    order = [*batch, *window, *summed, *inner, *outer]
    array = _arranged(facts.array.astype(float), other, theirs, order, extents)

    def size(axes: Sequence[int]) -> int:
        return math.prod(extents[a] for a in axes)

    shape = (size(batch), *(extents[a] for a in window), size(summed))
    matrices = array.reshape(*shape, size(inner), size(outer)).sum(1 + len(window))
    return times(repeated, convolution_norm(matrices, len(window)))


def _arranged(
    array: np.ndarray,
    other: Read,
    place: dict[int, int],
    order: Sequence[int],
    extents: list[int],
) -> np.ndarray:
    """Return what is read of an array, its dimensions in the order of the axes."""
    for d, i in enumerate(other.index):
        start = i.constant
        assert isinstance(start, int)
        steps = [f * np.arange(extents[a]) for a, f in i.terms if isinstance(a, int)]
        array = np.take(array, start + steps[0] if steps else [start], axis=d)
    fixed = tuple(d for d, i in enumerate(other.index) if not i.terms)
    left = [d for d in range(len(other.index)) if d not in fixed]
    return np.transpose(array.squeeze(fixed), [left.index(place[a]) for a in order])


def convolution_norm(matrices: np.ndarray, windows: int) -> float:
    """Return a bound on the norm of a convolution with zeros beyond the border.

    Args:
        matrices: ``[batch, window…, in, out]``.
        windows: how many dimensions the window has.

    The sum of the norms of the shifts is a bound; so is the greatest norm of the symbol
    ``Σ_k W_k exp(iω·k)`` over all frequencies (the norm of the convolution on an
    infinite grid, of which every strided and padded one is a part).  It is evaluated on
    a grid of N frequencies and divided by ``cos(πd/N)`` for a window of degree 2d: a
    trigonometric polynomial of degree d falls from its maximum no faster than
    ``cos(dθ)`` (Bernstein; Ehlich & Zeller 1964).
    """
    if not windows:
        return spectral_norm(matrices)
    sizes = matrices.shape[1 : 1 + windows]
    places = list(itertools.product(*(range(s) for s in sizes)))
    moved = np.moveaxis(matrices, 0, windows)  # the window first
    shifted = sum(spectral_norm(moved[p]) for p in places)
    if len(places) == 1 or windows > 2 or math.prod(sizes) > 200:
        return shifted
    points = [1 if s == 1 else 8 * s for s in sizes]
    spectrum = np.fft.fftn(matrices, points, axes=tuple(range(1, 1 + windows)))
    margin = math.prod(
        math.cos(math.pi * (s - 1) / 2 / n)
        for s, n in zip(sizes, points, strict=True)
        if s > 1
    )
    return min(shifted, spectral_norm(spectrum) / margin)


def _axes(index: Sequence[Index]) -> dict[int, int] | None:
    """Return axis → dimension, or None where an index is no sum of different axes."""
    found: dict[int, int] = {}
    for d, i in enumerate(index):
        for atom, _ in i.terms:
            if not isinstance(atom, int) or atom in found:
                return None
            found[atom] = d
    return found


def _mixed(read: Read) -> bool:
    """Is a dimension read along several axes?"""
    return any(len(i.terms) > 1 for i in read.index)


def _window(c: Comprehension, *reads: tuple[Read, dict[int, int]]) -> list[int] | None:
    """Return the reduced axes that move the index of one operand over another axis.

    They are read by both operands; None where an index is moved in another way.
    """
    found = []
    for (read, _), (_, theirs) in (reads, reads[::-1]):
        for i in read.index:
            axes = [a for a, _ in i.terms if isinstance(a, int)]
            if len(axes) < 2:
                continue
            moving = [a for a in axes if a in theirs and a >= c.rank]
            if len(axes) != 2 or len(moving) != 1:
                return None
            (other,) = set(axes) - set(moving)
            if other in theirs or other >= c.rank:
                return None
            found += moving
    return found


def linear_norm(c: Comprehension, k: int, extents: list[int]) -> float:
    """Return a bound on the norm of a sum, a movement or a pooling of read ``k``."""
    columns = multiplicity(c.reads[k].index, extents)
    if c.reduce in ("max", "min"):  # the shares of ties sum to 1
        return math.sqrt(columns)
    return math.sqrt(rows(c, extents) * columns)


def used_factors(c: Comprehension) -> list[int]:
    """Return the number of the read at each factor of the body."""
    return [p.value for p in scalar.factors(c.body) if p.fn == "read"]

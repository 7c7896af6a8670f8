"""Gathers, scatters, masks, and what picks elements by their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from symgrad.declare.ops import FUNCTIONS as SG
from symgrad.errors import GraphError
from symgrad.interop.torch_import.table import Operand, axis_of, fixed, operator


@operator("index", "_unsafe_index")
def index(x: Operand, indices: Sequence[Operand | None]) -> Operand:
    """As NumPy's: where integer tensors are apart, their axes come first."""
    if any(i is not None and i.dtype == "bool" for i in indices):
        raise GraphError(
            "the number of elements that a mask picks is known only at run time; "
            "write torch.where, or multiply by the mask"
        )
    given = [d for d, i in enumerate(indices) if i is not None]
    together = given == list(range(given[0], given[-1] + 1))
    if not together:
        rest = [d for d in range(x.ndim) if d not in given]
        x = SG["permute_dims"](x, (*given, *rest))
        indices = [indices[d] for d in given]
    return x[tuple(slice(None) if i is None else i for i in indices)]


@operator("index_select")
def index_select(x: Operand, axis: int, ids: Operand) -> Operand:
    """Slices along an axis."""
    return SG["take"](x, ids.reshape((-1,)), axis=axis_of(axis, x.ndim))


@operator("embedding")
def embedding(
    table: Operand,
    ids: Operand,
    padding_idx: int = -1,
    scale_grad: bool = False,
    sparse: bool = False,
) -> Operand:
    """Rows of a table; the padding's row gets no gradient."""
    del sparse
    if scale_grad:
        raise GraphError("scale_grad_by_freq=True is not supported")
    rows = SG["take"](table, ids, axis=0)
    if padding_idx < 0:
        return rows
    real = SG["expand_dims"](ids != padding_idx, axis=ids.ndim)
    return SG["where"](real, rows, SG["stop_gradient"](rows))


@operator("embedding_bag", "_embedding_bag", "_embedding_bag_forward_only")
def embedding_bag(
    table: Operand,
    ids: Operand,
    offsets: Operand,
    scale_grad: bool = False,
    mode: int = 0,
    *_: Any,
) -> tuple[Any, ...]:
    """The sum, mean or maximum of rows, for bags of one size."""
    steps = getattr(offsets.op, "value", None)
    sizes = np.zeros(0, np.int64)
    if steps is not None:
        sizes = np.diff(np.append(steps, fixed(ids, 0)))
    if scale_grad or not len(sizes) or (sizes != sizes[0]).any():
        raise GraphError("bags of different or unknown sizes are not supported")
    weights = _[1] if len(_) > 1 else None
    bags = SG["take"](table, ids.reshape((-1, int(sizes[0]))), axis=0)
    if weights is not None:
        bags = bags * weights.reshape((-1, int(sizes[0]), 1))
    return SG[("sum", "mean", "max")[mode]](bags, axis=1), None, None, None


@operator("one_hot")
def one_hot(ids: Operand, count: int = -1) -> Operand:
    """1 at the place of the index."""
    if count < 0:
        raise GraphError("give num_classes, which depends on values otherwise")
    return SG["one_hot"](ids, count, "int64")


@operator("gather")
def gather(x: Operand, axis: int, ids: Operand, sparse_grad: bool = False) -> Operand:
    """One element for each index; other axes may be shorter."""
    del sparse_grad
    axis = axis_of(axis, x.ndim)
    where: list[Any] = [slice(None)] * x.ndim
    for d, (s, r) in enumerate(zip(x.shape, ids.shape, strict=True)):
        if d != axis and s != r:
            where[d] = slice(0, r)
    return SG["take_along_axis"](x[tuple(where)], ids, axis=axis)


@operator("take_along_dim")
def take_along_dim(x: Operand, ids: Operand, axis: int) -> Operand:
    """One element for each index."""
    return SG["take_along_axis"](x, ids, axis=axis_of(axis, x.ndim))


def _onto(
    x: Operand, axis: int, ids: Operand, values: Operand
) -> tuple[Operand, Operand, Operand]:
    """Return x and what belongs to each of its places along the last axis.

    The first is ``[…, places]``, a mask and the values are ``[…, places, updates]``.
    """
    for d, (s, r) in enumerate(zip(x.shape, ids.shape, strict=True)):
        if d != axis and s != r:
            raise GraphError("indices that are shorter in other axes are not supported")
    moved = SG["moveaxis"](x, axis, -1)
    ids = SG["moveaxis"](ids, axis, -1)
    if values.ndim:
        values = SG["moveaxis"](values, axis, -1)
    values = SG["broadcast_to"](values, ids.shape)
    place = SG["arange"](fixed(x, axis)).reshape((*[1] * (x.ndim - 1), -1, 1))
    here = place == SG["expand_dims"](ids, axis=-2)
    return moved, here, SG["expand_dims"](values, axis=-2)


@operator("scatter", "scatter.src", "scatter.value")
def scatter(x: Operand, axis: int, ids: Operand, source: Any) -> Operand:
    """Each value to one place along an axis; of several, the last."""
    axis = axis_of(axis, x.ndim)
    values = source if hasattr(source, "op") else SG["full"]((), source, x.dtype)
    x, here, values = _onto(x, axis, ids, values)
    place = SG["arange"](here.shape[-1])
    last = SG["max"](SG["where"](here, place, -1), axis=-1, keepdims=True)
    only = here & (place == last)
    found = SG["sum"](SG["where"](only, values, 0), axis=-1)
    return SG["moveaxis"](SG["where"](SG["any"](here, axis=-1), found, x), -1, axis)


@operator("scatter_add")
def scatter_add(x: Operand, axis: int, ids: Operand, source: Operand) -> Operand:
    """Each value added at one place along an axis."""
    axis = axis_of(axis, x.ndim)
    x, here, values = _onto(x, axis, ids, source)
    total = SG["sum"](SG["where"](here, values, 0), axis=-1)
    return SG["moveaxis"](x + total, -1, axis)


def _rows(x: Operand, axis: int, ids: Operand) -> Operand:
    """Return ``[places, updates]``: 1 where an update belongs to a place."""
    place = SG["arange"](fixed(x, axis)).reshape((-1, 1))
    return place == ids.reshape((1, -1))


@operator("index_add")
def index_add(
    x: Operand, axis: int, ids: Operand, source: Operand, alpha: float = 1
) -> Operand:
    """Slices added at their places along an axis."""
    axis = axis_of(axis, x.ndim)
    here = SG["astype"](_rows(x, axis, ids), x.dtype)
    moved = SG["moveaxis"](source, axis, 0)
    total = SG["tensordot"](here, moved, 1)
    return x + alpha * SG["moveaxis"](total, 0, axis)


@operator("index_put")
def index_put(
    x: Operand, indices: Sequence[Any], values: Operand, accumulate: bool = False
) -> Operand:
    """Values put where a mask is True, or at integers along the first axis."""
    first = indices[0]
    if len(indices) == 1 and first is not None and first.dtype == "bool":
        if values.ndim:
            raise GraphError("only one number can be put where a mask is True")
        mask = first.reshape((*first.shape, *[1] * (x.ndim - first.ndim)))
        return SG["where"](mask, x + values if accumulate else values, x)
    given = [i for i in indices if i is not None]
    if len(given) != len(indices) or any(i.dtype == "bool" for i in given):
        raise GraphError("values put at slices together with indices are not supported")
    return _put(x, given, values, accumulate)


def _put(x: Operand, ids: list[Operand], values: Operand, add: bool) -> Operand:
    """Put values at places that integers for the first axes name."""
    head = [fixed(x, d) for d in range(len(ids))]
    flat: Operand = 0
    for i, extent in zip(ids, head, strict=True):
        flat = flat * extent + SG["where"](i < 0, i + extent, i)
    tail = x.shape[len(ids) :]
    wide = SG["broadcast_to"](values, (*flat.shape, *tail))
    total = int(np.prod(head))
    rows = SG["reshape"](x, (total, -1))
    updates = SG["reshape"](wide, (-1, rows.shape[1])).mT
    here = _rows(rows, 0, flat)
    if add:
        found = rows + (SG["astype"](here, x.dtype) @ updates.mT)
        return SG["reshape"](found, x.shape)
    place = SG["arange"](here.shape[-1])
    last = SG["max"](SG["where"](here, place, -1), axis=-1, keepdims=True)
    only = SG["astype"](here & (place == last), x.dtype)
    taken = SG["expand_dims"](SG["any"](here, axis=-1), axis=1)
    return SG["reshape"](SG["where"](taken, only @ updates.mT, rows), x.shape)


@operator("masked_scatter", "masked_select", "nonzero", "unique", "_unique2", "item",
          "_local_scalar_dense", "bincount", "histc")  # fmt: skip
def of_values(*_: Any) -> Operand:
    """What depends on values so that no graph can be declared for all of them."""
    raise GraphError("its shape, or what follows, depends on values at run time")


@operator("bucketize")
def bucketize(x: Operand, bounds: Operand, right: bool = False, **_: Any) -> Operand:
    """How many bounds are below each element."""
    wide = SG["expand_dims"](x, axis=x.ndim)
    below = bounds <= wide if right else bounds < wide
    return SG["sum"](SG["astype"](below, "int64"), axis=-1)

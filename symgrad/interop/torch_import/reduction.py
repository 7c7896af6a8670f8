"""Reductions, softmax and its kin, running sums, and orders."""

from __future__ import annotations

import math
from typing import Any

from symgrad.declare.dims import product
from symgrad.declare.ops import FUNCTIONS as SG
from symgrad.declare.tensor import size_of
from symgrad.errors import GraphError
from symgrad.interop.torch_import.table import (
    OPERATORS,
    Operand,
    axes_of,
    axis_of,
    fixed,
    operator,
)


def _over_axes(name: str) -> Any:
    function = SG[name]

    def declare(
        x: Operand, axes: Any = None, keepdim: bool = False, dtype: Any = None
    ) -> Operand:
        x = x if dtype is None else SG["astype"](x, dtype)
        return function(x, axis=axes_of(x, axes), keepdims=keepdim)

    return declare


for _name, _ours in {
    "sum": "sum", "mean": "mean", "amax": "max", "amin": "min", "prod": "prod",
    "logsumexp": "logsumexp", "max.default": "max", "min.default": "min",
}.items():  # fmt: skip
    OPERATORS[_name] = _over_axes(_ours)


@operator("all")
def every(x: Operand, axes: Any = None, keepdim: bool = False) -> Operand:
    """True where all are not 0."""
    return SG["all"](_condition(x), axis=axes_of(x, axes), keepdims=keepdim)


@operator("any")
def some(x: Operand, axes: Any = None, keepdim: bool = False) -> Operand:
    """True where one is not 0."""
    return SG["any"](_condition(x), axis=axes_of(x, axes), keepdims=keepdim)


def _condition(x: Operand) -> Operand:
    return x if x.dtype == "bool" else x != 0


def _extreme(name: str) -> Any:
    def declare(x: Operand, axis: int, keepdim: bool = False) -> Any:
        axis = axis_of(axis, x.ndim)
        index = SG[f"arg{name}"](x, axis=axis, keepdims=True)
        value = SG["take_along_axis"](x, index, axis=axis)
        if keepdim:
            return value, index
        return SG["squeeze"](value, axis=axis), SG["squeeze"](index, axis=axis)

    return declare


OPERATORS["max.dim"] = _extreme("max")
OPERATORS["min.dim"] = _extreme("min")


def _place_of(name: str) -> Any:
    def declare(x: Operand, axis: int | None = None, keepdim: bool = False) -> Operand:
        if axis is None:
            return SG[name](x.reshape((-1,)), axis=0)
        return SG[name](x, axis=axis, keepdims=keepdim)

    return declare


OPERATORS["argmax"] = _place_of("argmax")
OPERATORS["argmin"] = _place_of("argmin")


def _moments(root: bool, both: bool) -> Any:
    def declare(
        x: Operand, axes: Any = None, *more: Any, correction: Any = 1,
        keepdim: bool = False,
    ) -> Any:  # fmt: skip
        if isinstance(axes, bool):  # the old form: unbiased
            axes, correction = None, int(axes)
        if more:  # the old form: unbiased, keepdim
            correction, keepdim = int(more[0]), bool((*more, False)[1])
        axes = axes_of(x, axes)
        correction = 1 if correction is None else correction
        found = SG["var"](x, axis=axes, correction=correction, keepdims=keepdim)
        found = SG["sqrt"](found) if root else found
        return (found, SG["mean"](x, axis=axes, keepdims=keepdim)) if both else found

    return declare


for _name in ("var", "std", "var_mean", "std_mean"):
    OPERATORS[_name] = _moments(_name.startswith("std"), _name.endswith("mean"))


@operator("linalg_vector_norm", "norm", "linalg_norm")
def norm(
    x: Operand, p: Any = 2, axes: Any = None, keepdim: bool = False, dtype: Any = None
) -> Operand:
    """The p-norm of vectors; its slope at 0 is 0."""
    x = x if dtype is None else SG["astype"](x, dtype)
    p = 2 if p is None or p == "fro" else p
    if isinstance(p, str):
        raise GraphError(f"the norm {p!r} of matrices is not supported")
    where = {"axis": axes_of(x, axes), "keepdims": keepdim}
    size = SG["abs"](x)
    if abs(p) == math.inf:
        return SG["max" if p > 0 else "min"](size, **where)
    if p == 0:
        return SG["sum"](SG["astype"](x != 0, x.dtype), **where)
    if p == 1:
        return SG["sum"](size, **where)
    total = SG["sum"](x * x if p == 2 else SG["pow"](size, p), **where)
    none = total == 0
    root = SG["where"](none, 1.0, total)
    root = SG["sqrt"](root) if p == 2 else SG["pow"](root, 1.0 / p)
    return SG["where"](none, 0.0, root)


@operator("softmax", "_softmax")
def softmax(x: Operand, axis: int, dtype: Any = None) -> Operand:
    """Along an axis."""
    x = SG["astype"](x, dtype) if isinstance(dtype, str) else x
    return SG["softmax"](x, axis=axis)


@operator("log_softmax", "_log_softmax")
def log_softmax(x: Operand, axis: int, dtype: Any = None) -> Operand:
    """Along an axis."""
    x = SG["astype"](x, dtype) if isinstance(dtype, str) else x
    return SG["log_softmax"](x, axis=axis)


def _running(name: str) -> Any:
    def declare(x: Operand, axis: int, dtype: Any = None) -> Operand:
        x = x if dtype is None else SG["astype"](x, dtype)
        return SG[name](x, axis=axis_of(axis, x.ndim)) if x.ndim else x

    return declare


OPERATORS["cumsum"] = _running("cumulative_sum")
OPERATORS["cumprod"] = _running("cumulative_prod")


@operator("numel", "sym_numel")
def numel(x: Operand) -> Operand:
    """The number of elements."""
    return size_of(product(x.shape), "int64")


# -- orders ----------------------------------------------------------------------------


def ranked(x: Operand, k: int, largest: bool) -> tuple[Operand, Operand]:
    """Return the first ``k`` of the last axis in order, and where they are.

    Each element's rank is how many come before it, so that the gradient is a gather.
    """
    count = fixed(x, x.ndim - 1)
    place = SG["arange"](count)
    a, b = SG["expand_dims"](x, axis=x.ndim), SG["expand_dims"](x, axis=x.ndim - 1)
    earlier = SG["expand_dims"](place, axis=0) < SG["expand_dims"](place, axis=1)
    before = (b > a if largest else b < a) | ((a == b) & earlier)
    rank = SG["sum"](SG["astype"](before, "int64"), axis=-1)
    wanted = SG["expand_dims"](rank, axis=-2) == SG["arange"](k).reshape((-1, 1))
    index = SG["sum"](SG["astype"](wanted, "int64") * place, axis=-1)
    return SG["take_along_axis"](x, index, axis=-1), index


@operator("topk")
def topk(
    x: Operand, k: int, axis: int = -1, largest: bool = True, ordered: bool = True
) -> tuple[Operand, ...]:
    """The greatest or least, in order."""
    del ordered
    moved = SG["moveaxis"](x, axis_of(axis, x.ndim), -1)
    return tuple(SG["moveaxis"](t, -1, axis) for t in ranked(moved, k, largest))


@operator("sort")
def sort(
    x: Operand, axis: int = -1, descending: bool = False, **options: Any
) -> tuple[Operand, ...]:
    """All of an axis in order."""
    axis, descending = options.get("dim", axis), options.get("descending", descending)
    return topk(x, fixed(x, axis), axis, descending)


@operator("argsort")
def argsort(x: Operand, axis: int = -1, descending: bool = False) -> Operand:
    """Where the elements of an axis are in order."""
    return topk(x, fixed(x, axis), axis, descending)[1]


@operator("kthvalue")
def kth(x: Operand, k: int, axis: int = -1, keepdim: bool = False) -> Any:
    """The k-th least of an axis, and where it is."""
    found = topk(x, k, axis, largest=False)
    where = slice(k - 1, k) if keepdim else k - 1
    return [t[(*(slice(None),) * axis_of(axis, x.ndim), where)] for t in found]

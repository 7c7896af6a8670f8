"""Reductions, softmax and its kin, running sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from symgrad.declare import dtypes
from symgrad.declare.ops import FUNCTIONS as SG
from symgrad.declare.tensor import constant
from symgrad.interop.onnx_import.nodes import Node, operator
from symgrad.interop.onnx_import.values import Operand


def _axes(n: Node) -> tuple[int, ...] | None:
    """Return the reduced axes; None where nothing is to be done."""
    axes: Any = n.given("axes", 1)
    if not axes:
        return None if n.attr("noop_with_empty_axes", 0) else tuple(range(n.t(0).ndim))
    return tuple(int(a) for a in axes)


@operator("ReduceSum", "ReduceMean", "ReduceProd", "ReduceMax", "ReduceMin",
          "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum",
          "ReduceLogSumExp")  # fmt: skip
def reduction(n: Node) -> Operand:
    """One of the array API's reductions, of a function of the elements."""
    x, axes, keep = n.t(0), _axes(n), bool(n.attr("keepdims", 1))
    kind = n.op.removeprefix("Reduce")
    dtype = x.dtype
    if kind == "L1":
        x = SG["abs"](x)
    if kind in ("L2", "SumSquare"):
        x = x * x
    if axes is None:
        total = x
    elif kind == "LogSumExp":
        total = SG["logsumexp"](x, axis=axes, keepdims=keep)
    elif kind in ("Max", "Min") and dtype == "bool":
        total = SG["any" if kind == "Max" else "all"](x, axis=axes, keepdims=keep)
    else:
        name = {"Mean": "mean", "Prod": "prod", "Max": "max", "Min": "min"}
        total = SG[name.get(kind, "sum")](x, axis=axes, keepdims=keep)
    if kind == "L2":
        total = SG["sqrt"](total)
    if kind == "LogSum":
        total = SG["log"](total)
    return total.astype(dtype)


@operator("ArgMax", "ArgMin")
def extreme(n: Node) -> Operand:
    """The first place, or with ``select_last_index`` the last."""
    x, axis, keep = n.t(0), n.axis(), bool(n.attr("keepdims", 1))
    last = n.attr("select_last_index", 0)
    found = SG[n.op.lower()](SG["flip"](x, axis=axis) if last else x, axis=axis)
    if last:
        found = x.shape[axis] - 1 - found
    return SG["expand_dims"](found, axis=axis) if keep else found


@operator("Softmax", "LogSoftmax", "Hardmax")
def softmax(n: Node) -> Operand:
    """Before version 13, over all axes from ``axis`` on."""
    x = n.t(0)
    if n.version >= 13:
        return _along(n.op, x, n.axis(-1))
    axis = n.axis(1)
    rows = x.reshape((*x.shape[:axis], -1))
    return _along(n.op, rows, axis).reshape(x.shape)


def _along(op: str, x: Operand, axis: int) -> Operand:
    if op != "Hardmax":
        return SG["softmax" if op == "Softmax" else "log_softmax"](x, axis=axis)
    place = SG["expand_dims"](SG["argmax"](x, axis=axis), axis=axis)
    shape = [1] * x.ndim
    shape[axis] = x.shape[axis]
    indices = SG["arange"](x.shape[axis]).reshape(shape)
    return (place == indices).astype(x.dtype)


@operator("CumSum", "CumProd")
def running(n: Node) -> Operand:
    """From either end, with or without the element itself."""
    x, axis = n.t(0), int(n.scalar(1))
    axis = axis + x.ndim if axis < 0 else axis
    if n.attr("reverse", 0):
        x = SG["flip"](x, axis=axis)
    name = "cumulative_sum" if n.op == "CumSum" else "cumulative_prod"
    total = SG[name](x, axis=axis).astype(x.dtype)
    if n.attr("exclusive", 0):
        start = 0 if n.op == "CumSum" else 1
        pads = [(0, 0)] * x.ndim
        pads[axis] = (1, 0)
        whole = SG["pad"](total, pads, constant_values=start)
        cut = [slice(None)] * x.ndim
        cut[axis] = slice(0, -1)
        total = whole[tuple(cut)]
    return SG["flip"](total, axis=axis) if n.attr("reverse", 0) else total


@operator("LpNormalization")
def lp_normalization(n: Node) -> Operand:
    """A vector of length 0 stays."""
    x, axis = n.t(0), n.axis(-1)
    if n.attr("p", 2) == 1:
        size = SG["sum"](SG["abs"](x), axis=axis, keepdims=True)
    else:
        size = SG["sqrt"](SG["sum"](x * x, axis=axis, keepdims=True))
    return SG["where"](size == 0, 0.0, x / size)


@operator("TopK")
def top_k(n: Node) -> tuple[Operand, Operand]:
    """By rank: how many elements come before each in the order asked for."""
    x, axis = n.t(0), n.axis(-1)
    k = int(n.numbers(1)[0]) if n.has(1) else n.attr("k")
    count = n.fixed(x, axis)
    x = SG["moveaxis"](x, axis, -1)
    place: Operand = constant(np.arange(count))
    a, b = SG["expand_dims"](x, axis=-1), SG["expand_dims"](x, axis=-2)
    before = b > a if n.attr("largest", 1) else b < a
    earlier = SG["expand_dims"](place, axis=0) < SG["expand_dims"](place, axis=1)
    rank = SG["sum"](before | ((a == b) & earlier), axis=-1)  # of each element
    wanted = SG["expand_dims"](rank, axis=-2) == constant(np.arange(k)[:, None])
    index = SG["sum"](wanted.astype("int64") * place, axis=-1)
    values = SG["take_along_axis"](x, index, axis=-1)
    return SG["moveaxis"](values, -1, axis), SG["moveaxis"](index, -1, axis)


@operator("MeanVarianceNormalization")
def mean_variance_normalization(n: Node) -> Operand:
    """Zero mean and unit variance over ``axes``."""
    x, axes = n.t(0), tuple(n.attr("axes", (0, 2, 3)))
    centred = x - SG["mean"](x, axis=axes, keepdims=True)
    scale = SG["sqrt"](SG["mean"](centred * centred, axis=axes, keepdims=True))
    return centred / (scale + 1e-9 if dtypes.is_float(x.dtype) else scale)

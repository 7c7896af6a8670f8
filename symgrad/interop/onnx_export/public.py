"""Graphs as ONNX models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from symgrad.declare.comprehension import Comprehension
from symgrad.declare.dims import Dim
from symgrad.declare.tensor import (
    Constant,
    Input,
    Param,
    Reshape,
    SizeOf,
    Tensor,
    as_tensor,
    topological,
)
from symgrad.derivation.reverse import flatten
from symgrad.errors import FormatError, GraphError
from symgrad.files import replace_file
from symgrad.interop.onnx_export.builder import IR, OPSET, TYPES, Builder
from symgrad.interop.onnx_export.statements import Statement
from symgrad.simplification import simplify
from symgrad.train.initialize import init


def to_onnx(t: Any, path: Any, params: Mapping[str, Any] | None = None) -> None:
    """Write tensors as an ONNX model, which is checked by the ONNX package.

    Inputs keep their names, and named dimensions theirs.  Parameters become
    initializers.  Gradients are graphs like others: a whole training step can be
    exported.

    Args:
        t: a tensor (its output is called ``y``), a list of tensors (``y0``, ``y1``, …)
            or a dict of them by the outputs' names.
        path: the file.
        params: the parameters' arrays by name; by default ``sg.init`` makes them.

    Raises:
        GraphError: ONNX has no operators for a function in the graph, or a parameter
            is missing.
        FormatError: the file cannot be written.
        CompileError: the ONNX package is not installed.
    """
    named = _named(t)
    arrays = init(list(named.values())) if params is None else dict(params)
    model = _model(named, arrays)
    place = Path(path)
    try:
        replace_file(place, model.SerializeToString())
    except OSError as error:
        raise FormatError(f"cannot write {place}: {error.strerror}") from error


def _named(t: Any) -> dict[str, Tensor]:
    if isinstance(t, Tensor):
        return {"y": t}
    if isinstance(t, Mapping) and all(isinstance(v, Tensor) for v in t.values()):
        return {str(name): v for name, v in t.items()}
    return {f"y{n}": as_tensor(v) for n, v in enumerate(flatten(t))}


def _model(named: Mapping[str, Tensor], arrays: Mapping[str, Any]) -> Any:
    b = Builder()
    helper = b.onnx.helper
    simple = simplify(list(named.values()))
    known: dict[Tensor, str] = {}
    inputs = []
    nodes = topological([*named.values(), *simple])
    for t in nodes:
        if isinstance(t.op, Input):
            inputs.append(_info(b, t.op.name, t))
            known[t] = t.op.name
            for d, s in enumerate(t.shape):
                if isinstance(s, Dim) and str(s).isidentifier():
                    b.places.setdefault(str(s), (t.op.name, d))
    for t in topological(simple):
        if t not in known:
            known[t] = _node(b, t, [known[a] for a in t.args], arrays)
    outputs = []
    for (name, declared), t in zip(named.items(), simple, strict=True):
        b.nodes.append(helper.make_node("Identity", [known[t]], [name], name))
        outputs.append(_info(b, name, declared))
    graph = helper.make_graph(b.nodes, "symgrad", inputs, outputs, b.initial)
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="symgrad",
    )
    b.onnx.checker.check_model(model, full_check=True)
    return model


def _info(b: Builder, name: str, t: Tensor) -> Any:
    kind = b.onnx.TensorProto.DataType.Value(TYPES[t.dtype])
    shape = [s if isinstance(s, int) else str(s) for s in t.shape]
    return b.onnx.helper.make_tensor_value_info(name, kind, shape)


def _node(b: Builder, t: Tensor, args: list[str], arrays: Mapping[str, Any]) -> str:
    op = t.op
    if isinstance(op, Constant):
        return b.constant(op.value, t.dtype)
    if isinstance(op, Param):
        if op.name not in arrays:
            raise GraphError(f"the array of {t.describe()} is missing in params=")
        array = np.asarray(arrays[op.name], t.dtype)
        if array.shape != t.shape:
            raise GraphError(f"{t.describe()} is given an array of shape {array.shape}")
        return b.initializer(op.name, array)
    if isinstance(op, SizeOf):
        size = b.size(op.dim)
        return size if t.dtype == "int64" else b.cast(size, t.dtype)
    if isinstance(op, Reshape):
        return b.add("Reshape", args[0], b.shape(op.shape), allowzero=1)
    if not isinstance(op, Comprehension):
        raise GraphError(f"{t.describe()} cannot be exported: ONNX has nothing for it")
    try:
        return Statement(b, t, args).result()
    except GraphError as error:
        raise GraphError(f"{t.describe()} cannot be exported: {error}") from error

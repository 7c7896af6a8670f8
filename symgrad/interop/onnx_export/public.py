"""Graphs as ONNX models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from symgrad.declare.dims import Dim
from symgrad.declare.tensor import Input, Tensor, as_tensor, topological
from symgrad.derivation.reverse import flatten
from symgrad.errors import FormatError, GraphError
from symgrad.files import replace_file
from symgrad.interop.onnx_export.builder import IR, OPSET, Builder
from symgrad.interop.onnx_export.graphs import add_graph, info
from symgrad.simplification import simplify
from symgrad.train.initialize import init


def to_onnx(t: Any, path: Any, params: Mapping[str, Any] | None = None) -> None:
    """Write tensors as an ONNX model, which is checked by the ONNX package.

    Inputs keep their names, and named dimensions theirs.  Parameters become
    initializers.  Gradients are graphs like others: a whole training step can be
    exported.  A loop becomes a ``Scan`` (onnxruntime refuses one of no steps).

    Args:
        t: a tensor (its output is called ``y``), a list of tensors (``y0``, ``y1``, …)
            or a dict of them by the outputs' names.
        path: the file.
        params: the parameters' arrays by name; by default ``sg.init`` makes them.

    Raises:
        GraphError: ONNX has no operators for a function in the graph, a parameter is
            missing, or an output is called like an input.
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


def _check_names(named: Mapping[str, Tensor]) -> None:
    """Raise GraphError where an output is called like an input."""
    nodes = topological(list(named.values()))
    taken = {t.op.name for t in nodes if isinstance(t.op, Input)} & set(named)
    if taken:
        raise GraphError(
            f"an input and an output would both be called {min(taken)!r}, which ONNX "
            "does not allow; name the outputs: to_onnx({'loss': t}, path)"
        )


def _model(named: Mapping[str, Tensor], arrays: Mapping[str, Any]) -> Any:
    b = Builder()
    helper = b.onnx.helper
    simple = simplify(list(named.values()))
    _check_names(named)
    known: dict[Tensor, str] = {}
    inputs = []
    nodes = topological([*named.values(), *simple])
    for t in nodes:
        if isinstance(t.op, Input):
            inputs.append(info(b, t.op.name, t))
            known[t] = t.op.name
            for d, s in enumerate(t.shape):
                if isinstance(s, Dim) and str(s).isidentifier():
                    b.places.setdefault(str(s), (t.op.name, d))
    values = add_graph(b, simple, known, arrays)
    outputs = []
    for (name, declared), value in zip(named.items(), values, strict=True):
        b.nodes.append(helper.make_node("Identity", [value], [name], name))
        outputs.append(info(b, name, declared))
    graph = helper.make_graph(b.nodes, "symgrad", inputs, outputs, b.initial)
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="symgrad",
    )
    b.onnx.checker.check_model(model, full_check=True)
    return model

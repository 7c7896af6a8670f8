"""ONNX models as graphs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from symgrad.interop.onnx_import.reader import OnnxModel, read_model


def from_onnx(path: Any, values: Mapping[str, Any] | None = None) -> OnnxModel:
    """Return an ONNX model as a graph.

    Inputs become inputs (a dimension with a name keeps it), initializers of floats
    become trainable parameters that start with the model's arrays, nodes become
    compositions of symgrad's operations.  Functions of the model and operators that
    ONNX defines as functions are written out.  Element types that symgrad has not
    are computed in wider ones; ``OnnxModel.prepare`` and ``finish`` convert arrays.

    Args:
        path: a file, or an ``onnx.ModelProto``.
        values: arrays for inputs that are to be known at import, by name: shapes,
            axes, numbers of steps.

    Raises:
        FormatError: the file cannot be read, or is not a valid model.
        GraphError: an operator is not supported (it is named), or needs to know
            the value of an input when it is imported.
        DTypeError: an element type is not supported.
        CompileError: the ONNX package is not installed.
    """
    return read_model(path, values or {})

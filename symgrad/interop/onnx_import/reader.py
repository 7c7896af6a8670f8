"""A whole ONNX model as a graph: node by node, functions written out first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from symgrad.declare.build import cast
from symgrad.declare.tensor import Tensor, scope
from symgrad.declare.tensor import input as declare_input
from symgrad.declare.tensor import param as declare_param
from symgrad.errors import FormatError, GraphError, SymgradError
from symgrad.interop.onnx_import import (  # noqa: F401  they fill the table
    control,
    elementwise,
    indexing,
    linear,
    recurrent,
    reduction,
    resize,
    shape,
    windows,
)
from symgrad.interop.onnx_import.nodes import OPERATORS, Node
from symgrad.interop.onnx_import.scopes import scope_of
from symgrad.interop.onnx_import.values import (
    TYPES,
    NeedsConstantError,
    Value,
    array_type,
    computed,
    imported,
    kind_name,
    known,
    widened,
)

OLDEST = 7


@dataclass(frozen=True)
class OnnxModel:
    """An ONNX model as a graph: tensors by ONNX's names.

    ``inputs`` and ``outputs`` are those of the model, ``params`` its initializers of
    floats; ``kinds`` are ONNX's element types of inputs and outputs, where symgrad
    computes in a wider one.
    """

    inputs: dict[str, Tensor]
    params: dict[str, Tensor]
    outputs: dict[str, Tensor]
    kinds: dict[str, str]

    def prepare(self, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return arrays of ONNX's types in the types in which symgrad computes."""
        return {
            name: widened(np.asarray(arrays[name]), self.kinds[name])
            for name in self.inputs
        }

    def finish(self, values: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return results in ONNX's types."""
        return {
            name: np.asarray(value).astype(array_type(self.kinds[name]))
            for name, value in values.items()
        }


def read_model(source: Any, values: Mapping[str, Any]) -> OnnxModel:
    """Return the graph of an ONNX file or model; see ``from_onnx``."""
    onnx = imported()
    model = _loaded(source)
    where = str(source) if isinstance(source, str | Path) else "the model"
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise FormatError(f"{where} is not valid: {error}") from error
    versions = {o.domain or "ai.onnx": o.version for o in model.opset_import}
    if versions.get("ai.onnx", 99) < OLDEST:
        raise FormatError(
            f"{where} uses version {versions['ai.onnx']} of the operators; symgrad "
            f"reads {OLDEST} and later (onnx.version_converter converts it)"
        )
    native = [("", name) for name in OPERATORS]
    try:
        model = onnx.inliner.inline_selected_functions(
            model, native, exclude=True, inline_schema_functions=True
        )
    except RuntimeError:  # it needs types that a model does not state
        model = onnx.inliner.inline_local_functions(model)
    try:
        model = onnx.shape_inference.infer_shapes(model)
    except onnx.shape_inference.InferenceError as error:
        raise FormatError(f"{where} is not valid: {error}") from error
    return _Reader(model, versions, dict(values)).model()


def _loaded(source: Any) -> Any:
    onnx = imported()
    if not isinstance(source, str | Path):
        return source
    if not Path(source).is_file():
        raise FormatError(f"cannot read {source}: there is no such file")
    try:
        return onnx.load(source)
    except Exception as error:  # protobuf's own, and what external data raise
        raise FormatError(f"{source} is damaged, or no ONNX file: {error}") from error


class _Reader:
    def __init__(
        self, model: Any, versions: Mapping[str, int], values: dict[str, Any]
    ) -> None:
        self.onnx = imported()
        self.graph, self.versions, self.values = model.graph, versions, values
        self.kinds: dict[str, str | None] = {}
        self.inputs: dict[str, Tensor] = {}
        self.params: dict[str, Tensor] = {}
        self.border: dict[str, str] = {}

    def model(self) -> OnnxModel:
        found: dict[str, Any] = {"": None}
        initial = {t.name for t in self.graph.initializer}
        for t in self.graph.initializer:
            found[t.name] = self._initial(t)
        for info in self.graph.input:
            if info.name not in initial:
                found[info.name] = self._input(info)
        unknown = sorted(set(self.values) - {i.name for i in self.graph.input})
        if unknown:
            raise GraphError(f"the model has no input {unknown[0]!r} (values=)")
        self._run(self.graph, found)
        outputs = {}
        for info in self.graph.output:
            value = found[info.name]
            if not isinstance(value, Value):
                raise GraphError(f"the output {info.name!r} is not a tensor")
            declared = self._kind_of(info)
            self.border[info.name] = declared or value.kind
            outputs[info.name] = value.tensor
        return OnnxModel(self.inputs, self.params, outputs, self.border)

    # -- leaves ------------------------------------------------------------------------

    def _initial(self, t: Any) -> Value:
        kind = kind_name(t.data_type)
        array = self.onnx.numpy_helper.to_array(t)
        value = Value(kind, t.name, array=array)
        if TYPES[kind].startswith("float") and array.ndim:
            value.node = declare_param(
                _printable(t.name),
                array.shape,
                init=widened(array, kind),
                dtype=TYPES[kind],
            )
            self.params[t.name] = value.node
        return value

    def _input(self, info: Any) -> Any:
        if info.name in self.values:
            return known(self.values[info.name], self._kind_of(info), info.name)
        if info.type.WhichOneof("value") != "tensor_type":
            raise GraphError(
                f"the input {info.name!r} is a sequence or optional, not a tensor"
            )
        kind = self._kind_of(info)
        assert kind is not None
        dims = info.type.tensor_type.shape.dim
        sizes = [_size(info.name, d, n) for n, d in enumerate(dims)]
        t = declare_input(_printable(info.name), sizes, dtype=TYPES[kind])
        self.inputs[info.name] = t
        self.border[info.name] = kind
        return computed(t, kind, info.name)

    def _kind_of(self, info: Any) -> str | None:
        if info.type.WhichOneof("value") != "tensor_type":
            return None
        number = info.type.tensor_type.elem_type
        return kind_name(number) if number else None

    # -- nodes -------------------------------------------------------------------------

    def _run(self, graph: Any, found: dict[str, Any]) -> None:
        kinds = {i.name: i for i in (*graph.value_info, *graph.output)}
        for proto in graph.node:
            inputs = [found[name] for name in proto.input]
            results = self._node(proto, inputs, kinds, found)
            found.update(zip(proto.output, results, strict=False))

    def _node(
        self,
        proto: Any,
        inputs: list[Any],
        kinds: Mapping[str, Any],
        found: dict[str, Any],
    ) -> list[Any]:
        if proto.domain not in ("", "ai.onnx", "ai.onnx.ml", _TRAINING):
            raise self._unsupported(proto)
        declared = [
            self._kind_of(kinds[name]) if name in kinds else None
            for name in proto.output
        ]
        folded = self._folded(proto, inputs)
        if folded is not None:
            pairs = zip(folded, declared, strict=False)
            return [known(array, kind) for array, kind in pairs]
        function = OPERATORS.get(proto.op_type)
        if function is None:
            raise self._unsupported(proto)
        domain = proto.domain or "ai.onnx"
        node = Node(
            proto.op_type,
            proto.name,
            self.versions.get(domain, 1),
            inputs,
            {a.name: self._attribute(a) for a in proto.attribute},
            list(proto.output),
            declared,
            lambda body, given: self._subgraph(body, given, found),
        )
        path = scope_of(proto)
        with scope(path) if path else nullcontext():
            try:
                results = function(node)
            except NeedsConstantError:
                raise
            except SymgradError as error:
                if str(node) in str(error):
                    raise
                raise type(error)(f"{node}: {error}") from error
        results = results if isinstance(results, tuple) else (results,)
        names = list(proto.output) + [""] * len(results)
        return [
            self._value(r, declared[k] if k < len(declared) else None, names[k])
            for k, r in enumerate(results)
        ]

    def _value(self, result: Any, kind: str | None, name: str) -> Any:
        if isinstance(result, np.ndarray):
            return known(result, kind, name)
        if isinstance(result, Tensor):
            if kind is not None and result.dtype != TYPES[kind]:
                result = cast(result, TYPES[kind])
            return computed(result, kind, name)
        return result

    def _attribute(self, a: Any) -> Any:
        if a.type == self.onnx.AttributeProto.TENSOR:
            return self.onnx.numpy_helper.to_array(a.t)
        if a.type == self.onnx.AttributeProto.GRAPH:
            return a.g
        return self.onnx.helper.get_attribute_value(a)

    def _unsupported(self, proto: Any) -> GraphError:
        domain = f" of the domain {proto.domain!r}" if proto.domain else ""
        name = f" (node {proto.name!r})" if proto.name else ""
        return GraphError(
            f"ONNX's operator {proto.op_type}{domain} is not supported{name}"
        )

    def _subgraph(
        self, body: Any, given: Sequence[Any], outer: Mapping[str, Any]
    ) -> list[Any]:
        """Return the results of a body, which sees the names around it."""
        found = dict(outer)
        for t in body.initializer:
            found[t.name] = known(
                self.onnx.numpy_helper.to_array(t), kind_name(t.data_type)
            )
        for info, value in zip(body.input, given, strict=True):
            found[info.name] = value
        self._run(body, found)
        return [found[info.name] for info in body.output]

    # -- what is known at import -------------------------------------------------------

    def _folded(self, proto: Any, inputs: Sequence[Any]) -> list[np.ndarray] | None:
        """Return the results of a node whose operands are known, else None."""
        if proto.op_type in _NEVER_FOLDED or not inputs:
            return None
        arrays = []
        for value in inputs:
            if value is None:
                continue
            if not isinstance(value, Value) or value.array is None:
                return None
            if value.node is not None and value.name in self.params:
                return None
            arrays.append(value.array)
        if any(a.dtype == object for a in arrays):
            return _of_sizes(proto, arrays, self)
        return self._evaluated(proto, arrays)

    def _evaluated(self, proto: Any, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return what ONNX's own evaluator makes of a node."""
        from onnx.reference import ReferenceEvaluator

        helper, names = self.onnx.helper, [n for n in proto.input if n]
        unique = dict(zip(names, arrays, strict=True))
        graph = helper.make_graph(
            [proto],
            "one",
            [helper.make_value_info(n, helper.make_tensor_type_proto(
                helper.np_dtype_to_tensor_dtype(a.dtype), a.shape))
             for n, a in unique.items()],
            [helper.make_value_info(n, self.onnx.TypeProto())
             for n in proto.output if n],
        )  # fmt: skip
        imports = [
            helper.make_opsetid("" if d == "ai.onnx" else d, v)
            for d, v in self.versions.items()
        ]
        model = helper.make_model(graph, opset_imports=imports)
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(model).run(None, unique)
        return [np.asarray(r) for r in results]


_TRAINING = "ai.onnx.preview.training"
#: What gives sequences, or is declared without computing.
_NEVER_FOLDED = {
    *("If", "Loop", "Scan", "Constant", "ConstantOfShape", "Expand", "Dropout"),
    *("EyeLike", "SequenceAt", "SequenceConstruct", "SequenceInsert"),
    "SplitToSequence",
}


def _printable(name: str) -> str:
    return name if name.isprintable() and name else repr(name)


def _size(name: str, dim: Any, place: int) -> Any:
    """Return a dimension of an input; one without a name gets one of its own."""
    if dim.HasField("dim_value"):
        return dim.dim_value
    text = dim.dim_param or f"{name}_{place}"
    clean = re.sub(r"\W", "_", text)
    return clean if clean.isidentifier() else f"_{clean}"


def _of_sizes(
    proto: Any, arrays: Sequence[np.ndarray], reader: _Reader
) -> list[np.ndarray] | None:
    """Return the results of arithmetic on sizes, some of which are named."""
    attributes = {a.name: reader._attribute(a) for a in proto.attribute}
    x = arrays[0]
    if any(a.dtype.kind not in "iO" for a in arrays):
        return None
    match proto.op_type:
        case "Identity":
            return [x]
        case "Cast":
            number = attributes["to"]
            return [x] if TYPES.get(kind_name(number), "") == "int64" else None
        case "Gather":
            return [np.asarray(np.take(x, arrays[1], attributes.get("axis", 0)))]
        case "Concat":
            return [np.concatenate(arrays, attributes["axis"])]
        case "Unsqueeze":
            axes = attributes.get("axes") or arrays[1].tolist()
            return [np.expand_dims(x, tuple(axes))]
        case "Squeeze":
            return [np.asarray(np.squeeze(x), object)]
        case "Slice":
            start, stop = (int(a.reshape(-1)[0]) for a in arrays[1:3])
            return [x[start:stop]]
        case "Add":
            return [np.asarray(x + arrays[1], object)]
        case "Sub":
            return [np.asarray(x - arrays[1], object)]
        case "Mul":
            return [np.asarray(x * arrays[1], object)]
        case "Div":
            return [np.asarray(x // arrays[1], object)]
        case "ReduceProd":
            total: Any = 1
            for s in x.reshape(-1):
                total = total * s
            return [np.asarray(total, object)]
        case "Equal":
            same = [a is not None and a == b for a, b in zip(x, arrays[1], strict=True)]
            return [np.array(same)]
    return None

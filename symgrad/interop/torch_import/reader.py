"""An exported program as a graph: node by node, those that the outputs need."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from symgrad.declare.build import cast
from symgrad.declare.mode import follow
from symgrad.declare.tensor import Tensor, constant, print_shape, scope
from symgrad.declare.tensor import input as declare_input
from symgrad.declare.tensor import param as declare_param
from symgrad.errors import GraphError, SymgradError
from symgrad.interop.torch_import import (  # noqa: F401  they fill the table
    elementwise,
    indexing,
    linear,
    losses,
    recurrent,
    reduction,
    shape,
    windows,
)
from symgrad.interop.torch_import.exported import (
    Exported,
    Names,
    dtype_name,
    export,
    found,
    imported,
    operator_name,
)

#: Keyword arguments that say where and how a tensor is stored.
_STORAGE = {"device", "layout", "pin_memory", "memory_format", "generator",
            "non_blocking", "copy"}  # fmt: skip


@dataclass(frozen=True)
class TorchModel:
    """A PyTorch module as a graph.

    Attributes:
        inputs: by the names of the arguments of ``forward``.
        params: by the names of the state dict; ``params["0.weight"].name`` is
            ``"0/weight"``.  Buffers that the module changes in training are among them.
        outputs: as ``forward`` returns them: a tensor, or a structure of tensors.
    """

    inputs: dict[str, Tensor]
    params: dict[str, Tensor]
    outputs: Any

    def state_dict(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return symgrad's arrays by name as PyTorch's tensors by its names.

        ``module.load_state_dict(model.state_dict(trainer.params), strict=False)`` puts
        what a trainer learned into the module.
        """
        torch = imported()
        return {
            name: torch.from_numpy(np.array(params[str(p.name)]))
            for name, p in self.params.items()
            if p.name in params
        }


def read_module(
    module: Any, example: Any, keywords: Mapping[str, Any], dynamic: Any
) -> TorchModel:
    """Return the graph of a module; see ``from_torch``."""
    return _Reader(module, export(module, example, keywords, dynamic)).model()


class _Reader:
    def __init__(self, module: Any, exported: Exported) -> None:
        self.torch = imported()
        self.node = self.torch.fx.Node
        self.program = exported.program
        self.signature = exported.program.graph_signature
        self.learned = dict(module.named_parameters(remove_duplicate=False))
        self.names, self.specs = Names(exported.name), exported.specs
        self.params: dict[str, Tensor] = {}
        self.inputs: dict[str, Tensor] = {}
        self.shared: dict[int, Tensor] = {}

    def model(self) -> TorchModel:
        graph = self.program.graph
        changed = self._changed()
        values = self._leaves(graph, set(changed.values()))
        (output,) = (node for node in graph.nodes if node.op == "output")
        results = {n.name: n for n in output.args[0] if isinstance(n, self.node)}
        returned = [
            node
            for spec, node in zip(
                self.signature.output_specs, output.args[0], strict=True
            )
            if spec.kind.name == "USER_OUTPUT"
        ]
        wanted = [*returned, *(results[name] for name in changed)]
        self._run(graph, values, wanted)
        for name, buffer in changed.items():
            follow(self.params[buffer], values[results[name]])
        leaves = [
            values[node] if isinstance(node, self.node) else node for node in returned
        ]
        tree = self.torch.utils._pytree.tree_unflatten(
            leaves, self.program.call_spec.out_spec
        )
        return TorchModel(self.inputs, self.params, tree)

    def _changed(self) -> dict[str, str]:
        """Return the outputs that are new values of buffers of floats."""
        return {
            name: buffer
            for name, buffer in self.signature.buffers_to_mutate.items()
            if self._stored(buffer).is_floating_point()
        }

    # -- leaves ------------------------------------------------------------------------

    def _leaves(self, graph: Any, changed: set[str]) -> dict[Any, Any]:
        """Return the values of the placeholders."""
        signature, values = self.signature, {}
        constants = signature.inputs_to_lifted_tensor_constants
        own = []
        for node in graph.nodes:
            if node.op != "placeholder":
                continue
            if node.name in signature.inputs_to_parameters:
                values[node] = self._param(signature.inputs_to_parameters[node.name])
            elif node.name in signature.inputs_to_buffers:
                name = signature.inputs_to_buffers[node.name]
                values[node] = (
                    self._declared(name, self._stored(name), False)
                    if name in changed
                    else constant(self._array(self._stored(name), name))
                )
            elif node.name in constants:
                stored = self._stored(constants[node.name])
                values[node] = constant(self._array(stored, node.name))
            else:
                own.append(node)
        return values | self._inputs(own)

    def _inputs(self, nodes: list[Any]) -> dict[Any, Any]:
        values: dict[Any, Any] = {}
        specs = self.specs if len(self.specs) == len(nodes) else [None] * len(nodes)
        tensors = [
            (node, node.meta["val"], spec)
            for node, spec in zip(nodes, specs, strict=True)
            if isinstance(node.meta.get("val"), self.torch.Tensor)
        ]
        for _, value, spec in tensors:
            self.names.enter(value.shape, spec)
        for node, value, _ in tensors:
            what = f"the input {node.name!r}"
            sizes = self.names.shape(value.shape, what)
            t = declare_input(node.name, sizes, dtype=dtype_name(value.dtype, what))
            self.inputs[node.name] = values[node] = t
        for node in nodes:
            values.setdefault(node, node.meta.get("val"))
        return values

    def _stored(self, name: str) -> Any:
        state = self.program.state_dict
        return state[name] if name in state else self.program.constants[name]

    def _array(self, tensor: Any, name: str) -> np.ndarray:
        kind = dtype_name(tensor.dtype, repr(name))
        return tensor.detach().cpu().numpy().astype(kind)

    def _param(self, name: str) -> Tensor:
        own = self.learned.get(name)
        own = self._stored(name) if own is None else own
        if id(own) not in self.shared:  # weights may be tied
            self.shared[id(own)] = self._declared(name, own, bool(own.requires_grad))
        self.params[name] = self.shared[id(own)]
        return self.params[name]

    def _declared(self, name: str, tensor: Any, trainable: bool) -> Tensor:
        path, _, last = name.rpartition(".")
        array = self._array(tensor, name)
        with _scope(path):
            p = declare_param(last, array.shape, array, trainable, array.dtype)
        self.params[name] = p
        return p

    # -- nodes -------------------------------------------------------------------------

    def _run(self, graph: Any, values: dict[Any, Any], wanted: list[Any]) -> None:
        """Compute the nodes that some are made of."""
        needed, stack = set(), [n for n in wanted if isinstance(n, self.node)]
        while stack:
            node = stack.pop()
            if node not in needed:
                needed.add(node)
                stack += node.all_input_nodes
        for node in graph.nodes:
            if node in needed and node not in values:
                values[node] = self._value(node, values)

    def _value(self, node: Any, values: Mapping[Any, Any]) -> Any:
        args, options = self.torch.fx.node.map_arg(
            (node.args, dict(node.kwargs)), values.__getitem__
        )
        if node.target is operator.getitem:
            return args[0][args[1]]
        path, kind = _module_of(node)
        where = f"{node.target} (node {node.name!r}{_described(path, kind)})"
        try:
            with _scope(path):
                result = self._declare(node, where, args, options)
                return self._checked(result, node.meta.get("val"), where)
        except SymgradError as error:
            if where in str(error):
                raise
            raise type(error)(f"{where}: {error}") from error

    def _declare(self, node: Any, where: str, args: Any, options: Any) -> Any:
        if getattr(node.target, "__module__", "") in ("_operator", "math"):
            return node.target(*args, **options)  # arithmetic of sizes
        name = operator_name(node.target)
        if name == "sym_size.int":
            return args[0].shape[args[1]]
        function = found(name)
        if function is None:
            raise GraphError(f"PyTorch's operator {where} is not supported")
        args = [self._plain(a, where) for a in args]
        options = {
            key: self._plain(value, where)
            for key, value in options.items()
            if key not in _STORAGE
        }
        try:
            return function(*args, **options)
        except TypeError as error:  # another overload, or options that are not known
            raise GraphError(
                f"{where} is not supported with these arguments: {error}"
            ) from error

    def _plain(self, value: Any, where: str) -> Any:
        """Return an argument with PyTorch's types as names."""
        if isinstance(value, self.torch.dtype):
            return dtype_name(value, where)
        return list(value) if isinstance(value, list | tuple) else value

    def _checked(self, result: Any, value: Any, where: str) -> Any:
        """Return a result in the type that PyTorch gives it; its shape has to agree."""
        if isinstance(value, list | tuple) and isinstance(result, list | tuple):
            pairs = zip(result, value, strict=False)
            return [self._checked(r, v, where) for r, v in pairs]
        if not isinstance(value, self.torch.Tensor) or not isinstance(result, Tensor):
            return result
        sizes = list(value.shape)
        differ = len(sizes) != result.ndim or any(
            isinstance(a, int) and isinstance(b, int) and a != b
            for a, b in zip(sizes, result.shape, strict=True)
        )
        if differ:
            raise GraphError(
                f"{where} gives {print_shape(result.shape)}, but PyTorch "
                f"{list(map(str, sizes))}; please report it"
            )
        return cast(result, dtype_name(value.dtype, where))


def _module_of(node: Any) -> tuple[str, str]:
    """Return the path and the class of the module that a node is from."""
    stack = node.meta.get("nn_module_stack") or {}
    for path, kind in reversed(list(stack.values())):
        name = kind if isinstance(kind, str) else kind.__name__
        return path.split("@")[0], name.rpartition(".")[2]
    return "", ""


def _described(path: str, kind: str) -> str:
    return f", module {path!r}, a {kind}" if path else f", in {kind}" if kind else ""


def _scope(path: str) -> Any:
    return scope(path.replace(".", "/")) if path else nullcontext()

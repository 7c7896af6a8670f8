"""A module as PyTorch exports it, and the names of its dimensions."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from symgrad.declare.dims import Size, named, product
from symgrad.errors import CompileError, DTypeError, GraphError, ShapeError
from symgrad.interop.torch_import.table import OPERATORS


def imported() -> Any:
    """Import PyTorch, which is optional.

    Raises:
        CompileError: it is not installed; the message names the extra that has it.
    """
    try:
        import torch
        import torch.export
    except ImportError:
        raise CompileError(
            "PyTorch is not installed; pip install 'symgrad[torch]' gives it"
        ) from None
    return torch


def dtype_name(dtype: Any, what: str) -> str:
    """Return the type in which symgrad computes a PyTorch element type.

    Raises:
        DTypeError: there is none.
    """
    name = str(dtype).removeprefix("torch.")
    if name in ("float32", "float64", "int32", "int64", "bool"):
        return name
    if name in ("int8", "uint8", "int16"):
        return "int32"
    advice = "; convert the module with .float()" if "float" in name else ""
    raise DTypeError(f"{what} has PyTorch's element type {name}, which is not supported"
                     + advice)  # fmt: skip


@dataclass(frozen=True)
class Exported:
    """An exported program, and what ``dynamic_shapes`` says of each input."""

    program: Any
    specs: list[Any]
    name: str  # of the leading dimension


def export(
    module: Any, example: Any, keywords: Mapping[str, Any], dynamic: Any
) -> Exported:
    """Export a module, its operators taken apart where they are not supported whole.

    Raises:
        GraphError: ``torch.export`` cannot trace it.
    """
    torch = imported()
    if not isinstance(module, torch.nn.Module):
        raise GraphError(f"from_torch takes a torch.nn.Module, not {module!r}")
    args = example if isinstance(example, tuple) else (example,)
    by_name = isinstance(dynamic, str)
    if by_name and not dynamic.isidentifier():
        raise ShapeError(f"dynamic_shapes={dynamic!r} is no name of a dimension")
    error: Exception | None = None
    tries = [(args, dict(keywords))]
    if by_name:  # PyTorch takes a size of 1 as fixed, so that two samples are better
        doubled = _doubled(torch, args, keywords)
        tries = [doubled, *tries] if doubled else tries
    for given, named_args in tries:
        spec = _leading(torch, given, named_args, module) if by_name else dynamic
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                program = torch.export.export(
                    module, given, named_args, dynamic_shapes=spec
                )
                _detach(torch, program)
                program = _taken_apart(torch, program.run_decompositions({}))
            except Exception as caught:  # PyTorch has no one type for its reasons
                error = caught
                continue
        specs = _specs(torch, module, given, named_args, spec)
        return Exported(program, specs, dynamic if by_name else "batch")
    reason = str(error).strip().split("\n\n")[0]
    raise GraphError(
        f"torch.export cannot trace {type(module).__name__}: {reason}"
    ) from error


def _detach(torch: Any, program: Any) -> None:
    """Detach what is computed under ``no_grad``, which decomposing would forget."""
    detach = torch.ops.aten.detach.default
    for node in program.graph.nodes:
        if getattr(node.target, "__name__", "") != "wrap_with_set_grad_enabled":
            continue
        enabled, body = node.args[:2]
        if enabled:
            continue
        graph = getattr(program.graph_module, body.target).graph
        (output,) = (n for n in graph.nodes if n.op == "output")
        for result in list(output.all_input_nodes):
            with graph.inserting_after(result):
                kept = graph.call_function(detach, (result,))
            kept.meta = dict(result.meta)
            output.replace_input_with(result, kept)
        graph.owning_module.recompile()


def _taken_apart(torch: Any, program: Any) -> Any:
    """Decompose those operators that are not supported, as often as it helps."""
    for _ in range(5):
        missing = {
            node.target
            for node in program.graph.nodes
            if node.op == "call_function"
            and isinstance(node.target, torch._ops.OpOverload)
            and found(operator_name(node.target)) is None
        }
        known = torch.export.default_decompositions() if missing else {}
        rules = {op: known[op] for op in missing if op in known}
        if not rules:
            break
        program = program.run_decompositions(rules)
    return program


def operator_name(target: Any) -> str:
    """Return ``add.Tensor`` of ATen's operators, and the whole name of others."""
    text = str(target)
    return text.removeprefix("aten.")


def found(name: str) -> Any:
    """Return what declares an operator: its overload, or all of them; else None."""
    return OPERATORS.get(name) or OPERATORS.get(name.split(".")[0])


# -- dimensions ------------------------------------------------------------------------


def _leaves(value: Any, spec: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each leaf of an argument with what is said of its shape."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _leaves(part, spec[key] if isinstance(spec, Mapping) else None)
    elif isinstance(value, list | tuple):
        listed = isinstance(spec, list | tuple) and len(spec) == len(value)
        for k, part in enumerate(value):
            yield from _leaves(part, spec[k] if listed else None)
    else:
        yield value, spec


def _specs(
    torch: Any, module: Any, args: tuple, keywords: Mapping[str, Any], spec: Any
) -> list[Any]:
    """Return what is said of each leaf of the arguments, in PyTorch's order."""
    del torch
    bound = inspect.signature(module.forward).bind(*args, **keywords).arguments
    values = list(bound.values())
    if isinstance(spec, Mapping):
        parts: list[Any] = [spec.get(name) for name in bound]
    else:
        parts = [*(spec or ()), *[None] * len(values)][: len(values)]
    pairs = zip(values, parts, strict=True)
    return [s for value, part in pairs for _, s in _leaves(value, part)]


def _mapped(function: Any, value: Any) -> Any:
    """Apply a function to each leaf of nested arguments."""
    if isinstance(value, Mapping):
        return {k: _mapped(function, v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        parts = [_mapped(function, v) for v in value]
        if hasattr(value, "_fields"):
            return type(value)(*parts)
        return type(value)(parts)
    return function(value)


def _leading(
    torch: Any, args: tuple, keywords: Mapping[str, Any], module: Any
) -> dict[str, Any]:
    """Return PyTorch's spec in which each leading dimension may have any size."""

    def spec(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor):
            return None
        return {0: torch.export.Dim.AUTO} if leaf.ndim else {}

    bound = inspect.signature(module.forward).bind(*args, **keywords).arguments
    return {name: _mapped(spec, value) for name, value in bound.items()}


def _doubled(torch: Any, args: tuple, keywords: Mapping[str, Any]) -> Any:
    """Return the arguments with two samples, where all hold one; else None."""
    tensors = [
        leaf
        for leaf, _ in _leaves([args, dict(keywords)], None)
        if isinstance(leaf, torch.Tensor) and leaf.ndim
    ]
    if not tensors or any(t.shape[0] != 1 for t in tensors):
        return None

    def double(leaf: Any) -> Any:
        inner = isinstance(leaf, torch.Tensor) and leaf.ndim
        return torch.cat([leaf, leaf]) if inner else leaf

    return _mapped(double, args), _mapped(double, dict(keywords))


class Names:
    """The names of the sizes that PyTorch leaves open."""

    def __init__(self, default: str) -> None:
        self.default = default
        self.found: dict[str, Size] = {}

    def enter(self, shape: Any, spec: Any) -> None:
        """Name the sizes of one input: as its ``Dim`` is called, or by default."""
        for axis, size in enumerate(shape):
            expression = _expression(size)
            if isinstance(expression, int) or not expression.is_Symbol:
                continue
            if str(expression) in self.found:
                continue
            given = None
            if isinstance(spec, Mapping):
                given = spec.get(axis)
            elif isinstance(spec, list | tuple):
                given = spec[axis]
            name = getattr(given, "__name__", None)
            self.found[str(expression)] = named(name or self._free())

    def _free(self) -> str:
        taken = {str(s) for s in self.found.values()}
        number, name = 1, self.default
        while name in taken:
            number += 1
            name = f"{self.default}_{number}"
        return name

    def shape(self, shape: Any, what: str) -> tuple[Size, ...]:
        """Return a shape in symgrad's sizes."""
        return tuple(self._size(_expression(s), what) for s in shape)

    def _size(self, e: Any, what: str) -> Size:
        if isinstance(e, int) or e.is_Integer:
            return int(e)
        if e.is_Symbol and str(e) in self.found:
            return self.found[str(e)]
        parts = [self._size(a, what) for a in e.args]
        if e.is_Add:
            total: Size = 0
            for part in parts:
                total = total + part
            return total
        if e.is_Mul:
            return product(parts)
        if type(e).__name__ == "FloorDiv" and isinstance(parts[1], int):
            return parts[0] // parts[1]
        raise ShapeError(f"{what} has a dimension of the size {e}, which is no sum, "
                         "product or quotient of named sizes")  # fmt: skip


def _expression(size: Any) -> Any:
    """Return an integer, or PyTorch's expression of a size that is open."""
    if isinstance(size, int):
        return size
    expression = size.node.expr
    return int(expression) if expression.is_Integer else expression

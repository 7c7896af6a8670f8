"""PyTorch's modules as graphs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from symgrad.interop.torch_import.reader import TorchModel, read_module


def from_torch(
    module: Any,
    example_inputs: Any,
    example_kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = "batch",
) -> TorchModel:
    """Return a PyTorch module as a graph, by ``torch.export``.

    Parameters become parameters of the same names, a dot of the state dict being a
    slash (``layer1.0.weight`` is ``layer1/0/weight``); they start with the module's
    values, which are copied, and those that do not require a gradient are frozen.
    Buffers become constants; those that the module changes in training (running
    statistics) become state, saved with the parameters.  A module in training mode
    gives a graph with both modes: a ``Trainer`` drops out and normalises by the batch,
    and all else computes what the module does after ``.eval()``.  Recurrent layers
    become loops.

    Args:
        module: a ``torch.nn.Module`` on any device.
        example_inputs: a tensor, or a tuple of the arguments of ``forward``; only
            their shapes and types matter, but for numbers, which are fixed.
        example_kwargs: further arguments of ``forward``, by name.
        dynamic_shapes: ``"batch"`` (any identifier): the leading dimension of every
            input may have any size, if the module allows it, and has this name.  None:
            all sizes are the examples'.  All else is what ``torch.export`` takes; the
            names of its ``Dim`` are kept.

    Raises:
        GraphError: ``torch.export`` cannot trace the module (its reason is given), or
            an operator is not supported; the operator, its node and the path of its
            module are named.
        DTypeError: an element type is not supported (complex, half).
        ShapeError: an operator needs a number where a size has a name.
        CompileError: PyTorch is not installed.
    """
    return read_module(module, example_inputs, example_kwargs or {}, dynamic_shapes)


__all__ = ["TorchModel", "from_torch"]

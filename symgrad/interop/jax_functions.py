"""Graphs as functions for JAX's own transformations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from symgrad.declare import conditions
from symgrad.declare.tensor import Input, Param, Tensor, as_tensor, topological
from symgrad.derivation.reverse import flatten, unflatten
from symgrad.errors import DTypeError, GraphError
from symgrad.lowering.graph import dtype_of, evaluate_graph, imported
from symgrad.simplification import simplify_outputs


def to_jax(outputs: Any) -> Callable[..., Any]:
    """Return a function that computes tensors by JAX; ``jax.jit`` and others take it.

    The function takes inputs by name and parameters as ``params=``, and gives arrays of
    JAX in the structure of ``outputs``.  Element types are the declared ones as far as
    JAX is set to have them (``jax_enable_x64``).

    Args:
        outputs: a tensor, or nested tuples, lists and dicts of tensors.

    Raises:
        CompileError: JAX is not installed.

    >>> import jax, symgrad as sg
    >>> x, w = sg.input("x", ("n", 2)), sg.param("w", (2,))
    >>> f = jax.jit(sg.interop.to_jax(x @ w))
    >>> f(x=[[1.0, 2.0]], params={"w": [3.0, 4.0]})
    Array([11.], dtype=float32)
    """
    imported()
    declared = [as_tensor(t) for t in flatten(outputs)]
    tensors = simplify_outputs(declared)
    leaves = [t for t in topological(declared) if isinstance(t.op, Input | Param)]
    unsure = conditions.conditional(topological(declared))

    def function(*, params: Mapping[str, Any] | None = None, **inputs: Any) -> Any:
        arrays = _in_order(leaves, {**(params or {}), **inputs})
        sizes = conditions.sizes_of(leaves, [a.shape for a in arrays])
        conditions.check(unsure, sizes)
        values = dict(zip(leaves, arrays, strict=True))
        return unflatten(outputs, evaluate_graph(tensors, values, sizes))

    return function


def _in_order(leaves: Sequence[Tensor], given: Mapping[str, Any]) -> list[Any]:
    names = [t.name or "" for t in leaves]
    for name in given:
        if name not in names:
            known = ", ".join(names) or "none"
            raise GraphError(f"there is no input or parameter {name!r}, only {known}")
    for t, name in zip(leaves, names, strict=True):
        if name not in given:
            raise GraphError(f"the value of {t.describe()} is missing")
    return [_array(t, given[name]) for t, name in zip(leaves, names, strict=True)]


def _array(t: Tensor, value: Any) -> Any:
    import jax.numpy as jnp

    if not hasattr(value, "dtype"):  # a number, or lists of them
        return jnp.asarray(value, dtype_of(t))
    array = jnp.asarray(value)
    if array.dtype != dtype_of(t):
        raise DTypeError(
            f"{t.describe()} is given an array of {array.dtype}: convert it with "
            f".astype({str(dtype_of(t))!r})"
        )
    return array

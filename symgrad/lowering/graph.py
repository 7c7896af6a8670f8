"""Graphs as functions of JAX: node by node, each comprehension one expression."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from symgrad.declare.bodies import grouped
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.dims import evaluate
from symgrad.declare.linear_algebra import LinearAlgebra
from symgrad.declare.loop import Scan
from symgrad.declare.tensor import (
    Constant,
    Input,
    Param,
    Reshape,
    SizeOf,
    Tensor,
)
from symgrad.errors import CompileError
from symgrad.extras import optional
from symgrad.lowering.loops import loop_results
from symgrad.lowering.statements import statement

Array = Any
#: Called with each node and its value: for looking at them one by one.
Watcher = Callable[[Tensor, Array], None]


def imported() -> Any:
    """Import JAX, which is optional.

    Raises:
        CompileError: it is not installed; the message names the extra that has it.
    """
    return optional("JAX", "jax", "jax")


def evaluate_graph(
    outputs: Sequence[Tensor],
    leaves: Mapping[Tensor, Array],
    sizes: Mapping[str, int],
    watch: Watcher | None = None,
) -> list[Array]:
    """Return the values of tensors, given those of inputs and parameters.

    ``sizes`` are those of named dimensions.  The function is pure, so that JAX can
    trace it; element types are the declared ones as far as JAX's settings allow.
    """
    known: dict[Tensor, Array] = dict(leaves)

    def step(values: Sequence[Tensor], given: Mapping[Tensor, Array]) -> list[Array]:
        return evaluate_graph(values, given, sizes, watch)

    for group in grouped(outputs):
        args = [known[a] for a in group[0].args]
        if isinstance(group[0].op, Scan):
            found = loop_results(group, args, sizes, step, watch is not None)
            known.update(zip(group, found, strict=True))
        elif group[0] not in known:
            known[group[0]] = _node(group[0], args, sizes)
        if watch is not None:
            for t in group:
                watch(t, known[t])
    return [known[t] for t in outputs]


def _node(t: Tensor, args: Sequence[Array], sizes: Mapping[str, int]) -> Array:
    lowering = LOWERINGS.get(type(t.op))
    if lowering is None:
        raise CompileError(f"JAX has nothing for {t.describe()}")
    return lowering(t, args, sizes)


def dtype_of(t: Tensor) -> Any:
    """Return the type in which JAX, as it is set, holds a tensor's elements."""
    from jax.dtypes import canonicalize_dtype

    return canonicalize_dtype(t.dtype)


def _shape(t: Tensor, sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(evaluate(s, sizes) for s in t.shape)


def _constant(t: Tensor, args: Sequence[Array], sizes: Mapping[str, int]) -> Array:
    import jax.numpy as jnp

    op: Constant = t.op  # type: ignore[assignment]
    return jnp.asarray(op.value, dtype_of(t))


def _size(t: Tensor, args: Sequence[Array], sizes: Mapping[str, int]) -> Array:
    import jax.numpy as jnp

    op: SizeOf = t.op  # type: ignore[assignment]
    return jnp.asarray(evaluate(op.dim, sizes), dtype_of(t))


def _reshape(t: Tensor, args: Sequence[Array], sizes: Mapping[str, int]) -> Array:
    return args[0].reshape(_shape(t, sizes))


def _statement(t: Tensor, args: Sequence[Array], sizes: Mapping[str, int]) -> Array:
    op: Comprehension = t.op  # type: ignore[assignment]
    return statement(op, args, dtype_of(t), sizes)


def _matrices(t: Tensor, args: Sequence[Array], sizes: Mapping[str, int]) -> Array:
    import jax.numpy as jnp
    from jax.numpy import linalg, swapaxes

    op: LinearAlgebra = t.op  # type: ignore[assignment]
    a = args[0]
    match op.name:
        case "cholesky":
            return linalg.cholesky((a + swapaxes(a, -1, -2)) / 2)
        case "signdet":
            return linalg.slogdet(a)[0]
        case "logabsdet":
            return linalg.slogdet(a)[1]
        case "cofactor":  # Stewart, "On the adjugate matrix" (1998)
            u, s, v = linalg.svd(a)
            others = jnp.where(jnp.eye(a.shape[-1], dtype=bool), 1, s[..., None, :])
            sign = (linalg.det(u) * linalg.det(v))[..., None, None]
            return sign * (u * others.prod(-1)[..., None, :]) @ v
        case "inv" | "solve" | "det":
            return getattr(linalg, op.name)(*args)
    raise CompileError(f"JAX has nothing for {t.describe()}")


def _leaf(t: Tensor, args: Sequence[Array], sizes: Mapping[str, int]) -> Array:
    raise CompileError(f"{t.describe()} has no value: it is not among the inputs")


#: Kind of operation -> its value by JAX, from the node, its operands and the sizes.
LOWERINGS: dict[type, Callable[[Tensor, Sequence[Array], Mapping[str, int]], Array]] = {
    Constant: _constant,
    SizeOf: _size,
    Reshape: _reshape,
    Comprehension: _statement,
    LinearAlgebra: _matrices,
    Input: _leaf,
    Param: _leaf,
}

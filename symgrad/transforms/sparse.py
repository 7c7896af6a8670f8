"""Sparse Jacobians and Hessians: structure from index maps, values in few products.

The seeds of one colour are summed, so that each product of the Jacobian with the sum
holds the entries of many columns apart.  All products are one graph: the tangent (or
cotangent) with one more axis, compiled into one program that gives the entries alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np
import scipy.sparse as sp

from symgrad.declare.build import broadcast_to, cast, elementwise, iota
from symgrad.declare.ops.indexing import take
from symgrad.declare.ops.shape import concat, reshape
from symgrad.declare.tensor import Tensor, constant, input
from symgrad.derivation.batch import batch
from symgrad.derivation.reverse import check_wrt, forward
from symgrad.errors import GraphError
from symgrad.transforms.colouring import compress, compress_symmetric
from symgrad.transforms.differentiate import (
    Argnums,
    by_arguments,
    call_at,
    check_outputs,
    pull,
    scalar_result,
)
from symgrad.transforms.jacobian import derivative
from symgrad.transforms.sparsity import structure
from symgrad.transforms.trees import register_pytree, unflatten


class SparseJacobian:
    """A Jacobian of which only the entries that may not be 0 are computed.

    Attributes:
        values: those entries, a tensor of one dimension, row by row.
        pattern: a SciPy CSR array of bools with an entry at each place.
        products: how many products with vectors give the values.

    Rows are the elements of what is derived, columns those of what it is derived by,
    both in row-major order.
    """

    def __init__(self, values: Tensor, pattern: sp.csr_array, products: int) -> None:
        self.values, self.pattern, self.products = values, pattern, products

    def __repr__(self) -> str:
        rows, columns = self.pattern.shape
        return (
            f"<SparseJacobian {rows}x{columns}, {self.pattern.nnz} entries from "
            f"{self.products} products>"
        )

    @property
    def shape(self) -> tuple[int, int]:
        """The number of rows and columns."""
        return self.pattern.shape

    @property
    def nnz(self) -> int:
        """The number of entries."""
        return self.pattern.nnz

    def matrix(self, values: Any) -> sp.csr_array:
        """Return the SciPy CSR array with these values, e.g. those of a program."""
        p = self.pattern
        return sp.csr_array((values, p.indices.copy(), p.indptr.copy()), shape=p.shape)

    def compile(
        self, inputs: Sequence[Tensor], **options: Any
    ) -> Callable[..., sp.csr_array]:
        """Return the function from the inputs' arrays to a SciPy CSR array.

        ``options`` are those of ``sg.compile``.
        """
        from symgrad.pipeline import compile

        program = compile(inputs, self.values, **options)

        def run(*args: Any, **named: Any) -> sp.csr_array:
            return self.matrix(program(*args, **named))

        return run


def _with_values(plan: Any, parts: list[Any]) -> Any:
    """Return the matrix for an array of values, the symbolic Jacobian for a tensor."""
    (values,) = parts
    if isinstance(values, Tensor):
        return SparseJacobian(values, plan.pattern, plan.products)
    return plan.matrix(values)


register_pytree(SparseJacobian, lambda j: ((j.values,), j), _with_values)


def sparse_block(t: Tensor, wrt: Tensor, symmetric: bool = False) -> SparseJacobian:
    """Return the sparse Jacobian of a tensor by an input of its graph.

    Where compression saves no product, the entries are taken from the closed form.
    """
    pattern = structure(t, wrt)
    m, n = pattern.shape
    how = compress_symmetric(pattern) if symmetric else compress(pattern)
    if not pattern.nnz:
        values = broadcast_to(constant(0.0, t.dtype), (0,))
        return SparseJacobian(values, pattern, 0)
    if how.products >= min(m, n):
        flat = reshape(derivative(t, wrt), (m * n,))
        rows = np.repeat(np.arange(m), np.diff(pattern.indptr))
        return SparseJacobian(_taken(flat, rows * n + pattern.indices), pattern, 0)
    parts = []
    if how.columns is not None:
        parts.append(_push(t, wrt, how.columns))
    if how.rows is not None:
        parts.append(_pull(t, wrt, how.rows))
    flat = parts[0] if len(parts) == 1 else concat(parts)
    return SparseJacobian(_taken(flat, how.place), pattern, how.products)


def _taken(flat: Tensor, place: np.ndarray) -> Tensor:
    if np.array_equal(place, np.arange(flat.size)):  # type: ignore[arg-type]
        return flat
    return take(flat, constant(place))


def _push(t: Tensor, wrt: Tensor, colours: np.ndarray) -> Tensor:
    """Return the products with the sums of columns of each colour, flattened."""

    def product(tangent: Tensor) -> Tensor:
        return forward([t], {wrt: tangent})[0]

    return _products(product, wrt, colours)


def _pull(t: Tensor, wrt: Tensor, colours: np.ndarray) -> Tensor:
    """Return the products with the sums of rows of each colour, flattened."""

    def product(cotangent: Tensor) -> Tensor:
        return pull([t], [wrt], [cotangent])[0]

    return _products(product, t, colours)


def _products(
    product: Callable[[Tensor], Tensor], like: Tensor, colours: np.ndarray
) -> Tensor:
    count = int(colours.max()) + 1
    if count == 1 and not colours.any():
        one = broadcast_to(constant(1.0, like.dtype), like.shape)
        return reshape(product(one), -1)
    seed = input("seed", like.shape, like.dtype)
    colour = constant(np.asarray(colours).reshape(like.shape))
    same = elementwise("eq", colour, iota(0, (count, *(1,) * like.ndim)))
    (found,) = batch([product(seed)], {seed: cast(same, like.dtype)}, count)
    return reshape(found, -1)


def sparse_jacobian(t: Tensor, wrt: Tensor) -> SparseJacobian:
    """Return the sparse Jacobian of a tensor by a tensor that its graph contains."""
    _check_tensor("sg.sparse_jacobian", t, wrt)
    return sparse_block(t, wrt)


def sparse_hessian(loss: Tensor, wrt: Tensor) -> SparseJacobian:
    """Return the sparse Hessian of a scalar by a tensor that its graph contains."""
    _check_tensor("sg.sparse_hessian", loss, wrt)
    scalar_result("sg.sparse_hessian", "the graph", loss)
    (gradient,) = pull([loss], [wrt], [constant(1.0, loss.dtype)])
    return sparse_block(gradient, wrt, symmetric=True)


def _check_tensor(what: str, t: Any, wrt: Any) -> None:
    for value in (t, wrt):
        if not isinstance(value, Tensor):
            raise GraphError(
                f"{what} takes a function, or a tensor and a tensor to derive it by, "
                f"not {type(value).__name__}"
            )
    check_wrt([wrt], [t])


def jacobian(fun: Callable[..., Any], argnums: Argnums) -> Callable[..., Any]:
    """Return the function that gives sparse Jacobians, by outputs and arguments."""
    what = "sg.sparse_jacobian"

    @wraps(fun, updated=())
    def derived(*args: Any, **kwargs: Any) -> Any:
        traced = call_at(what, fun, args, kwargs, argnums)
        check_outputs(what, fun, traced)
        point = traced.point
        blocks = [[sparse_block(y, x) for x in point.inputs] for y in traced.outputs]
        rows = [by_arguments(_resolved(row, point), point, argnums) for row in blocks]
        return unflatten(traced.form, rows)

    return derived


def hessian(fun: Callable[..., Any], argnums: Argnums) -> Callable[..., Any]:
    """Return the function that gives sparse Hessians, by pairs of arguments."""
    what = "sg.sparse_hessian"

    @wraps(fun, updated=())
    def derived(*args: Any, **kwargs: Any) -> Any:
        traced = call_at(what, fun, args, kwargs, argnums)
        loss = traced.scalar(what, fun)
        point = traced.point
        gradients = pull([loss], point.inputs, [constant(1.0, loss.dtype)])
        rows = []
        for x, g in zip(point.inputs, gradients, strict=True):
            row = [sparse_block(g, y, symmetric=y is x) for y in point.inputs]
            rows.append(by_arguments(_resolved(row, point), point, argnums))
        return by_arguments(rows, point, argnums)

    return derived


def _resolved(row: list[SparseJacobian], point: Any) -> list[SparseJacobian]:
    values = point.resolve([j.values for j in row])
    return [
        SparseJacobian(v, j.pattern, j.products)
        for v, j in zip(values, row, strict=True)
    ]

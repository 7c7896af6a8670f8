"""Tensors made from a shape: ranges, repeated values, the identity, triangles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from symgrad.declare import build, dtypes
from symgrad.declare.build import cast, elementwise
from symgrad.declare.dims import Size
from symgrad.declare.tensor import Tensor, as_shape, as_tensor
from symgrad.errors import ShapeError


def arange(n: int | str | Size, dtype: object = "int64") -> Tensor:
    """Return 0, 1, …, n - 1."""
    return build.iota(0, as_shape(n), dtypes.canonical(dtype))


def full(shape: Any, value: float, dtype: object = "float32") -> Tensor:
    """Return a tensor of one repeated value."""
    scalar = build.constant(dtypes.number(value, dtypes.canonical(dtype)))
    return build.broadcast_to(scalar, as_shape(shape))


def zeros(shape: Any, dtype: object = "float32") -> Tensor:
    """Return zeros."""
    return full(shape, 0, dtype)


def ones(shape: Any, dtype: object = "float32") -> Tensor:
    """Return ones."""
    return full(shape, 1, dtype)


def zeros_like(x: Any) -> Tensor:
    """Return zeros of the shape and type of ``x``."""
    t = as_tensor(x)
    return full(t.shape, 0, t.dtype)


def ones_like(x: Any) -> Tensor:
    """Return ones of the shape and type of ``x``."""
    t = as_tensor(x)
    return full(t.shape, 1, t.dtype)


def eye(n: int, dtype: object = "float32") -> Tensor:
    """Return the identity matrix."""
    shape = as_shape((n, n))
    same = elementwise("eq", build.iota(0, shape), build.iota(1, shape))
    return cast(same, dtypes.canonical(dtype))


def _triangle(name: str, fn: str) -> Callable[..., Tensor]:
    def function(x: Any, k: int = 0) -> Tensor:
        t = as_tensor(x)
        if t.ndim < 2:
            raise ShapeError(f"{name}: {t.describe()} has fewer than 2 dimensions")
        rows = elementwise("add", build.iota(t.ndim - 2, t.shape), k)
        keep = elementwise(fn, build.iota(t.ndim - 1, t.shape), rows)
        return elementwise("select", keep, t, 0)

    function.__name__ = function.__qualname__ = name
    side = "below" if name == "tril" else "above"
    function.__doc__ = f"Return ``x`` on and {side} diagonal ``k``, 0 elsewhere."
    return function


tril = _triangle("tril", "le")
triu = _triangle("triu", "ge")

FUNCTIONS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        arange,
        full,
        zeros,
        ones,
        zeros_like,
        ones_like,
        eye,
        tril,
        triu,
    )
}

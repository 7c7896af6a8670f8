"""The operations of random programs: one table, read by symgrad and by JAX.

Each entry is written once over a namespace ``xp``, which is symgrad or JAX's with the
same names, so that both run the very same statement.  What an operation may be applied
to, and how large its result can be, stand beside it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

# Compile XLA's programs fast rather than well: each of them runs a few times.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import jax
import jax.numpy as jnp
import numpy as np

import symgrad as sg

jax.config.update("jax_enable_x64", True)


def _conv1d(
    x: Any, w: Any, stride: int = 1, padding: int = 0, dilation: int = 1
) -> Any:
    return jax.lax.conv_general_dilated(
        x, w, (stride,), [(padding, padding)], rhs_dilation=(dilation,)
    )


def _pool(kind: Any, start: float) -> Any:
    def pool(x: Any, window: int, stride: int) -> Any:
        sizes, steps = (1, 1, window), (1, 1, stride)
        return jax.lax.reduce_window(x, start, kind, sizes, steps, "valid")

    return pool


class JaxNames(SimpleNamespace):
    """JAX's functions under symgrad's names."""

    def __getattr__(self, name: str) -> Any:
        for module in (jnp, jax.nn, jax.scipy.special):
            if hasattr(module, name):
                return getattr(module, name)
        raise AttributeError(name)


JAX = JaxNames(
    constant=jnp.asarray,
    softsign=jax.nn.soft_sign,
    gelu=lambda x: jax.nn.gelu(x, approximate=False),
    rsqrt=jax.lax.rsqrt,
    stop_gradient=jax.lax.stop_gradient,
    atan2=jnp.arctan2,
    conv1d=_conv1d,
    max_pool=_pool(jax.lax.max, -math.inf),
    take=lambda x, ids, axis: jnp.take(x, ids, axis, mode="clip"),
    astype=lambda x, dtype: x.astype(dtype),
    getitem=lambda x, key: x[key],
    tile=jnp.tile,
)
SYMGRAD = SimpleNamespace(
    **{n: getattr(sg, n) for n in sg.__all__ if not hasattr(SimpleNamespace, n)},
    getitem=lambda x, key: x[key],
)


def spread(shape: tuple[int, ...], seed: float = 0.0) -> np.ndarray:
    """Return numbers in [-1, 1] of which no two are equal: they keep values apart."""
    count = math.prod(shape)
    return np.sin(1.7 + seed + 2.3 * np.arange(count)).reshape(shape)


@dataclass(frozen=True)
class Unary:
    """A function of one tensor.

    ``bound`` gives the largest magnitude of the result from that of the argument, or
    None where the argument is too large; ``positive`` says that the argument has to
    be above 0; ``low`` gives a bound below, where the result is positive.
    """

    function: Callable[..., Any]
    bound: Callable[[float], float | None]
    positive: bool = False
    low: Callable[[float], float] | None = None


def _small(
    limit: float, bound: Callable[[float], float]
) -> Callable[[float], float | None]:
    return lambda m: bound(m) if m <= limit else None


UNARY: dict[str, Unary] = {
    "exp": Unary(
        lambda xp, x: xp.exp(x), _small(3, math.exp), low=lambda m: math.exp(-m)
    ),
    "expm1": Unary(lambda xp, x: xp.expm1(x), _small(3, math.exp)),
    "sigmoid": Unary(
        lambda xp, x: xp.sigmoid(x), lambda m: 1.0, low=lambda m: 1 / (1 + math.exp(m))
    ),
    "softplus": Unary(
        lambda xp, x: xp.softplus(x), lambda m: m + 0.7, low=lambda m: math.exp(-m) / 2
    ),
    "tanh": Unary(lambda xp, x: xp.tanh(x), lambda m: 1.0),
    "erf": Unary(lambda xp, x: xp.erf(x), lambda m: 1.0),
    "sin": Unary(lambda xp, x: xp.sin(x), lambda m: 1.0),
    "cos": Unary(lambda xp, x: xp.cos(x), lambda m: 1.0),
    "atan": Unary(lambda xp, x: xp.atan(x), lambda m: 1.6),
    "asinh": Unary(lambda xp, x: xp.asinh(x), lambda m: m),
    "sinh": Unary(lambda xp, x: xp.sinh(x), _small(2.5, math.sinh)),
    "cosh": Unary(lambda xp, x: xp.cosh(x), _small(2.5, math.cosh), low=lambda m: 1.0),
    "neg": Unary(lambda xp, x: -x, lambda m: m),
    "abs": Unary(lambda xp, x: xp.abs(x + 0.0713), lambda m: m + 0.1),
    "relu": Unary(lambda xp, x: xp.relu(x - 0.0317), lambda m: m),
    "leaky_relu": Unary(lambda xp, x: xp.leaky_relu(x - 0.0317, 0.1), lambda m: m),
    "elu": Unary(lambda xp, x: xp.elu(x - 0.0317), lambda m: m + 1),
    "gelu": Unary(lambda xp, x: xp.gelu(x), lambda m: m),
    "silu": Unary(lambda xp, x: xp.silu(x), lambda m: m),
    "square": Unary(lambda xp, x: xp.square(x), _small(3, lambda m: m * m)),
    "cube": Unary(lambda xp, x: x**3, _small(2, lambda m: m**3)),
    "log1p": Unary(lambda xp, x: xp.log1p(x * x), lambda m: 2 * math.log1p(m)),
    "root": Unary(
        lambda xp, x: xp.sqrt(0.5 + x * x), lambda m: m + 0.8, low=lambda m: 0.7
    ),
    "rsqrt": Unary(lambda xp, x: xp.rsqrt(0.5 + x * x), lambda m: 1.5),
    "reciprocal": Unary(
        lambda xp, x: xp.reciprocal(1.5 + x * x),
        lambda m: 0.7,
        low=lambda m: 1 / (1.5 + m * m),
    ),
    "power": Unary(lambda xp, x: (0.5 + x * x) ** 0.7, lambda m: 2 + m * m),
    "log": Unary(lambda xp, x: xp.log(x), lambda m: 4 + m, positive=True),
    "sqrt": Unary(lambda xp, x: xp.sqrt(x), lambda m: 1 + m, positive=True),
    "half": Unary(lambda xp, x: x * 0.5, lambda m: m / 2),
    "twice": Unary(lambda xp, x: 2 * x, _small(4, lambda m: 2 * m)),
    "more": Unary(lambda xp, x: x + 1.25, lambda m: m + 1.25),
    "less": Unary(lambda xp, x: 1.25 - x, lambda m: m + 1.25),
    "unit": Unary(lambda xp, x: x * 1.0 + 0.0, lambda m: m),
    "stairs": Unary(lambda xp, x: xp.floor(1.7 * x + 0.3137), lambda m: 1.7 * m + 2),
    "side": Unary(lambda xp, x: xp.sign(x + 0.0717), lambda m: 1.0),
    "clip": Unary(lambda xp, x: xp.clip(x, -0.713, 0.877), lambda m: 0.9),
    "stop": Unary(lambda xp, x: xp.stop_gradient(x) * x, _small(3, lambda m: m * m)),
    "select": Unary(
        lambda xp, x: xp.where(x > 0.0931, x * x, -0.5 * x),
        _small(3, lambda m: m * m + m),
    ),
    "guarded_log": Unary(
        lambda xp, x: xp.where(x > 0.0931, xp.log(xp.maximum(x, 0.0911)), 0.0),
        lambda m: 3 + m,
    ),
    "squash": Unary(lambda xp, x: x / xp.sqrt(1 + x * x), lambda m: 1.0),
}

BINARY: dict[str, tuple[Callable[..., Any], Callable[[float, float], float]]] = {
    "add": (lambda xp, x, y: x + y, lambda a, b: a + b),
    "sub": (lambda xp, x, y: x - y, lambda a, b: a + b),
    "mul": (lambda xp, x, y: x * y, lambda a, b: a * b),
    "ratio": (lambda xp, x, y: x / (1.5 + y * y), lambda a, b: a),
    "angle": (lambda xp, x, y: xp.atan2(x, 1.5 + y * y), lambda a, b: 1.6),
    "larger": (lambda xp, x, y: xp.maximum(x, 0.7 * y + 0.0179), max),
    "smaller": (lambda xp, x, y: xp.minimum(x, 0.7 * y + 0.0179), max),
    "logaddexp": (lambda xp, x, y: xp.logaddexp(x, y + 0.0137), lambda a, b: a + b + 1),
    "choice": (lambda xp, x, y: xp.where(x > 0.6 * y + 0.0113, y, x), max),
    "masked": (
        lambda xp, x, y: xp.where((x > 0.0931) & ~(y > 0.1771), x * y, x + y),
        lambda a, b: a * b + a + b,
    ),
    "count": (
        lambda xp, x, y: x * xp.astype(y > 0.1771, x.dtype),
        lambda a, b: a,
    ),
    "axpy": (lambda xp, x, y: 0.75 * x + y, lambda a, b: a + b),
    "lerp": (lambda xp, x, y: x + 0.3 * (y - x), lambda a, b: a + b),
}


def _layer_norm(xp: Any, x: Any, axis: int) -> Any:
    centred = x - xp.mean(x, axis=axis, keepdims=True)
    return centred / xp.sqrt(xp.var(x, axis=axis, keepdims=True) + 0.1)


#: Functions along one axis that keep it: name -> (function, bound of the result).
ALONG: dict[str, tuple[Callable[..., Any], Callable[[float, int], float]]] = {
    "softmax": (lambda xp, x, axis: xp.softmax(x, axis=axis), lambda m, n: 1.0),
    "log_softmax": (
        lambda xp, x, axis: xp.log_softmax(x, axis=axis),
        lambda m, n: 2 * m + n,
    ),
    "layer_norm": (_layer_norm, lambda m, n: 4.0),
    "normalized": (
        lambda xp, x, axis: (
            x / (0.7 + xp.sqrt(0.1 + xp.sum(x * x, axis=axis, keepdims=True)))
        ),
        lambda m, n: 1.0,
    ),
    "cumulative_sum": (
        lambda xp, x, axis: xp.cumulative_sum(x, axis=axis),
        lambda m, n: m * n,
    ),
    "reverse_sum": (
        lambda xp, x, axis: xp.flip(
            xp.cumulative_sum(xp.flip(x, axis=axis), axis=axis), axis=axis
        ),
        lambda m, n: m * n,
    ),
    "flip": (lambda xp, x, axis: xp.flip(x, axis=axis), lambda m, n: m),
    "centred": (
        lambda xp, x, axis: x - xp.logsumexp(x, axis=axis, keepdims=True),
        lambda m, n: 2 * m + n,
    ),
    "repeat": (lambda xp, x, axis: xp.repeat(x, 2, axis=axis), lambda m, n: m),
}
#: Reductions: name -> (function of (xp, x, axis, keepdims), bound of the result).
REDUCE: dict[str, tuple[Callable[..., Any], Callable[[float, int], float]]] = {
    "sum": (lambda xp, x, **k: xp.sum(x, **k), lambda m, n: m * n),
    "mean": (lambda xp, x, **k: xp.mean(x, **k), lambda m, n: m),
    "logsumexp": (lambda xp, x, **k: xp.logsumexp(x, **k), lambda m, n: m + n),
    "var": (lambda xp, x, **k: xp.var(x, **k), lambda m, n: m * m),
    "sum_of_squares": (lambda xp, x, **k: xp.sum(x * x, **k), lambda m, n: m * m * n),
    "prod": (
        lambda xp, x, **k: xp.prod(0.3 * xp.tanh(x) + 0.8, **k),
        lambda m, n: 1.1**n,
    ),
}


def _apart(xp: Any, x: Any, offsets: np.ndarray) -> Any:
    return x + xp.constant(np.asarray(offsets, x.dtype))


def _where_largest(xp: Any, x: Any, offsets: np.ndarray, axis: int) -> Any:
    place = xp.argmax(_apart(xp, x, offsets), axis=axis, keepdims=True)
    return 0.1 * xp.astype(place, x.dtype) + x


#: Operations on values that have to be set apart first: no two may be equal.
EXTREME: dict[str, Callable[..., Any]] = {
    "max": lambda xp, x, offsets, **k: xp.max(_apart(xp, x, offsets), **k),
    "min": lambda xp, x, offsets, **k: xp.min(_apart(xp, x, offsets), **k),
    "max_pool": lambda xp, x, offsets, **k: xp.max_pool(_apart(xp, x, offsets), **k),
    "where_largest": _where_largest,
}


def _window_sum(xp: Any, x: Any, axis: int, width: int) -> Any:
    """The sum of neighbours, of slices that overlap."""
    count = x.shape[axis] - width + 1
    before = (slice(None),) * axis
    parts = [xp.getitem(x, (*before, slice(s, s + count))) for s in range(width)]
    return sum(parts[1:], parts[0])


def _halves(xp: Any, x: Any, axis: int) -> Any:
    """Both halves of an axis, exchanged and multiplied."""
    before, half = (slice(None),) * axis, x.shape[axis] // 2
    a = xp.getitem(x, (*before, slice(0, half)))
    b = xp.getitem(x, (*before, slice(half, 2 * half)))
    return xp.concat([xp.sin(b), a * b], axis=axis)


#: Movements of values; their parameters are drawn where they are applied.
MOVE: dict[str, Callable[..., Any]] = {
    "transpose": lambda xp, x, axes: xp.permute_dims(x, axes),
    "reshape": lambda xp, x, shape: xp.reshape(x, shape),
    "flatten_last": lambda xp, x: xp.reshape(x, (*x.shape[:-2], -1)),
    "flatten": lambda xp, x: xp.reshape(x, -1),
    "getitem": lambda xp, x, key: xp.getitem(x, key),
    "pad": lambda xp, x, widths, value: xp.pad(x, widths, constant_values=value),
    "concat": lambda xp, *x, axis: xp.concat(x, axis=axis),
    "stack": lambda xp, *x, axis: xp.stack(x, axis=axis),
    "expand_dims": lambda xp, x, axis: xp.expand_dims(x, axis),
    "squeeze": lambda xp, x, axis: xp.squeeze(x, axis),
    "broadcast": lambda xp, x, count: xp.broadcast_to(x, (count, *x.shape)),
    "roll": lambda xp, x, shift, axis: xp.roll(x, shift, axis),
    "tile": lambda xp, x, counts: xp.tile(x, counts),
    "tril": lambda xp, x, k: xp.tril(x, k),
    "triu": lambda xp, x, k: xp.triu(x, k),
    "take": lambda xp, x, ids, axis: xp.take(x, xp.constant(ids), axis=axis),
    "take_input": lambda xp, x, ids, axis: xp.take(
        x, xp.remainder(ids, x.shape[axis]), axis=axis
    ),
    "window_sum": _window_sum,
    "halves": _halves,
}


def _attention(xp: Any, q: Any, k: Any, v: Any) -> Any:
    return xp.matmul(xp.softmax(xp.matmul(q, xp.matrix_transpose(k)), axis=-1), v)


#: Sums of products.
CONTRACT: dict[str, Callable[..., Any]] = {
    "matmul": lambda xp, a, b: xp.matmul(a, b),
    "matmul_nt": lambda xp, a, b: xp.matmul(a, xp.matrix_transpose(b)),
    "matmul_tn": lambda xp, a, b: xp.matmul(xp.matrix_transpose(a), b),
    "dense": lambda xp, a, b: xp.tanh(xp.matmul(a, b) + 0.1) + xp.matmul(a, b),
    "attention": _attention,
    "einsum": lambda xp, *x, subscripts: xp.einsum(subscripts, *x),
    "conv1d": lambda xp, x, w, **k: xp.conv1d(x, w, **k),
}

#: Every operation as a function of ``xp``, its operands and its parameters.
TABLE: dict[str, Callable[..., Any]] = {
    **{name: row.function for name, row in UNARY.items()},
    **{name: row[0] for name, row in (BINARY | ALONG | REDUCE).items()},
    **EXTREME,
    **MOVE,
    **CONTRACT,
}

"""Random tensors as a function of a key: each element of its key and its place.

There is no generator with a state: the same key gives the same numbers, in any order
and on any number of threads, and another key others.  A key is an integer, or an
integer tensor without axes, so that a program can be given a new one at each call.
The bits are those of ``jax.random`` for the same key (Threefry-2x32 of the element's
index in row-major order; see ``symgrad.emit.intrinsics.counters``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from symgrad.declare import build, dtypes
from symgrad.declare.build import cast, elementwise
from symgrad.declare.dims import product
from symgrad.declare.ops import FUNCTIONS
from symgrad.declare.tensor import Tensor, as_shape, as_tensor, constant, size_of
from symgrad.errors import DTypeError, GraphError, ShapeError

#: A tensor in arithmetic, whose operators type checkers do not see.
Node = Any
HALF = 1 << 32
cos, log, sqrt = (FUNCTIONS[n] for n in ("cos", "log", "sqrt"))

__all__ = ["bernoulli", "bits", "fold_in", "normal", "split", "uniform"]


def bits(key: Any, shape: Iterable[Any] = ()) -> Node:
    """Return 64 random bits for each element, as int64.

    Args:
        key: an integer, or an integer tensor without axes.
        shape: integers and names.

    Raises:
        DTypeError: the key is not an integer.
        ShapeError: the key has axes.

    >>> import symgrad as sg
    >>> program = sg.compile([], sg.random.bits(0, (2,)))
    >>> [hex(int(b) & (1 << 64) - 1) for b in program()]
    ['0x6b20015999ba4efe', '0x375f238fcddb151d']
    """
    counter = _counter(as_shape(shape, "random"))
    return elementwise("threefry", _key(key), counter)


def uniform(
    key: Any,
    shape: Iterable[Any] = (),
    low: Any = 0.0,
    high: Any = 1.0,
    dtype: object = "float32",
) -> Node:
    """Return numbers from U[low, high).

    Args:
        key: an integer, or an integer tensor without axes.
        shape: integers and names.
        low: the least value.
        high: the bound that no value reaches (but by rounding).
        dtype: float32 (23 random bits) or float64 (52).
    """
    kind = _float(dtype)
    if kind == "float32":
        unit = _small(_folded(bits(key, shape)) // 512, 23)
    else:
        whole: Node = cast(bits(key, shape) // 4096 % 2**52, kind)
        unit = whole * 2.0**-52
    if isinstance(low, int | float) and isinstance(high, int | float):
        if not low < high:
            raise GraphError(f"random.uniform: low={low!r} is not below high={high!r}")
        return unit if (low, high) == (0, 1) else unit * (high - low) + low
    return unit * (high - low) + low


def normal(key: Any, shape: Iterable[Any] = (), dtype: object = "float32") -> Node:
    """Return numbers from N(0, 1), by the transform of Box & Muller (1958).

    Args:
        key: an integer, or an integer tensor without axes.
        shape: integers and names.
        dtype: float32 or float64.
    """
    kind = _float(dtype)
    drawn = bits(key, shape)
    if kind == "float32":
        radius = _small(drawn // 2**40 % 2**24, 24) + 2.0**-24  # in (0, 1]
        angle = _small(drawn % 2**24, 24)
    else:
        other: Node = elementwise("threefry", _key(key), -1 - _counter(as_shape(shape)))
        whole: Node = cast(drawn // 2048 % 2**53, kind)
        radius = (whole + 1) * 2.0**-53
        turn: Node = cast(other // 2048 % 2**53, kind)
        angle = turn * 2.0**-53
    return sqrt(-2.0 * log(radius)) * cos(2 * math.pi * angle)


def bernoulli(key: Any, shape: Iterable[Any] = (), p: Any = 0.5) -> Node:
    """Return bools that are True with probability ``p``.

    Args:
        key: an integer, or an integer tensor without axes.
        shape: integers and names.
        p: a number in [0, 1], or a float tensor that broadcasts to the shape.
    """
    if isinstance(p, int | float) and not 0 <= p <= 1:
        raise GraphError(f"random.bernoulli: p is in [0, 1], not {p!r}")
    kind = p.dtype if isinstance(p, Tensor) else "float32"
    return uniform(key, shape, dtype=_float(kind)) < p


def fold_in(key: Any, data: Any) -> Node:
    """Return a new key, made of a key and an integer.

    The keys of different integers give numbers that are independent of each other.

    Args:
        key: an integer, or an integer tensor without axes.
        data: the same.
    """
    return elementwise("threefry", _key(key), _key(data))


def split(key: Any, count: int = 2) -> tuple[Node, ...]:
    """Return ``count`` new keys.

    Args:
        key: an integer, or an integer tensor without axes.
        count: how many.
    """
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ShapeError(f"random.split: count is at least 1, not {count!r}")
    return tuple(fold_in(key, n) for n in range(count))


def _key(key: Any) -> Tensor:
    t = constant(_wrapped(key), "int64") if isinstance(key, int) else as_tensor(key)
    if t.dtype not in dtypes.INTEGERS or isinstance(key, bool):
        raise DTypeError(f"a random key is an integer, not {key!r}")
    if t.shape:
        raise ShapeError(
            f"a random key has no axes, but {t.describe()} has; take one of its values"
        )
    return cast(t, "int64")


def _wrapped(key: int) -> int:
    """Return an integer of 64 bits, signed or not, as a signed one."""
    if not -(2**63) <= key < 2**64:
        raise GraphError(f"a random key has 64 bits, which {key} exceeds")
    return key - 2**64 if key >= 2**63 else key


def _counter(shape: Any) -> Node:
    """Return each element's number in row-major order."""
    total: Node = constant(0, "int64")
    for a in range(len(shape)):
        stride: Node = size_of(product(shape[a + 1 :]), "int64")
        total = total + stride * build.iota(a, shape)
    return build.broadcast_to(total, shape)


def _folded(drawn: Node) -> Node:
    """Return the upper half xor the lower half of 64 bits, as JAX does."""
    return elementwise("fold_bits", drawn)


def _small(k: Node, width: int) -> Node:
    """Return ``k·2^-width`` as float32, exactly; by int32, which vectorises."""
    small: Node = cast(cast(k, "int32"), "float32")
    return small * 2.0**-width


def _float(dtype: object) -> str:
    kind = dtypes.canonical(dtype)
    if not dtypes.is_float(kind):
        raise DTypeError(f"random floats are float32 or float64, not {kind}")
    return kind

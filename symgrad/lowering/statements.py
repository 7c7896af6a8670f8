"""One comprehension as an expression of JAX.

A read becomes slices and gathers, a sum of products one ``einsum``, a guard a
``where``, a scatter an indexed sum; whatever else is reduced is laid out over all its
axes first, which XLA fuses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce as fold
from typing import Any

import numpy as np

from symgrad.declare import scalar
from symgrad.declare.comprehension import (
    Atom,
    Comprehension,
    Index,
    Quotient,
    Value,
    axes_through,
)
from symgrad.declare.dims import evaluate
from symgrad.declare.scalar import Expr
from symgrad.lowering.scalars import functions

Axes = tuple[int, ...]
Array = Any


@dataclass(frozen=True)
class Laid:
    """An array whose dimensions run along some axes of a statement."""

    array: Array
    axes: Axes


def statement(
    c: Comprehension, args: Sequence[Array], dtype: Any, sizes: Mapping[str, int]
) -> Array:
    """Return the value of a statement on arrays, or on what JAX traces in their place.

    Args:
        c: the statement.
        args: its operands.
        dtype: the element type of the result.
        sizes: the values of named dimensions.
    """
    return _Lowered(c, args, dtype, sizes).value()


class _Lowered:
    def __init__(
        self,
        c: Comprehension,
        args: Sequence[Array],
        dtype: Any,
        sizes: Mapping[str, int],
    ) -> None:
        import jax.numpy as jnp

        self.jnp = jnp
        self.c, self.args, self.dtype, self.sizes = c, args, dtype, sizes
        self.extents = tuple(evaluate(s, sizes) for s in c.extents)
        self.reads: dict[int, Laid] = {}

    def value(self) -> Array:
        c = self.c
        if c.target is not None:
            return self._scatter()
        if c.is_contraction:
            return self._contraction()
        body = self._full(c.body)
        if c.reduce is not None:
            return self._reduction(body)
        if c.guards:
            body = self.jnp.where(self._mask(), body, self.jnp.zeros((), body.dtype))
        return self.jnp.broadcast_to(body, self.extents).astype(self.dtype)

    # -- indices -----------------------------------------------------------------------

    def _index(self, index: Index) -> Array:
        """Return an index along all axes, as an array that broadcasts to them."""
        total: Array = evaluate(index.constant, self.sizes)
        for atom, factor in index.terms:
            total = total + self._atom(atom) * factor
        return total

    def _atom(self, atom: Atom) -> Array:
        if isinstance(atom, Quotient):
            return self._index(atom.index) // atom.divisor
        if isinstance(atom, Value):
            n = evaluate(atom.size, self.sizes)
            found = self._spread(self._read(atom.read))
            return self.jnp.clip(self.jnp.where(found < 0, found + n, found), 0, n - 1)
        shape = [1] * len(self.extents)
        shape[atom] = self.extents[atom]
        # not int64, which JAX may not have
        return np.arange(self.extents[atom], dtype=np.int32).reshape(shape)

    # -- reads -------------------------------------------------------------------------

    def _read(self, k: int) -> Laid:
        if k not in self.reads:
            self.reads[k] = self._gather(k)
        return self.reads[k]

    def _gather(self, k: int) -> Laid:
        """Return a read along the axes that it depends on."""
        array, index = self.args[self.c.reads[k].operand], self.c.reads[k].index
        axes = [sorted(axes_through(i, self.c.reads)) for i in index]
        flat = [a for group in axes for a in group]
        if 0 in array.shape:
            every = tuple(sorted(set(flat)))
            shape = [self.extents[a] for a in every]
            return Laid(self.jnp.zeros(shape, array.dtype), every)
        if len(set(flat)) < len(flat):
            return self._point_by_point(array, index, set(flat))
        for d in reversed(range(array.ndim)):  # those before keep their numbers
            array = self._along(array, d, index[d], axes[d])
        return self._sorted(Laid(array, tuple(flat)))

    def _along(self, array: Array, d: int, index: Index, axes: Sequence[int]) -> Array:
        """Return an array indexed in one dimension, by axes that no other has."""
        extent = array.shape[d]
        if index.axis is not None and self.extents[index.axis] == extent:
            return array
        found = self._index(index)
        if axes:
            own = [n for a, n in enumerate(found.shape) if a in axes]
            shape = [self.extents[a] for a in axes]
            found = self.jnp.broadcast_to(self.jnp.reshape(found, own), shape)
            if isinstance(index.terms[0][0], int) and len(index.terms) == 1:
                ready = self._slice(array, d, index)
                if ready is not None:
                    return ready
        else:
            found = self.jnp.reshape(self.jnp.asarray(found), ())
        return self.jnp.take(array, self.jnp.clip(found, 0, extent - 1), axis=d)

    def _slice(self, array: Array, d: int, index: Index) -> Array | None:
        """Return ``array[start:stop:step]`` where the index runs in range."""
        ((axis, step),) = index.terms
        count = self.extents[axis]  # type: ignore[index]
        first = evaluate(index.constant, self.sizes)
        last = first + step * (count - 1)
        if count == 0 or min(first, last) < 0 or max(first, last) >= array.shape[d]:
            return None
        where = [slice(None)] * array.ndim
        stop = last + (1 if step > 0 else -1)
        where[d] = slice(first, None if stop < 0 else stop, step)
        return array[tuple(where)]

    def _point_by_point(
        self, array: Array, index: Sequence[Index], axes: set[int]
    ) -> Laid:
        where = tuple(
            self.jnp.clip(self._index(i), 0, n - 1)
            for i, n in zip(index, array.shape, strict=True)
        )
        found = array[where]
        kept = tuple(sorted(axes))
        shape = [found.shape[a] for a in kept]
        return Laid(found.reshape(shape), kept)

    def _sorted(self, laid: Laid) -> Laid:
        order = sorted(range(len(laid.axes)), key=laid.axes.__getitem__)
        if order == list(range(len(order))):
            return laid
        axes = tuple(laid.axes[n] for n in order)
        return Laid(self.jnp.transpose(laid.array, order), axes)

    def _spread(self, laid: Laid) -> Array:
        """Return an array with a dimension for each axis, 1 where it is the same."""
        shape = [1] * len(self.extents)
        for a, n in zip(laid.axes, laid.array.shape, strict=True):
            shape[a] = n
        return self.jnp.reshape(laid.array, shape)

    # -- bodies ------------------------------------------------------------------------

    def _full(self, e: Expr) -> Array:
        """Return the value of a body along all axes (1 where it is the same)."""
        if e.fn == "number":
            return e.value
        if e.fn == "size":
            return evaluate(e.value, self.sizes)
        if e.fn == "axis":
            return self.jnp.asarray(self._atom(e.value), self._integer())
        if e.fn == "read":
            return self._spread(self._read(e.value))
        return functions()[e.fn](*map(self._full, e.args))

    def _integer(self) -> Any:
        from jax.dtypes import canonicalize_dtype

        return canonicalize_dtype("int64")

    def _mask(self) -> Array:
        """Return where every guard holds, along all axes (1 where it is the same)."""
        tests = []
        for g in self.c.guards:
            index = self._index(g.index)
            test = index >= 0
            if g.bound is not None:
                test = test & (index < evaluate(g.bound, self.sizes))
            if g.modulus != 1:
                test = test & (index % g.modulus == 0)
            tests.append(test)
        return fold(self.jnp.logical_and, tests)

    # -- kinds of statements -----------------------------------------------------------

    def _contraction(self) -> Array:
        """Return a sum of products as one ``einsum``; guarded reads are 0."""
        parts = [self._read(f.value) for f in scalar.factors(self.c.body)]
        if self.c.guards:
            parts = self._masked(parts)
        summed = set(self.c.reduced)
        free = tuple(range(self.c.rank))
        used = set().union(*(p.axes for p in parts))
        missing = [a for a in self.c.reduced if a not in used]
        operands: list[Any] = []
        for p in parts:
            operands += [p.array.astype(self.dtype), list(p.axes)]
        kept = [a for a in free if a in used]
        total = self.jnp.einsum(*operands, kept, precision="highest")
        for a in missing:
            total = total * self.extents[a]
        assert summed.isdisjoint(kept)
        shape = [self.extents[a] if a in used else 1 for a in free]
        total = self.jnp.reshape(total, shape)
        full = tuple(self.extents[a] for a in free)
        return self.jnp.broadcast_to(total, full).astype(self.dtype)

    def _masked(self, parts: Sequence[Laid]) -> list[Laid]:
        """Return the factors, 0 where a guard does not hold.

        Those are cleared that the guards are for, which have no plain axes as indices.
        """
        mask = self._mask()
        every = tuple(range(len(self.extents)))
        reads = [f.value for f in scalar.factors(self.c.body)]
        plain = [all(i.axis is not None for i in self.c.reads[k].index) for k in reads]
        if all(plain):
            plain[0] = False
        zero = self.jnp.zeros((), parts[0].array.dtype)
        return [
            p if is_plain else self._thin(
                Laid(self.jnp.where(mask, self._spread(p), zero), every)
            )
            for p, is_plain in zip(parts, plain, strict=True)
        ]  # fmt: skip

    def _thin(self, laid: Laid) -> Laid:
        """Return the array without dimensions in which it is the same."""
        kept = tuple(a for a in laid.axes if laid.array.shape[a] == self.extents[a])
        return Laid(laid.array.reshape([laid.array.shape[a] for a in kept]), kept)

    def _reduction(self, body: Array) -> Array:
        c, jnp = self.c, self.jnp
        assert c.reduce is not None
        body = jnp.asarray(body)
        if c.guards:
            mask = self._mask()
            rest = jnp.asarray(_identity(c.reduce, body.dtype), body.dtype)
            body = jnp.where(mask, body, rest)
        shape = [
            n if a >= c.rank else body.shape[a] if body.ndim else 1
            for a, n in enumerate(self.extents)
        ]
        body = jnp.broadcast_to(body, shape)
        if c.reduce in ("argmax", "argmin"):
            total = getattr(jnp, c.reduce)(body, axis=c.reduced[0])
        elif c.reduce in ("max", "min"):
            start = _identity(c.reduce, body.dtype)
            total = getattr(jnp, c.reduce)(body, axis=c.reduced, initial=start)
        elif c.reduce in ("any", "all"):
            total = getattr(jnp, c.reduce)(body, axis=c.reduced)
        else:
            total = getattr(jnp, c.reduce)(body.astype(self.dtype), axis=c.reduced)
        return jnp.broadcast_to(total, self.extents[: c.rank]).astype(self.dtype)

    def _scatter(self) -> Array:
        c, jnp = self.c, self.jnp
        assert c.target is not None
        assert c.target_shape is not None
        shape = tuple(evaluate(s, self.sizes) for s in c.target_shape)
        body = jnp.broadcast_to(self._full(c.body), self.extents).astype(self.dtype)
        if c.guards:
            body = jnp.where(self._mask(), body, jnp.zeros((), self.dtype))
        where = tuple(jnp.broadcast_to(self._index(i), self.extents) for i in c.target)
        return jnp.zeros(shape, self.dtype).at[where].add(body, mode="drop")


_IDENTITIES: dict[str, Callable[[Any], Any]] = {
    "sum": lambda dtype: 0,
    "prod": lambda dtype: 1,
    "any": lambda dtype: False,
    "all": lambda dtype: True,
    "max": lambda dtype: _least(dtype),
    "argmax": lambda dtype: _least(dtype),
    "min": lambda dtype: _greatest(dtype),
    "argmin": lambda dtype: _greatest(dtype),
}


def _identity(kind: str, dtype: Any) -> Any:
    return _IDENTITIES[kind](np.dtype(dtype))


def _least(dtype: np.dtype) -> Any:
    if dtype.kind == "f":
        return -np.inf
    return False if dtype.kind == "b" else np.iinfo(dtype).min


def _greatest(dtype: np.dtype) -> Any:
    if dtype.kind == "f":
        return np.inf
    return True if dtype.kind == "b" else np.iinfo(dtype).max

"""Jacobians as graphs: the VJP, or the JVP, of a Kronecker delta.

With ``y[I]`` and ``x[J]``, the Jacobian is ``∂y[I]/∂x[J]``.  Reverse accumulation takes
the cotangents ``δ[I, I']`` for all ``I`` at once, forward accumulation the tangents
``δ[J, J']``.  Both give the same tensor; simplification eliminates the deltas by
substitution, so that what is diagonal, block or of low rank stays a short formula
(Laue, Mitterreiter & Giesen, "Computing Higher Order Derivatives of Matrix and Tensor
Expressions", 2018).
"""

from __future__ import annotations

from collections.abc import Callable

from symgrad.declare import scalar
from symgrad.declare.bodies import substitute
from symgrad.declare.build import apply, movement
from symgrad.declare.comprehension import Comprehension, Guard, Read, affine, along
from symgrad.declare.tensor import Input, Shape, Tensor, constant, make
from symgrad.derivation.batch import batch
from symgrad.derivation.reverse import jvp, vjp

#: What stands for the seed until it is replaced; no user's input has such a name.
SEED = Input("\nseed")


def kronecker_delta(shape: Shape, dtype: str) -> Tensor:
    """Return ``δ[I, J]`` of shape (*shape, *shape): 1 where ``I == J``, else 0.

    >>> kronecker_delta((3,), "float32").shape
    (3, 3)
    """
    rank = len(shape)
    equal = [Guard(affine([(a, 1), (a + rank, -1)]), 1) for a in range(rank)]
    one = Comprehension(
        "delta",
        2 * rank,
        (*shape, *shape),
        scalar.read(0),
        (Read(0, ()),),
        guards=tuple(equal),
    )
    return apply(one, [constant(1.0, dtype)], dtype)


def by_reverse(t: Tensor, wrt: Tensor) -> Tensor:
    """Return ``∂t/∂wrt`` of shape (*t.shape, *wrt.shape), from cotangents."""
    return _for_all(lambda seed: vjp(t, wrt, seed), t.shape, t.dtype)


def by_forward(t: Tensor, wrt: Tensor) -> Tensor:
    """Return ``∂t/∂wrt`` of shape (*t.shape, *wrt.shape), from tangents."""
    found = _for_all(lambda seed: jvp(t, wrt, seed), wrt.shape, wrt.dtype)
    rank = wrt.ndim
    order = [*range(rank, found.ndim), *range(rank)]
    index = [along(order.index(d)) for d in range(found.ndim)]
    return movement("permute_dims", found, (*t.shape, *wrt.shape), index)


def _for_all(linear: Callable[[Tensor], Tensor], shape: Shape, dtype: str) -> Tensor:
    """Return ``linear(e)`` for every unit tensor ``e``, along axes in front."""
    seed = make(SEED, (), shape, dtype)
    found = linear(seed)
    for extent in reversed(shape):
        more = make(SEED, (), (extent, *seed.shape), dtype)
        (found,) = batch([found], {seed: more}, extent)
        seed = more
    (found,) = substitute([found], {seed: kronecker_delta(shape, dtype)})
    return found

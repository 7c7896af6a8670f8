"""Jacobians, Hessians and their products with vectors, as graphs in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from symgrad.declare.bodies import substitute
from symgrad.declare.build import broadcast_to
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.tensor import (
    Input,
    Tensor,
    constant,
    make,
    print_shape,
    topological,
)
from symgrad.derivation.jacobian import by_forward, by_reverse
from symgrad.derivation.reverse import (
    check_wrt,
    flatten,
    forward,
    grad,
    reverse,
    unflatten,
)
from symgrad.errors import GraphError, ShapeError
from symgrad.simplification import simplify
from symgrad.simplification.nodes import measure

#: In larger graphs the sizes alone decide between forward and reverse accumulation.
MOST_NODES = 500


def jacobian(t: Tensor, wrt: Any) -> Any:
    """Return ``∂t/∂wrt`` of shape (*t.shape, *wrt.shape), simplified.

    Kronecker deltas are eliminated by substitution: the Jacobian of ``tanh(x)`` is
    ``diag(1 − tanh²(x))``, that of ``A x`` is ``A``.  Forward or reverse accumulation
    is chosen by what the simplified graph costs.

    Args:
        t: a tensor of a float type, of any shape.
        wrt: a tensor, or a list, tuple or dict of tensors.

    Returns:
        Tensors in the structure of ``wrt``.

    Raises:
        GraphError: a tensor in ``wrt`` is frozen, not of a float type, or ``t`` does
            not depend on it.

    Source: Laue, Mitterreiter & Giesen, "Computing Higher Order Derivatives of Matrix
    and Tensor Expressions" (2018).

    >>> import symgrad as sg
    >>> x, A = sg.input("x", ("n",)), sg.input("A", ("m", "n"))
    >>> print(sg.formula(jacobian(A @ sg.tanh(x), x)))
    A diag(1 − tanh²(x))
    """
    if not isinstance(t, Tensor):
        raise GraphError(f"sg.jacobian derives a tensor, not {type(t).__name__}")
    targets = flatten(wrt)
    check_wrt(targets, [t])
    return unflatten(wrt, [derivative(t, x) for x in targets])


def derivative(t: Tensor, wrt: Tensor) -> Tensor:
    """Return ``∂t/∂wrt`` of any tensor, also one in the middle of the graph."""
    (small,), (x,) = _simple([t], [wrt])
    found = _accumulated(small, x)
    return found if x is wrt else simplify(substitute([found], {x: wrt})[0])


def _simple(
    outputs: Sequence[Tensor], wrt: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the outputs simplified, and ``wrt`` as leaves, which remain in them."""
    leaves = [
        make(Input(f"\npoint {n}"), (), x.shape, x.dtype) if x.args else x
        for n, x in enumerate(wrt)
    ]
    points = {x: leaf for x, leaf in zip(wrt, leaves, strict=True) if x is not leaf}
    return simplify(substitute(outputs, points)), leaves


def _accumulated(t: Tensor, x: Tensor) -> Tensor:
    """Return the derivative by a leaf, by the cheapest order of accumulation."""
    nodes = topological([t])
    if not any(n is x for n in nodes):
        return broadcast_to(constant(0.0, t.dtype), (*t.shape, *x.shape))
    if len(nodes) > MOST_NODES:
        orders = [by_forward if measure(x.shape) < measure(t.shape) else by_reverse]
    else:
        orders = [by_reverse, by_forward]
    return min((simplify(order(t, x)) for order in orders), key=cost)


def cost(t: Tensor) -> int:
    """Return about how many scalar operations it takes to compute a tensor.

    A named dimension counts as large.

    >>> import symgrad as sg
    >>> cost(sg.input("A", (3, 4)) @ sg.input("x", (4,)))
    12
    """
    total = 0
    for node in topological([t]):
        c = node.op
        if isinstance(c, Comprehension) and not c.is_movement:
            total += measure(c.extents)
    return total


def hessian(loss: Tensor, wrt: Any) -> Any:
    """Return the second derivatives ``∂²loss/∂wrt²``, simplified.

    Args:
        loss: a scalar of a float type.
        wrt: a tensor, or a list, tuple or dict of tensors.

    Returns:
        For one tensor ``x``: a tensor of shape (*x.shape, *x.shape).  For a structure:
        that structure, each place holding the structure of derivatives by all tensors.

    Raises:
        ShapeError: ``loss`` is not a scalar.
        GraphError: as ``sg.grad``.

    >>> import symgrad as sg
    >>> x, A = sg.input("x", ("n",)), sg.input("A", ("m", "n"))
    >>> print(sg.formula(hessian(sg.sum((A @ x) ** 2), x)))
    2 Aᵀ A
    """
    gradients, leaves, back = _gradients(loss, wrt)
    rows = []
    for g in gradients:
        row = simplify(substitute([_accumulated(g, x) for x in leaves], back))
        rows.append(unflatten(wrt, row))
    return unflatten(wrt, rows)


def _gradients(
    loss: Tensor, wrt: Any
) -> tuple[list[Tensor], list[Tensor], dict[Tensor, Tensor]]:
    """Return the simplified gradients by leaves, these, and what they stand for."""
    grad(loss, wrt)  # the errors are those of the gradient
    targets = flatten(wrt)
    (small,), leaves = _simple([loss], targets)
    cotangents = reverse([small], leaves, [constant(1.0, loss.dtype)]).cotangents
    zeros = [broadcast_to(constant(0.0, x.dtype), x.shape) for x in leaves]
    found = [cotangents.get(x, zero) for x, zero in zip(leaves, zeros, strict=True)]
    return simplify(found), leaves, dict(zip(leaves, targets, strict=True))


def hvp(loss: Tensor, wrt: Any, v: Any) -> Any:
    """Return the product of the Hessian with ``v``, without the Hessian, simplified.

    The gradient is accumulated in reverse, its derivative along ``v`` forward
    (Pearlmutter, "Fast Exact Multiplication by the Hessian", 1994).

    Args:
        loss: a scalar of a float type.
        wrt: a tensor, or a list, tuple or dict of tensors.
        v: in the structure of ``wrt``: tensors or arrays of these shapes.

    Raises:
        ShapeError: ``loss`` is not a scalar, or a vector does not fit its tensor.
        GraphError: as ``sg.grad``.

    >>> import symgrad as sg
    >>> A = sg.input("A", ("m", "n"))
    >>> x, v = sg.input("x", ("n",)), sg.input("v", ("n",))
    >>> print(sg.formula(hvp(sg.sum((A @ x) ** 2), x, v)))
    2 Aᵀ A v
    """
    targets, directions = flatten(wrt), flatten(v)
    gradients, leaves, back = _gradients(loss, wrt)
    if len(directions) != len(targets):
        raise GraphError(
            f"sg.hvp: wrt holds {len(targets)} tensors, but v holds {len(directions)}; "
            "give one vector for each"
        )
    tangents = {}
    for x, leaf, d in zip(targets, leaves, directions, strict=True):
        d = d if isinstance(d, Tensor) else constant(d, x.dtype)
        if d.shape != x.shape:
            raise ShapeError(
                f"sg.hvp: the vector for {x.describe()} has the shape "
                f"{print_shape(d.shape)}; it has to be {print_shape(x.shape)}"
            )
        tangents[leaf] = d
    found = simplify(forward(gradients, tangents))
    return unflatten(wrt, simplify(substitute(found, back)))

"""The two programs of ``vjp``: forward, which keeps residuals, and backward.

A *residual* is a value that the backward graph reads and that does not depend on a
cotangent: ``1 - tanh²(x)`` of a tanh, the mask of a relu, the matrices of a product.
The forward program returns them beside the function's value, so that pulling computes
nothing again; arguments themselves are read where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from symgrad.declare.bodies import substitute
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.tensor import Input, Tensor, as_tensor, input, topological
from symgrad.simplification import simplify
from symgrad.transforms import differentiate
from symgrad.transforms.programs import Function
from symgrad.transforms.trees import unflatten


class Split(NamedTuple):
    """A function derived at a point, cut between forward and backward."""

    traced: differentiate.Traced
    seeds: list[Tensor]
    cotangents: list[Tensor]
    residuals: list[Tensor]


def split(fun: Callable[..., Any], primals: Sequence[Any], has_aux: bool) -> Split:
    """Trace and derive a function; what is kept is the same for the same shapes."""
    every = tuple(range(len(primals)))
    traced = differentiate.call_at("sg.vjp", fun, primals, {}, every, has_aux)
    seeds = [
        input(f"cotangent{n}", t.shape, t.dtype) for n, t in enumerate(traced.outputs)
    ]
    pulled = differentiate.pull(traced.outputs, traced.point.inputs, seeds)
    found = simplify([*traced.outputs, *pulled])[len(traced.outputs) :]
    return Split(traced, seeds, found, _residuals(found, seeds))


def _residuals(found: Sequence[Tensor], seeds: Sequence[Tensor]) -> list[Tensor]:
    """Return the values between inputs and backward graph, in order of their use."""
    after, computed = set(seeds), set()
    kept: dict[Tensor, None] = {}
    for t in topological(found):
        if any(a in after for a in t.args):
            after.add(t)
        elif isinstance(t.op, Input) or any(a in computed for a in t.args):
            computed.add(t)
    for t in topological(found):
        ends = t.args if t in after else (t,) if t in set(found) else ()
        for a in ends:
            if a not in after and a in computed:
                kept[_stored(a)] = None
    return [t for t in kept if not isinstance(t.op, Input)]


def _stored(t: Tensor) -> Tensor:
    """Return what a value is a view of: a broadcast or transpose is not stored."""
    while isinstance(t.op, Comprehension) and t.op.is_movement and len(t.args) == 1:
        t = t.args[0]
    return t


class Pull:
    """The function that pulls cotangents back: a program of the backward pass only."""

    def __init__(
        self,
        backward: Function,
        primals: Sequence[Any],
        residuals: Sequence[Any],
    ) -> None:
        self._backward = backward
        self._kept = tuple(primals), tuple(residuals)

    def __call__(self, cotangents: Any) -> Any:
        """Return the cotangents of every argument, as a tuple."""
        return self._backward(*self._kept, cotangents)

    def program(self, cotangents: Any) -> Any:
        """Return the program that would run, to be looked at."""
        return self._backward.program(*self._kept, cotangents)


def vjp(fun: Callable[..., Any], primals: Sequence[Any], has_aux: bool) -> Any:
    """Return ``(value, pull)``, or ``(value, pull, aux)``."""

    def forward(*args: Any) -> Any:
        found = split(fun, args, has_aux)
        point, traced = found.traced.point, found.traced
        outputs = [*traced.outputs, *traced.aux, *found.residuals]
        values = point.resolve(outputs)
        count, end = len(traced.outputs), len(traced.outputs) + len(traced.aux)
        value = unflatten(traced.form, values[:count])
        rest = traced.aux_form
        aux = None if rest is None else unflatten(rest, values[count:end])
        return value, aux, values[end:]

    def backward(args: Any, residuals: Any, cotangents: Any) -> Any:
        found = split(fun, args, has_aux)
        point, traced = found.traced.point, found.traced
        given = differentiate.match(
            "sg.vjp", "cotangent", cotangents, traced.form, traced.outputs
        )
        known = dict(zip(found.seeds, given, strict=True))
        known |= zip(found.residuals, map(as_tensor, residuals), strict=True)
        pulled = point.resolve(substitute(found.cotangents, known))
        return unflatten(point.tree, pulled)

    one = Function(forward, fun, ("vjp forward", has_aux))
    two = Function(backward, fun, ("vjp backward", has_aux), backward)
    value, aux, residuals = one(*primals)
    pull = Pull(two, primals, residuals)
    return (value, pull, aux) if has_aux else (value, pull)

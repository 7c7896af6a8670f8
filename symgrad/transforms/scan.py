"""``sg.scan``: a Python function, traced once, becomes the step of a loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from symgrad.declare import bodies
from symgrad.declare.build import cast
from symgrad.declare.dims import Size
from symgrad.declare.loop import loop
from symgrad.declare.ops.shape import concat, reshape
from symgrad.declare.tensor import Tensor, as_shape, as_tensor, input
from symgrad.errors import DTypeError, GraphError, ShapeError
from symgrad.transforms import tracing
from symgrad.transforms.programs import check_callable, function_name
from symgrad.transforms.trees import LEAF, Tree, flatten, paths, show, unflatten


def scan(
    step: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: Size | str | None = None,
    reverse: bool = False,
    checkpoint_every: int | None = None,
) -> tuple[Any, Any]:
    """Return the last carry, and what a step gives stacked along a new leading axis.

    ``carry, y = step(carry, x)`` for each element ``x`` along the leading axis of
    ``xs``, beginning with ``carry = init``; the semantics are ``jax.lax.scan``'s.  The
    step is traced once and compiled as one loop, whatever its length; tensors that it
    closes over can be differentiated like any others.

    Args:
        step: takes a carry and an element; ``x`` is None where there is no ``xs``.
        init: the first carry: a tensor, or tuples, lists and dicts of them.
        xs: tensors with equal leading dimensions, in any such structure.
        length: the number of steps, where there is no ``xs``; a name, too.
        reverse: begin with the last element; ``ys`` have the order of ``xs``.
        checkpoint_every: store only the carry of every so many steps for derivatives,
            which compute the steps between again: memory for ``length/every + every``
            steps in place of ``length``.

    Returns:
        ``(carry, ys)``, in the structures that the step gives.

    Raises:
        ShapeError: leading dimensions differ, or a carry changes its shape.
        DTypeError: a carry changes its type.
        GraphError: the step does not give a pair, or a carry changes its structure.

    >>> import numpy as np, symgrad as sg
    >>> x = sg.input("x", ("n",))
    >>> total, sums = scan(lambda c, x: (c + x, c + x), 0.0, x)
    >>> sg.compile([x], [total, sums])(np.ones(3, np.float32))
    [array(3., dtype=float32), array([1., 2., 3.], dtype=float32)]
    """
    check_callable("sg.scan", step)
    call = _Call(step, init, xs, length)
    if checkpoint_every is None:
        return call.run(reverse)
    return _checkpointed(call, reverse, checkpoint_every)


class _Call:
    """The arguments of a scan, checked, and its traced step."""

    def __init__(self, step: Any, init: Any, xs: Any, length: Any) -> None:
        self.step, self.name = step, function_name(step)
        carries, self.tree = flatten(init)
        names = paths(self.tree, "init")
        self.weak = [type(c) in (bool, int, float) for c in carries]
        self.carries = tracing.as_tensors(carries, names)
        self.carries = [
            cast(t, "float32") if weak and type(c) is float else t
            for t, weak, c in zip(self.carries, self.weak, carries, strict=True)
        ]
        leaves, self.xs_tree = flatten(xs)
        self.xs_names = paths(self.xs_tree, "xs")
        self.xs = tracing.as_tensors(leaves, self.xs_names)
        self.length = self._length(length)
        self._trace()

    def _length(self, length: Any) -> Size:
        found: list[tuple[Size, str]] = []
        if length is not None:
            found.append((as_shape(length, "length")[0], f"length is {length}"))
        for t, name in zip(self.xs, self.xs_names, strict=True):
            if not t.ndim:
                raise ShapeError(
                    f"scan: {name} is {t.describe()}, which has no leading axis to go "
                    "along; close over what is the same in every step"
                )
            found.append((t.shape[0], f"{name} has {t.shape[0]} elements"))
        if not found:
            raise GraphError(
                f"scan of {self.name}: without xs, length= has to say how many steps "
                "there are"
            )
        if any(size != found[0][0] for size, _ in found):
            texts = ", ".join(dict.fromkeys(text for _, text in found))
            raise ShapeError(
                f"scan of {self.name}: the lengths along the leading axis differ: "
                f"{texts}"
            )
        return found[0][0]

    def _trace(self) -> None:
        """Call the step with leaves; once more if a plain number has to be wider."""
        elements = [
            input(name, t.shape[1:], t.dtype)
            for t, name in zip(self.xs, self.xs_names, strict=True)
        ]
        while True:
            leaves = [
                input(name, t.shape, t.dtype)
                for t, name in zip(self.carries, paths(self.tree, "carry"), strict=True)
            ]
            carries = unflatten(self.tree, leaves)
            with tracing.active():
                made = self.step(carries, unflatten(self.xs_tree, elements))
            if not isinstance(made, tuple) or len(made) != 2:
                raise GraphError(
                    f"scan: {self.name} has to return (carry, y), not "
                    f"{type(made).__name__}; y may be None"
                )
            updates, tree = tracing.outputs(made[0], self.name)
            self.ys, self.ys_tree = tracing.outputs(made[1], self.name)
            self._check_structure(tree)
            wider = [
                cast(c, u.dtype) if weak and u.dtype != c.dtype else c
                for c, u, weak in zip(self.carries, updates, self.weak, strict=True)
            ]
            if all(w is c for w, c in zip(wider, self.carries, strict=True)):
                break
            self.carries, self.weak = wider, [False] * len(wider)
        updates = self._fitting(leaves, updates)
        self.cut = [*leaves, *elements]
        self.updates = updates

    def _check_structure(self, tree: Tree) -> None:
        if tree != self.tree:
            raise GraphError(
                f"scan: {self.name} takes a carry of the form {_shown(self.tree)}, but "
                f"returns {_shown(tree)}; a carry has the same structure in every step"
            )

    def _fitting(
        self, leaves: Sequence[Tensor], updates: Sequence[Tensor]
    ) -> list[Tensor]:
        """Return the updates, if they have the carries' shapes and types."""
        names = paths(self.tree, "carry")
        for name, before, after in zip(names, leaves, updates, strict=True):
            old = tracing.signature(before.shape, before.dtype)
            new = tracing.signature(after.shape, after.dtype)
            if before.shape != after.shape:
                raise ShapeError(
                    f"scan: {self.name} takes {name} as {old}, but returns it as "
                    f"{new}; a carry has the same shape in every step: give init that "
                    "shape (sg.broadcast_to)"
                )
            if before.dtype != after.dtype:
                raise DTypeError(
                    f"scan: {self.name} takes {name} as {old}, but returns it as "
                    f"{new}; a carry has the same type in every step: convert init or "
                    "the result with .astype"
                )
        return list(updates)

    def run(
        self,
        reverse: bool,
        carries: Sequence[Tensor] | None = None,
        xs: Sequence[Tensor] | None = None,
        length: Size | None = None,
        recompute: bool = False,
    ) -> tuple[Any, Any]:
        """Return the results of the loop, by default over everything."""
        body = bodies.closed([*self.updates, *self.ys], self.cut)
        count = len(self.updates)
        made = loop(
            self.length if length is None else length,
            body.formals,
            body.values[:count],
            len(self.xs),
            reverse,
            recompute,
        )
        carries = self.carries if carries is None else carries
        args = [*carries, *(self.xs if xs is None else xs), *body.operands]
        last = [bodies.final(made, args, n) for n in range(count)]
        ys = [bodies.stacked(made, args, v) for v in body.values[count:]]
        return unflatten(self.tree, last), unflatten(self.ys_tree, ys)


def _shown(tree: Tree) -> str:
    return "one array" if tree is LEAF else show(tree)


def _checkpointed(call: _Call, reverse: bool, every: int) -> tuple[Any, Any]:
    """Return a loop over blocks of steps; a block's derivative computes it again."""
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise GraphError(
            f"scan: checkpoint_every is a positive number of steps, not {every!r}"
        )
    blocks = call.length // every
    whole = blocks * every
    rest = call.length - whole

    def block(carries: Any, xs: Any) -> tuple[Any, Any]:
        return call.run(reverse, flatten(carries)[0], list(xs), every)

    def tail(carries: Sequence[Tensor]) -> tuple[Any, Any]:
        xs = [bodies.part(t, whole, rest) for t in call.xs]
        return call.run(reverse, carries, xs, rest)

    carries, after = list(call.carries), None
    if reverse and rest != 0:
        made, after = tail(carries)
        carries = flatten(made)[0]
    xs = tuple(
        reshape(bodies.part(t, 0, whole), (blocks, every, *t.shape[1:]))
        for t in call.xs
    )
    outer = _Call(block, unflatten(call.tree, carries), xs, blocks)
    last, stacks = outer.run(reverse, recompute=True)
    ys = [reshape(y, (whole, *y.shape[2:])) for y in flatten(stacks)[0]]
    if not reverse and rest != 0:
        last, after = tail(flatten(last)[0])
    if after is not None:
        ys = [
            concat([y, more], axis=0)
            for y, more in zip(ys, flatten(after)[0], strict=True)
        ]
    return last, unflatten(call.ys_tree, ys)


def checkpoint(fun: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``fun`` with derivatives that compute it again in place of storing it.

    It is a loop of one step that says so; what the function computes inside is not
    kept for the backward pass.

    >>> import symgrad as sg
    >>> x = sg.input("x", (3,))
    >>> checkpoint(sg.tanh)(x).shape
    (3,)
    """
    check_callable("sg.checkpoint", fun)

    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        leaves, tree = flatten((args, kwargs))
        places = [n for n, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
        given = [leaves[n] for n in places]
        inside = [input(t.name or "x", t.shape, t.dtype) for t in given]
        for n, t in zip(places, inside, strict=True):
            leaves[n] = t
        arguments, named = unflatten(tree, leaves)
        with tracing.active():
            made, form = tracing.outputs(fun(*arguments, **named), function_name(fun))
        body = bodies.closed(made, inside)
        once = loop(1, body.formals, (), 0, recompute=True)
        operands = [*given, *body.operands]
        found = [bodies.stacked(once, operands, as_tensor(v)) for v in body.values]
        return unflatten(form, [bodies.element(t, 0) for t in found])

    return checkpointed

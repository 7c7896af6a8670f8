"""vmap of Python functions, on tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from symgrad.declare.build import broadcast_to, movement
from symgrad.declare.comprehension import along
from symgrad.declare.dims import Size
from symgrad.declare.tensor import Tensor, input
from symgrad.derivation.batch import vectorized
from symgrad.errors import GraphError, ShapeError
from symgrad.transforms import tracing
from symgrad.transforms.arguments import leaf_names, positional_names
from symgrad.transforms.programs import function_name
from symgrad.transforms.trees import flatten, paths, spread, unflatten


def vmap(fun: Callable[..., Any], in_axes: Any, out_axes: Any) -> Callable[..., Any]:
    """Return ``fun`` for every element along an axis of its arguments."""

    def derived(*args: Any, **kwargs: Any) -> Any:
        names = leaf_names(positional_names(fun, len(args)), args, kwargs)
        leaves, tree = flatten((args, kwargs))
        actual = tracing.as_tensors(leaves, names)
        axes = _in_axes(in_axes, args, kwargs)
        size = _size(actual, axes, names)
        fresh: dict[Tensor, Tensor] = {}
        given: list[Any] = []
        for t, leaf, axis, name in zip(actual, leaves, axes, names, strict=True):
            if axis is None:
                given.append(t if isinstance(leaf, Tensor) else leaf)
                continue
            front = _to_front(t, axis % t.ndim)
            one = input(name, front.shape[1:], t.dtype)
            fresh[one] = front
            given.append(one)
        few, named = unflatten(tree, given)
        outputs, form = tracing.outputs(fun(*few, **named), function_name(fun))
        found = vectorized(outputs, fresh, size)
        places = spread(out_axes, form, "out_axes")
        results = [
            _placed(t, found.get(t), axis, size, name)
            for t, axis, name in zip(
                outputs, places, paths(form, "result"), strict=True
            )
        ]
        return unflatten(form, results)

    return derived


def _in_axes(
    in_axes: Any, args: Sequence[Any], kwargs: dict[str, Any]
) -> list[int | None]:
    """Return the mapped axis of each leaf; keyword arguments are mapped along 0."""
    if isinstance(in_axes, list | tuple) and len(in_axes) != len(args):
        raise GraphError(
            f"vmap: in_axes={in_axes!r} has {len(in_axes)} entries, but there are "
            f"{len(args)} positional arguments"
        )
    prefix = tuple(in_axes) if isinstance(in_axes, list) else in_axes
    axes = spread(prefix, flatten(tuple(args))[1], "in_axes")
    return axes + [0] * len(flatten(kwargs)[0])


def _size(
    tensors: Sequence[Tensor], axes: Sequence[int | None], names: Sequence[str]
) -> Size:
    """Return the common extent of the mapped axes."""
    found: list[tuple[Size, str]] = []
    for t, axis, name in zip(tensors, axes, names, strict=True):
        if axis is None:
            continue
        if not -t.ndim <= axis < t.ndim:
            raise ShapeError(
                f"vmap: the argument {name} has no axis {axis}: it is "
                f"{tracing.signature(t.shape, t.dtype)}; give None in in_axes for what "
                "is not mapped"
            )
        found.append((t.shape[axis], f"{name} has {t.shape[axis]} along axis {axis}"))
    if not found:
        raise GraphError("vmap: in_axes maps no argument; at least one needs an axis")
    if any(size != found[0][0] for size, _ in found):
        sizes = ", ".join(dict.fromkeys(text for _, text in found))
        raise ShapeError(f"vmap: the mapped axes have different sizes: {sizes}")
    return found[0][0]


def _to_front(t: Tensor, axis: int) -> Tensor:
    order = [axis, *(d for d in range(t.ndim) if d != axis)]
    index = [along(order.index(d)) for d in range(t.ndim)]
    return movement("transpose", t, tuple(t.shape[d] for d in order), index)


def _placed(
    one: Tensor, many: Tensor | None, axis: int | None, size: Size, name: str
) -> Tensor:
    """Return a result with the new axis at its place."""
    if axis is None:
        if many is not None:
            raise GraphError(
                f"vmap: out_axes is None for {name}, but it depends on a mapped "
                "argument; give an axis"
            )
        return one
    rank = one.ndim + 1
    if not -rank <= axis < rank:
        raise ShapeError(
            f"vmap: out_axes={axis} for {name}, which has {rank} dimensions"
        )
    if many is None:
        many = broadcast_to(one, (size, *one.shape))
    order = list(range(1, rank))
    order.insert(axis % rank, 0)
    index = [along(order.index(d)) for d in range(rank)]
    return movement("transpose", many, tuple(many.shape[d] for d in order), index)

"""Derivatives of Python functions, on tensors: each is traced, derived, and inlined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, NamedTuple

from symgrad.declare import dtypes
from symgrad.declare.build import broadcast_to
from symgrad.declare.ops.shape import permute_dims
from symgrad.declare.tensor import Tensor, constant, print_shape
from symgrad.derivation.reverse import forward, reverse
from symgrad.errors import DTypeError, GraphError, ShapeError
from symgrad.transforms import tracing
from symgrad.transforms.arguments import check_argnums, leaf_names, positional_names
from symgrad.transforms.jacobian import derivative
from symgrad.transforms.programs import function_name
from symgrad.transforms.tracing import Point
from symgrad.transforms.trees import Tree, flatten, paths, show, unflatten

Argnums = int | tuple[int, ...]


class Traced(NamedTuple):
    """A function called at a point: what it returned, as tensors."""

    point: Point
    outputs: list[Tensor]
    form: Tree
    aux: list[Tensor]
    aux_form: Tree | None

    def scalar(self, what: str, fun: Callable[..., Any]) -> Tensor:
        """Return the single scalar that the function returned, or raise an error."""
        if len(self.outputs) != 1 or self.form.kind is not None:
            raise ShapeError(
                f"{what} needs a function that returns a scalar, but "
                f"{function_name(fun)} returns {show(self.form)}; use has_aux=True for "
                "further results, or sg.jacobian"
            )
        (loss,) = self.outputs
        scalar_result(what, function_name(fun), loss)
        return loss


def call_at(
    what: str,
    fun: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    argnums: Argnums,
    has_aux: bool = False,
) -> Traced:
    """Trace ``fun`` with inputs of their own in place of the arguments ``argnums``."""
    places = check_argnums(what, argnums, len(args))
    names = positional_names(fun, len(args))
    chosen = tuple(args[n] for n in places)
    point = Point(chosen, leaf_names([names[n] for n in places], chosen, {}))
    point.check_float(what)
    everything = list(args)
    for n, value in zip(places, point.value, strict=True):
        everything[n] = value
    result = fun(*everything, **kwargs)
    aux: Any = None
    if has_aux:
        if not isinstance(result, tuple) or len(result) != 2:
            raise GraphError(
                f"{what} with has_aux=True: {function_name(fun)} must return a pair "
                f"(value, aux), not {type(result).__name__}"
            )
        result, aux = result
    outputs, form = tracing.outputs(result, function_name(fun))
    extra, aux_form = tracing.outputs(aux, function_name(fun))
    return Traced(point, outputs, form, extra, aux_form if has_aux else None)


def by_arguments(found: Sequence[Any], point: Point, argnums: Argnums) -> Any:
    """Return one value for each leaf in the structure of the chosen arguments."""
    parts = unflatten(point.tree, found)
    return parts[0] if isinstance(argnums, int) else parts


def scalar_result(what: str, name: str, loss: Tensor) -> None:
    """Raise an error unless ``loss``, which ``name`` returns, is a float scalar."""
    if loss.shape != ():
        raise ShapeError(
            f"{what} needs a function that returns a scalar, but {name} returns "
            f"{tracing.signature(loss.shape, loss.dtype)}; sum it, or use sg.jacobian "
            "or sg.vjp"
        )
    if not dtypes.is_float(loss.dtype):
        raise DTypeError(
            f"{what}: {name} returns {loss.dtype}, which has no derivative; it has to "
            "return a float"
        )


def pull(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], cotangents: Sequence[Tensor]
) -> list[Tensor]:
    """Return the cotangents of ``inputs``; zeros where nothing depends on one."""
    found = reverse(outputs, inputs, cotangents).cotangents
    return [
        found[t] if t in found else broadcast_to(constant(0.0, t.dtype), t.shape)
        for t in inputs
    ]


def value_and_grad(
    what: str, fun: Callable[..., Any], argnums: Argnums, has_aux: bool
) -> Callable[..., Any]:
    """Return the function that gives ``(value, gradient)``."""

    @wraps(fun, updated=())
    def derived(*args: Any, **kwargs: Any) -> Any:
        traced = call_at(what, fun, args, kwargs, argnums, has_aux)
        loss = traced.scalar(what, fun)
        point = traced.point
        gradients = pull([loss], point.inputs, [constant(1.0, loss.dtype)])
        value, *rest = point.resolve([loss, *traced.aux, *gradients])
        aux, found = rest[: len(traced.aux)], rest[len(traced.aux) :]
        result: Any = value
        if traced.aux_form is not None:
            result = (value, unflatten(traced.aux_form, aux))
        return result, by_arguments(found, point, argnums)

    return derived


def grad(
    fun: Callable[..., Any], argnums: Argnums, has_aux: bool
) -> Callable[..., Any]:
    """Return the function that gives the gradient."""
    both = value_and_grad("sg.grad", fun, argnums, has_aux)

    @wraps(fun, updated=())
    def derived(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return derived


def jacobian(
    what: str, fun: Callable[..., Any], argnums: Argnums, has_aux: bool
) -> Callable[..., Any]:
    """Return the function that gives the Jacobian, by outputs and then arguments."""

    @wraps(fun, updated=())
    def derived(*args: Any, **kwargs: Any) -> Any:
        traced = call_at(what, fun, args, kwargs, argnums, has_aux)
        point = traced.point
        check_outputs(what, fun, traced)
        blocks = [d for y in traced.outputs for d in _rows(y, point.inputs)]
        found = point.resolve([*blocks, *traced.aux])
        width = len(point.inputs)
        rows = [
            by_arguments(found[start : start + width], point, argnums)
            for start in range(0, len(blocks), width)
        ]
        result = unflatten(traced.form, rows)
        if traced.aux_form is None:
            return result
        return result, unflatten(traced.aux_form, found[len(blocks) :])

    return derived


def hessian(
    fun: Callable[..., Any], argnums: Argnums, has_aux: bool
) -> Callable[..., Any]:
    """Return the function that gives second derivatives, by pairs of arguments."""
    what = "sg.hessian"
    rows_of = jacobian(what, fun, argnums, has_aux)
    of_any_shape = jacobian(what, rows_of, argnums, has_aux)

    @wraps(fun, updated=())
    def derived(*args: Any, **kwargs: Any) -> Any:
        traced = call_at(what, fun, args, kwargs, argnums, has_aux)
        check_outputs(what, fun, traced)
        point = traced.point
        if traced.form.kind is not None or traced.outputs[0].shape != ():
            return of_any_shape(*args, **kwargs)
        blocks = _symmetric_blocks(traced.outputs[0], point.inputs)
        found = point.resolve([*blocks, *traced.aux])
        width = len(point.inputs)
        rows = [
            by_arguments(found[start : start + width], point, argnums)
            for start in range(0, len(blocks), width)
        ]
        result = by_arguments(rows, point, argnums)
        if traced.aux_form is None:
            return result
        return result, unflatten(traced.aux_form, found[len(blocks) :])

    return derived


def _symmetric_blocks(loss: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return the second derivatives by all pairs; one of each pair is transposed."""
    found: dict[tuple[int, int], Tensor] = {}
    gradients = pull([loss], inputs, [constant(1.0, loss.dtype)])
    for i, g in enumerate(gradients):
        for j, x in enumerate(inputs):
            if i <= j:
                found[i, j] = derivative(g, x)
                continue
            other, count = found[j, i], x.ndim
            order = [*range(count, other.ndim), *range(count)]
            found[i, j] = permute_dims(other, order)
    return [found[i, j] for i in range(len(inputs)) for j in range(len(inputs))]


def _rows(y: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return the derivatives of one output by each input."""
    if y.shape == ():  # reverse accumulation finds them all together
        return pull([y], inputs, [constant(1.0, y.dtype)])
    return [derivative(y, x) for x in inputs]


def check_outputs(what: str, fun: Callable[..., Any], traced: Traced) -> None:
    """Raise DTypeError for a result that has no derivative, naming where it is."""
    for t, path in zip(traced.outputs, paths(traced.form, "result"), strict=True):
        if not dtypes.is_float(t.dtype):
            raise DTypeError(
                f"{what}: {function_name(fun)} returns {t.dtype} ({path}), which has "
                "no derivative; use has_aux=True for results that are no floats"
            )


def jvp(fun: Callable[..., Any], has_aux: bool) -> Callable[..., Any]:
    """Return the function of ``(primals, tangents)`` that gives value and tangent."""

    def derived(primals: Any, tangents: Any) -> Any:
        primals, tangents = _pair("sg.jvp", primals, tangents)
        traced = call_at("sg.jvp", fun, primals, {}, _all(primals), has_aux)
        point = traced.point
        seeds = match("sg.jvp", "tangent", tangents, point.tree, point.actual)
        moved = forward(traced.outputs, dict(zip(point.inputs, seeds, strict=True)))
        found = point.resolve([*traced.outputs, *moved, *traced.aux])
        count = len(traced.outputs)
        result = (
            unflatten(traced.form, found[:count]),
            unflatten(traced.form, found[count : 2 * count]),
        )
        if traced.aux_form is None:
            return result
        return *result, unflatten(traced.aux_form, found[2 * count :])

    return derived


def hvp(fun: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function of ``(primals, tangents)`` that gives Hessian times vector.

    The gradient is accumulated in reverse, its derivative along the vector forward
    (Pearlmutter, "Fast Exact Multiplication by the Hessian", 1994).
    """

    def derived(primals: Any, tangents: Any) -> Any:
        primals, tangents = _pair("sg.hvp", primals, tangents)
        traced = call_at("sg.hvp", fun, primals, {}, _all(primals))
        loss = traced.scalar("sg.hvp", fun)
        point = traced.point
        seeds = match("sg.hvp", "vector", tangents, point.tree, point.actual)
        gradients = pull([loss], point.inputs, [constant(1.0, loss.dtype)])
        moved = forward(gradients, dict(zip(point.inputs, seeds, strict=True)))
        found = unflatten(point.tree, point.resolve(moved))
        return found[0] if len(found) == 1 else found

    return derived


def _all(primals: Sequence[Any]) -> tuple[int, ...]:
    return tuple(range(len(primals)))


def _pair(what: str, primals: Any, tangents: Any) -> tuple[tuple, tuple]:
    """Return primals and tangents as tuples of equal length."""
    for name, value in (("primals", primals), ("tangents", tangents)):
        if not isinstance(value, tuple | list):
            raise GraphError(
                f"{what}: {name} is a tuple with one entry for each argument; for one "
                f"argument write ({name[:-1]},)"
            )
    if len(primals) != len(tangents):
        raise GraphError(
            f"{what}: there are {len(primals)} primals, but {len(tangents)} tangents"
        )
    return tuple(primals), tuple(tangents)


def match(
    what: str, kind: str, value: Any, form: Tree, beside: Sequence[Tensor]
) -> list[Tensor]:
    """Return tangents (or cotangents) as tensors, checked against what they belong to.

    Raises:
        GraphError: the structure differs.
        ShapeError: a shape differs, naming where.
    """
    leaves, tree = flatten(value)
    if tree != form:
        raise GraphError(
            f"{what}: the {kind}s have the structure {show(tree)}, but {show(form)} is "
            "needed"
        )
    names = paths(form, kind)
    found = []
    for t, other, name in zip(
        tracing.as_tensors(leaves, names), beside, names, strict=True
    ):
        if t.shape != other.shape:
            raise ShapeError(
                f"{what}: {name} has the shape {print_shape(t.shape)}, but it belongs "
                f"to {print_shape(other.shape)}"
            )
        if not dtypes.is_float(t.dtype) and dtypes.is_float(other.dtype):
            raise DTypeError(f"{what}: {name} is {t.dtype}; it has to be a float")
        found.append(t.astype(other.dtype))  # type: ignore[attr-defined]
    return found

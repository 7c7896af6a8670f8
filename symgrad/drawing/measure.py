"""Norms of tensors on data: one compiled program for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from symgrad.declare.build import cast, elementwise, reduction
from symgrad.declare.tensor import Input, Param, Tensor, topological
from symgrad.errors import GraphError

#: More tensors than this are kept whole, and their norms computed by NumPy.
MANY = 500


def norms(
    loss: Tensor,
    tensors: Sequence[Tensor],
    data: Mapping[str, Any] | None,
    params: Mapping[str, Any] | None,
) -> list[float]:
    """Return the Euclidean norm of each tensor.

    Args:
        loss: the output; its parameters start as ``sg.init`` says if none are given.
        tensors: what is measured.
        data: an array for each input by name.
        params: an array for each parameter by name.

    Raises:
        GraphError: an input has no array.
    """
    from symgrad.pipeline import compile

    if not tensors:
        return []
    # of very many, kernels for the norms would take longest to compile
    many = len(tensors) > MANY
    sizes = list(tensors) if many else [norm(t) for t in tensors]
    order = topological(sizes)
    known = [n for n in topological([loss, *sizes]) if isinstance(n.op, Input)]
    used = set(order)
    # an input that no norm reads may be the only one that tells a size
    inputs = [n for n in known if n in used or n.name in (data or {})]
    arrays, values = arguments(loss, inputs, order, data, params)
    found = compile(inputs, sizes)(*arrays, params=values)
    if many:
        return [float(np.linalg.norm(np.asarray(v, "float64").ravel())) for v in found]
    return [float(v) for v in found]


def arguments(
    loss: Tensor,
    inputs: Sequence[Tensor],
    order: Sequence[Tensor],
    data: Mapping[str, Any] | None,
    params: Mapping[str, Any] | None,
) -> tuple[list[Any], dict[str, Any]]:
    """Return the arrays of some inputs, and of the parameters among some nodes.

    Numbers of another type are converted, unless a float would become an integer.

    Raises:
        GraphError: one has no array.
        DTypeError: one holds no numbers, or floats for an integer.
    """
    from symgrad.train.data import as_input, checked_dict
    from symgrad.train.initialize import init

    given = checked_dict("data", data or {})
    missing = [n for n in inputs if n.name not in given]
    if missing:
        names = ", ".join(n.describe() for n in missing)
        raise GraphError(
            f"the gradient is measured on data, and there is none for "
            f"{names}; give data={{{missing[0].name!r}: array, …}}"
        )
    needed = {n.name or "": n for n in order if isinstance(n.op, Param)}
    values = init(loss, seed=0) if params is None else checked_dict("params", params)
    absent = [n for n in needed if n not in values]
    if absent:
        raise GraphError(f"params has no array for {', '.join(map(repr, absent))}")
    arrays = [as_input("data", n, given[n.name or ""]) for n in inputs]
    return arrays, {n: as_input("params", p, values[n]) for n, p in needed.items()}


def norm(t: Tensor) -> Tensor:
    """Return the Euclidean norm, summed in float64: squares overflow float32."""
    squares = elementwise("square", cast(t, "float64"))
    return elementwise("sqrt", reduction("sum", squares, range(t.ndim)))

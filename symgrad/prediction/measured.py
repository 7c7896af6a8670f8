"""The values of all nodes for given data: what a bound at these data rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from symgrad.declare import dtypes
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.tensor import Input, Param, Tensor, topological
from symgrad.errors import GraphError
from symgrad.pipeline import compile
from symgrad.prediction.facts import Facts, Known
from symgrad.train.initialize import name_of


def measured(
    loss: Tensor, params: Mapping[str, np.ndarray], data: Mapping[str, np.ndarray]
) -> dict[Tensor, Facts]:
    """Return the values of the nodes of floats on which a bound rests, computed once.

    What lies inside a chain of elementwise functions follows from what enters it.

    Raises:
        GraphError: there is no array for one of the inputs.
    """
    order = topological([loss])
    inputs = [t for t in order if isinstance(t.op, Input)]
    for t in inputs:
        if name_of(t) not in data:
            raise GraphError(
                f"measure=True runs the loss, but data has no array for {t.describe()}"
            )
    chained = {
        id(a) for t in order for a in t.args if _elementwise(t) and _elementwise(a)
    } - {id(a) for t in order for a in t.args if not _elementwise(t)}
    inner = [
        t for t in order if t.args and dtypes.is_float(t.dtype) and id(t) not in chained
    ]
    program = compile(inputs, inner)
    needed = [name_of(t) for t in topological(inner) if isinstance(t.op, Param)]
    arrays = {name: params[name] for name in needed}
    values = program(*_typed(inputs, data), params=arrays)
    return {t: Known(v) for t, v in zip(inner, values, strict=True)}


def _elementwise(t: Tensor) -> bool:
    return isinstance(t.op, Comprehension) and t.op.is_elementwise


def _typed(
    inputs: Sequence[Tensor], data: Mapping[str, np.ndarray]
) -> list[np.ndarray]:
    return [np.asarray(data[name_of(t)], t.dtype) for t in inputs]

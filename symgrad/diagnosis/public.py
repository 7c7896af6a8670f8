"""``sg.diagnose``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from symgrad.declare import dtypes
from symgrad.declare.mode import on_average
from symgrad.declare.tensor import Tensor, print_shape
from symgrad.diagnosis.evidence import MOST, Run, collect, curve, foresee
from symgrad.diagnosis.findings import conclude
from symgrad.diagnosis.layers import model_of
from symgrad.diagnosis.report import Diagnosis
from symgrad.errors import GraphError, ShapeError
from symgrad.train.data import as_input, check_keys, checked_dict, inputs_of
from symgrad.train.initialize import init, name_of
from symgrad.train.trainer import Trainer


def diagnose(
    loss_or_trainer: Any,
    data: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    history: Any = None,
    batch_size: int | None = None,
) -> Diagnosis:
    """Say what is wrong with a model or a training run, and why.

    Args:
        loss_or_trainer: a scalar tensor, or the trainer of a run.
        data: an array of samples for each input; more than 4,096 are sampled.  Without
            any, what the formulas predict is all that is said.
        params: parameters by name; by default those of the trainer, or as
            ``sg.init(loss, seed=0)`` makes them.
        history: the losses so far: a table with a column ``loss`` or a list; by
            default the trainer's.
        batch_size: samples in a training step; by default what the trainer's steps
            and epochs tell, else 32.

    Returns:
        A ``Diagnosis``: ``.findings`` (causes first), ``.layers``, ``str()``, and
        ``.save("report.html")``.  The run is not changed.

    Raises:
        GraphError: it is neither a loss nor a trainer, or some arrays are missing.
        ShapeError: the loss is not a scalar, or there is no sample.

    >>> import symgrad as sg
    >>> x, W = sg.input("x", ("n", 3)), sg.param("W", (3, 8), init="he_normal")
    >>> b = sg.param("b", (8,), init=[0, 0, -99, 0, 0, 0, 0, 0])
    >>> loss = sg.mean((sg.relu(x @ W + b) @ sg.param("V", (8, 1))) ** 2)
    >>> x_array = np.random.default_rng(0).normal(size=(50, 3))
    >>> [(f.kind, f.where) for f in diagnose(loss, {"x": x_array}).findings]
    [('dead_relu', 'W: units 2')]
    """
    if batch_size is not None and not batch_size >= 1:
        raise ShapeError(f"batch_size is 1 at least, not {batch_size}")
    trainer = loss_or_trainer if isinstance(loss_or_trainer, Trainer) else None
    loss = trainer.loss if trainer is not None else loss_or_trainer
    _check(loss)
    blind = data is None and bool(inputs_of([loss]))
    arrays = {} if blind else _samples(loss, data)
    run = _run(loss, trainer, arrays, params)
    if blind:
        evidence = foresee(run)
        return Diagnosis(conclude(evidence), evidence)
    run.losses = curve(history if history is not None else _history(trainer))
    if trainer is not None:
        run.batch = batch_size or _batch_size(trainer, arrays)
        run.rate = trainer.optimizer.rate(max(trainer.steps - 1, 0))
        run.steps, run.optimizer = trainer.steps, trainer.optimizer
    evidence = collect(run)
    return Diagnosis(conclude(evidence), evidence)


def _check(loss: Any) -> None:
    if not isinstance(loss, Tensor):
        raise GraphError(
            f"sg.diagnose takes a loss or a trainer, not {type(loss).__name__} {loss!r}"
        )
    if loss.shape != () or not dtypes.is_float(loss.dtype):
        raise ShapeError(
            f"sg.diagnose takes a scalar, but {loss.describe()} has the shape "
            f"{print_shape(loss.shape)}; take its mean"
        )


def _samples(loss: Tensor, data: Mapping[str, Any] | None) -> dict[str, np.ndarray]:
    """Return the data as arrays of the inputs' types, sampled if there are many."""
    inputs = inputs_of([loss])
    check_keys("data", checked_dict("data", data or {}), inputs)
    found = {name_of(t): as_input("data", t, (data or {})[name_of(t)]) for t in inputs}
    for t in inputs:
        if found[name_of(t)].ndim != t.ndim:
            raise ShapeError(
                f"data: {t.name!r} has the shape {found[name_of(t)].shape}, which does "
                f"not suit {t.describe()}"
            )
        if not found[name_of(t)].size:
            raise ShapeError(
                f"data: {t.name!r} has no samples, its shape is "
                f"{found[name_of(t)].shape}; give one at least"
            )
    named = [t for t in inputs if t.shape and not isinstance(t.shape[0], int)]
    lengths = {len(found[name_of(t)]) for t in named}
    if len(named) == len([t for t in inputs if t.shape]) and len(lengths) == 1:
        (count,) = lengths
        if count > MOST:
            rows = np.sort(np.random.default_rng(0).permutation(count)[:MOST])
            found |= {name_of(t): found[name_of(t)][rows] for t in named}
    return found


def _run(
    loss: Tensor,
    trainer: Trainer | None,
    data: dict[str, np.ndarray],
    params: Mapping[str, Any] | None,
) -> Run:
    model = model_of(*on_average([loss]))
    names = [name_of(p) for p in model.params]
    start = init(loss, seed=0)
    known = set(start)
    if trainer is not None:
        start = init(loss, seed=trainer.seed) | trainer.given
    now: Mapping[str, Any] = start
    held: dict[str, np.ndarray] = {}
    if trainer is not None and trainer.steps:
        now, held = trainer.params, trainer.arrays
    if params is not None:
        absent = [n for n in names if n not in params]
        if absent:
            raise GraphError(f"params has no array for {', '.join(map(repr, absent))}")
        now = params
    taken = {name_of(p): np.array(now[name_of(p)], p.dtype) for p in model.params}
    extra = [n for n in now if n not in known]
    if trainer is None or not trainer.steps:
        start = taken  # given parameters are where training starts
    return Run(
        model,
        start,
        start if start is taken else taken,
        data,
        arrays={n: np.array(a) for n, a in held.items()},
        extra=extra,
        given=set(trainer.given if trainer is not None else params or ()),
    )


def _history(trainer: Trainer | None) -> Any:
    return None if trainer is None else trainer.losses or trainer.history


def _batch_size(trainer: Trainer, data: Mapping[str, np.ndarray]) -> int:
    """Return the batch size that the numbers of steps and epochs imply, else 32."""
    count = max((len(a) for a in data.values() if a.ndim), default=1)
    if trainer.epochs and trainer.steps:
        return max(1, round(count * trainer.epochs / trainer.steps))
    return min(32, count)

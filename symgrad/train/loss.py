"""What a trainer asks of a loss: its parameters, its state, and metrics beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from symgrad.declare import dtypes
from symgrad.declare.mode import KEY, following, in_mode
from symgrad.declare.tensor import Param, Tensor, print_shape, topological
from symgrad.errors import GraphError, ShapeError
from symgrad.train.initialize import parameters

Metrics = Mapping[str, Tensor]


def leaves_of(loss: Any) -> tuple[list[Tensor], list[Tensor]]:
    """Return the trainable and the frozen parameters of a checked loss."""
    if not isinstance(loss, Tensor):
        raise GraphError(f"the loss is a tensor, not {type(loss).__name__} {loss!r}")
    if loss.shape != () or not dtypes.is_float(loss.dtype):
        raise ShapeError(
            f"the loss is one float, but {loss.describe()} is {loss.dtype} of shape "
            f"{print_shape(loss.shape)}; take its mean"
        )
    trainable: list[Tensor] = []
    frozen: list[Tensor] = []
    for p in parameters(loss):
        assert isinstance(p.op, Param)
        learns = p.op.trainable and dtypes.is_float(p.dtype)
        (trainable if learns else frozen).append(p)
    if not trainable:
        raise GraphError(
            f"the loss {loss.describe()} depends on no trainable parameter; declare "
            "one with sg.param"
        )
    return trainable, frozen


def in_training(
    loss: Tensor, frozen: Sequence[Tensor]
) -> tuple[Tensor, dict[Tensor, Tensor]]:
    """Return a loss as in training, and state -> its value after a step.

    State are running means, and the random key where there is chance.
    """
    new = {s: value for s in frozen if (value := following(s)) is not None}
    trained, *values = in_mode([loss, *new.values()], training=True)
    found = dict(zip(new, values, strict=True))
    if any(node is KEY for node in topological([trained, *values])):
        key: Any = KEY
        found[KEY] = key + 1
    return trained, found


def checked_metrics(metrics: Any) -> Metrics:
    """Return metrics as a dict from names to tensors."""
    if metrics is None:
        return {}
    if not isinstance(metrics, Mapping) or not all(
        isinstance(n, str) and isinstance(t, Tensor) for n, t in metrics.items()
    ):
        raise GraphError(
            f"metrics is a dict from names to tensors, not {metrics!r}; for example "
            "{'accuracy': sg.mean(sg.argmax(logits, -1) == y)}"
        )
    return metrics

"""Losses: what training makes small; each is a mean over a batch unless told else."""

from __future__ import annotations

from typing import Any

from symgrad.declare import dtypes
from symgrad.declare.build import broadcast_to
from symgrad.declare.ops import FUNCTIONS
from symgrad.declare.ops.elementwise import where
from symgrad.declare.ops.reduce import log_softmax, mean, one_axis
from symgrad.declare.ops.shape import moveaxis
from symgrad.declare.tensor import Tensor, as_tensor, print_shape, size_of
from symgrad.errors import DTypeError, GraphError, ShapeError
from symgrad.nn.dense import Node, floats

absolute, maximum, softplus, total, one_hot = (
    FUNCTIONS[n] for n in ("abs", "maximum", "softplus", "sum", "one_hot")
)


def mse(
    prediction: Any, target: Any, *, mask: Any = None, reduce: str = "mean"
) -> Node:
    """Return the mean of ``(prediction - target)²``.

    Args:
        prediction: floats of any shape.
        target: floats of the same shape.
        mask: bool, of a shape that broadcasts to it; where False, a value does not
            count.
        reduce: ``"mean"``, ``"sum"`` or ``"none"``.

    Raises:
        ShapeError: the shapes differ: broadcasting a loss is a mistake far more often
            than it is meant.
    """
    y, t = _pair("mse", prediction, target)
    error = y - t
    return _reduced("mse", error * error, mask, reduce)


def huber(
    prediction: Any,
    target: Any,
    *,
    delta: float = 1.0,
    mask: Any = None,
    reduce: str = "mean",
) -> Node:
    """Return the mean of ``e²/2`` where ``|e| ≤ δ``, else ``δ(|e| - δ/2)``.

    Huber (1964), "Robust estimation of a location parameter".

    Args:
        prediction: floats of any shape.
        target: floats of the same shape; ``e`` is the difference.
        delta: δ, where the parabola goes over into a line.
        mask: bool; where False, a value does not count.
        reduce: ``"mean"``, ``"sum"`` or ``"none"``.
    """
    y, t = _pair("huber", prediction, target)
    if not isinstance(delta, int | float) or not delta > 0:
        raise GraphError(f"huber: delta is a number greater than 0, not {delta!r}")
    e = y - t
    size = absolute(e)
    values = where(size <= delta, 0.5 * e * e, delta * (size - 0.5 * delta))
    return _reduced("huber", values, mask, reduce)


def cross_entropy(
    logits: Any,
    target: Any,
    *,
    axis: int = -1,
    mask: Any = None,
    label_smoothing: float = 0.0,
    reduce: str = "mean",
) -> Node:
    """Return the mean of ``-Σ_k p_k·log(softmax(logits)_k)``, without overflow.

    Args:
        logits: floats ``[…, classes]`` (along ``axis``).
        target: integer labels ``[…]``, or probabilities p of the shape of ``logits``.
        axis: the dimension of the classes.
        mask: bool ``[…]``; where False, a sample does not count.
        label_smoothing: the share of p that is spread evenly over all classes.
        reduce: ``"mean"``, ``"sum"`` or ``"none"`` (one value for each sample).

    Raises:
        ShapeError: labels or probabilities do not fit the logits.

    >>> import symgrad as sg
    >>> z, y = sg.input("z", ("n", 3)), sg.input("y", ("n",), dtype="int64")
    >>> print(sg.formula(sg.grad(sg.nn.cross_entropy(z, y), z)))
    (softmax(z) − onehot(y)) / n
    """
    z, t = floats("cross_entropy", logits), as_tensor(target)
    z = moveaxis(z, one_axis("cross_entropy", z, axis), -1)
    p = _probabilities(z, t, axis)
    if not 0 <= label_smoothing <= 1:
        raise GraphError(
            f"cross_entropy: label_smoothing is in [0, 1], not {label_smoothing!r}"
        )
    if label_smoothing:
        classes: Node = size_of(z.shape[-1], z.dtype)
        p = (1 - label_smoothing) * p + label_smoothing / classes
    values = -total(log_softmax(z) * p, axis=-1)
    return _reduced("cross_entropy", values, mask, reduce)


def _probabilities(z: Tensor, t: Tensor, axis: int) -> Node:
    """Return the wanted probabilities, ``[…, classes]``."""
    if t.dtype in dtypes.INTEGERS:
        if t.shape != z.shape[:-1]:
            raise ShapeError(
                f"cross_entropy: labels for logits of {print_shape(z.shape)} have the "
                f"shape {print_shape(z.shape[:-1])}, not {t.describe()}"
            )
        if not isinstance(z.shape[-1], int):
            raise ShapeError(
                f"cross_entropy: the number of classes, {z.shape[-1]}, must be an "
                "integer where labels are given"
            )
        return one_hot(t, z.shape[-1], dtype=z.dtype)
    t = moveaxis(floats("cross_entropy: target", t), axis, -1)
    if t.shape != z.shape:
        raise ShapeError(
            f"cross_entropy: the probabilities {print_shape(t.shape)} have not the "
            f"shape of the logits, {print_shape(z.shape)}"
        )
    return t


def binary_cross_entropy_with_logits(
    logits: Any, target: Any, *, mask: Any = None, reduce: str = "mean"
) -> Node:
    """Return the mean of ``log(1 + exp(z)) - y·z``, without overflow.

    It is the cross-entropy between y and ``sigmoid(z)``.

    Args:
        logits: z, floats of any shape.
        target: y, the wanted probabilities (or bools), of the same shape.
        mask: bool; where False, a value does not count.
        reduce: ``"mean"``, ``"sum"`` or ``"none"``.
    """
    z, y = _pair("binary_cross_entropy_with_logits", logits, target)
    values = softplus(z) - y * z
    return _reduced("binary_cross_entropy_with_logits", values, mask, reduce)


def _pair(what: str, prediction: Any, target: Any) -> tuple[Node, Node]:
    y, t = floats(what, prediction), as_tensor(target)
    if y.shape != t.shape:
        raise ShapeError(
            f"{what}: the prediction {y.describe()} and the target {t.describe()} have "
            "different shapes; reshape or sg.broadcast_to one of them"
        )
    return y, t


def _reduced(what: str, values: Node, mask: Any, reduce: str) -> Node:
    if reduce not in ("mean", "sum", "none"):
        raise GraphError(f"{what}: reduce is 'mean', 'sum' or 'none', not {reduce!r}")
    if mask is None:
        return {"mean": mean, "sum": total, "none": lambda v: v}[reduce](values)
    mask = as_tensor(mask)
    if mask.dtype != "bool":
        raise DTypeError(f"{what}: the mask is bool, not {mask.describe()}")
    kept = where(mask, values, 0.0)
    if kept.shape != values.shape:
        raise ShapeError(
            f"{what}: the mask {mask.describe()} does not broadcast to the values' "
            f"shape {print_shape(values.shape)}"
        )
    if reduce == "none":
        return kept
    if reduce == "sum":
        return total(kept)
    count = total(broadcast_to(mask, kept.shape)).astype(values.dtype)
    return total(kept) / maximum(count, 1)

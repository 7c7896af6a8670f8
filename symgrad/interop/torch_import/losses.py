"""Losses; a reduction is 0 for none, 1 for the mean, 2 for the sum."""

from __future__ import annotations

import math
from typing import Any

from symgrad.declare.ops import FUNCTIONS as SG
from symgrad.interop.torch_import.elementwise import xlogy
from symgrad.interop.torch_import.table import Operand, operator, reduced


@operator("mse_loss")
def mse(x: Operand, y: Operand, reduction: int = 1) -> Operand:
    """Squares of differences."""
    return reduced((x - y) * (x - y), reduction)


@operator("l1_loss")
def l1(x: Operand, y: Operand, reduction: int = 1) -> Operand:
    """Sizes of differences."""
    return reduced(SG["abs"](x - y), reduction)


@operator("smooth_l1_loss")
def smooth_l1(x: Operand, y: Operand, reduction: int = 1, beta: float = 1.0) -> Operand:
    """``e²/2β`` below β, else ``|e| - β/2``."""
    if beta == 0:
        return l1(x, y, reduction)
    return huber(x, y, reduction, beta) / beta


@operator("huber_loss")
def huber(x: Operand, y: Operand, reduction: int = 1, delta: float = 1.0) -> Operand:
    """``e²/2`` up to δ, else ``δ(|e| - δ/2)``."""
    e = x - y
    size = SG["abs"](e)
    values = SG["where"](size <= delta, 0.5 * e * e, delta * (size - 0.5 * delta))
    return reduced(values, reduction)


@operator("binary_cross_entropy")
def binary_cross_entropy(
    p: Operand, y: Operand, weight: Any = None, reduction: int = 1
) -> Operand:
    """Logarithms are not below -100."""
    yes, no = (SG["maximum"](SG["log"](t), -100.0) for t in (p, 1 - p))
    values = -(y * yes + (1 - y) * no)
    return reduced(values if weight is None else values * weight, reduction)


@operator("binary_cross_entropy_with_logits")
def binary_cross_entropy_with_logits(
    z: Operand,
    y: Operand,
    weight: Any = None,
    pos_weight: Any = None,
    reduction: int = 1,
) -> Operand:
    """``(1 - y)z + (1 + (w - 1)y)·log(1 + exp(-z))``."""
    share = 1 if pos_weight is None else 1 + (pos_weight - 1) * y
    values = (1 - y) * z + share * SG["softplus"](-z)
    return reduced(values if weight is None else values * weight, reduction)


@operator("cross_entropy_loss")
def cross_entropy(
    z: Operand,
    target: Operand,
    weight: Any = None,
    reduction: int = 1,
    ignored: int = -100,
    smoothing: float = 0.0,
) -> Operand:
    """Of classes along axis 1 (0 for one sample); the target may hold probabilities."""
    axis = min(z.ndim - 1, 1)
    log = SG["log_softmax"](z, axis=axis)
    by_class = _along(weight, log, axis)
    if target.dtype.startswith("float"):
        classes = z.shape[axis]
        p = target * (1 - smoothing) + smoothing / classes if smoothing else target
        values = -SG["sum"](p * log * by_class, axis=axis)
        if reduction != 1:
            return reduced(values, reduction)
        return SG["sum"](values) / (values.size if values.ndim else 1)
    picked = _likelihood(log, target, weight, ignored, axis)
    if not smoothing:
        return _mean_of(*picked, reduction)
    real = target != ignored
    spread = -SG["sum"](log * by_class, axis=axis)
    spread = SG["where"](real, spread, 0.0), picked[1]
    even = smoothing / z.shape[axis]
    a, b = _mean_of(*picked, reduction), _mean_of(*spread, reduction)
    return (1 - smoothing) * a + even * b


def _along(weight: Any, x: Operand, axis: int) -> Operand:
    if weight is None:
        return 1.0
    shape = [1] * x.ndim
    shape[axis] = -1
    return weight.reshape(tuple(shape))


def _likelihood(
    log: Operand, target: Operand, weight: Any, ignored: int, axis: int
) -> tuple[Operand, Operand]:
    """Return each sample's loss, and what it counts."""
    real = target != ignored
    safe = SG["where"](real, target, 0)
    place = SG["expand_dims"](safe, axis=axis)
    values = -SG["squeeze"](SG["take_along_axis"](log, place, axis=axis), axis=axis)
    one = (
        SG["ones_like"](values) if weight is None else SG["take"](weight, safe, axis=0)
    )
    share = SG["where"](real, one, 0.0)
    return values * share, share


def _mean_of(values: Operand, share: Operand, reduction: int) -> Operand:
    if reduction != 1:
        return reduced(values, reduction)
    return SG["sum"](values) / SG["sum"](share)


@operator("nll_loss", "nll_loss_nd", "nll_loss2d")
def nll(
    log: Operand,
    target: Operand,
    weight: Any = None,
    reduction: int = 1,
    ignored: int = -100,
) -> Operand:
    """The log-probability of the target."""
    axis = min(log.ndim - 1, 1)
    return _mean_of(*_likelihood(log, target, weight, ignored, axis), reduction)


@operator("nll_loss_forward", "nll_loss2d_forward")
def nll_forward(*args: Any) -> tuple[Operand, None]:
    """The log-probability of the target."""
    return nll(*args), None


@operator("kl_div")
def kl_div(
    log: Operand, target: Operand, reduction: int = 1, log_target: bool = False
) -> Operand:
    """``y(log y - x)``."""
    if log_target:
        return reduced(SG["exp"](target) * (target - log), reduction)
    return reduced(xlogy(target, target) - target * log, reduction)


@operator("poisson_nll_loss")
def poisson_nll(
    x: Operand, y: Operand, log_input: bool, full: bool, eps: float, reduction: int
) -> Operand:
    """``exp(x) - yx``, or ``x - y·log x``."""
    values = SG["exp"](x) - y * x if log_input else x - y * SG["log"](x + eps)
    if full:
        term = y * SG["log"](y) - y + 0.5 * SG["log"](2 * math.pi * y)
        values = values + SG["where"](y > 1, term, 0.0)
    return reduced(values, reduction)

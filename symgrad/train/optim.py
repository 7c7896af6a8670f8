"""Optimizers: each declares, as graphs, the next value of every parameter.

The meaning is PyTorch's, option by option.  With g the gradient, θ the parameter, η the
learning rate, t = 1, 2, … the step, and λ the weight decay:

    SGD      g += λθ;  b = μb + g;  θ -= ηb   (nesterov: θ -= η(g + μb))
    Adam     g += λθ;  m = β₁m + (1-β₁)g;  v = β₂v + (1-β₂)g²
             θ -= η·m/(1-β₁ᵗ) / (√(v/(1-β₂ᵗ)) + ε)
    AdamW    θ *= 1-ηλ, then Adam without λ
    RMSProp  g += λθ;  v = αv + (1-α)g²;  b = μb + g/(√v + ε);  θ -= ηb
    Adagrad  g += λθ;  s += g²;  θ -= η·g/(√s + ε)

``clip_norm=c`` first scales all gradients by min(1, c/(‖g‖ + 10⁻⁶)), ‖g‖ being the norm
of all of them together.  State, step counter and learning rate are parameters
that are not trainable: the whole step is one graph, and a schedule never recompiles it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from symgrad.declare import dtypes
from symgrad.declare.ops import FUNCTIONS
from symgrad.declare.tensor import Tensor, exact_scope, param, print_shape
from symgrad.errors import GraphError, ShapeError
from symgrad.train.schedules import (
    Schedule,
    check_number,
    constant,
    cosine,
    step,
    warmup_cosine,
)

#: A tensor in arithmetic: its operators are set when operations are declared, which
#: type checkers do not see.
Node = Any
astype, expm1, minimum, sqrt, sum_all = (
    FUNCTIONS[name] for name in ("astype", "expm1", "minimum", "sqrt", "sum")
)

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Optimizer",
    "RMSProp",
    "Updates",
    "constant",
    "cosine",
    "step",
    "warmup_cosine",
]


@dataclass
class Updates:
    """What one step does, as graphs.

    Attributes:
        values: the next value of each parameter and of each part of the state.
        rate: the learning rate, written by the host before each step.
        step: how many steps have been made.
    """

    rate: Tensor
    step: Tensor
    scope: str
    values: dict[Tensor, Tensor] = field(default_factory=dict)

    @property
    def count(self) -> Node:
        """The number of the step being made, from 1 (float64: exact to 2⁵³)."""
        return self.values[self.step]

    def state(self, part: str, p: Tensor, start: float = 0.0) -> Node:
        """Return a new state tensor like ``p``, called ``<scope>/<part>/<name>``."""
        assert p.name is not None
        with exact_scope(f"{self.scope}/{part}"):
            return param(p.name, p.shape, start, False, p.dtype)  # type: ignore[arg-type]

    def average(self, part: str, p: Tensor, keep: float, new: Node) -> Node:
        """Return ``s = keep·s + (1 - keep)·new`` for a new state ``s``."""
        s = self.state(part, p)
        self.values[s] = keep * s + (1 - keep) * new
        return self.values[s]

    def momentum(self, p: Tensor, keep: float, new: Node) -> Node:
        """Return ``b = keep·b + new`` for a new state ``b``."""
        b = self.state("momentum", p)
        self.values[b] = keep * b + new
        return self.values[b]


class Optimizer:
    """The base of all optimizers: checks, clipping, and what they have in common."""

    lr: float | Schedule
    weight_decay: float
    clip_norm: float | None
    decoupled = False  # is the weight decay outside the gradient?

    def __post_init__(self) -> None:
        name = type(self).__name__
        if not callable(self.lr):
            check_number(f"{name}: lr", self.lr, positive=True)
        check_number(f"{name}: weight_decay", self.weight_decay)
        if self.clip_norm is not None:
            check_number(f"{name}: clip_norm", self.clip_norm, positive=True)
        for option in ("momentum", "b1", "b2", "alpha"):
            if hasattr(self, option):
                check_number(f"{name}: {option}", getattr(self, option), below=1.0)
        if hasattr(self, "eps"):
            check_number(f"{name}: eps", self.eps, positive=True)

    @property
    def scope(self) -> str:
        """The scope of the state, e.g. ``adam``."""
        return type(self).__name__.lower()

    def rate(self, step: int) -> float:
        """Return the learning rate after ``step`` steps.

        Raises:
            GraphError: the schedule gives no finite, non-negative number.
        """
        if not callable(self.lr):
            return self.lr
        value = float(self.lr(step))
        check_number(f"{type(self).__name__}: lr at step {step}", value)
        return value

    def updates(self, params: Sequence[Node], grads: Sequence[Node]) -> Updates:
        """Return the graphs of one step.

        Raises:
            GraphError: there is no parameter, or not one gradient for each.
            ShapeError: a gradient has not its parameter's shape.
        """
        _check(params, grads)
        widest = dtypes.promote(*(p.dtype for p in params))
        with exact_scope(self.scope):
            rate: Node = param("lr", (), self.rate(0), False, widest)
            count: Node = param("step", (), "zeros", False, "float64")
            made = Updates(rate, count, self.scope)
            made.values[count] = count + 1
            if self.clip_norm is not None:
                grads = clipped(grads, self.clip_norm)
            for p, g in zip(params, grads, strict=True):
                if self.weight_decay and not self.decoupled:
                    g = g + self.weight_decay * p
                made.values[p] = self.next(p, g, astype(rate, p.dtype), made)
        return made

    def next(self, p: Node, g: Node, rate: Node, made: Updates) -> Node:
        """Return the next value of ``p``; add the state's to ``made``."""
        raise NotImplementedError


def _check(params: Sequence[Tensor], grads: Sequence[Tensor]) -> None:
    if not params or len(params) != len(grads):
        raise GraphError(
            f"an optimizer needs parameters and a gradient for each; {len(params)} "
            f"parameters and {len(grads)} gradients were given"
        )
    for p, g in zip(params, grads, strict=True):
        if p.name is None:
            raise GraphError(f"{p.describe()} is not a parameter")
        if p.shape != g.shape:
            raise ShapeError(
                f"the gradient of {p.describe()} has the shape {print_shape(g.shape)}"
            )


def clipped(grads: Sequence[Tensor], limit: float) -> list[Node]:
    """Return the gradients, scaled so that their common norm is at most ``limit``.

    The norm is summed in float64: squares of gradients that explode overflow float32.
    """
    total = 0.0
    for g in grads:
        wide = astype(g, "float64")
        total = total + sum_all(wide * wide)
    norm = sqrt(total)
    scale = minimum(limit / (norm + 1e-6), 1.0)
    return [astype(scale, g.dtype) * g for g in grads]


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent, with momentum if wanted (``torch.optim.SGD``, dampening 0).

    >>> SGD(0.1, momentum=0.9)
    SGD(lr=0.1, momentum=0.9, nesterov=False, weight_decay=0.0, clip_norm=None)
    """

    lr: float | Schedule
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and not self.momentum:
            raise GraphError("SGD: nesterov=True needs a momentum greater than 0")

    def next(self, p: Node, g: Node, rate: Node, made: Updates) -> Node:
        """Return ``p - rate*g``, or along the momentum."""
        if self.momentum:
            b = made.momentum(p, self.momentum, g)
            g = g + self.momentum * b if self.nesterov else b
        return p - rate * g


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adaptive moments (Kingma & Ba 2015; ``torch.optim.Adam``)."""

    lr: float | Schedule = 1e-3
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    clip_norm: float | None = None

    def next(self, p: Node, g: Node, rate: Node, made: Updates) -> Node:
        """Return ``p`` moved along the mean gradient over its root mean square.

        Both corrections are scalars, so they are moved out of the elements' work:
        η·(m/c₁)/(√(v/c₂) + ε) = (η√c₂/c₁)·m/(√v + ε√c₂).
        """
        m = made.average("m", p, self.b1, g)
        v = made.average("v", p, self.b2, g * g)
        root = sqrt(_one_minus_power(self.b2, made.count))
        size = astype(rate, "float64") * root / _one_minus_power(self.b1, made.count)
        spread = sqrt(v) + astype(self.eps * root, p.dtype)
        return self._decayed(p, rate) - astype(size, p.dtype) * (m / spread)

    def _decayed(self, p: Node, rate: Node) -> Node:
        if not (self.decoupled and self.weight_decay):
            return p
        return p * (1 - self.weight_decay * rate)


def _one_minus_power(base: float, count: Node) -> Node:
    """Return ``1 - base**count`` without cancellation, in float64."""
    if base == 0:
        return 1.0
    return -expm1(math.log(base) * count)


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    weight_decay: float = 0.01
    decoupled = True


@dataclass(frozen=True)
class RMSProp(Optimizer):
    """Gradients over their root mean square (Hinton 2012; ``torch.optim.RMSprop``)."""

    lr: float | Schedule = 1e-2
    alpha: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float | None = None

    def next(self, p: Node, g: Node, rate: Node, made: Updates) -> Node:
        """Return ``p`` moved along the gradient over its root mean square."""
        v = made.average("v", p, self.alpha, g * g)
        g = g / (sqrt(v) + self.eps)
        if self.momentum:
            g = made.momentum(p, self.momentum, g)
        return p - rate * g


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """Gradients over the root of all their squares so far (Duchi et al. 2011)."""

    lr: float | Schedule = 1e-2
    eps: float = 1e-10
    initial: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("Adagrad: initial", self.initial)

    def next(self, p: Node, g: Node, rate: Node, made: Updates) -> Node:
        """Return ``p`` moved along the gradient over the root of its squares."""
        s = made.state("sum", p, self.initial)
        made.values[s] = s + g * g
        return p - rate * (g / (sqrt(made.values[s]) + self.eps))

"""Layers that work differently in training and in evaluation.

A ``Trainer`` trains a graph with these as in training; predictions, validation and
metrics, as every other program, are computed as in evaluation, but for those that
``sg.compile(…, training=True)`` makes.
"""

from __future__ import annotations

from typing import Any

from symgrad.declare import random
from symgrad.declare.dims import product
from symgrad.declare.mode import chance, choose, following, state
from symgrad.declare.ops import FUNCTIONS
from symgrad.declare.ops.elementwise import where
from symgrad.declare.ops.reduce import mean
from symgrad.declare.tensor import Tensor, param, size_of, topological
from symgrad.derivation.reverse import flatten
from symgrad.errors import GraphError, ShapeError
from symgrad.nn.dense import Node, floats
from symgrad.nn.naming import layer, width

maximum, sqrt, stop_gradient = (
    FUNCTIONS[n] for n in ("maximum", "sqrt", "stop_gradient")
)


def dropout(x: Any, p: float, *, key: Any = None, name: str | None = None) -> Node:
    """Return ``x`` with each value set to 0 with probability ``p`` while training.

    The others are divided by ``1 - p``, so that the mean stays; in evaluation ``x`` is
    returned (Srivastava et al. 2014).  The choice is a function of the trainer's seed,
    the step and the layer's name; of layers with one name, each has its own.

    Args:
        x: floats of any shape.
        p: the probability, in [0, 1].
        key: an integer, or an integer tensor, that decides in place of seed and step.
        name: the scope; by default ``dropout``, ``dropout_1``, …

    Raises:
        GraphError: ``p`` is not in [0, 1].
    """
    x = floats("dropout", x)
    if isinstance(p, bool) or not isinstance(p, int | float) or not 0 <= p <= 1:
        raise GraphError(f"dropout: p is a number in [0, 1], not {p!r}")
    if p == 0:
        return x
    with layer("dropout", name, x):
        own = chance() if key is None else key
        kept = random.bernoulli(own, x.shape, 1 - p)
        factor = 1 / (1 - p) if p < 1 else 0.0
        return choose(where(kept, x * factor, 0.0), x)


def batch_norm(
    x: Any,
    *,
    momentum: float = 0.1,
    eps: float = 1e-5,
    scale: bool = True,
    bias: bool = True,
    name: str | None = None,
) -> Node:
    """Return ``(x - mean)/sqrt(variance + eps)·γ + β`` for each channel.

    While training, mean and variance are those of the batch, and the running ones move
    towards them by ``momentum`` in each step (the variance with ``n - 1``, as in
    PyTorch); in evaluation, they are the running ones.  Ioffe & Szegedy (2015).

    Args:
        x: floats ``[n, channels, …]``; all dimensions but the channels may be named.
        momentum: the share of the new batch in the running values.
        eps: what keeps a constant channel finite.
        scale: False leaves out γ, called ``scale`` ``[channels]``.
        bias: False leaves out β, called ``bias`` ``[channels]``.
        name: the scope; ``running_mean`` and ``running_variance`` are parameters in
            it that are not trained, but saved.

    Raises:
        ShapeError: ``x`` has fewer than two dimensions, or its channels are named.
    """
    x = floats("batch_norm", x)
    if x.ndim < 2:
        raise ShapeError(f"batch_norm: x is [n, channels, …], not {x.describe()}")
    if isinstance(momentum, bool) or not 0 <= momentum <= 1:
        raise GraphError(f"batch_norm: momentum is in [0, 1], not {momentum!r}")
    channels = width("batch_norm", x, 1)
    axes = tuple(d for d in range(x.ndim) if d != 1)
    spread = (slice(None), *(None,) * (x.ndim - 2))  # along the channels
    with layer("batch_norm", name, x):
        centre: Node = mean(x, axis=axes)
        off = x - centre[spread]
        variance: Node = mean(off * off, axis=axes)
        count: Node = size_of(product(x.shape[d] for d in axes), x.dtype)
        unbiased = variance * (count / maximum(count - 1, 1))

        def running(what: str, start: float, new: Node) -> Node:
            def following(s: Node) -> Node:
                return (1 - momentum) * s + momentum * stop_gradient(new)

            return state(what, (channels,), start, x.dtype, following)

        m: Node = choose(centre, running("running_mean", 0.0, centre))
        v: Node = choose(variance, running("running_variance", 1.0, unbiased))
        y = (x - m[spread]) / sqrt(v + eps)[spread]
        if scale:
            y = y * param("scale", (channels,), "ones", dtype=x.dtype)[spread]
        if bias:
            y = y + param("bias", (channels,), "zeros", dtype=x.dtype)[spread]
        return y


def state_updates(t: Any) -> dict[Tensor, Tensor]:
    """Return each state that tensors depend on -> its value after a training step.

    A ``Trainer`` does this by itself.  In a loop of one's own they are outputs of the
    step, or its ``updates=``.

    Args:
        t: a tensor, or tensors in nested lists, tuples and dicts.

    >>> import numpy as np, symgrad as sg
    >>> x = sg.input("x", ("n", 2))
    >>> y = sg.nn.dropout(sg.nn.batch_norm(x), 0.5)
    >>> loss, states = sg.mean(y * y), sg.nn.state_updates(y)
    >>> [s.name for s in states]
    ['batch_norm/running_mean', 'batch_norm/running_variance']
    >>> step = sg.compile([x], (loss, list(states.values())), training=True)
    >>> params = sg.init(y) | {"training/key": 0}
    >>> loss, new = step(np.eye(2, dtype="float32"), params=params)
    >>> new[0]
    array([0.05, 0.05], dtype=float32)
    """
    found = {}
    for node in topological(flatten(t)):
        new = following(node)
        if new is not None:
            found[node] = new
    return found

"""Recurrent layers: LSTM and GRU, as loops over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from symgrad.declare.build import broadcast_to, movement
from symgrad.declare.comprehension import along
from symgrad.declare.ops import FUNCTIONS
from symgrad.declare.ops.contract import matmul
from symgrad.declare.tensor import Tensor, constant, param, print_shape
from symgrad.errors import ShapeError
from symgrad.nn.dense import Node, floats
from symgrad.nn.naming import check_count, layer, width
from symgrad.transforms.scan import scan


def lstm(
    x: Any,
    features: int,
    *,
    initial: tuple[Any, Any] | None = None,
    reverse: bool = False,
    time_major: bool = False,
    forget_bias: float = 1.0,
    init: Any = "glorot_uniform",
    recurrent_init: Any = "orthogonal",
    checkpoint_every: int | None = None,
    name: str | None = None,
) -> tuple[Node, tuple[Node, Node]]:
    """Return the outputs of a long short-term memory, and its last state.

        i, f, g, o = split(x[t] W + h U + b)
        c ← σ(f) ⊙ c + σ(i) ⊙ tanh(g)
        h ← σ(o) ⊙ tanh(c)

    (Hochreiter & Schmidhuber, "Long Short-Term Memory", 1997, with the forget gate of
    Gers, Schmidhuber & Cummins, "Learning to Forget", 2000; the order of gates is
    PyTorch's.)  All ``x W`` are one product before the loop.

    Args:
        x: floats ``[…, time, in]``.
        features: the size of ``h`` and ``c``.
        initial: the first ``(h, c)``, each ``[…, features]``; zeros by default.
        reverse: go from the last element to the first.
        time_major: ``x`` and the outputs are ``[time, …, in]``, which saves a copy.
        forget_bias: what ``f``'s part of ``b`` starts with; 1 lets a new cell remember.
        init: initial values of ``W`` ``[in, 4 features]``.
        recurrent_init: those of ``U`` ``[features, 4 features]``.
        checkpoint_every: as for ``sg.scan``: less memory for derivatives.
        name: the scope of the parameters ``W``, ``U``, ``b``; ``lstm`` by default.

    Returns:
        The outputs ``h`` ``[…, time, features]``, and the last ``(h, c)``.

    Raises:
        ShapeError: ``x`` has no time, or an initial state has another shape.

    >>> import symgrad as sg
    >>> x = sg.input("x", ("batch", "time", 3))
    >>> ys, (h, c) = sg.nn.lstm(x, 8)
    >>> ys.shape, h.shape
    ((batch, time, 8), (batch, 8))
    """
    x, batch = _sequence("lstm", x, time_major)
    check_count("lstm: features", features)
    n = features
    with layer("lstm", name, x):
        W = param("W", (width("lstm", x), 4 * n), init, dtype=x.dtype)
        U = param("U", (n, 4 * n), recurrent_init, dtype=x.dtype)
        bias = np.repeat([0.0, forget_bias, 0.0, 0.0], n)
        b = param("b", (4 * n,), bias, dtype=x.dtype)
        start = _states("lstm", x, initial or (None, None), (*batch, n))

        def step(state: Any, x: Node) -> Any:
            h, c = state
            z: Node = matmul(x, W)
            z = z + matmul(h, U) + b
            i, f, g, o = _gates(z, n, 4)
            c = _call("sigmoid", f) * c + _call("sigmoid", i) * _call("tanh", g)
            h = _call("sigmoid", o) * _call("tanh", c)
            return (h, c), h

        return _over_time(step, start, x, reverse, time_major, checkpoint_every)


def gru(
    x: Any,
    features: int,
    *,
    initial: Any = None,
    reverse: bool = False,
    time_major: bool = False,
    init: Any = "glorot_uniform",
    recurrent_init: Any = "orthogonal",
    checkpoint_every: int | None = None,
    name: str | None = None,
) -> tuple[Node, Node]:
    """Return the outputs of gated recurrent units, and their last state.

        r, z, n = split(x[t] W + b),  p, q, m = split(h U)
        r ← σ(r + p),  z ← σ(z + q),  n ← tanh(n + r ⊙ (m + d))
        h ← (1 − z) ⊙ n + z ⊙ h

    (Cho et al., "Learning Phrase Representations using RNN Encoder–Decoder", 2014; the
    reset gate comes behind the product, as in cuDNN and PyTorch.)

    Args:
        x: floats ``[…, time, in]``.
        features: the size of ``h``.
        initial: the first ``h`` ``[…, features]``; zeros by default.
        reverse: go from the last element to the first.
        time_major: ``x`` and the outputs are ``[time, …, in]``, which saves a copy.
        init: initial values of ``W`` ``[in, 3 features]``.
        recurrent_init: those of ``U`` ``[features, 3 features]``.
        checkpoint_every: as for ``sg.scan``: less memory for derivatives.
        name: the scope of the parameters ``W U b d``; ``gru`` by default.

    Returns:
        The outputs ``h`` ``[…, time, features]``, and the last ``h``.

    Raises:
        ShapeError: ``x`` has no time, or the initial state has another shape.

    >>> import symgrad as sg
    >>> ys, h = sg.nn.gru(sg.input("x", ("batch", "time", 3)), 8)
    >>> ys.shape, h.shape
    ((batch, time, 8), (batch, 8))
    """
    x, batch = _sequence("gru", x, time_major)
    check_count("gru: features", features)
    with layer("gru", name, x):
        W = param("W", (width("gru", x), 3 * features), init, dtype=x.dtype)
        U = param("U", (features, 3 * features), recurrent_init, dtype=x.dtype)
        b = param("b", (3 * features,), "zeros", dtype=x.dtype)
        d = param("d", (features,), "zeros", dtype=x.dtype)
        (start,) = _states("gru", x, (initial,), (*batch, features))

        def step(h: Any, x: Node) -> Any:
            y: Node = matmul(x, W)
            r, z, n = _gates(y + b, features, 3)
            p, q, m = _gates(matmul(h, U), features, 3)
            r, z = _call("sigmoid", r + p), _call("sigmoid", z + q)
            n = _call("tanh", n + r * (m + d))
            h = (1 - z) * n + z * h
            return h, h

        return _over_time(step, start, x, reverse, time_major, checkpoint_every)


def _call(function: str, *args: Any) -> Any:
    return FUNCTIONS[function](*args)


def _sequence(what: str, x: Any, time_major: bool) -> tuple[Node, tuple]:
    """Return the input with time in front, and its dimensions between."""
    x = floats(what, x)
    if x.ndim < 2:
        raise ShapeError(
            f"{what}: {x.describe()} needs two dimensions, time and features"
        )
    if not time_major:
        x = _moved(x, x.ndim - 2, 0)
    return x, x.shape[1:-1]


def _moved(t: Tensor, axis: int, to: int) -> Tensor:
    """Return a tensor with one dimension at another place."""
    order = [d for d in range(t.ndim) if d != axis]
    order.insert(to, axis)
    index = [along(order.index(d)) for d in range(t.ndim)]
    return movement("transpose", t, tuple(t.shape[d] for d in order), index)


def _states(
    what: str, x: Tensor, given: Sequence[Any], shape: tuple
) -> tuple[Tensor, ...]:
    """Return first states, zeros where none are given."""
    found = []
    for value in given:
        zeros = broadcast_to(constant(0.0, x.dtype), shape)
        state = zeros if value is None else floats(what, value)
        if state.shape != shape:
            raise ShapeError(
                f"{what}: the initial state {state.describe()} has to have the shape "
                f"{print_shape(shape)}, as {x.describe()} has time in front"
            )
        found.append(state)
    return tuple(found)


def _gates(z: Node, features: int, count: int) -> list[Node]:
    return [z[..., n * features : (n + 1) * features] for n in range(count)]


def _over_time(
    step: Callable[[Any, Any], tuple[Any, Any]],
    start: Any,
    x: Tensor,
    reverse: bool,
    time_major: bool,
    checkpoint_every: int | None,
) -> tuple[Any, Any]:
    last, ys = scan(step, start, x, reverse=reverse, checkpoint_every=checkpoint_every)
    return ys if time_major else _moved(ys, 0, ys.ndim - 2), last

"""Recurrent layers as ``sg.scan``: one loop, whatever the length of the sequence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from symgrad.declare.ops import FUNCTIONS as SG
from symgrad.errors import GraphError
from symgrad.interop.torch_import.table import OPERATORS, Operand, operator
from symgrad.nn.modal import dropout
from symgrad.transforms.scan import scan

sigmoid, tanh, relu, matmul = (SG[f] for f in ("sigmoid", "tanh", "relu", "matmul"))
Cell = Callable[[Any, Operand, Sequence[Any]], Any]


def _parts(z: Operand, count: int) -> list[Operand]:
    n = z.shape[-1] // count
    return [z[..., k * n : (k + 1) * n] for k in range(count)]


def _products(
    x: Operand, h: Operand, weights: Sequence[Any]
) -> tuple[Operand, Operand]:
    """Return ``x Wᵀ + b`` and ``h Uᵀ + d``."""
    W, U, *biases = weights
    found = matmul(x, W.mT), matmul(h, U.mT)
    if not biases or biases[0] is None:
        return found
    return found[0] + biases[0], found[1] + biases[1]


def _lstm(state: Any, x: Operand, weights: Sequence[Any]) -> tuple[Operand, Operand]:
    h, c = state
    a, b = _products(x, h, weights)
    i, f, g, o = _parts(a + b, 4)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def _gru(state: Any, x: Operand, weights: Sequence[Any]) -> tuple[Operand]:
    (h,) = state
    a, b = _products(x, h, weights)
    (r, z, n), (p, q, m) = _parts(a, 3), _parts(b, 3)
    r, z = sigmoid(r + p), sigmoid(z + q)
    new = tanh(n + r * m)
    return ((1 - z) * new + z * h,)


def _rnn(activation: Callable[..., Operand]) -> Cell:
    def cell(state: Any, x: Operand, weights: Sequence[Any]) -> tuple[Operand]:
        a, b = _products(x, state[0], weights)
        return (activation(a + b),)

    return cell


def _layers(
    cell: Cell,
    x: Operand,
    first: Sequence[Operand],
    weights: Sequence[Operand],
    biased: bool,
    layers: int,
    p: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Operand, ...]:
    """Return the last layer's outputs, and the last states of all."""
    ways = 2 if bidirectional else 1
    each = len(weights) // (layers * ways)
    if each != (4 if biased else 2):
        raise GraphError("projections (proj_size=) are not supported")
    alone = x.ndim == 2  # a sequence without a batch
    x = SG["expand_dims"](x, axis=1) if alone else x
    x = SG["swapaxes"](x, 0, 1) if batch_first and not alone else x
    first = [SG["expand_dims"](t, axis=1) if alone else t for t in first]
    last: list[tuple[Operand, ...]] = []
    for layer in range(layers):
        outputs = []
        for way in range(ways):
            k = layer * ways + way
            mine = weights[k * each : (k + 1) * each]

            def step(state: Any, x: Operand, mine: Any = mine) -> Any:
                state = cell(state, x, mine)
                return state, state[0]

            start = tuple(t[k] for t in first)
            state, ys = scan(step, start, x, reverse=way == 1)
            outputs.append(ys)
            last.append(state)
        x = SG["concat"](outputs, axis=-1) if ways > 1 else outputs[0]
        if p and train and layer < layers - 1:
            x = dropout(x, p)
    states = [SG["stack"](parts) for parts in zip(*last, strict=True)]
    if alone:
        x, *states = (SG["squeeze"](t, axis=1) for t in (x, *states))
    elif batch_first:
        x = SG["swapaxes"](x, 0, 1)
    return (x, *states)


@operator("lstm.input")
def lstm(x: Operand, first: Sequence[Operand], *settings: Any) -> tuple[Operand, ...]:
    """The gates are i, f, g, o."""
    return _layers(_lstm, x, first, *settings)


def _single(cell: Cell) -> Callable[..., Any]:
    def declare(x: Operand, first: Operand, *settings: Any) -> tuple[Operand, ...]:
        return _layers(cell, x, [first], *settings)

    return declare


def _cell(cell: Cell) -> Callable[..., Any]:
    def declare(x: Operand, first: Operand, *weights: Any) -> Operand:
        return cell((first,), x, weights)[0]

    return declare


OPERATORS["gru.input"] = _single(_gru)
OPERATORS["gru_cell"] = _cell(_gru)
for _name, _function in {"rnn_tanh": tanh, "rnn_relu": relu}.items():
    OPERATORS[f"{_name}.input"] = _single(_rnn(_function))
    OPERATORS[f"{_name}_cell"] = _cell(_rnn(_function))


@operator("lstm_cell")
def lstm_cell(
    x: Operand, state: Sequence[Operand], *weights: Any
) -> tuple[Operand, ...]:
    """One step."""
    return _lstm(tuple(state), x, weights)

"""Training runs broken on purpose, one for each cause, and healthy ones.

data -> model -> training -> diagnosis -> the cause that is named first
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import symgrad as sg
from tests.diagnosis import losses, models, sequences
from tests.diagnosis.models import (
    adapted,
    bigram,
    cnn,
    logs,
    lopsided,
    mlp,
    normal,
    quotients,
    recurrent,
    residual,
    shrinking,
    transformer,
)
from tests.diagnosis.sequences import last, letters


@dataclass(frozen=True)
class Case:
    """One way to train; ``cause`` is what is wrong, None for healthy runs."""

    name: str
    cause: str | None
    loss: Callable
    kind: str = "digits"
    optimizer: object = sg.optim.Adam(3e-3)
    batch: int = 64
    steps: int = 120
    scale: float = 1.0  # of the inputs
    times: float = 1.0  # of the initial weights


SGD, ADAM, RMS = sg.optim.SGD, sg.optim.Adam, sg.optim.RMSProp
D, R, C = "digits", "regression", "characters"
A, V, P = "adding", "images", "equation"


HIGH, LOW, INIT = (
    "learning_rate_too_high",
    "learning_rate_too_low",
    "bad_initialization",
)

CASES = [
    Case("MLP, SGD 3", "learning_rate_too_high", lambda: mlp(D), D, SGD(3.0)),
    Case("MLP, momentum 1", "learning_rate_too_high", lambda: mlp(D), D, SGD(1.0, 0.9)),
    Case("MLP, Adam 1", "learning_rate_too_high", lambda: mlp(D), D, ADAM(1.0)),
    Case("MLP, SGD 2", "learning_rate_too_high", lambda: mlp(R), R, SGD(2.0)),
    Case(
        "tanh, Adam 0.5",
        "learning_rate_too_high",
        lambda: mlp(R, act=sg.tanh),
        R,
        ADAM(0.5),
    ),
    Case("residual, SGD 3", "learning_rate_too_high", lambda: residual(D), D, SGD(3.0)),
    Case("MLP, SGD 1e-5", "learning_rate_too_low", lambda: mlp(D), D, SGD(1e-5)),
    Case("MLP, Adam 1e-6", "learning_rate_too_low", lambda: mlp(D), D, ADAM(1e-6)),
    Case(
        "residual, Adam 1e-6",
        "learning_rate_too_low",
        lambda: residual(D),
        D,
        ADAM(1e-6),
    ),
    Case("CNN, SGD 1e-5", "learning_rate_too_low", cnn, D, SGD(1e-5)),
    Case("MLP, SGD 1e-5", "learning_rate_too_low", lambda: mlp(R), R, SGD(1e-5)),
    Case(
        "sigmoid × 12",
        "vanishing",
        lambda: mlp(D, 12, act=sg.sigmoid, init="glorot_normal"),
        D,
        SGD(0.1),
    ),
    Case(
        "sigmoid × 20, Adam",
        "vanishing",
        lambda: mlp(D, 20, act=sg.sigmoid, init="glorot_normal"),
        D,
        ADAM(1e-3),
    ),
    Case(
        "sigmoid × 10",
        "vanishing",
        lambda: mlp(R, 10, 16, act=sg.sigmoid, init="glorot_normal"),
        R,
        SGD(0.1),
    ),
    Case(
        "tanh × 40, gain 0.7",
        "vanishing",
        lambda: mlp(D, 40, 24, act=sg.tanh, init=normal(0.7)),
        D,
        SGD(0.05),
    ),
    Case("recurrent, gain 1.6", "exploding", lambda: recurrent(30, 1.6), R, SGD(1e-3)),
    Case(
        "recurrent × 20, relu",
        "exploding",
        lambda: recurrent(20, 3.0, sg.relu),
        R,
        ADAM(1e-3),
    ),
    Case(
        "relu × 25, gain 2.4",
        "exploding",
        lambda: mlp(D, 25, init=normal(2.4)),
        D,
        SGD(0.01),
    ),
    Case(
        "leaky × 30, gain 2.2",
        "exploding",
        lambda: mlp(R, 30, 24, act=sg.leaky_relu, init=normal(2.2)),
        R,
        SGD(0.01),
    ),
    Case(
        "residual × 16, no norm",
        "missing_normalization",
        lambda: residual(D, 16, norm=False, gain=1.4),
        D,
        SGD(0.05),
    ),
    Case(
        "residual × 20, no norm",
        "missing_normalization",
        lambda: residual(D, 20, norm=False, gain=1.2),
        D,
        SGD(0.05),
    ),
    Case(
        "residual × 16, no norm",
        "missing_normalization",
        lambda: residual(R, 16, norm=False, gain=1.4),
        R,
        SGD(0.05),
    ),
    Case(
        "MLP × 4, gain 12",
        "bad_initialization",
        lambda: mlp(D, 4, init=normal(12)),
        D,
        SGD(0.05),
    ),
    Case(
        "MLP × 6, gain 0.05",
        "bad_initialization",
        lambda: mlp(D, 6, init=normal(0.05), last=normal(0.05)),
        D,
        SGD(0.05),
    ),
    Case(
        "MLP, zeros",
        "bad_initialization",
        lambda: mlp(D, init="zeros", last="zeros"),
        D,
        SGD(0.1),
    ),
    Case(
        "MLP, all 0.1",
        "bad_initialization",
        lambda: mlp(R, init=0.1, last=0.1),
        R,
        SGD(0.05),
    ),
    Case(
        "tanh × 4, gain 20",
        "bad_initialization",
        lambda: mlp(D, 4, act=sg.tanh, init=normal(20)),
        D,
        SGD(0.05),
    ),
    Case("MLP, batch 1", "batch_too_small", lambda: mlp(D), D, SGD(0.1), 1, 250),
    Case("MLP, batch 2", "batch_too_small", lambda: mlp(D), D, SGD(0.2), 2, 250),
    Case(
        "tanh, batch 1",
        "batch_too_small",
        lambda: mlp(R, act=sg.tanh, init="glorot_normal"),
        R,
        SGD(0.1),
        1,
        250,
    ),
    Case(
        "residual, batch 1",
        "batch_too_small",
        lambda: residual(D),
        D,
        SGD(0.03),
        1,
        250,
    ),
    Case("MLP, biases −30", "dead_relu", lambda: mlp(D, bias=lopsided), D, SGD(0.1)),
    Case("MLP, biases −30", "dead_relu", lambda: mlp(R, 3, bias=lopsided), R, SGD(0.1)),
    Case("CNN, biases −30", "dead_relu", lambda: cnn(lopsided), D, ADAM(1e-3)),
    Case(
        "tanh, biases 8",
        "saturated",
        lambda: mlp(D, act=sg.tanh, bias=8.0),
        D,
        SGD(0.1),
    ),
    Case(
        "tanh, inputs × 100",
        "saturated",
        lambda: mlp(D, act=sg.tanh, init="glorot_normal"),
        D,
        SGD(0.1),
        scale=100.0,
    ),
    Case(
        "sigmoid, inputs × 100",
        "saturated",
        lambda: mlp(R, act=sg.sigmoid, init="glorot_normal"),
        R,
        SGD(0.1),
        scale=100.0,
    ),
    Case("first layer frozen", "frozen", lambda: mlp(D, frozen=(1,)), D, SGD(0.1)),
    Case("both layers frozen", "frozen", lambda: mlp(R, frozen=(1, 2)), R, SGD(0.01)),
    Case("convolution frozen", "frozen", lambda: cnn(frozen=True), D, ADAM(1e-3)),
    Case("stop_gradient", "unreached", lambda: mlp(D, stop=1), D, SGD(0.1)),
    Case("stop_gradient", "unreached", lambda: mlp(R, 3, stop=2), R, SGD(0.05)),
    Case("log of negatives", "nan", lambda: logs(D), D, SGD(0.01)),
    Case("0/0", "nan", lambda: quotients(D), D, SGD(0.01)),
    Case("log of a scale", "nan", lambda: shrinking(R), R, SGD(0.01)),
    # the character model
    Case("bigram, Adam 1", "learning_rate_too_high", bigram, C, ADAM(1.0)),
    Case("transformer, Adam 0.5", "learning_rate_too_high", transformer, C, ADAM(0.5)),
    Case("bigram, SGD 1e-5", "learning_rate_too_low", bigram, C, SGD(1e-5)),
    Case("transformer, Adam 1e-6", "learning_rate_too_low", transformer, C, ADAM(1e-6)),
    Case(
        "sigmoid × 10",
        "vanishing",
        lambda: bigram(10, act=sg.sigmoid, init="glorot_normal"),
        C,
        ADAM(1e-3),
    ),
    Case(
        "relu × 20, gain 2.4",
        "exploding",
        lambda: bigram(20, init=normal(2.4)),
        C,
        SGD(0.01),
    ),
    Case(
        "transformer × 8, no norm",
        "missing_normalization",
        lambda: transformer(8, norm=False, gain=1.7),
        C,
        SGD(0.1),
    ),
    Case("bigram, zeros", "bad_initialization", lambda: bigram(2, init="zeros"), C),
    Case(
        "bigram × 4, gain 15",
        "bad_initialization",
        lambda: bigram(4, init=normal(15)),
        C,
        SGD(0.05),
    ),
    Case("bigram, biases −30", "dead_relu", lambda: bigram(bias=lopsided), C),
    Case(
        "bigram, tanh, biases 8",
        "saturated",
        lambda: bigram(act=sg.tanh, bias=8.0),
        C,
        SGD(0.1),
    ),
    Case("embedding frozen", "frozen", lambda: bigram(trainable=False), C),
    # loops
    Case("LSTM, Adam 1", HIGH, lambda: last("lstm"), A, ADAM(1.0), 64, 300),
    Case("GRU, Adam 1", HIGH, lambda: last("gru"), A, ADAM(1.0), 64, 300),
    Case("RNN, Adam 0.3", HIGH, lambda: last("rnn"), A, ADAM(0.3), 64, 300),
    Case("LSTM, Adam 1", HIGH, lambda: letters("lstm"), C, ADAM(1.0)),
    Case("LSTM, Adam 1e-5", LOW, lambda: last("lstm"), A, ADAM(1e-5), 64, 300),
    Case("GRU, Adam 1e-5", LOW, lambda: letters("gru"), C, ADAM(1e-5)),
    Case("LSTM × 10", INIT, lambda: last("lstm"), A, ADAM(1e-2), times=10),
    Case("RNN × 10", INIT, lambda: last("rnn"), A, ADAM(3e-3), times=10),
    Case("GRU × 10", INIT, lambda: letters("gru"), C, ADAM(1e-2), times=10),
    Case(
        "RNN, gain 0.3",
        "vanishing",
        lambda: last("rnn", recurrent_init=normal(0.3)),
        A,
        ADAM(3e-3),
    ),
    Case(
        "sigmoid RNN",
        "vanishing",
        lambda: last("rnn", act=sg.sigmoid),
        A,
        ADAM(3e-3),
    ),
    Case(
        "LSTM that forgets",
        "vanishing",
        lambda: last("lstm", forget_bias=-3.0),
        A,
        SGD(0.1),
        64,
        200,
    ),
    Case(
        "linear RNN, gain 1.8",
        "exploding",
        lambda: last("rnn", act=lambda t: t, recurrent_init=normal(1.8)),
        A,
        ADAM(1e-3),
    ),
    Case(
        "RNN, gain 4",
        "exploding",
        lambda: letters("rnn", recurrent_init=normal(4)),
        C,
        ADAM(1e-3),
    ),
    Case(
        "LSTM, inputs × 100",
        "saturated",
        lambda: last("lstm"),
        A,
        ADAM(1e-2),
        scale=100.0,
    ),
    Case("RNN, biases 8", "saturated", lambda: last("rnn", bias=8.0), A, ADAM(3e-3)),
    # convolutions with batch norm, low rank, variational, differential equations
    Case("batch norm, Adam 0.3", HIGH, losses.convolutions, D, ADAM(0.3), 32),
    Case("batch norm, Adam 3e-6", LOW, losses.convolutions, D, ADAM(3e-6), 32),
    Case("LoRA, Adam 3", HIGH, losses.low_rank, C, ADAM(3.0)),
    Case("LoRA, Adam 1e-5", LOW, losses.low_rank, C, ADAM(1e-5)),
    Case("LoRA forgotten", "frozen", lambda: losses.low_rank(rank=0), C, ADAM(1e-2)),
    Case("VAE, Adam 1", HIGH, losses.variational, V, ADAM(1.0), 64, 300),
    Case("VAE, Adam 1e-6", LOW, losses.variational, V, ADAM(1e-6), 64, 300),
    Case("VAE × 10", INIT, losses.variational, V, ADAM(1e-3), times=10),
    Case("VAE, log", "nan", lambda: losses.variational(log=True), V, ADAM(1e-3)),
    Case("PINN, Adam 0.5", HIGH, losses.physics, P, ADAM(0.5), 128, 300),
    Case("PINN, Adam 5e-6", LOW, losses.physics, P, ADAM(5e-6), 128, 300),
    Case("PINN × 10", INIT, losses.physics, P, ADAM(5e-3), 128, times=10),
    # healthy
    Case("MLP, SGD", None, lambda: mlp(D), D, SGD(0.1)),
    Case("MLP, momentum", None, lambda: mlp(D), D, SGD(0.03, 0.9)),
    Case("MLP, Adam", None, lambda: mlp(D), D, ADAM(3e-3)),
    Case("MLP × 5, Adam", None, lambda: mlp(D, 5), D, ADAM(1e-3)),
    Case(
        "tanh, SGD",
        None,
        lambda: mlp(D, 3, act=sg.tanh, init="glorot_normal"),
        D,
        SGD(0.1),
    ),
    Case("sigmoid, Adam", None, lambda: mlp(D, 1, act=sg.sigmoid), D, ADAM(1e-2)),
    Case("GELU, Adam", None, lambda: mlp(D, 3, act=sg.gelu), D, ADAM(1e-3)),
    Case("residual × 6", None, lambda: residual(D, 6), D, ADAM(1e-3)),
    Case("residual × 12", None, lambda: residual(D, 12), D, ADAM(1e-3)),
    Case("CNN, Adam", None, cnn, D, ADAM(3e-3)),
    Case("CNN, SGD", None, cnn, D, SGD(0.05, 0.9)),
    Case("regression, SGD", None, lambda: mlp(R), R, SGD(0.03)),
    Case("regression, Adam", None, lambda: mlp(R, 3), R, ADAM(3e-3)),
    Case("regression, SiLU", None, lambda: mlp(R, 2, act=sg.silu), R, ADAM(3e-3)),
    Case("regression, residual", None, lambda: residual(R, 4), R, ADAM(3e-3)),
    Case("adapted, Adam", None, adapted, D, ADAM(1e-2)),
    Case("MLP, 8 epochs of 16", None, lambda: mlp(D), D, SGD(0.05), 16, 512),
    Case("ELU, RMSProp", None, lambda: mlp(D, 3, act=sg.elu), D, RMS(1e-3)),
    Case("MLP, trained long", None, lambda: mlp(D), D, ADAM(3e-3), 64, 1000),
    Case("regression, long", None, lambda: mlp(R), R, SGD(0.03), 32, 1000),
    Case("bigram, Adam", None, bigram, C, ADAM(3e-3)),
    Case("bigram, tanh", None, lambda: bigram(2, act=sg.tanh), C, ADAM(3e-3)),
    Case("transformer, Adam", None, transformer, C, ADAM(3e-3)),
    Case("transformer × 2", None, lambda: transformer(2), C, ADAM(3e-3)),
    Case("LSTM, Adam", None, lambda: last("lstm"), A, ADAM(1e-2), 64, 300),
    Case("GRU, Adam", None, lambda: last("gru"), A, ADAM(1e-2), 64, 300),
    Case("RNN, Adam", None, lambda: last("rnn"), A, ADAM(3e-3), 64, 300),
    Case("LSTM, Adam", None, lambda: letters("lstm"), C, ADAM(1e-2)),
    Case("GRU, Adam", None, lambda: letters("gru"), C, ADAM(1e-2)),
    Case("RNN, Adam", None, lambda: letters("rnn"), C, ADAM(3e-3)),
    Case("batch norm, Adam", None, losses.convolutions, D, ADAM(3e-3), 32),
    Case("LoRA, Adam", None, losses.low_rank, C, ADAM(1e-2)),
    Case("VAE, Adam", None, losses.variational, V, ADAM(1e-3), 64, 300),
    Case("PINN, Adam", None, losses.physics, P, ADAM(5e-3), 128, 300),
]


def data(kind):
    """Return an array for each input."""
    return {**sequences.DATA, **losses.DATA}.get(kind, lambda: models.data(kind))()


def train(case, seed):
    """Make the run; return the trainer, its data and its losses."""
    loss, given = case.loss(), None
    if case.times != 1:
        drawn = sg.init(loss, seed=seed)
        given = {n: case.times * a for n, a in drawn.items() if a.ndim > 1}
    trainer = sg.Trainer(loss, case.optimizer, seed=seed, params=given)
    arrays = dict(data(case.kind))
    if case.scale != 1:
        arrays["x"] = arrays["x"] * np.float32(case.scale)
    rng = np.random.default_rng(100 + seed)
    seen = []
    for n in range(case.steps):
        rows = rng.choice(len(arrays["x"]), case.batch, replace=False)
        batch = {k: a[rows] if np.ndim(a) else n for k, a in arrays.items()}
        seen.append(trainer.step(**batch))  # a scalar is the key of a step's noise
    return trainer, arrays, seen


def diagnosed(case, seed):
    """Make the run and return its diagnosis."""
    trainer, arrays, seen = train(case, seed)
    return sg.diagnose(trainer, arrays, history=seen, batch_size=case.batch)


def said(diagnosis):
    """Return the kind of the first finding above a note, or ``healthy``."""
    kinds = [f.kind for f in diagnosis.findings if f.severity != "note"]
    return kinds[0] if kinds else "healthy"

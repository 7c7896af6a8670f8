"""Trials: short trainings from given parameters in which one thing is changed.

Where a symptom has several possible causes, the one whose removal heals the run is the
cause: the same steps with a smaller rate, a larger rate, or larger batches.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from symgrad.declare.tensor import Tensor
from symgrad.derivation.reverse import grad
from symgrad.diagnosis.layers import Model
from symgrad.diagnosis.measure import Arrays
from symgrad.pipeline import compile
from symgrad.train.initialize import name_of
from symgrad.train.optim import Optimizer


class Trials:
    """Trains copies of a run's arrays; the run itself is never touched."""

    def __init__(self, model: Model, wrt: list[Tensor], optimizer: Optimizer) -> None:
        self.model, self.optimizer = model, optimizer
        made = optimizer.updates(wrt, grad(model.loss, wrt))
        self.rate, self.count = name_of(made.rate), name_of(made.step)
        self.program = compile(model.inputs, model.loss, updates=made.values)
        self.value = compile(model.inputs, model.loss)
        self.own = {name_of(t): t for t in (*made.values, made.rate)}
        self.names = {name_of(p) for p in model.params} | set(self.own)

    def run(
        self,
        data: Arrays,
        arrays: Mapping[str, np.ndarray],
        rate: float,
        batch: int,
        steps: int,
        seed: int = 0,
    ) -> tuple[float, list[float], dict[str, np.ndarray]]:
        """Train for some steps; return the loss on all data, those seen, the arrays."""
        held = {n: np.array(a) for n, a in arrays.items() if n in self.names}
        for name, t in self.own.items():
            if name not in held:
                shape = tuple(s for s in t.shape if isinstance(s, int))
                held[name] = np.zeros(shape, t.dtype)
        held[self.rate][...] = rate
        self.program.bind(held)
        rng = np.random.default_rng(seed)
        losses = []
        for _ in range(steps):
            rows = self.rows(data, batch, rng)
            losses.append(float(self.program(*pick(self.model, data, rows))))
            if not np.isfinite(losses[-1]):
                break
        return self.loss(data, held), losses, held

    def rows(self, data: Arrays, batch: int, rng: np.random.Generator) -> np.ndarray:
        """Return the numbers of the samples of a batch."""
        count = samples(self.model, data)
        return rng.choice(count, min(batch, count), replace=False)

    def loss(self, data: Arrays, params: Arrays) -> float:
        """Return the loss on all data."""
        needed = {name_of(p): params[name_of(p)] for p in self.model.params}
        arrays = [data[name_of(t)] for t in self.model.inputs]
        return float(self.value(*arrays, params=needed))


def samples(model: Model, data: Arrays) -> int:
    """Return the number of samples: the size of the first axis that has a name."""
    lengths = [len(data[name_of(t)]) for t in model.inputs if t.shape]
    return min(lengths, default=0)


def cuttable(model: Model, data: Arrays) -> bool:
    """Say whether batches of any size can be taken from the data."""
    shaped = [t for t in model.inputs if t.shape]
    free = all(not isinstance(t.shape[0], int) for t in shaped)
    return bool(shaped) and free and len({len(data[name_of(t)]) for t in shaped}) == 1


def pick(model: Model, data: Arrays, rows: np.ndarray) -> list[np.ndarray]:
    """Return some samples, in the order of the inputs."""
    return [
        data[name_of(t)][rows] if t.shape else data[name_of(t)] for t in model.inputs
    ]

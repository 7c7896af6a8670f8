"""Watching a run: its losses step by step, and where the first NaN is made."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from symgrad.declare.tensor import Tensor
from symgrad.errors import NumericError
from symgrad.pipeline import compile
from symgrad.train.initialize import name_of, parameters

#: Steps between two copies of all arrays: copies are to cost little.
EVERY = 64


class Watch:
    """Keeps the losses of a run and what it takes to repeat its last steps.

    All arrays are copied now and then, and the batches since.  When a loss is not
    finite, the steps since the copy are made again with a program that looks at every
    value, gradients included.

    Attributes:
        losses: the loss before each step.
    """

    def __init__(
        self,
        inputs: Sequence[Tensor],
        loss: Tensor,
        gradients: Sequence[Tensor],
        arrays: Mapping[str, np.ndarray],
        rate: np.ndarray,
    ) -> None:
        self.losses: list[float] = []
        self._inputs, self._outputs = list(inputs), [loss, *gradients]
        self._arrays, self._rate = arrays, rate
        self._copy: dict[str, np.ndarray] = {}
        self._since: list[tuple[float, list[np.ndarray]]] = []

    def step(
        self, run: Callable[..., np.ndarray], batch: Sequence[np.ndarray]
    ) -> float:
        """Make a step and keep its loss.

        Raises:
            NumericError: the loss is a NaN or infinite, naming the first node that
                made a NaN; the arrays are as they were before that step.
        """
        if not self._since or len(self._since) == EVERY:
            self._copy = {n: np.array(a) for n, a in self._arrays.items()}
            self._since.clear()
        self._since.append((self._rate.item(), [a.copy() for a in batch]))
        loss = float(run(*batch))
        self.losses.append(loss)
        if not math.isfinite(loss):
            self._stop(run, loss)
        return loss

    def forget(self) -> None:
        """Begin anew: the arrays have been changed by something else than a step."""
        self._since.clear()

    def _stop(self, run: Callable[..., np.ndarray], loss: float) -> None:
        """Make the steps since the copy again, as far as the first NaN."""
        program = compile(self._inputs, self._outputs, nan_check=True)
        names = [name_of(p) for p in parameters(self._outputs)]
        first = len(self.losses) - len(self._since) + 1
        said = ""
        self._set(self._copy)
        for step, (rate, batch) in enumerate(self._since, start=first):
            try:
                program(*batch, params={n: self._arrays[n] for n in names})
            except NumericError as error:
                said = f": {error}"
                break
            if step == len(self.losses):
                break
            self._rate[...] = rate
            run(*batch)
        self._since.clear()
        raise NumericError(
            f"the loss is {loss} in step {len(self.losses)}; training stopped, with "
            f"the arrays as they were before step {step}{said}; sg.diagnose(trainer, "
            "data) looks for the cause"
        )

    def _set(self, values: Mapping[str, np.ndarray]) -> None:
        for name, array in self._arrays.items():
            array[...] = values[name]

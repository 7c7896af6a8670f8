"""Watching a run: its losses, gradients and steps, and where the first NaN is made."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from symgrad.declare.build import cast, elementwise, reduction
from symgrad.declare.tensor import Tensor
from symgrad.errors import NumericError
from symgrad.pipeline import compile
from symgrad.train.initialize import name_of, parameters

#: Steps between two copies of all arrays, at first and at most.
EVERY, MOST = 64, 1024
#: The part of the time that copies and rows of statistics may take.
SHARE = 0.02
COLUMNS = ("step", "loss", "gradient", "update")


class Watch:
    """Keeps the losses of a run and what it takes to repeat its last steps.

    All arrays are copied now and then, and the batches since.  When a loss is not
    finite, the steps since the copy are made again with a program that looks at every
    value, gradients included.

    Attributes:
        losses: the loss before each step.
        statistics: a table with a row for every 64 steps (more where steps are so short
            that a row would take over 2 % of them): ``step``, the mean ``loss`` since
            the row before, the norm of the ``gradient`` of the last batch, and how
            large an ``update`` was on average, as a part of the parameters.
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
        self.statistics: dict[str, list[float]] = {n: [] for n in COLUMNS}
        self._norm: Callable[..., np.ndarray] | None = None
        self._inputs, self._outputs = list(inputs), [loss, *gradients]
        self._arrays, self._rate = arrays, rate
        self._copy: dict[str, np.ndarray] = {}
        self._since: list[tuple[float, list[np.ndarray]]] = []
        self._every, self._began = EVERY, 0.0

    def step(
        self, run: Callable[..., np.ndarray], batch: Sequence[np.ndarray]
    ) -> float:
        """Make a step and keep its loss.

        Raises:
            NumericError: the loss is a NaN or infinite, naming the first node that
                made a NaN; the arrays are as they were before that step.
        """
        if not self._since or len(self._since) >= self._every:
            self._look()
        self._since.append((self._rate.item(), [a.copy() for a in batch]))
        loss = float(run(*batch))
        self.losses.append(loss)
        if not math.isfinite(loss):
            self._stop(run, loss)
        return loss

    def _look(self) -> None:
        """Add a row and copy all arrays, less often if it takes long."""
        ready = self._norm is not None
        now = time.perf_counter()
        if self._since:
            self._record()
        self._copy = {n: np.array(a) for n, a in self._arrays.items()}
        self._since.clear()
        after = time.perf_counter()
        if ready and after - now > SHARE * (now - self._began):
            self._every = min(2 * self._every, MOST)
        self._began = after

    @property
    def latest(self) -> dict[str, float]:
        """Gradient and update of the last row; nothing before the first one."""
        rows = self.statistics
        live = rows["step"]
        return {n: rows[n][-1] for n in ("gradient", "update")} if live else {}

    def _record(self) -> None:
        """Add a row: after the copy was made, and before the next one."""
        outputs = self._outputs[1:]
        names = [name_of(p) for p in parameters(outputs)]
        if self._norm is None:
            self._norm = compile(self._inputs, _norm(outputs))
        _, batch = self._since[-1]
        gradient = self._norm(*batch, params={n: self._arrays[n] for n in names})
        change = sum(_square(self._arrays[n] - self._copy[n]) for n in names)
        size = sum(_square(self._arrays[n]) for n in names)
        count = len(self._since)
        update = math.sqrt(change / size) / count if size else math.nan
        row = (
            len(self.losses),
            float(np.mean(self.losses[-count:])),
            float(gradient),
            update,
        )
        for column, value in zip(COLUMNS, row, strict=True):
            self.statistics[column].append(value)

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


def _norm(tensors: Sequence[Tensor]) -> Tensor:
    """Return the norm of several tensors together, summed in float64."""
    total: Tensor | None = None
    for t in tensors:
        squares = elementwise("square", cast(t, "float64"))
        part = reduction("sum", squares, range(t.ndim))
        total = part if total is None else elementwise("add", total, part)
    assert total is not None
    return elementwise("sqrt", total)


def _square(array: np.ndarray) -> float:
    flat = array.reshape(-1)
    return float(np.dot(flat, flat))

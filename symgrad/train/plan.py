"""How an epoch is cut into steps, and when a run is saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from symgrad.errors import GraphError
from symgrad.train.interrupts import Interrupts


@dataclass(frozen=True)
class Plan:
    """What the steps of an epoch are made of.

    >>> Plan(8, 3, True).counts(20)
    [8, 8, 4]
    """

    batch_size: int
    accumulate: int
    shuffle: bool

    @property
    def size(self) -> int:
        """The number of samples in a step."""
        return self.batch_size * self.accumulate

    def counts(self, samples: int) -> list[int]:
        """Return the sizes of the batches of a step on so many samples."""
        whole, rest = divmod(samples, self.batch_size)
        return [self.batch_size] * whole + [rest] * bool(rest)


class Saved:
    """Saves a run after epochs, every so many steps, and when it is interrupted.

    Args:
        save: writes the run to a path.
        path: where to; None for nowhere.
        every: save after so many steps as well; None for epochs alone.
        interrupts: what holds Ctrl-C back while a run is saved because of one.
    """

    def __init__(
        self,
        save: Callable[[Any], None],
        path: Any,
        every: int | None,
        interrupts: Interrupts,
    ) -> None:
        if every is not None and (not isinstance(every, int) or every < 1):
            raise GraphError(f"every is a number of steps, at least 1, not {every!r}")
        if every is not None and path is None:
            raise GraphError("every= says how often to save; say where: checkpoint=")
        self._save, self._path, self._every, self._steps = save, path, every, 0
        self._interrupts = interrupts

    def step(self) -> None:
        """Note that a step is done."""
        self._steps += 1
        if self._every is not None and self._steps % self._every == 0:
            self._save(self._path)

    def epoch(self) -> None:
        """Note that an epoch is done."""
        if self._path is not None:
            self._save(self._path)

    def __enter__(self) -> Saved:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._path is not None and kind is KeyboardInterrupt:
            with self._interrupts.whole:
                self._save(self._path)

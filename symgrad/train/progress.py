"""What ``fit`` shows on standard error while it runs."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

LINES = 20  # at most about so many, where there is no terminal to redraw
EVERY = 0.05  # seconds between two redrawings


def describe(row: Mapping[str, float], epochs: int) -> str:
    """Return an epoch's row as a line.

    >>> describe({"epoch": 3, "loss": 0.12345, "lr": 0.001, "seconds": 0.5}, 10)
    'epoch  3/10  loss 0.1235  lr 0.001  500 ms'
    """
    width = len(str(epochs))
    parts = [f"epoch {row['epoch']:>{width}}/{epochs}"]
    for name, value in row.items():
        if name not in ("epoch", "seconds"):
            parts.append(f"{name.replace('_', ' ')} {value:.4g}")
    seconds = row["seconds"]
    took = f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
    return "  ".join([*parts, took])


class Silent:
    """Shows nothing."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def batch(
        self, loss: float, samples: int, more: Mapping[str, float] | None = None
    ) -> None:
        """Note that a batch is done, and what else is known."""

    def epoch(self, row: Mapping[str, float]) -> None:
        """Note that an epoch is done."""


class Lines(Silent):
    """Writes a line after the first epoch and others, about 20 in all."""

    def __init__(self, first: int, epochs: int) -> None:
        self.first, self.epochs = first, epochs
        self.every = max((epochs - first) // LINES, 1)

    def epoch(self, row: Mapping[str, float]) -> None:
        """Write the row: the first, now and then, and the last."""
        done = int(row["epoch"])
        made = done - self.first
        if made == 1 or done == self.epochs or made % self.every == 0:
            print(describe(row, self.epochs), file=sys.stderr)


class Bar(Silent):
    """A bar with the loss, samples per second and the time left."""

    def __init__(self, first: int, epochs: int, samples: int, done: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.epochs, self.row = epochs, ""
        self.started, self.shown, self.seen = 0.0, 0.0, 0
        self.bar = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[loss]}"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
        )
        self.waiting, self.loss = done, math.nan  # not shown yet
        self.more: Mapping[str, float] = {}
        self.now: dict[str, Any] = {"epoch": first + 1, "epochs": epochs}
        total = (epochs - first) * samples
        self.task = self.bar.add_task("", total=total, loss="", rate="", **self.now)

    def __enter__(self) -> Bar:
        self.bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._show()
        self.bar.stop()

    def batch(
        self, loss: float, samples: int, more: Mapping[str, float] | None = None
    ) -> None:
        """Note a batch; redraw if the last time is a while ago."""
        self.more = more or {}
        if not self.seen:  # what comes before is preparation
            self.started = time.monotonic()
        self.waiting += samples
        self.seen += samples
        self.loss = loss
        if time.monotonic() - self.shown > EVERY:
            self._show()

    def epoch(self, row: Mapping[str, float]) -> None:
        """Note an epoch."""
        self.now["epoch"] = min(int(row["epoch"]) + 1, self.epochs)
        self.loss = row["loss"]

    def _show(self) -> None:
        self.shown = time.monotonic()
        if self.seen:
            rate = self.seen / max(self.shown - self.started, 1e-9)
            more = "".join(f"  {name} {value:.2g}" for name, value in self.more.items())
            said = f"loss {self.loss:.4f}{more}"
            self.now |= {"loss": said, "rate": f"{rate:,.0f}/s"}
        self.bar.update(self.task, advance=self.waiting, **self.now)
        self.waiting = 0


def shown_on_stderr(
    show: bool, first: int, epochs: int, samples: int, done: int
) -> Silent:
    """Return what suits the terminal.

    Args:
        show: False for nothing at all.
        first: epochs completed before.
        epochs: epochs completed at the end.
        samples: samples in an epoch.
        done: samples of the first epoch that were seen before.
    """
    if not show:
        return Silent()
    if sys.stderr.isatty():
        return Bar(first, epochs, samples, done)
    return Lines(first, epochs)

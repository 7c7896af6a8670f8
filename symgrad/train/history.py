"""The record of a training run: one row for each epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from symgrad.errors import SymgradError


class History(dict[str, list[float]]):
    """A table as a dict of equally long lists, in the order of epochs.

    >>> history = History()
    >>> history.add({"epoch": 1, "loss": 0.5})
    >>> history.add({"epoch": 2, "loss": 0.25, "accuracy": 1.0})
    >>> history
    {'epoch': [1, 2], 'loss': [0.5, 0.25], 'accuracy': [nan, 1.0]}
    """

    def add(self, row: Mapping[str, float]) -> None:
        """Append a row; a column without a value gets NaN."""
        rows = len(next(iter(self.values()), []))
        for column in (*self, *row):
            values = self.setdefault(column, [math.nan] * rows)
            if len(values) == rows:
                values.append(row.get(column, math.nan))

    def plot(self, path: Any = None) -> Any:
        """Return a matplotlib figure of losses and metrics against the epoch.

        Args:
            path: a file to write it to as well (``.png``, ``.svg``, ``.pdf``).

        Raises:
            SymgradError: matplotlib is not installed, or there is no epoch to show.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError:
            raise SymgradError(
                "history.plot() needs matplotlib: pip install 'symgrad[plot]'"
            ) from None
        if not self.get("lr"):
            raise SymgradError("history.plot(): no epoch has been completed yet")
        hidden = {"epoch", "seconds"}
        if len(set(self["lr"])) == 1:
            hidden.add("lr")  # a constant rate is no curve
        shown = [c for c in self if c not in hidden]
        groups = [[c for c in shown if c.endswith("loss")]]
        groups += [
            [c for c in (m, f"validation_{m}") if c in self]
            for m in dict.fromkeys(c.removeprefix("validation_") for c in shown)
            if m != "loss"
        ]
        figure = Figure(figsize=(4.5 * len(groups), 3.2), layout="constrained")
        places = figure.subplots(1, len(groups), squeeze=False)[0]
        for axes, group in zip(places, groups, strict=True):
            for column in group:
                axes.plot(self["epoch"], self[column], label=column.replace("_", " "))
            axes.set_xlabel("epoch")
            axes.legend(frameon=False)
        if path is not None:
            figure.savefig(path)
        return figure

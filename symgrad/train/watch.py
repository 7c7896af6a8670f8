"""Watching a run: its losses, gradients and steps, and where the first NaN is made."""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any

import numpy as np

from symgrad.declare.build import cast, elementwise, reduction
from symgrad.declare.tensor import Param, Tensor
from symgrad.errors import GraphError, NumericError
from symgrad.pipeline import compile
from symgrad.train.initialize import name_of, parameters
from symgrad.train.replay import Again, Batch, Replay, Run

COLUMNS = ("step", "loss", "gradient", "update")
#: Steps before the first look, between two rows at least, between two looks at most.
FIRST, ROW, MOST = 8, 64, 8192


@dataclass(frozen=True)
class Options:
    """What ``Trainer(watch={…})`` takes.

    Attributes:
        share: the part of the steps' time that looking may take.  From the measured
            times of steps and of looks follow how many steps lie between two looks.
        every: steps between two rows of statistics; by default 64, more where
            ``share`` asks for it.
        memory: bytes of batches that are held at most.
    """

    share: float = 0.01
    every: int | None = None
    memory: int = 2**30

    @classmethod
    def of(cls, watch: bool | Mapping[str, Any]) -> Options | None:
        """Return the options that ``watch=`` stands for; None to watch nothing.

        Raises:
            GraphError: an option is unknown, or its value is of no use.
        """
        if isinstance(watch, bool | None):
            return cls() if watch else None
        known = [f.name for f in fields(cls)]
        if not isinstance(watch, Mapping) or not set(watch) <= set(known):
            raise GraphError(
                f"watch is True, False or a dict with any of {', '.join(known)}, such "
                f"as {{'share': 0.01}}, not {watch!r}"
            )
        found = cls(**watch)
        for name in known:
            value = getattr(found, name)
            whole = name != "share"
            if value is not None and not (_is_number(value, whole) and value > 0):
                kind = "an integer" if whole else "a number"
                raise GraphError(f"watch: {name} is {kind} above 0, not {value!r}")
        return found


class Watch:
    """Keeps the losses of a run and what it takes to repeat its last steps.

    A step costs one look at its loss.  All else is done now and then, so rarely that it
    takes ``share`` of the time: the arrays are copied, after a look whether they are
    finite, and rows of statistics are added.  Of the batches in between it is kept how
    to make them again; those of a caller are referred to and, if one was seen to be
    overwritten, copied.  When a loss is not finite, the steps since the copy are made
    again with a program that looks at every value, gradients included.

    Attributes:
        statistics: a table with a row for every 64 steps or more: ``step``, the mean
            ``loss`` since the row before, the norm of the ``gradient`` of the next
            batch, and how large an ``update`` was on average since the last copy, as a
            part of the parameters.
        latest: gradient and update of the last row; nothing before the first one.
    """

    def __init__(
        self,
        inputs: Sequence[Tensor],
        loss: Tensor,
        gradients: Sequence[Tensor],
        arrays: Mapping[str, np.ndarray],
        replay: Replay,
        options: Options,
    ) -> None:
        self.statistics: dict[str, list[float]] = {n: [] for n in COLUMNS}
        self.latest: dict[str, float] = {}
        self._losses = array("d")
        self._inputs, self._gradients = list(inputs), list(gradients)
        self._arrays, self._replay, self._options = arrays, replay, options
        self._norm: Callable[..., np.ndarray] | None = None
        self._flat = {n: a.reshape(-1) for n, a in arrays.items()}
        self._copy = {n: a.copy() for n, a in self._flat.items()}
        leaves = [(name_of(p), p.op) for p in parameters([loss, *gradients])]
        trained = [n for n, op in leaves if isinstance(op, Param) and op.trainable]
        self._trained = {n: self._flat[n] for n in trained}
        # An array for each input of a step, or how to make them: a flat list, as a
        # tuple for each step costs more than everything else here.
        self._since: list[Any] = []
        self._probe: tuple[Batch, Batch] | None = None
        self._copying, self._overwritten = True, False
        self._every, self._began, self._pace = FIRST, 0.0, math.inf
        self._copied_at, self._until = 0, 0  # steps
        self._due, self._row = 0, 0
        self._costs = {"look": math.inf, "row": math.inf}

    @property
    def losses(self) -> list[float]:
        """The loss before each step."""
        return self._losses.tolist()

    def step(self, run: Run, batch: Batch, again: Again | None = None) -> float:
        """Make a step and keep its loss.

        Args:
            run: makes a step on a batch, in the arrays.
            batch: an array for each input.
            again: how to make the batch again; by default its arrays are referred to.

        Raises:
            NumericError: the loss is a NaN or infinite, naming the first node that
                made a NaN; the arrays are as they were before that step.
        """
        losses = self._losses
        if len(losses) >= self._until:
            with np.errstate(over="ignore", invalid="ignore"):
                self._look(run, batch)
        loss = float(run(*batch))
        losses.append(loss)
        if again:
            self._since.append(again)
        else:
            self._since += _copied(batch) if self._copying else batch
        if loss - loss != 0:  # a NaN or infinite
            self._stop(run, f"the loss is {loss} in step {len(losses)}")
        return loss

    def forget(self) -> None:
        """Begin anew: the arrays have been changed by something else than a step."""
        self._since.clear()
        self._copied_at = self._until = len(self._losses)
        self._probe = None

    # -- now and then ------------------------------------------------------------------

    def _look(self, run: Run, batch: Batch) -> None:
        """Check parameters, perhaps add a row, copy all arrays; choose the next time.

        The first steps after this are few and their batches copied, so that a caller
        who overwrites them is found out.
        """
        now = time.perf_counter()
        steps = len(self._losses)
        done = steps - self._copied_at
        if done:
            self._pace = min((now - self._began) / done, 1.1 * self._pace)
            self._check(run)
            self._compare()
        began = time.perf_counter()
        if done and steps >= self._due:
            ready = self._norm is not None
            self._record(batch)
            self._cost("row", began, ready)
        middle = time.perf_counter()
        for name, a in self._flat.items():
            np.copyto(self._copy[name], a)
        self._since.clear()
        self._copied_at = steps
        self._probe = batch, _copied(batch)
        self._cost("look", middle - (began - now), True)
        self._plan(steps, sum(a.nbytes for a in batch))
        self._began = time.perf_counter()

    def _cost(self, what: str, began: float, counts: bool) -> None:
        """Note how long something took: a mean in which single waits weigh little."""
        if counts:
            taken, before = time.perf_counter() - began, self._costs[what]
            known = math.isfinite(before)
            self._costs[what] = (
                before + (min(taken, 4 * before) - before) / 8 if known else taken
            )

    def _plan(self, steps: int, held: int) -> None:
        """Choose when to look, and to add a row, next."""
        share = self._options.share / 2
        wanted = self._costs["look"] / (share * self._pace)  # 0 at first
        limit = min(MOST, self._options.memory // max(held, 1), 2 * self._every)
        self._every = min(_power(wanted), 1 << max(limit, 1).bit_length() - 1)
        if self._pace == math.inf:  # nothing has been measured
            self._every = FIRST
        if steps >= self._due:
            known = math.isfinite(self._costs["row"])
            wanted = self._costs["row"] / (share * self._pace) if known else 0.0
            apart = self._options.every or max(ROW, self._every, _power(wanted))
            self._due = steps - steps % apart + apart
        # Both are powers of two, so that a look for a row is not an additional one.
        self._until = min(steps - steps % self._every + self._every, self._due)

    def _compare(self) -> None:
        """Copy batches from now on where the caller has overwritten one."""
        assert self._probe is not None
        given, copy = self._probe
        same = all(a.tobytes() == b.tobytes() for a, b in zip(given, copy, strict=True))
        self._overwritten = self._overwritten or not same
        self._copying = self._overwritten

    def _check(self, run: Run) -> None:
        """Stop where an array is no longer finite though the losses are."""
        for name, a in self._flat.items():
            if not finite(a) and finite(self._copy[name]):
                steps = len(self._losses)
                self._stop(run, f"{name!r} is not finite after step {steps}")

    def _record(self, batch: Batch) -> None:
        """Add a row: of the steps since the row before, and since the last copy."""
        if self._norm is None:
            program = compile(self._inputs, _norm(self._gradients))
            names = [name_of(p) for p in parameters(self._gradients)]
            program.bind({n: self._arrays[n] for n in names})
            self._norm = program
        gradient = float(self._norm(*batch))
        done = len(self._losses) - self._copied_at
        change = sum(_square(a - self._copy[n]) for n, a in self._trained.items())
        size = sum(_square(a) for a in self._trained.values())
        update = math.sqrt(change / size) / done if size else math.nan
        losses = self._losses[self._row :]
        self._row = len(self._losses)
        row = self._row, sum(losses) / len(losses), gradient, update
        for column, value in zip(COLUMNS, row, strict=True):
            self.statistics[column].append(value)
        self.latest = {"gradient": gradient, "update": update}

    def _stop(self, run: Run, what: str) -> None:
        """Make the steps since the copy again, as far as the first NaN."""
        since, done = self._batches(), self._copied_at
        self.forget()
        index, said = self._replay(run, self._copy, since, self._losses[done:])
        raise NumericError(
            f"{what}; training stopped, with the arrays as they were before step "
            f"{done + index + 1}{said}; sg.diagnose(trainer, data) looks for the cause"
        )

    def _batches(self) -> list[Batch | Again]:
        """Return the batch of each step since the copy, or how to make it."""
        if not self._inputs:
            return [()] * (len(self._losses) - self._copied_at)
        rest, more = iter(self._since), len(self._inputs) - 1
        return [
            (first, *islice(rest, more)) if isinstance(first, np.ndarray) else first
            for first in rest
        ]


def finite(flat: np.ndarray) -> bool:
    """Say whether all elements are finite numbers."""
    return math.isfinite(_square(flat)) or bool(np.isfinite(flat).all())


def _copied(batch: Batch) -> Batch:
    return tuple(a.copy() for a in batch)


def _power(least: float) -> int:
    """Return the first power of two that is not below ``least``."""
    return 1 << max(math.ceil(math.log2(least)), 0) if least > 1 else 1


def _is_number(value: Any, whole: bool) -> bool:
    kinds = int if whole else int | float
    return isinstance(value, kinds) and not isinstance(value, bool)


def _norm(tensors: Sequence[Tensor]) -> Tensor:
    """Return the norm of several tensors together, summed in float64."""
    total: Tensor | None = None
    for t in tensors:
        squares = elementwise("square", cast(t, "float64"))
        part = reduction("sum", squares, range(t.ndim))
        total = part if total is None else elementwise("add", total, part)
    assert total is not None
    return elementwise("sqrt", total)


def _square(flat: np.ndarray) -> float:
    return float(np.dot(flat, flat))

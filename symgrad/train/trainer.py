"""The training loop: forward, backward and update as one compiled program."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from symgrad.declare.mode import KEY, in_mode
from symgrad.declare.tensor import Tensor, print_shape
from symgrad.derivation.reverse import flatten, grad, unflatten
from symgrad.errors import GraphError, ShapeError
from symgrad.pipeline import compile
from symgrad.train import checkpoint as files
from symgrad.train.accumulate import Accumulation
from symgrad.train.data import Batch, Dataset, as_input, check_keys, inputs_of
from symgrad.train.history import History
from symgrad.train.initialize import (
    check_names,
    checked_seed,
    init,
    name_of,
    parameters,
    stream,
)
from symgrad.train.interrupts import Interrupts
from symgrad.train.loss import Metrics, checked_metrics, in_training, leaves_of
from symgrad.train.low_rank import opened
from symgrad.train.optim import Optimizer
from symgrad.train.plan import Plan, Saved
from symgrad.train.progress import Silent, shown_on_stderr
from symgrad.train.replay import Again, Replay
from symgrad.train.watch import Options, Watch


class Trainer:
    """Trains the parameters that a loss depends on.

    Args:
        loss: a scalar tensor, the mean over a batch.
        optimizer: one of ``sg.optim``.
        seed: fixes the initial values and the order of samples.
        threads: how many threads to use; None for the usual number.
        watch: keep the loss of each step in ``losses`` and now and then the sizes of
            gradient and update in ``statistics``; show them, and stop at the first NaN,
            naming the node that made it.  A dict sets ``share``, the part of the time
            that this may take (0.01), ``every``, the steps between two rows of
            statistics, and ``memory``, bytes of batches to hold (2³⁰).
        params: initial values by name, in place of those declared; for example the
            ``params`` of another trainer, whose model this one builds on.

    Attributes:
        history: one row for each completed epoch.
        program: forward, backward and update, compiled.
        epochs: how many epochs have been completed.
        given: the initial values that ``params`` gave, by name.

    Raises:
        ShapeError: the loss is not a scalar.
        GraphError: no trainable parameter reaches the loss, or names clash.
    """

    def __init__(
        self,
        loss: Tensor,
        optimizer: Optimizer,
        seed: int = 0,
        threads: int | None = None,
        watch: bool | Mapping[str, Any] = False,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        trainable, frozen = leaves_of(loss)
        if not isinstance(optimizer, Optimizer):
            raise GraphError(
                f"optimizer is one of sg.optim, such as sg.optim.Adam(1e-3), not "
                f"{optimizer!r}"
            )
        watching = Options.of(watch)
        self.loss, self.optimizer = loss, optimizer
        self._seed, self._threads = checked_seed(seed), threads
        self._inputs = {name_of(t): t for t in inputs_of([loss])}
        trained, state = in_training(loss, frozen)
        trained = opened(trained)
        gradients = grad(trained, trainable)
        updates = optimizer.updates(trainable, gradients)
        updates.values |= state
        check_names([*updates.values, *frozen, updates.rate])
        self._names = [name_of(p) for p in (*trainable, *frozen)]
        self._arrays = init([loss, *updates.values, updates.rate], self._seed)
        if KEY in state:
            key = np.int64((self._seed & 0x7FFFFFFF) << 32)
            self._arrays[name_of(KEY)] = np.array(key)
        self._take(params)
        self._rate = self._arrays[name_of(updates.rate)]
        self._step = self._arrays[name_of(updates.step)]
        self.program = compile(
            list(self._inputs.values()),
            trained,
            threads=threads,
            updates=updates.values,
        )
        self.program.bind(self._arrays)
        self._watch = self._watching(watching, trained, gradients)
        self._step_parts = (trained, trainable, gradients, optimizer, state)
        self._accumulation: Accumulation | None = None
        self._programs: dict[tuple[Tensor, ...], Any] = {}
        self.history = History()
        self.epochs = 0
        self._unfinished: dict[str, Any] | None = None

    def _watching(
        self, options: Options | None, loss: Tensor, gradients: list[Tensor]
    ) -> Watch | None:
        if options is None:
            return None
        inputs = list(self._inputs.values())
        replay = Replay(inputs, [loss, *gradients], self._arrays, self._set_rate)
        return Watch(inputs, loss, gradients, self._arrays, replay, options)

    def _set_rate(self) -> None:
        self._rate[...] = self.optimizer.rate(int(self._step))

    def _take(self, params: Mapping[str, Any] | None) -> None:
        """Put given initial values in place of the declared ones."""
        self.given: dict[str, np.ndarray] = {}
        for name, value in ({} if params is None else params).items():
            if name not in self._names:
                raise GraphError(
                    f"params: the model has no parameter {name!r}; its parameters are "
                    f"{', '.join(self._names)}"
                )
            array, given = self._arrays[name], np.asarray(value)
            if given.shape != array.shape:
                raise ShapeError(
                    f"params: {name!r} has the shape {print_shape(given.shape)}, not "
                    f"{print_shape(array.shape)}"
                )
            array[...] = given
            self.given[name] = array.copy()

    @property
    def steps(self) -> int:
        """How many steps have been made."""
        return int(self._step)

    @property
    def losses(self) -> list[float]:
        """The loss before each step, of a trainer with ``watch=``; else nothing."""
        return [] if self._watch is None else self._watch.losses

    @property
    def statistics(self) -> dict[str, list[float]]:
        """The table that a trainer with ``watch=`` keeps; else nothing.

        Its columns are ``step``, ``loss``, ``gradient`` (the norm) and ``update`` (as a
        part of the parameters); a row is for 64 steps or more.
        """
        return {} if self._watch is None else self._watch.statistics

    @property
    def params(self) -> dict[str, np.ndarray]:
        """The model's parameters by name: the arrays in use, which steps change."""
        return {name: self._arrays[name] for name in self._names}

    @property
    def seed(self) -> int:
        """What fixes the initial values and the order of samples."""
        return self._seed

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Parameters and the optimizer's state by name: the arrays in use."""
        return dict(self._arrays)

    def step(self, /, **arrays: Any) -> float:
        """Make one step on one batch; return the loss before it.

        Raises:
            GraphError: an array is missing or is not an input.
            ShapeError, DTypeError: an array does not suit its input.
        """
        check_keys("step", arrays, self._inputs.values())
        self._unfinished = None  # an epoch that was interrupted is not gone on with
        return self._advance(
            as_input("step", t, arrays[n]) for n, t in self._inputs.items()
        )

    def _advance(
        self, batch: Iterable[np.ndarray], again: Again | None = None
    ) -> float:
        """Make a step: the whole of it or, as it has its own counter, visibly none."""
        self._rate[...] = self.optimizer.rate(int(self._step))
        if self._watch is not None:
            return self._watch.step(self.program, tuple(batch), again)
        return float(self.program(*batch))

    def _advance_by(
        self, batches: Iterator[Batch], counts: list[int], again: Again
    ) -> float:
        """Make a step on the next batches, of so many samples."""
        taken = [next(batches)[: len(self._inputs)] for _ in counts]
        if self._accumulation is None:
            return self._advance(taken[0], again)
        self._set_rate()
        return self._accumulation.step(taken, counts)

    def _prepare(self, accumulate: int) -> None:
        """Compile what adds gradients, where steps are made of several batches."""
        if not isinstance(accumulate, int) or accumulate < 1:
            raise GraphError(f"accumulate is an integer of at least 1: {accumulate!r}")
        if accumulate == 1:
            self._accumulation = None
        elif self._watch is not None:
            raise GraphError("watch=True looks at single batches; leave out accumulate")
        elif self._accumulation is None:
            inputs = list(self._inputs.values())
            self._accumulation = Accumulation(
                inputs, *self._step_parts, self._arrays, self._threads
            )

    # -- epochs ------------------------------------------------------------------------

    def fit(
        self,
        data: Mapping[str, Any],
        epochs: int,
        batch_size: int = 32,
        validation: Mapping[str, Any] | None = None,
        metrics: Metrics | None = None,
        shuffle: bool = True,
        progress: bool = True,
        accumulate: int = 1,
        checkpoint: Any = None,
        every: int | None = None,
    ) -> History:
        """Train for ``epochs`` more epochs; return the history of all so far.

        Interrupted (Ctrl-C), it stops between two steps (pressed twice, at once).  A
        later call, also after ``save`` and ``load``, first finishes that epoch, as one
        of its ``epochs``.

        Args:
            data: an array of samples for each input, along the first axis.
            epochs: how often to go through the data.
            batch_size: samples in a step; the last batch of an epoch may be smaller.
            validation: other samples, on which loss and metrics are computed after
                each epoch (columns ``validation_…``).
            metrics: tensors by name, as ``{"accuracy": sg.mean(…)}``; their mean over
                the samples is computed after each epoch, on the validation samples if
                there are any, else on ``data``.
            shuffle: take the samples in a new random order in each epoch.
            progress: show a bar on a terminal, or some lines elsewhere.
            accumulate: make a step of so many batches at a time.
            checkpoint: a path to ``save`` to after each epoch, and when interrupted.
            every: save after so many steps as well.
        """
        if not isinstance(epochs, int) or isinstance(epochs, bool) or epochs < 0:
            raise GraphError(f"epochs is a non-negative integer, not {epochs!r}")
        metrics = checked_metrics(metrics)
        measured = self._with({} if validation is not None else metrics)
        samples = Dataset("data", data, measured)
        batch_size = samples.check_batch_size(batch_size)
        other = None
        if validation is not None:
            other = Dataset("validation", validation, self._with(metrics))
            other.check_batch_size(batch_size)
        self._prepare(accumulate)
        interrupts = Interrupts()
        saved = Saved(self.save, checkpoint, every, interrupts)
        plan = Plan(batch_size, accumulate, shuffle)
        position = self._position(len(samples), plan)
        done = self._done(position, len(samples), plan)
        first, last = self.epochs, self.epochs + epochs
        bar = shown_on_stderr(progress, first, last, len(samples), done)
        with interrupts, saved, bar as shown:
            while self.epochs < last:
                row = self._epoch(samples, plan, shown, saved, interrupts)
                if other is not None:
                    found = self._evaluate(other, metrics, batch_size, self.loss)
                    row |= {f"validation_{n}": value for n, value in found.items()}
                elif metrics:
                    row |= self._evaluate(samples, metrics, batch_size)
                with interrupts.whole:
                    self._unfinished = None
                    self.epochs += 1
                    self.history.add(row)
                    shown.epoch(row)
                    saved.epoch()
        return self.history

    def _position(self, samples: int, plan: Plan) -> dict[str, Any]:
        """Return where the current epoch began; an interrupted one goes on."""
        kind = {"samples": samples, **asdict(plan)}
        now = self._unfinished
        if now is None or any(now.get(k) != v for k, v in kind.items()):
            now = kind | {"begun": self.steps, "loss": 0.0, "weight": 0, "seconds": 0.0}
        self._unfinished = now
        return now

    def _done(self, position: dict[str, Any], samples: int, plan: Plan) -> int:
        """Return how many samples of the current epoch have been taken."""
        done: int = (self.steps - position["begun"]) * plan.size
        return min(done, samples)  # the last batch may be smaller

    def _epoch(
        self,
        data: Dataset,
        plan: Plan,
        shown: Silent,
        saved: Saved,
        interrupts: Interrupts,
    ) -> dict[str, float]:
        now = self._position(len(data), plan)
        rng = stream(self._seed, f"\0epoch {self.epochs}")  # no parameter's name
        order = rng.permutation(len(data)) if plan.shuffle else None
        began = time.perf_counter() - now["seconds"]
        start = self._done(now, len(data), plan)
        left = len(data) - start
        batches = data.batches(plan.batch_size, order, start)
        again = partial(self._batch, data, plan, order)
        while left:
            count = min(plan.size, left)
            source = again, len(data) - left
            with interrupts.whole:
                loss = self._advance_by(batches, plan.counts(count), source)
                left -= count
                now["loss"] += loss * count
                now["weight"] += count
                now["seconds"] = time.perf_counter() - began
                shown.batch(loss, count, self._watched())
                saved.step()
        return {
            "epoch": self.epochs + 1,
            "loss": now["loss"] / max(now["weight"], 1),
            "lr": float(self._rate),
            **self._watched(),
            "seconds": now["seconds"],
        }

    def _batch(self, data: Dataset, plan: Plan, order: Any, low: int) -> Batch:
        """Return one batch of an epoch once more."""
        return next(data.batches(plan.batch_size, order, low))[: len(self._inputs)]

    def _watched(self) -> dict[str, float]:
        """Return what is shown beside the loss."""
        return {} if self._watch is None else self._watch.latest

    # -- other values ------------------------------------------------------------------

    def predict(self, t: Any, /, **arrays: Any) -> Any:
        """Return the values of tensors (in any structure) for the current parameters.

        Each structure is compiled once.

        Raises:
            GraphError: an array is missing or unknown, or ``t`` depends on a parameter
                that the loss does not.
        """
        leaves = flatten(t)
        inputs, program = self._program_for(leaves)
        check_keys("predict", arrays, inputs)
        ordered = [as_input("predict", i, arrays[name_of(i)]) for i in inputs]
        return unflatten(t, program(*ordered))

    def _program_for(self, outputs: list[Tensor]) -> tuple[list[Tensor], Any]:
        wanted = tuple(outputs)
        known = self._programs.get(wanted)
        if known is None:
            outputs = in_mode(outputs, training=False)
            missing = [p for p in parameters(outputs) if p.name not in self._arrays]
            if missing:
                raise GraphError(
                    f"the trainer has no value for {missing[0].describe()}: the loss "
                    "does not depend on it"
                )
            inputs = inputs_of(outputs)
            program = compile(inputs, outputs, threads=self._threads)
            program.bind(
                {n: self._arrays[n] for n in map(name_of, parameters(outputs))}
            )
            known = self._programs[wanted] = (inputs, program)
        return known

    def _with(self, metrics: Metrics) -> list[Tensor]:
        return inputs_of([self.loss, *metrics.values()])

    def evaluate(
        self,
        data: Mapping[str, Any],
        metrics: Metrics | None = None,
        batch_size: int = 256,
    ) -> dict[str, float]:
        """Return the loss and the metrics, each as its mean over the samples."""
        metrics = checked_metrics(metrics)
        samples = Dataset("data", data, self._with(metrics))
        size = samples.check_batch_size(batch_size)
        return self._evaluate(samples, metrics, size, self.loss)

    def _evaluate(
        self, data: Dataset, metrics: Metrics, size: int, loss: Tensor | None = None
    ) -> dict[str, float]:
        wanted = ({} if loss is None else {"loss": loss}) | dict(metrics)
        inputs, program = self._program_for(list(wanted.values()))
        totals, left = np.zeros(len(wanted)), len(data)
        place = {name_of(t): n for n, t in enumerate(data.inputs)}
        places = [place[name_of(t)] for t in inputs]
        for batch in data.batches(size):
            count = min(size, left)
            left -= count
            values = program(*(batch[n] for n in places))
            totals += [count * float(np.mean(v)) for v in values]
        return dict(zip(wanted, (totals / len(data)).tolist(), strict=True))

    # -- files -------------------------------------------------------------------------

    def save(self, path: Any) -> None:
        """Write all that is needed to go on exactly from here, as safetensors.

        Raises:
            FormatError: the file cannot be written; an old one stays as it was.
        """
        facts = {
            "optimizer": repr(self.optimizer),
            "seed": self._seed,
            "epochs": self.epochs,
            "unfinished": self._unfinished,
            "history": self.history,
        }
        files.write(path, self._arrays, facts)

    def load(self, path: Any) -> None:
        """Take everything from a file that ``save`` wrote for this model and optimizer.

        Raises:
            FormatError: it cannot be read or does not fit; nothing is changed then.
        """
        arrays, facts = files.read(path)
        files.check(path, arrays, self._arrays)
        self._seed, self.epochs = facts["seed"], facts["epochs"]
        self._unfinished = facts["unfinished"]
        self.history = History(facts["history"])
        for name, array in arrays.items():
            self._arrays[name][...] = array
        if self._watch is not None:
            self._watch.forget()

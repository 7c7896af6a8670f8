"""Everything that is known about a run before anything is concluded from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from symgrad.diagnosis.forecast import Forecast, forecast
from symgrad.diagnosis.layers import Model
from symgrad.diagnosis.measure import Arrays, Instrument, Measured
from symgrad.diagnosis.sharpness import LARGEST, noise_scale, sharpness_of
from symgrad.diagnosis.trials import Trials, cuttable, pick, samples
from symgrad.diagnosis.weights import gains
from symgrad.drawing.highways import Share, shares
from symgrad.errors import SymgradError
from symgrad.train.initialize import name_of
from symgrad.train.optim import SGD, Optimizer

TRIAL_STEPS = 40
AGAIN_STEPS = 200  # at most, from the start
MICRO_BATCHES = 24
MOST = 4096  # samples that are measured
LARGE = 3.0  # of a weight's gain; and, inverted, small


@dataclass
class Run:
    """What the user gave: a loss, and perhaps how it is trained.

    Attributes:
        model: the structure of the loss.
        start, now: parameters by name, before training and at present.
        data: an array for each input.
        losses: the losses so far, in order.
        optimizer: None if there is no trainer.
        arrays: the parameters and the optimizer's state.
        steps: how many steps have been made.
        rate: the learning rate at present.
        batch: samples in a step.
        extra: names of given parameters that the loss does not have.
        given: names of those whose initial values were given, not drawn.
    """

    model: Model
    start: Arrays
    now: Arrays
    data: Arrays
    losses: list[float] = field(default_factory=list)
    optimizer: Optimizer | None = None
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    steps: int = 0
    rate: float | None = None
    batch: int | None = None
    extra: list[str] = field(default_factory=list)
    given: set[str] = field(default_factory=set)


@dataclass
class Evidence:
    """What was measured.

    Attributes:
        run: what the user gave.
        start, now: the measurements before training and at present.
        sharpness: the largest eigenvalue of the Hessian, at present (or, if that is
            not finite, before training).
        first_sharpness: the same before training.
        limit: the greatest stable ``lr·sharpness`` for this optimizer, None if there
            is no simple one.
        noise: the gradient noise scale there.
        trials: what changed -> the decrease of the loss, as a part of the first loss.
        again: the same in as many steps from the start as the run has made (200 at
            most), with a tenth or hundredth of the rate, whichever falls further.
        instead: the measurements after these steps.
        updates: parameter -> norm of the change that the next step makes.
        nan: the sentence that names the first node that makes a NaN.
        overflow: does the loss become finite before training if the weights that are
            too large are scaled down?
        forecast: what the formulas predict, None where nothing is trained.
        roads: what of the gradient passes by each shortcut and by its block.
    """

    run: Run
    start: Measured
    now: Measured
    sharpness: float | None = None
    first_sharpness: float | None = None
    limit: float | None = None
    noise: float | None = None
    trials: dict[str, float] = field(default_factory=dict)
    again: float = -math.inf
    instead: Measured | None = None
    updates: dict[str, float] = field(default_factory=dict)
    nan: str | None = None
    overflow: bool = False
    forecast: Forecast | None = None
    roads: list[Share] = field(default_factory=list)

    @property
    def measured(self) -> bool:
        """Are there measurements, or only what the formulas tell?"""
        return bool(self.start.weights) or not self.run.model.params

    @property
    def product(self) -> float | None:
        """``lr·sharpness``, where there is a limit for it."""
        if self.sharpness is None or self.run.rate is None or self.limit is None:
            return None
        return self.run.rate * self.sharpness

    @property
    def ends(self) -> tuple[float, float]:
        """The loss before training and at present; of a history alone, as it tells."""
        if self.run.steps == 0 and self.run.losses:
            return self.run.losses[0], self.run.losses[-1]
        return self.start.loss, self.now.loss

    @property
    def remaining(self) -> float:
        """The loss at present as a part of the loss before training.

        Of a loss below 0, such as a log-likelihood, as a part of its size.
        """
        first, last = self.ends
        if not math.isfinite(last):
            return math.inf
        return 1 - (first - last) / abs(first) if first else 1.0

    @property
    def input_scale(self) -> float:
        """The root of the mean square of the first input with features."""
        sizes = [
            float(np.sqrt(np.mean(np.square(np.float64(self.run.data[name_of(t)])))))
            for t in self.run.model.inputs
            if t.dtype.startswith("float") and t.ndim > 1
        ]
        return sizes[0] if sizes else 1.0

    @property
    def slow(self) -> bool:
        """Would a larger rate take the loss much further than this one?"""
        if not self.trials or self.diverged or self.run.steps < 20:
            return False
        same = self.trials["same"]
        larger = max(v for name, v in self.trials.items() if name.startswith("rate*"))
        product, limit = self.product, self.limit
        # Far below what the curvature allows, a small gain in few steps is telling too.
        short = product is not None and limit is not None and product < limit / 1000
        least = max(same + 0.02, 5 * same) if short else same + 0.15
        stands = self.stuck and larger > max(0.05, 20 * same)
        return same < 0.05 and (larger > least or stands)

    @property
    def again_steps(self) -> int:
        """How many steps ``again`` has made."""
        return min(max(self.run.steps, TRIAL_STEPS), AGAIN_STEPS)

    @property
    def achieved(self) -> float:
        """How far the loss has fallen, as a part of the loss before training."""
        return 1 - self.remaining

    @property
    def diverged(self) -> bool:
        """Has the loss grown, or become infinite or NaN?"""
        if not self.run.losses and not self.run.steps:
            return False
        bad = any(not math.isfinite(v) for v in self.run.losses)
        return bad or not math.isfinite(self.now.loss) or self.remaining > 1.5

    @property
    def swing(self) -> float:
        """How far the loss jumps from entry to entry, as a part of the first loss."""
        tail = np.asarray(self.run.losses[len(self.run.losses) // 2 :])
        size = abs(self.ends[0])
        if len(tail) < 5 or not np.isfinite(tail).all() or not size > 0:
            return 0.0
        return float(np.mean(np.abs(np.diff(tail))) / size)

    @property
    def oscillates(self) -> bool:
        """Does the loss jump up and down rather than fall?"""
        return not self.diverged and self.swing > 0.3

    @property
    def stuck(self) -> bool:
        """Has the loss hardly fallen, after at least twenty steps?"""
        enough = self.run.steps >= 20 or len(self.run.losses) >= 20
        return enough and not self.diverged and self.remaining > 0.9


def foresee(run: Run) -> Evidence:
    """Return what the formulas tell without data."""
    nothing = Measured(math.nan, {}, {}, {})
    found = Evidence(run, nothing, nothing)
    found.forecast = forecast(run.model, run.start, run.now, None)
    return found


def collect(run: Run) -> Evidence:
    """Measure everything."""
    instrument = Instrument(run.model)
    start = instrument(run.data, run.start)
    now = start if run.now is run.start else instrument(run.data, run.now)
    found = Evidence(run, start, now)
    present = run.now if now.finite else run.start
    found.forecast = forecast(run.model, run.start, present, run.data)
    broken = not now.finite or found.diverged
    base = run.start if broken else run.now
    if not start.finite:
        found.nan = instrument.first_nan(run.data, run.start)
        found.overflow = _overflows_by_weights(instrument, run)
        return found
    found.roads = _roads(run, base)
    reached = list(instrument.reached)
    measure = sharpness_of(run.model, reached)
    if measure is not None:
        found.first_sharpness = measure(run.data, run.start)
        found.sharpness = found.first_sharpness
        if base is not run.start:
            found.sharpness = measure(run.data, base)
    found.limit = _limit(run.optimizer, run.rate)
    if run.optimizer is not None and run.batch and cuttable(run.model, run.data):
        trials = Trials(run.model, reached, run.optimizer)
        found.noise = _noise(instrument, run, base)
        _try(found, instrument, trials, base)
        if not now.finite:
            found.nan = _late_nan(found, instrument, trials)
    elif not now.finite:
        found.nan = instrument.first_nan(run.data, run.now)
    return found


def _overflows_by_weights(instrument: Instrument, run: Run) -> bool:
    large = {n: g for n, g in gains(run.model, run.start).items() if g > LARGE}
    smaller = {n: a / large.get(n, 1.0) for n, a in run.start.items()}
    typed = {n: a.astype(run.start[n].dtype) for n, a in smaller.items()}
    return bool(large) and instrument(run.data, typed).finite


def _roads(run: Run, params: Arrays) -> list[Share]:
    """Measure what of the gradient passes by each shortcut and by its block."""
    few = len(run.model.order) <= LARGEST
    if not few or not run.model.shortcuts or not run.model.trainable:
        return []
    return shares(run.model.loss, run.model.shortcuts, run.data, params)


def _limit(optimizer: Optimizer | None, rate: float | None) -> float | None:
    if optimizer is None:
        return 2.0 if rate is not None else None
    return 2 * (1 + optimizer.momentum) if isinstance(optimizer, SGD) else None


def _noise(instrument: Instrument, run: Run, params: Arrays) -> float | None:
    """Return the gradient noise scale, from batches of the size of the training's."""
    count = samples(run.model, run.data)
    assert run.batch is not None
    rng = np.random.default_rng(0)
    small = []
    for _ in range(MICRO_BATCHES):
        rows = rng.choice(count, min(run.batch, count), replace=False)
        names = [name_of(t) for t in run.model.inputs]
        part = dict(zip(names, pick(run.model, run.data, rows), strict=True))
        small.append(instrument(part, params).gradient)
    whole = instrument(run.data, params).gradient
    return noise_scale(small, run.batch, whole, count)


def _try(found: Evidence, instrument: Instrument, trials: Trials, base: Arrays) -> None:
    """Train on for some steps, each time with one thing changed."""
    run = found.run
    assert run.rate is not None
    assert run.batch is not None
    arrays = dict(run.arrays) if base is run.now else {}
    arrays |= base
    before = trials.loss(run.data, base)
    _, _, stepped = trials.run(run.data, arrays, run.rate, run.batch, 1)
    for name in found.start.gradients:
        change = np.float64(stepped[name]) - np.float64(base[name])
        found.updates[name] = float(np.linalg.norm(change))
    changes = {
        "same": (1.0, 1),
        "rate/10": (0.1, 1),
        "rate/100": (0.01, 1),
        "rate*10": (10.0, 1),
        "rate*100": (100.0, 1),
        "rate*1000": (1000.0, 1),
        "batch*16": (1.0, 16),
    }
    usual = _usual_rate(found)
    if usual > 3000 * run.rate:
        changes["rate*more"] = (usual / run.rate, 1)
    for name, (factor, more) in changes.items():
        rate, batch = run.rate * factor, run.batch * more
        after, _, _ = trials.run(run.data, arrays, rate, batch, TRIAL_STEPS)
        fallen = (before - after) / abs(found.start.loss or 1.0)
        found.trials[name] = fallen if math.isfinite(fallen) else -math.inf
    for factor in (0.1, 0.01):
        rate = run.rate * factor
        after, _, arrays = trials.run(
            run.data, run.start, rate, run.batch, found.again_steps
        )
        fallen = (found.start.loss - after) / abs(found.start.loss or 1.0)
        if fallen > found.again:  # neither infinite nor NaN
            found.again = fallen
            found.instead = instrument(run.data, arrays)


def _usual_rate(found: Evidence) -> float:
    """Return a rate at which runs of this kind learn: well within what is stable."""
    if found.limit is not None and found.sharpness is not None:
        return found.limit / 4 / found.sharpness if found.sharpness > 0 else 0.0
    return 1e-3  # of Adam and its like, whose steps are about as long as the rate


def _late_nan(found: Evidence, instrument: Instrument, trials: Trials) -> str | None:
    """Return which node makes a NaN in a run that did not diverge before it.

    The run is made again from its start; where it becomes infinite by growing, the NaN
    is a consequence, and None is returned.
    """
    run = found.run
    assert run.rate is not None
    assert run.batch is not None
    arrays: Mapping[str, np.ndarray] = run.start
    names = [name_of(t) for t in run.model.params]
    for seed in range(min(run.steps, 300)):
        before = {n: np.array(arrays[n]) for n in names}
        if not math.isfinite(trials.loss(run.data, before)):
            return instrument.first_nan(run.data, before)
        rows = trials.rows(run.data, run.batch, np.random.default_rng(seed))
        part = pick(run.model, run.data, rows)
        _, losses, arrays = trials.run(run.data, arrays, run.rate, run.batch, 1, seed)
        if losses and losses[-1] > 100 * max(abs(found.start.loss), 1e-3):
            return None
        moved = max(_relative(arrays[n], before[n]) for n in names)
        if moved > 3 or _overflows(instrument(run.data, before)):
            return None
        if not all(np.isfinite(arrays[n]).all() for n in names):
            inputs = [name_of(t) for t in run.model.inputs]
            return instrument.first_nan(dict(zip(inputs, part, strict=True)), before)
    return None


def _relative(new: np.ndarray, old: np.ndarray) -> float:
    """Return the size of a change as a part of what is changed."""
    size = float(np.linalg.norm(np.float64(old)))
    change = float(np.linalg.norm(np.float64(new) - np.float64(old)))
    return change / size if size > 1e-2 and math.isfinite(change) else 0.0


def _overflows(m: Measured) -> bool:
    """Are values or gradients so large that infinity is near?"""
    sizes = [v for pairs in m.sites.values() for v, _ in pairs]
    return max([*sizes, m.gradient]) > 1e6


def curve(history: Any) -> list[float]:
    """Return the losses of a history: a table with a column ``loss``, or a list.

    Raises:
        SymgradError: it is neither.
    """
    if history is None:
        return []
    if isinstance(history, Mapping) and (not history or "loss" in history):
        history = history.get("loss", [])
    if isinstance(history, Sequence | np.ndarray) and not isinstance(history, str):
        return [float(v) for v in history]
    raise SymgradError(
        "history is a table with a column 'loss', such as trainer.history, or a list "
        f"of losses, not {type(history).__name__}"
    )

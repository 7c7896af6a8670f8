"""Making the last steps of a run again, to find the node that makes the first NaN."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from symgrad.declare.tensor import Tensor
from symgrad.errors import NumericError
from symgrad.pipeline import compile
from symgrad.train.initialize import name_of, parameters

Batch = tuple[np.ndarray, ...]
Run = Callable[..., np.ndarray]
#: A function that makes a batch, and the number of its first sample.
Again = tuple[Callable[[int], Batch], int]


class Replay:
    """Repeats steps, exactly: a program gives the same bits for the same arrays.

    Args:
        inputs: the inputs of a step.
        outputs: the loss and the gradients.
        arrays: the arrays that a step changes.
        set_rate: puts the learning rate of the next step in its place.
    """

    def __init__(
        self,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        arrays: Mapping[str, np.ndarray],
        set_rate: Callable[[], None],
    ) -> None:
        self._inputs, self._outputs = list(inputs), list(outputs)
        self._arrays, self._set_rate = arrays, set_rate

    def __call__(
        self,
        run: Run,
        start: Mapping[str, np.ndarray],
        batches: Sequence[Batch | Again],
        losses: Sequence[float],
    ) -> tuple[int, str]:
        """Return which of the steps makes the first NaN, and a sentence about it.

        The arrays are left as they were before that step.

        Args:
            run: makes a step, in the arrays.
            start: the arrays before the steps.
            batches: the batch of each step, or how to make it.
            losses: the loss that each step gave.
        """
        program = compile(self._inputs, self._outputs, nan_check=True)
        bound = {name_of(p) for p in parameters(self._outputs)}
        program.bind({n: a for n, a in self._arrays.items() if n in bound})
        self._put(start)
        last = len(batches) - 1
        for index, (source, loss) in enumerate(zip(batches, losses, strict=True)):
            batch = _made(source)
            before = {n: np.array(a) for n, a in self._arrays.items()}
            try:
                program(*batch)
            except NumericError as error:
                return index, f": {error}"
            self._set_rate()
            found = float(run(*batch))
            if found != loss and index < last:
                self._put(start)
                return 0, (
                    ": the steps since cannot be made again, as an array that was "
                    "given to step() has been overwritten; give it new ones"
                )
            broken = self._broken(before)
            if broken or index == last:
                self._put(before)
                said = f": the update of {broken!r} is not finite" if broken else ""
                return index, said
        return 0, ""

    def _broken(self, before: Mapping[str, np.ndarray]) -> str | None:
        """Return the first array that was finite and no longer is."""
        for name, a in self._arrays.items():
            was, now = np.isfinite(before[name]).all(), np.isfinite(a).all()
            if was and not now:
                return name
        return None

    def _put(self, values: Mapping[str, np.ndarray]) -> None:
        for name, a in self._arrays.items():
            a[...] = values[name].reshape(a.shape)


def _made(source: Batch | Again) -> Batch:
    if source and callable(source[0]):
        make, low = source
        return make(low)
    return source

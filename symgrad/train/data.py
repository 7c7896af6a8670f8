"""Arrays that feed a model's inputs: checked once, then cut into batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from symgrad.declare.tensor import Input, Tensor, print_shape, topological
from symgrad.errors import DTypeError, GraphError, ShapeError
from symgrad.train.initialize import check_names, name_of

Batch = tuple[np.ndarray, ...]


def inputs_of(outputs: Iterable[Tensor]) -> list[Tensor]:
    """Return the inputs that tensors depend on, checked to have different names."""
    found = [n for n in topological(outputs) if isinstance(n.op, Input)]
    check_names(found)
    return found


def check_keys(what: str, keys: Iterable[str], inputs: Iterable[Tensor]) -> None:
    """Raise GraphError unless there is exactly one array for each input."""
    given, wanted = list(keys), [t.name for t in inputs]
    missing = [n for n in wanted if n not in given]
    extra = [n for n in given if n not in wanted]
    if missing or extra:
        parts = []
        if missing:
            parts.append(f"{', '.join(map(repr, missing))} missing")
        if extra:
            parts.append(f"{', '.join(map(repr, extra))} not an input")
        raise GraphError(
            f"{what}: {'; '.join(parts)}; the inputs are {', '.join(map(repr, wanted))}"
        )


def checked_dict(what: str, data: Any) -> Mapping[str, Any]:
    """Return data, checked to be a dict.

    Raises:
        GraphError: they are none.
    """
    if not isinstance(data, Mapping):
        raise GraphError(
            f"{what} is a dict from names to arrays, not {type(data).__name__}: "
            "{'x': X, 'y': Y}"
        )
    return data


class Dataset:
    """Samples along the first axis of arrays; for inputs without axes, one value.

    Numbers of another type are converted batch by batch, unless a float would become
    an integer.

    Raises:
        GraphError: an array is missing or unknown, or has a NaN.
        ShapeError: there is no sample, or lengths differ.
        DTypeError: an array holds no numbers, or floats for an integer input.

    >>> import symgrad as sg
    >>> x = sg.input("x", ("n", 2))
    >>> data = Dataset("data", {"x": np.ones((5, 2))}, [x])
    >>> [x.shape for (x,) in data.batches(3)]
    [(3, 2), (2, 2)]
    """

    def __init__(self, what: str, data: Any, inputs: Sequence[Tensor]) -> None:
        check_keys(what, checked_dict(what, data), inputs)
        self.what, self.inputs = what, list(inputs)
        self.arrays = {name_of(t): _checked(what, t, data[name_of(t)]) for t in inputs}
        self._length = self._common_length()

    def __len__(self) -> int:
        return self._length

    def _common_length(self) -> int:
        lengths = {
            t.name: len(self.arrays[name_of(t)]) for t in self.inputs if t.shape != ()
        }
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{n!r} has {k}" for n, k in lengths.items())
            raise ShapeError(f"{self.what}: the numbers of samples differ: {listed}")
        if not lengths or 0 in lengths.values():
            raise ShapeError(f"{self.what} has no samples")
        return next(iter(lengths.values()))

    def check_batch_size(self, size: Any) -> int:
        """Return the batch size, checked against inputs of a fixed first dimension."""
        if not isinstance(size, int | np.integer) or isinstance(size, bool) or size < 1:
            raise ShapeError(f"batch_size is an integer of at least 1, not {size!r}")
        for t in self.inputs:
            first = t.shape[0] if t.shape else None
            if isinstance(first, int) and (first != size or len(self) % first):
                raise ShapeError(
                    f"input {t.describe()} takes batches of exactly {first}, but "
                    f"{self.what} has {len(self)} samples in batches of {size}; name "
                    "the dimension instead, as in sg.input('x', ('batch', 64))"
                )
        return int(size)

    def batches(
        self, size: int, order: np.ndarray | None = None, start: int = 0
    ) -> Iterator[Batch]:
        """Return batches of ``size`` samples, in the order of the inputs.

        The last batch may be smaller.

        Args:
            size: the number of samples in a batch.
            order: the samples' numbers in the order in which to take them.
            start: how many samples to leave out first.
        """
        feeds = [(t, self.arrays[name_of(t)], t.shape == ()) for t in self.inputs]
        for low in range(start, len(self), size):
            if order is None:
                parts = [a if whole else a[low : low + size] for _, a, whole in feeds]
            else:
                rows = order[low : low + size]
                parts = [a if whole else a.take(rows, 0) for _, a, whole in feeds]
            yield tuple(
                part if part.dtype == t.dtype else as_input(self.what, t, part)
                for part, (t, _, _) in zip(parts, feeds, strict=True)
            )


def as_input(what: str, t: Tensor, value: Any) -> np.ndarray:
    """Return an array of the input's type; numbers of another type are converted.

    Raises:
        DTypeError: it holds no numbers, or floats for an integer input.
    """
    if isinstance(value, np.ndarray) and value.dtype == t.dtype:
        return value
    array = _checked_type(what, t, value)
    return array.astype(t.dtype)


def _checked_type(what: str, t: Tensor, value: Any) -> np.ndarray:
    if isinstance(value, Tensor):
        raise GraphError(f"{what}: {t.name!r} is a graph node, not an array of values")
    array = np.asarray(value)
    if not np.can_cast(array.dtype, t.dtype, "same_kind"):
        raise DTypeError(
            f"{what}: {t.name!r} holds {array.dtype}, which does not suit "
            f"{t.describe()}; convert it with .astype({t.dtype!r})"
        )
    return array


def _checked(what: str, t: Tensor, value: Any) -> np.ndarray:
    """Return one input's samples; their type, rank and values suit the input."""
    array = _checked_type(what, t, value)
    if array.ndim != t.ndim:
        raise ShapeError(
            f"{what}: {t.name!r} has the shape {print_shape(array.shape)}, which does "
            f"not suit the input {t.describe()}"
        )
    if array.dtype.kind == "f" and np.isnan(array).any():
        place = np.argwhere(np.isnan(array))
        raise GraphError(
            f"{what}: {t.name!r} has {len(place)} NaN, the first at index "
            f"{place[0].tolist()}; remove these samples or fill in values"
        )
    return array

"""Derivatives as functions of numbers and arrays, compared with differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from symgrad.closedform.convert import graph_of, scalar_expression
from symgrad.closedform.python import ERRORS, function, guarded, source
from symgrad.declare.build import broadcast_to
from symgrad.declare.dims import names as size_names
from symgrad.declare.tensor import Tensor, input
from symgrad.derivation.reverse import flatten
from symgrad.errors import DerivationError, GraphError
from symgrad.pipeline import compile

STEP = 1e-4  # of the differences, for inputs of the size of 1
CLOSE = 1e-6  # a derivative farther from them is a reason to look at their own error
SIZES = (3, 4, 5, 2, 6)  # of named dimensions where a derivative is checked


class Function:
    """A compiled derivative: call it with numbers or arrays, or by name.

    Where all inputs are scalars, arrays are taken too: they are broadcast, and the
    derivative is that of each element.  Numbers and float64 arrays give float64,
    float32 arrays float32.
    """

    def __init__(self, inputs: Sequence[Tensor], result: Any) -> None:
        self.inputs, self.result = list(inputs), result
        self.names = [t.name or "" for t in inputs]
        self._single = isinstance(result, Tensor) and not result.shape
        self._scalars = all(not t.shape for t in inputs)
        self._wide: dict[str, Any] = {}
        self._text = self._python() if self._scalars else None
        self._plain = function(self._text) if self._text else None

    @cached_property
    def _program(self) -> Any:
        return compile(self.inputs, self.result)

    def _python(self) -> str | None:
        """Return the derivative as a Python function of floats, if it is one."""
        try:
            return source(self.names, _expressions(self.result))
        except DerivationError:
            return None

    @property
    def source(self) -> str:
        """The source of what is called: a Python function of floats, or kernels."""
        return self._text or str(self._program.source)

    def quickest(self) -> Callable[..., Any]:
        """Return a Python function of floats that asks this one for all the rest.

        If there is none, this one is returned.
        """
        text = self._text
        made = None if text is None else guarded(text, self.names, self)
        if made is None:
            return self
        made.source = text  # type: ignore[attr-defined]
        return made

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Return the derivative at these values of the inputs."""
        if named:
            args = self._by_name(args, named)
        if len(args) != len(self.names):
            raise GraphError(
                f"the derivative depends on {', '.join(self.names) or 'nothing'}, but "
                f"{len(args)} values were given"
            )
        if not self._scalars:
            return self._program(*args)
        for a in args:
            if type(a) is not float and type(a) is not int:
                return self._of_arrays([np.asarray(a) for a in args])
        if self._plain is not None:
            try:
                return self._plain(*args)
            except ERRORS:
                pass  # infinity or NaN on the way: the program knows them
        found = self._program(*(np.asarray(a, np.float64) for a in args))
        return found.item() if self._single else found

    def _by_name(self, args: tuple, named: dict[str, Any]) -> tuple:
        given = dict(zip(self.names, args, strict=False)) | named
        unknown = sorted(set(given) - set(self.names))
        if unknown:
            raise GraphError(
                f"the derivative has no input {unknown[0]!r}; its inputs are "
                f"{', '.join(self.names)}"
            )
        return tuple(given[n] for n in self.names if n in given)

    def _of_arrays(self, arrays: list[np.ndarray]) -> Any:
        """Return the derivative of each element, by a program over vectors."""
        kind = np.result_type(*arrays, np.float32)
        dtype = "float32" if kind == np.float32 else "float64"
        arrays = list(np.broadcast_arrays(*arrays))
        shape = arrays[0].shape
        if dtype not in self._wide:
            wide = {t: input(t.name or "", ("n",), "float64") for t in self.inputs}
            self._wide[dtype] = compile(
                list(wide.values()), _over(self.result, wide), dtype=dtype
            )
        found = self._wide[dtype](*(a.astype(dtype).ravel() for a in arrays))
        if isinstance(found, list):
            return [np.broadcast_to(f, (arrays[0].size,)).reshape(shape) for f in found]
        return np.broadcast_to(found, (arrays[0].size,)).reshape(shape).copy()


def _expressions(result: Any) -> Any:
    """Return the expressions of nested lists of scalars."""
    if isinstance(result, list):
        return [_expressions(r) for r in result]
    return scalar_expression(result)


def _over(result: Any, wide: dict[Tensor, Tensor]) -> Any:
    """Return an elementwise graph of scalars as one of vectors."""
    if isinstance(result, list):
        return [_over(r, wide) for r in result]
    by_name = {t.name or "": v for t, v in wide.items()}
    made = graph_of(scalar_expression(result), by_name)
    return broadcast_to(made, next(iter(wide.values())).shape)


# -- the check -------------------------------------------------------------------------


@dataclass(frozen=True)
class Report:
    """How far a derivative is from finite differences.

    Attributes:
        points: how many random points were compared; some are outside the domain.
        error: the largest difference, relative to the larger of the value and 1.
    """

    points: int
    error: float

    @property
    def ok(self) -> bool:
        """True if the derivative agrees to the accuracy of differences."""
        return self.points > 0 and self.error < 1e-5

    def __str__(self) -> str:
        if not self.points:
            return "no point of the domain was found"
        word = "agrees with" if self.ok else "DIFFERS from"
        return (
            f"{word} finite differences at {self.points} random points; largest "
            f"relative error {self.error:.1e}"
        )


def compare(
    inputs: list[Tensor],
    lower: Any,
    result: Any,
    wrt: list[Tensor],
    points: int,
    seed: int,
) -> Report:
    """Compare ``result`` with central differences of ``lower`` by ``wrt``.

    A point counts only where differences of two steps agree: near a kink, a pole or a
    singular matrix they say nothing.
    """
    rng = np.random.default_rng(seed)
    names = sorted({n for t in inputs for s in t.shape for n in size_names(s)})
    sizes = dict(zip(names, (SIZES[k % len(SIZES)] for k in range(99)), strict=False))
    value, slope = compile(inputs, lower), compile(inputs, result)
    worst, seen = 0.0, 0
    for _ in range(4 * points):
        at = [_random(rng, t, sizes) for t in inputs]
        with np.errstate(all="ignore"):
            wanted = _differences(value, at, _places(inputs, wrt), STEP)
            found = [np.asarray(f) for f in flatten(slope(*at))]
        if not all(np.isfinite(a).all() for a in (*wanted, *found)):
            continue
        off = _distance(found, wanted)
        if off > CLOSE:
            nearer = _differences(value, at, _places(inputs, wrt), STEP / 4)
            if not _distance(nearer, wanted) < off / 2:
                continue
        worst = max(worst, off)
        seen += 1
        if seen == points:
            break
    return Report(seen, worst)


def _distance(found: list[np.ndarray], wanted: list[np.ndarray]) -> float:
    """Return the largest difference, relative to the larger of the value and 1."""
    distances = (
        np.abs(a - b.reshape(a.shape)) / np.maximum(np.abs(a), 1)
        for a, b in zip(found, wanted, strict=True)
    )
    return max((float(d.max(initial=0)) for d in distances), default=0.0)


def _places(inputs: list[Tensor], wrt: list[Tensor]) -> list[int]:
    return [n for t in wrt for n, i in enumerate(inputs) if i is t]


def _random(rng: np.random.Generator, t: Tensor, sizes: dict[str, int]) -> np.ndarray:
    shape = [s if isinstance(s, int) else sizes[str(s)] for s in t.shape]
    if t.dtype in ("int32", "int64", "bool"):
        return rng.integers(0, 2, shape).astype(t.dtype)
    values = rng.uniform(0.1, 1.9, shape) * rng.choice([1.0, 1.0, -1.0])
    if len(shape) > 1 and shape[-1] == shape[-2]:  # it may have to be regular
        values = values + 2 * shape[-1] * np.eye(shape[-1])
    return values


def _differences(
    value: Any, at: list[np.ndarray], places: list[int], step: float
) -> list[np.ndarray]:
    """Return fourth-order differences of every output by every input, outputs first."""

    def function(place: int, x: np.ndarray) -> list[np.ndarray]:
        moved = [x if n == place else a for n, a in enumerate(at)]
        return [np.array(f) for f in flatten(value(*moved))]

    columns: dict[tuple[int, int], list[np.ndarray]] = {}
    for p, place in enumerate(places):
        for index in np.ndindex(at[place].shape):
            unit = np.zeros_like(at[place])
            unit[index] = step
            x = at[place]
            near = zip(
                function(place, x + unit), function(place, x - unit), strict=True
            )
            far = zip(
                function(place, x + 2 * unit),
                function(place, x - 2 * unit),
                strict=True,
            )
            for o, ((a, b), (c, d)) in enumerate(zip(near, far, strict=True)):
                slope = (8 * (a - b) - (c - d)) / (12 * step)
                columns.setdefault((o, p), []).append(slope)
    return [np.stack(found, axis=-1) for found in columns.values()]

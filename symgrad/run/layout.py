"""Layouts: a program's memory, operands and table of kernels, for given sizes."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from sys import getrefcount
from typing import Any

import numpy as np

from symgrad.declare.dims import evaluate
from symgrad.declare.dtypes import is_float
from symgrad.declare.tensor import Constant, Input, Param, Reshape, Tensor
from symgrad.emit.kernels import Numbered, texts
from symgrad.errors import NumericError
from symgrad.run.arrays import ArgumentBinder, ArgumentSpec
from symgrad.run.declared import nothing
from symgrad.run.driver import COLUMNS, native_driver, prepare
from symgrad.run.entry import entry
from symgrad.run.table import Table
from symgrad.schedule.memory import ALIGNMENT, Life, arena
from symgrad.schedule.plan import Plan

#: A program that costs less than that runs while Python's lock is held.
SMALL = 250_000
_probe = [np.empty(0)]
#: The reference count, taken in this way, of an array that only a list refers to.
_ALONE = getrefcount(_probe[0])


@dataclass
class Parts:
    """What a program is made of; see ``symgrad.pipeline.compile``."""

    inputs: list[Tensor]
    outputs: list[Tensor]
    single: bool  # the outputs are one tensor, not a structure of tensors
    rebuild: Callable[[list], Any] | None  # from a list of arrays, if not list or array
    params: list[Tensor]
    updates: dict[Tensor, Tensor]
    conditional: list[Tensor]  # what does not have a value at all sizes
    plan: Plan
    kernels: list[Numbered]
    threads: int | None
    nan_check: bool
    seconds: dict[str, float]


def _base(t: Tensor) -> Tensor:
    while isinstance(t.op, Reshape):
        t = t.args[0]
    return t


def _is_leaf(t: Tensor) -> bool:
    return isinstance(t.op, Input | Param | Constant)


class Layout:
    """A program for given sizes: its memory, operands and table of kernels."""

    def __init__(
        self,
        parts: Parts,
        addresses: Sequence[int],
        threads: int,
        sizes: Mapping[str, int],
    ) -> None:
        self.parts, self.sizes, self.threads = parts, dict(sizes), threads
        self.plan = parts.plan
        self._outputs()
        self._place()
        self._operands(addresses)
        inputs = [self._spec(t) for t in (*parts.inputs, *parts.params)]
        outputs = [self._spec(t, "output") for t in self.owned]
        self._entry = self._built_in(inputs, outputs)
        if self._entry is None:
            self._bind = ArgumentBinder([*inputs, *outputs], self.operands).bind
            ready = prepare(self.table, self.threads)
            self._execute = self._run_checked if parts.nan_check else ready

    def _spec(self, t: Tensor, name: str = "") -> ArgumentSpec:
        """Return what the array of an argument or output has to be."""
        return ArgumentSpec(
            name or t.name or "",
            np.dtype(t.dtype),
            self._shape(t),
            tuple(self.slots.get(t, ())),
            bool(name) or t in self.parts.updates,
        )

    def _built_in(
        self, inputs: list[ArgumentSpec], outputs: list[ArgumentSpec]
    ) -> Callable[..., Any] | None:
        """Return a built-in function that is the program, if it is a small one."""
        if self.work > SMALL or self.parts.nan_check or self.plan.copies:
            return None
        if not self.direct or (self.table[:, COLUMNS.index("grain")] > 0).any():
            return None
        slots = [s for k in texts(self.parts.kernels) for s in k.slots]
        calls_blas = any(s.kind == "blas" for s in slots)
        loops = any(g.step is not None for g in self.plan.groups)
        driver = native_driver(self.threads) if calls_blas or loops else None
        single = self.parts.single
        return entry(inputs, outputs, self.operands, self.table, driver, single)

    def quick(self) -> Callable[..., Any]:
        """Return the cheapest function of arrays: the outputs, or None as `attempt`."""
        run, rebuild = self._entry, self.parts.rebuild
        if run is None:
            return nothing
        if rebuild is None:
            return run

        def rebuilt(*arrays: Any) -> Any:
            found = run(*arrays)
            return found if found is None else rebuild(found)

        return rebuilt

    def attempt(self, arrays: Sequence[Any]) -> Any:
        """Run on these arrays and return the outputs.

        The result is None, and nothing has run, where an array is not just as the
        kernels take it.
        """
        if self._entry is not None:
            return self.quick()(*arrays)
        outputs = self._allocated()
        if self._bind((*arrays, *outputs)):
            return None
        self._execute()
        for value, parameter in self.plan.copies:
            self._view(parameter)[...] = self._view(value)
        return self._results(arrays, outputs)

    def _shape(self, t: Tensor) -> tuple[int, ...]:
        return tuple(evaluate(s, self.sizes) for s in t.shape)

    def _outputs(self) -> None:
        """Decide which outputs get memory of their own, and which are copied."""
        self.owned: list[Tensor] = []
        self.recipe: list[tuple[str, int, tuple[int, ...]]] = []
        arguments = [*self.parts.inputs, *self.parts.params]
        for t in self.parts.outputs:
            b, shape = _base(t), self._shape(t)
            if isinstance(b.op, Constant):
                self.recipe.append(("constant", len(self.recipe), shape))
            elif _is_leaf(b):
                place = next(n for n, a in enumerate(arguments) if a is b)
                self.recipe.append(("argument", place, shape))
            elif any(b is o for o in self.owned):
                place = next(n for n, o in enumerate(self.owned) if o is b)
                self.recipe.append(("copy", place, shape))
            else:
                self.recipe.append(("own", len(self.owned), shape))
                self.owned.append(b)
        self.direct = all(
            kind == "own" and self._shape(self.owned[place]) == shape
            for kind, place, shape in self.recipe
        )
        self._arrays: list[Any] = [None] * len(self.owned)
        self._allocate = [(self._shape(t), np.dtype(t.dtype)) for t in self.owned]

    def _allocated(self) -> list[np.ndarray]:
        """Return arrays for the outputs that nobody else refers to.

        An array of an earlier call that its user has dropped (a view of it would refer
        to it) is used again: fresh memory costs a page fault every 4 KiB.
        """
        arrays = self._arrays
        for n, (shape, dtype) in enumerate(self._allocate):
            if getrefcount(arrays[n]) > _ALONE:
                arrays[n] = np.empty(shape, dtype)
        return arrays.copy()

    def _results(self, arrays: Sequence[np.ndarray], outputs: list[np.ndarray]) -> Any:
        """Return the outputs in the structure that the program was compiled with."""
        if self.direct:
            return self._structure(outputs)
        found = []
        for (kind, place, shape), t in zip(
            self.recipe, self.parts.outputs, strict=True
        ):
            if kind == "own":
                array = outputs[place]
                found.append(array if array.shape == shape else array.reshape(shape))
            elif kind == "copy":
                found.append(outputs[place].reshape(shape).copy())
            elif kind == "argument":
                found.append(np.array(arrays[place]).reshape(shape))
            else:
                value: Any = _base(t).op.value  # type: ignore[union-attr]
                found.append(np.array(value).reshape(shape))
        return self._structure(found)

    def _structure(self, found: list[np.ndarray]) -> Any:
        if self.parts.single:
            return found[0]
        return found if self.parts.rebuild is None else self.parts.rebuild(found)

    # -- memory ------------------------------------------------------------------------

    def _place(self) -> None:
        plan = self.plan
        owned = set(self.owned)
        first: dict[Tensor, int] = {}
        last: dict[Tensor, int] = {}
        for n, (reads, writes) in enumerate(zip(plan.reads, plan.writes, strict=True)):
            for t in writes:
                first.setdefault(t, n)
                last[t] = max(last.get(t, n), n)
            for t in reads:
                last[t] = max(last.get(t, n), n)
        for value, _ in plan.copies:
            last[_base(value)] = len(plan.groups)
        mine = [t for t in first if t not in owned and t not in plan.in_place]
        lives = [Life(self._nbytes(t), first[t], last[t]) for t in mine]
        if self.parts.nan_check:
            lives = [Life(x.nbytes, 0, len(plan.groups)) for x in lives]
        offsets, self.arena_bytes = arena(lives)
        self.arena = np.empty(self.arena_bytes + ALIGNMENT, np.uint8)
        start = -(-self.arena.ctypes.data // ALIGNMENT) * ALIGNMENT
        self.address = {t: start + o for t, o in zip(mine, offsets, strict=True)}
        self.keep: list[np.ndarray] = []

    def _nbytes(self, t: Tensor) -> int:
        count = 1
        for n in self._shape(t):
            count *= n
        return count * np.dtype(t.dtype).itemsize

    def _fixed_address(self, t: Tensor) -> int | None:
        """Return the address of a tensor whose memory is not an argument or output."""
        if isinstance(t.op, Constant):
            self.keep.append(t.op.value)
            return t.op.value.ctypes.data
        return self.address.get(t)

    # -- table -------------------------------------------------------------------------

    def _operands(self, addresses: Sequence[int]) -> None:
        """Fill the operands of every kernel and the table that the driver runs."""
        made = Table(self.sizes, self.threads, self._place_of)
        self.slots: dict[Tensor, list[int]] = {}
        self.numbers = made.add(self.parts.kernels, iter(addresses))
        self.operands, self.table = made.finished()
        self.keep += made.keep
        self.arena_bytes += made.private_bytes
        self.flops, self.bytes, self.work = made.flops, made.bytes, made.work

    def _place_of(self, t: Tensor, cell: int) -> int:
        """Return the address of a tensor; 0 for one that is bound at each call."""
        t = self.plan.in_place.get(t, t)
        fixed = self._fixed_address(t)
        if fixed is None:
            self.slots.setdefault(t, []).append(cell)
        return fixed or 0

    def _view(self, t: Tensor) -> np.ndarray:
        """Return an array over a tensor's memory."""
        b = _base(t)
        fixed = self._fixed_address(b)
        if fixed is None:
            places = self.slots[self.plan.in_place.get(b, b)]
            fixed = int(self.operands[places[0]])
        buffer = (ctypes.c_char * max(self._nbytes(b), 1)).from_address(fixed)
        count = self._nbytes(b) // np.dtype(b.dtype).itemsize
        array = np.frombuffer(buffer, np.dtype(b.dtype), count)  # type: ignore[call-overload]
        return array.reshape(self._shape(t))

    def _run_checked(self) -> None:
        """Run kernel by kernel; raise at the first node that makes a NaN."""
        for n, group in enumerate(self.plan.groups):
            rows = [row for row, m in enumerate(self.numbers) if m == n]
            prepare(self.table[rows].copy(), self.threads)()
            for t in group.members:
                looked = t in self.plan.stored and is_float(t.dtype)
                if looked and np.isnan(self._view(t)).any():
                    inputs = ", ".join(a.describe() + self._state(a) for a in t.args)
                    raise NumericError(
                        f"the first NaN is made by {t.describe()}, computed from "
                        f"{inputs}"
                    )

    def _state(self, t: Tensor) -> str:
        b = _base(t)
        if b not in self.plan.stored and b not in self.slots:
            return ""
        values = self._view(t)
        if values.dtype.kind != "f":
            return ""
        finite = np.isfinite(values)
        return "" if finite.all() else f" ({(~finite).sum()} values not finite)"

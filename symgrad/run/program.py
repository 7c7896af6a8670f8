"""Programs: compiled graphs that take and give NumPy arrays."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from sys import getrefcount
from typing import Any

import numpy as np

from symgrad.declare.dims import Dim, evaluate
from symgrad.declare.dtypes import is_float
from symgrad.declare.tensor import Constant, Input, Param, Reshape, Tensor
from symgrad.emit.writer import KernelText, Slot
from symgrad.errors import GraphError, NumericError, ShapeError
from symgrad.run import blas, kernels
from symgrad.run.arrays import ArgumentBinder, ArgumentSpec
from symgrad.run.driver import COLUMNS, prepare
from symgrad.run.pool import checked_threads, default_threads
from symgrad.schedule.memory import ALIGNMENT, Life, arena
from symgrad.schedule.plan import Plan

#: A kernel is split over threads where it costs more than this many additions.
PARALLEL = 250_000
_probe = [np.empty(0)]
#: The reference count, taken in this way, of an array that only a list refers to.
_ALONE = getrefcount(_probe[0])


@dataclass
class Parts:
    """What a program is made of; see ``symgrad.pipeline.compile``."""

    inputs: list[Tensor]
    outputs: list[Tensor]
    rebuild: Any
    params: list[Tensor]
    updates: dict[Tensor, Tensor]
    plan: Plan
    kernels: list[tuple[int, KernelText]]
    threads: int | None
    nan_check: bool
    seconds: dict[str, float]


def _base(t: Tensor) -> Tensor:
    while isinstance(t.op, Reshape):
        t = t.args[0]
    return t


def _is_leaf(t: Tensor) -> bool:
    return isinstance(t.op, Input | Param | Constant)


class Program:
    """A compiled graph; call it with arrays, get arrays.

    >>> import numpy as np, symgrad as sg
    >>> x = sg.input("x", ("n",))
    >>> double = sg.compile([x], 2*x)
    >>> double(np.ones(3, np.float32))
    array([2., 2., 2.], dtype=float32)
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        texts = [k.text for _, k in parts.kernels]
        start = time.perf_counter()
        self._addresses = kernels.addresses(texts)
        parts.seconds["compile"] = time.perf_counter() - start
        self.threads = (
            default_threads()
            if parts.threads is None
            else checked_threads(parts.threads)
        )
        self._names = [t.name or "" for t in parts.inputs]
        self._param_names = [t.name or "" for t in parts.params]
        self._bound: dict[str, np.ndarray] | None = None if parts.params else {}
        self._layouts: dict[tuple, _Layout] = {}
        self._last: _Layout | None = None
        self._bound_arrays: tuple[np.ndarray, ...] = ()
        self._lock = threading.Lock()

    # -- calling -----------------------------------------------------------------------

    def __call__(
        self, *args: Any, params: Mapping[str, Any] | None = None, **named: Any
    ) -> Any:
        """Run the program.

        Args:
            args: one array for each input, in order; or by name.
            params: the parameters' arrays by name (not after ``bind``).
            named: inputs by name.

        Raises:
            GraphError: an input or parameter is missing, unknown, or given twice.
            ShapeError, DTypeError: an array is not as declared.
        """
        if named or len(args) != len(self._names):
            args = self._by_name(args, named)
        if params is not None or self._bound is None:
            arrays = (*args, *self._given(params))
        else:
            arrays = (*args, *self._bound_arrays)
        with self._lock:
            layout = self._last
            if layout is None:
                layout, arrays = self._fit(arrays)
            outputs = layout.allocate()
            if layout.bind((*arrays, *outputs)):
                layout, arrays = self._fit(arrays)
                outputs = layout.allocate()
                if layout.bind((*arrays, *outputs)):
                    raise AssertionError("arguments do not bind")
            layout.run()
            return layout.results(arrays, outputs)

    def on_exact(self, arrays: tuple) -> Any:
        """Return the outputs for arrays just like those of the last call, or None.

        It is None, and nothing has run, where an array differs in shape, type or layout
        from what the kernels take, or parameters are missing.
        """
        layout = self._last
        if layout is None or self._param_names:
            return None
        with self._lock:
            outputs = layout.allocate()
            if layout.bind((*arrays, *outputs)):
                return None
            layout.run()
            return layout.results(arrays, outputs)

    def bind(self, params: Mapping[str, np.ndarray]) -> None:
        """Keep these parameter arrays; updates are written into them, in place.

        Raises:
            GraphError: a parameter is missing or unknown.
            ShapeError, DTypeError: an array is not as declared, or cannot be written.
        """
        self._bound_arrays = self._given(params)
        self._bound = dict(zip(self._param_names, self._bound_arrays, strict=True))

    def _by_name(self, args: tuple, named: Mapping[str, Any]) -> tuple:
        if len(args) > len(self._names):
            raise GraphError(
                f"the program takes {len(self._names)} inputs "
                f"({', '.join(self._names)}), but {len(args)} arrays were given"
            )
        given = dict(zip(self._names, args, strict=False))
        for name, value in named.items():
            if name in given:
                raise GraphError(f"the input {name!r} is given twice")
            if name not in self._names:
                raise GraphError(
                    f"the program has no input {name!r}; its inputs are "
                    f"{', '.join(self._names) or 'none'}"
                )
            given[name] = value
        missing = [n for n in self._names if n not in given]
        if missing:
            raise GraphError(f"the input {missing[0]!r} is missing")
        return tuple(given[n] for n in self._names)

    def _given(self, params: Mapping[str, Any] | None) -> tuple:
        params = params or {}
        known = set(self._param_names)
        for name in params:
            if name not in known and name not in self._unused_names:
                raise GraphError(
                    f"the program has no parameter {name!r}; its parameters are "
                    f"{', '.join(self._param_names) or 'none'}"
                )
        missing = [n for n in self._param_names if n not in params]
        if missing:
            raise GraphError(
                f"the parameter {missing[0]!r} is missing; give params= with an "
                "array for each parameter (sg.init makes them)"
            )
        return tuple(params[n] for n in self._param_names)

    @property
    def _unused_names(self) -> set[str]:
        return set()

    def _fit(self, arrays: tuple) -> tuple[_Layout, tuple]:
        """Return the layout for the sizes of these arrays, and the arrays converted."""
        tensors = [*self._parts.inputs, *self._parts.params]
        written = set(self._parts.updates)
        specs = [
            ArgumentSpec(
                t.name or "", np.dtype(t.dtype), _spec_shape(t), (), t in written
            )
            for t in tensors
        ]
        checker = ArgumentBinder(specs, np.zeros(1, np.int64))
        arrays = checker.convert(arrays)
        sizes = _sizes(tensors, arrays)
        key = tuple(sorted(sizes.items()))
        if key not in self._layouts:
            self._layouts[key] = _Layout(self, sizes)
        self._last = self._layouts[key]
        return self._last, arrays

    # -- looking -----------------------------------------------------------------------

    @property
    def source(self) -> str:
        """The emitted Numba source, each kernel headed by the formula it computes."""
        parts: list[str] = []
        seen: dict[str, int] = {}
        for _, k in self._parts.kernels:
            if k.text not in seen:
                seen[k.text] = len(seen)
                parts.append(f"# kernel {seen[k.text]}\n{k.text}")
        return "\n\n".join(parts)

    def report(self) -> dict[str, Any]:
        """Return what the program consists of and costs, for the last sizes used.

        ``kernels``, ``unique_kernels``, ``flops``, ``bytes`` (read and written),
        ``arena_bytes``, ``compile_seconds``, ``load_seconds``, ``cache_hits`` and the
        seconds of each stage.
        """
        k = self._parts.kernels
        layout = self._last
        if layout is None and not _names_of(self._parts):
            layout = self._layouts.setdefault((), _Layout(self, {}))
        seconds = self._parts.seconds
        return {
            "kernels": len(k),
            "unique_kernels": len({x.text for _, x in k}),
            "flops": layout.flops if layout else None,
            "bytes": layout.bytes if layout else None,
            "arena_bytes": layout.arena_bytes if layout else None,
            "compile_seconds": seconds.get("compile", 0.0),
            "load_seconds": seconds.get("load", 0.0),
            "cache_hits": seconds.get("cache_hits", 0),
            "stage_seconds": {n: s for n, s in seconds.items() if n != "cache_hits"},
        }


def _names_of(parts: Parts) -> set[str]:
    return {
        str(s)
        for t in (*parts.inputs, *parts.params)
        for s in t.shape
        if not isinstance(s, int)
    }


def _spec_shape(t: Tensor) -> tuple[int | str, ...]:
    return tuple(
        s if isinstance(s, int) else str(s) if str(s).isidentifier() else -1
        for s in t.shape
    )


def _sizes(tensors: Sequence[Tensor], arrays: Sequence[np.ndarray]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for t, array in zip(tensors, arrays, strict=True):
        for s, n in zip(t.shape, array.shape, strict=True):
            if isinstance(s, Dim) and str(s).isidentifier():
                sizes[str(s)] = n
    for t, array in zip(tensors, arrays, strict=True):
        for d, (s, n) in enumerate(zip(t.shape, array.shape, strict=True)):
            try:
                expected = evaluate(s, sizes)
            except KeyError as error:
                raise ShapeError(
                    f"{t.describe()}: no input has a dimension {error}"
                ) from None
            if expected != n:
                raise ShapeError(
                    f"{t.describe()}: dimension {d} must be {s} = {expected}, not {n}"
                )
    return sizes


class _Layout:
    """A program for given sizes: its memory, operands and table of kernels."""

    def __init__(self, program: Program, sizes: Mapping[str, int]) -> None:
        parts = program._parts
        self.parts, self.sizes, self.threads = parts, dict(sizes), program.threads
        self.plan = parts.plan
        self._outputs()
        self._place()
        self._operands(program._addresses)
        specs = [
            ArgumentSpec(
                t.name or "",
                np.dtype(t.dtype),
                self._shape(t),
                tuple(self.slots.get(t, ())),
                t in parts.updates,
            )
            for t in (*parts.inputs, *parts.params)
        ]
        specs += [
            ArgumentSpec(
                "output",
                np.dtype(t.dtype),
                self._shape(t),
                tuple(self.slots.get(t, ())),
            )
            for t in self.owned
        ]
        self.bind = ArgumentBinder(specs, self.operands).bind
        ready = prepare(self.table, self.threads)
        self._execute = self._run_checked if parts.nan_check else ready
        if not self.plan.copies:
            self.run = self._execute  # type: ignore[method-assign]

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

    def allocate(self) -> list[np.ndarray]:
        """Return arrays for the outputs that nobody else refers to.

        An array of an earlier call that its user has dropped (a view of it would refer
        to it) is used again: fresh memory costs a page fault every 4 KiB.
        """
        arrays = self._arrays
        for n, (shape, dtype) in enumerate(self._allocate):
            if getrefcount(arrays[n]) > _ALONE:
                arrays[n] = np.empty(shape, dtype)
        return arrays.copy()

    def results(self, arrays: Sequence[np.ndarray], outputs: list[np.ndarray]) -> Any:
        """Return the outputs in the structure that the program was compiled with."""
        if self.direct:
            return self.parts.rebuild(outputs)
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
                value: np.ndarray = _base(t).op.value  # type: ignore[union-attr]
                found.append(np.array(value).reshape(shape))
        return self.parts.rebuild(found)

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
        self.slots: dict[Tensor, list[int]] = {}
        blocks, total = [], 0
        rows = []
        self.flops = self.bytes = 0
        self.parts_of: dict[Tensor, int] = {}
        self.sums: dict[Tensor, int] = {}
        for (_, k), fn in zip(self.parts.kernels, addresses, strict=True):
            count = evaluate(k.rows, self.sizes)
            work = count * evaluate(k.cost, self.sizes)
            self.flops += evaluate(k.flops, self.sizes)
            private = any(s.kind in ("scratch", "partial") for s in k.slots)
            split = not k.serial and self.threads > 1 and work > PARALLEL and count > 1
            copies = self.threads if private and split else 1
            grain = k.grain if split else 0
            rows.append(
                [fn, total, 0, count, grain, len(k.slots) * 8 if copies > 1 else 0]
            )
            for part in range(copies):
                blocks.append((k, total, part))
                total += len(k.slots)
            for s in k.slots:
                if s.kind == "partial":
                    self.parts_of[s.node] = copies
                    self.sums[s.node] = self._own(s, copies)
                elif s.kind in ("read", "write"):
                    self.bytes += self._nbytes(s.node)
        self.operands = np.zeros(max(total, 1), np.int64)
        for k, offset, part in blocks:
            for n, s in enumerate(k.slots):
                self._fill(offset + n, s, part)
        self.table = np.array(rows, np.int64).reshape(-1, len(COLUMNS))
        self.table[:, 1] = self.table[:, 1] * 8 + self.operands.ctypes.data

    def _own(self, s: Slot, copies: int = 1) -> int:
        """Return the address of fresh memory for a slot, kept as long as the layout."""
        nbytes = evaluate(s.size, self.sizes) * np.dtype(s.dtype).itemsize * copies
        memory = np.zeros(nbytes + ALIGNMENT, np.uint8)
        self.keep.append(memory)
        return -(-memory.ctypes.data // ALIGNMENT) * ALIGNMENT

    def _fill(self, place: int, s: Slot, part: int) -> None:
        if s.kind == "size":
            self.operands[place] = evaluate(s.size, self.sizes)
        elif s.kind == "blas":
            self.operands[place] = blas.address(s.routine, s.dtype)
        elif s.kind == "scratch":
            self.operands[place] = self._own(s)
        elif s.kind == "partial":
            step = evaluate(s.size, self.sizes) * 8
            self.operands[place] = self.sums[s.node] + part * step
        elif s.kind == "partials":
            self.operands[place] = self.sums[s.node]
        elif s.kind == "parts":
            self.operands[place] = self.parts_of[s.node]
        else:
            t = self.plan.in_place.get(s.node, s.node)
            fixed = self._fixed_address(t)
            if fixed is None:
                self.slots.setdefault(t, []).append(place)
            else:
                self.operands[place] = fixed

    def run(self) -> None:
        """Run every kernel, then the copies."""
        self._execute()
        for value, parameter in self.plan.copies:
            self._view(parameter)[...] = self._view(value)

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
        numbers = [n for n, _ in self.parts.kernels]
        for n, group in enumerate(self.plan.groups):
            rows = [row for row, m in enumerate(numbers) if m == n]
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

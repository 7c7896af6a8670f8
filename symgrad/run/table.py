"""The table of kernels that the driver runs, and the cells that hold their operands.

A loop's rows are those of one step between a row that begins it and one that ends the
step.  Cells of a step's kernels are set when the loop begins, from cells outside it,
and changed behind each step: by the distance of two elements of a sequence, or between
the two places that a carry takes turns in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from symgrad.declare.bodies import number_of
from symgrad.declare.dims import Size, evaluate
from symgrad.declare.tensor import Constant, Tensor
from symgrad.emit.kernels import LoopText, Numbered
from symgrad.emit.writer import KernelText, Slot
from symgrad.run import blas
from symgrad.run.driver import COLUMNS
from symgrad.run.driver_texts import BEGIN, END
from symgrad.schedule.loops import Step, is_leaf
from symgrad.schedule.memory import ALIGNMENT, Life, arena

#: A kernel is split over threads where it costs more than this many additions.
PARALLEL = 250_000
#: (tensor, cell) -> its address, or 0 where the cell gets one later
Place = Callable[[Tensor, int], int]


class Table:
    """Rows and cells, added kernel by kernel; see ``symgrad.run.driver``.

    ``place`` gives the addresses of tensors outside loops.
    """

    def __init__(self, sizes: Mapping[str, int], threads: int, place: Place) -> None:
        self.sizes, self.threads = sizes, threads
        self.cells: list[int] = []
        self.pointers: list[int] = []  # cells that hold the number of another cell
        self.rows: list[list[int]] = []
        self.keep: list[np.ndarray] = []
        self.flops = self.bytes = self.work = self.private_bytes = 0
        self.frame = _Frame(place)
        self.times = 1

    def add(self, kernels: Sequence[Numbered], addresses: Iterator[int]) -> list[int]:
        """Add kernels, and return the number of its group for each row."""
        numbers: list[int] = []
        for n, k in kernels:
            if isinstance(k, LoopText):
                self._loop(k, addresses)
            else:
                self._kernel(k, next(addresses))
            numbers += [n] * (len(self.rows) - len(numbers))
        return numbers

    def finished(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the cells and the rows, addresses in place of numbers of cells."""
        operands = np.array(self.cells or [0], np.int64)
        start = operands.ctypes.data
        operands[self.pointers] = operands[self.pointers] * 8 + start
        table = np.array(self.rows, np.int64).reshape(-1, len(COLUMNS))
        table[:, 1] = table[:, 1] * 8 + start
        return operands, table

    def nbytes(self, t: Tensor) -> int:
        """Return the size of a tensor in bytes."""
        count = 1
        for n in t.shape:
            count *= evaluate(n, self.sizes)
        return count * np.dtype(t.dtype).itemsize

    def value(self, size: Size) -> int:
        """Return a size as a number."""
        return evaluate(size, self.sizes)

    def own(self, nbytes: int) -> int:
        """Return the address of fresh memory, kept as long as the table."""
        memory = np.zeros(nbytes + ALIGNMENT, np.uint8)
        self.keep.append(memory)
        return -(-memory.ctypes.data // ALIGNMENT) * ALIGNMENT

    def cell(self, value: int = 0, pointer: bool = False) -> int:
        """Add a cell and return its number."""
        self.cells.append(value)
        if pointer:
            self.pointers.append(len(self.cells) - 1)
        return len(self.cells) - 1

    # -- kernels -----------------------------------------------------------------------

    def _kernel(self, k: KernelText, fn: int, frames: Sequence[_Frame] = ()) -> None:
        """Add a kernel; ``frames`` are those of its first operands, if others."""
        count = self.value(k.rows)
        work = count * self.value(k.cost)
        self.work += work * self.times
        self.flops += self.value(k.flops) * self.times
        private = any(s.kind in ("scratch", "partial") for s in k.slots)
        split = not k.serial and self.threads > 1 and work > PARALLEL and count > 1
        copies = self.threads if private and split else 1
        for s in k.slots:
            if s.kind == "partial":
                self.frame.copies[s.node] = copies
                self.frame.sums[s.node] = self.own(self._bytes(s) * copies)
            elif s.kind in ("read", "write"):
                self.bytes += self.nbytes(s.node) * self.times
        stride = len(k.slots) * 8 if copies > 1 else 0
        grain = evaluate(k.grain, self.sizes) if split else 0
        self.rows.append([fn, len(self.cells), 0, count, grain, stride])
        places = [[self.cell() for _ in k.slots] for _ in range(copies)]
        for part, cells in enumerate(places):
            for n, (s, place) in enumerate(zip(k.slots, cells, strict=True)):
                frame = frames[n] if n < len(frames) else self.frame
                self._fill(place, frame, s, part)

    def _bytes(self, s: Slot) -> int:
        return self.value(s.size) * np.dtype(s.dtype).itemsize

    def _fill(self, place: int, frame: _Frame, s: Slot, part: int) -> None:
        if s.kind == "size":
            self.cells[place] = self.value(s.size)
        elif s.kind == "blas":
            self.cells[place] = blas.address(s.routine, s.dtype)
        elif s.kind == "scratch":
            self.cells[place] = self.own(self._bytes(s))
        elif s.kind == "partial":
            self.cells[place] = frame.sums[s.node] + part * self._bytes(s)
        elif s.kind == "partials":
            self.cells[place] = frame.sums[s.node]
        elif s.kind == "parts":
            self.cells[place] = frame.copies[s.node]
        else:
            self.cells[place] = frame.place(s.node, place)

    # -- loops -------------------------------------------------------------------------

    def _loop(self, k: LoopText, addresses: Iterator[int]) -> None:
        outer, steps = self.frame, self.value(k.step.loop.length)
        for text in k.before:
            self._kernel(text, next(addresses))
        inner = _Inside(self, k.step, outer)
        begin = len(self.rows)
        self.rows.append([0, 0, 0, 0, BEGIN, 0])
        self.frame, times = inner, self.times
        self.times = times * steps
        self.add(k.body, addresses)
        self.frame, self.times = outer, times
        end = len(self.rows)
        self.rows.append([0, 0, 0, 0, END, 0])
        for text in k.behind:
            self._kernel(text, next(addresses), (outer, inner))
        block = self._block(inner, steps, end - begin - 1)
        self.rows[begin][1] = self.rows[end][1] = block

    def _block(self, inner: _Inside, steps: int, rows: int) -> int:
        """Add what the driver knows of a loop, and return the number of its cell."""
        copies = [
            (to, inner.writes[n]) for to, n in inner.copies_of if n in inner.writes
        ]
        lists = (inner.sets, copies, inner.advances, inner.toggles)
        block = self.cell()
        for value in (steps, *(len(part) for part in lists), rows):
            self.cell(value)
        for to, source, offset in inner.sets:
            self.cell(to, True)
            self.cell(source, True)
            self.cell(offset)
        for to, source in copies:
            self.cell(to, True)
            self.cell(source, True)
        for to, change in (*inner.advances, *inner.toggles):
            self.cell(to, True)
            self.cell(change)
        return block


class _Frame:
    """The addresses of tensors, outside all loops or inside one of them."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.copies: dict[Tensor, int] = {}  # how many threads make sums for a tensor
        self.sums: dict[Tensor, int] = {}


class _Inside(_Frame):
    """The addresses of a step's tensors, and how they change from step to step."""

    def __init__(self, table: Table, step: Step, outer: _Frame) -> None:
        super().__init__(self._place)
        self.table, self.step, self.outer = table, step, outer
        self.sets: list[tuple[int, int, int]] = []
        self.copies_of: list[tuple[int, int]] = []
        self.advances: list[tuple[int, int]] = []
        self.toggles: list[tuple[int, int]] = []
        self.writes: dict[int, int] = {}
        self._cells: dict[Tensor, int] = {}
        self.carry = {t: n for n, t in step.updates.items()}
        self._memory()

    def _memory(self) -> None:
        """Give memory to what is needed for one step, and two places to carries."""
        plan, table = self.step.plan, self.table
        first: dict[Tensor, int] = {}
        last: dict[Tensor, int] = {}
        for n, (reads, writes) in enumerate(zip(plan.reads, plan.writes, strict=True)):
            for t in writes:
                first.setdefault(t, n)
            for t in (*reads, *writes):
                last[t] = n
        elsewhere = {*self.step.stacks, *self.step.updates.values()}
        mine = [t for t in first if t not in elsewhere]
        offsets, total = arena([Life(table.nbytes(t), first[t], last[t]) for t in mine])
        start = table.own(total)
        self.fixed = {t: start + o for t, o in zip(mine, offsets, strict=True)}
        self.pairs: dict[int, tuple[int, int]] = {}
        for n, t in self.step.updates.items():
            if n not in self.step.states:
                self.pairs[n] = table.own(table.nbytes(t)), table.own(table.nbytes(t))
                total += 2 * table.nbytes(t)
        table.private_bytes += total

    def _cell(self, t: Tensor) -> int:
        """Return the cell with the address of a tensor outside the loop."""
        if t not in self._cells:
            cell = self._cells[t] = self.table.cell()
            self.table.cells[cell] = self.outer.place(t, cell)
        return self._cells[t]

    def _place(self, t: Tensor, cell: int) -> int:
        if isinstance(t.op, Constant):
            self.table.keep.append(t.op.value)
            return t.op.value.ctypes.data
        if t in self.fixed:
            return self.fixed[t]
        loop = self.step.loop
        size = self.table.nbytes(t)
        if t in self.step.stacks:
            self._moving(cell, self._cell(self.step.stacks[t]), 0, size)
        elif t in self.carry:
            self._update(cell, self.carry[t], size)
        elif t in set(loop.carries):
            self._carry(cell, number_of(t), size)
        else:
            assert is_leaf(t), t.describe()
            source = self.step.sources[t]
            item = np.dtype(t.dtype).itemsize
            offset, step = (
                self.table.value(source.offset),
                self.table.value(source.step),
            )
            self._moving(cell, self._cell(source.tensor), offset * item, step * item)
        return 0

    def _moving(self, cell: int, source: int, offset: int, step: int) -> None:
        """Let a cell go along a tensor outside, in the direction of the loop."""
        if self.step.loop.reverse:
            offset, step = offset + (self._steps() - 1) * step, -step
        self.sets.append((cell, source, offset))
        if step:
            self.advances.append((cell, step))

    def _steps(self) -> int:
        return self.table.value(self.step.loop.length)

    def _carry(self, cell: int, n: int, size: int) -> None:
        if n in self.step.states:
            states = self._cell(self.step.states[n])
            backwards = self.step.loop.reverse
            self.sets.append((cell, states, self._steps() * size if backwards else 0))
            self.advances.append((cell, -size if backwards else size))
            return
        source = self.step.sources[self.step.loop.formals[n]]
        item = np.dtype(self.step.loop.formals[n].dtype).itemsize
        offset = self.table.value(source.offset) * item
        self.sets.append((cell, self._cell(source.tensor), offset))
        self.copies_of.append((cell, n))

    def _update(self, cell: int, n: int, size: int) -> None:
        if n in self.step.states:
            states = self._cell(self.step.states[n])
            backwards = self.step.loop.reverse
            first = (self._steps() - 1) * size if backwards else size
            self.sets.append((cell, states, first))
            self.advances.append((cell, -size if backwards else size))
            return
        one, other = self.pairs[n]
        start = self.table.cell(one)
        self.sets.append((cell, start, 0))
        self.toggles.append((cell, one ^ other))
        self.writes.setdefault(n, cell)

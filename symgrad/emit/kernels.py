"""Emit a plan: one text for each kernel, headed by the formula that it computes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from symgrad.declare.dims import Size, product
from symgrad.declare.dtypes import short
from symgrad.declare.tensor import Tensor
from symgrad.emit.matmul import sum_loop
from symgrad.emit.matrices import emit_matrices
from symgrad.emit.nests import emit_nest
from symgrad.emit.rows import emit_rows
from symgrad.emit.symmetric import emit_both_sides, emit_symmetric
from symgrad.emit.writer import KernelText, Slot, Writer
from symgrad.schedule.group import Group
from symgrad.schedule.loops import Source, Step, elements
from symgrad.schedule.plan import Plan

COPY = '''"""
y[p + i] = x[q + i]
"""

from symgrad.emit.intrinsics import {read}, {write}


def kernel(operands, lo, hi):
    y = {write}(operands, 0)
    x = {read}(operands, 1)
    p = operands[2]
    q = operands[3]
    for i in range(lo, hi):
        y[p + i] = x[q + i]
'''


@dataclass(frozen=True)
class LoopText:
    """A loop: what runs once before its steps, in each step, and once behind them.

    What runs before reads and writes tensors that exist outside the loop; what runs
    behind writes such a tensor and reads a formal.
    """

    step: Step
    before: tuple[KernelText, ...]
    body: list[Numbered]
    behind: tuple[KernelText, ...]


Numbered = tuple[int, KernelText | LoopText]


def emit(plan: Plan) -> list[Numbered]:
    """Return the kernels of a plan, in order, each with the number of its group.

    Equal kernels have equal texts.
    """
    kernels: list[Numbered] = []
    for n, g in enumerate(plan.groups):
        if g.step is not None:
            kernels.append((n, emit_loop(g.step)))
            continue
        if g.kind in ("rows", "gemm"):
            text = emit_rows(g, set(plan.stored), plan.reading)
        elif g.kind == "sum":
            text = emit_sum(g)
        elif g.kind == "symmetric":
            kernels += [(n, emit_symmetric(g)), (n, emit_both_sides(g.members[0]))]
            continue
        elif g.kind == "matrix":
            text = emit_matrices(g, plan.reading)
        else:
            text = emit_nest(g, plan.reading)
        kernels.append((n, text))
        kernels += [
            (n, emit_total(t, t.dtype if g.kind == "sum" else "float64"))
            for t in g.members
            if t in g.columns
        ]
    return kernels


def emit_sum(group: Group) -> KernelText:
    """Return the kernel that adds up matrix products: each thread some of them."""
    w, g = Writer(), group.gemm
    assert g is not None
    (t,) = group.members
    sums = w.partial(t, t.dtype)
    body = sum_loop(w, g, sums)
    per_batch = g.m * g.n * g.k * 2
    rows = product(g.batch)
    text = w.module([t], body)
    return KernelText(text, tuple(w.slots), rows, per_batch, rows * per_batch, 1)


def texts(kernels: Iterable[Numbered]) -> Iterator[KernelText]:
    """Yield every kernel, those of loops too, in the order in which they run."""
    for _, k in kernels:
        if isinstance(k, LoopText):
            yield from (*k.before, *texts(k.body), *k.behind)
        else:
            yield k


def emit_loop(step: Step) -> LoopText:
    """Return a loop's kernels, and the copies of first and last carries."""
    carries, length = step.loop.carries, step.loop.length
    before, behind = [], []
    for n, result in step.states.items():
        count = elements(carries[n])
        place = length * count if step.loop.reverse else 0
        before.append(emit_copy(result, place, step.sources[carries[n]], count))
    for n, result in step.finals:
        source = Source(carries[n], 0, 0)
        behind.append(emit_copy(result, 0, source, elements(result)))
    return LoopText(step, tuple(before), emit(step.plan), tuple(behind))


def emit_copy(target: Tensor, place: Size, source: Source, count: Size) -> KernelText:
    """Return the kernel that copies a carry to a place in a tensor's memory."""
    kind = short(target.dtype)
    text = COPY.format(read=f"read_{kind}", write=f"write_{kind}")
    slots = (
        Slot("write", target, dtype=target.dtype),
        Slot("read", source.tensor, dtype=target.dtype),
        Slot("size", None, place),
        Slot("size", None, source.offset),
    )
    return KernelText(text, slots, count, 1, 0, 4096)


def emit_total(t: Tensor, dtype: str) -> KernelText:
    """Return the kernel that adds up the sums that the threads made over their rows."""
    w = Writer()
    target = w.tensor(t, write=True)
    sums = w.partials(t, dtype)
    parts, count = w.parts(t), w.size(product(t.shape))
    total = "total" if t.dtype == "float64" else "np.float32(total)"
    body = [
        "for j in range(lo, hi):",
        "    total = 0.0",
        f"    for part in range({parts}):",
        f"        total += {sums}[part*{count} + j]",
        f"    {target}[j] = {total}",
    ]
    text = w.module([], body, ["y[j] = sum[part](p[part, j])"])
    rows = product(t.shape)
    return KernelText(text, tuple(w.slots), rows, 4, rows, 512)

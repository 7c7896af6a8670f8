"""Emit a plan: one text for each kernel, headed by the formula that it computes."""

from __future__ import annotations

from symgrad.declare.dims import product
from symgrad.declare.tensor import Tensor
from symgrad.emit.matmul import sum_loop
from symgrad.emit.matrices import emit_matrices
from symgrad.emit.nests import emit_nest
from symgrad.emit.rows import emit_rows
from symgrad.emit.writer import KernelText, Writer
from symgrad.schedule.fuse import Group
from symgrad.schedule.plan import Plan


def emit(plan: Plan) -> list[tuple[int, KernelText]]:
    """Return the kernels of a plan, in order, each with the number of its group.

    Equal kernels have equal texts.
    """
    kernels = []
    for n, g in enumerate(plan.groups):
        if g.kind in ("rows", "gemm"):
            text = emit_rows(g, set(plan.stored), plan.reading)
        elif g.kind == "sum":
            text = emit_sum(g)
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

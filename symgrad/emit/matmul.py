"""Emit a matrix product: BLAS on a panel of rows, then what follows on that panel."""

from __future__ import annotations

from symgrad.declare.dims import Size, product
from symgrad.declare.dtypes import short
from symgrad.emit.packing import batch_names, packed_memory, packing_lines
from symgrad.emit.scalars import literal
from symgrad.emit.writer import Writer, indent
from symgrad.schedule.contraction import Gemm, Matrix

#: Rows of a matrix product computed at a time, before what follows runs on them.
PANEL = 128


def panel_loop(
    w: Writer, g: Gemm, memory: tuple[str, bool], lines: list[str]
) -> list[str]:
    """Return the loop over panels: one product, then ``lines`` for each of its rows.

    Rows are flattened over batch and matrix rows; a panel never crosses a batch.
    """
    target, one_panel = memory
    kind = short(g.node.dtype)
    body: list[str] = []
    batched = bool(g.batch)
    m = w.size(g.m) if batched else ""
    if batched:
        body += [f"batch = p // {m}", f"first = p - batch*{m}"]
        body += ["count = hi - p", *_at_most(w, "count", f"{m} - first")]
    else:
        body += ["first = p", "count = hi - p"]
    if lines or one_panel:
        body += _at_most(w, "count", str(PANEL))
    body += _batch_indices(w, g)
    before, inside = packing_lines(w, g)
    body += inside
    a, lda = _panel(w, g.left, "left", "first")
    b, ldb = _panel(w, g.right, "right", None)
    c, ldc = target, w.size(g.n)
    if not one_panel:
        c, ldc = _panel(w, g.result, "result", "first", target)
    one, zero = literal(1, g.node.dtype), literal(0, g.node.dtype)
    gemm = w.use(f"gemm_{kind}")
    body += [
        f"{gemm}({w.blas('gemm', g.node.dtype)}, {g.left.transposed}, "
        f"{g.right.transposed}, count, {w.size(g.n)}, {w.size(g.k, 'k')}, {one},",
        f"         {a}, {lda}, {b}, {ldb}, {zero}, {c}, {ldc})",
    ]
    if lines:
        body += ["for r in range(p, p + count):", *indent(lines)]
    body += ["p += count"]
    return [*before, "p = lo", "while p < hi:", *indent(body)]


def sum_loop(w: Writer, g: Gemm, target: str) -> list[str]:
    """Return the loop that adds up the products of all batches in ``target``."""
    kind, one = short(g.node.dtype), literal(1, g.node.dtype)
    before, inside = packing_lines(w, g)
    a, lda = _panel(w, g.left, "left", None)
    b, ldb = _panel(w, g.right, "right", None)
    product_of_batch = [
        f"{w.use(f'gemm_{kind}')}({w.blas('gemm', g.node.dtype)}, "
        f"{g.left.transposed}, {g.right.transposed}, {w.size(g.m)}, {w.size(g.n)}, "
        f"{w.size(g.k, 'k')}, {one},",
        f"         {a}, {lda}, {b}, {ldb}, {one}, {target}, {w.size(g.n)})",
    ]
    lines = [*_batch_indices(w, g), *inside, *product_of_batch]
    zero = literal(0, g.node.dtype)
    return [
        *before,
        f"for j in range({w.size(g.m * g.n)}):",
        f"    {target}[j] = {zero}",
        "for batch in range(lo, hi):",
        *indent(lines),
    ]


def _at_most(w: Writer, name: str, bound: str) -> list[str]:
    """Return the line that limits an integer variable."""
    select = w.use("select")
    return [f"{name} = {select}({name} < {bound}, {name}, {bound})"]


def _batch_indices(w: Writer, g: Gemm) -> list[str]:
    """Return the lines that split the flat batch number into its axes."""
    if len(g.batch) < 2:
        return []
    lines, rest = [], "batch"
    for n in range(len(g.batch) - 1, 0, -1):
        extent = w.size(g.batch[n])
        lines += [f"g{n} = {rest} % {extent}", f"h{n} = {rest} // {extent}"]
        rest = f"h{n}"
    return [*lines, "g0 = h1"]


def _panel(
    w: Writer, x: Matrix, role: str, first: str | None, memory: str | None = None
) -> tuple[str, str]:
    """Return a factor's memory at the panel, and its leading dimension."""
    parts = [] if x.constant == 0 else [w.size(x.constant)]
    names = batch_names(len(x.batch))
    for n, s in zip(names, x.batch, strict=True):
        if s != 0:
            parts.append(w.step(n, s, f"{role} {n}"))
    if first is not None:
        parts.append(w.step(first, x.row, role))
    name = memory
    if name is None:
        name = packed_memory(w, x, role) if x.packing else w.tensor(x.tensor)
    place = f"{w.use('at')}({name}, {' + '.join(parts)})" if parts else name
    return place, w.size(x.column if x.transposed else x.row, role)


def rows_of(g: Gemm) -> Size:
    """Return the number of rows over all batches."""
    return product(g.batch) * g.m

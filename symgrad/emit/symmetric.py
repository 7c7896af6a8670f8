"""Emit symmetric sums of products: one triangle for each thread, then both.

With weights of one sign, ``XᵀDX = (√D X)ᵀ(√D X)``; a block of rows with others is a
whole matrix product.  Whatever that leaves below the diagonal is not read.
"""

from __future__ import annotations

from symgrad.declare.dims import Size
from symgrad.declare.dtypes import short
from symgrad.declare.tensor import Tensor
from symgrad.emit.around import TILE, tiled
from symgrad.emit.scalars import literal
from symgrad.emit.writer import KernelText, Writer, indent
from symgrad.schedule.group import Group
from symgrad.schedule.symmetric import Symmetric

#: Rows that are multiplied by their weights before their products are added up.
BLOCK = 256
#: Rows that are worth a thread.
GRAIN = 64


def emit_symmetric(group: Group) -> KernelText:
    """Return the kernel that adds up the products of a thread's rows."""
    s = group.symmetric
    assert s is not None
    w = Writer()
    kind, dtype = short(s.node.dtype), s.node.dtype
    sums, x, n = w.partial(s.node, dtype), w.tensor(s.x.tensor), w.size(s.n)
    ld = w.size(s.x.row if s.x.column == 1 else s.x.column, "leading")
    syrk, blas = w.use(f"syrk_{kind}"), w.blas("syrk", dtype)
    zero, one = literal(0, dtype), literal(1, dtype)
    if s.weight is None:
        body = [
            f"{syrk}({blas}, False, {s.x.column == 1}, {n}, hi - lo, {one},",
            f"         {_at(w, s, x, 'lo')}, {ld}, {zero}, {sums}, {n})",
        ]
        heading = f"{sums}[i, j] = sum[k]({x}[k, i]*{x}[k, j])"
    else:
        d = w.tensor(s.weight.tensor)
        rows = _weighted(w, s, x, d)
        z = w.scratch(dtype, BLOCK * s.n, "rows")
        gemm = w.use(f"gemm_{kind}")
        body = [
            f"keep = {zero}",
            f"for first in range(lo, hi, {BLOCK}):",
            f"    count = {w.use('select')}(hi - first < {BLOCK}, hi - first, {BLOCK})",
            *indent(rows),
            "    if mixed:",
            f"        {gemm}({w.blas('gemm', dtype)}, {s.x.column == 1}, False, "
            f"{n}, {n}, count, {one},",
            f"                 {_at(w, s, x, 'first')}, {ld}, {z}, {n}, keep, "
            f"{sums}, {n})",
            "    else:",
            f"        {syrk}({blas}, False, True, {n}, count, {one}, {z}, {n}, keep, "
            f"{sums}, {n})",
            f"    keep = {one}",
        ]
        heading = f"{sums}[i, j] = sum[k]({d}[k]*{x}[k, i]*{x}[k, j])"
    text = w.module([], body, [heading + "  where i <= j"])
    work = s.n * s.n
    return KernelText(text, tuple(w.slots), s.k, work, s.k * work, GRAIN)


def _at(w: Writer, s: Symmetric, x: str, row: str) -> str:
    """Return where a row of the factor is."""
    place = w.step(row, s.x.row, "row")
    if s.x.constant != 0:
        place = f"{w.size(s.x.constant, 'start')} + {place}"
    return f"{w.use('at')}({x}, {place})"


def _weighted(w: Writer, s: Symmetric, x: str, d: str) -> list[str]:
    """Return the lines that multiply a block of rows by the roots of their weights.

    By the weights themselves where one of them is negative or no number.
    """
    assert s.weight is not None
    z = w.scratch(s.node.dtype, BLOCK * s.n, "rows")
    n, row, column = w.size(s.n), w.size(s.x.row, "row"), w.size(s.x.column, "column")
    first = w.size(s.weight.constant, "weights")
    start = w.size(s.x.constant, "start")
    weight = f"{d}[{first} + (first + k)*{w.size(s.weight.step, 'weight')}]"
    return [
        "mixed = False",
        "for k in range(count):",
        f"    mixed = mixed or not {weight} >= 0",
        "for k in range(count):",
        f"    scale = {weight}",
        "    if not mixed:",
        "        scale = np.sqrt(scale)",
        f"    for j in range({n}):",
        f"        {z}[k*{n} + j] = scale*{x}[{start} + (first + k)*{row} + j*{column}]",
    ]


def emit_both_sides(t: Tensor) -> KernelText:
    """Return the kernel that adds up the threads' triangles and mirrors them."""
    w = Writer()
    n: Size = t.shape[-1]
    y = w.tensor(t, write=True)
    sums, parts = w.partials(t, t.dtype), w.parts(t)
    size, select = w.size(n), w.use("select")
    row = [
        "for j in range(start, stop):",
        f"    place = {select}(r <= j, r*{size} + j, j*{size} + r)",
        f"    total = {literal(0, t.dtype)}",
        f"    for part in range({parts}):",
        f"        total += {sums}[part*{size}*{size} + place]",
        f"    {y}[r*{size} + j] = total",
    ]
    body = tiled(w, row, size)
    heading = "y[i, j] = sum[part](p[part, min(i, j), max(i, j)])"
    text = w.module([], body, [heading])
    return KernelText(text, tuple(w.slots), n, n * 4, n * n, TILE)

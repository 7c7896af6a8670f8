"""Emit a matrix product: BLAS on a panel of rows, then what follows on that panel."""

from __future__ import annotations

from collections.abc import Callable

from symgrad.declare import dtypes
from symgrad.declare.dims import Size, product
from symgrad.declare.dtypes import short
from symgrad.declare.tensor import Tensor
from symgrad.emit.packing import batch_names, packed_memory, packing_lines
from symgrad.emit.scalars import literal
from symgrad.emit.writer import Writer, indent
from symgrad.schedule.contraction import Gemm, Matrix, Tail
from symgrad.schedule.group import Group

#: Rows of a matrix product computed at a time, before what follows runs on them: more
#: make the product faster, as long as the panel stays in a core's cache.
FEWEST, MOST = 128, 1024
PANEL_BYTES = 2**19


def panel_rows(group: Group) -> int:
    """Return how many rows a panel has: fewer where more is kept of each."""
    g = group.gemm
    assert g is not None
    rows = FEWEST
    if isinstance(g.n, int):
        row = max(g.n, 1) * dtypes.nbytes(g.node.dtype)
        rows = min(max(PANEL_BYTES // row, FEWEST), MOST)
    return rows // 2 if group.tails else rows


def panel_loop(
    w: Writer,
    group: Group,
    memory: Callable[[Tensor], tuple[str, bool]],
    lines: list[str],
) -> list[str]:
    """Return the loop over panels: products, ``lines`` for each of their rows, tails.

    Rows are flattened over batch and matrix rows; a panel never crosses a batch.
    ``memory`` gives that of a product or a tail's factor, and if it is one panel.
    """
    g = group.gemm
    assert g is not None
    body: list[str] = []
    batched = bool(g.batch)
    m = w.size(g.m) if batched else ""
    if batched:
        body += [f"batch = p // {m}", f"first = p - batch*{m}"]
        body += ["count = hi - p", *_at_most(w, "count", f"{m} - first")]
    else:
        body += ["first = p", "count = hi - p"]
    if lines or memory(g.node)[1] or group.tails:
        body += _at_most(w, "count", str(panel_rows(group)))
    body += _batch_indices(w, g)
    before, inside = packing_lines(w, g)
    body += inside
    for n, h in enumerate(group.panels):
        body += _head(w, h, memory(h.node), f"head {n} " if n else "")
    if lines:
        body += ["for r in range(p, p + count):", *indent(lines)]
    for n, x in enumerate(group.tails):
        before += _without_rows(w, g, x)
        body += _tail(w, g, x, memory(x.member), f"tail {n}")
    body += ["p += count"]
    return [*before, "p = lo", "while p < hi:", *indent(body)]


def _head(w: Writer, g: Gemm, memory: tuple[str, bool], role: str) -> list[str]:
    """Return the product of a panel of rows."""
    target, one_panel = memory
    c = (target, w.size(g.n))
    if not one_panel:
        c = _panel(w, g.result, f"{role}result", "first", target)
    sizes = ("count", w.size(g.n), w.size(g.k, f"{role}k"))
    a = _panel(w, g.left, f"{role}left", "first")
    b = _panel(w, g.right, f"{role}right", None)
    return _product(w, g, sizes, a, b, literal(0, g.node.dtype), c)


def _product(
    w: Writer,
    g: Gemm,
    sizes: tuple[str, str, str],
    a: tuple[str, str],
    b: tuple[str, str],
    keep: str,
    c: tuple[str, str],
) -> list[str]:
    """Return the call of BLAS for one product; ``keep`` times the result is added."""
    gemm = w.use(f"gemm_{short(g.node.dtype)}")
    one = literal(1, g.node.dtype)
    return [
        f"{gemm}({w.blas('gemm', g.node.dtype)}, {g.left.transposed}, "
        f"{g.right.transposed}, {', '.join(sizes)}, {one},",
        f"         {', '.join(a)}, {', '.join(b)}, {keep}, {', '.join(c)})",
    ]


def _tail(
    w: Writer, host: Gemm, x: Tail, memory: tuple[str, bool], role: str
) -> list[str]:
    """Return the product of a panel of ``host`` with another factor."""
    g, (name, one_panel) = x.gemm, memory
    width = w.size(host.n)
    at = name if one_panel else f"{w.use('at')}({name}, p*{width})"
    panel = (at, width)
    result = w.tensor(g.node, write=True)
    zero, one = literal(0, g.node.dtype), literal(1, g.node.dtype)
    if not x.adds:
        sizes = ("count", w.size(g.n, f"{role} n"), width)
        b = _panel(w, g.right, f"{role} right", None)
        c = _panel(w, g.result, f"{role} result", "first", result)
        return _product(w, g, sizes, panel, b, zero, c)
    keep = f"{w.use('select')}(first == 0, {zero}, {one})"
    c = _panel(w, g.result, f"{role} result", None, result)
    if x.left:
        sizes = (width, w.size(g.n, f"{role} n"), "count")
        b = _panel(w, g.right, f"{role} right", "first")
        return _product(w, g, sizes, panel, b, keep, c)
    sizes = (w.size(g.m, f"{role} m"), width, "count")
    a = _panel(w, g.left, f"{role} left", "first", along_columns=True)
    return _product(w, g, sizes, a, panel, keep, c)


def _without_rows(w: Writer, host: Gemm, x: Tail) -> list[str]:
    """Return what gives a sum over no rows its value, where that can occur."""
    if not x.adds or isinstance(host.m, int):
        return []
    result = w.tensor(x.gemm.node, write=True)
    count = w.size(product(x.gemm.node.shape))
    return [
        f"if {w.size(host.m)} == 0:",
        f"    for j in range({count}):",
        f"        {result}[j] = {literal(0, x.gemm.node.dtype)}",
    ]


def sum_loop(w: Writer, g: Gemm, target: str) -> list[str]:
    """Return the loop that adds up the products of all batches in ``target``."""
    one = literal(1, g.node.dtype)
    before, inside = packing_lines(w, g)
    a, lda = _panel(w, g.left, "left", None)
    b, ldb = _panel(w, g.right, "right", None)
    sizes = (w.size(g.m), w.size(g.n), w.size(g.k, "k"))
    product_of_batch = _product(
        w, g, sizes, (a, lda), (b, ldb), one, (target, w.size(g.n))
    )
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
    w: Writer,
    x: Matrix,
    role: str,
    first: str | None,
    memory: str | None = None,
    along_columns: bool = False,
) -> tuple[str, str]:
    """Return a factor's memory at the panel, and its leading dimension."""
    parts = [] if x.constant == 0 else [w.size(x.constant)]
    names = batch_names(len(x.batch))
    for n, s in zip(names, x.batch, strict=True):
        if s != 0:
            parts.append(w.step(n, s, f"{role} {n}"))
    if first is not None:
        parts.append(w.step(first, x.column if along_columns else x.row, role))
    name = memory
    if name is None:
        name = packed_memory(w, x, role) if x.packing else w.tensor(x.tensor)
    place = f"{w.use('at')}({name}, {' + '.join(parts)})" if parts else name
    return place, w.size(x.column if x.transposed else x.row, role)


def rows_of(g: Gemm) -> Size:
    """Return the number of rows over all batches."""
    return product(g.batch) * g.m

"""Emit a group of nodes as loops over rows, with passes over each row.

Elementwise nodes become one pass.  A reduction of trailing axes ends a pass: what
depends on its result runs in the next one, while the row is in the first-level cache.
Behind a matrix product the same loops run over each panel of rows just computed.
"""

from __future__ import annotations

from collections.abc import Callable

from symgrad.declare.comprehension import Comprehension
from symgrad.declare.dims import Size, product
from symgrad.declare.tensor import Tensor
from symgrad.emit.around import TILE, in_blocks, nested, tiled
from symgrad.emit.layout import Layout, crosses, layout_of, product_of
from symgrad.emit.matmul import panel_loop, panel_rows, rows_of
from symgrad.emit.reductions import BLOCK, reduction_step
from symgrad.emit.scalars import literal
from symgrad.emit.writer import KernelText, Writer, indent
from symgrad.schedule.contraction import Gemm
from symgrad.schedule.group import Group, is_row_reduction
from symgrad.schedule.reading import Reading
from symgrad.schedule.terms import (
    Load,
    Local,
    Resolver,
    Term,
    Where,
    convert,
    loop_index,
    strides,
)

_CHEAP = 6


def emit_rows(group: Group, stored: set[Tensor], reading: Reading) -> KernelText:
    """Return the kernel of a ``rows`` or ``gemm`` group."""
    return _Rows(group, stored, reading).kernel()


class _Rows:
    def __init__(self, group: Group, stored: set[Tensor], reading: Reading) -> None:
        self.g, self.stored, self.reading = group, stored, reading
        self.w = Writer()
        self.members = set(group.members)
        self.done: dict[Tensor, int] = {}
        self.where: Where = loop_index(group.domain)
        self.passes = self._assign_passes()
        self.current = 0
        self._every_total: list[tuple[Tensor, str]] = []
        self.scratch: set[Tensor] = set()
        self.weight: dict[Tensor, int] = {}
        self.tailed = {x.member for x in group.tails}

    # -- which pass computes what ----------------------------------------------------

    def _row_level(self, t: Tensor) -> bool:
        return self.g.level(t) == "row"

    def _column(self, t: Tensor) -> bool:
        return self.g.level(t) == "column"

    def _reduces(self, t: Tensor) -> bool:
        return (
            is_row_reduction(t) and t not in product_of(self.g) and not self._column(t)
        )

    def _assign_passes(self) -> dict[Tensor, int]:
        """Return the pass of each member (of row values: the pass they follow + 1)."""
        found: dict[Tensor, int] = {}
        for t in self.g.members:
            if t in product_of(self.g):
                found[t] = 0
                continue
            ready = 0
            for load in self.reading.loads(t, self._axes(t)):
                source = load.tensor
                if source in found:
                    later = self._reduces(source)
                    ready = max(ready, found[source] + (1 if later else 0))
            found[t] = ready
        return found

    def _axes(self, t: Tensor) -> Where:
        return self.g.loops(t)

    # -- resolving -------------------------------------------------------------------

    def _resolver(self) -> Resolver:
        return Resolver(self._virtual, self._local)

    def _virtual(self, t: Tensor) -> bool:
        if t in self.members:
            return True  # a member is recomputed where it is not at hand
        return self.reading.looks_through(t)

    def _local(self, t: Tensor, where: Where) -> Term | None:
        if t not in self.members or t not in self.done:
            return None
        if not self._is_here(t, where):
            raise AssertionError(f"{t.describe()} is read elsewhere in its own kernel")
        if self._row_level(t) or self.done[t] == self.current:
            return Local(t, t.dtype)
        if t in self.scratch or t in self.stored:
            self._recall(t)
        else:
            self._compute(t)
        return Local(t, t.dtype)

    def _is_here(self, t: Tensor, where: Where) -> bool:
        return all(
            n == 1 or i.axis == a
            for a, (i, n) in enumerate(zip(where, t.shape, strict=True))
        )

    # -- loops -----------------------------------------------------------------------

    # -- the kernel ------------------------------------------------------------------

    def kernel(self) -> KernelText:
        layout = layout_of(self.g, self.reading)
        self.layout = layout
        self.tiled = crosses(self.g, layout, self.reading)
        body = self._flat(layout) if layout.flat else self._rowwise(layout)
        text = self.w.module([t for t in self.g.members if t in self.stored], body)
        elements = product(n for _, n in layout.inner)
        per_point = max(self.w.operations, 1) + 2
        rows = product(n for _, n in layout.rows)
        flops: Size = 0
        if layout.flat:
            rows, elements = layout.inner[0][1], 1
        cost: Size = elements * per_point
        if self.g.gemm is not None:
            k = self.g.gemm.k
            rows, elements = rows_of(self.g.gemm), self.g.gemm.n
            k = sum((h.k for h in self.g.heads), start=k)
            cost = elements * (k * 2 + per_point)
            flops = rows * elements * k * 2
            for x in self.g.tails:
                flops = (
                    flops + product(x.gemm.batch) * x.gemm.m * x.gemm.n * x.gemm.k * 2
                )
        flops = flops + rows * elements * self.w.operations
        if not layout.flat and self.g.gemm is None and isinstance(elements, int):
            grain_rows = max(1, 512 // max(elements, 1))
        else:
            grain_rows = 1
        if self.tiled:
            grain_rows = TILE
        grain: Size = 4096 if layout.flat else (8 if self.g.gemm else grain_rows)
        if self.g.gemm is not None and any(x.adds for x in self.g.tails):
            grain = self.g.gemm.m  # the panels of a batch add up in one thread
        return KernelText(text, tuple(self.w.slots), rows, cost, flops, grain)

    def _flat(self, layout: Layout) -> list[str]:
        ((axis, _),) = layout.inner
        self._bind_axes([], [(axis, "i", 1)])
        self.w.open()
        self._pass(0)
        inner = self.w.close().lines
        if not self._totals:
            return ["for i in range(lo, hi):", *indent(inner)]
        self._every_total = self._totals
        names = [name for _, name in self._totals]
        kinds = {name: t.dtype for t, name in self._totals}
        block = [f"{n} = {literal(0, kinds[n])}" for n in names]
        self.w.use("select")
        block += [f"e = select(u + {BLOCK} < hi, u + {BLOCK}, hi)"]
        block += ["for i in range(u, e):", *indent(inner)]
        block += [f"{n}_all += np.float64({n})" for n in names]
        loop = [f"for u in range(lo, hi, {BLOCK}):", *indent(block)]
        return [*self._start_columns(), *loop, *self._finish_columns()]

    def _bind_axes(
        self, rows: list[tuple[int, str]], inner: list[tuple[int, str, int]]
    ) -> None:
        for a, text in rows:
            self.w.axis_level[a], self.w.axis_text[a] = 1, text
        for a, text, depth in inner:
            self.w.axis_level[a], self.w.axis_text[a] = depth, text
        for a in range(len(self.g.domain)):
            self.w.axis_level.setdefault(a, 0)
            self.w.axis_text.setdefault(a, "0")

    def _rowwise(self, layout: Layout) -> list[str]:
        w = self.w
        names = [(a, f"i{n}") for n, (a, _) in enumerate(layout.rows)]
        if len(names) == 1:
            names = [(names[0][0], "r")]
        count = max(len(layout.inner), 1)
        inner = [
            (a, f"j{n}" if count > 1 else "j", 2)
            for n, (a, _) in enumerate(layout.inner)
        ]
        self._bind_axes(names, inner)
        row = w.open()
        self._decode(layout, names)
        gemm = self._prepare_product()
        last = max(self.passes.values())
        for number in range(last + 1):
            self._row_pass(number)
        self.current = last + 1
        for t in self.g.members:
            if self._row_level(t) and t not in self.done:
                self._row_value(t)
        lines = w.close().lines
        assert row.lines is lines
        start, end = self._start_columns(), self._finish_columns()
        if self.tiled:
            tiles = tiled(self.w, lines, self.w.size(self.layout.inner[0][1]))
            return [*start, *tiles, *end]
        if gemm is None:
            return [*start, "for r in range(lo, hi):", *indent(lines), *end]
        only = len(self.g.members) == 1
        return [*start, *gemm([] if only else lines), *end]

    def _decode(self, layout: Layout, names: list[tuple[int, str]]) -> None:
        """Write the indices of the row loops, flattened into ``r``."""
        if len(names) < 2:
            return
        rest = "r"
        for n in range(len(names) - 1, 0, -1):
            extent = self.w.size(layout.rows[n][1])
            self.w.line(f"{names[n][1]} = {rest} % {extent}")
            quotient = names[0][1] if n == 1 else self.w.fresh("q")
            self.w.line(f"{quotient} = {rest} // {extent}")
            rest = quotient

    def _row_pass(self, number: int) -> None:
        """Write one pass: the row values it needs, its loop, its results."""
        w = self.w
        self.current = number
        for t in self.g.members:
            if self._row_level(t) and not self._reduces(t) and self.passes[t] == number:
                self._row_value(t)
        if not any(self._runs_in(t, number) for t in self.g.members):
            return
        inner = w.open()
        self._pass(number)
        lines, accumulators = w.close().lines, self._accumulators
        if not lines and not accumulators:
            return
        assert inner.lines is lines
        totals = [(t, n, [f"{n} = {literal(0, t.dtype)}"]) for t, n in self._totals]
        w.blocks[-1].lines += self._loops(lines, [*accumulators, *totals])
        w.blocks[-1].lines += [f"{n}_all += np.float64({n})" for _, n in self._totals]
        self._every_total += self._totals
        for t, name, _ in accumulators:
            w.locals[t] = (1, name)
            self.done[t] = number
            if t in self.stored:
                self._store(t, name, 1)

    def _runs_in(self, t: Tensor, number: int) -> bool:
        """Return True if a pass computes an element of ``t`` for each point."""
        if t in product_of(self.g):
            return self.g.level(t) == "full" and t in self.stored and self.panels[t][1]
        row = self._row_level(t) and not self._reduces(t)
        return self.passes[t] == number and not row

    def _row_value(self, t: Tensor) -> None:
        term = self._resolver().body(t, dict(enumerate(self._axes(t))))
        name = self.w.ref(term)
        self.w.locals[t] = (1, name)
        self.done[t] = self.current
        if t in self.stored:
            self._store(t, name, 1)

    def _pass(self, number: int) -> None:
        """Write the lines of the innermost loop of one pass."""
        self.current = number
        self._accumulators: list[tuple[Tensor, str, list[str]]] = []
        self._totals: list[tuple[Tensor, str]] = []
        for t in self.g.members:
            if t in product_of(self.g):
                if self.g.level(t) == "full":
                    self._take_product(t)
            elif self.passes[t] == number and self._column(t):
                self._accumulate_column(t)
            elif self.passes[t] == number and not self._row_level(t):
                self._element(t)
            elif self.passes[t] == number and self._reduces(t):
                self._accumulate(t)

    def _element(self, t: Tensor) -> None:
        before = self.w.operations
        name = self._compute(t)
        again = {x.tensor for x in self.reading.loads(t, self._axes(t))}
        self.weight[t] = self.w.operations - before
        self.weight[t] += sum(self.weight.get(x, 0) for x in again)
        if t in self.stored:
            self._keep(t, name)
        elif t in self.tailed or (self._needed_later(t) and not self._cheap(t)):
            self.scratch.add(t)
            self._keep(t, name)

    def _keep(self, t: Tensor, name: str) -> None:
        """Store an element; later passes read it back and need not compute it again."""
        self._store(t, name, -1)
        self.weight[t] = 0

    def _compute(self, t: Tensor) -> str:
        """Write the element of a member that this pass is at; return its name."""
        name = self.w.ref(self._resolver().body(t, dict(enumerate(self.where))))
        self.w.locals[t] = (len(self.w.blocks) - 1, name)
        self.done[t] = self.current
        return name

    def _needed_later(self, t: Tensor) -> bool:
        return any(
            self.passes[u] > self.passes[t]
            and any(load.tensor is t for load in self.reading.loads(u, self._axes(u)))
            for u in self.g.members
            if u not in product_of(self.g) and u is not t
        )

    def _cheap(self, t: Tensor) -> bool:
        return self.weight[t] <= _CHEAP

    def _memory(self, t: Tensor) -> tuple[str, bool]:
        """Return the name of a member's memory, and whether it is one row only."""
        if t in self.stored:
            return self.w.tensor(t, write=True), False
        elements = product(n for _, n in self.layout.inner)
        if t in self.tailed:
            elements = elements * panel_rows(self.g)
        return self.w.scratch(t.dtype, elements, id(t)), True

    def _place(self, t: Tensor) -> str:
        """Return the offset of the current point in a member's memory."""
        if t in self.tailed and t not in self.stored:
            return self._panel_place()
        _, one_row = self._memory(t)
        shape = t.shape
        linear = [(a, s) for a, s in enumerate(strides(shape)) if shape[a] != 1]
        live = {a for a, _ in (*self.layout.rows, *self.layout.inner)}
        linear = [(a, s) for a, s in linear if a in live]
        if one_row:
            inner = {a for a, _ in self.layout.inner}
            linear = [(a, s) for a, s in linear if a in inner]
        return self.w.offset(Load(t, tuple(linear), 0, (), t.dtype))

    def _store(self, t: Tensor, name: str, level: int) -> None:
        memory, _ = self._memory(t)
        self.w.line(f"{memory}[{self._place(t)}] = {name}", level)

    def _recall(self, t: Tensor) -> None:
        """Read back what an earlier pass computed."""
        memory, _ = self._memory(t)
        name = self.w.fresh()
        self.w.line(f"{name} = {memory}[{self._place(t)}]")
        self.w.locals[t] = (len(self.w.blocks) - 1, name)
        self.done[t] = self.current

    # -- reductions ------------------------------------------------------------------

    def _accumulate(self, t: Tensor) -> None:
        """Write one step of a reduction into the innermost loop."""
        c: Comprehension = t.op  # type: ignore[assignment]
        term = self._resolver().body(t, dict(enumerate(self.where)))
        if c.reduce in ("sum", "prod") and term.dtype != t.dtype:
            term = convert(term, t.dtype)
        value = self.w.ref(term)
        name = self.w.fresh("s")
        step, start = reduction_step(
            self.w, c.reduce or "", name, value, term.dtype, self._inner_index()
        )
        for text in step:
            self.w.line(text)
        self._accumulators.append((t, name, start))

    def _inner_index(self) -> str:
        return self.w.axis_text[self.layout.inner[-1][0]] if self.layout.inner else "0"

    def _loops(
        self, lines: list[str], accumulators: list[tuple[Tensor, str, list[str]]]
    ) -> list[str]:
        """Return the loops of a pass around its lines."""
        w = self.w
        inner = self.layout.inner
        start = [text for _, _, begin in accumulators for text in begin]
        sums = {
            name
            for t, name, _ in accumulators
            if t.op.reduce == "sum" and t.dtype == "float32"  # type: ignore[union-attr]
        }
        extents = [w.size(n) for _, n in inner]
        indices = [w.axis_text[a] for a, _ in inner]
        total = product(n for _, n in inner)
        if sums and not (isinstance(total, int) and total <= BLOCK):
            return in_blocks(w, lines, start, sums, indices, extents)
        ranges = ["start, stop"] if self.tiled else extents
        return [*start, *nested(lines, indices, ranges)]

    def _accumulate_column(self, t: Tensor) -> None:
        """Add a term to the sum over rows that its column has so far.

        In float64, so that the sum of any number of rows is accurate; each thread has
        sums of its own, which another kernel adds up.
        """
        term = self._resolver().body(t, dict(enumerate(self._axes(t))))
        value = self.w.ref(term)
        if not t.shape:
            name = self.w.fresh("s")
            self.w.line(f"{name} = {self.w.use('add_fast')}({name}, {value})")
            self._totals.append((t, name))
            return
        sums = self.w.partial(t)
        inner = [n for _, n in self.layout.inner]
        linear = zip(self.layout.inner, strides(inner), strict=True)
        kept = tuple((a, s) for (a, _), s in linear)
        place = self.w.offset(Load(t, kept, 0, (), "float64"))
        wide = value if term.dtype == "float64" else f"np.float64({value})"
        self.w.line(f"{sums}[{place}] += {wide}")

    def _start_columns(self) -> list[str]:
        """Return the lines that set the sums over rows to 0."""
        lines = []
        for t in self.g.members:
            if self._column(t) and t.shape:
                count = self.w.size(product(t.shape))
                lines += [
                    f"for j in range({count}):",
                    f"    {self.w.partial(t)}[j] = 0.0",
                ]
        return [*lines, *(f"{name}_all = 0.0" for _, name in self._every_total)]

    def _finish_columns(self) -> list[str]:
        """Return the lines that give the sums over everything."""
        return [f"{self.w.partial(t)}[0] = {n}_all" for t, n in self._every_total]

    # -- matrix products ---------------------------------------------------------------

    def _prepare_product(self) -> Callable[[list[str]], list[str]] | None:
        """Return a function that puts the product of a panel before its rows."""
        if self.g.gemm is None:
            return None
        self.panels = {g.node: self._panel_memory(g) for g in self.g.panels}
        self.done |= dict.fromkeys(self.panels, 0)
        return lambda lines: panel_loop(self.w, self.g, self._factor, lines)

    def _factor(self, t: Tensor) -> tuple[str, bool]:
        """Return the memory of what products make or take, a panel of it or all."""
        return self.panels.get(t) or self._memory(t)

    def _panel_place(self) -> str:
        """Return the offset of the current point in memory for one panel."""
        assert self.g.gemm is not None
        row = self.w.step("(r - p)", self.g.gemm.n)
        return " + ".join([row, *(self._inner_place())])

    def _panel_memory(self, g: Gemm) -> tuple[str, bool]:
        """Return where a panel's product goes: (memory, whether it is one panel)."""
        if g.node in self.stored:
            return self.w.tensor(g.node, write=True), False
        elements = g.n * panel_rows(self.g)
        return self.w.scratch(g.node.dtype, elements, ("panel", id(g.node))), True

    def _take_product(self, t: Tensor) -> None:
        """Read the element of the product that the row loops are at."""
        memory, one_panel = self.panels[t]
        if one_panel:
            place = self._panel_place()
        else:
            linear = [(a, s) for a, s in enumerate(strides(t.shape)) if t.shape[a] != 1]
            live = {a for a, _ in (*self.layout.rows, *self.layout.inner)}
            kept = tuple((a, s) for a, s in linear if a in live)
            place = self.w.offset(Load(t, kept, 0, (), t.dtype))
        name = self.w.fresh()
        self.w.line(f"{name} = {memory}[{place}]")
        self.w.locals[t] = (len(self.w.blocks) - 1, name)
        self.done[t] = self.current

    def _inner_place(self) -> list[str]:
        found, step = [], 1
        size: Size = step
        for a, n in reversed(self.layout.inner):
            found.append(self.w.step(self.w.axis_text[a], size))
            size = size * n
        return found

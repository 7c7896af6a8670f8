"""Emit the reductions that are not rows: windows, columns, running sums, scatters."""

from __future__ import annotations

from dataclasses import replace

from symgrad.declare.comprehension import Comprehension, along
from symgrad.declare.dims import Size, product
from symgrad.declare.tensor import Tensor
from symgrad.emit.reductions import BLOCK, reduction_step
from symgrad.emit.scalars import literal
from symgrad.emit.writer import KernelText, Writer, indent
from symgrad.schedule.group import Group
from symgrad.schedule.reading import Reading
from symgrad.schedule.terms import Load, Resolver, Term, convert, strides


def emit_nest(group: Group, reading: Reading) -> KernelText:
    """Return the kernel of a ``nest``, ``running`` or ``scatter`` group."""
    nest = _Nest(group, reading)
    match group.kind:
        case "running":
            return nest.running()
        case "scatter":
            return nest.scatter()
    return nest.columns()


class _Nest:
    def __init__(self, group: Group, reading: Reading) -> None:
        (self.t,) = group.members
        self.c: Comprehension = self.t.op  # type: ignore[assignment]
        self.reading = reading
        self.w = Writer()
        self.extents = self.c.extents

    def _term(self, t: Tensor | None = None) -> Term:
        resolver = Resolver(lambda n: self.reading.looks_through(n), lambda n, w: None)
        axes = {a: along(a) for a in range(len(self.extents))}
        term = resolver.body(t or self.t, axes)
        return (
            term
            if term.dtype == self.t.dtype or self.t.dtype == "bool"
            else convert(term, self.t.dtype)
        )

    def _axis(self, a: int, text: str, level: int) -> None:
        self.w.axis_text[a], self.w.axis_level[a] = text, level

    def _place(self, level_axes: list[int]) -> str:
        """Return the offset of the current result."""
        steps = strides(self.t.shape)
        linear = tuple((a, steps[a]) for a in level_axes if self.extents[a] != 1)
        return self.w.offset(Load(self.t, linear, 0, (), self.t.dtype))

    def _rows(self, axes: list[int]) -> list[str]:
        """Bind the row axes to the flat row ``r``; return the lines that split it."""
        lines, rest = [], "r"
        for n, a in enumerate(axes):
            self._axis(a, "r" if len(axes) == 1 else f"i{n}", 1)
        for n in range(len(axes) - 1, 0, -1):
            extent = self.w.size(self.extents[axes[n]])
            lines.append(f"i{n} = {rest} % {extent}")
            quotient = "i0" if n == 1 else f"q{n}"
            lines.append(f"{quotient} = {rest} // {extent}")
            rest = quotient
        return lines

    def _done(
        self,
        body: list[str],
        rows: Size,
        per_row: Size,
        grain: int = 1,
        serial: bool = False,
    ) -> KernelText:
        text = self.w.module([self.t], body)
        cost = per_row * (self.w.operations + 2)
        flops = rows * per_row * max(self.w.operations, 1)
        return KernelText(text, tuple(self.w.slots), rows, cost, flops, grain, serial)

    # -- reductions with the innermost loop along the result ---------------------------

    def columns(self) -> KernelText:
        """Add up row by row of terms into a row of results."""
        w, c = self.w, self.c
        rank = c.rank
        out = list(range(rank))
        wide = rank > 0
        one_row = rank <= 1
        target = w.tensor(self.t, write=True)
        split = self._rows(out[:-1])
        w.open()
        w.open()
        for n, a in enumerate(c.reduced):
            self._axis(a, f"k{n}", 2)
        if wide:
            self._axis(rank - 1, "j", 3)
            w.open()
        value = w.ref(self._term())
        long = self.t.dtype == "float32" and c.reduce == "sum" and self._is_long()
        place = self._place(out)
        step, start = self._step(target, place, value, long)
        w.line(step)
        last = w.close().lines
        bounds = (
            ("lo", "hi")
            if one_row
            else ("0", w.size(self.extents[rank - 1]))
            if wide
            else ("0", "1")
        )
        if wide:
            loop = [f"for j in range({bounds[0]}, {bounds[1]}):", *indent(last)]
            middle = [*w.close().lines, *loop]
        else:
            middle = last
        for n, a in reversed(list(enumerate(c.reduced))):
            middle = [f"for k{n} in range({w.size(self.extents[a])}):", *indent(middle)]
        before = w.close().lines
        body = self._wrapped(target, place, start, middle, bounds, wide, long)
        body = [*split, *before, *body]
        if not one_row or not wide:
            body = ["for r in range(lo, hi):", *indent(body)]
        reduced = product(self.extents[a] for a in c.reduced)
        if one_row:
            rows: Size = self.extents[0] if wide else 1
            return self._done(body, rows, reduced, 16)
        width = self.extents[rank - 1]
        return self._done(body, product(self.extents[: rank - 1]), reduced * width)

    def _is_long(self) -> bool:
        total = product(self.extents[a] for a in self.c.reduced)
        return not (isinstance(total, int) and total <= BLOCK)

    def _step(self, target: str, place: str, value: str, long: bool) -> tuple[str, str]:
        w, kind = self.w, self.c.reduce or ""
        if long:
            width: Size = self.extents[self.c.rank - 1] if self.c.rank else 1
            total = w.scratch("float64", width, "total")
            at = "j" if self.c.rank else "0"
            return f"{total}[{at}] += np.float64({value})", f"{total}[{at}] = 0.0"
        (step,), (begin,) = reduction_step(w, kind, "here", value, self.t.dtype, "0")[
            :2
        ]
        step = step.replace("here", f"{target}[{place}]")
        return step, f"{target}[{place}] = {begin.split(' = ')[1]}"

    def _wrapped(
        self,
        target: str,
        place: str,
        start: str,
        middle: list[str],
        bounds: tuple[str, str],
        wide: bool,
        long: bool,
    ) -> list[str]:
        loop = f"for j in range({bounds[0]}, {bounds[1]}):"
        end = []
        if long:
            at = "j" if wide else "0"
            name = start.partition("[")[0]
            end = [f"{target}[{place}] = np.float32({name}[{at}])"]
        if wide:
            end = [loop, *indent(end)] if end else []
            return [loop, *indent([start]), *middle, *end]
        return [start, *middle, *end]

    # -- running sums and products ---------------------------------------------------

    def running(self) -> KernelText:
        """Add the terms one by one, giving every intermediate result."""
        w, c = self.w, self.c
        guard = c.guards[0]
        (k,) = c.reduced
        factors = dict(guard.index.terms)
        along_axis = next(a for a in factors if a != k)
        assert isinstance(along_axis, int)
        rows = [a for a in range(c.rank) if a != along_axis]
        upward = factors[along_axis] == 1
        split = self._rows(rows)
        target = w.tensor(self.t, write=True)
        row = w.open()
        self._axis(along_axis, "i", 2)
        self._axis(k, "k", 2)
        w.open()
        free = replace(c, guards=())
        value = w.ref(self._term(_Bare(free, self.t)))  # type: ignore[arg-type]
        terms = w.close().lines
        w.open()
        place = self._place(list(range(c.rank)))
        stores = [*w.close().lines, f"{target}[{place}] = total"]
        symbol = "+" if c.reduce == "sum" else "*"
        start = literal(0 if c.reduce == "sum" else 1, self.t.dtype)
        wide = self.t.dtype == "float32"
        if wide:
            start = start.replace("float32", "float64")
            stores[-1] = f"{target}[{place}] = np.float32(total)"
            value = f"np.float64({value})"
        n, m = w.size(self.extents[along_axis]), w.size(self.extents[k])
        constant = w.size(guard.index.constant)
        if upward:  # terms with k <= i + constant
            walk = ["k = 0", f"for i in range({n}):"]
            test, move = f"k <= i + {constant} and k < {m}", "k += 1"
        else:  # terms with k >= i - constant
            walk = [f"k = {m} - 1", f"for i in range({n} - 1, -1, -1):"]
            test, move = f"k + {constant} >= i and k >= 0", "k -= 1"
        add = [
            f"while {test}:",
            *indent([*terms, f"total = total {symbol} {value}", move]),
        ]
        lines = [
            *split,
            *w.close().lines,
            f"total = {start}",
            *walk,
            *indent([*add, *stores]),
        ]
        assert row is not None
        body = ["for r in range(lo, hi):", *indent(lines)]
        extent = self.extents[along_axis] + self.extents[k]
        return self._done(body, product(self.extents[a] for a in rows), extent)

    # -- scatters --------------------------------------------------------------------

    def scatter(self) -> KernelText:
        """Add every term at the place that its target index names."""
        w, t = self.w, self.t
        target = w.tensor(t, write=True)
        w.open()
        for a in range(len(self.extents)):
            self._axis(a, f"i{a}", 1)
        axes = {a: along(a) for a in range(len(self.extents))}
        resolver = Resolver(lambda n: self.reading.looks_through(n), lambda n, w: None)
        value = w.ref(self._term())
        place = resolver.target(t, axes)
        offset = w.offset(place)
        zero = literal(0, t.dtype)
        w.line(f"{target}[{offset}] = {target}[{offset}] + {value}")
        nest = w.close().lines
        for a in reversed(range(len(self.extents))):
            nest = [f"for i{a} in range({w.size(self.extents[a])}):", *indent(nest)]
        total = w.size(product(t.shape))
        body = [f"for i in range({total}):", f"    {target}[i] = {zero}", *nest]
        return self._done(body, 1, product(self.extents), serial=True)


class _Bare:
    """A node's statement under another guard, without a place in the graph."""

    def __init__(self, op: Comprehension, t: Tensor) -> None:
        self.op, self.args, self.dtype, self.shape = op, t.args, t.dtype, t.shape

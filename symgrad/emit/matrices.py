"""Emit linear algebra: LAPACK on one matrix after another.

Operands are copied into the memory of the result, where LAPACK works on them.  Its
matrices are column-major; read so, a row-major ``A`` is ``Aᵀ``, so that ``getrf``
exchanges columns of ``A`` and gives ``A P = L U`` with the ones on U's diagonal.
"""

from __future__ import annotations

from symgrad.declare.comprehension import along
from symgrad.declare.dims import Size, product
from symgrad.declare.dtypes import short
from symgrad.declare.linear_algebra import LinearAlgebra
from symgrad.declare.tensor import Tensor
from symgrad.emit.scalars import literal
from symgrad.emit.writer import KernelText, Writer, indent
from symgrad.schedule.fuse import PIVOTS
from symgrad.schedule.group import Group
from symgrad.schedule.reading import Reading
from symgrad.schedule.terms import Apply, Load, Number, Resolver, strides


def emit_matrices(group: Group, reading: Reading) -> KernelText:
    """Return the kernel of a ``matrix`` group."""
    return _Matrices(group, reading).kernel()


class _Matrices:
    """A loop over the matrices of a batch, ``r`` being the number of one."""

    def __init__(self, group: Group, reading: Reading) -> None:
        self.group, self.reading = group, reading
        (self.t,) = (t for t in group.members if t.op != PIVOTS)
        self.op: LinearAlgebra = self.t.op  # type: ignore[assignment]
        self.kind = short(self.t.dtype)
        self.w = Writer()

    def kernel(self) -> KernelText:
        """Return the text of the kernel, and what it costs."""
        w, batch = self.w, self.t.shape[:-2]
        self.y = w.tensor(self.t, write=True)
        self.n, self.m = w.size(self.t.shape[-2]), w.size(self.t.shape[-1])
        w.open()
        split = self._split(batch)
        lines = _BODIES[self.op.name](self)
        body = ["for r in range(lo, hi):", *indent([*split, *w.close().lines, *lines])]
        text = w.module([], body, [_HEADINGS[self.op.name]])
        work = self._work()
        rows = product(batch)
        return KernelText(text, tuple(w.slots), rows, work, rows * work)

    def _work(self) -> Size:
        """Return about how many operations one matrix takes."""
        n, m = self.t.shape[-2:]
        return n * n * m

    def _split(self, batch: tuple[Size, ...]) -> list[str]:
        """Bind the batch axes to ``r``; return the lines that split it."""
        lines, rest = [], "r"
        for a in range(len(batch)):
            self.w.axis_text[a] = "r" if len(batch) == 1 else f"b{a}"
            self.w.axis_level[a] = 1
        for a in range(len(batch) - 1, 0, -1):
            extent = self.w.size(batch[a])
            quotient = "b0" if a == 1 else f"q{a}"
            lines += [f"b{a} = {rest} % {extent}", f"{quotient} = {rest} // {extent}"]
            rest = quotient
        return lines

    # -- operands ----------------------------------------------------------------------

    def _copied(self, x: Tensor, symmetric: bool = False) -> list[str]:
        """Return the loops that set the result to an operand, or (x + xᵀ)/2."""
        w, rank = self.w, x.ndim
        for a, text in ((rank - 2, "i"), (rank - 1, "j")):
            w.axis_text[a], w.axis_level[a] = text, 2 if text == "i" else 3
        w.open()
        w.open()
        resolver = Resolver(self.reading.looks_through, lambda n, w: None)
        *before, i, j = map(along, range(rank))
        term = resolver.at(x, (*before, i, j))
        if symmetric:
            turned = resolver.at(x, (*before, j, i))
            total = Apply("add", (term, turned), x.dtype)
            term = Apply("mul", (Number(0.5, x.dtype), total), x.dtype)
        shown = w.ref(term)
        w.line(f"{self.y}[{self._place(self.t, 'i', 'j')}] = {shown}")
        inner = [f"for j in range({self.m}):", *indent(w.close().lines)]
        return [f"for i in range({self.n}):", *indent([*w.close().lines, *inner])]

    def _place(self, t: Tensor, *last: str) -> str:
        """Return the offset of an element of this batch's part of a result."""
        steps = strides(t.shape)
        whole = self.w.size(product(t.shape[t.ndim - len(last) :]), "one matrix")
        parts = [f"r*{whole}"] if product(t.shape[: t.ndim - len(last)]) != 1 else []
        for text, step in zip(last, steps[t.ndim - len(last) :], strict=True):
            parts += [] if text == "0" else [self.w.step(text, step)]
        return " + ".join(parts) or "0"

    def _at(self, t: Tensor, rank: int, name: str) -> str:
        """Return the start of the batch's part of a tensor, its last ``rank`` axes."""
        steps = strides(t.shape)
        missing = len(self.t.shape) - 2 - (t.ndim - rank)
        linear = tuple(
            (missing + d, steps[d]) for d in range(t.ndim - rank) if t.shape[d] != 1
        )
        if not linear:
            return name
        offset = self.w.offset(Load(t, linear, 0, (), t.dtype))
        return f"{self.w.use('at')}({name}, {offset})"

    # -- the operations ----------------------------------------------------------------

    def cholesky(self) -> list[str]:
        """``L`` in the lower triangle; all NaN where there is none."""
        w, (a,) = self.w, self.t.args
        copy = self._copied(a, symmetric=True)
        potrf = f"{w.use(f'potrf_{self.kind}')}({w.blas('potrf', self.t.dtype)}"
        zero, nan = (literal(v, self.t.dtype) for v in (0.0, float("nan")))
        element = self._place(self.t, "i", "j")
        return [
            *copy,
            f"if {self.n} > 0:",
            f"    failed = {potrf}, True, {self.n}, {self._at(self.t, 2, self.y)}, "
            f"{self.n})",
            f"    for i in range({self.n}):",
            "        first = 0 if failed else i + 1",
            f"        for j in range(first, {self.n}):",
            f"            {self.y}[{element}] = {nan} if failed else {zero}",
        ]

    def lu(self) -> list[str]:
        """The factors in place of the matrix, and the exchanges of columns."""
        w, (a,) = self.w, self.t.args
        copy = self._copied(a)
        pivots = next((t for t in self.group.members if t is not self.t), None)
        if pivots is None:
            name = start = w.scratch("int64", self.t.shape[-1], "pivots")
        else:
            name = w.tensor(pivots, write=True)
            start = self._at(pivots, 1, name)
        getrf = f"{w.use(f'getrf_{self.kind}')}({w.blas('getrf', self.t.dtype)}"
        return [
            *copy,
            f"if {self.n} > 0:",
            f"    {getrf}, {self.n}, {self._at(self.t, 2, self.y)}, {self.n}, {start})",
        ]

    def lu_solve(self) -> list[str]:
        """Triangular solves with both factors, and the exchanges undone."""
        lu, pivots, b = self.t.args
        copy = self._copied(b)
        lower = self._triangular(lu, True, False)
        upper = self._triangular(lu, False, True)
        exchange = self._exchanged(pivots)
        solves = [*exchange, *upper, *lower]
        if not self.op.transposed:
            solves = [*lower, *upper, *exchange]
        return [*copy, f"if {self.n}*{self.m} > 0:", *indent(solves)]

    def triangular_solve(self) -> list[str]:
        """One triangular solve."""
        factor, b = self.t.args
        copy = self._copied(b)
        solve = self._triangular(factor, True, False)
        return [*copy, f"if {self.n}*{self.m} > 0:", *indent(solve)]

    def _triangular(self, factor: Tensor, lower: bool, unit: bool) -> list[str]:
        w = self.w
        trsm = f"{w.use(f'trsm_{self.kind}')}({w.blas('trsm', self.t.dtype)}"
        memory = self._at(factor, 2, w.tensor(factor))
        one, result = literal(1, self.t.dtype), self._at(self.t, 2, self.y)
        return [
            f"{trsm}, {lower}, {self.op.transposed}, {unit}, {self.n}, {self.m},",
            f"         {one}, {memory}, {self.n}, {result}, {self.m})",
        ]

    def _exchanged(self, pivots: Tensor) -> list[str]:
        """Return the loop that exchanges rows: forward for the transpose, else back."""
        w = self.w
        name = self._at(pivots, 1, w.tensor(pivots))
        here, there = (self._place(self.t, text, "j") for text in ("i", "k"))
        steps = (
            f"range({self.n})" if self.op.transposed else f"range({self.n} - 1, -1, -1)"
        )
        return [
            f"for i in {steps}:",
            f"    k = {name}[i]",
            f"    for j in range({self.m}):",
            f"        kept = {self.y}[{here}]",
            f"        {self.y}[{here}] = {self.y}[{there}]",
            f"        {self.y}[{there}] = kept",
        ]


_BODIES = {
    "cholesky": _Matrices.cholesky,
    "lu": _Matrices.lu,
    "lu_solve": _Matrices.lu_solve,
    "triangular_solve": _Matrices.triangular_solve,
}
_HEADINGS = {
    "cholesky": "L Lᵀ = (A + Aᵀ)/2, L lower triangular",
    "lu": "A P = L U, U with a diagonal of ones",
    "lu_solve": "A X = B by A P = L U",
    "triangular_solve": "L X = B, L lower triangular",
}

"""Emit the packing of a matrix product's factor into memory of the thread's own.

The innermost loop copies a run of adjacent elements.  A guard on it is turned into the
run's bounds, and what is outside is set to 0, so that the copy itself has no condition.
"""

from __future__ import annotations

from collections.abc import Mapping

from symgrad.declare.comprehension import Guard, Index, Quotient
from symgrad.declare.dims import Size, product
from symgrad.emit.scalars import literal
from symgrad.emit.writer import Writer, indent
from symgrad.schedule.contraction import Gemm, Matrix, Packing
from symgrad.schedule.terms import Apply, AxisValue, Number, SizeValue, Term

Lines = list[str]


def batch_names(count: int) -> list[str]:
    """Return the names of the batch axes in the text of a product."""
    return ["batch"] if count == 1 else [f"g{n}" for n in range(count)]


def packed_memory(w: Writer, x: Matrix, role: str) -> str:
    """Return the name of the memory that a factor is packed into."""
    assert x.packing is not None
    return w.scratch(x.packing.load.dtype, product(x.packing.extents), ("pack", role))


def packing_lines(w: Writer, g: Gemm) -> tuple[Lines, Lines]:
    """Return what packs the factors: before the loop over batches, and inside it.

    A factor is packed anew when the batch changes, and not for each panel of rows.
    """
    names = batch_names(len(g.batch))
    before: Lines = []
    inside: Lines = []
    for role, x in (("left", g.left), ("right", g.right)):
        if x.packing is None:
            continue
        lines = _Packer(w, x, role, names).lines()
        if not x.packing.fixed:
            before += lines
            continue
        before += [f"{role}_batch = -1"]
        inside += [f"if batch != {role}_batch:"]
        inside += indent([*lines, f"{role}_batch = batch"])
    return before, inside


class _Packer:
    def __init__(self, w: Writer, x: Matrix, role: str, names: list[str]) -> None:
        assert x.packing is not None
        self.w, self.p = w, x.packing
        self.target = packed_memory(w, x, role)
        self.source = w.tensor(x.tensor)
        self.text = {a: f"e{n}" for n, a in enumerate(self.p.axes)}
        self.text |= {a: names[n] for a, n in self.p.fixed}
        self.inner = self.p.axes[-1]

    def lines(self) -> Lines:
        """Return the loops that pack the factor."""
        p = self.p
        body = self._runs() if _is_affine(p, self.inner) else self._elements()
        for n in reversed(range(len(p.axes) - 1)):
            extent = self.w.size(p.extents[n])
            body = [f"for e{n} in range({extent}):", *indent(body)]
        return body

    def _place(self) -> str:
        """Return where a run begins in the packed memory."""
        parts = [
            self.w.step(f"e{n}", product(self.p.extents[n + 1 :]))
            for n in range(len(self.p.axes) - 1)
        ]
        return " + ".join(parts) or "0"

    def _offset(self, steps: Mapping[int, Size], constant: Size) -> str:
        parts = [
            self.w.step(self.text[a], s) for a, s in steps.items() if a in self.text
        ]
        if constant != 0 or not parts:
            parts.append(self.w.size(constant))
        return " + ".join(parts)

    def _index(self, index: Index) -> str:
        parts = []
        for atom, factor in index.terms:
            if isinstance(atom, Quotient):
                text = f"(({self._index(atom.index)})//{self.w.size(atom.divisor)})"
            elif atom not in self.text:
                continue  # an axis of extent 1
            else:
                text = self.text[atom]
            parts.append(self.w.step(text, factor))
        if index.constant != 0 or not parts:
            parts.append(self.w.size(index.constant))
        return " + ".join(parts)

    # -- runs --------------------------------------------------------------------------

    def _runs(self) -> Lines:
        w, p = self.w, self.p
        steps = dict(p.load.linear)
        step = steps.pop(self.inner, 0)
        e, n = self.text[self.inner], w.size(p.extents[-1])
        moved = w.step(e, step) if step != 0 else "0"
        head = [
            f"place = {self._place()}",
            f"start = {self._offset(steps, p.load.constant)}",
        ]
        copy = f"{self.target}[place + {e}] = {self.source}[start + {moved}]"
        if not p.guards:
            return [*head, f"for {e} in range({n}):", f"    {copy}"]
        clear = f"{self.target}[place + {e}] = {literal(0, p.load.dtype)}"
        bounds = ["begin = 0", f"end = {n}"]
        for g in p.guards:
            bounds += self._bounds(g)
        return [
            *head,
            *bounds,
            f"begin = min(begin, {n})",
            "end = max(end, begin)",
            f"for {e} in range(begin):",
            f"    {clear}",
            f"for {e} in range(begin, end):",
            f"    {copy}",
            f"for {e} in range(end, {n}):",
            f"    {clear}",
        ]

    def _bounds(self, g: Guard) -> Lines:
        """Return the lines that narrow a run to where a guard holds."""
        factor = dict(g.index.terms).get(self.inner, 0)
        terms = tuple((a, f) for a, f in g.index.terms if a != self.inner)
        rest = self._index(Index(terms, g.index.constant))
        bound = None if g.bound is None else self.w.size(g.bound)
        if factor == 1:  # 0 <= e + rest < bound
            upper = [] if bound is None else [f"end = min(end, {bound} - ({rest}))"]
            return [f"begin = max(begin, -({rest}))", *upper]
        if factor == -1:  # 0 <= rest - e < bound
            lower = (
                [] if bound is None else [f"begin = max(begin, {rest} - {bound} + 1)"]
            )
            return [f"end = min(end, {rest} + 1)", *lower]
        test = f"({rest}) >= 0" + ("" if bound is None else f" and ({rest}) < {bound}")
        return [f"end = end if {test} else 0"]

    # -- single elements ---------------------------------------------------------------

    def _elements(self) -> Lines:
        w, p = self.w, self.p
        e, n = self.text[self.inner], w.size(p.extents[-1])
        parts = [self._offset(dict(p.load.linear), p.load.constant)]
        parts += [w.step(self._term(t), s) for t, s in p.load.extra]
        tests = [test for g in p.guards for test in self._tests(g)]
        value = f"{self.source}[{' + '.join(parts)}]"
        if tests:
            zero = literal(0, p.load.dtype)
            value = f"({value} if {' and '.join(tests)} else {zero})"
        return [
            f"place = {self._place()}",
            f"for {e} in range({n}):",
            f"    {self.target}[place + {e}] = {value}",
        ]

    def _tests(self, g: Guard) -> list[str]:
        index = f"({self._index(g.index)})"
        found = [f"{index} >= 0"]
        if g.bound is not None:
            found.append(f"{index} < {self.w.size(g.bound)}")
        if g.modulus != 1:
            found.append(f"{index} % {self.w.size(g.modulus)} == 0")
        return found

    def _term(self, term: Term) -> str:
        match term:
            case AxisValue(axis=a):
                return self.text.get(a, "0")
            case Number(value=value):
                return self.w.size(int(value))
            case SizeValue(dim=dim):
                return self.w.size(dim)
            case Apply(fn=fn, args=args):
                sign = {"add": "+", "sub": "-", "mul": "*", "floordiv": "//"}[fn]
                return f"({f' {sign} '.join(map(self._term, args))})"
        raise AssertionError(term)


def _is_affine(p: Packing, inner: int) -> bool:
    """Return True if every guard bounds the inner axis, or does not depend on it."""
    if p.load.extra:
        return False
    for g in p.guards:
        if g.modulus != 1 or any(isinstance(a, Quotient) for a, _ in g.index.terms):
            return False
        if dict(g.index.terms).get(inner, 0) not in (-1, 0, 1):
            return False
    return True

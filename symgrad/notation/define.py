"""What a formula shows by name: the choice of definitions, and their names.

A definition that is used once, or is as short as a name, is written where it is used;
the others keep a name and a ``where`` line.
"""

from __future__ import annotations

from collections.abc import Sequence

from symgrad.declare.dims import Size
from symgrad.declare.linear_algebra import LinearAlgebra
from symgrad.declare.loop import Scan
from symgrad.declare.tensor import Input, Param, Reshape, SizeOf, Tensor, topological
from symgrad.notation import algebra, sums
from symgrad.notation.indexed import Indexed
from symgrad.notation.kronecker import kronecker_form
from symgrad.notation.local import canonical, matrix_form
from symgrad.notation.lower import Lowering, source
from symgrad.notation.names import Namer, gradient_nodes, leaf_names
from symgrad.notation.syntax import Form, call, sym
from symgrad.notation.terms import ZERO, Term, addends, axis, factors, ref, refs
from symgrad.notation.wholes import applied, wholes_of, with_wholes

SHORT, WIDE = 3, 40  # sizes of terms: written out always, and at most


class Definitions:
    """The formulas of some tensors, and of what they share.

    A definition whose term has no more than ``short`` parts is always written out.

    Attributes:
        named: the tensors that have a line of their own, operands first.
        terms: the final term of each of them and of each output.
        names: the name of each tensor that a formula mentions.
    """

    def __init__(
        self,
        outputs: Sequence[Tensor],
        forward: Sequence[Tensor] | None = None,
        short: int = SHORT,
    ) -> None:
        self.short = short
        lowering = Lowering(outputs)
        self.outputs = lowering.outputs
        self.lowering = lowering
        self.terms = dict(lowering.terms)
        self._fold()
        leaves = [t for t in lowering.order if _is_leaf(t) and t in lowering.apart]
        self.names = leaf_names(leaves)
        if forward is None:
            backward = gradient_nodes(lowering.order)
            nodes = [t for t in lowering.order if t not in backward]
        else:
            nodes = topological(forward)
        inverted = [t for t in lowering.order if isinstance(t.op, LinearAlgebra)]
        self.namer = Namer(self.names, nodes, [source(t.args[0]) for t in inverted])
        self.named: list[Tensor] = []
        reshapes = (t for t in lowering.order if isinstance(t.op, Reshape))
        self.reshaped = {t.args[0] for t in reshapes}
        self._choose()
        for t in list(self.named):
            self._name_whole(t)

    # -- sharing ---------------------------------------------------------------------

    def _fold(self) -> None:
        """Refer to a definition wherever its term occurs, also built in another way."""
        known: dict[Term, tuple[Tensor, tuple[int, ...]]] = {}

        def refer(e: Term) -> Term | None:
            if e.kind not in ("call", "fam", "mat", "red"):
                return None
            shape, axes = canonical(e)
            found = known.get(shape)
            if found is None:
                return None
            t, places = found
            index = dict(zip(places, axes, strict=True))
            return ref(t, tuple(axis(index[a]) for a in range(t.ndim)))

        for t in self.lowering.order:
            if _is_leaf(t) or isinstance(t.op, Reshape):
                continue
            term = self.terms[t]
            if known:
                term = self.terms[t] = algebra.rewrite(term, refer)
            if t in self.lowering.apart and term.kind in ("call", "fam", "mat", "red"):
                shape, axes = canonical(term)
                if sorted(axes) == list(range(t.ndim)):
                    known.setdefault(shape, (t, axes))

    def _choose(self) -> None:
        ends = set(self.outputs)
        uses = self._uses()
        for t in self.lowering.order:
            if _is_leaf(t) or (t not in uses and t not in ends):
                continue
            self.terms[t] = self._written_out(self._without_centred(self.terms[t]))
            inner = t not in ends or uses.get(t, 0) > 0
            if inner and self._needs_name(t, uses.get(t, 0), t in ends):
                self.namer.name(t, self.terms[t])
                self.named.append(t)

    def _name_whole(self, t: Tensor) -> None:
        """Name ``P = softmax(Z)`` rather than ``Z``, where nothing else mentions it."""
        users = [u for u in (*self.named, *self.outputs) if u is not t]
        mentions = {w for u in users for w in wholes_of(self.terms[u], t)}
        if len(mentions) != 1 or t in set(self.outputs) or t in self.reshaped:
            return
        (whole,) = mentions
        if whole is not None:
            self.terms[t] = applied(self.terms[t], whole)
            for u in users:
                self.terms[u] = with_wholes(self.terms[u], t)
            self.namer.rename(t, self.terms[t])

    def _uses(self) -> dict[Tensor, int]:
        """Return how often each definition is mentioned on the way to the outputs."""
        uses: dict[Tensor, int] = {}
        pending = list(self.outputs)
        seen: set[Tensor] = set(pending)
        while pending:
            t = pending.pop()
            if _is_leaf(t):
                continue
            for u in self._mentioned(t):
                uses[u] = uses.get(u, 0) + 1
                if u not in seen:
                    seen.add(u)
                    pending.append(u)
        return uses

    def _mentioned(self, t: Tensor) -> list[Tensor]:
        if isinstance(t.op, Reshape):
            return [t.args[0]]
        return [r.value for r in refs(self.terms[t])]

    def _needs_name(self, t: Tensor, uses: int, end: bool) -> bool:
        if isinstance(t.op, Reshape):
            return True
        term = self.terms[t]
        if any(
            isinstance(u.op, Reshape) and u.args[0] is t for u in self.lowering.order
        ):
            return True
        if self._form(t) is None:
            return True
        if uses == 1 and not end:
            return term.size > WIDE
        short = SHORT if term.kind == "call" else self.short  # H = tanh(W x)
        return term.size > short

    def _without_centred(self, term: Term) -> Term:
        """Return the term; the sum of ``x - mean(x)``, whatever its name, is 0."""

        def rule(e: Term) -> Term | None:
            if e.kind != "red" or e.value[0] != "sum":
                return None
            axes, body = sums.unbind(e)
            kept = [a for a in addends(body) if not self._vanishes(a, axes, e.value[1])]
            if len(kept) == len(addends(body)):
                return None
            return sums.reduce("sum", axes, e.value[1], algebra.add(*kept))

        return algebra.rewrite(term, rule)

    def _vanishes(
        self, addend: Term, axes: tuple[int, ...], extents: tuple[Size, ...]
    ) -> bool:
        """Return True if a multiple of a named tensor has the sum 0 over these axes."""
        found = [f for f in factors(addend) if f.kind == "ref" and f.value.args]
        found = [f for f in found if not isinstance(f.value.op, Reshape)]
        if not found or any(_is_leaf(f.value) for f in found):
            return False
        opened = [
            algebra.substitute(self.terms[f.value], dict(enumerate(f.args)))
            for f in found
        ]
        rest = [f for f in factors(addend) if f not in found]
        return sums.reduce("sum", axes, extents, algebra.mul(*rest, *opened)) is ZERO

    def _written_out(self, term: Term) -> Term:
        """Return the term with the definitions that have no name put in."""

        def rule(e: Term) -> Term | None:
            if e.kind != "ref" or e.value in self.names or _is_leaf(e.value):
                return None
            index = (self._written_out(i) for i in e.args)
            return algebra.substitute(self.terms[e.value], dict(enumerate(index)))

        return algebra.rewrite(term, rule)

    # -- formulas ----------------------------------------------------------------------

    def _form(self, t: Tensor) -> Form | None:
        """Return the matrix notation of a node, if it has one."""
        if isinstance(t.op, Reshape):
            source = sym(self.names[t.args[0]])
            if t.ndim == 1:
                return call("vec", source)
            return call("reshape", source, sym(" × ".join(map(str, t.shape))))
        term = self.terms[t]
        if t.ndim == 2 and t.shape[1] == 1 and 1 not in term.free:
            return matrix_form(term, 1, self.names)  # a column is a vector
        return matrix_form(term, t.ndim, self.names) or kronecker_form(
            term, t.ndim, self.names
        )

    def equation(self, t: Tensor, left: str | None = None) -> tuple[Form | None, Form]:
        """Return both sides for a node; the left one has indices if the right one has.

        Without a name there is a left side only where indices need one.
        """
        shown = self._form(t)
        if shown is not None:
            return (sym(left) if left else None), shown
        indexed = Indexed(self.names, t.ndim)
        free = (n for n in ("y", "z", "out") if n not in self.names.values())
        left = left or next(free, "result")
        return indexed.left(left, t.ndim), indexed.form(self.terms[t])

    def lines(self) -> list[tuple[Form, Form]]:
        """Return both sides of each ``where`` line, operands first."""
        found = []
        for t in self.named:
            left, right = self.equation(t, self.names[t])
            assert left is not None
            found.append((left, right))
        return found


def _is_leaf(t: Tensor) -> bool:
    return isinstance(t.op, Input | Param | SizeOf | Scan) or (
        not t.args and not hasattr(t.op, "reads")
    )

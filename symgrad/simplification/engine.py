"""The rewriting engine: every node to its normal form, operands first.

A node whose operands are normal is offered to the rules of its kind, in order.  What a
rule returns is normalised in turn, so that each node ends where no rule applies.  The
graph is walked with a stack of its own: depth is no limit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from symgrad.declare.tensor import Tensor, exact_scope, topological
from symgrad.simplification.nodes import (
    Facts,
    Rewrite,
    passes,
    source,
    with_args,
)
from symgrad.simplification.printing import print_node


class Rule(NamedTuple):
    """A named function from a node to what replaces it (None: does not apply).

    A rule without a name only chooses between equal spellings; it is not reported.
    """

    name: str
    apply: Callable[[Tensor, Facts], Tensor | None]


#: The rules for a node: those of its kind (and function), in order.
Choose = Callable[[Tensor], Sequence[Rule]]


class Rewriter:
    """Normal forms of the nodes of one graph."""

    def __init__(
        self,
        outputs: Sequence[Tensor],
        choose: Choose,
        trace: bool = False,
        before: Rewriter | None = None,
    ) -> None:
        self.outputs, self.choose, self.trace = outputs, choose, trace
        self.facts = Facts()
        self.settled: set[Tensor] = set()
        if before is not None:
            self.settled = before.settled
            self.facts.shared = before.facts.shared
        self.normal: dict[Tensor, Tensor] = {}
        self.next: dict[Tensor, Tensor] = {}
        self.rewrites: list[Rewrite] = []
        self.cycles: list[Tensor] = []

    def run(self) -> list[Tensor]:
        """Return the normal forms of the outputs."""
        order = topological(self.outputs)
        self.facts.uses = count_uses(order, self.outputs)
        for t in order:
            self._normalise(t)
        return [self.normal[t] for t in self.outputs]

    def finished(self, outputs: Sequence[Tensor]) -> bool:
        """Return True if no rule applies to the result; else note where one may.

        Only a node for which a rule left another one alone, that has one user now.
        """
        now = count_uses(topological(outputs), outputs)
        again = {t for x, t in self.facts.shared if now.get(x, 2) <= 1 and t in now}
        self.settled = set(now) - again
        self.facts.shared = [(x, t) for x, t in self.facts.shared if t not in again]
        return not again

    def _normalise(self, root: Tensor) -> None:
        normal, following = self.normal, self.next
        stack = [root]
        while stack:
            t = stack[-1]
            if t in normal:
                stack.pop()
            elif t in following:
                if following[t] in normal:
                    normal[t] = normal[following[t]]
                else:
                    self._push(stack, following[t])
            elif missing := [a for a in t.args if a not in normal]:
                for a in reversed(missing):
                    self._push(stack, a)
            else:
                self._step(t)

    def _push(self, stack: list[Tensor], t: Tensor) -> None:
        if t in self.next and t not in self.normal:  # rules that undo each other
            self.cycles.append(t)
            self.normal[t] = t
            self.facts.know(t)
        else:
            stack.append(t)

    def _step(self, t: Tensor) -> None:
        """Rewrite once a node whose operands are normal."""
        args = [self.normal[a] for a in t.args]
        found: Tensor | None = None
        name = ""
        if any(a is not b for a, b in zip(args, t.args, strict=True)):
            with exact_scope(t.scope):
                found = with_args(t, args)
        elif t not in self.settled:
            found, name = self._first_rule(t)
        if found is None:
            self.normal[t] = t
            self.facts.know(t)
            return
        assert found.shape == t.shape, (name, t, found)
        assert found.dtype == t.dtype, (name, t, found)
        self.next[t] = found
        self._inherit(t, found)
        if self.trace and name:
            self.rewrites.append(Rewrite(name, print_node(t), print_node(found), t))

    def _first_rule(self, t: Tensor) -> tuple[Tensor | None, str]:
        """Return what the first rule that applies gives, and its name."""
        chosen = self.choose(t)
        if not chosen:
            return None, ""
        self.facts.here = t
        with exact_scope(t.scope):
            for rule in chosen:
                found = rule.apply(t, self.facts)
                if found is not None and found is not t:
                    return found, rule.name
        return None, ""

    def _inherit(self, t: Tensor, found: Tensor) -> None:
        """Let the users of a node be users of what replaces it."""
        uses = self.facts.uses
        count = uses.get(t, 1)
        if any(found is a for a in t.args):  # its use by ``t`` is no more
            uses[found] = uses.get(found, 1) + (0 if passes(t) else count - 1)
        elif found in uses:
            uses[found] += count
        else:
            while found not in uses:
                uses[found] = count
                if not passes(found):
                    return
                found = source(found)


def count_uses(order: Sequence[Tensor], outputs: Sequence[Tensor]) -> dict[Tensor, int]:
    """Return how many nodes compute with each node (those behind a movement count)."""
    uses = dict.fromkeys(order, 0)
    for t in outputs:
        uses[t] += 1
    for t in reversed(order):
        count = uses[t] if passes(t) else 1
        for a in dict.fromkeys(t.args):
            uses[a] += count
    return uses

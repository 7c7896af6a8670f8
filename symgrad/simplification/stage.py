"""The stage: which rules apply to which node, and how often the graph is walked."""

from __future__ import annotations

from collections.abc import Sequence

from symgrad.declare import build
from symgrad.declare.tensor import Tensor
from symgrad.simplification import constants, movements, reductions
from symgrad.simplification.engine import Rewriter, Rule
from symgrad.simplification.nodes import Facts, Rewrite, kind, operands, statement
from symgrad.simplification.patterns import COMMUTATIVE, by_function
from symgrad.simplification.tables import ALGEBRA, STABLE

#: Rewriting changes how often a node is used, which some rules ask for: then again.
MOST_WALKS = 4


def sort_operands(t: Tensor, facts: Facts) -> Tensor | None:
    """``y + x`` is ``x + y``, so that both are one node."""
    x, y = operands(t)
    if facts.key(x) <= facts.key(y):
        return None
    return build.elementwise(statement(t).body.fn, y, x)


def open_statement(t: Tensor, facts: Facts) -> Tensor | None:
    """A product of reads, nothing summed, is a product of movements."""
    del facts
    c = statement(t)
    equality = any(g.bound == 1 and g.modulus == 1 for g in c.guards)
    if not c.reads or kind(t) != "statement" or (c.guards and not equality):
        return None
    y = build.cast(build.normal_form(c, t.args), t.dtype)
    return y if y.shape == t.shape else None


_SORT = (Rule("", sort_operands),)
_TABLES = by_function(ALGEBRA, STABLE)
_KINDS: dict[str, tuple[Rule, ...]] = {
    "leaf": (),
    "reshape": movements.RESHAPE,
    "movement": movements.MOVEMENT,
    "cast": (*constants.CAST, *movements.CAST),
    "reduction": (*constants.REDUCTION, *reductions.REDUCTION, *reductions.NAMES),
    "scatter": (reductions.REDUCTION[0], reductions.REDUCTION[1]),
    "statement": (Rule("open_statement", open_statement),),
}
_FUNCTIONS: dict[tuple[str, bool], tuple[Rule, ...]] = {}


def _for_function(fn: str, final: bool) -> tuple[Rule, ...]:
    if (fn, final) not in _FUNCTIONS:
        table = _TABLES.get(fn, ())
        if not final:
            table = tuple(r for r in table if r.name != "stop_gradient")
        _FUNCTIONS[fn, final] = (
            constants.FOLD,
            *movements.ELEMENTWISE,
            *constants.FACTORS.get(fn, ()),
            *table,
            *(_SORT if fn in COMMUTATIVE else ()),
        )
    return _FUNCTIONS[fn, final]


def _rules(t: Tensor, final: bool) -> Sequence[Rule]:
    found = kind(t)
    if found == "elementwise":
        return _for_function(statement(t).body.fn, final)
    return _KINDS[found]


def rewritten(
    outputs: Sequence[Tensor], final: bool = False, trace: bool = False
) -> tuple[list[Tensor], list[Rewrite]]:
    """Return the simplified outputs, and the rules that were applied, in order.

    Args:
        outputs: any nodes of a graph.
        final: nothing will be derived from the result: ``stop_gradient`` may go.
        trace: keep the list of rules.
    """
    found = list(outputs)
    log: list[Rewrite] = []
    for _ in range(MOST_WALKS):
        walk = Rewriter(found, lambda t: _rules(t, final), trace)
        new = walk.run()
        log += walk.rewrites
        if all(a is b for a, b in zip(found, new, strict=True)):
            break
        found = new
    return found, log

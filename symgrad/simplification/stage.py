"""The stage: which rules apply to which node, and how often the graph is walked."""

from __future__ import annotations

from collections.abc import Sequence

from symgrad.declare import build
from symgrad.declare.tensor import Constant, Tensor, scalar_value
from symgrad.simplification import (
    constants,
    contractions,
    deltas,
    linear_algebra,
    movements,
    reductions,
    softmax,
    sums,
    symmetry,
)
from symgrad.simplification.engine import Rewriter, Rule
from symgrad.simplification.loops import with_simple_loops
from symgrad.simplification.nodes import (
    Facts,
    Rewrite,
    function,
    kind,
    operands,
    statement,
)
from symgrad.simplification.patterns import COMMUTATIVE, PatternRule
from symgrad.simplification.tables import ALGEBRA, LAST, STABLE

#: A node that was used twice may be used once after a walk; then rules are asked again.
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


class RuleBook:
    """The rules for each node; those of patterns only where the operands may fit."""

    def __init__(self, patterns: Sequence[PatternRule]) -> None:
        self.patterns = patterns
        self._chosen: dict[tuple[str, ...], tuple[Rule, ...]] = {}

    def rules(self, t: Tensor) -> tuple[Rule, ...]:
        """Return the rules to be tried on ``t``, in order."""
        fn = function(t)
        if fn is None:
            return _KINDS[kind(t)]
        key = (fn, *map(_head, operands(t)))
        found = self._chosen.get(key)
        if found is None:
            found = self._chosen[key] = self._choose(fn, set(key[1:]))
        return found

    def _choose(self, fn: str, heads: set[str]) -> tuple[Rule, ...]:
        fitting = (p for p in self.patterns if p.left.fn == fn and p.heads <= heads)
        return (
            *((constants.FOLD,) if heads == {"number"} or "constant" in heads else ()),
            *(movements.ELEMENTWISE if "movement" in heads else ()),
            *(deltas.DELTA if heads & {"movement", "add", "sub"} else ()),
            *constants.FACTORS.get(fn, ()),
            *softmax.RULES.get(fn, ()),
            *(linear_algebra.ELEMENTWISE.get(fn, ()) if heads & _MADE_OF_ONE else ()),
            *(contractions.FACTOR if heads == {"reduction"} and fn in _SUMS else ()),
            *(Rule(p.name, p.apply) for p in fitting),
            *(_SORT if fn in COMMUTATIVE else ()),
        )


def _head(t: Tensor) -> str:
    """Return what a pattern can ask of an operand at first sight."""
    fn = function(t)
    if fn is not None:
        return fn
    if scalar_value(t) is not None:
        return "number"
    found = kind(t)
    return "constant" if isinstance(t.op, Constant) else found


_SUMS = ("add", "sub")
_MADE_OF_ONE = {"matrix", "abs", "div"}
_SORT = (Rule("", sort_operands),)
_KINDS: dict[str, tuple[Rule, ...]] = {
    "leaf": (),
    "loop": (),
    "reshape": movements.RESHAPE,
    "matrix": linear_algebra.MATRIX,
    "movement": (*symmetry.TRANSPOSE, *movements.MOVEMENT),
    "cast": (*constants.CAST, *movements.CAST),
    "reduction": (
        *constants.REDUCTION,
        *reductions.REDUCTION,
        *sums.SUMS,
        *contractions.ORDER,
        *linear_algebra.PRODUCT,
        *sums.NAMES,
    ),
    "scatter": reductions.SCATTER,
    "statement": (Rule("open_statement", open_statement),),
}
_EXACT = tuple(r for r in ALGEBRA if r.name != "stop_gradient")
_DERIVABLE = RuleBook((*_EXACT, *STABLE))
_FINAL = RuleBook((*ALGEBRA, *STABLE, *LAST))


def rewritten(
    outputs: Sequence[Tensor], final: bool = False, trace: bool = False
) -> tuple[list[Tensor], list[Rewrite]]:
    """Return the simplified outputs, and the rules that were applied, in order.

    Args:
        outputs: any nodes of a graph.
        final: nothing will be derived from the result: ``stop_gradient`` may go.
        trace: keep the list of rules.
    """
    found, log = _walked(outputs, final, trace)
    again = with_simple_loops(found, lambda step: rewritten(step, final)[0])
    if again is None:
        return found, log
    found, more = _walked(again, final, trace)
    return found, [*log, *more]


def _walked(
    outputs: Sequence[Tensor], final: bool, trace: bool
) -> tuple[list[Tensor], list[Rewrite]]:
    """Return the outputs after as many walks over the graph as it takes."""
    book = _FINAL if final else _DERIVABLE
    found = list(outputs)
    log: list[Rewrite] = []
    walk: Rewriter | None = None
    for _ in range(MOST_WALKS):
        walk = Rewriter(found, book.rules, trace, walk)
        found = walk.run()
        log += walk.rewrites
        if walk.finished(found):
            break
    return found, log

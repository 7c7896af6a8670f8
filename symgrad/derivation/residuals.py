"""What a derivative needs of the steps of a loop: which values are stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from symgrad.declare.bodies import before, dependents, number_of, stacked
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.loop import Formal, Loop
from symgrad.declare.scalar import FUNCTIONS
from symgrad.declare.tensor import Reshape, Tensor, topological

#: Functions that cost little more than an addition, although their result is a float.
_CHEAP = frozenset({"div", "sqrt", "reciprocal", "square"})


def residuals(
    loop: Loop, values: Sequence[Tensor], seeds: Iterable[Tensor]
) -> list[Tensor]:
    """Return the body's values from which the derivative's ``values`` are computed.

    They are formals and, unless the loop is to be computed again, what it costs
    something to compute: values of costly functions, reductions, products.  A cheap
    value is stored if it takes more than one other to compute it.
    """
    order = topological(values)
    live = dependents(order, seeds)
    own = dependents(order, [t for t in order if isinstance(t.op, Formal)])
    wanted = [t for t in values if t not in live]
    wanted += [a for t in order if t in live for a in t.args if a not in live]
    chosen: dict[Tensor, None] = {}
    for t in dict.fromkeys(wanted):
        if t in own:
            _choose(t, own, loop.recompute, chosen)
    return list(chosen)


def _choose(
    t: Tensor, own: set[Tensor], recompute: bool, chosen: dict[Tensor, None]
) -> None:
    pending, found = [t], dict[Tensor, None]()
    while pending:
        x = pending.pop()
        if x in found or x not in own:
            continue
        if x.args and (recompute or _is_cheap(x)):
            pending += reversed(x.args)
        else:
            found[x] = None
    new = [x for x in found if x not in chosen and not isinstance(x.op, Formal)]
    chosen.update(dict.fromkeys([t] if len(new) > 1 and not recompute else found))


def _is_cheap(t: Tensor) -> bool:
    c = t.op
    if isinstance(c, Reshape):
        return True
    if not isinstance(c, Comprehension) or c.reduce is not None or c.target is not None:
        return False
    costly = FUNCTIONS[c.body.fn].result == "float" if c.body.args else False
    return c.is_movement or c.body.fn in _CHEAP or not costly


def at_each_step(
    loop: Loop, args: Sequence[Tensor], cut: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Return the cut values that differ by step, their stacks, and the others.

    The others are operands: formals of the loop.
    """
    fixed = set(loop.operands)
    moving = [t for t in cut if t not in fixed]
    stacks = [
        before(loop, args, number_of(t))
        if t in set(loop.carries)
        else stacked(loop, args, t)
        for t in moving
    ]
    return moving, stacks, [t for t in cut if t in fixed]

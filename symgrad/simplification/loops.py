"""Loops: simpler steps, and work moved out of them.

The results of one loop are simplified together, so that they stay those of one loop:

* carries, sequences and operands that nothing needs are dropped;
* the step's graph is simplified as any other;
* a product of what does not depend on carries is one large product before the loop,
  ``h[t+1] = f(h[t] U + x[t] W)``: all ``x W`` at once;
* a product that no carry depends on, ``y[t] = h[t] V``, is one behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from symgrad.declare.bodies import (
    closed,
    dependents,
    final,
    needed,
    sibling_key,
    siblings,
    stacked,
    states,
    substitute,
)
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.loop import Final, Loop, Scan, Stacked, loop
from symgrad.declare.tensor import Tensor, exact_scope, input, topological
from symgrad.derivation.batch import vectorized
from symgrad.simplification.nodes import with_args

Simplify = Callable[[list[Tensor]], list[Tensor]]


def with_simple_loops(
    outputs: Sequence[Tensor], simplify: Simplify
) -> list[Tensor] | None:
    """Return the outputs with all loops simplified; None where there is no loop.

    ``simplify`` is for the graph of a step.
    """
    order = topological(outputs)
    together = siblings(order)
    if not together:
        return None
    found: dict[Tensor, Tensor] = {}
    for t in order:
        if t in found:
            continue
        args = [found[a] for a in t.args]
        with exact_scope(t.scope):
            if isinstance(t.op, Scan):
                results = together[sibling_key(t)]
                found.update(_Step(results, args, simplify).results())
            elif all(a is b for a, b in zip(args, t.args, strict=True)):
                found[t] = t
            else:
                found[t] = with_args(t, args)
    return [found[t] for t in outputs]


class _Step:
    """The step of one loop, while work is moved out of it.

    The nodes of the step are over the formals of the loop and leaves of their own, for
    what was moved before the loop; ``given`` has the tensor for each of these.
    """

    def __init__(
        self, results: Sequence[Tensor], args: Sequence[Tensor], simplify: Simplify
    ) -> None:
        self.old: Loop = results[0].op.loop  # type: ignore[union-attr]
        self.nodes = results
        used = set(needed(results))
        self.live = [n for n, c in enumerate(self.old.carries) if c in used]
        self.stacks = [t for t in results if isinstance(t.op, Stacked)]
        values = [self.old.updates[n] for n in self.live]
        values += [_value(t) for t in self.stacks]
        simple = simplify(values)
        self.updates = simple[: len(self.live)]
        self.values = simple[len(self.live) :]
        self.given = dict(zip(self.old.formals, args, strict=True))
        self.moving = list(self.old.elements)
        if not self.old.recompute:
            self._move_before()

    def _move_before(self) -> None:
        """Replace products that do not depend on carries by elements of new stacks."""
        order = topological([*self.updates, *self.values])
        late = dependents(order, self.old.carries)
        early = dependents(order, self.old.elements) - late
        works = dependents(order, [t for t in order if _is_product(t)])
        places = [a for t in order if t in late for a in t.args]
        places = [t for t in dict.fromkeys(places) if t in early and t in works]
        places = [t for t in places if t.args]
        if not places:
            return
        leaves = {t: _leaf(n, t) for n, t in enumerate(places)}
        for t, leaf in leaves.items():
            self.given[leaf] = self._outside(t)
        self.moving += leaves.values()
        changed = substitute([*self.updates, *self.values], leaves)
        self.updates = changed[: len(self.live)]
        self.values = changed[len(self.live) :]

    def _outside(self, t: Tensor) -> Tensor:
        """Return a value that depends on no carry, for all steps at once."""
        leaves = {f: _leaf(n, f) for n, f in enumerate(self.old.elements)}
        fixed = {f: self.given[f] for f in self.old.operands}
        (one,) = substitute([t], {**leaves, **fixed})
        many = {leaf: self.given[f] for f, leaf in leaves.items()}
        return vectorized([one], many, self.old.length)[one]

    def results(self) -> dict[Tensor, Tensor]:
        """Return what each result of the loop becomes."""
        plain = list(dict.fromkeys(self._asked()))
        given = [self.old.formals[n] for n in self.live]
        used = {t for t in topological([*self.updates, *plain]) if not t.args}
        elements = [f for f in self.moving if f in used]
        operands = [f for f in self.old.operands if f in used]
        body = closed([*self.updates, *plain], [*given, *elements, *operands])
        count = len(self.live)
        new = loop(
            self.old.length,
            body.formals,
            body.values[:count],
            len(elements),
            self.old.reverse,
            self.old.recompute,
        )
        args = [self.given[f] for f in (*given, *elements, *operands)]
        inside = dict(zip(plain, body.values[count:], strict=True))
        found: dict[Tensor, Tensor] = {}
        for t in self.nodes:
            if isinstance(t.op, Stacked):
                continue
            build = final if isinstance(t.op, Final) else states
            number = self.live.index(t.op.number)  # type: ignore[union-attr]
            found[t] = build(new, args, number)
        for t, value in zip(self.stacks, self.values, strict=True):
            found[t] = self._stack(value, new, args, inside)
        return found

    def _asked(self) -> list[Tensor]:
        """Return what is stacked: the operands, where a product is made behind."""
        busy = set(topological(self.updates))
        self.products: dict[Tensor, list[Tensor]] = {}
        found: list[Tensor] = []
        for n, v in enumerate(self.values):
            others = [*self.values[:n], *self.values[n + 1 :]]
            free = v not in busy and v not in set(topological(others))
            if not self.old.recompute and free and _is_product(v):
                self.products[v] = self._changing(v)
                found += self.products[v]
            else:
                found.append(v)
        return found

    def _changing(self, v: Tensor) -> list[Tensor]:
        """Return the operands of a node that differ by step."""
        given = [*self.old.carries, *self.moving]
        changing = dependents(topological([v]), given)
        return [a for a in v.args if a in changing]

    def _stack(
        self,
        v: Tensor,
        new: Loop,
        args: Sequence[Tensor],
        inside: dict[Tensor, Tensor],
    ) -> Tensor:
        if v not in self.products:
            return stacked(new, args, inside[v])
        stacks = {a: stacked(new, args, inside[a]) for a in self.products[v]}
        fixed = {f: self.given[f] for f in self.old.operands}
        others = [a for a in v.args if a not in stacks]
        outer = dict(zip(others, substitute(others, fixed), strict=True))
        leaves = {a: _leaf(n, a) for n, a in enumerate(stacks)}
        one = with_args(v, [leaves[a] if a in leaves else outer[a] for a in v.args])
        given = {leaves[a]: s for a, s in stacks.items()}
        return vectorized([one], given, new.length)[one]


def _value(t: Tensor) -> Tensor:
    assert isinstance(t.op, Stacked)
    return t.op.value


def _leaf(number: int, like: Tensor) -> Tensor:
    """Return a leaf for a moved value, until the step is closed again."""
    return input(f"moved {number}", like.shape, like.dtype)


def _is_product(t: Tensor) -> bool:
    return isinstance(t.op, Comprehension) and t.op.is_contraction

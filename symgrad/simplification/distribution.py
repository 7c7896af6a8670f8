"""Products with sums of products: ``(U Vᵀ − Y) W`` is ``U (Vᵀ W) − Y W``.

A sum of a tensor and a product of thin factors is as large as the tensor; where nothing
but contractions use it, distributing these over the sum may save making it.  That is a
decision about all of its users at once, taken by what both ways cost.  It is taken for
programs only: as a formula, the factored form is the one that people write.

The other way, ``A x + A y`` to ``A (x + y)``, is a rule in `contractions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from symgrad.declare import build
from symgrad.declare.tensor import (
    Tensor,
    constant,
    exact_scope,
    scalar_value,
    topological,
)
from symgrad.simplification.contractions import as_product, cheapest
from symgrad.simplification.engine import count_uses
from symgrad.simplification.nodes import (
    Facts,
    float_like,
    function,
    measure,
    operands,
    statement,
    with_args,
)

#: The new way has to cost at most this part of the old one.
WORTHWHILE = 0.75


class Term(NamedTuple):
    """A summand, and the number that it is multiplied by."""

    factor: float
    tensor: Tensor


class Sum(NamedTuple):
    """A sum of terms that only contractions use."""

    node: Tensor
    terms: tuple[Term, ...]
    inner: int  # elements computed between the terms and the sum
    users: tuple[Tensor, ...]


def distribute(outputs: Sequence[Tensor]) -> list[Tensor]:
    """Return the outputs with contractions distributed over sums where that is cheaper.

    >>> import symgrad as sg
    >>> U, x = sg.input("U", (1000, 2)), sg.input("x", (1000,))
    >>> (y,) = distribute([(sg.input("A", (1000, 1000)) + U @ U.T) @ x])
    >>> max(t.shape for t in y.args)  # and no longer (1000, 1000)
    (1000,)
    """
    order = topological(outputs)
    facts = Facts()
    facts.uses = count_uses(order, outputs)
    chosen: dict[Tensor, Sum] = {}
    for s in _sums(order, outputs):
        free = not any(u in chosen for u in s.users)
        if free and _cost_after(s, facts) <= WORTHWHILE * _cost_before(s, facts):
            chosen |= dict.fromkeys(s.users, s)
    if not chosen:
        return list(outputs)
    new: dict[Tensor, Tensor] = {}
    for t in order:
        with exact_scope(t.scope):
            new[t] = (
                _distributed(t, chosen[t], new, facts)
                if t in chosen
                else with_args(t, [new[a] for a in t.args])
                if any(new[a] is not a for a in t.args)
                else t
            )
        facts.uses.setdefault(new[t], facts.uses[t])
    return [new[t] for t in outputs]


def _sums(order: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Sum]:
    """Return the sums of two terms or more that only contractions use."""
    users: dict[Tensor, list[Tensor]] = {}
    for t in order:
        for a in dict.fromkeys(t.args):
            users.setdefault(a, []).append(t)
    found = []
    kept = set(outputs)
    for t in order:
        mine = users.get(t, [])
        if t in kept or not float_like(t) or not mine or not _is_linear(t):
            continue
        if not all(_reads_once(u, t) for u in mine):
            continue
        terms, inner = _terms(t, users, kept)
        products = [x for x in terms if as_product(x.tensor) is not None]
        if len(terms) > 1 and products:
            found.append(Sum(t, tuple(terms), inner, tuple(mine)))
    return found


def _is_linear(t: Tensor) -> bool:
    """Return True for a sum, difference or multiple, nothing broadcast."""
    match function(t), [scalar_value(a) not in (None, 0) for a in _arguments(t)]:
        case "add" | "sub", _:
            return all(a.shape == t.shape for a in t.args)
        case ("neg", _) | ("mul", [True, _]) | ("mul" | "div", [_, True]):
            return True
    return False


def _arguments(t: Tensor) -> list[Tensor]:
    return [] if function(t) is None else operands(t)


def _reads_once(user: Tensor, t: Tensor) -> bool:
    product = as_product(user)
    return product is not None and sum(f.tensor is t for f in product.factors) == 1


def _terms(
    root: Tensor, users: dict[Tensor, list[Tensor]], kept: set[Tensor]
) -> tuple[list[Term], int]:
    """Return what a sum consists of, and how many elements are computed for it."""
    terms: list[Term] = []
    inner = 0
    stack = [Term(1.0, root)]
    while stack:
        factor, t = stack.pop()
        alone = t is root or (len(users[t]) == 1 and t not in kept)
        if not alone or t.shape != root.shape or not _is_linear(t):
            terms.append(Term(factor, t))
            continue
        inner += measure(t.shape)
        parts = operands(t)
        if function(t) in ("mul", "div"):
            scale, other = _multiple(t)
            stack.append(Term(factor * scale, other))
        else:
            last = factor if function(t) == "add" else -factor
            if len(parts) == 2:
                stack.append(Term(factor, parts[0]))
            stack.append(Term(last, parts[-1]))
    return terms, inner


def _multiple(t: Tensor) -> tuple[float, Tensor]:
    """Return the number and the tensor of a multiple."""
    x, y = operands(t)
    number = scalar_value(y)
    if number is None:
        return float(scalar_value(x) or 0), y
    return (1 / number if function(t) == "div" else float(number)), x


def _cost_before(s: Sum, facts: Facts) -> int:
    cost = s.inner + sum(measure(statement(u).extents) for u in s.users)
    for _, t in s.terms:
        if as_product(t) is not None and facts.uses[t] <= 1:
            cost += measure(statement(t).extents)
    return cost


def _cost_after(s: Sum, facts: Facts) -> int:
    cost = 0
    for u in s.users:
        for _, t in s.terms:
            facts.here = u
            cost += cheapest(_with(u, s.node, t), facts)[1] + measure(u.shape)
    return cost


def _with(user: Tensor, old: Tensor, new: Tensor) -> Tensor:
    return with_args(user, [new if a is old else a for a in user.args])


def _distributed(
    user: Tensor, s: Sum, new: dict[Tensor, Tensor], facts: Facts
) -> Tensor:
    """Return a contraction of a sum as a sum of contractions."""
    total: Tensor | None = None
    facts.here = user
    common = abs(s.terms[0].factor)
    if any(abs(x.factor) != common for x in s.terms):
        common = 1.0
    for factor, t in sorted(s.terms, key=lambda x: x.factor < 0):  # none begins with −
        args = [new[t] if a is s.node else new[a] for a in user.args]
        part = _times(cheapest(with_args(user, args), facts)[0], abs(factor) / common)
        if total is None:
            total = build.elementwise("neg", part) if factor < 0 else part
        else:
            total = build.elementwise("sub" if factor < 0 else "add", total, part)
    assert total is not None
    return _times(total, common)


def _times(t: Tensor, number: float) -> Tensor:
    if number == 1:
        return t
    return build.elementwise("mul", t, constant(number, t.dtype))

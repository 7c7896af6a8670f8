"""Products of several matrices: in the order that costs least, and factored.

A chain of contractions, each used once, is one product of many factors; so is an einsum
of many operands.  opt_einsum finds the cheapest order of pairwise contractions.  For a
chain of Jacobians this chooses forward, reverse or cross-country accumulation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import permutations
from typing import NamedTuple

from symgrad.declare import build, scalar
from symgrad.declare.comprehension import Comprehension, Read, along
from symgrad.declare.tensor import Shape, Tensor
from symgrad.simplification.engine import Rule
from symgrad.simplification.nodes import (
    Facts,
    float_like,
    function,
    kind,
    measure,
    operands,
    statement,
)
from symgrad.simplification.structure import factors, structure

#: Longer chains are ordered in parts.
MOST_FACTORS = 8

Axes = tuple[int, ...]


class Factor(NamedTuple):
    """A tensor, and the axis of the whole product along each of its dimensions."""

    tensor: Tensor
    axes: Axes


class Product(NamedTuple):
    """``y[output] = Σ over the other axes of the product of the factors``."""

    factors: tuple[Factor, ...]
    output: Axes
    extents: Shape


def as_product(t: Tensor) -> Product | None:
    """Return a sum of products whose factors are read along whole axes, or None."""
    if kind(t) != "reduction" or not float_like(t):
        return None
    c = statement(t)
    parts = factors(c)
    if c.reduce != "sum" or len(parts) < 2 or c.guards or structure(c).index_reads:
        return None
    found = []
    for k in parts:
        axes = tuple(i.axis for i in c.reads[k].index)
        if None in axes or len(set(axes)) < len(axes):
            return None
        found.append(Factor(t.args[c.reads[k].operand], axes))  # type: ignore[arg-type]
    return Product(tuple(found), tuple(range(c.rank)), c.extents)


def order_factors(t: Tensor, facts: Facts) -> Tensor | None:
    """``Σ a·b·c`` and ``(A·B)·C`` are contracted pair by pair, the cheapest way."""
    product = as_product(t)
    if product is None:
        return None
    whole, cost = _flattened(t, product, facts)
    if len(whole.factors) < 3:
        return None
    steps, best = _ordered(whole)
    if len(product.factors) == 2 and best >= cost:
        return None
    return _contracted(whole, steps)


def cheapest(t: Tensor, facts: Facts) -> tuple[Tensor, int]:
    """Return a product of products in its cheapest order, and what it costs."""
    product = as_product(t)
    if product is None:
        raise ValueError(f"{t.describe()} is not a sum of products")
    whole, cost = _flattened(t, product, facts)
    if len(whole.factors) < 3:
        return t, cost
    steps, best = _ordered(whole)
    return _contracted(whole, steps), best


def _ordered(whole: Product) -> tuple[tuple[tuple[int, ...], ...], int]:
    """Return the cheapest steps of a product, and what they cost."""
    sizes = tuple(measure((n,)) for n in whole.extents)
    return _best_order(tuple(f.axes for f in whole.factors), whole.output, sizes)


def _flattened(t: Tensor, product: Product, facts: Facts) -> tuple[Product, int]:
    """Return the product with factors that are products themselves taken apart.

    Also what the contractions cost as they are.
    """
    pending = list(product.factors)
    extents = list(product.extents)
    cost = measure(statement(t).extents)
    flat: list[Factor] = []
    while pending:
        f = pending.pop(0)
        inner = as_product(f.tensor) if facts.single(f.tensor) else None
        room = MOST_FACTORS - len(flat) - len(pending)
        if inner is None or len(inner.factors) > room:
            flat.append(f)
            continue
        cost += measure(inner.extents)
        one = _inlined(Product((f,), product.output, tuple(extents)), 0, inner)
        extents = list(one.extents)
        pending[:0] = one.factors
    return Product(tuple(flat), product.output, tuple(extents)), cost


@lru_cache(maxsize=4096)
def _best_order(
    factors: tuple[Axes, ...], output: Axes, sizes: tuple[int, ...]
) -> tuple[tuple[tuple[int, ...], ...], int]:
    """Return which factors to contract, one step after the other, and the products.

    A step names one factor, summed over axes that no other has, or a pair.
    """
    import opt_einsum

    def letters(axes: Axes) -> str:
        return "".join(map(opt_einsum.get_symbol, axes))

    output = tuple(a for a in output if any(a in f for f in factors))  # else of size 1
    text = ",".join(map(letters, factors)) + "->" + letters(output)
    shapes = [tuple(sizes[a] for a in axes) for axes in factors]
    found, _ = opt_einsum.contract_path(text, *shapes, shapes=True, optimize="dp")
    steps = tuple(tuple(sorted(step)) for step in found)
    remaining = list(factors)
    cost = 0
    for step in steps:
        union = set[int]().union(*(remaining.pop(n) for n in reversed(step)))
        left = _left(union, remaining, output)
        if len(step) > 1 or union != set(left):
            cost += measure(tuple(sizes[a] for a in union))
        remaining.append(left)
    return steps, cost


def _left(axes: set[int], others: Sequence[Axes], output: Axes) -> Axes:
    """Return the axes that something still needs, those of the output in its order."""
    needed = set(output).union(*others)
    inner = sorted(a for a in axes & needed if a not in output)
    return (*(a for a in output if a in axes), *inner)


def _contracted(product: Product, steps: Sequence[tuple[int, ...]]) -> Tensor:
    remaining = list(product.factors)
    for step in steps:
        parts = [remaining.pop(n) for n in reversed(step)][::-1]
        union = {a for f in parts for a in f.axes}
        axes = _left(union, [f.axes for f in remaining], product.output)
        if not remaining:
            axes = product.output
        remaining.append(contract(parts, axes, product.extents))
    return remaining[0].tensor


def contract(parts: Sequence[Factor], axes: Axes, extents: Shape) -> Factor:
    """Return the sum of the product of factors over all axes but these."""
    if len(parts) == 1 and parts[0].axes == axes:
        return parts[0]
    summed = sorted({a for f in parts for a in f.axes} - set(axes))
    place = {old: along(new) for new, old in enumerate((*axes, *summed))}
    reads = tuple(Read(n, tuple(place[x] for x in f.axes)) for n, f in enumerate(parts))
    c = Comprehension(
        "einsum",
        len(axes),
        tuple(extents[x] for x in (*axes, *summed)),
        scalar.multiply([scalar.read(n) for n in range(len(parts))]),
        reads,
        "sum" if summed else None,
    )
    made = build.apply if summed else build.normal_form
    return Factor(made(c, [f.tensor for f in parts]), axes)


# -- factoring -------------------------------------------------------------------------


def factor_sum(t: Tensor, facts: Facts) -> Tensor | None:
    """``A·x + A·y`` is ``A·(x + y)``, where nothing else uses the products."""
    x, y = operands(t)
    if x is y or x.shape != t.shape or y.shape != t.shape:
        return None
    if as_product(x) is None or statement(x) != statement(y):
        return None
    different = [
        n for n, (a, b) in enumerate(zip(x.args, y.args, strict=True)) if a is not b
    ]
    if len(different) != 1 or not (facts.single(x) and facts.single(y)):
        return None
    n = different[0]
    c = statement(x)
    if sum(c.reads[k].operand == n for k in factors(c)) != 1:
        return None
    both = build.elementwise(function(t) or "add", x.args[n], y.args[n])
    args = [both if m == n else a for m, a in enumerate(x.args)]
    return build.apply(c, args, t.dtype)


def open_sum(t: Tensor, learning: Callable[[Tensor], bool]) -> Tensor | None:
    """``A·(W + B·C)`` is ``A·W + A·B·C``, where W does not learn and that costs less.

    The gradient of ``W + B·C`` is as large as W and needed by B and C alone; of the
    opened sum, it is never formed.

    Args:
        t: a node before derivation.
        learning: True for a node that some derivative is wanted of.
    """
    product = as_product(t)
    if product is None:
        return None
    for n, f in enumerate(product.factors):
        if function(f.tensor) != "add":
            continue
        for fixed, change in permutations(operands(f.tensor)):
            inner = as_product(change)
            same = fixed.shape == change.shape == f.tensor.shape
            if inner is None or not same or learning(fixed) or not learning(change):
                continue
            whole = _inlined(product, n, inner)
            axes = tuple(g.axes for g in whole.factors)
            sizes = tuple(measure((s,)) for s in whole.extents)
            if 3 * _best_order(axes, whole.output, sizes)[1] < measure(product.extents):
                plain = list(product.factors)
                plain[n] = Factor(fixed, f.axes)
                parts = [
                    contract(factors_, product.output, whole.extents).tensor
                    for factors_ in (plain, whole.factors)
                ]
                return build.elementwise("add", *parts)
    return None


def _inlined(product: Product, n: int, inner: Product) -> Product:
    """Return the product whose factor ``n``, a product itself, is taken apart."""
    extents = list(product.extents)
    place = dict(zip(inner.output, product.factors[n].axes, strict=True))
    for a in range(len(inner.output), len(inner.extents)):
        place[a] = len(extents)
        extents.append(inner.extents[a])
    parts = [Factor(g.tensor, tuple(place[a] for a in g.axes)) for g in inner.factors]
    factors_ = (*product.factors[:n], *parts, *product.factors[n + 1 :])
    return Product(factors_, product.output, tuple(extents))


ORDER = (Rule("order_factors", order_factors),)
FACTOR = (Rule("factor_sum", factor_sum),)

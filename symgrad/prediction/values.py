"""Facts about the value of a node, from those of its operands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from symgrad.declare import scalar
from symgrad.declare.comprehension import Comprehension, Read
from symgrad.declare.tensor import Reshape, Tensor
from symgrad.prediction.blocks import Block
from symgrad.prediction.cones import Cone
from symgrad.prediction.facts import Axes, Facts, times
from symgrad.prediction.norms import contraction_norm, used_factors
from symgrad.prediction.supremum import greatest_slope, image

if TYPE_CHECKING:
    from symgrad.prediction.flow import Flow


def value_facts(
    flow: Flow, node: Tensor, block: Block | None, cone: Cone | None
) -> Facts:
    """Return what is known of a node's value."""
    if cone is not None:
        found = _elementwise(flow, node, cone)
    elif isinstance(node.op, Reshape):
        found = _reshaped(flow.facts[node.args[0]], flow.shape(node))
    elif isinstance(node.op, Comprehension):
        found = _statement(flow, node, node.op)
    else:
        found = Facts(flow.shape(node))
    return found if block is None else _of_block(flow, found, block)


def _of_block(flow: Flow, found: Facts, block: Block) -> Facts:
    source = flow.facts[block.source]
    axes = frozenset(block.axes)
    low, high = found.domain
    norms = dict(found.norms)
    if block.kind == "softmax":
        low, high, norms[axes] = 0.0, 1.0, 1.0
    elif block.kind == "normalised":
        norms[axes] = math.sqrt(source.count(axes))
    elif block.kind == "centred":
        for known in source.keys:
            if known >= axes:
                norms[known] = min(norms.get(known, math.inf), source.norm(known))
    return Facts(found.shape, low, high, norms)


# -- elementwise -----------------------------------------------------------------------


def _elementwise(flow: Flow, node: Tensor, cone: Cone) -> Facts:
    shape = flow.shape(node)
    domains = tuple((n, flow.facts[t].domain) for n, t in cone.leaves.items())
    low, high = image(cone.body, domains)
    keys = {
        frozenset(d + len(shape) - t.ndim for d in key)
        for t in cone.leaves.values()
        for key in flow.facts[t].keys
    }
    whole = frozenset(range(len(shape)))
    norms = {k: _fibre(flow, node, cone, shape, k) for k in keys | {whole}}
    return Facts(shape, low, high, norms)


def _fibre(
    flow: Flow, node: Tensor, cone: Cone, shape: Sequence[int], axes: Axes
) -> float:
    """Bound the norm of a fibre of an elementwise function."""

    def leaf(t: Tensor) -> float:
        offset = len(shape) - t.ndim
        facts = flow.facts[t]
        own = [a - offset for a in axes if a >= offset and facts.shape[a - offset] > 1]
        repeated = math.prod(
            shape[a] for a in axes if a < offset or facts.shape[a - offset] == 1
        )
        return facts.norm(own) * math.sqrt(repeated)

    leaves = list(cone.leaves.values())
    body = cone.body
    plain = all(not a.args for a in body.args)
    if body.fn in ("add", "sub") and plain and len(leaves) == 2:
        return sum(map(leaf, leaves))
    if body.fn == "mul" and plain and len(leaves) == 2:
        a, b = leaves
        return min(
            times(flow.facts[a].norm([]), leaf(b)),
            times(flow.facts[b].norm([]), leaf(a)),
        )
    if body.fn == "div" and plain and len(leaves) == 2:
        a, b = leaves
        low, high = flow.facts[b].domain
        least = max(low, -high, 0.0)
        return leaf(a) / least if least else math.inf
    if len(leaves) != 1:
        return math.inf
    ((name, t),) = cone.leaves.items()
    start = image(body, ((name, (0.0, 0.0)),))
    at_zero = max(abs(start[0]), abs(start[1]))
    low, high = flow.facts[t].domain
    around = ((name, (min(low, 0.0), max(high, 0.0))),)  # the way from 0 to x
    slope = greatest_slope(body, name, around).value
    count = math.prod(shape[a] for a in axes)
    return at_zero * math.sqrt(count) + times(slope, leaf(t))


# -- statements ------------------------------------------------------------------------


def _statement(flow: Flow, node: Tensor, c: Comprehension) -> Facts:
    shape = flow.shape(node)
    if c.target is not None:
        return Facts(shape)
    factors = used_factors(c)
    if c.body.fn == "axis":
        return Facts(shape, 0.0, float(max(flow.extents(c)[c.body.value] - 1, 0)))
    if c.reduce in ("argmax", "argmin", "any", "all") or not factors:
        return Facts(shape)
    if len(factors) == 1 and c.body.fn == "read":
        return _of_one(flow, node, c, factors[0])
    if c.reduce == "sum" and len(factors) == len(scalar.factors(c.body)):
        return _contraction(flow, node, c, factors)
    return Facts(shape)


def _own(read: Read, axes: Axes) -> tuple[list[int], list[int]]:
    """Return the dimensions that axes run along, and the axes that run along none."""
    dims, told = [], set()
    for d, i in enumerate(read.index):
        live = [a for a, _ in i.terms if isinstance(a, int)]
        if len(live) == len(i.terms) == 1 and live[0] in axes:
            dims.append(d)
            told |= set(live)
    return dims, [a for a in axes if a not in told]


def _of_one(flow: Flow, node: Tensor, c: Comprehension, k: int) -> Facts:
    """Return the facts of a movement or of a reduction of one operand."""
    x = flow.facts[node.args[c.reads[k].operand]]
    extents = flow.extents(c)
    shape = flow.shape(node)
    low, high = x.domain
    if c.guards and c.reduce != "sum":
        low, high = min(low, 0.0), max(high, 0.0)
    count = math.prod(extents[a] for a in c.reduced)
    if c.reduce == "sum":
        least = 0 if c.guards else count
        low, high = (
            min(times(n, low) for n in (least, count)),
            max(times(n, high) for n in (least, count)),
        )
    elif c.reduce == "prod":
        size = (
            max(abs(low), abs(high), 1.0) ** count if math.isfinite(low) else math.inf
        )
        low, high = -size, size
    index = c.reads[k].index
    axis_of = {d: i.terms[0][0] for d, i in enumerate(index) if len(i.terms) == 1}
    keys = {
        frozenset(a for d in key if isinstance(a := axis_of.get(d), int) and a < c.rank)
        for key in x.keys
    }
    terms = math.sqrt(count) if c.reduce == "sum" else 1.0
    norms = {}
    if c.reduce != "prod":
        for axes in keys | {frozenset(range(c.rank))}:
            dims, repeated = _own(c.reads[k], axes | set(c.reduced))
            spread = math.prod(extents[a] for a in repeated)
            norms[axes] = times(terms * math.sqrt(spread), x.norm(dims))
    return Facts(shape, low, high, norms)


def _contraction(
    flow: Flow, node: Tensor, c: Comprehension, factors: Sequence[int]
) -> Facts:
    """Return the facts of a sum of products: Cauchy–Schwarz, and operator norms."""
    extents = flow.extents(c)
    parts = [(c.reads[k], flow.facts[node.args[c.reads[k].operand]]) for k in factors]
    reduced = frozenset(c.reduced)
    count = math.prod(extents[a] for a in reduced)
    top = float(count)
    for _, facts in parts:
        top = times(top, facts.norm([]))
    norms: dict[Axes, float] = {}
    if len(parts) == 2:
        fibres = []
        for read, facts in parts:
            dims, repeated = _own(read, reduced)
            spread = math.sqrt(math.prod(extents[a] for a in repeated))
            fibres.append(spread * facts.norm(dims))
        top = min(top, times(*fibres))
        for n, k in enumerate(factors):
            _add_products(c, k, parts[n], parts[1 - n], extents, norms)
    return Facts(flow.shape(node), -top, top, norms)


def _add_products(
    c: Comprehension,
    k: int,
    own: tuple[Read, Facts],
    other: tuple[Read, Facts],
    extents: list[int],
    norms: dict[Axes, float],
) -> None:
    """Add the norms of fibres that one operand's fibres and the map's norm bound."""
    read, facts = own
    norm = contraction_norm(c, k, [other], extents)
    mine = {a for i in read.index for a in i.axes()}
    new = frozenset(a for a in range(c.rank) if a not in mine)
    kept = [i.axis for i in read.index if i.axis is not None and i.axis < c.rank]
    some: set[Axes] = {frozenset(kept), frozenset(), *(frozenset({a}) for a in kept)}
    for more in some:
        axes = new | more
        dims, _ = _own(read, more | set(c.reduced))
        mixed = [d for d, i in enumerate(read.index) if len(i.terms) > 1]
        if mixed:
            if more != frozenset(kept):
                continue
            axes = frozenset(range(c.rank))
            dims = list(range(len(read.index)))
        value = times(norm, facts.norm(dims))
        norms[axes] = min(norms.get(axes, math.inf), value)


# -- reshapes --------------------------------------------------------------------------


def _reshaped(x: Facts, shape: tuple[int, ...]) -> Facts:
    """Return the facts of the same elements in another shape.

    Both shapes are cut into the shortest groups of equal products.
    """
    norms: dict[Axes, float] = {}
    norms[frozenset(range(len(shape)))] = x.norm(range(len(x.shape)))
    groups = list(_groups(x.shape, shape))
    for n, (mine, theirs) in enumerate(groups):
        norms[frozenset(theirs)] = x.norm(mine)
        rest = [g for m, g in enumerate(groups) if m > n]
        tail = [d for g in rest for d in g[0]]
        norms[frozenset((*theirs, *(d for g in rest for d in g[1])))] = x.norm(
            [*mine, *tail]
        )
    return Facts(shape, x.low, x.high, norms)


def _groups(old: Sequence[int], new: Sequence[int]):  # type: ignore[no-untyped-def]
    a, b = 0, 0
    while a < len(old) or b < len(new):
        mine, theirs = [a] if a < len(old) else [], [b] if b < len(new) else []
        left = old[a] if mine else 1
        right = new[b] if theirs else 1
        a, b = a + len(mine), b + len(theirs)
        while left != right:
            if left < right and a < len(old):
                left, mine, a = left * old[a], [*mine, a], a + 1
            elif b < len(new):
                right, theirs, b = right * new[b], [*theirs, b], b + 1
            else:
                return
        yield mine, theirs

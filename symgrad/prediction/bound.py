"""``sg.gradient_bound``: how large a gradient can be, path by path."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from symgrad.declare import dtypes
from symgrad.declare.dims import evaluate, names
from symgrad.declare.mode import on_average
from symgrad.declare.tensor import (
    Input,
    Param,
    Tensor,
    op_name,
    print_shape,
    topological,
)
from symgrad.derivation.reverse import check_wrt, flatten, unflatten
from symgrad.errors import GraphError, ShapeError
from symgrad.prediction.facts import Facts, Known, times
from symgrad.prediction.flow import Edge, Flow
from symgrad.prediction.meanfield import MeanField
from symgrad.prediction.measured import measured
from symgrad.train.initialize import init, name_of

MOST_SIZE = 64  # that is tried for a dimension of which nothing is known

Intervals = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Factor:
    """One passage of the gradient, or several in parallel.

    Attributes:
        where: the scope of the node, or its name.
        says: the factor as text, such as ``sup|sigmoid′| = 1/4``.
        value: by how much the gradient's norm grows there, at most.
        paths: the parallel paths, each a product of factors; empty for one passage.
            Their products are added: a shortcut is the ``1`` of ``1 + …``.
    """

    where: str
    says: str
    value: float
    paths: tuple[tuple[Factor, ...], ...] = ()


@dataclass(frozen=True)
class Bound:
    """An upper bound on the Frobenius norm of a gradient.

    Attributes:
        name: the tensor that the loss is derived by.
        value: ``‖∂L/∂name‖_F`` is at most this, for all data in the intervals.
        factors: the product, from the loss to the tensor.
        given: what it holds for: intervals of the inputs and sizes.
        expected: what mean-field theory expects of the norm, for these weights and
            independent inputs; NaN where it expects nothing.
        at_data: a bound for the given data alone, from the values that the nodes have
            there: layer norm has the slope 1/σ, not 1/√ε.  None if not asked for.
    """

    name: str
    value: float
    factors: tuple[Factor, ...]
    given: str = ""
    expected: float = math.nan
    at_data: float | None = None
    shown: int = field(default=60, repr=False)

    @property
    def paths(self) -> list[tuple[Factor, ...]]:
        """Every path from the loss to the tensor, 1,000 at most."""
        found: list[tuple[Factor, ...]] = []
        for path in _paths(self.factors):
            found.append(path)
            if len(found) == 1000:
                break
        return found

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        head = f"‖∂L/∂{self.name}‖ ≤ {_number(self.value)}"
        lines = [f"{head}   ({self.given})" if self.given else head]
        beside = [] if self.at_data is None else [f"≤ {_number(self.at_data)} at data"]
        if not math.isnan(self.expected):
            beside.append(f"about {_number(self.expected)} expected (mean field)")
        lines += ["  " + ", ".join(beside)] if beside else []
        total = 1.0
        rows: list[tuple[str, str, str, str]] = []
        for factor in self.factors:
            total = times(total, factor.value)
            if factor.paths or not _is_one(factor.value):
                says = _inline(factor) if factor.paths else factor.says
                rows.append(
                    (factor.where, says, f"× {_number(factor.value)}", _number(total))
                )
        if len(rows) > self.shown:
            half = self.shown // 2
            left = len(rows) - 2 * half
            rows[half:-half] = [(f"… {left} more", "", "", "")]
        widths = [max((len(r[n]) for r in rows), default=0) for n in range(4)]
        for where, says, value, so_far in rows:
            lines.append(
                f"  {where:<{widths[0]}}  {says:<{widths[1]}}  {value:<{widths[2]}}"
                f"  {so_far:>{widths[3]}}".rstrip()
            )
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Bound ‖∂L/∂{self.name}‖ ≤ {_number(self.value)}>"


def gradient_bound(
    loss: Tensor,
    wrt: Any,
    params: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    intervals: Intervals | None = None,
    sizes: Mapping[str, int] | None = None,
    measure: bool = False,
) -> Any:
    """Return how large the gradient of a loss can be, from its formulas alone.

    The Frobenius norm of ``∂loss/∂wrt`` is bounded for *all* inputs in ``intervals``:
    by products, along each path from the loss, of suprema of the local derivatives
    (certified, from each operation's definition) and operator norms of the weights.
    Paths are added, so that a shortcut stays apart: ``1 + ‖W‖·sup|s′|``.  Elementwise
    composites such as ``x·σ(x)`` are one function; softmax, normalisations and
    cross-entropy are bounded as a whole.

    Args:
        loss: a scalar.
        wrt: a tensor, or tensors in lists, tuples and dicts; weights, inputs or
            anything between.
        params: parameters by name; by default as ``sg.init(loss, seed=0)`` makes them.
        data: arrays of inputs by name, in place of intervals; only their extremes and
            norms are used.
        intervals: input name → (least, greatest) value; all numbers by default.
        sizes: sizes of named dimensions; by default those of ``data``, else 1, or the
            least at which no part of the loss is empty.
        measure: also run the loss on ``data``, for a second bound ``.at_data`` from the
            values that its nodes have there: sharper by far behind normalisations.

    Returns:
        A ``Bound`` (``.value``, ``.factors``, ``.paths``, ``.expected``, ``.at_data``,
        ``str()``), or several in the structure of ``wrt``.  The value is infinite where
        nothing bounds a factor.

    Raises:
        ShapeError: the loss is not a scalar.
        GraphError: something in ``wrt`` is frozen or unreached, or a name is unknown.

    >>> import symgrad as sg
    >>> x = sg.input("x", ("n", 3))
    >>> h = sg.sigmoid(x @ sg.param("W", (3, 2), init=[[1, 0], [0, 1], [0, 0]]))
    >>> bound = gradient_bound(sg.mean(sg.sum(h, axis=1)), x)
    >>> f"{bound.value:.4f}"  # √2 · 1/4 · 1
    '0.3536'
    """
    _check(loss)
    targets = flatten(wrt)
    check_wrt(targets, [loss])
    loss, *targets = on_average([loss, *targets])
    params = init(loss) if params is None else params
    flow = make_flow(loss, targets, params, data, intervals, sizes)
    totals, edges = flow.accumulate()
    given = _given(flow, data or {}, intervals or {})
    field = MeanField(flow)
    there: dict[int, float] | None = None
    if measure:
        known = measured(loss, params, data or {})
        at_data = make_flow(loss, targets, params, data, sizes=sizes, known=known)
        there, _ = at_data.accumulate()
    found = [
        Bound(
            t.name or t.describe(),
            totals.get(id(t), 0.0),
            tuple(_chain(flow, edges, t)),
            given,
            field.norm(t),
            None if there is None else there.get(id(t), 0.0),
        )
        for t in targets
    ]
    return unflatten(wrt, found)


def make_flow(
    loss: Tensor,
    wrt: Sequence[Tensor],
    params: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    intervals: Intervals | None = None,
    sizes: Mapping[str, int] | None = None,
    known: Mapping[Tensor, Facts] | None = None,
) -> Flow:
    """Return the passages of gradients, given arrays or intervals by name.

    The arguments are those of ``gradient_bound``; and ``known``, what is known of
    nodes that are no leaves.
    """
    order = topological([loss])
    leaves = [t for t in order if isinstance(t.op, Input | Param)]
    named = {name_of(t): t for t in leaves}
    inputs = ", ".join(repr(n) for n, t in named.items() if isinstance(t.op, Input))
    for what, given in (("data", data), ("intervals", intervals)):
        for name in given or {}:
            if name not in named:
                raise GraphError(
                    f"{what}: the loss has no input {name!r}; it has {inputs}"
                )
    values = init(loss) if params is None else params
    arrays: dict[Tensor, np.ndarray] = {}
    for t in leaves:
        source = values if isinstance(t.op, Param) else (data or {})
        if name_of(t) in source:
            arrays[t] = np.asarray(source[name_of(t)])
        elif isinstance(t.op, Param):
            raise GraphError(f"params has no array for {t.name!r}")
    found = _sizes(leaves, arrays) | dict(sizes or {})
    _add_unknown(order, leaves, found)
    facts: dict[Tensor, Facts] = {t: Known(a) for t, a in arrays.items()}
    for name, span in (intervals or {}).items():
        t = named[name]
        shape = tuple(evaluate(s, found) for s in t.shape)
        facts.setdefault(t, Facts(shape, *_span(name, span)))
    return Flow([loss], wrt, facts | dict(known or {}), found)


def _add_unknown(
    order: Sequence[Tensor], leaves: Sequence[Tensor], sizes: dict[str, int]
) -> None:
    """Add sizes that nothing tells: 1, or the least that leaves no tensor empty."""
    every = dict.fromkeys(n for t in leaves for size in t.shape for n in names(size))
    unknown = [n for n in every if n not in sizes]
    sizes |= dict.fromkeys(unknown, 1)
    derived = {s for t in order for s in t.shape if not isinstance(s, int)}
    for _ in range(MOST_SIZE):
        if not unknown or all(evaluate(s, sizes) > 0 for s in derived):
            return
        for n in unknown:
            sizes[n] += 1
    sizes |= dict.fromkeys(unknown, 1)


def _check(loss: Any) -> None:
    if not isinstance(loss, Tensor):
        raise GraphError(
            f"sg.gradient_bound takes a loss, not {type(loss).__name__} {loss!r}"
        )
    if loss.shape != () or not dtypes.is_float(loss.dtype):
        raise ShapeError(
            f"sg.gradient_bound takes a scalar, but {loss.describe()} has the shape "
            f"{print_shape(loss.shape)}; take its mean"
        )


def _span(name: str, span: Any) -> tuple[float, float]:
    try:
        low, high = map(float, span)
    except (TypeError, ValueError):
        low, high = math.nan, math.nan
    if not low <= high:
        raise GraphError(
            f"intervals: {name!r} needs (least, greatest), such as (0, 1), not {span!r}"
        )
    return low, high


def _sizes(
    leaves: Sequence[Tensor], arrays: Mapping[Tensor, np.ndarray]
) -> dict[str, int]:
    found: dict[str, int] = {}
    for t in leaves:
        if t not in arrays:
            continue
        shape = arrays[t].shape
        fixed = [s if isinstance(s, int) else None for s in t.shape]
        if len(shape) != t.ndim or any(
            f not in (None, s) for f, s in zip(fixed, shape, strict=True)
        ):
            raise ShapeError(
                f"the array for {t.describe()} has the shape {print_shape(shape)}"
            )
        for size, n in zip(t.shape, shape, strict=True):
            if not isinstance(size, int) and len(names(size)) == 1:
                (name,) = names(size)
                if repr(size) == name:
                    found[name] = n
    return found


def _given(flow: Flow, data: Mapping[str, Any], intervals: Intervals) -> str:
    parts = []
    for t in flow.order:
        if isinstance(t.op, Input) and dtypes.is_float(t.dtype):
            low, high = flow.facts[t].domain
            if name_of(t) in data or name_of(t) in intervals:
                parts.append(f"{t.name} in [{low:.3g}, {high:.3g}]")
            else:
                parts.append(f"any {t.name}")
    parts += [f"{n} = {v}" for n, v in sorted(flow.sizes.items())]
    return ", ".join(parts)


# -- the product -----------------------------------------------------------------------


def _chain(flow: Flow, into: Mapping[int, list[Edge]], t: Tensor) -> list[Factor]:
    """Return the factors from the loss to a tensor; parallel paths are one factor."""
    if id(t) not in into and t is not flow.loss:
        return []
    meeting = meetings(flow, into)
    memo: dict[tuple[int, int], tuple[Factor, ...]] = {}

    def chain(t: Tensor, end: Tensor) -> tuple[Factor, ...]:
        """Return the factors from ``end``, by which every path passes, to ``t``."""
        key = (id(t), id(end))
        if key not in memo:
            found: list[tuple[Factor, ...]] = []
            while t is not end:
                then = meeting[id(t)]
                found.append(segment(t, then))
                t = then
            memo[key] = tuple(f for part in reversed(found) for f in part)
        return memo[key]

    def segment(t: Tensor, then: Tensor) -> tuple[Factor, ...]:
        edges = into[id(t)]
        paths = tuple((*chain(e.node, then), _factor(e)) for e in edges)
        if len(paths) == 1:
            return paths[0]
        value = sum(product(p) for p in paths)
        return (Factor(_where(then), "", value, paths),)

    return list(chain(t, flow.loss))


def meetings(flow: Flow, into: Mapping[int, list[Edge]]) -> dict[int, Tensor]:
    """Return for each tensor the first node that all its paths to the loss pass.

    It is the immediate post-dominator (Cooper, Harvey & Kennedy 2001).
    """
    found: dict[int, Tensor] = {}
    place = flow.place

    def common(a: Tensor, b: Tensor) -> Tensor:
        while a is not b:
            if place[id(a)] < place[id(b)]:
                a = found[id(a)]
            else:
                b = found[id(b)]
        return a

    for node in reversed(flow.order):
        edges = into.get(id(node))
        if edges:
            first, *rest = [e.node for e in edges]
            for other in rest:
                first = common(first, other)
            found[id(node)] = first
    return found


def product(factors: Sequence[Factor]) -> float:
    """Return the product of the factors' values."""
    total = 1.0
    for f in factors:
        total = times(total, f.value)
    return total


def _factor(e: Edge) -> Factor:
    return Factor(_where(e.node), e.says, e.factor)


def _where(t: Tensor) -> str:
    return t.scope or t.name or op_name(t.op)


def _inline(factor: Factor) -> str:
    """Return parallel paths as a sum of products: ``1 + 1/4·‖W‖…``."""
    parts = []
    for path in sorted(factor.paths, key=len):
        named = [f for f in path if f.paths or not _is_one(f.value)]
        if not named:
            parts.append("1")
        elif len(named) <= 3 and not any(f.paths for f in named):
            parts.append("·".join(_number(f.value) for f in named))
        else:
            parts.append(_number(product(path)))
    return " + ".join(parts)


def _paths(factors: Sequence[Factor]) -> Iterator[tuple[Factor, ...]]:
    if not factors:
        yield ()
        return
    first, rest = factors[0], factors[1:]
    heads: Iterator[tuple[Factor, ...]]
    if first.paths:
        heads = (head for path in first.paths for head in _paths(path))
    else:
        heads = iter([(first,)])
    for head in heads:
        for tail in _paths(rest):
            yield (*head, *tail)


def _is_one(v: float) -> bool:
    return math.isclose(v, 1, rel_tol=1e-5)


def _number(v: float) -> str:
    return f"{v:.4g}" if math.isfinite(v) else "∞"

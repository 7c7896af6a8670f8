"""Folding: large graphs by scope, repeated layers as one with their number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from symgrad.declare.bodies import sibling_key
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.tensor import Input, Param, Tensor
from symgrad.drawing.condense import Boxes
from symgrad.drawing.groups import grouped, places
from symgrad.drawing.loops import is_loop, result_of
from symgrad.drawing.scopes import Frames
from symgrad.errors import GraphError

#: More boxes than this are folded.
READABLE = 48
REPEATED = 3
#: And more than this, whatever their scopes, are joined with their neighbours.
MANY = 96
#: So many folded scopes tell enough; fewer are opened one level more.
ENOUGH = 6


@dataclass(eq=False)
class Unit:
    """What is drawn as one: a box or leaf, or the scopes that are folded into it."""

    key: str
    heads: list[Tensor]
    scopes: list[str]  # empty for a box or leaf of its own
    parts: list[Unit] = field(default_factory=list)  # neighbours in a group

    @property
    def folded(self) -> bool:
        """True if it stands for whole scopes, or for neighbours."""
        return bool(self.scopes or self.parts)


def fold(boxes: Boxes, collapse: str | None, joined: bool) -> dict[Tensor, Unit]:
    """Return the unit of each head and leaf.

    ``joined`` folds repeated scopes into one; else they stay apart, or are joined with
    their neighbours where there are too many.

    Raises:
        GraphError: ``collapse`` is none of its values.
    """
    if collapse not in ("auto", "scope", None):
        raise GraphError(
            f"collapse={collapse!r} is unknown; use 'auto' (fold large graphs), "
            "'scope' (fold every scope) or None (fold nothing)"
        )
    shown = [*boxes.leaves, *boxes.boxes]
    depth = _depth(shown, boxes.frames, collapse)
    if depth is None:
        units = {t: Unit(f"n{k}", [t], []) for k, t in enumerate(shown)}
        _join_results(boxes, units)
        return units
    units = _by_scope(shown, boxes.frames, depth)
    _join_results(boxes, units)
    if joined:
        _repeat(boxes, units)
    if len(set(units.values())) > MANY:
        _group(boxes, units)
    return units


def _group(boxes: Boxes, units: dict[Tensor, Unit]) -> None:
    """Join neighbours until few enough are left."""
    place = places(boxes)
    shown = dict.fromkeys(units[t] for t in boxes.boxes)
    first = {u: min(place[h] for h in u.heads) for u in shown}

    def around(parts: list[Unit]) -> Unit:
        heads = [h for u in parts for h in u.heads]
        return Unit(f"g{parts[0].key}", heads, [], parts)

    for unit in grouped(sorted(first, key=first.__getitem__), READABLE, around):
        if unit.parts:
            units |= dict.fromkeys(unit.heads, unit)
    _take_in(boxes, units)


def _take_in(boxes: Boxes, units: dict[Tensor, Unit]) -> None:
    """Put leaves that only one group of neighbours reads into it."""
    readers: dict[Tensor, set[Unit]] = {}
    for head, box in boxes.boxes.items():
        for s in box.sources:
            readers.setdefault(s, set()).add(units[head])
    for leaf in boxes.leaves:
        (unit, *others) = readers.get(leaf) or [units[leaf]]
        if unit.parts and not others and not isinstance(leaf.op, Input):
            unit.heads.append(leaf)
            units[leaf] = unit


def _join_results(boxes: Boxes, units: dict[Tensor, Unit]) -> None:
    """Show the results of one loop, and parts of them, as one box."""
    firsts: dict[object, Unit] = {}
    for t in boxes.boxes:
        if is_loop(t) and not units[t].folded:
            first = firsts.setdefault(sibling_key(t), units[t])
            if first is not units[t]:
                first.heads.append(t)
                units[t] = first
        elif (s := result_of(boxes.boxes[t])) is not None and not units[s].folded:
            units[s].heads.append(t)
            units[t] = units[s]


def _depth(shown: Sequence[Tensor], frames: Frames, collapse: str | None) -> int | None:
    """Return how many components of the scopes stay apart; None folds nothing."""
    if collapse is None or (collapse == "auto" and len(shown) <= READABLE):
        return None
    if collapse == "scope":
        return 1
    if _count(shown, frames, 1) >= ENOUGH:
        return 1
    deepest = max((frames.of(t).count("/") + 1 for t in shown), default=1)
    depths = range(deepest, 1, -1)
    found = (d for d in depths if _count(shown, frames, d) <= READABLE)
    many = (d for d in reversed(depths) if _count(shown, frames, d) >= ENOUGH)
    return next(found, None) or next(many, 1)


def _count(shown: Sequence[Tensor], frames: Frames, depth: int) -> int:
    return len({_prefix(t, frames, depth) or id(t) for t in shown})


def _prefix(t: Tensor, frames: Frames, depth: int) -> str:
    return "/".join(frames.of(t).split("/")[:depth])


def _by_scope(
    shown: Sequence[Tensor], frames: Frames, depth: int
) -> dict[Tensor, Unit]:
    units: dict[Tensor, Unit] = {}
    scopes: dict[str, Unit] = {}
    for k, t in enumerate(shown):
        prefix = _prefix(t, frames, depth)
        if not prefix:
            units[t] = Unit(f"n{k}", [t], [])
            continue
        unit = scopes.setdefault(prefix, Unit(f"s{len(scopes)}", [], [prefix]))
        unit.heads.append(t)
        units[t] = unit
    return units


def _repeat(boxes: Boxes, units: dict[Tensor, Unit]) -> None:
    """Join runs of equal folded scopes, each of which reads the one before."""
    order = [u for u in dict.fromkeys(units[h] for h in boxes.boxes) if u.folded]
    shapes = {u: _signature(boxes, u) for u in order}
    run: list[Unit] = []
    for u in [*order, None]:
        follows = u is not None and run and shapes[u] == shapes[run[-1]]
        if follows and u is not None and _reads(boxes, units, u, run[-1]):
            run.append(u)
            continue
        if len(run) >= REPEATED:
            _join(run, units)
        run = [u] if u is not None else []


def runs(boxes: Boxes) -> list[list[str]]:
    """Return the paths of repeated scopes that follow each other, at every depth."""
    shown = [*boxes.leaves, *boxes.boxes]
    paths = [path for t in shown if (path := boxes.frames.of(t))]
    deepest = max((path.count("/") + 1 for path in paths), default=0)
    found = []
    for depth in range(1, deepest + 1):
        units = _by_scope(shown, boxes.frames, depth)
        _repeat(boxes, units)
        for unit in dict.fromkeys(units.values()):
            inner = all(p.count("/") == depth - 1 for p in unit.scopes)
            outer = {p.rpartition("/")[0] for p in unit.scopes}
            if len(unit.scopes) > 1 and inner and len(outer) == 1:
                found.append(unit.scopes)
    return found


def _join(run: list[Unit], units: dict[Tensor, Unit]) -> None:
    first = run[0]
    for u in run[1:]:
        first.scopes += u.scopes
        first.heads += u.heads
        units |= dict.fromkeys(u.heads, first)


def _reads(boxes: Boxes, units: dict[Tensor, Unit], later: Unit, earlier: Unit) -> bool:
    return any(
        units[s] is earlier
        for h in later.heads
        if h in boxes.boxes
        for s in boxes.boxes[h].sources
    )


def _signature(boxes: Boxes, unit: Unit) -> tuple:
    """Return what a scope computes, but for names and for where it reads."""
    number: dict[Tensor, int] = {}
    rows = []
    for h in unit.heads:
        members = boxes.boxes[h].members if h in boxes.boxes else [h]
        for t in members:
            if isinstance(t.op, Comprehension):
                what: object = t.op
            else:
                frozen = isinstance(t.op, Param) and not t.op.trainable
                what = (type(t.op).__name__, frozen)
            places = tuple(number.get(a, a.shape) for a in t.args)
            number[t] = len(number)
            rows.append((what, t.shape, t.dtype, places))
    return tuple(rows)

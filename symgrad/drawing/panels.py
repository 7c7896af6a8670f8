"""The panels of a road map, from residual sums and their measured shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from symgrad.declare.comprehension import Comprehension
from symgrad.declare.tensor import Tensor, op_name
from symgrad.drawing.colours import LogScale, number
from symgrad.drawing.condense import condense
from symgrad.drawing.highways import (
    SHORTCUT,
    Share,
    all_cotangents,
    local_derivative,
    road_factor,
    shares,
)
from symgrad.drawing.labels import QUIET, Labels, fitting, shape_text, shortened
from symgrad.drawing.measure import norms
from symgrad.drawing.residuals import Residual, Road, roads, without_residuals
from symgrad.drawing.roadmap import ENDS, MANY, Block, Panel, Roadmap, Row
from symgrad.errors import GraphError, ShapeError

PANELS = 3
#: Characters of a block's title.
LONGEST = 24
Arrays = Mapping[str, Any] | None


def roadmap(
    t: Tensor,
    data: Arrays,
    params: Arrays,
    compare: str | None,
    collapse: str | None = "auto",
) -> Roadmap:
    """Return the residual roads of a loss, with or without the plain model beside."""
    if t.shape != ():
        raise ShapeError(
            f"a gradient is of a scalar; {t.describe()} must be summed first"
        )
    found = roads(t)
    if not found:
        raise GraphError(
            f"{t.describe()} has no residual sum to draw as a highway: no term of a "
            "sum is computed from another, as in x + f(x); view='flow' draws any model"
        )
    names = _Names(t)
    shown = found[:1] if compare else found[:PANELS]
    residuals = [r for road in shown for r in road.residuals]
    measured = {s.residual: s for s in shares(t, residuals, data, params)}
    panels = [_with(names, road, measured, bool(compare)) for road in shown]
    panels = [p for p in panels if p.rows]
    if compare:
        panels.append(_without(names, t, shown[0], data, params))
    sizes = [v for p in panels for v in _sizes(p)]
    if collapse is not None:
        panels = [_shortened(p) for p in panels]
    return Roadmap(panels, LogScale(sizes))


def _sizes(panel: Panel) -> list[float]:
    parts = [v for r in panel.rows for v in (r.road, r.whole) if v is not None]
    return [panel.last, *parts, *(b.size for r in panel.rows for b in r.blocks)]


class _Names:
    """The words of a picture: what nodes are called and blocks consist of."""

    def __init__(self, t: Tensor) -> None:
        self.boxes = condense([t])
        self.labels = Labels(self.boxes, t)
        self.end = f"loss {self.labels.shown(t)}"

    def node(self, t: Tensor) -> str:
        """Return the shape, and the name: the scope or a word where it has none."""
        scope = t.scope.rpartition("/")[2]
        name = t.name or scope or self.labels.titles.get(t) or op_name(t.op)
        return shortened(f"{name}   {shape_text(t)}".strip(), 32)

    def blocks(self, r: Residual, place: int, sizes: Sequence[float]) -> list[Block]:
        """Return the blocks of a sum with what is inside them."""
        made = []
        for n, branch in enumerate(r.blocks):
            inside = [m for m in branch.members if m in self.boxes.boxes]
            titles = (self.labels.titles[m] for m in inside)
            words = [w for w in titles if w not in QUIET]
            title = _path(r.name)
            if title == "f":
                title = f"f{place}"
            if len(r.blocks) > 1:
                title += f" ({n + 1})"
            hover = "\n".join(self.labels.detail(m) for m in inside[:20])
            detail = fitting(_runs(words), " · ", 34)
            made.append(
                Block(shortened(title, LONGEST), detail, hover or title, sizes[n])
            )
        return made

    def station(self, nodes: Sequence[Tensor]) -> str:
        """Return the word for what lies on the road between two sums."""
        if not nodes:
            return ""
        functions = [n.op.body.fn for n in nodes if isinstance(n.op, Comprehension)]
        if "sqrt" in functions or "rsqrt" in functions:
            return "normalise"
        words = [self.labels.titles[n] for n in nodes if n in self.boxes.boxes]
        words = [w for w in words if w] or [op_name(nodes[-1].op)]
        return shortened(" · ".join(_runs(words)), 26)


def _path(scope: str) -> str:
    """Return a scope as a title: a long one by its first and its last part."""
    parts = scope.split("/")
    title = " · ".join(parts)
    return title if len(title) <= LONGEST else " · ".join([parts[0], "…", parts[-1]])


def _runs(words: Sequence[str]) -> list[str]:
    """Return the words without repetitions of one after itself."""
    return [w for n, w in enumerate(words) if n == 0 or w != words[n - 1]]


def _with(
    names: _Names, road: Road, measured: Mapping[Residual, Share], compared: bool
) -> Panel:
    """Return a road with its blocks beside it."""
    rows = []
    for n, (r, way) in enumerate(zip(road.residuals, road.stations, strict=True), 1):
        s = measured.get(r)
        if s is None:
            continue
        factor = road_factor(r)
        plates = {"1": "", SHORTCUT: names.station(r.road.members)}
        factor = plates.get(factor, factor)
        rows.append(
            Row(
                names.blocks(r, n, s.blocks), s.road, s.whole, local_derivative(r),
                factor, names.station(way),
            )
        )  # fmt: skip
    if compared:
        title = "With residuals"
    elif road.owner is None:
        title = "Residual stream"
    else:
        title = f"Inside {road.owner.name}"
    subtitle, note = _summary(rows)
    first, last = road.residuals[0], road.residuals[-1]
    size = measured[last].arriving if last in measured else 0.0
    return Panel(title, subtitle, names.node(first.stream), names.end, rows, size, note)


def _summary(rows: Sequence[Row]) -> tuple[str, str]:
    """Return the derivative that most sums have, and the gradient at the start."""
    if not rows:
        return "", ""
    ((kind, count),) = Counter(r.derivative for r in rows).most_common(1)
    of = "" if count == len(rows) else f"{count} of "
    where = f"   at {of}{len(rows)} residual sums" if len(rows) > 1 else ""
    return f"∂y/∂x = {kind}{where}", f"‖∂L/∂x‖ at the start: {number(rows[0].whole)}"


def _without(
    names: _Names, t: Tensor, road: Road, data: Arrays, params: Arrays
) -> Panel:
    """Return the same blocks one after the other, without the road."""
    known = without_residuals(t)
    plain = known[t]
    ends = [known[r.stream] for r in road.residuals] + [known[road.residuals[-1].add]]
    cotangents = all_cotangents(plain, ends)
    live = [e for e in dict.fromkeys(ends) if e in cotangents]
    sizes = norms(plain, [cotangents[e] for e in live], data, params)
    size = dict(zip(live, sizes, strict=True))
    rows = []
    parts = zip(road.residuals, road.stations, ends, strict=False)
    for n, (r, way, end) in enumerate(parts, 1):
        norm = size.get(end, 0.0)
        blocks = names.blocks(r, n, [norm] * len(r.blocks))
        rows.append(Row(blocks, None, norm, station=names.station(way)))
    start, note = names.node(road.residuals[0].stream), _summary(rows)[1]
    subtitle, last = "∂y/∂x = ∂f/∂x:   the factors multiply", size.get(ends[-1], 0.0)
    return Panel("Without residuals", subtitle, start, names.end, rows, last, note)


def _shortened(panel: Panel) -> Panel:
    """Show a very long road by its first and last sums."""
    if len(panel.rows) > MANY:
        inner = panel.rows[ENDS:-ENDS]
        shares = [
            r.road / (r.road + sum(b.size for b in r.blocks)) for r in inner if r.road
        ]
        note = f"⋮  {len(inner)} more sums"
        if shares:
            note += f", {min(shares):.0%} to {max(shares):.0%} by the road"
        else:
            note += (
                f", ‖∂L/∂x‖ from {number(inner[0].whole)} to {number(inner[-1].whole)}"
            )
        panel.rows[ENDS:-ENDS] = [Row([], None, 0.0, note=note)]
    return panel

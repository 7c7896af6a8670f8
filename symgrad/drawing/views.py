"""The three views of a graph, as figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from symgrad.declare.build import elementwise
from symgrad.declare.tensor import Param, Tensor, constant, topological
from symgrad.derivation.reverse import Adjoints, check_wrt, flatten, reverse
from symgrad.drawing.colours import BACKWARD, FAINT, FORWARD, LogScale, number, on_scale
from symgrad.drawing.condense import Boxes, condense
from symgrad.drawing.dot import Edge, Figure, Node
from symgrad.drawing.fold import Unit, fold
from symgrad.drawing.labels import (
    LONGEST,
    Labels,
    Local,
    leaf_kind,
    scope_of,
    shape_text,
    shortened,
)
from symgrad.drawing.loops import is_loop, words_of
from symgrad.drawing.measure import norms
from symgrad.errors import GraphError, ShapeError
from symgrad.notation.render import unicode_text


class Graph:
    """A graph as boxes, folded, with names: what the views have in common."""

    def __init__(
        self, t: Tensor, collapse: str | None, joined: bool = True, folded: bool = True
    ) -> None:
        self.output = t
        self.boxes: Boxes = condense([t], each=collapse is None)
        if not self.boxes.boxes and not self.boxes.leaves:
            self.boxes.leaves.append(t)
        self.units: dict[Tensor, Unit] = fold(
            self.boxes, collapse if folded else None, joined
        )
        self.labels = Labels(self.boxes, t)

    def shown(self) -> list[Unit]:
        """Return every unit once, in order."""
        return list(dict.fromkeys(self.units.values()))

    def node(self, unit: Unit) -> Node:
        """Return the shape of a unit."""
        if unit.folded:
            return self._folded(unit)
        t = unit.heads[0]  # the only one, or the first result of a loop
        labels = self.labels
        if t not in self.boxes.boxes:
            kind = leaf_kind(t)
            title = labels.shown(t) + (" (frozen)" if kind == "frozen" else "")
            return Node(unit.key, kind, title, shape_text(t), scope_of(t), t.describe())
        kind = "output" if t is self.output else "op"
        if is_loop(t):
            return self._loop(unit, t, kind)
        whole = labels.detail(t)
        return Node(
            unit.key, kind, labels.titles[t], shortened(whole), scope_of(t), whole
        )

    def _loop(self, unit: Unit, t: Tensor, kind: str) -> Node:
        """Return a loop as a box of what it repeats: its step, or what is in that."""
        labels = self.labels
        lines = [f"{left} = {unicode_text(f)}" for left, f in labels.equations(t)]
        whole = labels.step_line(t)
        short = whole is not None and len(whole) <= LONGEST
        words = ", ".join(words_of(labels.step(t)[0]))
        title, detail = labels.titles[t], whole if whole and short else words
        hover = "\n".join([labels.detail(t), *lines])
        return Node(unit.key, kind, title, shortened(detail), scope_of(t), hover, 2)

    def _folded(self, unit: Unit) -> Node:
        inside = [h for h in unit.heads if h in self.boxes.boxes]
        count = max(len(unit.scopes), 1)  # of equal layers
        words = [self.labels.titles[h] for h in inside[: len(inside) // count or 1]]
        words = [w for w, _ in Counter(filter(None, words)).most_common()]
        params = sum(isinstance(h.op, Param) for h in unit.heads) // count
        held = [f"{params} parameter{'s' if params != 1 else ''}"] if params else []
        if unit.parts:
            held.insert(0, f"{len(inside)} operations")
        detail = " · ".join([*filter(None, [shortened(", ".join(words))]), *held])
        hover = "\n".join(self.labels.detail(h) for h in inside[:20])
        title = self.name_of(unit) + (f"  × {count}" if count > 1 else "")
        return Node(unit.key, "fold", title, detail, "", hover, count)

    def name_of(self, unit: Unit) -> str:
        """Return what a unit is called: by its scopes, or by its ends."""
        if unit.parts:
            first, last = unit.parts[0], unit.parts[-1]
            while first.parts:
                first = first.parts[0]
            while last.parts:
                last = last.parts[-1]
            return f"{self.name_of(first)} … {self.name_of(last)}"
        if not unit.scopes:
            return self.labels.shown(unit.heads[0])
        start, end = unit.scopes[0], unit.scopes[-1].rpartition("/")[2]
        return start if len(unit.scopes) == 1 else f"{start} … {end}"

    def returns(self) -> list[Edge]:
        """Return the line by which each loop goes back to itself, with its carries."""
        found = []
        for unit in self.shown():
            t = unit.heads[0]
            if not unit.folded and is_loop(t):
                step, _ = self.labels.step(t)
                carries = ", ".join(step.names[c] for c in step.loop.carries)
                found.append(Edge(unit.key, unit.key, FORWARD, carries))
        return found

    def links(self) -> list[tuple[Tensor, Unit]]:
        """Return (source, reading unit) for each edge between units, once."""
        found: dict[tuple[Tensor, Unit], None] = {}
        for head, box in self.boxes.boxes.items():
            for s in box.sources:
                if self.units[s] is not self.units[head]:
                    found[s, self.units[head]] = None
        return list(found)

    def passes(self) -> set[tuple[Tensor, Unit]]:
        """Return the edges that pass through the row of a layer's parameters."""
        found = set()
        for head, box in self.boxes.boxes.items():
            above = [s for s in box.sources if s in self.boxes.boxes]
            params = [s for s in box.sources if isinstance(s.op, Param)]
            if above and params and not any(self.units[p].folded for p in params):
                found.add((above[-1], self.units[head]))
        return found

    def forward_edge(self, source: Tensor, unit: Unit, colour: str = FORWARD) -> Edge:
        """Return the edge along which a value goes, with its shape."""
        shape = shape_text(source) if source in self.boxes.boxes else ""
        weight = 1 if isinstance(source.op, Param) else 8
        return Edge(
            self.units[source].key, unit.key, colour, shape, hover=source.describe(),
            weight=weight,
        )  # fmt: skip


def forward(t: Tensor, collapse: str | None) -> Figure:
    """Return the declared graph."""
    graph = Graph(t, collapse)
    nodes = [graph.node(u) for u in graph.shown()]
    figure = Figure(nodes, graph.returns())
    passes = graph.passes()
    for source, unit in graph.links():
        figure.add(graph.forward_edge(source, unit), (source, unit) in passes)
    return figure


# -- gradients ---------------------------------------------------------------------


class Backward:
    """A graph with the cotangents of its boxes, and what each box sends to a source."""

    def __init__(
        self,
        t: Tensor,
        wrt: Any,
        collapse: str | None,
        joined: bool = True,
        folded: bool = True,
    ) -> None:
        if t.shape != ():
            raise ShapeError(
                f"a gradient is of a scalar; {t.describe()} must be summed first"
            )
        targets = flatten(wrt) if wrt is not None else _trainable(t)
        check_wrt(targets, [t])
        self.targets = set(targets)
        self.graph = Graph(t, collapse, joined, folded)
        self.adjoints: Adjoints = reverse([t], targets, [constant(1.0, t.dtype)])
        self.parts = self._parts()

    def _parts(self) -> dict[tuple[Tensor, Tensor], Tensor]:
        """Return what each box sends to each source: (head, source) -> tensor."""
        owner, known = self.graph.boxes.owner, self.graph.units
        found: dict[tuple[Tensor, Tensor], Tensor] = {}
        for node, operand, part in self.adjoints.edges:
            if node not in owner:
                continue
            for source, way in self._arriving(operand, part):
                key = (owner[node], source)
                if source in known and key[0] is not source:
                    before = found.get(key)
                    whole = way if before is None else elementwise("add", before, way)
                    found[key] = whole
        return found

    def _arriving(self, t: Tensor, part: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return what comes to the leaves, where ``t`` is one that was only moved."""
        if t in self.graph.units or t in self.graph.boxes.owner:
            return [(t, part)]
        back = reverse([t], list(self.targets), [part]).cotangents
        return [(leaf, back[leaf]) for leaf in self.targets if leaf in back]

    def sent(self) -> dict[tuple[Tensor, Unit], Tensor]:
        """Return what each unit sends to each source outside it."""
        found: dict[tuple[Tensor, Unit], Tensor] = {}
        units = self.graph.units
        for (head, source), part in self.parts.items():
            key = (source, units[head])
            if units[source] is not units[head]:
                before = found.get(key)
                found[key] = (
                    part if before is None else elementwise("add", before, part)
                )
        return found


def _trainable(t: Tensor) -> list[Tensor]:
    found = [n for n in topological([t]) if isinstance(n.op, Param) and n.op.trainable]
    if not found:
        raise GraphError(
            f"{t.describe()} depends on no trainable parameter; say by what to derive "
            "it: wrt=[…]"
        )
    return found


def gradient(t: Tensor, wrt: Any, collapse: str | None) -> Figure:
    """Return the forward graph and, beside it, the backward graph."""
    back = Backward(t, wrt, collapse)
    graph = back.graph
    figure = Figure([graph.node(u) for u in graph.shown()], graph.returns())
    passes = graph.passes()
    for source, unit in graph.links():
        figure.add(graph.forward_edge(source, unit), (source, unit) in passes)
    mirrored = _mirror(back, figure)
    texts: dict[Tensor, dict[Tensor, Local]] = {}
    for head, source in back.parts:
        above, below = graph.units[source], graph.units[head]
        if above is below:
            continue
        if head not in texts and not below.folded:
            box = graph.boxes.boxes[head]
            texts[head] = graph.labels.locals(box, final=head is t)
        local = texts[head].get(source) if head in texts else None
        label = local.text if local is not None else ""
        start = graph.units[head].key if head is t else mirrored[below]
        figure.add(
            Edge(
                mirrored[above], start, BACKWARD, shortened(label, 40), "#a34700",
                back=True, hover=label, weight=1 if source in back.targets else 8,
            ),
            (source, below) in passes and head is not t,
        )  # fmt: skip
    return figure


def _mirror(back: Backward, figure: Figure) -> dict[Unit, str]:
    """Add a cotangent beside each unit that has one; return their keys."""
    graph = back.graph
    found: dict[Unit, str] = {}
    for _, source in back.parts:
        unit = graph.units[source]
        if unit in found:
            continue
        key = found[unit] = f"g{unit.key}"
        kind = "result" if source in back.targets else "cotangent"
        if unit.folded:
            title, detail, scope = f"∂L/∂({graph.name_of(unit)})", "", ""
        else:
            title, detail = f"∂L/∂{graph.labels.shown(source)}", shape_text(source)
            scope = scope_of(source)
        figure.nodes.append(Node(key, kind, title, detail, scope))
        if kind == "cotangent":
            figure.beside.append((unit.key, key))
    return found


def flow(
    t: Tensor,
    wrt: Any,
    data: Mapping[str, Any] | None,
    params: Mapping[str, Any] | None,
    collapse: str | None,
) -> Figure:
    """Return the graph with the measured size of the gradient on every edge."""
    # layers in a row stay apart: how the gradient changes along them is the point
    back = Backward(t, wrt, collapse, joined=False)
    graph = back.graph
    sent = back.sent()
    sizes = dict(zip(sent, norms(t, list(sent.values()), data, params), strict=True))
    scale = LogScale(list(sizes.values()))
    figure = Figure(
        [graph.node(u) for u in graph.shown()], graph.returns(), scale=scale
    )
    passes = graph.passes()
    figure.caption = "‖gradient‖ on each edge, dark = large"
    for source, unit in graph.links():
        size = sizes.get((source, unit))
        if size is None:
            edge = graph.forward_edge(source, unit, FAINT)
            edge.label, edge.style = "", "dashed"
        else:
            edge = _flow_edge(graph, source, unit, size, scale)
        figure.add(edge, (source, unit) in passes)
    return figure


def _flow_edge(
    graph: Graph, source: Tensor, unit: Unit, size: float, scale: LogScale
) -> Edge:
    """Return an edge as wide and as bright as the gradient along it is large."""
    edge = graph.forward_edge(source, unit)
    place = scale.place(size)
    edge.back = True
    edge.label = number(size)
    edge.hover = f"‖∂L/∂{graph.labels.shown(source)}‖ = {size:.6g} along this edge"
    if place is None:  # vanished, or not finite: no place on a logarithmic scale
        edge.colour, edge.style, edge.text = "#6b7280", "dotted", "#6b7280"
        return edge
    edge.colour, edge.width = on_scale(place), 1.0 + 6.0 * place
    edge.text = "#1f2937"
    return edge

"""The three views of a graph, as figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from symgrad.declare.build import elementwise
from symgrad.declare.tensor import Param, Tensor, constant, topological
from symgrad.derivation.reverse import Adjoints, check_wrt, flatten, reverse
from symgrad.drawing.colours import BACKWARD, FAINT, LogScale, number, on_scale
from symgrad.drawing.copies import Copy
from symgrad.drawing.dot import Edge, Figure, Node
from symgrad.drawing.fold import Unit
from symgrad.drawing.graph import Graph
from symgrad.drawing.labels import (
    Local,
    shape_text,
    shortened,
)
from symgrad.drawing.loops import SUBSCRIPTS
from symgrad.drawing.measure import norms
from symgrad.errors import GraphError, ShapeError

#: What lines without a colour of the scale say.
STYLES = {
    "dashed": "dashed: no gradient goes back here",
    "dotted": "dotted: the gradient is 0 or not finite",
}


def forward(t: Tensor, collapse: str | None) -> Figure:
    """Return the declared graph."""
    graph = Graph(t, collapse)
    figure = Figure(graph.nodes(), graph.returns(), notes=graph.notes())
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
    figure = Figure(graph.nodes(), graph.returns(), notes=graph.notes())
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
        own = graph.units[head].key
        start = own if below is graph.units[t] else mirrored[below, own]
        figure.add(
            Edge(
                mirrored[above, graph.key(source, below)], start, BACKWARD,
                shortened(label, 40), "#a34700", back=True, hover=label,
                weight=1 if source in back.targets else 8,
            ),
            (source, below) in passes and head is not t,
        )  # fmt: skip
    arriving = Counter(e.tail for e in figure.edges if e.back)
    if any(count > 1 for count in arriving.values()):
        figure.notes.append("where gradients meet, they are added")
    _sum_up(back, mirrored, figure)
    return figure


Mirrored = dict[tuple[Unit, str], str]


def _mirror(back: Backward, figure: Figure) -> Mirrored:
    """Add a cotangent beside each unit that has one; return their keys.

    A leaf with copies has a term of its cotangent beside each of them.
    """
    graph = back.graph
    found: Mirrored = {}
    for place, sources in _reached(back).items():
        unit, own = place
        key = found[place] = f"g{own}"
        source, *more = sources
        copy = sources[source]
        kind = "result" if source in back.targets else "cotangent"
        names = ", ".join(map(graph.labels.shown, sources))
        title, detail = f"∂L/∂{names}", shape_text(source)
        scope = graph.scope(graph.units[source].heads[0])
        if copy is not None:
            kind, scope = "cotangent", copy.scope
            title = _term(graph, source, copy.number)
        elif unit.folded:
            title, detail, scope = f"∂L/∂({graph.name_of(unit)})", "", ""
        elif more:  # several results of a loop
            title, detail = f"∂L/∂({names})", ""
        figure.nodes.append(Node(key, kind, title, detail, scope))
        if kind == "cotangent" and copy is None:
            figure.beside.append((unit.key, key))
    return found


def _reached(back: Backward) -> dict[tuple[Unit, str], dict[Tensor, Copy | None]]:
    """Return what of each unit, and of each copy of a leaf, has a cotangent."""
    graph = back.graph
    found: dict[tuple[Unit, str], dict[Tensor, Copy | None]] = {}
    for head, source in back.parts:
        unit, reader = graph.units[source], graph.units[head]
        if unit is not reader:
            copy = graph.copies.get((source, reader))
            place = unit, copy.key if copy else unit.key
            found.setdefault(place, {})[source] = copy
    return found


def _term(graph: Graph, leaf: Tensor, number: int) -> str:
    """Return the name of a part of a leaf's gradient: ``(∂L/∂W)₂``."""
    return f"(∂L/∂{graph.labels.shown(leaf)}){str(number).translate(SUBSCRIPTS)}"


def _sum_up(back: Backward, mirrored: Mirrored, figure: Figure) -> None:
    """Add the gradient of each leaf with copies: the sum of the terms beside them."""
    graph = back.graph
    terms: dict[Tensor, dict[str, Copy]] = {}
    for (leaf, _), copy in graph.copies.items():
        if (graph.units[leaf], copy.key) in mirrored:
            terms.setdefault(leaf, {})[copy.key] = copy
    for leaf, copies in terms.items():
        ordered = sorted(copies.values(), key=lambda c: c.number)
        ends = [_term(graph, leaf, c.number) for c in ordered]
        if len(ends) > 2:
            ends[1:-1] = ["…"]
        title = f"∂L/∂{graph.labels.shown(leaf)} = {' + '.join(ends)}"
        unit, first = graph.units[leaf], ordered[0]
        key = f"g{unit.key}"
        figure.nodes.append(Node(key, "result", title, shape_text(leaf), first.scope))
        figure.add(Edge(key, f"g{first.key}", BACKWARD, back=True), False)


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
    figure = Figure(graph.nodes(), graph.returns(), scale=scale, notes=graph.notes())
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
    styles = {e.style for e in figure.edges}
    figure.notes += [said for style, said in STYLES.items() if style in styles]
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

"""Figures as DOT text: the one place that knows how things look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from symgrad.drawing.colours import CLUSTER, KINDS, LogScale, number, on_scale
from symgrad.drawing.columns import columns
from symgrad.drawing.layout import escape

FONT = "DejaVu Sans,Verdana,sans-serif"
NAME = 48  # characters of a frame's name
QUIET = "#4b5563"  # of what explains a picture
_HEAD = f"""\
digraph symgrad {{
  graph [rankdir=TB, nodesep=0.28, ranksep=0.42, pad=0.25, bgcolor=white, newrank=true,
         fontname="{FONT}", fontsize=10, splines=true];
  node [fontname="{FONT}", fontsize=11, shape=box, style="rounded,filled",
        margin="0.14,0.07", height=0.3, penwidth=1.1];
  edge [fontname="{FONT}", fontsize=9, arrowsize=0.65, penwidth=1.1];
"""


@dataclass
class Node:
    """A shape with a bold title, a second line, and the whole text on hovering."""

    key: str
    kind: str
    title: str
    detail: str = ""
    scope: str = ""
    hover: str = ""
    copies: int = 1


@dataclass
class Edge:
    """A line; ``back`` draws its arrow against the order of the ranks."""

    tail: str
    head: str
    colour: str
    label: str = ""
    text: str = "#6b7280"
    width: float = 1.1
    back: bool = False
    style: str = "solid"
    hover: str = ""
    weight: int = 1
    end: str = "normal"
    free: bool = False  # leads from one column to the next
    clip: str = ""  # the end that goes on: to the middle of a point in between


@dataclass
class Figure:
    """Everything that is drawn."""

    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    beside: list[tuple[str, str]] = field(default_factory=list)
    scale: LogScale | None = None
    caption: str = ""
    notes: list[str] = field(default_factory=list)
    direction: str = "auto"
    level: list[tuple[str, str]] = field(default_factory=list)
    _drawn: set[tuple[str, str, str]] = field(default_factory=set)

    def add(self, edge: Edge, passes: bool) -> None:
        """Add an edge, once; one that passes a row of parameters gets a place in it.

        Without a point inside the cluster the line would go around all of it.
        """
        key = (edge.tail, edge.head, edge.label)
        if key in self._drawn:
            return
        self._drawn.add(key)
        if not passes:
            self.edges.append(edge)
            return
        scope = next((n.scope for n in self.nodes if n.key == edge.head), "")
        self._pass(edge, scope)

    def _pass(self, edge: Edge, scope: str) -> str:
        """Add a point in a scope and an edge by way of it; return the point's key."""
        way = f"way{len(self.nodes)}"
        self.nodes.append(Node(way, "way", f"{edge.width:.2f}", edge.colour, scope))
        first = replace(edge, head=way, weight=400, clip="head")
        last = replace(edge, tail=way, label="", weight=400, clip="tail")
        if edge.back:
            last = replace(last, back=False, end="none")
        else:
            first = replace(first, end="none")
        self.edges += [first, last]
        return way

    def _stack(self) -> None:
        """Let frames stand below those that they read.

        Weights that are computed, as a product of two small ones, begin several ranks
        above where data come in; beside the layer before, were it not for a point
        beside them through which the data go.
        """
        frames: dict[str, _Frame] = {}
        frame = {n.key: n.scope.split("/")[0] for n in self.nodes}
        fed = {e.head for e in self.edges}
        for n in self.nodes:
            if frame[n.key] and n.key not in fed:
                frames.setdefault(frame[n.key], _Frame()).roots.append(n.key)
        for e in self.edges:
            inside = frames.get(frame[e.head])
            if inside and frame[e.tail] == frame[e.head]:
                inside.readers.setdefault(e.tail, []).append(e.head)
            elif inside and e.tail in fed:
                inside.entries.append(e)
        for name, f in frames.items():
            for e, root in f.deep_entries():
                self.edges.remove(e)
                self.level.append((self._pass(e, name), root))

    def dot(self) -> str:
        """Return the figure as DOT text."""
        self._stack()
        lines = [_HEAD]
        if self.direction == "right":
            lines.append("  graph [rankdir=LR];")
        if self.scale is not None or self.notes:
            lines.append(f"  graph [label=<{self._key()}>, labelloc=b, labeljust=l];")
        lines += _clusters(self.nodes)
        lines += (f"  {{ rank=same; {a}; {b}; }}" for a, b in self.level)
        for left, right in self.beside:
            lines.append(
                f"  {{ rank=same; {left}; {right}; }}\n"
                f"  {left} -> {right} [style=invis, weight=1];"
            )
        edges, more = self._in_columns()
        lines += [*map(_edge, edges), *more]
        return "\n".join([*lines, "}"]) + "\n"

    def _key(self) -> str:
        """Return what explains the picture, for its lower left corner."""
        rows = []
        if self.scale is not None:
            scale = ramp(self.scale, self.caption)
            rows.append(f'<tr><td align="left">{scale}</td></tr>')
        for note in self.notes:
            said = _small(escape(note, markup=True))
            rows.append(f'<tr><td align="left">{said}</td></tr>')
        return f'<table border="0" cellspacing="2">{"".join(rows)}</table>'

    def _in_columns(self) -> tuple[list[Edge], list[str]]:
        """Return the edges, and what sets a long picture in columns side by side."""
        found = None
        framed = any(n.scope for n in self.nodes)
        if self.direction == "auto" and not framed and not self.beside:
            links = [(e.tail, e.head) for e in self.edges]
            found = columns([n.key for n in self.nodes], links)
        if found is None:
            return self.edges, []
        free = [replace(e, free=found[e.tail] != found[e.head]) for e in self.edges]
        tops: dict[int, str] = {}
        for n in self.nodes:
            tops.setdefault(found[n.key], n.key)
        row = [tops[c] for c in sorted(tops)]
        ordered = " -> ".join(row)
        return free, [
            f"  {{ rank=same; {'; '.join(row)}; }}",
            f"  {ordered} [style=invis];",
        ]


@dataclass
class _Frame:
    """A scope: nodes that read no other, edges into it, and who reads whom inside."""

    roots: list[str] = field(default_factory=list)
    entries: list[Edge] = field(default_factory=list)
    readers: dict[str, list[str]] = field(default_factory=dict)

    def deep_entries(self) -> list[tuple[Edge, str]]:
        """Return the first edges into the frame that end deep below, and below what."""
        if not self.entries:
            return []
        after = {e.head: self._below(e.head) for e in self.entries}
        first = [
            e
            for e in self.entries
            if not any(e.head in after[o] for o in after if o != e.head)
        ]
        below = {r: self._below(r) for r in self.roots}
        found = []
        for e in first:
            ranks = {r: b[e.head] for r, b in below.items() if e.head in b}
            if ranks and min(ranks.values()) > 1:
                found.append((e, max(ranks, key=ranks.__getitem__)))
        return found

    def _below(self, key: str) -> dict[str, int]:
        """Return the nodes that edges lead to from a node, and how many it takes."""
        found, fresh, steps = {key: 0}, [key], 0
        while fresh:
            steps += 1
            reached = dict.fromkeys(h for k in fresh for h in self.readers.get(k, ()))
            fresh = [h for h in reached if h not in found]
            found |= dict.fromkeys(fresh, steps)
        return found


def _clusters(nodes: Sequence[Node]) -> list[str]:
    """Return the nodes inside the scopes that they belong to."""
    tree: dict = {"nodes": [], "scopes": {}}
    for n in nodes:
        place = tree
        for part in n.scope.split("/") if n.scope else ():
            place = place["scopes"].setdefault(part, {"nodes": [], "scopes": {}})
        place["nodes"].append(n)
    return _cluster_lines(tree, "", 1)


def _cluster_lines(tree: dict, path: str, depth: int) -> list[str]:
    pad = "  " * depth
    lines = [pad + _node(n) for n in tree["nodes"]]
    fill, line, text = CLUSTER
    for name, inner in tree["scopes"].items():
        whole = f"{path}/{name}" if path else name
        lines.append(
            f'{pad}subgraph "cluster_{escape(whole)}" {{\n'
            f'{pad}  label="{escape(_cut(name))}"; labelloc=t; labeljust=l; '
            f'fontcolor="{text}"; style="rounded,filled"; fillcolor="{fill}"; '
            f'color="{line}"; margin=10;'
        )
        lines += _cluster_lines(inner, whole, depth + 1)
        lines.append(pad + "}")
    return lines


def _cut(name: str) -> str:
    """Return a name, without its end where it is too long to stand in a frame."""
    return name if len(name) <= NAME else name[: NAME - 1] + "…"


def _node(n: Node) -> str:
    if n.kind == "way":
        # as wide as the line, so that its two halves, each of which may end a point
        # before the middle, look like one
        wide = float(n.title)
        high, shape = (2.4, "box") if wide < 2.4 else (wide + 0.3, "ellipse")
        size = f'width="{wide / 72:.4f}", height="{high / 72:.4f}", fixedsize=true'
        plain = f'shape={shape}, style=filled, penwidth=0, label="", {size}'
        return f'{n.key} [{plain}, fillcolor="{n.detail}"];'
    fill, line, text = KINDS[n.kind]
    parts = []
    if n.title:
        shown = escape(n.title, markup=True)
        parts.append(f"<b>{shown}</b>" if n.kind in ("op", "output", "fold") else shown)
    if n.detail:
        detail = escape(n.detail, markup=True)
        parts.append(f'<font point-size="9.5" color="{text}">{detail}</font>')
    label = "<br/>".join(parts)
    look = [f'fillcolor="{fill}"', f'color="{line}"', f'fontcolor="{text}"']
    look.append(f'tooltip="{escape(n.hover or n.detail or n.title)}"')
    if n.kind in ("frozen", "constant"):
        look.append('style="rounded,filled,dashed"')
    if n.copies > 1:
        look.append("peripheries=2")
    return f"{n.key} [label=<{label}>, {', '.join(look)}];"


def _edge(e: Edge) -> str:
    look = [f'color="{e.colour}"', f"penwidth={e.width:.2f}"]
    if e.label:
        room = " " * (1 + round(e.width / 2))  # beside the line, not on it
        look.append(f'label="{room}{escape(e.label)} ", fontcolor="{e.text}"')
    if e.back:
        look.append("dir=back")
    if e.end != "normal":
        look.append(f"arrowhead={e.end}")
    if e.clip:
        look.append(f"{e.clip}clip=false")
    if e.style != "solid":
        look.append(f"style={e.style}")
    if e.free:
        look.append("constraint=false")
    if e.weight != 1:
        look.append(f"weight={e.weight}")
    if e.hover:
        hover = escape(e.hover)
        look.append(f'tooltip="{hover}", labeltooltip="{hover}"')
    return f"  {e.tail} -> {e.head} [{', '.join(look)}];"


def ramp(scale: LogScale, caption: str) -> str:
    """Return the scale of colours with its ends, as a table."""
    steps = 12
    cells = "".join(
        f'<td bgcolor="{on_scale(k / (steps - 1))}" width="12" height="9"></td>'
        for k in range(steps)
    )
    ends = [escape(number(scale.value(p)), markup=True) for p in (0.0, 0.5, 1.0)]
    third = steps // 3
    texts = "".join(
        f'<td colspan="{third}" align="{side}">{_small(text)}</td>'
        for side, text in zip(("left", "center", "right"), ends, strict=True)
    )
    title = _small(escape(caption, markup=True))
    return (
        '<table border="0" cellborder="0" cellspacing="0" cellpadding="1">'
        f'<tr><td colspan="{steps}" align="left">{title}</td></tr>'
        f"<tr>{cells}</tr><tr>{texts}</tr></table>"
    )


def _small(text: str) -> str:
    return f'<font point-size="9.5" color="{QUIET}">{text}</font>'

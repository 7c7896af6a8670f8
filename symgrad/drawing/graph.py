"""A graph as boxes, folded, with names: what the views have in common."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from symgrad.declare.tensor import Input, Param, Tensor
from symgrad.drawing.colours import FORWARD
from symgrad.drawing.condense import Boxes, condense
from symgrad.drawing.copies import Copy, copied
from symgrad.drawing.dot import Edge, Node
from symgrad.drawing.fold import Unit, fold
from symgrad.drawing.labels import (
    LONGEST,
    QUIET,
    WIDEST,
    Labels,
    fitting,
    leaf_kind,
    shape_text,
    shortened,
)
from symgrad.drawing.loops import is_loop, words_of
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
        self.copies: dict[tuple[Tensor, Unit], Copy] = copied(
            self.boxes, self.units, self.links()
        )

    def shown(self) -> list[Unit]:
        """Return every unit once, in order."""
        return list(dict.fromkeys(self.units.values()))

    def nodes(self) -> list[Node]:
        """Return the shapes of all units, of a leaf with copies those."""
        made: dict[Unit, dict[str, Copy]] = {}
        for (leaf, _), copy in self.copies.items():
            made.setdefault(self.units[leaf], {})[copy.key] = copy
        found = []
        for unit in self.shown():
            node = self.node(unit)
            for copy in made.get(unit, {}).values():
                detail = " · ".join(filter(None, (node.detail, "shared")))
                found.append(
                    replace(node, key=copy.key, scope=copy.scope, detail=detail)
                )
            if unit not in made:
                found.append(node)
        return found

    def notes(self) -> list[str]:
        """Return what has to be said of the picture."""
        if not self.copies:
            return []
        return ["shared: one tensor, drawn beside each of its readers"]

    def key(self, source: Tensor, reader: Unit) -> str:
        """Return the key of what stands for a source near one of its readers."""
        copy = self.copies.get((source, reader))
        return copy.key if copy else self.units[source].key

    def node(self, unit: Unit) -> Node:
        """Return the shape of a unit."""
        if unit.folded:
            return self._folded(unit)
        t = unit.heads[0]  # the only one, or the first result of a loop
        labels = self.labels
        if t not in self.boxes.boxes:
            kind = leaf_kind(t)
            title = labels.shown(t) + (" (frozen)" if kind == "frozen" else "")
            return Node(
                unit.key, kind, title, shape_text(t), self.scope(t), t.describe()
            )
        kind = "output" if t is self.output else "op"
        if is_loop(t):
            return self._loop(unit, t, kind)
        whole = labels.detail(t)
        return Node(
            unit.key, kind, self.title(t), shortened(whole), self.scope(t), whole
        )

    def scope(self, t: Tensor) -> str:
        """Return the path of the frames around a node."""
        return self.boxes.frames.of(t)

    def title(self, t: Tensor) -> str:
        """Return what a box does, and in which scope if it alone is in it."""
        title, word = self.labels.titles[t], self.boxes.frames.words.get(t, "")
        word = shortened(word, WIDEST)
        return " · ".join(dict.fromkeys(filter(None, (title, word))))

    def _loop(self, unit: Unit, t: Tensor, kind: str) -> Node:
        """Return a loop as a box of what it repeats: its step, or what is in that."""
        labels = self.labels
        lines = [f"{left} = {unicode_text(f)}" for left, f in labels.equations(t)]
        whole = labels.step_line(t)
        short = whole is not None and len(whole) <= LONGEST
        words = ", ".join(words_of(labels.step(t)[0]))
        title, detail = self.title(t), whole if whole and short else words
        hover = "\n".join([labels.detail(t), *lines])
        return Node(unit.key, kind, title, shortened(detail), self.scope(t), hover, 2)

    def _folded(self, unit: Unit) -> Node:
        inside = [h for h in unit.heads if h in self.boxes.boxes]
        count = max(len(unit.scopes), 1)  # of equal layers
        words = [self.labels.titles[h] for h in inside[: len(inside) // count or 1]]
        words = [w for w, _ in Counter(words).most_common() if w not in QUIET]
        params = sum(isinstance(h.op, Param) for h in unit.heads) // count
        held = [f"{params} parameter{'s' if params != 1 else ''}"] if params else []
        if unit.parts:
            held.insert(0, f"{len(inside)} operations")
        said = fitting(words, ", ", WIDEST)
        detail = " · ".join([*filter(None, [said]), *held])
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
        if len(unit.scopes) == 1:
            return shortened(start, WIDEST)
        return f"{shortened(start, WIDEST)} … {shortened(end, WIDEST)}"

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
            if not above and self.scope(head):  # data come in from above the frame
                above = [s for s in box.sources if isinstance(s.op, Input)]
            params = [s for s in box.sources if isinstance(s.op, Param)]
            if above and params and not any(self.units[p].folded for p in params):
                found.add((above[-1], self.units[head]))
        return found

    def forward_edge(self, source: Tensor, unit: Unit, colour: str = FORWARD) -> Edge:
        """Return the edge along which a value goes, with its shape."""
        shape = shape_text(source) if source in self.boxes.boxes else ""
        weight = 1 if isinstance(source.op, Param) else 8
        return Edge(
            self.key(source, unit), unit.key, colour, shape, hover=source.describe(),
            weight=weight,
        )  # fmt: skip

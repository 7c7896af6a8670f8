"""What the interactive page knows of a graph: boxes, edges, scopes, and facts of each.

The result is plain data, to be written as JSON; the page lays it out and folds it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from symgrad.declare.dtypes import is_float
from symgrad.declare.tensor import Param, Tensor, op_name, topological
from symgrad.drawing.colours import LogScale, on_scale
from symgrad.drawing.condense import MANY
from symgrad.drawing.fold import runs
from symgrad.drawing.graph import Graph
from symgrad.drawing.groups import grouped, places
from symgrad.drawing.labels import (
    WIDEST,
    isolated,
    shape_text,
    shortened,
    statement_of,
)
from symgrad.drawing.loops import is_loop
from symgrad.drawing.measure import norms
from symgrad.drawing.views import Backward
from symgrad.emit.kernels import emit, texts
from symgrad.errors import SymgradError
from symgrad.notation.mathml import math_element, mathml_text, name, row, sign
from symgrad.schedule.plan import schedule
from symgrad.simplification import simplify_outputs

SHADES = 17
#: Formulas that nobody would read are not written out.
LONGEST = 20_000
#: And no scope has more parts than can be looked at.
MOST = 48
#: So many leaves that more than so many boxes read belong to no group.
SHARED = 8
WORDS = {
    "input": "input",
    "param": "parameter",
    "frozen": "frozen parameter",
    "constant": "constant",
    "op": "operation",
    "output": "output",
}


def collect(
    t: Tensor,
    view: str,
    wrt: Any,
    data: Mapping[str, Any] | None,
    params: Mapping[str, Any] | None,
    collapse: str | None,
) -> dict[str, Any]:
    """Return boxes, edges and scopes of a graph, nothing folded, as plain data."""
    if _is_derivable(t, wrt) or view != "forward":
        back = Backward(t, wrt, collapse, folded=False)
        graph = back.graph
    else:
        back, graph = None, Graph(t, collapse, folded=False)
    return _Facts(graph, back, view, collapse, data, params).all()


def _is_derivable(t: Tensor, wrt: Any) -> bool:
    trained = (isinstance(n.op, Param) and n.op.trainable for n in topological([t]))
    return t.shape == () and is_float(t.dtype) and (wrt is not None or any(trained))


class _Facts:
    """Collects the facts of a graph."""

    def __init__(
        self,
        graph: Graph,
        back: Backward | None,
        view: str,
        collapse: str | None,
        data: Mapping[str, Any] | None,
        params: Mapping[str, Any] | None,
    ) -> None:
        self.graph, self.back, self.labels = graph, back, graph.labels
        self.view, self.collapse = view, collapse
        units = list(dict.fromkeys(graph.units.values()))
        at = {u: n for n, u in enumerate(units)}
        self.firsts = [u.heads[0] for u in units]  # results of one loop are one node
        self.place = {t: at[u] for t, u in graph.units.items()}
        self.scopes: list[dict[str, Any]] = []
        self.at: dict[str, int] = {}
        self.sources: dict[str, int] = {}
        self.kernels: dict[tuple, int | None] = {}
        self.norms = self._measured(data, params)

    def all(self) -> dict[str, Any]:
        """Return everything."""
        self._runs()
        nodes = [self._node(t) for t in self.firsts]
        self._group(nodes)
        edges = [e for t in self.graph.boxes.boxes for e in self._edges(t)]
        sizes = [e["norm"] for e in edges if e["norm"] is not None]
        scale = LogScale(sizes)
        shades = [on_scale(k / (SHADES - 1)) for k in range(SHADES)]
        gradient = ["gradient"] if self.back is not None else []
        return {
            "title": self._title(),
            "view": self.view,
            "modes": ["forward", *gradient, *(["flow"] if self.norms else [])],
            "collapse": self.collapse,
            "nodes": nodes,
            "edges": edges,
            "scopes": self.scopes,
            "sources": list(self.sources),
            "scale": {
                "low": scale.low,
                "high": scale.high,
                "light": shades,
                "dark": shades[::-1],
            },
        }

    def _title(self) -> str:
        t = self.graph.output
        return t.name or self.labels.titles.get(t) or self.labels.shown(t)

    # -- scopes ----------------------------------------------------------------------

    def _runs(self) -> None:
        """Give repeated scopes, such as twelve equal layers, a scope around them."""
        self.run_of: dict[str, tuple[str, int]] = {}
        for paths in runs(self.graph.boxes):
            last = paths[-1].rpartition("/")[2]
            first = paths[0].rpartition("/")[2]
            joint = (f"{first} … {last}", len(paths))
            self.run_of |= dict.fromkeys(paths, joint)

    def _scope(self, path: str) -> int | None:
        """Return the number of a scope, made with those around it."""
        if not path:
            return None
        if path not in self.at:
            outer, _, own = path.rpartition("/")
            parent = self._scope(outer)
            if path in self.run_of:
                title, count = self.run_of[path]
                parent = self._add(f"{outer}/\0{title}", title, parent, count)
            self._add(path, own, parent, 1)
        return self.at[path]

    def _add(self, key: str, title: str, parent: int | None, count: int) -> int:
        if key not in self.at:
            self.at[key] = len(self.scopes)
            entry = {"id": len(self.scopes), "parent": parent, "name": shortened(title)}
            self.scopes.append({**entry, "count": count, "group": False})
        return self.at[key]

    def _group(self, nodes: list[dict[str, Any]]) -> None:
        """Give scopes with too many parts, and the whole graph, levels in between."""
        place = places(self.graph.boxes)
        first: dict[int, float] = {}  # scope -> where the first of its nodes is
        levels: dict[int | None, list[tuple[float, dict[str, Any]]]] = {None: []}
        sources = (dict.fromkeys(b.sources) for b in self.graph.boxes.boxes.values())
        readers = Counter(s for own in sources for s in own)
        shared = {t for t in self.graph.boxes.leaves if readers[t] > SHARED}
        for t, n in zip(self.firsts, nodes, strict=True):
            if t in shared and len(shared) <= SHARED:  # shown beside each reader
                continue
            levels.setdefault(n["scope"], []).append((place[t], n))
            outer = n["scope"]
            while outer is not None:
                first[outer] = min(first.get(outer, place[t]), place[t])
                outer = self.scopes[outer]["parent"]
        for s in self.scopes:
            levels.setdefault(s["parent"], []).append((first[s["id"]], s))
        for level in levels.values():
            if len(level) > MOST:
                parts = [part for _, part in sorted(level, key=lambda p: p[0])]
                grouped(parts, MOST, self._around)

    def _around(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        """Put a group around parts of a scope: nodes, scopes or other groups."""
        own = "scope" if "scope" in parts[0] else "parent"
        names = [p["ends"] if p.get("group") else (p["name"],) * 2 for p in parts]
        ends = names[0][0], names[-1][1]
        made = {"id": len(self.scopes), "parent": parts[0][own], "count": 1}
        made |= {"name": f"{ends[0]} … {ends[1]}", "group": True, "ends": ends}
        self.scopes.append(made)
        for p in parts:
            p["scope" if "scope" in p else "parent"] = made["id"]
        return made

    # -- nodes -----------------------------------------------------------------------

    def _node(self, t: Tensor) -> dict[str, Any]:
        is_box = t in self.graph.boxes.boxes
        shown = self.graph.node(self.graph.units[t])
        path = self.graph.scope(t)
        own = self.labels.shown(t)
        found = {
            "id": self.place[t],
            "kind": shown.kind,
            "word": WORDS[shown.kind],
            "title": shown.title,
            "detail": shown.detail,
            "name": own,
            "full": t.name or op_name(t.op),
            "path": path,
            "scope": self._scope(path),
            "shape": shape_text(t) or "scalar",
            "dtype": t.dtype,
            "math": None,
            "steps": [],
            "carries": "",
            "definition": "",
            "source": None,
            "norm": self.norms.get(("gradient", t)),
            "value": self.norms.get(("value", t)),
        }
        if is_box:
            if is_loop(t):
                step, _ = self.labels.step(t)
                found["steps"] = self._steps(t)
                found["carries"] = ", ".join(step.names[c] for c in step.loop.carries)
            found["math"] = self._definition(t)
            found["definition"] = self.labels.detail(t)
            found["source"] = self._kernel(t)
        return found

    def _definition(self, t: Tensor) -> str | None:
        form = self.labels.forms.get(t)
        if form is None:
            return None
        inside = mathml_text(form)
        if len(inside) > LONGEST:
            return None
        return math_element(row(name(self.labels.names[t]), sign("="), inside))

    def _steps(self, t: Tensor) -> list[str]:
        """Return what a loop repeats, an equation for each box of its step."""
        lines = [(n, mathml_text(form)) for n, form in self.labels.equations(t)]
        return [
            math_element(row(name(left), sign("="), right))
            for left, right in lines
            if len(right) <= LONGEST
        ]

    def _kernel(self, t: Tensor) -> int | None:
        """Return the number of the kernel that computes a box by itself."""
        box = self.graph.boxes.boxes[t]
        if len(box.members) > MANY:
            return None
        key = statement_of(box)
        if key not in self.kernels:
            try:
                plan = schedule(simplify_outputs([isolated(box)[0]]))
                text = "\n\n".join(k.text for k in texts(emit(plan)))
            except SymgradError:  # nothing computes it: a view, a constant
                text = ""
            known = self.sources.setdefault(text, len(self.sources)) if text else None
            self.kernels[key] = known
        return self.kernels[key]

    # -- edges -----------------------------------------------------------------------

    def _edges(self, head: Tensor) -> list[dict[str, Any]]:
        box = self.graph.boxes.boxes[head]
        parts = self.back.parts if self.back is not None else {}
        live = {s for s in box.sources if (head, s) in parts}
        texts = {}
        if live:
            texts = self.labels.locals(box, final=head is self.graph.output)
        found = []
        for s in box.sources:
            if self.place[s] == self.place[head]:  # parts of a loop's result
                continue
            local = texts.get(s) if s in live else None
            copy = self.graph.copies.get((s, self.graph.units[head]))
            markup = ""
            if local is not None:
                markup = math_element(mathml_text(local.form))
            found.append(
                {
                    "a": self.place[s],
                    "b": self.place[head],
                    "shape": shape_text(s) if s in self.graph.boxes.boxes else "",
                    "live": s in live,
                    "local": shortened(local.text, WIDEST) if local else "",
                    "localMath": markup if 0 < len(markup) <= LONGEST else None,
                    "norm": self.norms.get((head, s)),
                    "copy": copy.number if copy else 0,
                }
            )
        return found

    # -- norms -----------------------------------------------------------------------

    def _measured(
        self, data: Mapping[str, Any] | None, params: Mapping[str, Any] | None
    ) -> dict[Any, float]:
        """Return norms: of what an edge sends back, of gradients and of values."""
        if self.back is None or data is None:
            return {}
        wanted: dict[Any, Tensor] = dict(self.back.parts)
        for t in self.graph.units:
            g = self.back.adjoints.cotangents.get(t)
            if g is not None:
                wanted["gradient", t] = g
            if is_float(t.dtype) and t in self.graph.boxes.boxes:
                wanted["value", t] = t
        sizes = norms(self.graph.output, list(wanted.values()), data, params)
        return dict(zip(wanted, sizes, strict=True))

"""Draw a graph: forward, with its backward graph, or with the gradient that flows.

Nodes are the graph's own, movements and constants looked through.  Layers (scopes) are
clusters.  Everything that an edge says is derived from the graph or measured on it.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from symgrad.declare.comprehension import Comprehension
from symgrad.declare.tensor import (
    Constant,
    Input,
    Param,
    SizeOf,
    Tensor,
    constant,
    print_shape,
    topological,
)
from symgrad.derivation.reverse import flatten, reverse
from symgrad.drawing.layout import escape, render
from symgrad.errors import FormatError, GraphError, ShapeError

VIEWS = ("forward", "gradient", "flow")
SUFFIXES = (".svg", ".png", ".pdf", ".dot")
#: Viridis, from small to large: perceptually even and safe for colour-blind readers.
SCALE = ("#440154", "#414487", "#2a788e", "#22a884", "#7ad151", "#fde725")
STYLE = {
    "input": 'shape=box style="filled,rounded" fillcolor="#dbeafe" color="#1d4ed8"',
    "param": 'shape=box style="filled" fillcolor="#fef3c7" color="#b45309"',
    "frozen": 'shape=box style="filled,dashed" fillcolor="#e5e7eb" color="#6b7280"',
    "node": 'shape=box style="filled,rounded" fillcolor="white" color="#374151"',
}
HEAD = (
    'rankdir=TB; nodesep=0.3; ranksep=0.35; fontname="Helvetica,DejaVu Sans";'
    'node [fontname="Helvetica,DejaVu Sans" fontsize=11 margin="0.12,0.06" height=0.3];'
    'edge [fontname="Helvetica,DejaVu Sans" fontsize=9 color="#6b7280"];'
)


class Drawing:
    """A picture as DOT text, laid out when it is looked at or saved."""

    def __init__(self, dot: str) -> None:
        self.dot = dot

    @property
    def svg(self) -> str:
        """The picture as SVG text."""
        return render(self.dot, "svg").decode()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture; the suffix (.svg .png .pdf .dot) says in which format.

        Raises:
            FormatError: the suffix is none of these, or the file cannot be written.
        """
        path = Path(path)
        if path.suffix not in SUFFIXES:
            raise FormatError(
                f"cannot save a picture as {path.name!r}; use {', '.join(SUFFIXES)}"
            )
        dot = self.dot.encode()
        data = dot if path.suffix == ".dot" else render(self.dot, path.suffix[1:])
        try:
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                file.write(data)
            Path(file.name).replace(path)
        except OSError as error:
            raise FormatError(f"cannot write {path}: {error.strerror}") from None
        return path

    def _repr_svg_(self) -> str:
        return self.svg


def draw(
    t: Tensor,
    view: str = "forward",
    wrt: Any = None,
    data: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
) -> Drawing:
    """Draw the graph of a tensor.

    Args:
        t: a tensor; a scalar for the views of its gradient.
        view: ``forward``; ``gradient`` (forward and backward graph together, each
            backward edge with its local derivative); ``flow`` (the measured norm of
            the gradient on every edge, as colour and width).
        wrt: the tensors whose gradient is drawn; all trainable parameters by default.
        data: an array for each input (``flow``).
        params: an array for each parameter (``flow``); ``sg.init`` by default.

    Raises:
        GraphError: the view is unknown, or arrays are missing.

    >>> import symgrad as sg
    >>> W = sg.param("W", (3, 2))
    >>> "sum" in draw(sg.sum(W*W)).dot
    True
    """
    if view not in VIEWS:
        raise GraphError(f"there is no view {view!r}; the views are {', '.join(VIEWS)}")
    if view == "forward":
        return Drawing(_Graph([t]).dot())
    if t.shape != ():
        raise ShapeError(
            f"the view {view!r} needs a scalar, not {t.describe()}; sum it first"
        )
    targets = flatten(wrt) if wrt is not None else _trainable(t)
    adjoints = reverse([t], targets, [constant(1.0, t.dtype)])
    graph = _Graph([t])
    edges = graph.merged(adjoints.edges)
    if view == "gradient":
        from symgrad.notation import formula

        for node, operand, part in edges:
            label = formula(part)
            text = label if len(label) <= 40 else label[:39] + "…"
            graph.back(node, operand, f'label="{escape(text)}" color="#be185d"')
    else:
        norms = _measure([part for _, _, part in edges], t, data, params)
        for (node, operand, _), norm in zip(edges, norms, strict=True):
            graph.back(node, operand, _flow_style(norm, norms))
        graph.legend(norms)
    return Drawing(graph.dot())


def _trainable(t: Tensor) -> list[Tensor]:
    found = [n for n in topological([t]) if isinstance(n.op, Param) and n.op.trainable]
    if not found:
        raise GraphError(f"{t.describe()} depends on no trainable parameter; give wrt=")
    return found


def _measure(
    parts: list[Tensor],
    t: Tensor,
    data: Mapping[str, Any] | None,
    params: Mapping[str, Any] | None,
) -> list[float]:
    """Return the norm of each contribution, from one compiled program."""
    from symgrad.declare.ops import FUNCTIONS
    from symgrad.pipeline import compile
    from symgrad.train.initialize import init

    square, total, root = (FUNCTIONS[n] for n in ("square", "sum", "sqrt"))
    norms = [root(total(square(p))) for p in parts]
    inputs = [n for n in topological(norms) if isinstance(n.op, Input)]
    data = data or {}
    missing = [n.name for n in inputs if n.name not in data]
    if missing:
        raise GraphError(
            f"the flow is measured on data: give data={{{missing[0]!r}: …}}"
        )
    program = compile(inputs, norms)
    needed = [n for n in topological(norms) if isinstance(n.op, Param)]
    values = init(t) if params is None else params
    given = {n.name or "": values[n.name or ""] for n in needed}
    arrays = {n.name or "": data[n.name or ""] for n in inputs}
    return [float(v) for v in program(params=given, **arrays)]


def _flow_style(norm: float, norms: list[float]) -> str:
    """Return colour and width by the logarithm of a norm; a vanished one is dotted."""
    if not norm > 0 or not math.isfinite(norm):
        return f'label="{norm:.2g}" style=dotted color="#9ca3af"'
    place = _place(norm, norms)
    colour = SCALE[min(int(place * len(SCALE)), len(SCALE) - 1)]
    return f'label="{norm:.2g}" color="{colour}" penwidth={1 + 5 * place:.1f}'


def _place(norm: float, norms: list[float]) -> float:
    live = [n for n in norms if n > 0 and math.isfinite(n)]
    low, high = math.log(min(live)), math.log(max(live))
    return (math.log(norm) - low) / (high - low) if high > low else 1.0


class _Graph:
    """The visible nodes of a graph and the edges between them, written as DOT."""

    def __init__(self, outputs: list[Tensor]) -> None:
        self.order = topological(outputs)
        self.outputs = {id(t) for t in outputs}
        shown = [t for t in self.order if self._is_shown(t)]
        self.number = {t: n for n, t in enumerate(shown)}
        self.extra: list[str] = []

    def _is_shown(self, t: Tensor) -> bool:
        if id(t) in self.outputs or isinstance(t.op, Input | Param):
            return True
        if isinstance(t.op, SizeOf) or (isinstance(t.op, Constant) and not t.shape):
            return False
        c = t.op
        if isinstance(c, Comprehension):
            looked_through = c.is_movement or c.body.fn in ("stop_gradient", "isfinite")
            return not looked_through and t.dtype != "bool"
        return isinstance(c, Constant)

    def _seen(self, t: Tensor) -> list[Tensor]:
        """Return the nearest shown nodes that a node stands for."""
        found: dict[Tensor, None] = {}
        stack = [t]
        while stack:
            here = stack.pop()
            if here in self.number:
                found[here] = None
            else:
                stack += here.args
        return list(found)

    def merged(
        self, edges: list[tuple[Tensor, Tensor, Tensor]]
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Return the edges between shown nodes, through the nodes between them."""
        result = []
        users: dict[Tensor, list[Tensor]] = {}
        for node, operand, _ in edges:
            users.setdefault(operand, []).append(node)
        for node, operand, part in edges:
            if operand in self.number:
                above = {node: None} if node in self.number else {}
                stack = [] if above else [node]
                while stack:
                    for user in users.get(stack.pop(), []):
                        if user in self.number:
                            above[user] = None
                        else:
                            stack.append(user)
                result += [(user, operand, part) for user in above]
        return result

    def back(self, node: Tensor, operand: Tensor, style: str) -> None:
        """Add an edge along which a cotangent comes back."""
        ends = f"n{self.number[node]} -> n{self.number[operand]}"
        self.extra.append(f"{ends} [constraint=false {style}];")

    def legend(self, norms: list[float]) -> None:
        """Add the scale of colours, from the smallest to the largest norm."""
        live = [n for n in norms if n > 0 and math.isfinite(n)] or [1.0]
        steps = np.geomspace(min(live), max(live), len(SCALE))
        cells = "".join(
            f'<td bgcolor="{c}"><font color="{"black" if n > 3 else "white"}">'
            f"{v:.1g}</font></td>"
            for n, (c, v) in enumerate(zip(SCALE, steps, strict=True))
        )
        table = f'<table border="0" cellspacing="0"><tr><td>‖gradient‖</td>{cells}</tr>'
        self.extra.append(f"legend [shape=plain label=<{table}</table>>];")

    def dot(self) -> str:
        """Return the picture as DOT text, a cluster for each scope."""
        lines = ["digraph {", HEAD]
        scopes: dict[str, list[Tensor]] = {}
        for t in self.number:
            scopes.setdefault(_scope(t), []).append(t)
        for n, (scope, nodes) in enumerate(scopes.items()):
            inner = [self._node(t) for t in nodes]
            if scope:
                lines.append(
                    f'subgraph cluster{n} {{ label="{escape(scope)}" fontsize=10 '
                    'style=rounded color="#9ca3af";'
                )
                lines += [*inner, "}"]
            else:
                lines += inner
        for t, n in self.number.items():
            sources = {s: None for a in t.args for s in self._seen(a)}
            for s in sources:
                label = escape(print_shape(s.shape))
                lines.append(f'n{self.number[s]} -> n{n} [label="{label}"];')
        return "\n".join([*lines, *self.extra, "}"])

    def _node(self, t: Tensor) -> str:
        if isinstance(t.op, Input):
            kind = "input"
        elif isinstance(t.op, Param):
            kind = "param" if t.op.trainable else "frozen"
        else:
            kind = "node"
        frozen = " (frozen)" if kind == "frozen" else ""
        what = t.name or (t.op.name if isinstance(t.op, Comprehension) else "constant")
        label = escape(f"{what.rsplit('/', 1)[-1]}{frozen}")
        return f'n{self.number[t]} [label="{label}" {STYLE[kind]}];'


def _scope(t: Tensor) -> str:
    if t.name is not None:
        return t.name.rpartition("/")[0]
    return t.scope

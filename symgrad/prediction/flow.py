"""Where gradients pass, and by how much each passage can multiply them.

``Flow`` goes through a graph once forward, gathering facts about values, and gives for
each node its *edges*: the tensors to which it sends a cotangent, with the greatest
factor by which the cotangent's norm can grow on the way.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from symgrad.declare import dtypes, scalar
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.dims import evaluate
from symgrad.declare.tensor import (
    Constant,
    Input,
    Param,
    Reshape,
    SizeOf,
    Tensor,
    op_name,
    topological,
)
from symgrad.prediction.blocks import Block, block_of
from symgrad.prediction.cones import Cone, cone_of
from symgrad.prediction.facts import Facts, Known
from symgrad.prediction.norms import contraction_norm, linear_norm, used_factors
from symgrad.prediction.supremum import greatest_slope
from symgrad.prediction.values import value_facts


@dataclass(frozen=True, eq=False)
class Edge:
    """How a cotangent passes from a node to a tensor that it is computed from.

    Attributes:
        node, source: from where to where.
        factor: by how much its norm grows, at most.
        says: the factor as text, such as ``sup|sigmoid′| = 1/4``; empty for 1.
        slope: the cone and variable that it passes, if it is an elementwise one.
    """

    node: Tensor
    source: Tensor
    factor: float
    says: str
    slope: tuple[Cone, str] | None = None


class Flow:
    """The passages of gradients through the graph of a loss.

    Attributes:
        order: every node, operands first.
        sizes: the sizes of named dimensions.
        facts: what is known of each node's value.
    """

    def __init__(
        self,
        loss: Tensor,
        wrt: Sequence[Tensor],
        arrays: Mapping[Tensor, np.ndarray],
        intervals: Mapping[Tensor, tuple[float, float]],
        sizes: Mapping[str, int],
    ) -> None:
        self.loss, self.sizes = loss, sizes
        self.order = topological([loss])
        self.place = {id(t): n for n, t in enumerate(self.order)}
        self.kept = {id(t) for t in wrt}
        self.passed = set(self.kept)
        for node in self.order:
            if any(id(a) in self.passed for a in node.args):
                self.passed.add(id(node))
        self.arrays, self.intervals = arrays, intervals
        self.facts: dict[Tensor, Facts] = {}
        self.blocks: dict[int, Block] = {}
        self.cones: dict[int, Cone] = {}
        for node in self.order:
            self.facts[node] = self._known(node) or self._derived(node)

    def shape(self, t: Tensor) -> tuple[int, ...]:
        """Return the sizes as numbers."""
        return tuple(evaluate(s, self.sizes) for s in t.shape)

    def extents(self, c: Comprehension) -> list[int]:
        """Return the sizes of all axes as numbers."""
        return [evaluate(s, self.sizes) for s in c.extents]

    def passes(self, t: Tensor) -> bool:
        """Does a gradient pass a tensor?"""
        return id(t) in self.passed and dtypes.is_float(t.dtype)

    # -- facts -----------------------------------------------------------------------

    def _known(self, node: Tensor) -> Facts | None:
        if node in self.arrays:
            return Known(self.arrays[node])
        if isinstance(node.op, Constant):
            return Known(node.op.value)
        if isinstance(node.op, SizeOf):
            return Known(np.asarray(evaluate(node.op.dim, self.sizes)))
        if isinstance(node.op, Input | Param):
            return Facts(self.shape(node), *self.intervals.get(node, ()))
        return None

    def _derived(self, node: Tensor) -> Facts:
        block = block_of(node)
        if block is not None and not block.inner & self.kept:
            self.blocks[id(node)] = block
        op = node.op
        cone = None
        if isinstance(op, Comprehension) and op.is_elementwise and op.body.args:
            cone = cone_of(node, self.place, self.passes, self._is_kept)
            self.cones[id(node)] = cone
        return value_facts(self, node, block, cone)

    def _is_kept(self, t: Tensor) -> bool:
        return id(t) in self.kept

    # -- edges -----------------------------------------------------------------------

    def edges(self, node: Tensor) -> list[Edge]:
        """Return the edges of a node, those without a gradient left out."""
        if id(node) in self.blocks:
            block = self.blocks[id(node)]
            found = [
                Edge(node, block.source, block.norm, f"{block.kind}: {block.says}")
            ]
        elif isinstance(node.op, Reshape):
            found = [Edge(node, node.args[0], 1.0, "")]
        elif id(node) in self.cones:
            found = list(self._slopes(node, self.cones[id(node)]))
        elif isinstance(node.op, Comprehension):
            found = list(self._linear(node, node.op))
        else:
            found = [
                Edge(node, a, math.inf, f"{op_name(node.op)}, no bound")
                for a in dict.fromkeys(node.args)
            ]
        return [e for e in found if self.passes(e.source) and e.factor != 0]

    def _slopes(self, node: Tensor, cone: Cone) -> Iterable[Edge]:
        domains = tuple((n, self.facts[t].domain) for n, t in cone.leaves.items())
        for name, leaf in cone.leaves.items():
            if not self.passes(leaf):
                continue
            found = greatest_slope(cone.body, name, domains)
            shape, full = self.shape(leaf), self.shape(node)
            shape = (1,) * (len(full) - len(shape)) + shape
            repeated = math.prod(
                b for a, b in zip(shape, full, strict=True) if a == 1 and b != 1
            )
            factor = found.value * math.sqrt(repeated) if found.value else 0.0
            says = _slope_text(cone, name, str(found))
            if repeated > 1:
                says += f"{' · ' if says else ''}√{repeated} (broadcast)"
            yield Edge(node, leaf, factor, says, (cone, name))

    def _linear(self, node: Tensor, c: Comprehension) -> Iterable[Edge]:
        extents = self.extents(c)
        product = used_factors(c)
        for k in product:
            source = node.args[c.reads[k].operand]
            if not self.passes(source):
                continue
            if len(product) == 1:
                if c.reduce == "prod":
                    factor = self._prod(c, k, source, extents)
                else:
                    factor = linear_norm(c, k, extents)
                says = "" if factor == 1 else f"{c.name}: {_root(factor)}"
                yield Edge(node, source, factor, says)
                continue
            others = [
                (c.reads[j], self.facts[node.args[c.reads[j].operand]])
                for j in product
                if j != k
            ]
            factor = contraction_norm(c, k, others, extents)
            names = " ".join(
                _operand(node.args[c.reads[j].operand]) for j in product if j != k
            )
            yield Edge(node, source, factor, f"‖{names}‖ {_sign(others)} {factor:.4g}")

    def _prod(
        self, c: Comprehension, k: int, source: Tensor, extents: list[int]
    ) -> float:
        most = max(self.facts[source].norm([]), 1.0)
        count = math.prod(extents[a] for a in c.reduced)
        size = math.inf if most == math.inf else most ** (count - 1)
        return size * linear_norm(c, k, extents)


def _slope_text(cone: Cone, name: str, value: str) -> str:
    body = cone.body
    if value == "1" and body.fn in ("add", "sub", "neg"):
        return ""
    if body.fn in ("mul", "div") and any(scalar.is_number(a) for a in body.args):
        return f"factor {value}"
    if len(cone.leaves) == 1:
        return f"sup|{cone.name}′| = {value}"
    if body.fn in ("mul", "div") and all(not a.args for a in body.args):
        if all(isinstance(t.op, SizeOf) for n, t in cone.leaves.items() if n != name):
            return f"factor {value}"
        others = [t for n, t in cone.leaves.items() if n != name]
        return f"max|{' '.join(map(_operand, others))}| ≤ {value}"
    return f"sup|∂{body.fn}| = {value}"


def _root(factor: float) -> str:
    """Return a factor as text, as the root of an integer where it is one."""
    square = round(factor**2)
    whole = math.isclose(square, factor**2, rel_tol=1e-9)
    return f"√{square}" if whole else f"{factor:.4g}"


def _operand(t: Tensor) -> str:
    if t.name is not None:
        return t.name
    if isinstance(t.op, Comprehension):
        return t.op.name
    return type(t.op).__name__.lower()


def _sign(others: Sequence[tuple[object, Facts]]) -> str:
    return "=" if all(isinstance(f, Known) for _, f in others) else "≤"

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
from symgrad.declare.linear_algebra import LinearAlgebra
from symgrad.declare.loop import Scan
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
from symgrad.prediction.facts import Facts, Known, times
from symgrad.prediction.loops import Steps
from symgrad.prediction.matrices import matrix_factors
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
        operand: the number of the source among the operands of a loop.
    """

    node: Tensor
    source: Tensor
    factor: float
    says: str
    slope: tuple[Cone, str] | None = None
    operand: int = 0


class Flow:
    """The passages of gradients through the graph of a loss.

    Args:
        roots: the loss; or several values that a cotangent may start from.
        wrt: the tensors that are derived by.
        known: what is known of leaves, and perhaps of other nodes.
        sizes: the sizes of named dimensions.

    Attributes:
        order: every node, operands first.
        facts: what is known of each node's value.
    """

    def __init__(
        self,
        roots: Sequence[Tensor],
        wrt: Sequence[Tensor],
        known: Mapping[Tensor, Facts],
        sizes: Mapping[str, int],
    ) -> None:
        self.loss, self.sizes = roots[0], sizes
        self.order = topological(roots)
        self.place = {id(t): n for n, t in enumerate(self.order)}
        self.kept = {id(t) for t in wrt}
        self.passed = set(self.kept)
        for node in self.order:
            if any(id(a) in self.passed for a in node.args):
                self.passed.add(id(node))
        self.facts: dict[Tensor, Facts] = {}
        self.blocks: dict[int, Block] = {}
        self.cones: dict[int, Cone] = {}
        self.steps: dict[tuple[int, ...], Steps] = {}
        for node in self.order:
            leaf = known.get(node) or self._leaf(node)
            self.facts[node] = leaf or self._derived(node)
            if leaf is not None and node.args:
                self._derived(node)  # its block and its cone

    def inner(self, roots: Sequence[Tensor], known: Mapping[Tensor, Facts]) -> Flow:
        """Return the passages of a loop's body."""
        return Flow(
            roots, [t for t in known if dtypes.is_float(t.dtype)], known, self.sizes
        )

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

    def _leaf(self, node: Tensor) -> Facts | None:
        if isinstance(node.op, Constant):
            return Known(node.op.value)
        if isinstance(node.op, SizeOf):
            return Known(np.asarray(evaluate(node.op.dim, self.sizes)))
        if isinstance(node.op, Input | Param):
            return Facts(self.shape(node))
        return None

    def _derived(self, node: Tensor) -> Facts:
        block = block_of(node)
        if block is not None and not block.inner & self.kept:
            self.blocks[id(node)] = block
        op = node.op
        if isinstance(op, Scan):
            return self.steps_of(node).facts(node)
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
            found = [self._block(node, self.blocks[id(node)])]
        elif isinstance(node.op, Reshape):
            found = [Edge(node, node.args[0], 1.0, "")]
        elif id(node) in self.cones:
            found = list(self._slopes(node, self.cones[id(node)]))
        elif isinstance(node.op, Comprehension):
            found = list(self._linear(node, node.op))
        elif isinstance(node.op, Scan):
            found = list(self._looped(node, node.op))
        elif isinstance(node.op, LinearAlgebra):
            factors = matrix_factors(node.op, [self.facts[a] for a in node.args])
            found = [
                Edge(node, a, f, f"{op_name(node.op)}: {says}")
                for a, (f, says) in zip(node.args, factors, strict=True)
            ]
        else:
            found = [
                Edge(node, a, math.inf, f"{op_name(node.op)}, no bound")
                for a in dict.fromkeys(node.args)
            ]
        return [e for e in found if self.passes(e.source) and e.factor != 0]

    def _block(self, node: Tensor, block: Block) -> Edge:
        norm, says = block.norm, block.says
        if block.kind == "softmax" and self.facts[node].high < norm:
            norm = self.facts[node].high  # diag(p) − ppᵀ ≤ diag(p)
            says = f"‖diag(p) − ppᵀ‖ ≤ max p = {norm:.4g}"
        if block.below is not None:
            least = self.facts[block.below].low
            if least > 0 and 1 / math.sqrt(least) < norm * (1 - 1e-6):
                norm = 1 / math.sqrt(least)
                says = f"1/min √(σ² + ε) = {norm:.4g}"
        return Edge(node, block.source, norm, f"{block.kind}: {says}")

    def steps_of(self, node: Tensor) -> Steps:
        """Return the steps of the loop that a node is a result of."""
        assert isinstance(node.op, Scan)
        key = (id(node.op.loop), *map(id, node.args))
        if key not in self.steps:
            self.steps[key] = Steps(self, node)
        return self.steps[key]

    def _looped(self, node: Tensor, op: Scan) -> Iterable[Edge]:
        steps = self.steps_of(node)
        for n, factor in enumerate(steps.factors(op)):
            says = f"{steps.length} steps ≤ {factor:.4g}"
            yield Edge(node, node.args[n], factor, says, operand=n)

    def accumulate(
        self, top: Tensor | None = None
    ) -> tuple[dict[int, float], dict[int, list[Edge]]]:
        """Return the bound of each node's cotangent, and the edges into each node.

        The cotangent of ``top`` has the norm 1: of the loss by default.
        """
        totals: dict[int, float] = {id(self.loss if top is None else top): 1.0}
        into: dict[int, list[Edge]] = {}
        for node in reversed(self.order):
            total = totals.get(id(node))
            if total is None or not node.args or not self.passes(node):
                continue
            for edge in self.edges(node):
                into.setdefault(id(edge.source), []).append(edge)
                part = times(total, edge.factor)
                totals[id(edge.source)] = totals.get(id(edge.source), 0.0) + part
        return totals, into

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

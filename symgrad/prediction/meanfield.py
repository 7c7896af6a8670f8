"""What to expect of a gradient at initialisation: mean-field theory on any graph.

Forward, every tensor is summed up by the mean and variance of its elements, as if they
were independent and normal; backward, a cotangent by its expected squared norm, as if
its elements were uncorrelated.  A weight acts by its actual mean square, an elementwise
function by ``E[f²]`` and ``E[f′²]``, integrated by Gauss–Hermite quadrature over the
derived slope.  For a chain of dense layers this is the recursion of Poole et al. (2016,
"Exponential expressivity in deep neural networks through transient chaos") and the
factor ``χ = σ_w² E[φ′(√q z)²]`` of Schoenholz et al. (2017, "Deep information
propagation").
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np

from symgrad.declare.comprehension import Comprehension
from symgrad.declare.scalar import Expr
from symgrad.declare.tensor import Input, Param, Tensor
from symgrad.prediction.blocks import Block
from symgrad.prediction.cones import Cone
from symgrad.prediction.facts import Known
from symgrad.prediction.flow import Edge, Flow
from symgrad.prediction.intervals import enclose
from symgrad.prediction.norms import used_factors
from symgrad.prediction.supremum import derivative

POINTS = {1: 64, 2: 16, 3: 8}  # of the quadrature, by the number of variables


class Moments(NamedTuple):
    """Mean and variance of the elements of a tensor."""

    mean: float
    variance: float

    @property
    def square(self) -> float:
        """The mean square."""
        return self.mean * self.mean + self.variance


class MeanField:
    """Expected sizes of values and gradients.

    Attributes:
        moments: tensor → mean and variance of its elements.
    """

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.moments: dict[Tensor, Moments] = {}
        with np.errstate(all="ignore"):
            for node in flow.order:
                self.moments[node] = self._moments(node)
            self._squares = self._backward()

    def norm(self, t: Tensor) -> float:
        """Return the expected norm of a tensor's cotangent; NaN if nothing is known."""
        return math.sqrt(self._squares.get(id(t), math.nan))

    def _backward(self) -> dict[int, float]:
        found = {id(self.flow.loss): 1.0}
        for node in reversed(self.flow.order):
            square = found.get(id(node))
            if square is None or not self.flow.passes(node):
                continue
            for edge in self.flow.edges(node):
                part = square * self._factor(edge)
                found[id(edge.source)] = found.get(id(edge.source), 0.0) + part
        return found

    # -- forward ---------------------------------------------------------------------

    def _moments(self, node: Tensor) -> Moments:
        facts = self.flow.facts[node]
        if isinstance(facts, Known):
            if not facts.array.size:
                return Moments(0.0, 0.0)
            wide = np.float64(facts.array)
            return Moments(float(wide.mean()), float(wide.var()))
        if isinstance(node.op, Input | Param):
            low, high = facts.domain
            if not math.isfinite(high - low):
                return Moments(0.0, 1.0)  # a scaled input
            return Moments((low + high) / 2, (high - low) ** 2 / 12)
        if id(node) in self.flow.blocks:
            return self._of_block(node, self.flow.blocks[id(node)])
        if id(node) in self.flow.cones:
            cone = self.flow.cones[id(node)]
            first, second = self._integrals(cone, cone.body)
            return Moments(first, max(second - first * first, 0.0))
        if isinstance(node.op, Comprehension):
            return self._of_statement(node, node.op)
        return self.moments[node.args[0]] if node.args else Moments(0.0, 1.0)

    def _of_block(self, node: Tensor, block: Block) -> Moments:
        source = self.moments[block.source]
        count = self.flow.facts[block.source].count(block.axes)
        if block.kind == "softmax":
            square = _softmax_square(source, count)
            return Moments(1 / count, max(square - 1 / count**2, 0.0))
        if block.kind == "normalised":
            size = math.sqrt(source.square + block.norm**-2)
            if size == 0:
                return Moments(0.0, 0.0)
            return Moments(source.mean / size, source.variance / size**2)
        if block.kind == "centred":
            return Moments(0.0, source.variance * (1 - 1 / count))
        mean = math.log(count) + source.mean + source.variance / 2
        sign = -1.0 if block.kind == "cross-entropy" else 1.0
        return Moments(sign * mean, source.variance)

    def _of_statement(self, node: Tensor, c: Comprehension) -> Moments:
        extents = self.flow.extents(c)
        count = math.prod(extents[a] for a in c.reduced)
        factors = used_factors(c)
        operands = [node.args[c.reads[k].operand] for k in factors]
        if c.reduce in ("max", "min") and len(operands) == 1:
            return _extreme(self.moments[operands[0]], count, c.reduce == "max")
        if c.reduce not in (None, "sum") or not operands:
            return Moments(0.0, 1.0)
        parts = [self.moments[t] for t in operands]
        mean = math.prod(p.mean for p in parts)
        square = math.prod(p.square for p in parts)
        found = Moments(count * mean, count * max(square - mean * mean, 0.0))
        for n, t in enumerate(operands):
            facts = self.flow.facts[t]
            if len(operands) == 2 and isinstance(facts, Known):
                dims = [
                    d
                    for d, i in enumerate(c.reads[factors[n]].index)
                    if i.axes() & set(c.reduced)
                ]
                return _weighted(facts.array, tuple(dims), parts[1 - n], found)
        return found

    def _integrals(self, cone: Cone, body: Expr) -> tuple[float, float]:
        """Return the means of a function of the leaves, and of its square."""
        rule = POINTS.get(len(cone.leaves), 5)
        nodes, weights = np.polynomial.hermite_e.hermegauss(rule)
        weights = weights / weights.sum()
        grid = np.array(list(itertools.product(nodes, repeat=len(cone.leaves))))
        mass = np.array(
            [math.prod(w) for w in itertools.product(weights, repeat=len(cone.leaves))]
        )
        values = {}
        for n, (name, t) in enumerate(cone.leaves.items()):
            m = self.moments[t]
            x = m.mean + math.sqrt(max(m.variance, 0.0)) * grid[:, n]
            values[name] = (x, x)
        if not values:
            values = {"": (np.zeros(1), np.zeros(1))}
        low, high = enclose(body, values)
        middle = low / 2 + high / 2
        kept = np.isfinite(middle)
        if not kept.any():
            return 0.0, 0.0
        mass = mass[kept] / mass[kept].sum()
        middle = middle[kept]
        return float(mass @ middle), float(mass @ middle**2)

    # -- backward --------------------------------------------------------------------

    def _factor(self, e: Edge) -> float:
        """Return the expected factor of the squared norm of a cotangent."""
        if e.slope is not None:
            cone, name = e.slope
            return self._integrals(cone, derivative(cone.body, name))[1]
        block = self.flow.blocks.get(id(e.node))
        if block is not None:
            return self._block_factor(block)
        c = e.node.op
        if not isinstance(c, Comprehension) or c.reduce in ("max", "min"):
            return 1.0
        extents = self.flow.extents(c)
        found = float(math.prod(extents[a] for a in c.reduced))
        rest = [
            self.moments[node]
            for k in used_factors(c)
            if (node := e.node.args[c.reads[k].operand]) is not e.source
        ]
        return found * math.prod(m.square for m in rest)

    def _block_factor(self, block: Block) -> float:
        source = self.moments[block.source]
        count = self.flow.facts[block.source].count(block.axes)
        if block.kind == "centred":
            return 1 - 1 / count
        if block.kind == "normalised":
            size = source.square + block.norm**-2
            return 1 / size if size else 0.0
        square = _softmax_square(source, count)
        if block.kind == "cross-entropy":
            return max(1 - 2 / count + count * square, 0.0)
        return square * (count if block.kind == "logsumexp" else 1)


def _softmax_square(scores: Moments, count: int) -> float:
    """Return E[p²] for normal scores: p is nearly log-normal, and 1 at most."""
    return min(math.exp(min(scores.variance, 50.0)) / count**2, 1 / count)


def _weighted(
    array: np.ndarray, summed: tuple[int, ...], x: Moments, found: Moments
) -> Moments:
    """Return the moments of sums of x times actual weights; ``found`` if they cancel.

    Each result has a mean of its own, ``mean(x)·Σw``; pooled, these are variance.
    """
    wide = np.float64(array)
    sums, squares = wide.sum(axis=summed), np.square(wide).sum(axis=summed)
    if not sums.size:
        return found
    terms = math.prod(array.shape[d] for d in summed) or 1
    times = found.mean / (x.mean * float(wide.mean()) * terms or math.nan)
    times = max(times, 1.0) if math.isfinite(times) else 1.0
    means = x.mean * sums * times
    variance = float((x.variance * squares * times).mean() + means.var())
    return Moments(float(means.mean()), variance)


def _extreme(x: Moments, count: int, greatest: bool) -> Moments:
    """Return the moments of the greatest (least) of some independent normal values."""
    from scipy.stats import norm

    z = np.linspace(-8, 8, 2001)
    mass = np.diff(norm.cdf(z) ** count)
    middle = (z[1:] + z[:-1]) / 2
    mean = float(mass @ middle)
    variance = float(mass @ middle**2) - mean**2
    sign = 1 if greatest else -1
    return Moments(
        x.mean + sign * math.sqrt(x.variance) * mean, x.variance * max(variance, 0.0)
    )

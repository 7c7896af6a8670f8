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
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from symgrad.declare.comprehension import Comprehension
from symgrad.declare.linear_algebra import LinearAlgebra
from symgrad.declare.loop import Final, Scan, States
from symgrad.declare.scalar import Expr
from symgrad.declare.tensor import Input, Param, Tensor
from symgrad.prediction.blocks import Block
from symgrad.prediction.cones import Cone
from symgrad.prediction.facts import Known
from symgrad.prediction.flow import Edge, Flow
from symgrad.prediction.intervals import enclose
from symgrad.prediction.loops import Steps
from symgrad.prediction.norms import used_factors
from symgrad.prediction.supremum import derivative

POINTS = {2: 16, 3: 8}  # of the Gauss-Hermite rule, by the number of variables
FINE = 256  # of the rule for one variable


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

    Args:
        flow: the passages of gradients.
        known: moments of leaves, where they are not to be taken from what is known of
            their values.

    Attributes:
        moments: tensor → mean and variance of its elements.
    """

    def __init__(
        self, flow: Flow, known: Mapping[Tensor, Moments] | None = None
    ) -> None:
        self.flow = flow
        self.moments: dict[Tensor, Moments] = dict(known or {})
        self._loops: dict[int, LoopField] = {}
        with np.errstate(all="ignore"):
            for node in flow.order:
                if node not in self.moments:
                    self.moments[node] = self._moments(node)
        self._squares: dict[int, float] | None = None

    def norm(self, t: Tensor) -> float:
        """Return the expected norm of a tensor's cotangent; NaN if nothing is known."""
        if self._squares is None:
            self._squares = self.squares(self.flow.loss)
        return math.sqrt(self._squares.get(id(t), math.nan))

    def squares(self, top: Tensor) -> dict[int, float]:
        """Return the expected squared norms for a cotangent of ``top`` of norm 1."""
        with np.errstate(all="ignore"):
            return self._backward(top)

    def _backward(self, top: Tensor) -> dict[int, float]:
        found = {id(top): 1.0}
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
        if isinstance(node.op, Scan):
            return self.loop(node).moments(node.op)
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

    def loop(self, node: Tensor) -> LoopField:
        """Return the moments in the steps of the loop that a node is a result of."""
        steps = self.flow.steps_of(node)
        if id(steps) not in self._loops:
            given = [self.moments[a] for a in node.args]
            self._loops[id(steps)] = LoopField(steps, given)
        return self._loops[id(steps)]

    def _integrals(self, cone: Cone, body: Expr) -> tuple[float, float]:
        """Return the means of a function of the leaves, and of its square."""
        normal = sum(t.dtype != "bool" for t in cone.leaves.values())
        rules = [self._points(t, normal) for t in cone.leaves.values()]
        grid = np.array(list(itertools.product(*(points for points, _ in rules))))
        parts = itertools.product(*(weights for _, weights in rules))
        mass = np.array([math.prod(w) for w in parts])
        values = {name: (x, x) for name, x in zip(cone.leaves, grid.T, strict=True)}
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

    def _points(self, t: Tensor, normal: int) -> tuple[np.ndarray, np.ndarray]:
        """Return values that stand for a tensor's elements, and their weights.

        Args:
            t: a leaf of a function.
            normal: how many normal variables the function has.
        """
        m = self.moments[t]
        if t.dtype == "bool":
            return np.array([0.0, 1.0]), np.array([1 - m.mean, m.mean])
        if isinstance(t.op, Comprehension) and t.op.body.fn == "axis":
            last = self.flow.extents(t.op)[t.op.body.value] - 1
            places = np.round(np.linspace(0, last, min(last + 1, 64)))
            return places, np.full(len(places), 1 / max(len(places), 1))
        points, weights = _quadrature(normal)
        spread = math.sqrt(max(m.variance, 0.0))
        return m.mean + spread * points, weights

    # -- backward --------------------------------------------------------------------

    def _factor(self, e: Edge) -> float:
        """Return the expected factor of the squared norm of a cotangent."""
        if e.slope is not None:
            if _is_part(e.node) and _is_part(e.source):
                return 1.0  # the guard of the part tells which cotangents are its own
            cone, name = e.slope
            return self._integrals(cone, derivative(cone.body, name))[1]
        block = self.flow.blocks.get(id(e.node))
        if block is not None:
            return self._block_factor(block)
        c = e.node.op
        if isinstance(c, Scan):
            return self.loop(e.node).factors(c)[e.operand]
        if isinstance(c, LinearAlgebra):
            return math.nan  # the theory is of independent entries
        if not isinstance(c, Comprehension) or c.reduce in ("max", "min"):
            return 1.0
        if _is_padding(c):
            whole = math.prod(self.flow.facts[e.node].shape)
            return math.prod(self.flow.facts[e.source].shape) / whole if whole else 0.0
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


class LoopField:
    """The steps of a loop: the moments of its carries go from one to the next."""

    def __init__(self, steps: Steps, given: Sequence[Moments]) -> None:
        self.steps, loop = steps, steps.loop
        count = len(loop.updates)
        self.carries = [list(given[:count])]
        self.fields: list[MeanField] = []
        for flow in steps.flows:
            known = [*self.carries[-1], *given[count:]]
            last = self.fields[-1] if self.fields else None
            if last is None or last.flow is not flow or self._moves():
                pairs = dict(zip(loop.formals, known, strict=True))
                last = MeanField(flow, pairs)
            self.fields.append(last)
            self.carries.append([last.moments[u] for u in loop.updates])
        self._rows: dict[tuple[int, int], np.ndarray] = {}

    def _moves(self) -> bool:
        """Have the moments changed in the last step?"""
        pairs = zip(*self.carries[-2:], strict=True)
        return not all(np.allclose(a, b, rtol=1e-3, atol=1e-9) for a, b in pairs)

    def moments(self, op: Scan) -> Moments:
        """Return the moments of a result; of all steps together where it is of all."""
        if isinstance(op, Final):
            return self.carries[-1][op.number]
        if isinstance(op, States):
            found = [c[op.number] for c in self.carries]
        else:
            found = [f.moments[op.value] for f in self.fields]
        if not found:
            return Moments(0.0, 0.0)
        mean = float(np.mean([m.mean for m in found]))
        square = float(np.mean([m.square for m in found]))
        return Moments(mean, max(square - mean * mean, 0.0))

    def factors(self, op: Scan) -> list[float]:
        """Return the expected factors of squared norms, for a cotangent evenly spread.

        They are in the order of the operands.
        """
        vectors, elements, shared = self.steps.sweep(op, self.row)
        if not vectors.shape[1]:
            return [0.0] * len(self.steps.loop.formals)
        arrived = np.concatenate([vectors, elements.sum(axis=1), shared])
        found: list[float] = arrived.mean(axis=1).tolist()
        return found

    def row(self, t: int, top: Tensor) -> np.ndarray:
        """Return the expected factors of squared norms, from a value to the formals."""
        key = (id(self.fields[t]), id(top))
        if key not in self._rows:
            found = self.fields[t].squares(top)
            formals = self.steps.loop.formals
            self._rows[key] = np.array([found.get(id(f), 0.0) for f in formals])
        return self._rows[key]


def _is_padding(c: Comprehension) -> bool:
    """Does a statement put a tensor between zeros?"""
    return c.is_movement and bool(c.guards)


def _is_part(t: Tensor) -> bool:
    """Is a tensor a part of a concatenation, or several of its parts?

    Parts between zeros are put side by side by selects, one in the other.
    """
    c = t.op
    if not isinstance(c, Comprehension):
        return False
    if c.is_elementwise and c.body.fn == "select":
        return all(map(_is_part, t.args[1:]))
    return _is_padding(c)


def _quadrature(variables: int) -> tuple[np.ndarray, np.ndarray]:
    """Return points and weights for the mean over a standard normal variable.

    For one variable they are evenly spaced (Trefethen & Weideman 2014, "The
    Exponentially Convergent Trapezoidal Rule"), and so close that the bump of a slope
    is seen where it is narrow: tanh′ of values of deviation 10.  None lies on a kink
    at 0.
    """
    if variables == 1:
        nodes = 16 * ((np.arange(FINE) + 0.5) / FINE - 0.5)
        weights = np.exp(-np.square(nodes) / 2)
    else:
        rule = POINTS.get(variables, 5)
        nodes, weights = np.polynomial.hermite_e.hermegauss(rule)
    return nodes, weights / weights.sum()


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
    from scipy.special import ndtr

    z = np.linspace(-8, 8, 2001)
    mass = np.diff(ndtr(z) ** count)
    middle = (z[1:] + z[:-1]) / 2
    mean = float(mass @ middle)
    variance = float(mass @ middle**2) - mean**2
    sign = 1 if greatest else -1
    return Moments(
        x.mean + sign * math.sqrt(x.variance) * mean, x.variance * max(variance, 0.0)
    )

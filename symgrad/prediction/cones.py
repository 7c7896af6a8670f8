"""Elementwise parts of a graph as scalar functions of one tensor.

``x·σ(x)`` is one function of x: its slope is at most 1.0998, while the product of its
edges has no bound.  A *cone* is a node with the elementwise nodes below it, down to a
cut of *leaves*; among the cuts with one leaf that a gradient passes, the lowest makes
the largest function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from symgrad.declare import scalar
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.ops.elementwise import ACTIVATIONS
from symgrad.declare.scalar import Expr
from symgrad.declare.tensor import Tensor, scalar_value

MOST = 40  # nodes of a cone


@dataclass(frozen=True, eq=False)
class Cone:
    """A node as a scalar function of its leaves.

    Attributes:
        body: over variables ``x`` (the first leaf), ``x1``, ``x2``, …
        leaves: variable → tensor.
    """

    body: Expr
    leaves: Mapping[str, Tensor]

    @property
    def name(self) -> str:
        """The name of the function, where it has one, else its text."""
        return name_of_body(self.body)


def cone_of(
    node: Tensor,
    place: Mapping[int, int],
    passes: Callable[[Tensor], bool],
    barrier: Callable[[Tensor], bool],
) -> Cone:
    """Return an elementwise node as a function of what is below it.

    Args:
        node: an elementwise node.
        place: identity → number in topological order.
        passes: says whether a gradient passes a tensor.
        barrier: says whether a tensor is not to be passed over.
    """
    inside = {id(node)}
    cut = list(dict.fromkeys(node.args))
    best = list(cut)
    while len(inside) < MOST:
        top = max(
            (t for t in cut if _opens(t, node) and not barrier(t)),
            key=lambda t: place[id(t)],
            default=None,
        )
        if top is None:
            break
        inside.add(id(top))
        cut = [t for t in cut if t is not top]
        cut += [a for a in dict.fromkeys(top.args) if all(a is not t for t in cut)]
        variable = [t for t in cut if scalar_value(t) is None]
        if len(variable) == 1 and passes(variable[0]):
            best = list(cut)
    return _cone(node, best)


def _opens(t: Tensor, node: Tensor) -> bool:
    """Is a tensor an elementwise function that a cone may take in?"""
    op = t.op
    return (
        isinstance(op, Comprehension)
        and op.is_elementwise
        and op.body.fn not in ("read", "axis", "size")
        and t.shape == node.shape
    )


def _cone(node: Tensor, cut: list[Tensor]) -> Cone:
    names: dict[int, Expr] = {}
    leaves: dict[str, Tensor] = {}
    for t in cut:
        value = scalar_value(t)
        if value is not None:
            names[id(t)] = scalar.number(value)
            continue
        name = f"x{len(leaves)}" if leaves else "x"
        names[id(t)] = scalar.var(name)
        leaves[name] = t

    def walk(t: Tensor) -> Expr:
        if id(t) not in names:
            op = t.op
            assert isinstance(op, Comprehension)
            reads = {
                scalar.read(k): walk(t.args[r.operand]) for k, r in enumerate(op.reads)
            }
            names[id(t)] = scalar.substitute(op.body, reads)
        return names[id(t)]

    return Cone(walk(node), leaves)


def name_of_body(body: Expr) -> str:
    """Return ``silu`` for ``x*sigmoid(x)``; a short body's text, else ``f``."""
    if body.args and all(a.fn == "var" for a in body.args):
        return body.fn
    for name, text in ACTIVATIONS.items():
        if matches(scalar.parse(text), body):
            return name
    text = repr(body)
    return text if len(text) <= 24 else "f"


def matches(pattern: Expr, e: Expr) -> bool:
    """Is ``e`` the pattern, with numbers for its variables other than x?"""
    if pattern.fn == "var" and pattern.value != "x":
        return scalar.is_number(e)
    if scalar.is_number(pattern) and scalar.is_number(e):
        return abs(float(pattern.value) - float(e.value)) < 1e-6
    same = pattern.fn == e.fn and pattern.value == e.value
    return same and all(
        matches(p, a) for p, a in zip(pattern.args, e.args, strict=True)
    )

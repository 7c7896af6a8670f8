"""What of the gradient passes by each residual road, and what through its blocks.

At ``y = x + f(x)`` the cotangent of ``y`` comes to ``x`` on two ways: as it is along
the road, and multiplied by ``∂f/∂x`` through the block.  Both are derived as graphs of
their own and measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from symgrad.declare.build import elementwise
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.tensor import (
    Constant,
    Param,
    Reshape,
    Tensor,
    constant,
    input,
    topological,
)
from symgrad.derivation.reverse import flatten, reverse
from symgrad.drawing.condense import Box
from symgrad.drawing.labels import WIDEST, isolated, local_of
from symgrad.drawing.measure import norms
from symgrad.drawing.residuals import Branch, Residual
from symgrad.notation.lower import source
from symgrad.notation.names import leaf_names

#: What is written for the derivative of a shortcut that is no short formula, and the
#: signs of those that are none.
SHORTCUT = "∂s/∂x"
INDEXED = ("_{", "𝟙", "Σ")


@dataclass(frozen=True)
class Share:
    """Norms of the gradient at a residual sum ``y = x + f(x)``.

    Attributes:
        residual: the sum.
        arriving: of ``∂L/∂y``.
        road: of what comes to ``x`` along the road.
        blocks: of what comes to ``x`` through each block.
        whole: of ``∂L/∂x``, to which other users of ``x`` may contribute.
    """

    residual: Residual
    arriving: float
    road: float
    blocks: tuple[float, ...]
    whole: float

    @property
    def by_road(self) -> float:
        """The road's part of the norms that come to ``x``, NaN where none does."""
        total = self.road + sum(self.blocks)
        return self.road / total if total else float("nan")


def shares(
    loss: Tensor,
    found: Sequence[Residual],
    data: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
) -> list[Share]:
    """Measure the gradient at residual sums, in one compiled program.

    Args:
        loss: a scalar.
        found: residual sums below it; those that get no gradient are left out.
        data: an array for each input by name.
        params: an array for each parameter by name; ``sg.init(loss, seed=0)``'s else.

    Raises:
        GraphError: an input or a parameter has no array.
    """
    ways = Ways(found, all_cotangents(loss, [r.stream for r in found]))
    return ways.shares(norms(loss, ways.tensors, data, params))


class Ways:
    """The gradients at residual sums, not yet measured.

    Attributes:
        tensors: everything whose norm is wanted.
    """

    def __init__(
        self, found: Sequence[Residual], cotangents: Mapping[Tensor, Tensor]
    ) -> None:
        self.tensors: list[Tensor] = []
        self._rows: list[tuple[Residual, list[int | None]]] = []
        for r in found:
            g = cotangents.get(r.add)
            if g is None:
                continue
            branches = [sent(b, r.stream, g) for b in (r.road, *r.blocks)]
            branches[1] = _plus_gate(r, g, branches)
            parts = [g, *branches, cotangents.get(r.stream)]
            places: list[int | None] = []
            for part in parts:
                places.append(None if part is None else len(self.tensors))
                self.tensors += [] if part is None else [part]
            self._rows.append((r, places))

    def shares(self, sizes: Sequence[float]) -> list[Share]:
        """Return what passes where, given the norms of ``tensors``."""
        made = []
        for r, places in self._rows:
            values = [0.0 if p is None else sizes[p] for p in places]
            blocks = tuple(values[2:-1])
            made.append(Share(r, values[0], values[1], blocks, values[-1]))
        return made


def all_cotangents(loss: Tensor, extra: Sequence[Tensor]) -> dict[Tensor, Tensor]:
    """Return the cotangents of what trainable parameters and ``extra`` reach."""
    trained = [
        n for n in topological([loss]) if isinstance(n.op, Param) and n.op.trainable
    ]
    seed = constant(1.0, loss.dtype)
    return reverse([loss], flatten([trained, list(extra)]), [seed]).cotangents


def sent(branch: Branch, stream: Tensor, g: Tensor) -> Tensor | None:
    """Return what the cotangent ``g`` of a branch's end sends to the stream."""
    if not branch.members:
        return g
    back = reverse([branch.end], [stream], [g], order=branch.members)
    return back.cotangents.get(stream)


def _plus_gate(r: Residual, g: Tensor, sums: Sequence[Tensor | None]) -> Tensor | None:
    """Return what comes through the first block and, if there is one, the gate."""
    road, block = sums[:2]
    if r.gate is None or road is None or block is None:
        return block
    whole = sent(Branch(r.road.end, (*r.gate.members, r.road.end)), r.stream, g)
    if whole is None:
        return block
    return elementwise("add", block, elementwise("sub", whole, road))


def local_derivative(r: Residual) -> str:
    """Return ``∂y/∂x`` as the derivation gives it: ``1 + ∂f/∂x``.

    The term of the road is derived and written out; those of the blocks are named.

    >>> import symgrad as sg
    >>> from symgrad.drawing.residuals import residuals
    >>> x, W = sg.input("x", ("n", 3)), sg.param("W", (3, 3))
    >>> local_derivative(*residuals(0.5 * x + sg.relu(x @ W)))
    '1/2 + ∂f/∂x'
    """
    names = ["f"] if len(r.blocks) == 1 else [f"f{n + 1}" for n in range(len(r.blocks))]
    factor = road_factor(r)
    terms = [f"({factor})" if " " in factor else factor]
    for branch, name in zip(r.blocks, names, strict=True):
        seed = input("·", branch.end.shape, branch.end.dtype)
        if sent(branch, r.stream, seed) is not None:
            terms.append(f"{_scale(branch.end)}∂{name}/∂x")
    return " + ".join(terms)


def _scale(end: Tensor) -> str:
    """Return the weight that a block's result is multiplied by: ``a``, ``diag(g)``.

    That of a normalisation, which follows a quotient, belongs to the block.
    """
    c = end.op
    if not isinstance(c, Comprehension) or c.body.fn != "mul":
        return ""
    if any(_function(source(a)) == "div" for a in end.args):
        return ""
    weights = [source(a) for a in end.args if isinstance(source(a).op, Param)]
    if len(weights) != 1 or not c.is_elementwise:
        return ""
    (name,) = leaf_names(weights).values()
    return f"diag({name}) " if weights[0].ndim else f"{name} "


def _function(t: Tensor) -> str:
    return t.op.body.fn if isinstance(t.op, Comprehension) else ""


def road_factor(r: Residual) -> str:
    """Return what a cotangent is multiplied by along the road: 1 where it is ``x``.

    Where that is no short formula, as of a strided convolution, it is ``∂s/∂x``.
    """
    if all(map(_is_rearranged, r.road.members)):
        return "1"
    members = [*_arithmetic(r), *r.road.members]
    inside = {r.stream, *members}
    reads = dict.fromkeys(a for m in members for a in m.args)
    outer = [a for a in reads if a not in inside and not isinstance(a.op, Constant)]
    box = Box(r.road.end, members, [r.stream, *outer])
    copy, places = isolated(box)
    seed = input("·", copy.shape, copy.dtype)
    part = reverse([copy], [places[r.stream]], [seed]).cotangents.get(places[r.stream])
    if part is None:
        return "0"
    named = leaf_names([a for a in outer if isinstance(a.op, Param)])
    other = "s" if r.gate is None else "t"
    names = {places[a]: named.get(a, other) for a in outer}
    text = local_of(part, {**names, places[r.stream]: "x", seed: "·"}).text
    number, dot, divisor = text.partition("·")
    number, divisor = number.strip() or "1", divisor.replace(" ", "")
    plain = dot and not any(c.isalpha() for c in number + divisor)
    if plain:
        return number + divisor
    if len(text) > WIDEST or any(sign in text for sign in INDEXED):
        return SHORTCUT
    if r.projected:  # what a cotangent is multiplied by, transposed
        return text
    # a factor by itself: the dot stands for what it is multiplied with
    bare = text.removeprefix("⊙ ").removeprefix("·").removesuffix(" ·")
    bare = bare if "·" not in bare else text
    if bare.startswith("(") and bare.endswith(")") and bare.count("(") == 1:
        bare = bare[1:-1]
    return bare


def _is_rearranged(t: Tensor) -> bool:
    """Has a tensor the elements of its operand, in another order or shape?"""
    c = t.op
    if isinstance(c, Reshape):
        return True
    moved = isinstance(c, Comprehension) and c.is_movement and not c.guards
    return moved and Counter(t.shape) == Counter(t.args[0].shape)


def _arithmetic(r: Residual) -> list[Tensor]:
    """Return what makes a gate's ``1 − t`` of ``t``, operands first."""
    found: list[Tensor] = []
    at = r.gate.end if r.gate is not None else None
    while at is not None and at.args:
        c = at.op
        if not isinstance(c, Comprehension) or c.body.fn not in ("sub", "neg", "add"):
            break
        found.insert(0, at)
        live = [a for a in at.args if a.ndim and source(a).args]
        at = live[0] if len(live) == 1 else None
    return found

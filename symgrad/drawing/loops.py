"""Loops in pictures: one box that says what it repeats, how often, and by what.

    hₜ₊₁ = tanh(hₜ U + xₜ W)        t = 0 … length - 1

The carries of a loop are called h, its elements as the sequence they are taken from,
and what is the same in every step as it is outside.  Derivatives are those of a step,
multiplied over the steps for a first carry, summed for an operand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from symgrad.declare.bodies import number_of
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.loop import Final, Loop, Scan, Stacked, States
from symgrad.declare.tensor import Tensor, op_name, topological
from symgrad.drawing.condense import Box
from symgrad.drawing.slices import is_part, operand
from symgrad.notation.lower import below, source
from symgrad.notation.names import unused
from symgrad.notation.syntax import Form, sym

NOW, NEXT = "ₜ", "ₜ₊₁"
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@dataclass
class Step:
    """One step of a loop, with names for what it reads and for its results.

    Attributes:
        loop: what is repeated.
        names: of the formals and, with an index, of the next carries.
        values: the next carries, and what else the loop is asked for.
        boxes: what computes them.
        formals: outer tensor -> the formals that stand for it.
    """

    loop: Loop
    names: dict[Tensor, str]
    values: list[Tensor]
    formals: dict[Tensor, list[Tensor]] = field(default_factory=dict)

    def role(self, formal: Tensor) -> str:
        """Return what a formal is: a ``carry``, an ``element`` or an ``operand``."""
        n, carries = number_of(formal), len(self.loop.updates)
        if n < carries:
            return "carry"
        return "element" if n < carries + self.loop.sequences else "operand"


def is_loop(t: Tensor) -> bool:
    """Say whether a node is a result of a loop."""
    return isinstance(t.op, Scan)


def loop_of(t: Tensor) -> Loop:
    """Return the loop that a node is a result of."""
    assert isinstance(t.op, Final | States | Stacked)
    return t.op.loop


def step(t: Tensor, outer: Mapping[Tensor, str]) -> Step:
    """Return the step of a loop, given a result of it and the names outside."""
    loop = loop_of(t)
    taken: set[str] = set()
    names: dict[Tensor, str] = {}
    places: dict[Tensor, list[Tensor]] = {}
    carries, last = len(loop.updates), len(loop.updates) + loop.sequences
    for n, (formal, actual) in enumerate(zip(loop.formals, t.args, strict=True)):
        at = source(actual)
        places.setdefault(at, []).append(formal)
        if n >= carries:
            own = _free(outer.get(at) or ("x" if n < last else "w"), taken)
            taken.add(own)
            names[formal] = own + (NOW if n < last else "")
    free = [c for c in "hcsu" if c not in taken]
    if carries > len(free):
        free = [f"h{n + 1}" for n in range(carries)]
    pairs = zip(free, loop.carries, loop.updates, strict=False)
    for own, carry, update in pairs:
        names[carry] = own + NOW
        if update not in names:
            names[update] = own + NEXT
    values = dict.fromkeys(loop.updates)
    if isinstance(t.op, Stacked):
        values[t.op.value] = None
    return Step(loop, names, list(values), places)


def _free(base: str, taken: set[str]) -> str:
    return base if base not in taken else unused(base, taken)


def result_of(box: Box) -> Tensor | None:
    """Return the loop's result of which a box is nothing but a part."""
    at, members = box.head, set(box.members)
    while is_part(at) and at in members:
        at = operand(at)
    return at if is_loop(at) and at is not box.head else None


def body_of(found: Step) -> Box:
    """Return the first of a step's values as a box over all formals that it reads."""
    head = found.values[0]
    formals = set(found.loop.formals)
    members = [n for n in below([head], formals) if n.args and n not in formals]
    reached = set(below([head], formals))
    return Box(head, members, [f for f in found.loop.formals if f in reached])


def over_steps(role: str, inner: Form) -> Form:
    """Return a derivative over all steps from that of one."""
    if role == "element":
        return inner
    return Form("big", (inner, sym("t")), "Π" if role == "carry" else "Σ")


def words_of(found: Step) -> list[str]:
    """Return what a step consists of: its products, and its functions of elements."""
    words: dict[str, None] = {}
    for t in topological(found.values):
        c = t.op
        if isinstance(c, Scan):
            words["scan"] = None
        elif isinstance(c, Comprehension) and not c.is_movement:
            several = c.is_contraction and len(c.reads) > 1
            words[op_name(c) if several or c.body.fn == "read" else c.body.fn] = None
    telling = [w for w in words if w not in _ARITHMETIC]
    return telling or list(words)


_ARITHMETIC = {"add", "sub", "mul", "neg", "div", "read"}

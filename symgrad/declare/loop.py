"""Loops: a step that is repeated, as operations of the graph.

A step is a closed graph, the *body*, over leaves of its own, the *formals*:

    c[t+1] = update(c[t], x[t], w)        t = 0 … length - 1

``c`` are the carries, ``x`` the sequences, of which step ``t`` has element ``t``, and
``w`` the operands, the same for every step.  What the loop gives are nodes of their
own, all with the loop's arguments (first carries, sequences, operands) as operands:

    Final(loop, n)       carry n after the last step
    States(loop, n)      carry n before the first step and after each: length + 1 of it
    Stacked(loop, v)     the body's value v at each step, whatever it is

So an output that nobody uses does not exist, and a derivative may ask for any value of
the body.  All results of one loop on the same operands are computed together.

A reversed loop goes from the last element to the first; what belongs to step ``t`` is
element ``t`` all the same, so that the first carry is the *last* of the states.

Equal bodies are the same nodes, because formals are leaves without names; and so equal
loops are one object.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from symgrad.declare.dims import Size

if TYPE_CHECKING:
    from symgrad.declare.tensor import Tensor


@dataclass(frozen=True)
class Formal:
    """A leaf of a loop's body: argument ``number`` of a step."""

    number: int

    @property
    def name(self) -> str:
        """What printed bodies call it."""
        return f"a{self.number}"


@dataclass(frozen=True, eq=False)
class Loop:
    """A repeated step; see the module's docstring.

    Attributes:
        length: how many steps there are.
        formals: what stands for the carries, the sequences' elements, the operands.
        updates: the next carries, over the formals.
        sequences: how many of the formals, behind the carries, are elements.
        reverse: the last element comes first.
        recompute: what derivatives need of a step is computed again, not stored.
    """

    length: Size
    formals: tuple[Tensor, ...]
    updates: tuple[Tensor, ...]
    sequences: int
    reverse: bool = False
    recompute: bool = False

    @property
    def carries(self) -> tuple[Tensor, ...]:
        """The formals that stand for the carries."""
        return self.formals[: len(self.updates)]

    @property
    def elements(self) -> tuple[Tensor, ...]:
        """The formals that stand for one element of each sequence."""
        return self.formals[len(self.updates) : len(self.updates) + self.sequences]

    @property
    def operands(self) -> tuple[Tensor, ...]:
        """The formals that stand for what is the same in every step."""
        return self.formals[len(self.updates) + self.sequences :]


@dataclass(frozen=True)
class Final:
    """A carry after the last step."""

    loop: Loop
    number: int
    name = "scan"


@dataclass(frozen=True)
class States:
    """A carry before the first step and after each."""

    loop: Loop
    number: int
    name = "scan"


@dataclass(frozen=True, eq=False)
class Stacked:
    """A value of the body at each step."""

    loop: Loop
    value: Tensor
    name = "scan"

    def __hash__(self) -> int:
        return hash((self.loop, id(self.value)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Stacked):
            return False
        return self.loop is other.loop and self.value is other.value


Scan = Final | States | Stacked

_loops: weakref.WeakValueDictionary[tuple, Loop] = weakref.WeakValueDictionary()


def loop(
    length: Size,
    formals: Sequence[Tensor],
    updates: Sequence[Tensor],
    sequences: int,
    reverse: bool = False,
    recompute: bool = False,
) -> Loop:
    """Return the loop with these parts (the existing one if there is one)."""
    parts = tuple(map(id, formals)), tuple(map(id, updates))
    key = (length, *parts, sequences, reverse, recompute)
    found = _loops.get(key)
    if found is None:
        found = Loop(
            length, tuple(formals), tuple(updates), sequences, reverse, recompute
        )
        _loops[key] = found
    return found

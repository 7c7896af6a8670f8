"""What the rules ask of a node, and how they make new ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from symgrad.declare import build, dtypes, scalar
from symgrad.declare.comprehension import (
    Comprehension,
    Guard,
    Index,
    Quotient,
    along,
    bounds,
)
from symgrad.declare.dims import Size, evaluate, names, nonnegative, product
from symgrad.declare.tensor import (
    Reshape,
    Shape,
    Tensor,
    make,
    scalar_value,
)

from symgrad.simplification.order import Key, structural_key

#: The size that a named dimension is taken to have where two costs are compared.
NOMINAL = 1024


class Facts:
    """What a rule may know of the graph around a node.

    ``uses`` counts the nodes that compute with a node's value, those behind a movement
    of it included.
    """

    def __init__(self) -> None:
        self.uses: dict[Tensor, int] = {}
        self.keys: dict[Tensor, Key] = {}

    def know(self, t: Tensor) -> None:
        """Note a node in normal form, for the order of operands."""
        self.keys[t] = structural_key(t, [self.key(a) for a in t.args])

    def key(self, t: Tensor) -> Key:
        """Return the place of a node in the order of operands."""
        return self.keys.get(t, (False, 0, b""))

    def single(self, t: Tensor) -> bool:
        """Return True if only one node computes with ``t``."""
        return self.uses.get(t, 1) <= 1


@lru_cache(maxsize=65536)
def _kind_of(c: Comprehension) -> str:
    if c.target is not None:
        return "scatter"
    if c.reduce is not None:
        return "reduction"
    if c.body.fn == "read":
        return "movement"
    if c.body.args and all(a.fn == "read" for a in c.body.args) and c.is_elementwise:
        return "elementwise"
    return "statement"


def kind(t: Tensor) -> str:
    """Return leaf, reshape, scatter, reduction, movement, cast, elementwise, statement.

    A cast is a movement that changes the type and nothing else; one that does both is
    a statement, as is any other body.
    """
    if isinstance(t.op, Comprehension):
        found = _kind_of(t.op)
        if found == "movement" and source(t).dtype != t.dtype:
            return "cast" if is_identity(t.op, source(t).shape) else "statement"
        return found
    return "reshape" if isinstance(t.op, Reshape) else "leaf"


def statement(t: Tensor) -> Comprehension:
    """Return the statement of a node that has one."""
    assert isinstance(t.op, Comprehension)
    return t.op


def source(t: Tensor) -> Tensor:
    """Return the tensor whose values a movement or cast moves."""
    c = statement(t)
    return t.args[c.reads[c.body.value].operand]  # type: ignore[index]


def operands(t: Tensor) -> list[Tensor]:
    """Return the operands of an elementwise node, one for each argument in order."""
    c = statement(t)
    return [t.args[c.reads[a.value].operand] for a in c.body.args]  # type: ignore[index]


def function(t: Tensor) -> str | None:
    """Return the scalar function of an elementwise node, else None."""
    return statement(t).body.fn if kind(t) == "elementwise" else None


def is_identity(c: Comprehension, shape: Shape) -> bool:
    """Return True for a movement that leaves every element where it is."""
    if c.guards or c.shape != shape or c.reduce is not None:
        return False
    index = c.reads[c.body.value].index  # type: ignore[index]
    return all(
        i.axis == a or (n == 1 and not i.terms and i.constant == 0)
        for a, (i, n) in enumerate(zip(index, shape, strict=True))
    )


@lru_cache(maxsize=65536)
def measure(shape: Shape) -> int:
    """Return the number of elements, each name standing for a nominal size."""
    total = product(shape)
    if isinstance(total, int):
        return total
    return evaluate(total, dict.fromkeys(names(total), NOMINAL))


def literal(t: Tensor) -> bool | int | float | None:
    """Return the number that every element of ``t`` is, where that is written down."""
    while isinstance(t.op, Comprehension) and kind(t) == "movement":
        if t.op.guards:
            return None
        t = source(t)
    return scalar_value(t)


def with_args(t: Tensor, args: Sequence[Tensor]) -> Tensor:
    """Return the node on other operands of the same shapes and types."""
    if all(a is b for a, b in zip(args, t.args, strict=True)):
        return t
    if isinstance(t.op, Comprehension) and len(set(map(id, args))) < len(args):
        return build.apply(t.op, args, t.dtype)
    return make(t.op, args, t.shape, t.dtype)


def in_range(
    index: Index, size: Size, extents: Sequence[Size], guards: Sequence[Guard]
) -> bool:
    """Return True if ``0 <= index < size`` surely holds wherever the guards do."""
    low, high = bounds(index, extents)
    if nonnegative(low) and nonnegative(size - 1 - high):
        return True
    return any(_implies(g, index, size) for g in guards)


def _implies(g: Guard, index: Index, size: Size) -> bool:
    if g.bound is None:
        return False
    if g.index == index:
        return nonnegative(size - g.bound)
    if len(index.terms) == 1 and index.constant == 0:
        atom, factor = index.terms[0]
        if factor == 1 and isinstance(atom, Quotient) and atom.index == g.index:
            return nonnegative(size * atom.divisor - g.bound)
    return False


def axes_of_index(c: Comprehension, index: Index) -> set[int]:
    """Return the axes on which an index depends, through the values of reads too."""
    found = set(index.axes())
    pending = list(index.values())
    seen: set[int] = set()
    while pending:
        k = pending.pop()
        if k in seen:
            continue
        seen.add(k)
        for i in c.reads[k].index:
            found |= i.axes()
            pending += i.values()
    return found


def axes_of_read(c: Comprehension, k: int) -> set[int]:
    """Return the axes on which a read depends, through other reads too."""
    found: set[int] = set()
    for i in c.reads[k].index:
        found |= axes_of_index(c, i)
    return found


def axes_of_guards(c: Comprehension) -> set[int]:
    """Return the axes on which the guards depend."""
    return set().union(*(axes_of_index(c, g.index) for g in c.guards))


def factors(c: Comprehension) -> list[int] | None:
    """Return the reads that the body multiplies, or None if it is no such product."""
    parts = scalar.factors(c.body)
    if all(p.fn == "read" for p in parts):
        return [p.value for p in parts]  # type: ignore[misc]
    return None


def product_of(reads: Sequence[int]) -> scalar.Expr:
    """Return the body that multiplies these reads."""
    return scalar.multiply([scalar.read(k) for k in reads])


def moved_to(t: Tensor, shape: Shape, axes: Sequence[int]) -> Tensor:
    """Return ``t`` whose dimension ``d`` becomes axis ``axes[d]`` of ``shape``."""
    index = [
        Index() if n == 1 and shape[a] != 1 else along(a)
        for n, a in zip(t.shape, axes, strict=True)
    ]
    return build.movement("broadcast_to", t, shape, index)


def move_name(c: Comprehension, before: Shape) -> str:
    """Return the name of a movement, from what it does alone."""
    index = c.reads[c.body.value].index  # type: ignore[index]
    if any(i.values() for i in index):
        return "take"
    if c.guards:
        return "pad"
    axes = [i.axis for i in index if i.axis is not None]
    fixed = [n for i, n in zip(index, before, strict=True) if i.axis is None]
    if len(set(axes)) < len(axes) or any(n != 1 for n in fixed):
        return "slice"
    if axes != sorted(axes):
        return "transpose"
    if any(n != 1 for a, n in enumerate(c.shape) if a not in axes):
        return "broadcast_to"
    return "squeeze" if fixed else "expand_dims"


@dataclass(frozen=True)
class Rewrite:
    """One application of a rule.

    Attributes:
        name: the rule.
        before: the node as text.
        after: what replaced it, as text.
        node: the replaced node.
    """

    name: str
    before: str
    after: str
    node: Tensor

    def __str__(self) -> str:
        return f"{self.name}: {self.before}  ->  {self.after}"


def float_like(t: Tensor) -> bool:
    """Return True for a node of a float type."""
    return dtypes.is_float(t.dtype)


def replaced(c: Comprehension, **changes: object) -> Comprehension:
    """Return the statement with some parts changed."""
    return replace(c, **changes)  # type: ignore[arg-type]

"""What the rules ask of a node and of the graph around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from symgrad.declare import build, dtypes
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.dims import evaluate, names, product
from symgrad.declare.linear_algebra import LinearAlgebra
from symgrad.declare.loop import Final, Stacked, States
from symgrad.declare.tensor import Reshape, Shape, Tensor, make
from symgrad.simplification.order import Key, structural_key
from symgrad.simplification.structure import is_identity, structure

#: The size that a named dimension is taken to have where two costs are compared.
NOMINAL = 1024


class Facts:
    """What a rule may know of the graph around a node.

    Attributes:
        uses: how many nodes compute with a node's value, also behind a movement of it.
        keys: the place of each normal node in the order of operands.
        shared: a node that a rule left alone because it is used elsewhere, and the
            node to which the rule was to be applied.
        here: the node that is being rewritten.
    """

    here: Tensor

    def __init__(self) -> None:
        self.uses: dict[Tensor, int] = {}
        self.keys: dict[Tensor, Key] = {}
        self.shared: list[tuple[Tensor, Tensor]] = []

    def single(self, t: Tensor) -> bool:
        """Return True if only one node computes with ``t``."""
        if self.uses.get(t, 1) <= 1:
            return True
        self.shared.append((t, self.here))
        return False

    def know(self, t: Tensor) -> None:
        """Note a node in normal form, for the order of operands."""
        self.keys[t] = structural_key(t, [self.key(a) for a in t.args])

    def key(self, t: Tensor) -> Key:
        """Return the place of a node in the order of operands."""
        return self.keys.get(t, (False, 0, b""))


def kind(t: Tensor) -> str:
    """Return the kind of a node.

    It is leaf, reshape, matrix, loop, scatter, reduction, movement, cast, elementwise.

    Any other is a statement.  A matrix is an operation of linear algebra.  A cast is a
    movement that changes the type and nothing else; one that does both is a statement.
    """
    c = t.op
    if not isinstance(c, Comprehension):
        return _OTHERS.get(type(c), "leaf")
    form = structure(c).form
    if form != "movement":
        return form
    x = t.args[c.reads[c.body.value].operand]
    if x.dtype == t.dtype:
        return form
    return "cast" if is_identity(c, x.shape) else "statement"


_OTHERS = {Reshape: "reshape", LinearAlgebra: "matrix"}
_OTHERS |= dict.fromkeys((Final, States, Stacked), "loop")


def passes(t: Tensor) -> bool:
    """Return True for a node that computes nothing of its own."""
    return kind(t) in ("movement", "cast", "reshape")


def statement(t: Tensor) -> Comprehension:
    """Return the statement of a node that has one."""
    assert isinstance(t.op, Comprehension)
    return t.op


def source(t: Tensor) -> Tensor:
    """Return the tensor whose values a movement, cast or reshape moves."""
    c = t.op
    if isinstance(c, Reshape):
        return t.args[0]
    assert isinstance(c, Comprehension)
    return t.args[c.reads[c.body.value].operand]


def operands(t: Tensor) -> list[Tensor]:
    """Return the operands of an elementwise node, one for each argument in order."""
    c = statement(t)
    return [t.args[c.reads[a.value].operand] for a in c.body.args]


def function(t: Tensor) -> str | None:
    """Return the scalar function of an elementwise node, else None."""
    c = t.op
    if isinstance(c, Comprehension) and structure(c).form == "elementwise":
        return c.body.fn
    return None


@lru_cache(maxsize=65536)
def measure(shape: Shape) -> int:
    """Return the number of elements, each name standing for a nominal size."""
    total = product(shape)
    if isinstance(total, int):
        return total
    return evaluate(total, dict.fromkeys(names(total), NOMINAL))


def with_args(t: Tensor, args: Sequence[Tensor]) -> Tensor:
    """Return the node on other operands of the same shapes and types."""
    if isinstance(t.op, Comprehension) and len(set(map(id, args))) < len(args):
        return build.apply(t.op, args, t.dtype)
    return make(t.op, args, t.shape, t.dtype)


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

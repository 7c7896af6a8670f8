"""Rules that read as mathematics, matched structurally against elementwise nodes.

A pattern is the text of a scalar expression.  Its names stand for any tensor; its
functions and numbers must literally be present.  Operands of commutative functions
match in both orders.  Nothing is solved for: ``1 + x`` does not match ``a``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from symgrad.declare import build, scalar
from symgrad.declare.scalar import Expr
from symgrad.declare.tensor import Tensor, scalar_value
from symgrad.simplification.nodes import (
    Facts,
    function,
    operands,
)

COMMUTATIVE = frozenset(["add", "mul", "and", "or", "xor", "eq", "ne"])
#: These too match in both orders; which order stands may decide the sign of a zero.
SYMMETRIC = COMMUTATIVE | {"maximum", "minimum"}
Bindings = Mapping[Expr, Tensor]


@dataclass(frozen=True)
class PatternRule:
    """``left -> right`` under a name.

    Attributes:
        name: how messages call the rule.
        left: what is looked for.
        right: what replaces it, over the same variables.
    """

    name: str
    left: Expr
    right: Expr

    @property
    def heads(self) -> set[str]:
        """The functions that the operands must have, ``number`` for a literal."""
        return {a.fn for a in self.left.args if a.fn != "var"}

    def apply(self, t: Tensor, facts: Facts) -> Tensor | None:
        """Return what replaces ``t``, or None where the left side does not match."""
        del facts
        for bindings in matches(self.left, t, {}):
            if self.right.fn == "neg" and t.shape and self._signs_scalar(bindings):
                continue
            return _rebuilt(self.right, bindings, t)
        return None

    def _signs_scalar(self, bindings: Bindings) -> bool:
        """Return True if the sign to be moved is that of a scalar: it stays there."""
        return any(
            a.fn == "neg" and a.args[0] in bindings and not bindings[a.args[0]].shape
            for a in self.left.args
        )

    def __str__(self) -> str:
        return f"{self.name}: {self.left} -> {self.right}"


def rules(text: str) -> tuple[PatternRule, ...]:
    """Return the rules of a table, ``name: left -> right`` for each.

    A line without a colon goes on with the one before.

    >>> for rule in rules("log_exp: log(exp(x)) -> x"):
    ...     print(rule)
    log_exp: log(exp(x)) -> x
    """
    table = []
    for line in re.sub(r"\n(?!.*:)", " ", text.strip()).splitlines():
        name, _, rest = line.partition(":")
        left, _, right = rest.partition("->")
        table.append(PatternRule(name.strip(), literally(left), scalar.parse(right)))
    return tuple(table)


def literally(text: str) -> Expr:
    """Return an expression as it is written: ``x*1`` and ``-(-x)`` stay.

    >>> literally("x*1"), literally("-(-x)")
    (x*1, --x)
    """

    def special(node: ast.expr) -> Expr | None:
        match node:
            case ast.Name(id=name):
                return scalar.var(name)
            case ast.Constant(value=bool() | int() | float() as value):
                return scalar.number(value)
            case ast.UnaryOp(
                op=ast.USub(), operand=ast.Constant(value=int() | float() as value)
            ):
                return scalar.number(-value)
            case ast.UnaryOp(op=ast.USub()):
                return Expr("neg", walk(node.operand))
            case ast.Call(func=ast.Name(id="where")):
                return Expr("select", *map(walk, node.args))
            case ast.BinOp(op=op) if type(op) in _OPERATORS:
                return Expr(_OPERATORS[type(op)], walk(node.left), walk(node.right))
        return None

    def walk(node: ast.expr) -> Expr:
        return scalar.from_ast(node, text, special)

    return walk(scalar.parse_syntax(text))


_OPERATORS: dict[type, str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "div",
    ast.Pow: "pow",
}


def matches(pattern: Expr, t: Tensor, bound: Bindings) -> Iterator[Bindings]:
    """Yield every choice of the pattern's variables that makes it equal to ``t``."""
    if pattern.fn == "var":
        if pattern not in bound:
            yield {**bound, pattern: t}
        elif bound[pattern] is t:
            yield bound
    elif pattern.fn == "number":
        value = scalar_value(t)
        if value is not None and value == pattern.value and t.dtype != "bool":
            yield bound
    elif function(t) == pattern.fn:
        parts = operands(t)
        yield from _all(pattern.args, parts, bound)
        if pattern.fn in SYMMETRIC and parts[0] is not parts[1]:
            yield from _all(pattern.args, parts[::-1], bound)


def _all(
    patterns: tuple[Expr, ...], parts: list[Tensor], bound: Bindings
) -> Iterator[Bindings]:
    if not patterns:
        yield bound
        return
    for more in matches(patterns[0], parts[0], bound):
        yield from _all(patterns[1:], parts[1:], more)


def _rebuilt(right: Expr, bindings: Bindings, t: Tensor) -> Tensor | None:
    y = build.build(right, bindings, t.dtype)
    return build.broadcast_to(y, t.shape) if y.dtype == t.dtype else None

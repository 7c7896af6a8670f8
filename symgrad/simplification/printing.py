"""Nodes as short texts, for the list of applied rules."""

from __future__ import annotations

from symgrad.declare import scalar
from symgrad.declare.comprehension import Comprehension, print_statement
from symgrad.declare.scalar import Expr
from symgrad.declare.tensor import Tensor, op_name, scalar_value
from symgrad.simplification.nodes import kind, operands

DEPTH = 3


def print_node(t: Tensor) -> str:
    """Return an expression over what lies a few nodes below; a statement for others.

    >>> import symgrad as sg
    >>> print_node(sg.log(1 + sg.exp(sg.input("x", (3,)))))
    'log(1.0 + exp(x))'
    """
    if kind(t) in ("elementwise", "leaf", "reshape", "cast"):
        return scalar.to_text(_expression(t, DEPTH), lambda e: str(e.value))
    assert isinstance(t.op, Comprehension)
    return print_statement(t.op, [_label(a) for a in t.args])


def _expression(t: Tensor, depth: int) -> Expr:
    number = scalar_value(t)
    if number is not None:
        return scalar.number(number)
    if kind(t) != "elementwise" or not depth:
        return scalar.var(_label(t))
    parts = (_expression(a, depth - 1) for a in operands(t))
    return Expr(t.op.body.fn, *parts)  # type: ignore[union-attr]


def _label(t: Tensor) -> str:
    if t.name or not t.args:
        return op_name(t.op)
    inside = [a.name or op_name(a.op) for a in t.args]
    return f"{op_name(t.op)}({', '.join(inside)})"

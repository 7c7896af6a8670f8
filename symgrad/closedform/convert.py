"""Conversions between SymPy's expressions, scalar expressions and graphs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from symgrad.declare import scalar
from symgrad.declare.build import build
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.scalar import Expr
from symgrad.declare.tensor import (
    Constant,
    Tensor,
    as_tensor,
    scalar_value,
    topological,
)
from symgrad.derivation import symbolic
from symgrad.errors import DerivationError, GraphError


def graph_of(e: Expr, values: Mapping[str, Tensor]) -> Tensor:
    """Return the graph of a scalar expression, its variables being tensors."""
    missing = sorted(variables(e) - set(values))
    if missing:
        raise GraphError(f"{missing[0]!r} has no tensor; give one for each symbol")
    kind = next((t.dtype for t in values.values()), "float64")
    return build(e, {scalar.var(n): t for n, t in values.items()}, kind)


def variables(e: Expr) -> set[str]:
    """Return the names of the variables in an expression."""
    if e.fn == "var":
        return {e.value}
    return set().union(*(variables(a) for a in e.args)) if e.args else set()


def from_sympy(expr: Any, values: Mapping[Any, Any]) -> Tensor:
    """Return the graph of a SymPy expression, elementwise over broadcast tensors.

    Args:
        expr: an expression; functions as SymPy or ``sg.parse`` know them.
        values: symbol (or its name) -> tensor, number or array.

    Raises:
        DerivationError: the expression holds a function that kernels do not have.
        GraphError: a symbol has no tensor.

    >>> import sympy, symgrad as sg
    >>> x = sympy.Symbol("x")
    >>> t = sg.input("t", (3,))
    >>> print(from_sympy(sympy.sin(x) ** 2, {x: t}))
    sin²(t)
    """
    e = symbolic.from_sympy(expr)
    return graph_of(e, {str(s): as_tensor(t) for s, t in values.items()})


def to_sympy(t: Tensor) -> Any:
    """Return the SymPy expression of a graph of scalars (or of one element of it).

    Inputs and parameters become real symbols of their names.

    Raises:
        DerivationError: a node is not elementwise, naming it.

    >>> import symgrad as sg
    >>> x = sg.input("x", ())
    >>> to_sympy(sg.exp(2*x) + 1)
    exp(2*x) + 1
    """
    return symbolic.to_sympy(scalar_expression(t))


def scalar_expression(t: Tensor) -> Expr:
    """Return the scalar expression of an elementwise graph."""
    known: dict[Tensor, Expr] = {}
    for node in topological([t]):
        c = node.op
        if node.name:
            known[node] = scalar.var(node.name)
        elif isinstance(c, Constant):
            value = scalar_value(node)
            if value is None:
                raise DerivationError(f"{node.describe()} is an array, not a number")
            known[node] = scalar.number(value)
        elif isinstance(c, Comprehension) and c.is_elementwise:
            reads = {
                scalar.read(k): known[node.args[r.operand]]
                for k, r in enumerate(c.reads)
            }
            known[node] = scalar.substitute(c.body, reads)
        else:
            raise DerivationError(
                f"{node.describe()} is not elementwise, so it is no SymPy expression"
            )
    return known[t]

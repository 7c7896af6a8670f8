"""``sg.derive``: of texts, of SymPy's expressions, and of tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from symgrad.closedform.derivation import Derivation
from symgrad.closedform.parsing import parse_scalar
from symgrad.closedform.scalars import derive_scalar
from symgrad.closedform.tensors import declare, derive_tensor
from symgrad.declare.tensor import Tensor
from symgrad.derivation import symbolic
from symgrad.errors import DerivationError, GraphError


def derive(
    expr: Any,
    wrt: Any,
    order: int = 1,
    dims: Mapping[str, Sequence[int | str]] | None = None,
) -> Derivation:
    """Return a derivative in closed form, with the steps that lead to it.

    Args:
        expr: a text in Python's syntax, a SymPy expression, or a tensor.  A text is of
            scalars, unless ``dims`` is given.
        wrt: what to derive by: a name, a symbol or a tensor; or a list of names or
            symbols for all partial derivatives of a scalar expression.
        order: 1, 2, …
        dims: name -> dimensions of each tensor in a text; other names are scalars.

    Raises:
        ParseError: the text is not in the notation; with the column.
        GraphError: ``expr`` does not depend on ``wrt``, or ``order`` is no order.
        DerivationError: the expression holds what cannot be derived.

    >>> print(derive("(2*x + 1)**2", "x"))
    g = 2x + 1
    y = g²
    dy/dg = 2g
    dg/dx = 2
    <BLANKLINE>
    dy/dx = 2g · 2 = 4(2x + 1)
    >>> dims = {"X": ("n", "d"), "w": ("d",), "y": ("n",)}
    >>> found = derive("sum((X@w - y)**2)", "w", dims=dims)
    >>> print(found.title, "=", found.result)
    ∂/∂w ‖X w − y‖² = 2 Xᵀ (X w − y)
    """
    if isinstance(order, bool) or not isinstance(order, int) or order < 1:
        raise GraphError(f"order is a whole number from 1, not {order!r}")
    if isinstance(expr, Tensor):
        return derive_tensor(expr, wrt, order)
    if dims is not None:
        tensor, leaves = declare(expr, dims)
        name = wrt if isinstance(wrt, str) else str(wrt)
        if name not in leaves:
            raise GraphError(
                f"{name!r} does not occur in {expr!r}; it holds {', '.join(leaves)}"
            )
        return derive_tensor(tensor, leaves[name], order)
    if isinstance(expr, str):
        return derive_scalar(parse_scalar(expr), expr, wrt, order)
    if hasattr(expr, "free_symbols"):
        return derive_scalar(symbolic.from_sympy(expr), expr, wrt, order)
    raise DerivationError(
        f"sg.derive takes a text, a SymPy expression or a tensor, not "
        f"{type(expr).__name__}"
    )

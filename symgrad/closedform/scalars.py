"""Derivations of scalar expressions."""

from __future__ import annotations

from typing import Any

from symgrad.closedform.convert import graph_of, variables
from symgrad.closedform.derivation import Derivation
from symgrad.closedform.readable import readable
from symgrad.closedform.steps import Worked, work
from symgrad.declare.scalar import Expr
from symgrad.declare.tensor import Tensor, constant, input, topological
from symgrad.derivation.reverse import grad
from symgrad.derivation.symbolic import from_sympy, to_sympy
from symgrad.errors import GraphError
from symgrad.simplification import simplify

_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def derive_scalar(e: Expr, of: Any, wrt: Any, order: int) -> Derivation:
    """Return the derivation of a scalar expression by one variable, or by several."""
    several = isinstance(wrt, list | tuple)
    names = [str(w) for w in (wrt if several else [wrt])]
    known = variables(e)
    for n in names:
        if n not in known:
            holds = ", ".join(sorted(known)) or "no variable"
            raise GraphError(f"{n!r} does not occur in {of}; it holds {holds}")
    if several:
        return _by_several(e, of, names, order)
    found: list[Worked] = []
    result: Any = None
    lower: list[tuple[str, Any]] = []
    for k in range(1, order + 1):
        found.append(work(e if k == 1 else from_sympy(result), names[0], k))
        result = readable(found[-1].result)
        if k < order:
            lower.append((_title(found[0].symbol, names[0], k), result))
    return Derivation(
        [s for w in found for s in w.steps],
        result,
        _title(found[0].symbol, names[0], order),
        found[-1].product,
        of,
        tuple(names),
        order,
        _definitions(found),
        lambda: _graph(e, names, order, several=False),
        lower,
    )


def _title(symbol: str, name: str, order: int) -> str:
    if order == 1:
        return f"d{symbol}/d{name}"
    power = str(order).translate(_SUPERSCRIPT)
    return f"d{power}{symbol}/d{name}{power}"


def _definitions(found: list[Worked]) -> list[tuple[int, str, Any]]:
    """Return the inner functions of each order; a plain expression needs none."""
    lines = []
    for n, w in enumerate(found, start=1):
        if len(w.names) > 1 or n > 1:
            lines += [(n, name, to_sympy(body)) for name, body in w.names.items()]
    return lines


def _by_several(e: Expr, of: Any, names: list[str], order: int) -> Derivation:
    import sympy as sp

    if order > 2:
        raise GraphError(
            f"derivatives by several variables are of order 1 or 2, not {order}; "
            "derive by one variable"
        )
    found = [work(e, n) for n in names]
    first = [readable(w.result) for w in found]
    result: Any = first
    if order == 2:
        symbols = {str(s): s for d in first for s in d.free_symbols}
        rows = [
            [readable(d.diff(symbols[n])) if n in symbols else 0 for n in names]
            for d in first
        ]
        result = sp.Matrix(rows)
    return Derivation(
        [s for w in found for s in w.steps],
        result,
        f"∂{found[0].symbol}" if order == 1 else f"∂²{found[0].symbol}",
        "",
        of,
        tuple(names),
        order,
        list(dict.fromkeys(_definitions(found[:1]))),
        lambda: _graph(e, names, order, several=True),
    )


def _graph(
    e: Expr, names: list[str], order: int, several: bool
) -> tuple[list[Tensor], Any, Any]:
    """Return inputs, the derivative of one order less, and the derivative."""
    values = {n: input(n, (), "float64") for n in sorted(variables(e))}
    y = simplify(graph_of(e, values))
    inputs = list(values.values())
    if not several:
        lower, result = y, y
        for _ in range(order):
            lower, result = result, _slope(result, values[names[0]])
        return inputs, lower, result
    first = [_slope(y, values[n]) for n in names]
    if order == 1:
        return inputs, y, first
    return inputs, first, [[_slope(g, values[n]) for n in names] for g in first]


def _slope(t: Tensor, x: Tensor) -> Tensor:
    """Return the simplified derivative; 0 where there is no dependence."""
    if not any(node is x for node in topological([t])):
        return constant(0.0, "float64")
    return simplify(grad(t, x))

"""Derivations of graphs: each step's Jacobian, and the cotangents between them."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from symgrad.closedform.derivation import Derivation
from symgrad.closedform.parsing import NAMES, parse_tensor, syntax
from symgrad.closedform.steps import Step
from symgrad.declare import dtypes, scalar
from symgrad.declare.build import broadcast_to
from symgrad.declare.ops import FUNCTIONS as OPERATIONS
from symgrad.declare.tensor import Tensor, constant, input, topological
from symgrad.derivation.reverse import check_wrt, grad, reverse
from symgrad.errors import DerivationError, GraphError
from symgrad.notation import formula
from symgrad.simplification import simplify
from symgrad.simplification.nodes import kind
from symgrad.transforms.jacobian import jacobian

#: In longer chains only the result is shown.
MOST_STEPS = 12


def declare(
    text: str, dims: Mapping[str, Sequence[int | str]]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the graph of a text, and its inputs by name.

    Args:
        text: in Python's syntax, with ``@``, ``.T`` and symgrad's functions.
        dims: name -> dimensions; a name that is not there is a scalar.
    """
    tree = syntax(text)
    called = {
        n.func.id
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
    }
    found = [n.id for n in ast.walk(tree) if isinstance(n, ast.Name)]
    known = {*called, *scalar.CONSTANTS, *OPERATIONS, *NAMES} - set(dims)
    names = [n for n in dict.fromkeys(found) if n not in known]
    unused = [n for n in dims if n not in names]
    if unused:
        raise GraphError(f"dims= names {unused[0]!r}, which {text!r} does not hold")
    leaves = {n: input(n, tuple(dims.get(n, ())), "float64") for n in sorted(names)}
    return parse_tensor(text, leaves), leaves


def derive_tensor(t: Tensor, wrt: Any, order: int) -> Derivation:
    """Return the derivation of a tensor by another."""
    if not isinstance(wrt, Tensor):
        named = [n for n in topological([t]) if n.name == wrt]
        if not named:
            raise GraphError(f"{t.describe()} does not depend on {wrt!r}")
        wrt = named[0]
    check_wrt([wrt], [t])
    if not dtypes.is_float(t.dtype):
        raise DerivationError(f"{t.describe()} is not of a float type")
    lower, result = t, t
    for _ in range(order):
        lower, result = result, _derivative(result, wrt)
    steps, definitions = _worked(t, wrt)
    above = "∂" if order == 1 else "∂" + "⁰¹²³⁴⁵⁶⁷⁸⁹"[order]
    below = wrt.name if order == 1 else f"{wrt.name}{above[1:]}"
    inputs = [n for n in topological([t]) if n.name]
    return Derivation(
        steps,
        result,
        f"{above}/∂{below} {formula(t, where=False)}",
        "",
        t,
        (wrt,),
        order,
        definitions,
        lambda: (inputs, lower, result),
    )


def _derivative(t: Tensor, wrt: Tensor) -> Tensor:
    if not any(n is wrt for n in topological([t])):
        return broadcast_to(constant(0.0, t.dtype), (*t.shape, *wrt.shape))
    return simplify(grad(t, wrt)) if t.shape == () else jacobian(t, wrt)


def _worked(t: Tensor, wrt: Tensor) -> tuple[list[Step], list[tuple[int, str, Any]]]:
    """Return a step for each node between a scalar and what it is derived by."""
    if t.shape != ():
        return [], []
    order = topological([t])
    between = {wrt}
    for node in order:
        if any(a in between for a in node.args):
            between.add(node)
    chain = [n for n in order if n in between and n is not wrt]
    shown = [n for n in chain if kind(n) in ("elementwise", "reduction")]
    if len(chain) != len(shown) or not 1 < len(chain) <= MOST_STEPS:
        return [], []
    names = _names(order, chain)
    names[wrt] = wrt.name or "x"
    seed = constant(1.0, t.dtype)
    cotangents = reverse([t], [*chain, wrt], [seed]).cotangents
    steps = []
    for node in reversed(chain):
        for a in dict.fromkeys(node.args):
            if a in between:
                local = jacobian(node, a)
                bar = simplify(cotangents[a])
                steps.append(Step(names[node], node, names[a], local, bar))
    return steps, [(1, names[n], n) for n in chain]


def _names(order: Sequence[Tensor], chain: Sequence[Tensor]) -> dict[Tensor, str]:
    taken = {n.name for n in order if n.name}
    free = (n for k in range(1, 99) for n in (f"u{k}",) if n not in taken)
    result = next(n for n in ("L", "f", "loss", "y0") if n not in taken)
    found = {n: next(free) for n in chain[:-1]}
    return {**found, chain[-1]: result}

"""The form of a result that a person would write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

#: Larger expressions are factored, but not given to SymPy's ``simplify``.
SIMPLIFIED = 60


def readable(e: Any) -> Any:
    """Return the expression in the most readable of the forms that are tried.

    Never with other functions than it has: σ stays σ, and no cosh appears.

    >>> import sympy
    >>> x = sympy.Symbol("x", real=True)
    >>> readable(8*x + 4)
    4*(2*x + 1)
    """
    import sympy as sp

    if not isinstance(e, sp.Expr):
        return e
    known = _functions(e)
    found = [e]
    for way in _ways(e):
        try:
            form = way(e)
        except (ValueError, TypeError, NotImplementedError, sp.PolynomialError):
            continue
        if _functions(form) <= known:
            found.append(form)
    return min(found, key=burden)


def _ways(e: Any) -> Iterator[Callable[[Any], Any]]:
    import sympy as sp

    if e.has(sp.Piecewise):
        yield lambda f: sp.piecewise_fold(f, evaluate=True)
    yield sp.factor_terms
    count = e.count_ops()
    if count <= 4 * SIMPLIFIED:
        yield sp.together
        yield lambda f: sp.factor(f, deep=False)
        yield lambda f: sp.factor_terms(sp.powsimp(f))
    if count <= SIMPLIFIED and not e.has(sp.Piecewise):
        yield sp.cancel
        yield lambda f: sp.factor(sp.simplify(f))
        yield sp.simplify


def _functions(e: Any) -> set[Any]:
    import sympy as sp

    found = {f.func for f in e.atoms(sp.Function)}
    return found | ({sp.Piecewise} if e.has(sp.Piecewise) else set())


def burden(e: Any) -> tuple[float, int, str]:
    """Return how much there is to read; a factored sum counts less than its terms."""
    import sympy as sp

    operations = float(e.count_ops())
    if isinstance(e, sp.Mul) and any(isinstance(f, sp.Add) for f in e.args):
        operations -= 1.5
    if isinstance(e, sp.Add):
        operations += 0.5
    if isinstance(e, sp.Mul) and any(f.is_Piecewise for f in e.args):
        operations += 9
    return operations, len(str(e)), str(e)

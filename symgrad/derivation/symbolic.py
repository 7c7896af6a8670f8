"""The bridge to SymPy, and the slopes of scalar functions that SymPy derives.

SymPy sees scalar bodies only, never a network: one scalar function is derived once.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from typing import Any

from symgrad.cache import get, put
from symgrad.declare import scalar
from symgrad.declare.scalar import FUNCTIONS, Expr
from symgrad.errors import DerivationError

VARIABLES = ("x", "y", "z")
#: Changed whenever ``to_sympy`` or ``from_sympy`` gives other results.
_RULES = 3


@functools.cache
def slope(fn: str, position: int) -> Expr:
    """Return the derivative of a scalar function by one argument, over ``x, y, z``.

    >>> slope("exp", 0), slope("mul", 1), slope("tanh", 0)
    (exp(x), x, 1 - tanh(x)**2)
    """
    info = FUNCTIONS[fn]
    if info.slopes is not None:
        return scalar.parse(info.slopes[position])
    if info.result == "bool":
        return scalar.number(0)
    body = Expr(fn, *(scalar.var(v) for v in VARIABLES[: info.arity]))
    return _remembered(body, VARIABLES[position])


def _remembered(body: Expr, name: str) -> Expr:
    """Return a derivative from the cache on disk, else SymPy's."""
    question = f"{body} by {name}"
    return _cached("slope", question, lambda: differentiate(body, name))


def _cached(what: str, question: str, answer: Callable[[], Expr]) -> Expr:
    """Return an expression from the cache on disk, else SymPy's.

    Importing SymPy takes longer than everything else that a warm start does.
    """
    digest = hashlib.blake2b(question.encode(), digest_size=16).hexdigest()
    key = f"{what}-{_RULES}-{digest}"
    known = get(key)
    if known is not None:
        return scalar.parse(known.decode())
    found = answer()
    put(key, repr(found).encode())
    return found


def simplified(e: Expr) -> Expr:
    """Return an equal expression over variables as SymPy simplifies it.

    It is ``e`` itself where the result has no place in a kernel.

    >>> simplified(scalar.parse("sinh(x)/cosh(x)"))
    tanh(x)
    """

    def answer() -> Expr:
        import sympy

        try:
            return from_sympy(sympy.simplify(to_sympy(e)))
        except (DerivationError, NotImplementedError, ValueError):
            return e

    return _cached("simplified", repr(e), answer)


def differentiate(body: Expr, name: str) -> Expr:
    """Return the derivative of a scalar expression by one of its variables."""
    import sympy

    symbol = sympy.Symbol(name, real=True)
    return from_sympy(to_sympy(body).diff(symbol))


_SYMPY = {
    "exp": "exp",
    "log": "log",
    "sin": "sin",
    "cos": "cos",
    "tan": "tan",
    "asin": "asin",
    "acos": "acos",
    "atan": "atan",
    "atan2": "atan2",
    "sinh": "sinh",
    "cosh": "cosh",
    "tanh": "tanh",
    "asinh": "asinh",
    "acosh": "acosh",
    "atanh": "atanh",
    "erf": "erf",
    "erfc": "erfc",
    "abs": "Abs",
    "sign": "sign",
    "floor": "floor",
    "ceil": "ceiling",
    "lgamma": "loggamma",
    "digamma": "digamma",
    "trigamma": "trigamma",
    "polygamma": "polygamma",
    "lt": "Lt",
    "le": "Le",
    "gt": "Gt",
    "ge": "Ge",
    "eq": "Eq",
    "ne": "Ne",
    "and": "And",
    "or": "Or",
    "not": "Not",
    "xor": "Xor",
}
_FROM_SYMPY = {
    **{theirs: ours for ours, theirs in _SYMPY.items()},
    "StrictLessThan": "lt",
    "LessThan": "le",
    "StrictGreaterThan": "gt",
    "GreaterThan": "ge",
    "Equality": "eq",
    "Unequality": "ne",
    "Max": "maximum",
    "Min": "minimum",
}


@functools.cache
def _own_function(fn: str) -> Any:
    """Return the SymPy function of a name that SymPy does not know."""
    import sympy

    def fdiff(self: Any, argindex: int = 1) -> Any:
        names = VARIABLES[: len(self.args)]
        values = {
            sympy.Symbol(n, real=True): a for n, a in zip(names, self.args, strict=True)
        }
        return to_sympy(slope(fn, argindex - 1)).xreplace(values)

    return type(fn, (sympy.Function,), {"fdiff": fdiff, "is_real": True})


def to_sympy(e: Expr) -> Any:
    """Return the SymPy expression; reads, axes and variables become real symbols.

    >>> to_sympy(scalar.parse("x*sigmoid(x)"))
    x*sigmoid(x)
    """
    import sympy as sp

    if e.fn == "number":
        return (
            sp.true
            if e.value is True
            else sp.false
            if e.value is False
            else (
                sp.nsimplify(e.value) if isinstance(e.value, int) else _float(e.value)
            )
        )
    if not e.args:
        return sp.Symbol(
            repr(e),
            real=True,
            integer=True if e.fn != "var" and e.fn != "read" else None,
        )
    args = [to_sympy(a) for a in e.args]
    match e.fn:
        case "add":
            return args[0] + args[1]
        case "sub":
            return args[0] - args[1]
        case "mul" | "fma" | "square":
            product = args[0] * (args[0] if e.fn == "square" else args[1])
            return product + args[2] if e.fn == "fma" else product
        case "div":
            return args[0] / args[1]
        case "neg":
            return -args[0]
        case "pow":
            return args[0] ** args[1]
        case "sqrt":
            return sp.sqrt(args[0])
        case "reciprocal":
            return 1 / args[0]
        case "floordiv":
            return sp.floor(args[0] / args[1])
        case "select":
            return sp.Piecewise((args[1], _condition(args[0])), (args[2], True))
    if e.fn in _SYMPY:
        return getattr(sp, _SYMPY[e.fn])(*args)
    return _own_function(e.fn)(*args)


def _condition(e: Any) -> Any:
    import sympy as sp

    return sp.Ne(e, 0) if isinstance(e, sp.Symbol) else e


def _float(value: Any) -> Any:
    import sympy as sp

    return sp.Integer(int(value)) if float(value).is_integer() else sp.Float(value)


def from_sympy(e: Any) -> Expr:
    """Return the scalar expression of a SymPy expression; its symbols are variables.

    Raises:
        DerivationError: it holds something that has no place in a kernel.
    """
    import sympy as sp

    if isinstance(e, bool | sp.logic.boolalg.BooleanAtom):
        return scalar.number(bool(e))
    if e.is_Symbol:
        return scalar.var(e.name)
    if e.is_Integer:
        return scalar.number(int(e))
    if e.is_Number or e.is_NumberSymbol:
        return scalar.number(float(e))
    if e.is_Add:
        return _sum([from_sympy(t) for t in e.as_ordered_terms()])
    if e.is_Mul:
        return _quotient(e)
    if e.is_Pow:
        return _power(e.base, e.exp)
    if isinstance(e, sp.Piecewise):
        total = scalar.number(math_nan())
        for value, condition in reversed(e.args):
            value = from_sympy(value)
            total = (
                value
                if condition is sp.true
                else scalar.call("select", from_sympy(condition), value, total)
            )
        return total
    name = type(e).__name__
    fn = _FROM_SYMPY.get(name, name)
    if fn == "polygamma" and e.args[0] in (0, 1):
        return scalar.call(
            "digamma" if e.args[0] == 0 else "trigamma", from_sympy(e.args[1])
        )
    if fn in FUNCTIONS:
        args = [from_sympy(a) for a in e.args]
        if FUNCTIONS[fn].arity == 2 and len(args) > 2:
            return functools.reduce(lambda a, b: scalar.call(fn, a, b), args)
        return scalar.call(fn, *args)
    raise DerivationError(
        f"{e} contains {name}, which has no counterpart in a kernel; rewrite it with "
        "the functions of symgrad"
    )


def math_nan() -> float:
    """Return NaN: the value of a Piecewise where no condition holds."""
    return float("nan")


def _sum(terms: list[Expr]) -> Expr:
    terms.sort(key=lambda t: t.fn == "neg" or _negative(t))
    total = terms[0]
    for term in terms[1:]:
        if term.fn == "neg":
            total = scalar.call("sub", total, term.args[0])
        elif _negative(term):
            total = scalar.call("sub", total, scalar.number(-term.value))
        else:
            total = scalar.call("add", total, term)
    return total


def _negative(e: Expr) -> bool:
    return e.fn == "number" and e.value < 0


def _quotient(e: Any) -> Expr:
    """Return a product with the negative powers gathered in one denominator."""
    above: list[Expr] = []
    below: list[Expr] = []
    sign = 1
    for factor in e.as_ordered_factors():
        if factor.is_Rational:
            sign = -sign if factor < 0 else sign
            above += [scalar.number(abs(int(factor.p)))] if abs(factor.p) != 1 else []
            below += [scalar.number(int(factor.q))] if factor.q != 1 else []
        elif factor.is_Pow and factor.exp.could_extract_minus_sign():
            below.append(_power(factor.base, -factor.exp))
        else:
            above.append(from_sympy(factor))
    total = scalar.multiply(above)
    if below:
        total = scalar.call("div", total, scalar.multiply(below))
    return scalar.call("neg", total) if sign < 0 else total


def _power(base: Any, exponent: Any) -> Expr:
    import sympy as sp

    b = from_sympy(base)
    if base == sp.E:
        return scalar.call("exp", from_sympy(exponent))
    if exponent.could_extract_minus_sign():
        return scalar.call("div", scalar.number(1), _power(base, -exponent))
    if exponent == sp.Rational(1, 2):
        return scalar.call("sqrt", b)
    if exponent == 1:
        return b
    if exponent == 2:
        return scalar.call("mul", b, b)
    return scalar.call("pow", b, from_sympy(exponent))

"""Numbers and scalar functions as formulas write them."""

from __future__ import annotations

import math
from fractions import Fraction

from symgrad.notation.syntax import ONE, Form, call, hadamard, product, sym, transposed
from symgrad.notation.terms import Term

_RELATIONS = {
    "lt": "<",
    "le": "≤",
    "gt": ">",
    "ge": "≥",
    "eq": "=",
    "ne": "≠",
    "and": "∧",
    "or": "∨",
}
#: Functions that make one number of a row.
STATISTICS = ("mean", "var", "std", "max", "min", "logsumexp", "argmax", "argmin")
_SHOWN = {"sigmoid": "σ", "select": "where", "maximum": "max", "minimum": "min"}


def matrix_function_form(name: str, a: Form) -> Form:
    """Return a function applied to a matrix."""
    match name:
        case "inv" | "symmetric inv":
            return Form("inv", (a,), name.removesuffix("inv"))
        case "signdet":
            return call("sign", Form("det", (a,)))
        case "cholesky":
            return call("chol", a)
    return Form(name, (a,))


def function_form(fn: str, args: list[Form]) -> Form:
    """Return a scalar function applied to forms."""
    if fn in _RELATIONS:
        return Form("cmp", tuple(args), _RELATIONS[fn])
    if fn == "log" and args[0].kind == "det":
        return Form("logdet", args[0].args)
    if fn == "abs":
        return Form("abs", tuple(args))
    if fn == "pow" and args[1].kind in ("sym", "num"):
        return Form("pow", (args[0],), args[1].text)
    if fn == "pow":
        return Form("power", tuple(args))
    return call(_SHOWN.get(fn, fn), *args)


def number_form(e: Term) -> Form:
    """Return a number: a whole one, a short fraction, or a decimal."""
    value = e.value
    if not isinstance(value, Fraction):
        text = {"inf": "∞", "-inf": "-∞"}.get(repr(value), repr(value))
        return Form("num", (), text)
    if value.denominator == 1 and abs(value) < 10**7:
        return Form("num", (), str(value.numerator))
    if is_short(value) and value > 0 and len(f"{float(value):g}") > 5:
        above, below = (Form("num", (), str(n)) for n in value.as_integer_ratio())
        return Form("frac", (above, below))
    text = f"{float(value):.7g}"
    mantissa, e_, exponent = text.partition("e")
    return Form("num", (), f"{mantissa}e{int(exponent)}" if e_ else text)


def surd(value: Fraction) -> tuple[Form, Form] | None:
    """Return numerator and denominator where a decimal is √n, 1/√n, √(n/π) or 1/√(nπ).

    >>> from symgrad.notation.render import unicode_text
    >>> [unicode_text(f) for f in surd(Fraction("0.70710678"))]
    ['1', '√2']
    """
    square = float(value) ** 2
    for factor, mark in ((1.0, ""), (math.pi, "π")):
        for over in (False, True):
            n = 1 / (square * factor) if over else square * factor
            whole = round(n)
            if not 1 <= whole <= 4096 or abs(n - whole) > 4e-7 * n:
                continue
            return _root(whole, mark, over)
    return None


def _root(n: int, mark: str, over: bool) -> tuple[Form, Form]:
    """Return √n (over √π, if marked), or one over √n (times √π)."""
    number = Form("num", (), str(n))
    if not mark:
        whole = math.isqrt(n)
        exact = whole * whole == n
        root = Form("num", (), str(whole)) if exact else Form("sqrt", (number,))
        return (ONE, root) if over else (root, ONE)
    pi = sym("π")
    if over:
        inner = pi if n == 1 else product([number, pi])
        return ONE, Form("sqrt", (inner,))
    if math.isqrt(n) ** 2 == n:
        return Form("num", (), str(math.isqrt(n))), Form("sqrt", (pi,))
    return Form("sqrt", (Form("frac", (number, pi)),)), ONE


def scaled(factor: Form, f: Form) -> Form:
    """Return a scalar times a form."""
    if factor == ONE:
        return f
    if f == ONE:
        return factor
    if f.kind == "prod" and _is_whole(factor) and _is_whole(f.args[0]):
        both = Form("num", (), str(int(factor.text) * int(f.args[0].text)))
        return scaled(both, product(list(f.args[1:])))
    if f.kind == "had":
        return hadamard([product([factor, f.args[0]]), *f.args[1:]])
    return product([factor, f])


def _in_parentheses(f: Form) -> Form:
    """Return a number such as ``xᵀ A x`` so that it stays apart from what it scales."""
    return Form("paren", (f,)) if f.kind == "prod" and f.args[0].kind == "T" else f


def _is_whole(f: Form) -> bool:
    return f.kind == "num" and f.text.isdigit()


def is_short(value: Fraction) -> bool:
    """Return True for a fraction that reads better than its decimals."""
    if value.denominator == 1:
        return True
    decimal = value.denominator % 10 == 0 and value.denominator > 100
    return not decimal and value.denominator < 10**5 and abs(value.numerator) < 1000


def assembled(
    scalar: list[Form],
    row: list[Form],
    column: list[Form],
    full: list[Form],
    mask: list[Form],
) -> Form | None:
    """Return the product: ``u vᵀ``, ``diag(u) A``, ``A diag(v)`` or ``A ⊙ B``.

    A named row that scales a computed matrix is written as in programs, ``X ⊙ γ``.
    """
    scales = any(f.kind != "sym" for f in column) or all(f.kind == "sym" for f in full)
    if column and full and not mask and scales:
        full = [product([hadamard(full), Form("diag", (hadamard(column),))])]
        column = []
    inner = full + column + mask
    if not row and not inner:
        return product(scalar)
    scalar = [_in_parentheses(f) for f in scalar]
    if row and column and not full and not mask:
        core = product([hadamard(row), transposed(hadamard(column))])
    elif row and inner:
        core = product([Form("diag", (hadamard(row),)), hadamard(inner)])
    elif row:
        return None
    else:
        core = hadamard(inner)
    return scaled(product(scalar), core) if scalar else core

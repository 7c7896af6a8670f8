"""Small pieces of MathML that scenes put together; names and numbers are escaped."""

from __future__ import annotations

import html
from typing import Any

from symgrad.closedform.text import mathematics
from symgrad.explainer.story import signed
from symgrad.notation.mathml import math_element, mathml_text, name, row, sign
from symgrad.notation.syntax import Form


def whole(*parts: str) -> str:
    """Return a ``math`` element of parts side by side."""
    # fractions at their full size, though the formula stands in a line
    return math_element(f'<mstyle displaystyle="true">{row(*parts)}</mstyle>')


def sym(text: str) -> str:
    """Return a name: digits at its end are a subscript."""
    return name(text)


def num(value: float | str) -> str:
    """Return a number, with three digits."""
    text = value if isinstance(value, str) else signed(value)
    if text.startswith("−"):
        return row(sign("−"), num(text[1:]))
    mantissa, times, power = text.partition("·10")
    if times:
        digits = power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
        raised = f"<msup><mn>10</mn>{num(digits.replace('-', '−'))}</msup>"
        return row(f"<mn>{mantissa}</mn>", sign("·"), raised)
    return f"<mn>{html.escape(text)}</mn>"


def word(text: str) -> str:
    """Return a word among formulas."""
    return f"<mtext>{html.escape(text)}</mtext>"


def op(text: str) -> str:
    """Return an operator."""
    return sign(text)


def frac(above: str, below: str) -> str:
    """Return a fraction."""
    return f"<mfrac>{above}{below}</mfrac>"


def power(base: str, above: str) -> str:
    """Return a power."""
    return f"<msup>{base}{above}</msup>"


def partial(above: str, below: str, sign_: str = "∂") -> str:
    """Return a derivative of one name by another."""
    d = f'<mi mathvariant="normal">{sign_}</mi>'
    return frac(row(d, above), row(d, below))


def product(parts: list[str]) -> str:
    """Return factors with dots between."""
    return row(op("·").join(parts))


def _of_relu(e: Any) -> bool:
    left = getattr(e, "lhs", None)
    return type(left).__name__ == "relu" and e.rhs == 0


def expression(e: Any) -> str:
    """Return a SymPy expression, or a name."""
    if isinstance(e, str):
        return sym(e)
    # where relu's value is positive its argument is, and that says it plainly
    if hasattr(e, "replace"):
        e = e.replace(_of_relu, lambda found: found.func(*found.lhs.args, found.rhs))
    return mathematics(e).replace("<mo>-</mo>", sign("−"))


def formula(form: Form) -> str:
    """Return a formula that the notation made, functions of two words as two words."""
    return mathml_text(form).replace(">log_softmax<", ">log softmax<")


def expression_text(text: str) -> str:
    """Return a number or a fraction such as ``1/4``."""
    above, slash, below = text.partition("/")
    return frac(num(above), num(below)) if slash else num(text)

"""SymPy's expressions as a line of text: superscripts, juxtaposed factors, σ and √."""

from __future__ import annotations

import html
import re
from functools import cache
from typing import Any

_SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_SHOWN = {"sigmoid": "σ", "loggamma": "lgamma", "Max": "max", "Min": "min"}


def line(e: Any) -> str:
    """Return an expression as one line of Unicode text.

    >>> import sympy
    >>> x = sympy.Symbol("x")
    >>> line(4*(2*x + 1)**3/sympy.sqrt(x))
    '4(2x + 1)³/√x'
    """
    text = _printer().doprint(e)
    text = text.replace("*", "·")
    text = re.sub(r"(?<![\w.⁰¹²³⁴⁵⁶⁷⁸⁹])(\d+)·(?=[^\W\d]|\(|√)", r"\1", text)
    return re.sub(r"-(?=\S)", "−", text.replace(" - ", " − "))


def factor(e: Any) -> str:
    """Return an expression as it stands in a product."""
    text = line(e)
    apart = e.is_Add or e.is_Piecewise or text.startswith("−")
    return f"({text})" if apart else text


def mathematics(e: Any) -> str:
    """Return an expression as the inside of a presentation MathML element.

    >>> import sympy
    >>> mathematics(sympy.Symbol("x") + 1)
    '<mrow><mi>x</mi><mo>+</mo><mn>1</mn></mrow>'
    """
    text = _mathml_printer()().doprint(e)
    # XML alone does not know the names of HTML's characters
    return re.sub(r"&(?!lt;|gt;|amp;)\w+;", lambda name: html.unescape(name[0]), text)


@cache
def _mathml_printer() -> Any:
    import sympy as sp
    from sympy.printing.mathml import MathMLPresentationPrinter

    class Mathematics(MathMLPresentationPrinter):
        """SymPy's printer, with cases behind a brace."""

        def _print_Piecewise(self, e: Any) -> Any:
            make = self.dom.createElement
            brace, table, row = make("mo"), make("mtable"), make("mrow")
            brace.appendChild(self.dom.createTextNode("{"))
            for value, condition in e.args:
                line, left, right = make("mtr"), make("mtd"), make("mtd")
                left.appendChild(self._print(value))
                word = make("mtext")
                last = condition == sp.true
                text = "otherwise" if last else "if\u00a0"
                word.appendChild(self.dom.createTextNode(text))
                right.appendChild(word)
                if not last:
                    right.appendChild(self._print(condition))
                line.appendChild(left)
                line.appendChild(right)
                table.appendChild(line)
            row.appendChild(brace)
            row.appendChild(table)
            return row

        def _print_sigmoid(self, e: Any) -> Any:
            return self._print(sp.Function("σ")(*e.args))

    return Mathematics


@cache
def _printer() -> Any:
    import sympy as sp
    from sympy.printing.precedence import PRECEDENCE, precedence
    from sympy.printing.str import StrPrinter

    class Line(StrPrinter):
        """SymPy's plain printer with the notation of a blackboard."""

        def _print_Pow(self, e: Any, rational: bool = False) -> str:
            if e.exp == sp.Rational(1, 2):
                inner = self._print(e.base)
                return f"√{inner}" if e.base.is_Atom else f"√({inner})"
            if e.exp.is_Rational and e.exp < 0:
                below = self._print_Pow(sp.Pow(e.base, -e.exp, evaluate=False))
                if e.exp == -1:
                    below = self.parenthesize(e.base, PRECEDENCE["Pow"])
                return f"1/{below}"
            base = self.parenthesize(e.base, PRECEDENCE["Pow"], strict=False)
            if isinstance(e.base, sp.Function) and e.exp.is_Integer:
                name, _, rest = base.partition("(")
                if name.isalpha() or name == "σ":
                    return f"{name}{str(e.exp).translate(_SUPERSCRIPT)}({rest}"
            if e.exp.is_Integer:
                return f"{base}{str(e.exp).translate(_SUPERSCRIPT)}"
            return f"{base}^{self.parenthesize(e.exp, PRECEDENCE['Pow'], strict=False)}"

        def _print_Function(self, e: Any) -> str:
            name = _SHOWN.get(e.func.__name__, e.func.__name__)
            return f"{name}({self.stringify(e.args, ', ')})"

        def _print_exp(self, e: Any) -> str:
            inner = e.args[0]
            if inner.is_Atom:
                return f"e^{self._print(inner)}"
            return f"exp({self._print(inner)})"

        def _print_Exp1(self, e: Any) -> str:
            return "e"

        def _print_Pi(self, e: Any) -> str:
            return "π"

        def _print_Abs(self, e: Any) -> str:
            return f"|{self._print(e.args[0])}|"

        def _print_polygamma(self, e: Any) -> str:
            names = {0: "digamma", 1: "trigamma"}
            if e.args[0] in names:
                return f"{names[e.args[0]]}({self._print(e.args[1])})"
            return self._print_Function(e)

        def _print_Piecewise(self, e: Any) -> str:
            parts = [
                self._print(value)
                + (" otherwise" if c == sp.true else f" if {self._print(c)}")
                for value, c in e.args
            ]
            return "{" + "; ".join(parts) + "}"

        def _print_Relational(self, e: Any) -> str:
            signs = {"==": "=", "!=": "≠", "<=": "≤", ">=": "≥"}
            sign = signs.get(e.rel_op, e.rel_op)
            own = precedence(e)
            left, right = (self.parenthesize(a, own) for a in (e.lhs, e.rhs))
            return f"{left} {sign} {right}"

    return Line()

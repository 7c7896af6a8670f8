"""Typeset formulas as presentation MathML, which browsers draw without any script."""

from __future__ import annotations

import html

from symgrad.notation.render import GREEK, Writer, split_name
from symgrad.notation.syntax import Form

NAMESPACE = "http://www.w3.org/1998/Math/MathML"


def mathml_text(f: Form) -> str:
    """Return the formula as the inside of a ``math`` element."""
    return _MathML().show(f)


def math_element(inside: str, block: bool = False) -> str:
    """Return a whole element around presentation markup."""
    display = ' display="block"' if block else ""
    return f'<math xmlns="{NAMESPACE}"{display}>{inside}</math>'


def name(text: str) -> str:
    """Return a name: a Greek word as its letter, digits at its end as a subscript.

    >>> name("beta2")
    '<msub><mi>β</mi><mn>2</mn></msub>'
    """
    word, digits = split_name(text)
    base = _identifier(GREEK.get(word, word))
    if not digits:
        return base
    return f"<msub>{base}<mn>{digits}</mn></msub>" if word else f"<mn>{digits}</mn>"


def row(*parts: str) -> str:
    """Return parts side by side, as one argument of whatever stands around them."""
    return f"<mrow>{''.join(parts)}</mrow>"


def sign(text: str) -> str:
    """Return an operator."""
    return f"<mo>{html.escape(text)}</mo>"


def _identifier(text: str) -> str:
    if text in ("𝟏", "·"):
        return sign(text)
    return f"<mi>{html.escape(text)}</mi>"


def _fenced(left: str, inside: str, right: str) -> str:
    return row(sign(left), inside, sign(right))


def _listed(parts: list[str]) -> str:
    return sign(",").join(parts)


class _MathML(Writer):
    """Presentation MathML, each form as one element."""

    def group(self, text: str) -> str:
        return _fenced("(", text, ")")

    # -- what other ways of writing join with text -------------------------------------

    def _sum(self, f: Form) -> str:
        parts: list[str] = []
        for signed, part in zip(f.text, f.args, strict=True):
            shown = self.show(part, 1 if signed == "+" else 2)
            if parts or signed == "-":
                parts.append(sign("+" if signed == "+" else "−"))
            parts.append(shown)
        return row(*parts)

    def _neg(self, f: Form) -> str:
        return row(sign("−"), self.show(f.args[0], 3))

    def _had(self, f: Form) -> str:
        return self._joined(f, "⊙")

    def _kron(self, f: Form) -> str:
        return self._joined(f, "⊗")

    def _dot(self, f: Form) -> str:
        return self._joined(f, "·")

    def _joined(self, f: Form, between: str) -> str:
        return row(sign(between).join(self.show(a, 4) for a in f.args))

    def _cmp(self, f: Form) -> str:
        shown = [self.show(a, 1) for a in f.args]
        relations = f.text.split() * (1 if " " in f.text else len(shown) - 1)
        rest = (sign(r) + a for r, a in zip(relations, shown[1:], strict=True))
        return row(shown[0], *rest)

    # -- one form each -----------------------------------------------------------------

    def _sym(self, f: Form) -> str:
        return name(f.text)

    def _num(self, f: Form) -> str:
        mantissa, e, exponent = f.text.partition("e")
        if mantissa.startswith("-"):
            return row(sign("−"), self._num(Form("num", (), f.text[1:])))
        if not e:
            return f"<mn>{html.escape(mantissa)}</mn>"
        power = f"<msup><mn>10</mn>{self._num(Form('num', (), str(int(exponent))))}"
        power += "</msup>"
        if mantissa == "1":
            return power
        return row(f"<mn>{mantissa}</mn>", sign("·"), power)

    def _prod(self, f: Form) -> str:
        space = '<mspace width="0.17em"/>'
        return row(space.join(self.show(a, 4) for a in f.args))

    def _frac(self, f: Form) -> str:
        return f"<mfrac>{self.show(f.args[0])}{self.show(f.args[1])}</mfrac>"

    def _raised(self, base: Form, above: str) -> str:
        return f"<msup>{self.show(base, 9)}{above}</msup>"

    def _T(self, f: Form) -> str:
        return self._raised(f.args[0], "<mi>⊤</mi>")

    def _function(self, text: str) -> str:
        # a name of one letter is upright as well: it is a function, not a variable
        return f'<mi mathvariant="normal">{html.escape(text)}</mi>'

    def _call(self, f: Form) -> str:
        inside = _listed([self.show(a) for a in f.args])
        return row(self._function(f.text), sign("\u2061"), _fenced("(", inside, ")"))

    def _fpow(self, f: Form) -> str:
        text, exponent = f.text.split()
        power = f"<msup>{self._function(text)}{self._exponent(exponent)}</msup>"
        return row(power, sign("\u2061"), _fenced("(", self.show(f.args[0]), ")"))

    def _exponent(self, text: str) -> str:
        if text.startswith("-"):
            return row(sign("−"), self._exponent(text[1:]))
        above, slash, below = text.partition("/")
        if slash and above.isdigit() and below.isdigit():
            return row(f"<mn>{above}</mn>", sign("/"), f"<mn>{below}</mn>")
        kind = "mn" if text.replace(".", "", 1).isdigit() else "mi"
        return f"<{kind}>{html.escape(text)}</{kind}>"

    def _pow(self, f: Form) -> str:
        return self._raised(f.args[0], self._exponent(f.text))

    def _hpow(self, f: Form) -> str:
        return self._raised(f.args[0], row(sign("⊙"), self._exponent(f.text)))

    def _power(self, f: Form) -> str:
        return self._raised(f.args[0], self.show(f.args[1]))

    def _norm(self, f: Form) -> str:
        return _fenced("‖", self.show(f.args[0]), "‖")

    def _norm2(self, f: Form) -> str:
        return f"<msup>{self._norm(f)}<mn>2</mn></msup>"

    def _inner(self, f: Form) -> str:
        return _fenced("⟨", _listed([self.show(a) for a in f.args]), "⟩")

    def _ind(self, f: Form) -> str:
        return row("<mi>𝟙</mi>", _fenced("[", self.show(f.args[0]), "]"))

    def _sqrt(self, f: Form) -> str:
        return f"<msqrt>{self.show(f.args[0])}</msqrt>"

    def _abs(self, f: Form) -> str:
        return _fenced("|", self.show(f.args[0]), "|")

    def _total(self, f: Form) -> str:
        return row(sign("∑"), _fenced("(", self.show(f.args[0]), ")"))

    def _sub(self, f: Form) -> str:
        below = _listed([self.show(i) for i in f.args[1:]])
        return f"<msub>{self.show(f.args[0], 9)}{row(below)}</msub>"

    def _big(self, f: Form) -> str:
        below = row(_listed([self.show(i) for i in f.args[1:]]))
        operator = {"Σ": "∑", "Π": "∏"}.get(f.text)
        shown = sign(operator) if operator else self._function(f.text)
        return row(f"<munder>{shown}{below}</munder>", self.show(f.args[0], 3))

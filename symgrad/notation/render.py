"""Typeset formulas as Unicode text, and what every way of writing shares."""

from __future__ import annotations

import re
from collections.abc import Callable

from symgrad.notation.syntax import Form

# How strongly a form binds; an argument that binds less gets parentheses.
_BINDS = {
    "cmp": 0,
    "sum": 1,
    "neg": 2,
    "big": 2,
    "had": 3,
    "kron": 3,
    "frac": 3,
    "inner": 9,
    "dot": 3,
    "logdet": 3,
    "logabsdet": 3,
    "prod": 4,
    "T": 8,
    "inv": 8,
    "pow": 7,
    "hpow": 7,
    "power": 7,
}
_SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_WORDS = (
    "alpha beta gamma delta epsilon zeta eta theta kappa lambda mu nu xi rho sigma "
)
_WORDS += "tau phi chi psi omega pi"
GREEK = dict(zip(_WORDS.split(), "αβγδεζηθκλμνξρστφχψωπ", strict=True))
_WORDS = "Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega"
GREEK |= dict(zip(_WORDS.split(), "ΓΔΘΛΞΣΦΨΩ", strict=True)) | {"ell": "ℓ"}


def unicode_text(f: Form) -> str:
    """Return the formula as one line of text."""
    return _Unicode().show(f)


def display_name(name: str) -> str:
    """Return a name as text shows it: Greek words become letters."""
    word, digits = split_name(name)
    return GREEK.get(word, word) + digits


def split_name(name: str) -> tuple[str, str]:
    """Return a name without its last digits, and these."""
    found = re.fullmatch(r"(.*?)(\d*)", name, re.DOTALL)
    assert found is not None
    return found.group(1), found.group(2)


def _binds(f: Form) -> int:
    if f.kind == "num":
        return 2 if f.text.startswith("-") else 9
    return _BINDS.get(f.kind, 9)


class Writer:
    """What the two ways of writing have in common: where parentheses stand."""

    def show(self, f: Form, outer: int = -1) -> str:
        """Return the text, in parentheses if it binds less than ``outer``."""
        method: Callable[[Form], str] = getattr(self, f"_{f.kind}")
        text = method(f)
        return self.group(text) if _binds(f) < outer else text

    def group(self, text: str) -> str:
        """Return the text in parentheses."""
        return f"({text})"

    def _sum(self, f: Form) -> str:
        text = ""
        for sign, part in zip(f.text, f.args, strict=True):
            shown = self.show(part, 1 if sign == "+" else 2)
            if not text:
                text = shown if sign == "+" else f"{self.minus}{shown}"
            else:
                text += f" {'+' if sign == '+' else self.minus} {shown}"
        return text

    minus = "−"

    def _neg(self, f: Form) -> str:
        return self.minus + self.show(f.args[0], 3)

    def _had(self, f: Form) -> str:
        return self.times.join(self.show(a, 4) for a in f.args)

    def _kron(self, f: Form) -> str:
        return self.outer.join(self.show(a, 4) for a in f.args)

    times, outer = " ⊙ ", " ⊗ "

    def _cmp(self, f: Form) -> str:
        """Write ``a < b``, or ``0 ≤ a < b`` where there are two relations."""
        shown = [self.show(a, 1) for a in f.args]
        relations = f.text.split() * (1 if " " in f.text else len(shown) - 1)
        signs = (f" {self._relation(r)} " for r in relations)
        return shown[0] + "".join(s + a for s, a in zip(signs, shown[1:], strict=True))

    def _relation(self, text: str) -> str:
        raise NotImplementedError

    def _paren(self, f: Form) -> str:
        return self.group(self.show(f.args[0]))

    def _diag(self, f: Form) -> str:
        return self._call(Form("call", f.args, "diag"))

    def _tr(self, f: Form) -> str:
        return self._call(Form("call", f.args, "tr"))

    def _det(self, f: Form) -> str:
        return self._call(Form("call", f.args, "det"))

    def _factors(self, f: Form) -> list[str]:
        """Return the factors of a product; the last one may be a logarithm."""
        shown = [self.show(a, 4) for a in f.args]
        if f.args[-1].kind in ("logdet", "logabsdet"):
            shown[-1] = self.show(f.args[-1])
        return shown

    def _call(self, f: Form) -> str:
        raise NotImplementedError


class _Unicode(Writer):
    """One line of text."""

    def _sym(self, f: Form) -> str:
        return display_name(f.text)

    def _num(self, f: Form) -> str:
        return f.text.replace("-", "−")

    def _prod(self, f: Form) -> str:
        return " ".join(self._factors(f))

    def _frac(self, f: Form) -> str:
        return f"{self.show(f.args[0], 3)} / {self.show(f.args[1], 5)}"

    def _T(self, f: Form) -> str:
        if f.args[0].kind == "inv":
            return self.show(f.args[0].args[0], 9) + "⁻ᵀ"
        return self.show(f.args[0], 9) + "ᵀ"

    def _inv(self, f: Form) -> str:
        return self.show(f.args[0], 9) + "⁻¹"

    def _logdet(self, f: Form) -> str:
        return f"log {self._det_of(f.args[0])}"

    def _logabsdet(self, f: Form) -> str:
        return f"log |{self._det_of(f.args[0])}|"

    def _det_of(self, f: Form) -> str:
        shown = self.show(f)
        return f"det {shown}" if f.kind == "sym" else f"det({shown})"

    def _call(self, f: Form) -> str:
        return f"{f.text}({', '.join(map(self.show, f.args))})"

    def _fpow(self, f: Form) -> str:
        name, exponent = f.text.split()
        return self._call(Form("call", f.args, name + exponent.translate(_SUPERSCRIPT)))

    def _pow(self, f: Form) -> str:
        return self.show(f.args[0], 8) + self._exponent(f.text)

    def _hpow(self, f: Form) -> str:
        return self.show(f.args[0], 8) + "⊙" + self._exponent(f.text)

    def _power(self, f: Form) -> str:
        return f"{self.show(f.args[0], 8)}^({self.show(f.args[1])})"

    def _exponent(self, text: str) -> str:
        if text.lstrip("-").isdigit():
            return text.translate(_SUPERSCRIPT)
        return f"^{text}" if text.isalnum() else f"^({text})"

    def _norm2(self, f: Form) -> str:
        return f"‖{self.show(f.args[0])}‖²"

    def _inner(self, f: Form) -> str:
        return f"⟨{', '.join(map(self.show, f.args))}⟩"

    def _dot(self, f: Form) -> str:
        return " · ".join(self.show(a, 4) for a in f.args)

    def _ind(self, f: Form) -> str:
        return f"𝟙[{self.show(f.args[0])}]"

    def _sqrt(self, f: Form) -> str:
        inner = self.show(f.args[0])
        return f"√{inner}" if f.args[0].kind in ("sym", "num") else f"√({inner})"

    def _abs(self, f: Form) -> str:
        return f"|{self.show(f.args[0])}|"

    def _total(self, f: Form) -> str:
        return f"Σ({self.show(f.args[0])})"

    def _norm(self, f: Form) -> str:
        return f"‖{self.show(f.args[0])}‖"

    def _relation(self, text: str) -> str:
        return text

    def _sub(self, f: Form) -> str:
        return self.show(f.args[0], 9) + self._subscript(f.args[1:])

    def _subscript(self, indices: tuple[Form, ...]) -> str:
        shown = [self.show(i) for i in indices]
        if all(len(s) == 1 for s in shown):
            return "_" + "".join(shown) if len(shown) == 1 else f"_{''.join(shown)}"
        return "_{" + ",".join(s.replace(" ", "") for s in shown) + "}"

    def _big(self, f: Form) -> str:
        body = self.show(f.args[0], 3)
        return f"{f.text}{self._subscript(f.args[1:])} {body}"

"""Typeset formulas as Unicode text and as LaTeX."""

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
    "frac": 3,
    "inner": 9,
    "dot": 3,
    "prod": 4,
    "T": 8,
    "pow": 7,
    "hpow": 7,
}
_SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
GREEK = {
    n: c
    for n, c in zip(
        "alpha beta gamma delta epsilon zeta eta theta kappa lambda mu nu xi rho sigma "
        "tau phi chi psi omega".split(),
        "αβγδεζηθκλμνξρστφχψω",
        strict=True,
    )
}


def unicode_text(f: Form) -> str:
    """Return the formula as one line of text."""
    return _Unicode().show(f)


def latex_text(f: Form) -> str:
    """Return the formula as LaTeX mathematics, without dollar signs."""
    return _Latex().show(f)


def display_name(name: str) -> str:
    """Return a name as text shows it: Greek words become letters."""
    word, digits = _split(name)
    return GREEK.get(word, word) + digits


def _split(name: str) -> tuple[str, str]:
    found = re.fullmatch(r"(.*?)(\d*)", name, re.DOTALL)
    assert found is not None
    return found.group(1), found.group(2)


def _binds(f: Form) -> int:
    if f.kind == "num":
        return 2 if f.text.startswith("-") else 9
    return _BINDS.get(f.kind, 9)


class _Writer:
    """What the two ways of writing have in common: where parentheses stand."""

    def show(self, f: Form, outer: int = -1) -> str:
        """Return the text, in parentheses if it binds less than ``outer``."""
        method: Callable[[Form], str] = getattr(self, f"_{f.kind}")
        text = method(f)
        return self.group(text) if _binds(f) < outer else text

    def group(self, text: str) -> str:
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

    times = " ⊙ "

    def _diag(self, f: Form) -> str:
        return self._call(Form("call", f.args, "diag"))

    def _tr(self, f: Form) -> str:
        return self._call(Form("call", f.args, "tr"))

    def _call(self, f: Form) -> str:
        raise NotImplementedError


class _Unicode(_Writer):
    """One line of text."""

    def _sym(self, f: Form) -> str:
        return display_name(f.text)

    def _num(self, f: Form) -> str:
        return f.text.replace("-", "−")

    def _prod(self, f: Form) -> str:
        return " ".join(self.show(a, 4) for a in f.args)

    def _frac(self, f: Form) -> str:
        return f"{self.show(f.args[0], 3)} / {self.show(f.args[1], 5)}"

    def _T(self, f: Form) -> str:
        return self.show(f.args[0], 9) + "ᵀ"

    def _call(self, f: Form) -> str:
        return f"{f.text}({', '.join(map(self.show, f.args))})"

    def _fpow(self, f: Form) -> str:
        name, exponent = f.text.split()
        return self._call(Form("call", f.args, name + exponent.translate(_SUPERSCRIPT)))

    def _pow(self, f: Form) -> str:
        return self.show(f.args[0], 8) + self._exponent(f.text)

    def _hpow(self, f: Form) -> str:
        plain = f.text.lstrip("-").isdigit()
        power = f.text.translate(_SUPERSCRIPT) if plain else f"^{f.text}"
        return self.show(f.args[0], 8) + "⊙" + power

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

    def _cmp(self, f: Form) -> str:
        return f" {f.text} ".join(self.show(a, 1) for a in f.args)

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


_COMMANDS = {
    "Σ": r"\sum",
    "Π": r"\prod",
    "σ": r"\sigma",
    "∞": r"\infty",
    "max": r"\max",
    "min": r"\min",
    **{n: f"\\{n}" for n in "exp log sin cos tan sinh cosh tanh".split()},
}
_RELATIONS = {
    "≤": r"\le",
    "≥": r"\ge",
    "≠": r"\ne",
    "∧": r"\land",
    "∨": r"\lor",
    "|": r"\mid",
    "<": r"\lt",
    ">": r"\gt",
}
_SPECIAL = {c: f"\\{c}" for c in "#$%&_{}"} | {"\\": r"\backslash ", "^": r"\hat{}"}
_SPECIAL |= {"~": r"\sim ", " ": r"\ "}


class _Latex(_Writer):
    """LaTeX mathematics that MathJax and LaTeX take (amsmath)."""

    minus = "-"
    times = r" \odot "

    def group(self, text: str) -> str:
        return rf"\left({text}\right)"

    def _sym(self, f: Form) -> str:
        if f.text == "𝟏":
            return r"\mathbf{1}"
        word, digits = _split(f.text)
        if word in GREEK:
            base = f"\\{word}"
        elif len(word) == 1 and word.isalpha():
            base = word
        else:
            base = rf"\mathrm{{{_escaped(word)}}}" if word else ""
        if not digits:
            return base
        return f"{base}_{{{digits}}}" if base else digits

    def _num(self, f: Form) -> str:
        mantissa, e, exponent = f.text.partition("e")
        if f.text == "∞" or f.text == "-∞":
            return f.text.replace("∞", r"\infty")
        if not e:
            return f.text
        times = "" if mantissa == "1" else rf"{mantissa} \cdot "
        return rf"{times}10^{{{int(exponent)}}}"

    def _prod(self, f: Form) -> str:
        return r" \, ".join(self.show(a, 4) for a in f.args)

    def _frac(self, f: Form) -> str:
        return rf"\frac{{{self.show(f.args[0])}}}{{{self.show(f.args[1])}}}"

    def _T(self, f: Form) -> str:
        return self._based(f.args[0]) + r"^{\top}"

    def _based(self, base: Form) -> str:
        """Return a base for a superscript: an own group, unless it is one letter."""
        text = self.show(base, 9)
        return text if base.kind in ("sym", "num") else f"{{{text}}}"

    def _call(self, f: Form) -> str:
        return self._function(f.text) + self.group(", ".join(map(self.show, f.args)))

    def _function(self, name: str) -> str:
        return _COMMANDS.get(name) or rf"\operatorname{{{_escaped(name)}}}"

    def _fpow(self, f: Form) -> str:
        name, exponent = f.text.split()
        inner = self.group(self.show(f.args[0]))
        return f"{self._function(name)}^{{{exponent}}}{inner}"

    def _pow(self, f: Form) -> str:
        return f"{self._based(f.args[0])}^{{{f.text}}}"

    def _hpow(self, f: Form) -> str:
        return rf"{self._based(f.args[0])}^{{\odot {f.text}}}"

    def _norm2(self, f: Form) -> str:
        return rf"\left\lVert {self.show(f.args[0])} \right\rVert^{{2}}"

    def _inner(self, f: Form) -> str:
        return rf"\left\langle {', '.join(map(self.show, f.args))} \right\rangle"

    def _dot(self, f: Form) -> str:
        return r" \cdot ".join(self.show(a, 4) for a in f.args)

    def _ind(self, f: Form) -> str:
        return rf"\mathbb{{1}}\left[{self.show(f.args[0])}\right]"

    def _sqrt(self, f: Form) -> str:
        return rf"\sqrt{{{self.show(f.args[0])}}}"

    def _abs(self, f: Form) -> str:
        return rf"\left\lvert {self.show(f.args[0])} \right\rvert"

    def _total(self, f: Form) -> str:
        return r"\textstyle\sum " + self.group(self.show(f.args[0]))

    def _cmp(self, f: Form) -> str:
        relation = _RELATIONS.get(f.text, f.text)
        return f" {relation} ".join(self.show(a, 1) for a in f.args)

    def _sub(self, f: Form) -> str:
        indices = ",".join(self.show(i) for i in f.args[1:])
        return f"{{{self.show(f.args[0], 9)}}}_{{{indices}}}"

    def _big(self, f: Form) -> str:
        limits = ",".join(self.show(i) for i in f.args[1:])
        return f"{self._function(f.text)}_{{{limits}}} {self.show(f.args[0], 3)}"


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(c, c) for c in text)

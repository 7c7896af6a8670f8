"""Typeset formulas as LaTeX."""

from __future__ import annotations

from symgrad.notation.render import GREEK, Writer, split_name
from symgrad.notation.syntax import Form


def latex_text(f: Form) -> str:
    """Return the formula as LaTeX mathematics, without dollar signs."""
    return _Latex().show(f)


_COMMANDS = {
    "Σ": r"\sum",
    "Π": r"\prod",
    "σ": r"\sigma",
    "∞": r"\infty",
    "det": r"\det",
    "max": r"\max",
    "min": r"\min",
    **{
        n: f"\\{n}" for n in ("exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh")
    },
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


class _Latex(Writer):
    """LaTeX mathematics that MathJax and LaTeX take (amsmath)."""

    minus = "-"
    times, outer = r" \odot ", r" \otimes "

    def group(self, text: str) -> str:
        return rf"\left({text}\right)"

    def _sym(self, f: Form) -> str:
        if f.text in ("𝟏", "𝐊"):
            return r"\mathbf{1}" if f.text == "𝟏" else r"\mathbf{K}"
        word, digits = split_name(f.text)
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
        return r" \, ".join(self._factors(f))

    def _frac(self, f: Form) -> str:
        return rf"\frac{{{self.show(f.args[0])}}}{{{self.show(f.args[1])}}}"

    def _T(self, f: Form) -> str:
        if f.args[0].kind == "inv":
            return self._based(f.args[0].args[0]) + r"^{-\top}"
        return self._based(f.args[0]) + r"^{\top}"

    def _inv(self, f: Form) -> str:
        return self._based(f.args[0]) + "^{-1}"

    def _logdet(self, f: Form) -> str:
        return rf"\log {self._det_of(f.args[0])}"

    def _logabsdet(self, f: Form) -> str:
        return rf"\log \left\lvert {self._det_of(f.args[0])} \right\rvert"

    def _det_of(self, f: Form) -> str:
        shown = self.show(f)
        return rf"\det {shown}" if f.kind == "sym" else rf"\det {self.group(shown)}"

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

    def _power(self, f: Form) -> str:
        return f"{self._based(f.args[0])}^{{{self.show(f.args[1])}}}"

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

    def _norm(self, f: Form) -> str:
        return rf"\left\lVert {self.show(f.args[0])} \right\rVert"

    def _relation(self, text: str) -> str:
        return _RELATIONS.get(text, text)

    def _sub(self, f: Form) -> str:
        indices = ",".join(self.show(i) for i in f.args[1:])
        return f"{{{self.show(f.args[0], 9)}}}_{{{indices}}}"

    def _big(self, f: Form) -> str:
        limits = ",".join(self.show(i) for i in f.args[1:])
        return f"{self._function(f.text)}_{{{limits}}} {self.show(f.args[0], 3)}"


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(c, c) for c in text)

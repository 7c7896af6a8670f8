"""A derivation: its steps and its result, as text, mathematics and a function."""

from __future__ import annotations

import html
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from symgrad.closedform.numeric import Function, Report, compare
from symgrad.closedform.steps import Step
from symgrad.closedform.text import line, mathematics
from symgrad.declare.tensor import Tensor
from symgrad.notation import formula, latex, mathml
from symgrad.notation.mathml import math_element

__all__ = ["Derivation", "Report", "Step"]


@dataclass(frozen=True)
class Derivation:
    """What ``sg.derive`` returns.

    Attributes:
        steps: one ``Step`` for each application of the chain rule.
        result: the derivative: a SymPy expression (a list of them by several
            variables, a matrix of second derivatives), or a tensor.
        title: the left side of the result, ``dy/dx``.
        product: the result by the names of inner functions, ``2g · 2``.
        of: what was derived, as it was given.
    """

    steps: list[Step]
    result: Any
    title: str
    product: str
    of: Any
    wrt: tuple[Any, ...]
    order: int
    _definitions: list[tuple[int, str, Any]] = field(repr=False)
    _graph: Callable[[], tuple[list[Tensor], Any, Any]] = field(repr=False)
    _lower: list[tuple[str, Any]] = field(default_factory=list, repr=False)

    # -- as text and mathematics -------------------------------------------------------

    def __str__(self) -> str:
        """Return the worked steps as lines of text, their equals signs aligned."""
        blocks = [self._lines(n) for n in range(1, self.order + 1)]
        shown = [_aligned(block) for block in blocks if block]
        return "\n\n".join([*shown, _aligned(self._ends())])

    def _lines(self, order: int) -> list[tuple[str, str]]:
        lines = [
            (name, _text(value)) for n, name, value in self._definitions if n == order
        ]
        d = "∂" if isinstance(self.result, Tensor) or len(self.wrt) > 1 else "d"
        lines += [
            (f"{d}{_label(s.symbol)}/{d}{_label(s.wrt)}", _text(s.local))
            for s in self.steps
            if s.order == order
        ]
        if order <= len(self._lower):
            title, value = self._lower[order - 1]
            lines.append((title, _text(value)))
        return list(dict.fromkeys(lines))

    def _ends(self) -> list[tuple[str, str]]:
        names = [_label(v) for v in self.wrt]
        if isinstance(self.result, list):
            lefts = (f"{self.title}/∂{n}" for n in names)
            return list(zip(lefts, map(_text, self.result), strict=True))
        if not isinstance(self.result, Tensor) and self.result.is_Matrix:
            pairs = itertools.combinations_with_replacement(range(len(names)), 2)
            return [
                (
                    f"{self.title}/∂{names[a]}" + ("²" if a == b else f"∂{names[b]}"),
                    _text(self.result[a, b]),
                )
                for a, b in pairs
            ]
        right = _text(self.result)
        if self.product and self.product != right:
            right = f"{self.product} = {right}"
        return [(self.title, right)]

    def latex(self) -> str:
        r"""Return the steps and the result as a LaTeX ``aligned`` block."""
        rows = [f"{n} &= {_latex(v)}" for _, n, v in self._definitions]
        for s in self.steps:
            left = rf"\frac{{d {_label(s.symbol)}}}{{d {_label(s.wrt)}}}"
            rows.append(f"{left} &= {_latex(s.local)}")
        rows.append(f"{_latex_title(self.title)} &= {_latex(self.result)}")
        return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"

    def mathml(self) -> str:
        """Return the result as presentation MathML."""
        if isinstance(self.result, Tensor):
            return mathml(self.result)
        import sympy as sp

        shown = self.result
        return math_element(
            mathematics(sp.Matrix(shown) if isinstance(shown, list) else shown)
        )

    def _repr_html_(self) -> str:
        rows = [
            f"<tr><td>{html.escape(left)}</td><td>=</td><td>{html.escape(right)}</td></tr>"
            for n in range(1, self.order + 1)
            for left, right in self._lines(n)
        ]
        title = html.escape(self.title)
        return (
            f'<table style="font-family: serif">{"".join(rows)}</table>'
            f'<div style="font-size: 120%">{title} = {self.mathml()}</div>'
        )

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    # -- as a function -----------------------------------------------------------------

    def compile(self) -> Callable[..., Any]:
        """Return the derivative as a compiled function.

        Its arguments are the inputs in order of their names (for scalars: numbers or
        arrays, which are broadcast), or by name.  It is derived from the graph, which
        is stable first: exact where the formula as written gives NaN.
        """
        inputs, _, result = self._graph()
        return Function(inputs, result).quickest()

    def code(self) -> str:
        """Return the source of what ``compile`` runs: a function of floats, or kernels.

        The compiled function of scalars takes arrays too, which go to kernels.
        """
        inputs, _, result = self._graph()
        return Function(inputs, result).source

    def check(self, points: int = 5, seed: int = 0) -> Report:
        """Compare the derivative with finite differences in float64.

        Args:
            points: at how many random points.
            seed: of these points.
        """
        inputs, lower, result = self._graph()
        wrt = [t for v in self.wrt for t in inputs if t.name == _name(v)]
        return compare(inputs, lower, result, wrt, points, seed)


def _name(v: Any) -> str:
    return v.name or "" if isinstance(v, Tensor) else str(v)


def _label(v: Any) -> str:
    """Return the name of what is derived, or derived by."""
    return _name(v) if isinstance(v, Tensor | str) else _text(v)


def _text(value: Any) -> str:
    if isinstance(value, Tensor):
        return formula(value)
    if isinstance(value, str):
        return value
    return line(value)


def _latex(value: Any) -> str:
    if isinstance(value, Tensor):
        return latex(value)
    if isinstance(value, str):
        return value
    import sympy as sp

    return sp.latex(sp.Matrix(value) if isinstance(value, list) else value)


def _latex_title(title: str) -> str:
    above, _, below = title.replace("∂", r"\partial ").partition("/")
    for n, mark in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹"):
        above = above.replace(mark, f"^{{{n}}} ")
        below = below.replace(mark, f"^{{{n}}} ")
    return rf"\frac{{{above}}}{{{below}}}"


def _aligned(lines: Sequence[tuple[str, str]]) -> str:
    width = max((len(left) for left, _ in lines), default=0)
    return "\n".join(f"{left.ljust(width)} = {right}" for left, right in lines)

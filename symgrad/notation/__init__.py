"""Formulas of graphs: matrix notation, LaTeX, listings, headings of kernels."""

from symgrad.notation.formula import formula, latex, mathml, parameter_gradients
from symgrad.notation.group import describe_group
from symgrad.notation.listing import print_graph

__all__ = [
    "describe_group",
    "formula",
    "latex",
    "mathml",
    "parameter_gradients",
    "print_graph",
]

"""Derivatives as a product of their own: worked steps, closed forms, functions."""

from symgrad.closedform.convert import from_sympy, to_sympy
from symgrad.closedform.derivation import Derivation, Report, Step
from symgrad.closedform.parsing import parse
from symgrad.closedform.public import derive

__all__ = [
    "Derivation",
    "Report",
    "Step",
    "derive",
    "from_sympy",
    "parse",
    "to_sympy",
]

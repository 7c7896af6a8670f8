"""Terms in index notation: what is shown where matrix notation has no form.

y_ijk = Σ_lm x_{i,l,2k+m} w_jlm
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from symgrad.declare.comprehension import AXIS_LETTERS
from symgrad.declare.tensor import Tensor
from symgrad.notation import algebra
from symgrad.notation.matrix import Matrices, View
from symgrad.notation.quantities import (
    function_form,
    matrix_function_form,
    number_form,
)
from symgrad.notation.syntax import ONE, Form, product, sym
from symgrad.notation.terms import (
    Term,
    axis,
    bound_axes,
    coefficient,
    factors,
    num,
    power_parts,
)

_OPERATORS = {"sum": "Σ", "prod": "Π", "any": "any", "all": "all"}


class Indexed:
    """Index notation of terms, given a name for each tensor that they refer to."""

    def __init__(self, names: Mapping[Tensor, str], rank: int) -> None:
        self.names = names
        taken = set(names.values())
        letters = [c for c in AXIS_LETTERS if c not in taken]
        self.spare = [*letters, *(f"i{n}" for n in range(99))]
        self.letters = {a: self.spare.pop(0) for a in range(rank)}

    def left(self, name: str, rank: int) -> Form:
        """Return the left side ``name_ij``."""
        indices = (sym(self.letters[a]) for a in range(rank))
        return Form("sub", (sym(name), *indices)) if rank else sym(name)

    def form(self, e: Term) -> Form:
        """Return the formula of a term."""
        match e.kind:
            case "num":
                return number_form(e)
            case "size":
                return sym(str(e.value))
            case "axis":
                return sym(self.letters[e.value])
            case "cut":
                return self.form(e.args[0])
            case "ref":
                name = sym(self.names[e.value])
                indices = tuple(map(self.form, e.args))
                return Form("sub", (name, *indices)) if indices else name
            case "add":
                return self._sum(e)
            case "mul":
                return self._product(e)
            case "pow":
                return self._power(e)
            case "call":
                return self._call(e)
            case "ind":
                return Form("ind", (self.form(e.args[0]),))
            case "red":
                return self._reduction(e)
            case "mat":
                return self._matrix_function(e)
        return self._row_function(e)

    def _sum(self, e: Term) -> Form:
        signs, parts = [], []
        for t in sorted(e.args, key=lambda t: coefficient(t)[0] < 0):
            c, rest = coefficient(t)
            parts.append(self.form(algebra.mul(num(abs(c)), rest)))
            signs.append("-" if c < 0 else "+")
        return Form("sum", tuple(parts), "".join(signs))

    def _product(self, e: Term) -> Form:
        c, rest = coefficient(e)
        above, below = [], []
        if abs(c).numerator != 1:
            above.append(Form("num", (), str(abs(c).numerator)))
        if c.denominator != 1:
            below.append(Form("num", (), str(c.denominator)))
        parts = [f for f in factors(rest) if f.kind != "num"]
        for f in sorted(parts, key=lambda f: f.kind == "red"):
            base, exponent = power_parts(f)
            if exponent < 0:
                below.append(self.form(algebra.power(base, -exponent)))
            else:
                above.append(self.form(f))
        top = product(above) if above else ONE
        if below:
            top = Form("frac", (top, product(below)))
        return Form("neg", (top,)) if c < 0 else top

    def _power(self, e: Term) -> Form:
        base, exponent = power_parts(e)
        if exponent < 0:
            return Form("frac", (ONE, self.form(algebra.power(base, -exponent))))
        if exponent == Fraction(1, 2):
            return Form("sqrt", (self.form(base),))
        return Form("pow", (self.form(base),), str(exponent))

    def _call(self, e: Term) -> Form:
        if e.value == "if":
            body, *tests = map(self.form, e.args)
            test = tests[0] if len(tests) == 1 else Form("cmp", tuple(tests), "∧")
            return Form("cmp", (body, test), "|")
        if e.value == "within":
            return self._within(e)
        return function_form(e.value, [self.form(a) for a in e.args])

    def _within(self, e: Term) -> Form:
        index, bound, modulus = e.args
        shown = self.form(index)
        tests = []
        if modulus.value != 1:
            divides = Form("cmp", (self.form(modulus), shown), "|")
            tests.append(divides)
        zero = Form("num", (), "0")
        if bound.kind == "num" and bound.value == 0:
            tests.append(Form("cmp", (zero, shown), "≤"))
        else:
            tests.append(Form("cmp", (zero, shown, self.form(bound)), "≤ <"))
        return tests[0] if len(tests) == 1 else Form("cmp", tuple(tests), "∧")

    def _reduction(self, e: Term) -> Form:
        loops = self._named(bound_axes(e))
        kind = e.value[0]
        body = e.args[0]
        if kind == "prod" and body.kind == "call" and body.value == "if":
            tests = body.args[1:]
            if all(t.kind == "call" and len(t.args) == 2 for t in tests):
                limits = tuple(map(self.form, tests))  # Π_{k≠i} x_k
                return Form("big", (self.form(body.args[0]), *limits), "Π")
        if kind == "logsumexp":
            inner = Form("big", (self.form(algebra.call("exp", body)), *loops), "Σ")
            return function_form("log", [inner])
        return Form("big", (self.form(body), *loops), _OPERATORS.get(kind, kind))

    def _matrix_function(self, e: Term) -> Form:
        """``(A⁻¹)_{ij}``: the matrix in matrix notation, if it has one."""
        body, places = e.args[0], e.args[1:]
        batch = tuple(sorted(body.free.difference(bound_axes(e))))
        groups = tuple((a,) for a in bound_axes(e))
        inner = Matrices(self.names).spread(body, View(batch, groups))
        if inner is None:
            self._named(bound_axes(e))
            inner = self.form(body)
        shown = matrix_function_form(e.value[0], inner)
        indices = tuple(map(self.form, (*map(axis, batch), *places)))
        return Form("sub", (shown, *indices)) if indices else shown

    def _row_function(self, e: Term) -> Form:
        """``softmax(z)_j`` is written out: ``exp(z_j) / Σ_k exp(z_k)``."""
        (bound,) = bound_axes(e)
        there = algebra.substitute(e.args[0], {bound: e.args[1]})
        loop = self._named((bound,))
        total = Form("big", (self.form(algebra.call("exp", e.args[0])), *loop), "Σ")
        if e.value[0] == "log_softmax":
            log = function_form("log", [total])
            return Form("sum", (self.form(there), log), "+-")
        above = self.form(algebra.call("exp", there))
        return Form("frac", (above, total))

    def _named(self, axes: tuple[int, ...]) -> tuple[Form, ...]:
        for a in axes:
            self.letters[a] = self.spare.pop(0)
        return tuple(sym(self.letters[a]) for a in axes)

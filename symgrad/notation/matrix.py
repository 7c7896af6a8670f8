"""Terms as matrix notation.

A term over axes is read as a scalar, a vector or a matrix: the *view* says which axes
are the rows and which the columns; further leading axes are a batch, along which the
same formula holds for each element.  A sum of products is a chain of matrices when
its factors, seen as edges between their axes, form a path.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

from symgrad.declare.tensor import Tensor
from symgrad.notation import algebra, sums
from symgrad.notation.contraction import contraction
from symgrad.notation.gather import gathered, is_scalar
from symgrad.notation.placement import (
    SORTS,
    cheaper,
    crosses,
    diagonals_joined,
    is_computed_row,
    is_statistic,
    scales_joined,
    sort_of,
)
from symgrad.notation.quantities import (
    assembled,
    function_form,
    is_short,
    matrix_function_form,
    number_form,
    scaled,
    surd,
)
from symgrad.notation.special import diagonal, is_delta, statistic, triangle
from symgrad.notation.syntax import (
    ONE,
    ONES,
    Form,
    call,
    cost,
    mentions,
    product,
    sym,
    transposed,
)
from symgrad.notation.terms import (
    ONE as UNIT,
)
from symgrad.notation.terms import (
    ZERO,
    Term,
    bound_axes,
    coefficient,
    factors,
    num,
    power_parts,
)

Group = tuple[int, ...]


class View(NamedTuple):
    """Batch axes, and up to two groups of axes: rows and columns."""

    batch: Group = ()
    groups: tuple[Group, ...] = ()

    @property
    def axes(self) -> Group:
        """Every axis in order."""
        return (*self.batch, *(a for g in self.groups for a in g))


def view_of(axes: Group) -> View:
    """Return the view in which the last two axes are rows and columns."""
    cut = max(len(axes) - 2, 0)
    return View(axes[:cut], tuple((a,) for a in axes[cut:]))


class Matrices:
    """Matrix notation of terms, given a name for each tensor that they refer to."""

    def __init__(self, names: Mapping[Tensor, str]) -> None:
        self.names = names
        self.scalars = {name for t, name in names.items() if not t.ndim}
        self._known: dict[tuple[Term, View], Form | None] = {}

    def form(self, e: Term, view: View) -> Form | None:
        """Return the formula of a term that depends on every axis of the view.

        None means that matrix notation has no form for it.
        """
        key = (e, view)
        if key not in self._known:
            self._known[key] = None  # while it is being found
            direct = self._form(e, view)
            if len(view.groups) == 2:
                flipped = self._form(e, view._replace(groups=view.groups[::-1]))
                direct = cheaper(direct, flipped)
            self._known[key] = direct
        return self._known[key]

    def part(self, e: Term, view: View) -> Form | None:
        """Return the formula of a term that may be broadcast over the view."""
        axes = view.axes
        kept = tuple(a for a in axes if a in e.free)
        if not kept:
            return self.form(e, View())
        if kept == axes:
            return self.form(e, view)
        if kept == axes[len(axes) - len(kept) :]:
            return self.form(e, view_of(kept))
        if kept == axes[: len(kept)] and len(view.groups) == 2:
            rows = View(view.batch, view.groups[:1])
            found = self.form(e, rows)
            if found is None or is_statistic(found):
                return found
            return product([found, transposed(ONES)])
        return None

    def spread(self, e: Term, view: View) -> Form | None:
        """Return the formula of a term, repeated along the axes that it lacks.

        A scalar ``s`` is ``s 𝟏`` or ``s 𝟏 𝟏ᵀ``, a row ``v`` the matrix ``𝟏 vᵀ``.
        """
        shown = self.part(e, view)
        if shown is None or e is ZERO or view.batch or not view.groups:
            return shown
        kept = tuple(a for a in view.axes if a in e.free)
        if not kept:
            ones = product([ONES, transposed(ONES)][: len(view.groups)])
            if shown.kind == "frac":
                return Form("frac", (scaled(shown.args[0], ones), shown.args[1]))
            return scaled(shown, ones)
        if len(view.groups) == 2 and kept == view.groups[1]:
            if shown.kind == "frac" and is_scalar(shown.args[1], self.scalars):
                ones = product([ONES, transposed(shown.args[0])])
                return Form("frac", (ones, shown.args[1]))
            return product([ONES, transposed(shown)])
        if len(view.groups) == 2 and kept == view.groups[0] and is_statistic(shown):
            return product([shown, transposed(ONES)])
        return shown

    def _form(self, e: Term, view: View) -> Form | None:
        match e.kind:
            case "num":
                return number_form(e)
            case "size":
                self.scalars.add(str(e.value))
                return sym(str(e.value))
            case "axis":
                return None
            case "ref":
                return self._ref(e, view)
            case "add":
                return self._sum(e, view)
            case "mul":
                return self._product(e, view)
            case "pow":
                return self._power(e, view)
            case "call":
                return self._call(e, view)
            case "ind":
                return self._indicator(e, view)
            case "red":
                return self._reduction(e, view)
            case "mat":
                return self._matrix_function(e, view)
        return self._row_function(e, view)

    # -- references ----------------------------------------------------------------

    def _ref(self, e: Term, view: View) -> Form | None:
        name, t = self.names[e.value], e.value
        places: list[int] = []
        shown: list[str] = []
        plain = True
        for extent, i in zip(t.shape, e.args, strict=True):
            if i.kind == "axis":
                places.append(i.value)
                shown.append(":")
            elif i.kind == "cut" and i.args[0].kind == "axis":
                places.append(i.args[0].value)
                shown.append(f":{i.value}")
                plain = False
            elif i.kind == "num":
                shown.append(str(i.value))
                plain = plain and extent == 1
            elif i.kind == "ref" and all(a.kind == "axis" for a in i.args):
                places += [a.value for a in i.args]
                shown.append(self.names[i.value])
                plain = False
            else:
                return None
        while len(shown) > 1 and shown[-1] == ":":
            shown.pop()
        base = sym(name if plain else f"{name}[{', '.join(shown)}]")
        order = tuple(places)
        if order == view.axes:
            return base
        if len(view.groups) == 1 and order == view.axes * 2:
            return Form("diag", (base,))
        return None

    # -- elementwise ---------------------------------------------------------------

    def _sum(self, e: Term, view: View) -> Form | None:
        signs, parts = [], []
        ordered = sorted(
            diagonals_joined(e.args, view),
            key=lambda t: (coefficient(t)[0] < 0, is_delta(t, view)),
        )
        matrices = any(is_delta(t, view) for t in ordered) or crosses(ordered, view)
        for t in ordered:
            c, rest = coefficient(t)
            matrix = matrices or is_computed_row(rest, view)
            shown = (self.spread if matrix else self.part)(
                algebra.mul(num(abs(c)), rest), view
            )
            if shown is None:
                return None
            if shown.kind == "neg":
                c, shown = -c, shown.args[0]
            signs.append("-" if c < 0 else "+")
            parts.append(shown)
        return gathered(parts, signs, self.scalars)

    def _product(self, e: Term, view: View) -> Form | None:
        special = diagonal(self, e, view) or triangle(self, e, view)
        if special is not None:
            return special
        c, rest = coefficient(e)
        above, below = [], []
        if abs(c).numerator != 1:
            above.append(num(abs(c).numerator))
        if c.denominator != 1:
            below.append(num(c.denominator))
        root = None if is_short(c) else surd(abs(c))
        if not is_short(c):
            above, below = ([] if root else [num(abs(c))]), []
        parts = list(factors(rest))
        known = statistic(self, c, parts, view)
        if known is not None:
            return known
        for f in parts:
            base, exponent = power_parts(f)
            if exponent < 0 and not self._scales(f, view):
                below.append(algebra.power(base, -exponent))
            elif f is not UNIT:
                above.append(f)
        top = self._factors(above, view) if above else ONE
        bottom = self._factors(below, view, divisor=True) if below else ONE
        if top is None or bottom is None:
            return None
        if root is not None:
            top, bottom = scaled(root[0], top), scaled(root[1], bottom)
        if bottom != ONE:
            top = Form("frac", (top, bottom))
        return Form("neg", (top,)) if c < 0 else top

    def _scales(self, f: Term, view: View) -> bool:
        """Return True for a divisor that is shown as ``diag(1/v)``."""
        sort = sort_of(f, view)
        if sort not in ("row", "column"):
            return False
        group = view.groups[sort == "column"]
        shown = self.form(f, View(view.batch, (group,)))
        if shown is None or shown.kind != "frac":
            return False
        return shown.args[1].kind != "sym" and not is_statistic(shown)

    def _factors(
        self, parts: list[Term], view: View, divisor: bool = False
    ) -> Form | None:
        """Return a product: numbers, then rows' factors, then elementwise ones."""
        sorts: dict[str, list[Form]] = {n: [] for n in SORTS}
        for f in parts if divisor else scales_joined(parts, view):
            sort = "full" if divisor and f.free else sort_of(f, view)
            rows = View(view.batch, view.groups[:1])
            shown = self.form(f, rows) if sort == "row" else self.part(f, view)
            if shown is None:
                return None
            sorts[sort].append(shown)
        return assembled(**sorts)

    def along(self, inner: Term, f: Term, view: View) -> Form | None:
        """Return the argument of a reduction along the last axes, not transposed."""
        shown = self.form(inner, view_of((*view.axes, *bound_axes(f))))
        return None if shown is None or shown.kind == "T" else shown

    def _power(self, e: Term, view: View) -> Form | None:
        base, exponent = power_parts(e)
        if exponent < 0:
            below = self.part(algebra.power(base, -exponent), view)
            return None if below is None else Form("frac", (ONE, below))
        shown = self.part(base, view)
        if shown is None:
            return None
        if shown.kind == "norm2":
            norm = Form("norm", shown.args)
            twice = 2 * exponent
            return norm if twice == 1 else Form("pow", (norm,), str(twice))
        if exponent == Fraction(1, 2):
            if shown.kind == "call" and shown.text == "var":
                return call("std", *shown.args)
            return Form("sqrt", (shown,))
        if shown.kind == "call" and shown.text in _SQUARABLE:
            return Form("fpow", shown.args, f"{shown.text} {exponent}")
        return Form("hpow" if view.groups else "pow", (shown,), str(exponent))

    def _call(self, e: Term, view: View) -> Form | None:
        if e.value == "within" or e.value == "if":
            return None
        parts = [self.part(a, view) for a in e.args]
        shown = [p for p in parts if p is not None]
        return None if len(shown) < len(parts) else function_form(e.value, shown)

    def _indicator(self, e: Term, view: View) -> Form | None:
        condition = e.args[0]
        if condition.value == "eq" and view.groups:
            for v, a in (condition.args, condition.args[::-1]):
                last = a.kind == "axis" and view.groups[-1] == (a.value,)
                if last and a.value not in v.free:
                    labels = self.part(v, View(view.batch, view.groups[:-1]))
                    if v.kind == "ref" and labels is not None:
                        return call("onehot", labels)
        found = diagonal(self, e, view) or triangle(self, e, view)
        if found is not None:
            return found
        inner = self.part(condition, view)
        return None if inner is None else Form("ind", (inner,))

    # -- reductions ----------------------------------------------------------------

    def _reduction(self, e: Term, view: View) -> Form | None:
        if e.value[0] == "sum":
            found = contraction(self, e, view)
            plain = found is not None and not mentions(found, ONES)
            opened = None if plain else sums.opened(e)
            if opened is None:
                return found
            # term by term, as ``Pᵀ X − diag(Pᵀ 𝟏) M``
            other = self.form(opened, view)
            known = [f for f in (found, other) if f is not None]
            return min(known, key=cost, default=None)
        shown = self.along(e.args[0], e, view)
        return None if shown is None else call(_REDUCTIONS[e.value[0]], shown)

    def _matrix_function(self, e: Term, view: View) -> Form | None:
        body, places = e.args[0], e.args[1:]
        batch = tuple(a for a in view.axes if a in body.free)
        groups = tuple((a,) for a in bound_axes(e))
        inner = self.spread(body, View(batch, groups))
        if inner is None or any(p.kind != "axis" for p in places):
            return None
        shown = matrix_function_form(e.value[0], inner)
        if not places:
            return shown
        i, j = (p.value for p in places)
        if view.groups == ((i,), (j,)):
            return shown
        if view.groups == ((j,), (i,)):
            return transposed(shown)
        return Form("diag", (shown,)) if view.groups == ((i,),) and i == j else None

    def _row_function(self, e: Term, view: View) -> Form | None:
        place = e.args[1]
        if place.kind != "axis" or not view.groups or view.groups[-1] != (place.value,):
            return None
        (bound,) = bound_axes(e)
        row = (*view.groups[:-1], (bound,))
        shown = self.form(e.args[0], view._replace(groups=row))
        return None if shown is None else call(e.value[0], shown)


_REDUCTIONS = {
    "max": "max",
    "min": "min",
    "prod": "prod",
    "any": "any",
    "all": "all",
    "argmax": "argmax",
    "argmin": "argmin",
    "logsumexp": "logsumexp",
}
_SQUARABLE = ("sin", "cos", "tan", "tanh", "sinh", "cosh", "σ", "log")

"""What pictures write: names, titles and formulas of boxes, and local derivatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from symgrad.declare.dtypes import is_float
from symgrad.declare.tensor import (
    Input,
    Param,
    Reshape,
    Tensor,
    constant,
    input,
    make,
)
from symgrad.derivation.reverse import reverse
from symgrad.drawing.condense import MANY, Box, Boxes, condense
from symgrad.drawing.joins import join_text, part_of_cotangent
from symgrad.drawing.loops import (
    Step,
    body_of,
    is_loop,
    over_steps,
    result_of,
    step,
)
from symgrad.drawing.names import short_names
from symgrad.drawing.parts import back_text, chain_text, part_names
from symgrad.drawing.states import result_name
from symgrad.drawing.titles import ACTIVATIONS, title_of
from symgrad.notation.indexed import Indexed
from symgrad.notation.local import (
    local_form,
    local_formula,
    local_term,
    matrix_form,
    referring,
    with_opaque,
)
from symgrad.notation.lower import below
from symgrad.notation.names import Namer
from symgrad.notation.render import display_name, unicode_text
from symgrad.notation.syntax import ONE, Form, call, sym
from symgrad.notation.terms import ZERO, Term

READABLE = 120  # parts of a formula; the function of a row may have more
LONGEST = 52  # characters of a formula in a box
WIDEST = 40  # and of one at an edge
#: Titles that say how values are arranged, not what is done with them.
QUIET = {"", "reshape", "transpose", "slice"}


class Labels:
    """The names of a picture's leaves and boxes, and the formulas over them."""

    def __init__(
        self,
        boxes: Boxes,
        output: Tensor | None = None,
        given: Mapping[Tensor, str] | None = None,
    ) -> None:
        """Name and describe boxes; some may have names already."""
        given = given or {}
        unnamed = [t for t in boxes.leaves if t not in given]
        self.names: dict[Tensor, str] = {**given, **short_names(unnamed)}
        self.titles: dict[Tensor, str] = {}
        self.formulas: dict[Tensor, str] = {}
        self.forms: dict[Tensor, Form] = {}
        # equal layers have equal derivatives but for the names
        self._derived: dict[tuple, tuple[Box, list[Form | None]]] = {}
        # a step is looked at when it is asked for: the body of a loop may be long
        self._steps: dict[Tensor, tuple[Step, Labels]] = {}
        self._defined: dict[tuple, tuple[dict[Tensor, str], Term, Form]] = {}
        namer = Namer(self.names, boxes.owner)
        for head, box in boxes.boxes.items():
            term = self._define(box)
            self.formulas[head] = self._formula(box)
            if head in given:
                continue
            known = "L" if head is output and not head.ndim else self._state(box)
            if known is not None and known not in namer.taken:
                self.names[head] = known
                namer.taken.add(known)
            else:
                letter = "H" if self.titles[head] in ACTIVATIONS else ""
                namer.name(head, term or ZERO, letter)  # ZERO tells no letter

    def _define(self, box: Box) -> Term | None:
        """Find the title and the formula of a box; return its term, if it has one."""
        head, names = box.head, {s: self.names[s] for s in box.sources}
        term: Term | None = None
        form: Form | None = None
        if is_loop(head):
            form = call("scan", *map(sym, names.values()))
        elif isinstance(head.op, Reshape):
            form, _ = local_form(head, names)
        elif (text := join_text(head, names) or chain_text(box, names)) is not None:
            form = sym(text)
        elif len(box.members) <= MANY:
            term, form = self._written(box, names)
        self.titles[head] = title_of(box, term)
        if form is not None:
            self.forms[head] = form
        return term

    def _state(self, box: Box) -> str | None:
        """Return the name of a loop's result, or of a part of one, if it has one."""
        loop = box.head if is_loop(box.head) else result_of(box)
        return None if loop is None else result_name(box.head, self.step(loop)[0])

    def _written(
        self, box: Box, names: Mapping[Tensor, str]
    ) -> tuple[Term, Form | None]:
        """Return term and formula of a box; those of an equal one under its names."""
        key = statement_of(box)
        names = {**names, **part_names(box, names)}
        if key in self._defined:
            known_names, term, known_form = self._defined[key]
            own = dict(zip(known_names, names, strict=True))
            texts = {known_names[a]: names[b] for a, b in own.items()}
            return referring(term, own), renamed(known_form, texts)
        known = with_opaque(box.head, names)
        term = local_term(box.head, known)
        if term.size > READABLE and term.kind not in ("fam", "red"):
            return term, None
        form = matrix_form(term, box.head.ndim, known)
        if form is None:
            form = Indexed(known, box.head.ndim).form(term)
        elif len(known) == len(names):  # it mentions nothing but the sources
            self._defined[key] = names, term, form
        return term, form

    def _formula(self, box: Box) -> str:
        form, title = self.forms.get(box.head), self.titles[box.head]
        if form is None:
            return f"{len(box.members)} operations"
        text = unicode_text(form)
        plain = len(text) <= LONGEST and "_{" not in text and "𝟙" not in text
        if plain or not title.isidentifier():
            return text
        return f"{title}({', '.join(map(self.shown, box.sources))})"

    def shown(self, t: Tensor) -> str:
        """Return the name of a leaf or box, as long as a picture has room for."""
        return shortened(display_name(self.names[t]), WIDEST)

    def detail(self, head: Tensor) -> str:
        """Return the second line of a box: ``Z1 = X W1 + b1``."""
        return f"{self.shown(head)} = {self.formulas[head]}"

    # -- loops -----------------------------------------------------------------------

    def step(self, head: Tensor) -> tuple[Step, Labels]:
        """Return the step of a loop, and the labels of its boxes."""
        if head not in self._steps:
            found = step(head, self.names)
            inner = Labels(condense(found.values), given=found.names)
            self._steps[head] = found, inner
        return self._steps[head]

    def equations(self, head: Tensor) -> list[tuple[str, Form]]:
        """Return name and formula of each box of a loop's step, operands first."""
        _, inner = self.step(head)
        forms = ((inner.names[t], inner.forms.get(t)) for t in inner.formulas)
        return [(left, form) for left, form in forms if form is not None]

    def step_line(self, head: Tensor) -> str | None:
        """Return the step of a loop with one carry: ``hₜ₊₁ = tanh(hₜ U + xₜ)``."""
        found, inner = self.step(head)
        body = body_of(found)
        if len(found.values) > 1 or len(body.members) > MANY:
            return None
        reads = {f: found.names[f] for f in body.sources}
        return f"{inner.names[body.head]} = {local_formula(body.head, reads)[0]}"

    def _loop_forms(self, box: Box) -> list[Form | None]:
        """Return what a loop multiplies a cotangent by: of a step, over all steps."""
        found, inner = self.step(box.head)
        body = body_of(found)
        alone = len(found.values) == 1 and len(found.loop.updates) == 1
        steps = inner.locals(body, final=False) if alone else {}
        forms: list[Form | None] = []
        for s in box.sources:
            formals = found.formals.get(s, [])
            if not is_float(s.dtype):
                forms.append(None)
            elif len(formals) != 1:
                forms.append(sym(f"∂scan/∂{self.names[s]}"))
            else:
                (formal,) = formals
                role, local = found.role(formal), steps.get(formal)
                named = sym(f"(∂step/∂{inner.names[formal]})ᵀ")
                inside = over_steps(role, named if local is None else local.form)
                wide = len(_beside_dot(inside)) > WIDEST
                forms.append(over_steps(role, named) if wide else inside)
        return forms

    # -- local derivatives -----------------------------------------------------------

    def locals(self, box: Box, final: bool) -> dict[Tensor, Local]:
        """Return what a cotangent of the box is multiplied by on its way to a source.

        The cotangent itself is written as a dot: ``·W2ᵀ``, ``⊙ 𝟙[Z1 > 0]``; a scalar
        one is left out, as is the 1 at the ``final`` box, the loss.
        """
        key = (statement_of(box), final)
        if key in self._derived:
            first, forms = self._derived[key]
            nodes = zip(
                (*first.sources, first.head), (*box.sources, box.head), strict=True
            )
            names = {self.names[a]: self.names[b] for a, b in nodes}
            forms = [f and renamed(f, names) for f in forms]
        else:
            forms = self._local_forms(box, final)
            self._derived[key] = box, forms
        found: dict[Tensor, Local] = {}
        for s, form in zip(box.sources, forms, strict=True):
            if form is not None:
                text = _beside_dot(form)
                if len(text) > WIDEST:
                    title = self.titles[box.head] or self.shown(box.head)
                    text = f"∂{title}/∂{self.shown(s)}"
                    if title in ACTIVATIONS and len(box.sources) == 1:
                        text = f"⊙ {title}′({self.shown(s)})"
                found[s] = Local(text, form)
        return found

    def _local_forms(self, box: Box, final: bool) -> list[Form | None]:
        """Return the local derivative by each source, None where there is none."""
        if is_loop(box.head):
            return self._loop_forms(box)
        if chain_text(box, self.names) is not None:
            return [sym(back_text(box, self.names))]
        copy, places = isolated(box)
        if final or not copy.ndim:  # a factor says it all
            seed = constant(1.0, copy.dtype)
        else:
            seed = input("·", copy.shape, copy.dtype)
        wanted = [p for p in places.values() if is_float(p.dtype)]
        sent = reverse([copy], wanted, [seed]).cotangents
        names = {p: self.names[s] for s, p in places.items()}
        if seed.name:
            names[seed] = "·"
        # a slope may read better in terms of the result, as in H ⊙ (1 − H)
        named = {**names, copy: self.names[box.head]}
        found: list[Form | None] = []
        for s in box.sources:
            part = sent.get(places[s])
            if part is None:
                found.append(None)
                continue
            if own := part_of_cotangent(box.head, s):
                found.append(sym(own))
                continue
            ways = local_of(part, names), local_of(part, named, copy)
            found.append(min(ways, key=lambda way: len(way.text)).form)
        return found


def isolated(box: Box) -> tuple[Tensor, dict[Tensor, Tensor]]:
    """Return a copy of a box over leaves of its own, and the leaf of each source."""
    places = {s: input(f"s{n}", s.shape, s.dtype) for n, s in enumerate(box.sources)}
    known: dict[Tensor, Tensor] = dict(places)
    for t in below([box.head], places):
        if t not in known:
            args = [known[a] for a in t.args]
            known[t] = make(t.op, args, t.shape, t.dtype) if args else t
    return known[box.head], places


def statement_of(box: Box) -> tuple:
    """Return what a box computes, whatever its sources are called: equal for equals."""
    number = {s: -1 - n for n, s in enumerate(box.sources)}

    def place(t: Tensor) -> object:
        if t in number:
            return number[t]
        return (t.op, *map(place, t.args)) if t.args else id(t)

    rows: list[tuple] = [(s.shape, s.dtype) for s in box.sources]
    for t in box.members:
        rows.append((t.op, t.shape, t.dtype, *map(place, t.args)))
        number[t] = len(rows)
    return tuple(rows)


def renamed(f: Form, names: Mapping[str, str]) -> Form:
    """Return a formula with other names in it."""
    plain = f.kind in ("call", "num")
    text = f.text if plain else names.get(f.text, f.text)
    return Form(f.kind, tuple(renamed(a, names) for a in f.args), text)


class Local(NamedTuple):
    """A local derivative: as text for an edge, and whole."""

    text: str
    form: Form


def local_of(
    part: Tensor, names: Mapping[Tensor, str], result: Tensor | None = None
) -> Local:
    """Return what a cotangent, named by a dot, is multiplied by to give ``part``."""
    if names.get(part) == "·":
        return Local("1", ONE)
    form, _ = local_form(part, names, result)
    if form == sym("·"):
        form = ONE
    return Local(_beside_dot(form), form)


def _beside_dot(form: Form) -> str:
    """Return the text of a factor: ``· ⊙ x`` is ``⊙ x``."""
    text = unicode_text(form)
    number, dot, rest = text.partition("· ⊙ ")
    if dot and (not number or number.rstrip().replace(".", "").isdigit()):
        return f"⊙ {number}{rest}"
    return _close(text)


def _close(text: str) -> str:
    """``· W2ᵀ`` is written close, ``·W2ᵀ``."""
    return "·" + text[2:] if text.startswith("· ") and text[2].isalpha() else text


def shortened(text: str, width: int = LONGEST) -> str:
    """Return the text, cut where it is too long for a picture."""
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def fitting(words: Sequence[str], mark: str, width: int = LONGEST) -> str:
    """Return as many words, with a mark between them, as there is room for."""
    text = mark.join(words)
    kept = len(words)
    while len(text) > width and kept > 1:
        kept -= 1
        text = mark.join([*words[:kept], "…"])
    return shortened(text, width)


def shape_text(t: Tensor) -> str:
    """Return a shape as pictures show it: ``n × 64``; nothing for a scalar."""
    return " × ".join(map(str, t.shape))


def leaf_kind(t: Tensor) -> str:
    """Return how a leaf is drawn: ``input``, ``param``, ``frozen`` or ``constant``."""
    if isinstance(t.op, Param):
        return "param" if t.op.trainable else "frozen"
    return "input" if isinstance(t.op, Input) else "constant"

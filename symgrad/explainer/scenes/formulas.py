"""The formulas to keep: each derived from the model, with its number there."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from symgrad.declare import scalar
from symgrad.declare.build import build
from symgrad.declare.tensor import Tensor, input
from symgrad.derivation.reverse import grad
from symgrad.explainer import markup as m
from symgrad.explainer.backward import step
from symgrad.explainer.roads import sized
from symgrad.explainer.scenes.passes import shown_places
from symgrad.explainer.story import Scene, plural, signed
from symgrad.explainer.subject import Station, Subject
from symgrad.notation.local import local_form
from symgrad.notation.render import unicode_text
from symgrad.train.initialize import name_of

Row = tuple[str, str, str]
MOST, MOST_SLOPES = 9, 2
LONGEST = 48  # letters of a slope
LOSS = "<mi>L</mi>"


def scene(s: Subject) -> Scene:
    """Return the formulas, when each matters, and what it comes to in the model."""
    found = [_update(s), *_passes(s), *activations(s), *_road(s), *_stable(s)]
    rows = [
        {"cells": [{"math": formula}, when, here], "at": 0.3 + 0.5 * n}
        for n, (formula, when, here) in enumerate(found[:MOST])
    ]
    return Scene(
        "formulas", "The formulas to keep", 9.5,
        [
            (0.0, "These few formulas explain most of what training does."),
            (4.6, "All were derived from the graph, and measured on the batch."),
        ],
        [{"kind": "table", "head": ["formula", "matters", f"in {s.name}"],
          "rows": rows}],
        "column",
    )  # fmt: skip


def _update(s: Subject) -> Row:
    w = m.sym("w")
    shown = m.whole(w, m.op("←"), w, m.op("−"), m.sym("eta"), m.partial(LOSS, w))
    return shown, "at every step of learning", f"η = {signed(s.rate)}"


def _passes(s: Subject) -> Iterator[Row]:
    """Give the gradient at the prediction, through layers, and by a weight."""
    last = len(s.places) - 1
    norms = {t: _size(s.value_of(g)) for t, g in gradients(s).items()}
    seen: set[str] = set()
    for k in reversed(shown_places(last + 1)):
        station = s.places[k]
        made = s.step_to(k)
        here = norms.get(station.node)
        if k == last:
            if made is not None and here is not None:
                yield (
                    _equal(_by(station), made),
                    "where the backward pass starts",
                    (f"its norm is {signed(here)}"),
                )
            yield _chain(), "at each layer: the chain rule", plural(s.depth, "layer")
        elif made is not None:
            # two layers of one kind have the same formula but for the numbers
            kind = "".join(c for c in made if not c.isdigit())
            if kind not in seen and len(seen) < 2:
                above = s.places[k + 1]
                ratio = _ratio(here, norms.get(above.node))
                yield _equal(_by(station), made), f"back through {above.name}", ratio
            seen.add(kind)
    yield from _weight(s)


def gradients(s: Subject) -> dict[Tensor, Tensor]:
    """Return the gradients at the places whose formulas are shown, and above them."""
    ks = {j for k in shown_places(len(s.places)) for j in (k, k + 1)}
    nodes = [p.node for k, p in enumerate(s.places) if k in ks]
    found = {t: s.gradient(t) for t in nodes}
    return {t: g for t, g in found.items() if g is not None}


def _size(value: np.ndarray) -> float:
    return float(np.linalg.norm(np.float64(value)))


def _by(station: Station) -> str:
    return m.sym(station.delta)


def _equal(left: str, right: str) -> str:
    return m.whole(left, m.op("="), right)


def _ratio(below: float | None, above: float | None) -> str:
    if below is None or not above:
        return "derived"
    return f"norm × {signed(below / above)}"


def _chain() -> str:
    h = m.sym("h")
    after = m.row(h, m.op("′"))
    before = m.partial(LOSS, h)
    local = m.power(m.row(m.op("("), m.partial(after, h), m.op(")")), "<mi>⊤</mi>")
    return _equal(before, m.row(local, m.partial(LOSS, after)))


def _weight(s: Subject) -> Iterator[Row]:
    """Give the gradient of the last weight matrix, if its formula is short."""
    last = s.places[-1]
    for p in reversed(s.model.trainable):
        if p.ndim < 2 or s.gradient(p) is None or s.ray is None:
            continue
        made = step(last.node, p, s.names, last.delta)
        if made is not None and len(s.places) > 1:
            loss = m.partial(LOSS, m.sym(name_of(p).rpartition("/")[2]))
            size = _size(s.ray.gradients[name_of(p)])
            yield (
                _equal(loss, made),
                f"for the weight {name_of(p)}",
                f"its norm is {signed(size)}",
            )
        return


def activations(s: Subject) -> Iterator[Row]:
    """Give the slope of each activation, and how steep it may be."""
    forecast = s.diagnosis.prediction
    kinds = [f for f in forecast.slopes if not f.is_scaling] if forecast else []
    for slope in kinds[:MOST_SLOPES]:
        x = input("x", (), "float64")
        made = build(slope.body, {scalar.var("x"): x}, "float64")
        shown = _written(grad(made, x), x)
        if shown is None:
            continue
        name = slope.name if len(slope.name) < 12 else "f"
        left = m.row(m.word(name), m.op("′"), m.op("("), m.sym("x"), m.op(")"))
        times = "once" if slope.times == 1 else f"{slope.times} times"
        bound = slope.says.rpartition(" ")[2]
        said = f"never steeper than {bound}"
        what = name
        if name != slope.name:
            what = f"f(x) = {unicode_text(local_form(made, {x: 'x'})[0])}"
        yield _equal(left, shown), f"at each {what}: {times} on the way", said


def _written(t: Tensor, x: Tensor) -> str | None:
    form = local_form(t, {x: "x"})[0]
    text = unicode_text(form)
    return m.formula(form) if len(text) <= LONGEST else None


def _road(s: Subject) -> Iterator[Row]:
    h = s.highway
    if h is None or h.road is None:
        return
    x, f = m.sym("x"), m.sym("f")
    of = m.row(m.op("("), x, m.op("+"), f, m.op("("), x, m.op(")"), m.op(")"))
    d = '<mi mathvariant="normal">∂</mi>'
    left = m.frac(m.row(d, of), m.row(d, x))
    shares = [v.by_road for v in h.shares if not math.isnan(v.by_road)]
    carried = "no gradient passes"
    if shares:
        low, high = sized(min(shares)), sized(max(shares))
        carried = f"the road carries {low if low == high else f'{low} to {high}'}"
    count = plural(len(h.road.residuals), "shortcut")
    shown = _equal(left, m.row(m.num(1.0), m.op("+"), m.partial(f, x)))
    yield shown, f"at {count}", carried


def _stable(s: Subject) -> Iterator[Row]:
    sharpness = s.diagnosis.evidence.sharpness
    if sharpness is None or not sharpness > 0 or not math.isfinite(sharpness):
        return
    lam = m.sym("lambda")
    shown = m.whole(m.sym("eta"), m.op("<"), m.frac(m.num(2.0), lam))
    said = f"λ = {signed(sharpness)}, so η < {signed(2 / sharpness)}"
    when = "for steps that do not overshoot; λ: the greatest curvature"
    yield shown, when, said

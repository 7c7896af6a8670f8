"""The chain rule, worked on one weight of the model with its own numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from symgrad.closedform.convert import scalar_expression
from symgrad.closedform.derivation import Derivation
from symgrad.closedform.scalars import derive_scalar
from symgrad.declare import scalar
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.tensor import Constant, Param, Tensor, op_name
from symgrad.drawing.condense import Box
from symgrad.drawing.labels import isolated
from symgrad.errors import SymgradError
from symgrad.explainer import builtin
from symgrad.explainer import markup as m
from symgrad.explainer.story import Figure, Scene, line, lines, signed
from symgrad.explainer.subject import Subject
from symgrad.train.initialize import name_of


@dataclass(frozen=True, eq=False)
class Link:
    """A product ``z = x W + …`` of the model, and what is computed of it alone."""

    x: Tensor
    weight: Tensor
    z: Tensor
    h: Tensor


def scene(s: Subject) -> Scene:
    """Return the scene."""
    note = ""
    found = _worked(s)
    if found is None:
        s, found = builtin.substitute(), _worked(builtin.substitute())
        note = f"No product x·W can be picked out of your model; {s.name} stands in."
    assert found is not None
    link, d, numbers = found
    where = name_of(link.weight)
    figure, rows = _figure(d, numbers), _rows(d, numbers, where)
    return Scene(
        "chain", "The chain rule, link by link", 10.5,
        [
            (0.0, f"One weight w of {where}: it changes z, and that changes the loss."),
            (3.0, "Each link has its own slope: its local derivative."),
            (6.4, "Multiply them along the chain, from the loss back to w."),
            (8.4, f"Summed over {numbers['terms']:,} "
                  f"{'samples' if numbers['terms'] == s.count else 'places'}, this is "
                  "the gradient of w."),
        ],
        [figure, lines(*rows, columns=True)], "column",
        note=note,
    )  # fmt: skip


def _names(d: Derivation) -> dict[str, str]:
    """Return what the page calls the names of a derivation."""
    return {"g": "z", "y": "h"} if len(d.steps) > 1 else {"y": "z"}


def _figure(d: Derivation, v: dict[str, float]) -> Figure:
    """Return the chain from the weight to the loss, with a slope at each link."""
    names = ["w", "z", "h", "L"] if len(d.steps) > 1 else ["w", "z", "L"]
    slopes = (
        [v["x"], v["slope"], v["above"]] if len(d.steps) > 1 else [v["x"], v["above"]]
    )
    count = len(slopes)
    return {
        "kind": "chain", "weight": 1,
        "alt": f"The chain {' → '.join(names)} with the slope of each link.",
        "nodes": [
            {"name": n, "text": signed(v[n]), "at": 0.3 + 0.7 * k}
            for k, n in enumerate(names)
        ],
        "links": [
            {"text": f"× {signed(slope)}", "name": f"∂{names[k + 1]}/∂{names[k]}",
             "forward": 0.7 + 0.7 * k, "backward": 3.2 + 1.1 * (count - 1 - k)}
            for k, slope in enumerate(slopes)
        ],
    }  # fmt: skip


def _rows(d: Derivation, v: dict[str, float], where: str) -> list[dict[str, Any]]:
    """Return the worked steps, those of values before those of slopes."""
    names = _names(d)
    rows = []
    for n, (symbol, definition) in enumerate(_definitions(d)):
        name = names.get(symbol, symbol)
        shown = _in(m.expression(definition), names)
        given = ", ".join(f"{k} {signed(v[k])}" for k in "wxc") if n == 0 else ""
        rows.append(
            line(m.whole(m.sym(name), m.op("="), shown),
                 "c: the rest of the sum" if n == 0 else "the activation",
                 at=0.9 + 0.8 * n, tone="forward", size="small",
                 then=given)
        )  # fmt: skip
    slopes = _slopes(d, v)
    factors = []
    top = names[str(d.steps[0].symbol)]
    above = m.partial("<mi>L</mi>", m.sym(top))
    for n, (step, slope) in enumerate(zip(d.steps, slopes, strict=True)):
        top_name, low_name = (
            names.get(str(t), str(t)) for t in (step.symbol, step.wrt)
        )
        ratio = m.partial(m.sym(top_name), m.sym(low_name), "d")
        local = _in(m.expression(step.local), names)
        factors.append((ratio, slope))
        rows.append(
            line(m.whole(ratio, m.op("="), local, m.op("="), m.num(slope)),
                 "a local derivative, derived", at=4.3 + 1.1 * n, size="small")
        )  # fmt: skip
    parts = [above, *(f for f, _ in factors)]
    amounts = [v["above"], *(a for _, a in factors)]
    by_weight = m.partial("<mi>L</mi>", m.sym("w"))
    whole = m.whole(
        by_weight, m.op("="), m.product(parts), m.op("="),
        m.product([_bracketed(a) for a in amounts]), m.op("="),
        m.num(float(np.prod(amounts))),
    )  # fmt: skip
    rows.append(line(whole, "the chain", at=6.6, tone="backward", size="small",
                     wide=True))  # fmt: skip
    total = m.whole(m.op("∑"), by_weight, m.op("="), m.num(v["gradient"]))
    rows.append(
        line(total, f"over the batch: the gradient of {where}[{v['i']:.0f}, "
             f"{v['j']:.0f}]", at=8.7, tone="backward", size="small")
    )  # fmt: skip
    return rows


def _bracketed(value: float) -> str:
    return m.row(m.op("("), m.num(value), m.op(")")) if value < 0 else m.num(value)


def _in(markup: str, names: dict[str, str]) -> str:
    """Return a formula with the names of inner functions as this page has them."""
    for old, new in names.items():
        markup = markup.replace(f"<mi>{old}</mi>", f"<mi>{new}</mi>")
    return markup


def _definitions(d: Derivation) -> list[tuple[str, Any]]:
    found = {str(s.symbol): s.definition for s in reversed(d.steps)}
    return list(found.items())


def _slopes(d: Derivation, v: dict[str, float]) -> list[float]:
    """Return each local derivative as a number: the last is x, the others are rest."""
    if len(d.steps) == 1:
        return [v["x"]]
    return [v["slope"], v["x"]]


def _worked(s: Subject) -> tuple[Link, Derivation, dict[str, float]] | None:
    for link in _links(s):
        # an activation of several steps is left to the layers above
        for way in dict.fromkeys((link, replace(link, h=link.z))):
            found = _try(s, way)
            if found is not None:
                return found
    return None


def _try(s: Subject, link: Link) -> tuple[Link, Derivation, dict[str, float]] | None:
    try:
        d = _derivation(link)
    except SymgradError:
        return None
    if len(d.steps) > 2:
        return None
    v = _numbers(s, link)
    if v is None:
        return None
    if link.h is not link.z:
        derived = d.compile()(**{n: v[n] for n in "wxc"})
        # z may reach the loss past h as well: then this is not the whole chain
        if not np.isclose(derived, v["slope"] * v["x"], rtol=1e-3):
            return None
    return link, d, v


def _links(s: Subject) -> list[Link]:
    """Return products with a trained matrix, those with an activation first."""
    found = []
    for layer in s.model.layers:
        for site in layer.sites:
            product = _product(site)
            if product is None or s.gradient(product.args[1]) is None:
                continue
            x, weight = product.args
            found.append(Link(x, weight, site, _activated(s, site)))
    return sorted(found, key=lambda k: k.h is k.z)


def _product(site: Tensor) -> Tensor | None:
    """Return the product ``x @ W`` in a site, W being a trained matrix."""
    for node in (site, *site.args):
        good = op_name(node.op) == "matmul" and len(node.args) == 2
        if good and isinstance(node.args[1].op, Param) and node.args[1].ndim == 2:
            x, weight = node.args
            if x.shape and x.shape[-1] == weight.shape[0] and x.ndim >= 2:
                return node
    return None


def _activated(s: Subject, z: Tensor) -> Tensor:
    """Return the last node that is computed, element by element, from z alone."""
    alone = {z}
    last = z
    for node in s.model.order:
        c = node.op
        if not isinstance(c, Comprehension) or not c.is_elementwise or node in alone:
            continue
        live = [a for a in node.args if not isinstance(a.op, Constant)]
        if live and all(a in alone for a in live) and node.shape == z.shape:
            alone.add(node)
            last = node
    return last


def _derivation(link: Link) -> Derivation:
    w, x, c = (scalar.var(n) for n in "wxc")
    z = scalar.call("add", scalar.call("mul", w, x), c)
    if link.h is link.z:
        return derive_scalar(z, "z", "w", 1)
    members = [link.h]
    copy, places = isolated(Box(link.h, members, [link.z]))
    e = scalar_expression(copy)
    inner = scalar.var(places[link.z].name or "")
    return derive_scalar(scalar.substitute(e, {inner: z}), "h", "w", 1)


def wanted(s: Subject) -> list[Tensor]:
    """Return what is measured of the link that is most likely to be shown."""
    for link in _links(s):
        found = tensors(s, link)
        if found is not None:
            return found
    return []


def tensors(s: Subject, link: Link) -> list[Tensor] | None:
    """Return what is measured of a link, None where no gradient comes to it."""
    sent = [s.gradient(t) for t in (link.h, link.z, link.weight)]
    live = [g for g in sent if g is not None]
    return [link.x, link.z, link.h, *live] if len(live) == len(sent) else None


def _numbers(s: Subject, link: Link) -> dict[str, float] | None:
    """Return the values at the weight and sample that contribute the most."""
    measured = tensors(s, link)
    if measured is None:
        return None
    found = (np.asarray(v, np.float64) for v in s.values_of(measured))
    x, z, h, by_h, by_z, gradient = found
    x = np.broadcast_to(x, (*z.shape[:-1], x.shape[-1])).reshape(-1, x.shape[-1])
    z, h, by_h, by_z = (a.reshape(-1, z.shape[-1]) for a in (z, h, by_h, by_z))
    if not (np.isfinite(by_z).all() and np.isfinite(x).all() and x.size):
        return None
    n, j, i = _telling(x, by_z, by_h)
    w = float(np.asarray(s.params[name_of(link.weight)])[i, j])
    slope = by_z[n, j] / by_h[n, j] if by_h[n, j] else 0.0
    return {
        "x": x[n, i], "w": w, "z": z[n, j], "h": h[n, j], "c": z[n, j] - w * x[n, i],
        "above": by_h[n, j], "slope": slope, "gradient": gradient[i, j],
        "terms": len(x), "i": i, "j": j, "L": s.loss_value,
    }  # fmt: skip


def _telling(x: np.ndarray, by_z: np.ndarray, by_h: np.ndarray) -> tuple[int, int, int]:
    """Return sample, unit and feature: a large gradient, of factors that are not 1.

    A product with a factor of one would not show that it is a product.
    """
    slope = np.divide(by_z, by_h, out=np.zeros_like(by_z), where=by_h != 0)
    plain = np.isclose(slope, 1) & ~np.isclose(slope, 1).all()
    n, j = np.unravel_index(int((np.abs(by_z) * ~plain).argmax()), by_z.shape)
    if not by_z[n, j]:
        n, j = np.unravel_index(int(np.abs(by_z).argmax()), by_z.shape)
    size = np.abs(x[n])
    other = np.where(np.isclose(size, 1), 0, size)
    i = int((other if other.max(initial=0) > 0 else size).argmax())
    return int(n), int(j), i

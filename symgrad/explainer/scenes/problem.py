"""The learning problem: data, a loss, parameters, and a first update."""

from __future__ import annotations

from typing import Any

import numpy as np

from symgrad.declare.tensor import Tensor
from symgrad.explainer import markup as m
from symgrad.explainer.answers import Answers, answers
from symgrad.explainer.backward import value
from symgrad.explainer.pictures import pixels
from symgrad.explainer.story import Figure, Scene, line, lines, plural, signed
from symgrad.explainer.subject import Subject
from symgrad.train.initialize import name_of

SAMPLES = 6
FEW = 6  # numbers that are written out


def scene(s: Subject) -> Scene:
    """Return the scene."""
    loss = s.loss_value
    trained, frozen = s.parameters
    held = plural(trained, "trained number")
    if frozen:
        held += f", {frozen:,} frozen"
    update = _update(s)
    found = answers(s)
    beats = [
        (0.0, _data(s, found)),
        (3.4, f"The loss says how wrong it is: {signed(loss)}. It depends on {held}."),
    ]  # fmt: skip
    shown = value(s.loss, s.names)
    equation = m.whole("<mi>L</mi>", m.op("="), shown) if shown else ""
    rows = [
        line(
            m.whole("<mi>L</mi>", m.op("="), m.num(loss)), "loss", at=2.6, size="large"
        ),
        *([line(equation, "of the prediction z", at=3.2)] if equation else []),
        line(m.whole(m.word(f"{trained:,}")), "parameters w", at=3.8),
    ]
    beats.append(
        (6.4, "Learning moves each of them a little against its gradient.")
        if s.ray is not None
        else (6.4, "No parameter is trained here, so nothing is learned.")
    )
    rows += update
    panels: list[Figure] = [lines(*rows, weight=1.1)]
    pictures = _samples(s, found)
    if pictures:
        panels.insert(0, pictures)
    return Scene("problem", "The learning problem", 10.0, beats, panels)


def _data(s: Subject, found: Answers | None) -> str:
    """Return a sentence on the samples and what is to be learned of them."""
    if not s.model.inputs:
        return "No data come in: the loss depends on its parameters alone."
    said = plural(s.count, "sample") if s.count else "The data"
    if s.given > s.count:
        said += f" of {s.given:,}"
    if found is not None:
        return f"{said} and the right answers. {found.says}"
    if len(s.model.inputs) > 1:
        return f"{said} and what the model is to make of them."
    return f"{said} and nothing else: the loss is made of them alone."


def _update(s: Subject) -> list[dict[str, Any]]:
    """Return the update of the parameter with the greatest gradient, in numbers."""
    if s.ray is None:
        return [line(text="No parameter is trained, so nothing is updated.", at=6.4)]
    sizes = {
        n: float(np.nan_to_num(np.abs(g)).max(initial=0))
        for n, g in s.ray.gradients.items()
    }
    weight = max(sizes, key=sizes.__getitem__)
    gradient = s.ray.gradients[weight]
    largest = int(np.nan_to_num(np.abs(gradient)).argmax())
    place = np.unravel_index(largest, gradient.shape)
    w = float(np.asarray(s.params[weight])[place])
    g = float(gradient[place])
    name = m.sym("w")
    after = w - s.rate * g
    # the difference has to be seen in what is printed
    digits = 3 if abs(after - w) > 5e-3 * abs(w) else 6
    number = _digits(digits)
    where = f"{weight}[{', '.join(map(str, place))}]"
    return [
        line(
            m.whole(name, m.op("←"), name, m.op("−"), m.sym("eta"), m.op("·"),
                    m.partial("<mi>L</mi>", name)),
            "update", at=6.4, size="large",
        ),
        line(
            m.whole(m.num(number(w)), m.op("−"), m.num(s.rate), m.op("·"),
                    m.op("("), m.num(signed(g)), m.op(")"), m.op("="),
                    m.num(number(after))),
            f"for {where}", at=7.4, tone="backward",
        ),
    ]  # fmt: skip


def _digits(count: int) -> Any:
    return lambda v: f"{v:.{count}g}".replace("-", "−")


def _samples(s: Subject, found: Answers | None) -> Figure | None:
    """Return the first samples as pictures or numbers, with their answers."""
    inputs = [t for t in s.model.inputs if t.shape and s.batch_axis(t) == 0]
    if not inputs:
        return None
    others = [t for t in inputs if found is None or t is not found.label]
    main = max(others or inputs, key=lambda t: s.data[name_of(t)][0].size)
    labels = [t for t in inputs if t is not main]
    if found is not None:
        labels = [found.label]
    items = []
    for k in range(min(SAMPLES, s.count)):
        item: dict[str, Any] = _shown(s.data[name_of(main)][k])
        item["label"] = f"{name_of(main)}[{k}]"
        if labels:
            item["label"] = f"{_end(labels[0])} = {_label(s, labels[0], k)}"
        if found is not None:
            item["answer"] = f"model: {found.given[k]}"
            item["right"] = None if found.right is None else found.right[k]
        items.append(item)
    return {"kind": "samples", "items": items, "at": 0.2}


def _end(t: Tensor) -> str:
    name = name_of(t).rpartition("/")[2]
    return name if len(name) <= 12 else f"{name[:11]}…"


def _shown(values: np.ndarray) -> dict[str, Any]:
    """Return few numbers or integers as text, others as brightness."""
    flat = values.ravel()
    if values.dtype.kind in "iub" or flat.size <= FEW:
        text = ", ".join(_number(v) for v in flat[:FEW])
        return {"text": text + (", …" if flat.size > FEW else "")}
    return {"image": pixels(values)}


def _number(value: Any) -> str:
    return str(int(value)) if isinstance(value, np.integer) else signed(float(value))


def _label(s: Subject, t: Tensor, k: int) -> str:
    values = s.data[name_of(t)][k].ravel()
    return ", ".join(map(_number, values[:3])) + (", …" if values.size > 3 else "")

"""The learning problem: data, a loss, parameters, and a first update."""

from __future__ import annotations

from typing import Any

import numpy as np

from symgrad.declare.tensor import Tensor
from symgrad.explainer import markup as m
from symgrad.explainer.backward import value
from symgrad.explainer.story import Figure, Scene, line, lines, plural, signed
from symgrad.explainer.subject import Subject
from symgrad.train.initialize import name_of

SAMPLES = 6
WIDEST = 16  # features of a sample that is no image


def scene(s: Subject) -> Scene:
    """Return the scene."""
    loss = float(s.run(s.loss))
    trained, frozen = s.parameters
    held = plural(trained, "trained number")
    if frozen:
        held += f", {frozen:,} frozen"
    said = f"{plural(s.count, 'sample')}" if s.count else "The data"
    if s.given > s.count:
        said += f" of {s.given:,}"
    update = _update(s)
    beats = [
        (0.0, f"{said} with their answers: the model is to give the right ones."),
        (3.0, f"The loss says how wrong it is: {signed(loss)} at present. It depends "
              f"on {held}."),
    ]  # fmt: skip
    shown = value(s.loss, s.names)
    equation = m.whole("<mi>L</mi>", m.op("="), shown) if shown else ""
    rows = [
        line(
            m.whole("<mi>L</mi>", m.op("="), m.num(loss)), "loss", at=2.2, size="large"
        ),
        *([line(equation, "of the prediction z", at=2.8)] if equation else []),
        line(m.whole(m.word(f"{trained:,}")), "parameters w", at=3.4),
    ]
    if update:
        beats.append(
            (6.0, "Learning moves every parameter a little against its gradient.")
        )
        rows += update
    panels: list[Figure] = [lines(*rows, weight=1.1)]
    pictures = _samples(s)
    if pictures:
        panels.insert(0, pictures)
    return Scene("problem", "The learning problem", 9.0, beats, panels)


def _update(s: Subject) -> list[dict[str, Any]]:
    """Return the update of the parameter with the greatest gradient, in numbers."""
    reached = [p for p in s.model.trainable if s.gradient(p) is not None]
    if not reached:
        return [line(text="No parameter is trained, so nothing is updated.", at=6.2)]
    gradients = s.run([s.gradient(p) for p in reached])
    sizes = [float(np.nan_to_num(np.abs(g)).max(initial=0)) for g in gradients]
    k = int(np.argmax(sizes))
    largest = int(np.nan_to_num(np.abs(gradients[k])).argmax())
    place = np.unravel_index(largest, gradients[k].shape)
    w = float(np.asarray(s.params[name_of(reached[k])])[place])
    g = float(gradients[k][place])
    name = m.sym("w")
    after = w - s.rate * g
    # the difference has to be seen in what is printed
    digits = 3 if abs(after - w) > 5e-3 * abs(w) else 6
    number = _digits(digits)
    where = f"{name_of(reached[k])}[{', '.join(map(str, place))}]"
    return [
        line(
            m.whole(name, m.op("←"), name, m.op("−"), m.sym("eta"), m.op("·"),
                    m.partial("<mi>L</mi>", name)),
            "update", at=6.0, size="large",
        ),
        line(
            m.whole(m.num(number(w)), m.op("−"), m.num(s.rate), m.op("·"),
                    m.op("("), m.num(signed(g)), m.op(")"), m.op("="),
                    m.num(number(after))),
            f"for {where}", at=7.0, tone="backward",
        ),
    ]  # fmt: skip


def _digits(count: int) -> Any:
    return lambda v: f"{v:.{count}g}".replace("-", "−")


def _samples(s: Subject) -> Figure | None:
    """Return the first samples as pictures or rows, with their answers."""
    inputs = [t for t in s.model.inputs if t.shape and s.batch_axis(t) == 0]
    if not inputs:
        return None
    main = max(inputs, key=lambda t: s.data[name_of(t)][0].size)
    labels = [t for t in inputs if t is not main and s.data[name_of(t)].ndim == 1]
    items = []
    for k in range(min(SAMPLES, s.count)):
        values = np.asarray(s.data[name_of(main)][k], np.float64)
        label = f"{name_of(main)}[{k}]"
        if labels:
            label = f"{name_of(labels[0])} = {_label(s, labels[0], k)}"
        items.append({"image": _image(values), "label": label})
    return {"kind": "samples", "items": items, "at": 0.2}


def _label(s: Subject, t: Tensor, k: int) -> str:
    value = s.data[name_of(t)][k]
    return str(int(value)) if value.dtype.kind in "iub" else signed(float(value))


def _image(values: np.ndarray) -> list[list[float]]:
    """Return brightness from 0 to 1, as an image if the values are one."""
    v = np.nan_to_num(values)
    side = round(v.size**0.5)
    if v.ndim == 1 and side * side == v.size and side >= 5:
        v = v.reshape(side, side)
    while v.ndim > 2:  # the first channel, wherever channels lie
        v = v[0] if v.shape[0] <= v.shape[-1] else v[..., 0]
    v = np.atleast_2d(v)
    v = v[:32, :32] if min(v.shape) > 1 else v[:, :WIDEST]
    low, high = float(v.min()), float(v.max())
    return ((v - low) / ((high - low) or 1.0)).tolist()

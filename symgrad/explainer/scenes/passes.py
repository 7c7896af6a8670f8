"""The forward pass, in which values flow, and the backward pass of gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from symgrad.drawing.colours import LogScale
from symgrad.explainer import markup as m
from symgrad.explainer.backward import step
from symgrad.explainer.story import Figure, Scene, cells, line, lines, plural, signed
from symgrad.explainer.subject import Station, Subject

FORWARD, BACKWARD = 8.5, 10.5
MOST_LINES = 4


def forward(s: Subject) -> Scene:
    """Return the scene of the values."""
    stations, values = s.stations, s.values
    loss = float(s.run(s.loss))
    count = len(stations)
    nodes = []
    for station, value in zip(stations, values, strict=True):
        one = s.of_one(station.node, value)
        nodes.append({
            "name": station.name, "detail": s.shape_of_one(station.node),
            "cells": cells(one)[1] or [0.0], "value": f"rms {signed(rms(value))}",
        })  # fmt: skip
    nodes.append(_loss_node(loss))
    pace = 6.0 / max(count, 1)
    figure = _figure(s, nodes, "forward", 0.8, pace,
                     f"Values of one sample in {plural(count, 'place')}, from the data "
                     "to the loss.")  # fmt: skip
    folded = s.depth + 1 > count
    left = f" {count} places on its way are shown." if folded else ""
    beats = [
        (0.0, f"Forward: one sample goes through {plural(s.depth, 'layer')}.{left}"),
        (3.6, "Each layer makes new values of the ones before it; blue is positive, "
              "violet negative."),
        (6.9, f"At the end stands one number: the loss, {signed(loss)} over the "
              "batch."),
    ]  # fmt: skip
    return Scene("forward", "Forward: values flow", FORWARD, beats, [figure], "column")


def backward(s: Subject) -> Scene:
    """Return the scene of the gradients."""
    stations = s.stations
    found = s.cotangents
    norms = [_norm(g) for g in found]
    scale = LogScale([n for n in norms if n is not None])
    nodes = []
    for station, g, n in zip(stations, found, norms, strict=True):
        one = np.zeros(1) if g is None else s.of_one(station.node, g)
        place = None if n is None else scale.place(n)
        nodes.append({
            "name": station.name, "detail": s.shape_of_one(station.node),
            "cells": cells(one)[1] or [0.0],
            "value": "no gradient" if n is None else f"‖g‖ {signed(n)}",
            "width": 0.0 if place is None else 0.15 + 0.85 * place,
        })  # fmt: skip
    nodes.append({**_loss_node(1.0), "value": "∂L/∂L = 1"})
    count = len(stations)
    pace = 7.4 / max(count, 1)
    figure = _figure(s, nodes, "backward", 0.8, pace,
                     "The gradient of the loss by each layer's values, from the loss "
                     "back to the data.")  # fmt: skip
    live = [n for n in norms if n is not None]
    beats = [
        (0.0, "Backward: the same way in reverse, from the loss, whose slope by itself "
              "is 1."),
        (3.2, "At each layer the gradient is multiplied by the local derivative: the "
              "chain rule again."),
        (7.6, _ends(live) if live else "No gradient reaches a layer of this model."),
    ]  # fmt: skip
    return Scene(
        "backward", "Backward: gradients flow", BACKWARD, beats,
        [figure, lines(*_steps(s, 0.8, pace), columns=True)], "column",
    )  # fmt: skip


def _ends(norms: list[float]) -> str:
    first, last = norms[0], norms[-1]
    if not (first > 0 and last > 0 and math.isfinite(first) and math.isfinite(last)):
        return f"Its size goes from {signed(last)} at the end to {signed(first)}."
    ratio = first / last
    word = "of it arrive" if ratio <= 1 else "times it arrives"
    return (
        f"Its size is {signed(last)} at the prediction; {signed(ratio)} {word} at the "
        "first place."
    )


def _figure(
    s: Subject, nodes: list[dict[str, Any]], flow: str, at: float, pace: float, alt: str
) -> Figure:
    return {
        "kind": "layers", "nodes": nodes, "flow": flow, "at": at, "step": pace,
        "arcs": _arcs(s), "alt": alt, "weight": 3,
    }  # fmt: skip


def _loss_node(value: float) -> dict[str, Any]:
    return {"name": "loss", "detail": "1", "cells": [1.0], "value": signed(value),
            "width": 1.0}  # fmt: skip


def _arcs(s: Subject) -> list[list[int]]:
    """Return the shortcuts between places that are shown."""
    from symgrad.drawing.residuals import residuals

    place = {station.node: k for k, station in enumerate(s.stations)}
    found = residuals(s.loss)
    return [
        [place[r.stream], place[r.add]]
        for r in found
        if r.stream in place and r.add in place
    ]


def _steps(s: Subject, at: float, pace: float) -> list[dict[str, Any]]:
    """Return the derived steps of the gradient from place to place."""
    stations = s.stations
    rows = []
    above: Station | None = None
    for n, station in enumerate(reversed(stations)):
        if s.gradient(station.node) is None:
            break
        top = s.loss if above is None else above.node
        seed = None if above is None else _delta(above)
        names = s.names if above is None else {**s.names, s.loss: "L"}
        shown = step(top, station.node, names, seed)
        delta = m.sym(_delta(station))
        start = m.partial("<mi>L</mi>", m.sym(station.symbol))
        moved = [delta, m.op("="), start, m.op("=")]
        if shown is None and above is not None:
            local = m.partial(m.sym(above.symbol), m.sym(station.symbol))
            shown = m.row(m.power(local, "<mi>⊤</mi>"), m.sym(_delta(above)))
        if shown is not None:
            rows.append(line(m.whole(*moved, shown), at=at + pace * (n + 0.6),
                             tone="backward", size="small"))  # fmt: skip
        above = station
    return _distinct(rows)


def _distinct(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the first and last steps, where there are many."""
    if len(rows) <= MOST_LINES:
        return rows
    return [*rows[: MOST_LINES - 1], rows[-1]]


def _delta(station: Station) -> str:
    """Return the name of the gradient by a station."""
    digits = station.symbol.removeprefix("h")
    return f"delta{digits}" if digits.isdigit() else "delta"


def rms(value: np.ndarray) -> float:
    """Return the root of the mean square."""
    wide = np.asarray(value, np.float64)
    return float(np.sqrt(np.mean(wide * wide))) if wide.size else 0.0


def _norm(value: np.ndarray | None) -> float | None:
    return None if value is None else float(np.linalg.norm(np.float64(value)))

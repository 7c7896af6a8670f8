"""The forward pass, in which values flow, and the backward pass of gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from symgrad.declare.loop import Final, Stacked, States
from symgrad.drawing.colours import LogScale
from symgrad.explainer import markup as m
from symgrad.explainer.backward import value
from symgrad.explainer.pictures import picture_of
from symgrad.explainer.story import Figure, Scene, cells, line, lines, plural, signed
from symgrad.explainer.subject import Station, Subject

FORWARD, BACKWARD = 9.5, 10.5
MOST_LINES = 4


def forward(s: Subject) -> Scene:
    """Return the scene of the values."""
    stations, values = s.stations, s.values
    count = len(stations)
    nodes = [
        {**_node(s, station, value), "value": f"rms {signed(rms(value))}"}
        for station, value in zip(stations, values, strict=True)
    ]
    picture = picture_of(s.of_one(stations[0].node, values[0]))
    if picture is not None:
        nodes[0]["image"] = picture
    nodes.append(_loss_node(s.loss_value))
    pace = 6.0 / max(count, 1)
    figure = _figure(s, nodes, "forward", 0.8, pace,
                     f"Values of one sample in {plural(count, 'place')}, from the data "
                     "to the loss.")  # fmt: skip
    left = "" if len(s.places) == count else f" {count} places on its way are shown."
    left += " Arcs are shortcuts." if figure["arcs"] else ""
    beats = [
        (0.0, f"Forward: a sample goes through {plural(s.depth, 'layer')}.{left}"),
        (3.6, "Each layer computes values from those before: blue is positive, violet "
              "negative."),
        (6.9, f"At the end stands one number: the loss, {signed(s.loss_value)} over "
              "the batch."),
    ]  # fmt: skip
    panels = [figure]
    rows = _values(s, 0.8, pace)
    if rows:
        panels.append(lines(*rows, columns=True))
    return Scene("forward", "Forward: values flow", FORWARD, beats, panels, "column")


def backward(s: Subject) -> Scene:
    """Return the scene of the gradients."""
    stations = s.stations
    found = s.cotangents
    norms = [_norm(g) for g in found]
    scale = LogScale([n for n in norms if n is not None])
    nodes = []
    for station, g, n in zip(stations, found, norms, strict=True):
        place = None if n is None else scale.place(n)
        nodes.append({
            **_node(s, station, np.zeros(1) if g is None else g),
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
        (0.0, "Backward: the same way in reverse, from the loss, whose own slope is "
              "1."),
        (3.2, "Each layer multiplies the gradient δ by its local derivative: the chain "
              "rule."),
        (7.6, _ends(live) if live else "No gradient reaches a layer of this model."),
    ]  # fmt: skip
    panels = [figure]
    rows = _steps(s, 0.8, pace)
    if rows:
        panels.append(lines(*rows, columns=True))
    return Scene(
        "backward", "Backward: gradients flow", BACKWARD, beats, panels, "column"
    )


def _node(s: Subject, station: Station, value: np.ndarray) -> dict[str, Any]:
    one = s.of_one(station.node, value)
    found = {
        "name": station.name, "detail": s.shape_of_one(station.node),
        "cells": cells(one)[1] or [0.0],
    }  # fmt: skip
    last = station is s.stations[-1] and one.ndim == 1
    if last and 1 < one.size == len(found["cells"]):
        found["labels"] = [str(n) for n in range(one.size)]
    return found


def _ends(norms: list[float]) -> str:
    first, last = norms[0], norms[-1]
    if len(norms) == 1:
        return f"Its norm there: {signed(first)}."
    if not (first > 0 and last > 0 and math.isfinite(first) and math.isfinite(last)):
        return f"Its norm goes from {signed(last)} at the end to {signed(first)}."
    return (
        f"Its norm: {signed(last)} at the prediction, {signed(first / last)} times "
        "that at the first place."
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
    place = {station.node: k for k, station in enumerate(s.stations)}
    return [
        [place[r.stream], place[r.add]]
        for r in s.model.shortcuts
        if r.stream in place and r.add in place
    ]


def _values(s: Subject, at: float, pace: float) -> list[dict[str, Any]]:
    """Return what some of the places are computed by, from the place before."""
    places = s.places
    rows = []
    chosen = {k or 1 for k in shown_places(len(places))}
    for k in sorted(chosen & set(range(len(places)))):
        node = places[k].node
        names = {t: n for t, n in s.names.items() if t is not node}
        shown = value(node, names)
        if isinstance(node.op, Final | Stacked | States):
            below = m.sym(places[k - 1].symbol)
            shown = m.row(m.word(places[k].name), m.op("("), below, m.op(")"))
        if shown is not None:
            rows.append(line(m.whole(m.sym(places[k].symbol), m.op("="), shown),
                             places[k].name, at=at + pace * _moment(s, k),
                             tone="forward", size="small"))  # fmt: skip
    shown = value(s.loss, s.names)
    if shown is not None:
        rows = [*rows[: MOST_LINES - 2], *rows[MOST_LINES - 2 :][-1:]]
        rows.append(line(m.whole("<mi>L</mi>", m.op("="), shown), "loss",
                         at=at + pace * len(s.stations), tone="forward",
                         size="small"))  # fmt: skip
    return rows


def _steps(s: Subject, at: float, pace: float) -> list[dict[str, Any]]:
    """Return the derived steps of the gradient to some of the places."""
    places = s.places
    last = len(places) - 1
    rows = []
    for k in reversed(shown_places(len(places))):
        station = places[k]
        if s.gradient(station.node) is None:
            continue
        above = None if k == last else places[k + 1]
        shown = s.step_to(k)
        start = m.partial("<mi>L</mi>", m.sym(station.symbol))
        moved = [m.sym(station.delta), m.op("="), start, m.op("=")]
        if shown is None and above is not None:
            shown = _named(s, station, above)
        if shown is not None:
            through = "the loss" if above is None else above.name
            rows.append(line(m.whole(*moved, shown), f"back through {through}",
                             at=at + pace * (len(s.stations) - _moment(s, k) - 0.4),
                             tone="backward", size="small"))  # fmt: skip
    return rows


def _named(s: Subject, below: Station, above: Station) -> str:
    """Return the step between two places by the name of its derivative."""
    function = m.sym(above.symbol)
    road = any(
        r.is_identity and r.stream is below.node and r.add is above.node
        for r in s.model.shortcuts
    )
    if road:
        function = m.sym("f")
    local = m.row(m.op("("), m.partial(function, m.sym(below.symbol)), m.op(")"))
    sent = m.row(m.power(local, "<mi>⊤</mi>"), m.sym(above.delta))
    return m.row(m.sym(above.delta), m.op("+"), sent) if road else sent


def shown_places(count: int) -> list[int]:
    """Return the first place, one amid, and the last two: those that formulas show."""
    if count <= MOST_LINES:
        return list(range(count))
    return [
        0,
        count // 2 if count > 2 * MOST_LINES else count - 3,
        count - 2,
        count - 1,
    ]


def _moment(s: Subject, k: int) -> float:
    """Return when a pass comes to place ``k``, in stations."""
    return k / max(len(s.places) - 1, 1) * (len(s.stations) - 1)


def rms(value: np.ndarray) -> float:
    """Return the root of the mean square."""
    wide = np.asarray(value, np.float64)
    return float(np.sqrt(np.mean(wide * wide))) if wide.size else 0.0


def _norm(value: np.ndarray | None) -> float | None:
    return None if value is None else float(np.linalg.norm(np.float64(value)))

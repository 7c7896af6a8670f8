"""ReLU: a slope of one or zero, and the units that have none."""

from __future__ import annotations

import numpy as np

from symgrad.closedform.numeric import Function
from symgrad.closedform.public import derive
from symgrad.declare.ops import FUNCTIONS
from symgrad.declare.tensor import input
from symgrad.derivation.reverse import grad
from symgrad.explainer import builtin
from symgrad.explainer import markup as m
from symgrad.explainer.story import Figure, Scene, line, lines, plural
from symgrad.explainer.subject import Subject
from symgrad.explainer.units import Units, relu_units

MOST_UNITS, MOST_GROUPS = 48, 4


def scene(s: Subject) -> Scene:
    """Return the scene."""
    note = ""
    if not relu_units(s):
        note = f"{s.name} has no ReLU; "
        s = builtin.substitute()
        note += f"{s.name} stands in."
    units = relu_units(s)
    dead = sum(u.dead for u in units)
    total = sum(len(u.off) for u in units)
    share = float(np.mean(np.concatenate([u.off for u in units])))
    x = input("x", (), "float64")
    slope = derive("relu(x)", "x")
    prime = m.row(m.word("relu"), m.op("′"), m.op("("), m.sym("x"), m.op(")"))
    rows = [
        line(m.whole(prime, m.op("="), m.expression(slope.result)),
             "derived from its definition", at=1.0),
        line(m.whole(m.word(f"{1 - share:.0%}")), "of the values have slope 1", at=4.2,
             tone="forward"),
        line(m.whole(m.word(f"{dead:,} / {total:,}")),
             "units are dead: slope 0 on every sample", at=5.2, tone="backward"),
    ]  # fmt: skip
    end = (
        f"{dead:,} of {plural(total, 'unit')} {'is' if dead == 1 else 'are'} off on "
        "the whole batch: no gradient passes."
        if dead
        else f"Each of the {total:,} units is on for some sample: none is dead."
    )
    return Scene(
        "relu", "ReLU: one or zero", 9.0,
        [
            (0.0, "ReLU passes a gradient whole or not at all: its slope is 1 or 0."),
            (3.6, "Whole is good for depth; but a unit that is always off learns "
                  "nothing."),
            (6.6, end),
        ],
        [_chart(Function([x], [FUNCTIONS["relu"](x), grad(FUNCTIONS["relu"](x), x)])),
         lines(*rows), _cells(units)],
        note=note,
    )  # fmt: skip


def _chart(f: Function) -> Figure:
    grid = [-3.0, -1e-9, 1e-9, 3.0]
    pairs = [f(v) for v in grid]
    return {
        "kind": "chart", "weight": 0.9, "alt": "ReLU, and its slope: 0, then 1.",
        "x": {}, "y": {},
        "series": [
            {"points": [(v, p[0]) for v, p in zip(grid, pairs, strict=True)],
             "shape": "line", "tone": "forward", "label": "relu(x)", "at": 0.1,
             "for": 1.2},
            {"points": [(v, p[1]) for v, p in zip(grid, pairs, strict=True)],
             "shape": "line", "tone": "backward", "label": "slope", "at": 1.0,
             "for": 1.4},
        ],
    }  # fmt: skip


def _cells(units: list[Units]) -> Figure:
    groups = []
    for u in units[:MOST_GROUPS]:
        places = np.arange(len(u.off))
        if len(places) > MOST_UNITS:  # the dead ones first: they are what matters
            places = np.array(sorted(places, key=lambda k: u.off[k] < 1))[:MOST_UNITS]
            places.sort()
        groups.append({
            "name": u.layer, "text": f"{u.dead} dead of {len(u.off)}",
            "alive": [1 - float(u.off[k]) for k in places],
        })  # fmt: skip
    left = len(units) - len(groups)
    return {
        "kind": "units",
        "key": "a cell is a unit: the bluer, the more samples it is on for; crossed: "
        f"none{f' ({len(groups)} of {len(units)} layers)' if left else ''}",
        "groups": groups, "at": 3.8, "weight": 1.1,
        "alt": "How often each unit of the hidden layers is on; dead ones are crossed.",
    }  # fmt: skip

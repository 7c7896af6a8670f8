"""The transformer's residual stream: attention and perceptron add to one road."""

from __future__ import annotations

import numpy as np

from symgrad.explainer import builtin
from symgrad.explainer import markup as m
from symgrad.explainer.roads import Highway, attends, has_road, sized, width
from symgrad.explainer.scenes.passes import rms
from symgrad.explainer.story import Figure, Scene, line, plural, signed
from symgrad.explainer.subject import Subject


def scene(s: Subject) -> Scene:
    """Return the scene."""
    h, note = _choose(s)
    kinds = ["attention" if attends(r) else "ffn" for r in h.chosen]
    added = [r.blocks[0].end for r in h.chosen]
    values = h.subject.run([h.chosen[0].stream, *added, h.chosen[-1].add])
    sizes = [rms(np.asarray(v)) for v in values]
    blocks = []
    gradient = h.along.sizes
    flows = [*gradient, *(sum(v.blocks) for v in h.shares)]
    for k, (share, kind) in enumerate(zip(h.shares, kinds, strict=True)):
        blocks.append({
            "name": kind, "road": width(gradient[k], flows, 11),
            "block": width(sum(share.blocks), flows, 7),
            "notes": [
                {"text": f"adds {signed(sizes[k + 1])}", "tone": "forward-ink"},
                {"text": f"road {sized(share.by_road)}", "tone": "backward-ink"},
            ],
        })  # fmt: skip
    figure: Figure = {
        "kind": "roads", "weight": 2,
        "alt": "The residual stream with attention and perceptrons beside it.",
        "lanes": [{"road": True, "at": 3.2, "start": "x", "end": "out",
                   "forward": 0.5, "forwardFor": 2.6, "backward": 5.4,
                   "backwardFor": 2.4, "blocks": blocks}],
    }  # fmt: skip
    x = m.sym("x")

    def update(kind: str) -> str:
        return m.whole(x, m.op("←"), x, m.op("+"), m.word(kind), m.op("("), x,
                       m.op(")"))  # fmt: skip

    pair = {"kind": "lines", "columns": True, "lines": [
        line(update("attention"), "each place looks at the others", at=0.8,
             tone="forward"),
        line(update("ffn"), "and thinks about what it saw", at=1.8, tone="forward"),
    ]}  # fmt: skip
    least = min((v.by_road for v in h.shares), default=float("nan"))
    return Scene(
        "transformer", "A transformer is a road", 9.0,
        [
            (0.0, "A transformer keeps one residual stream. Attention and perceptron "
                  "(ffn) only add to it."),
            (3.2, f"Measured: the stream has an rms of {signed(sizes[0])} at first, "
                  f"{signed(sizes[-1])} after {plural(len(blocks), 'block')}."),
            (5.6, f"Backward, the gradient takes the same road: at least "
                  f"{sized(least)} of it at each block."),
        ],
        [figure, pair],
        "column",
        note=note,
    )  # fmt: skip


def _choose(s: Subject) -> tuple[Highway, str]:
    if has_road(s):
        found = Highway(s)
        if found.road is not None and any(map(attends, found.chosen)) and found.shares:
            return found, ""
    other = builtin.transformer()
    note = f"{s.name} has no attention on a road; {other.name} stands in."
    return Highway(other), note

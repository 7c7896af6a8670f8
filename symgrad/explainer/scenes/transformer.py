"""The transformer's residual stream: attention and perceptron add to one road."""

from __future__ import annotations

import math

from symgrad.explainer import builtin
from symgrad.explainer import markup as m
from symgrad.explainer.roads import Highway, attends, sized, width
from symgrad.explainer.story import Figure, Scene, line, plural, signed
from symgrad.explainer.subject import Subject


def scene(s: Subject) -> Scene:
    """Return the scene."""
    h, note = _choose(s)
    kinds = ["attention" if attends(r) else "mlp" for r in h.chosen]
    sizes = h.sizes
    blocks = []
    gradient = h.along
    flows = [*gradient, *(sum(v.blocks) for v in h.shares)]
    for k, (share, kind) in enumerate(zip(h.shares, kinds, strict=True)):
        blocks.append({
            "name": kind, "road": width(gradient[k], flows, 11),
            "block": width(sum(share.blocks), flows, 7),
            "notes": [
                {"text": f"adds {signed(sizes[k + 1])}", "tone": "forward-ink"},
                {"text": f"road {sized(share.by_road)}", "tone": "backward-ink",
                 "at": 6.2},
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
        line(update("mlp"), "and thinks about what it saw", at=1.8, tone="forward"),
    ]}  # fmt: skip
    parts = [v.by_road for v in h.shares if not math.isnan(v.by_road)]
    assert h.road is not None
    every = len(h.road.residuals)
    left = f" ({len(blocks)} are drawn)" if every > len(blocks) else ""
    low, high = (sized(pick(parts)) if parts else "none" for pick in (min, max))
    return Scene(
        "transformer", "A transformer is a road", 9.0,
        [
            (0.0, "A transformer keeps one stream; attention and perceptron (mlp) add "
                  "to it."),
            (3.2, f"Measured rms of the stream: {signed(sizes[0])} at first, "
                  f"{signed(sizes[-1])} after {plural(every, 'block')}{left}."),
            (5.6, f"Backward, {low if low == high else f'{low} to {high}'} of the "
                  "gradient takes the road, block by block."),
        ],
        [figure, pair],
        "column",
        note=note,
    )  # fmt: skip


def _choose(s: Subject) -> tuple[Highway, str]:
    h = s.highway
    if h is not None and any(map(attends, h.chosen)):
        return h, ""
    other = builtin.transformer()
    assert other.highway is not None
    note = f"{s.name} has no attention on a road; {other.name} stands in."
    return other.highway, note

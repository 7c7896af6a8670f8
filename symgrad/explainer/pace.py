"""How long a caption stays: as long as it takes to be read.

Scenes are written with times of their own.  A caption that needs longer slows its
figures down, one that needs less speeds them up, and all in all a page takes about two
minutes.  The player is given pairs of times, on the page and as written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from symgrad.explainer.story import Scene

LETTERS = 19.0  # that are read in a second, beside looking at a picture
LEAST = 2.4  # seconds of a caption
SPED = 0.75  # a figure takes at least this part of the time it was written with
SHORTEST, LONGEST = 114.0, 128.0  # seconds of a page


def paced(scenes: Sequence[Scene]) -> list[Scene]:
    """Return the scenes with captions that can be read, in about two minutes."""
    spans = [_spans(s) for s in scenes]
    total = sum(map(sum, spans))
    scale = min(max(total, SHORTEST), LONGEST) / total
    return [
        _with(s, [scale * d for d in own]) for s, own in zip(scenes, spans, strict=True)
    ]


def _spans(s: Scene) -> list[float]:
    """Return how long each caption should stay."""
    return [
        max(LEAST, SPED * (end - start), len(text) / LETTERS)
        for (start, text), end in zip(s.beats, _ends(s), strict=True)
    ]


def _ends(s: Scene) -> list[float]:
    return [*(at for at, _ in s.beats[1:]), s.seconds]


def _with(s: Scene, spans: Sequence[float]) -> Scene:
    """Return the scene with captions that stay so long."""
    times = [0.0]
    for d in spans:
        times.append(round(times[-1] + d, 2))
    written = [0.0, *_ends(s)]
    beats = [(at, text) for at, (_, text) in zip(times, s.beats, strict=False)]
    pairs = list(zip(times, written, strict=True))
    return replace(s, seconds=times[-1], beats=beats, pace=pairs)

"""Memory: where in the arena each intermediate tensor lies, by liveness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

ALIGNMENT = 64


class Life(NamedTuple):
    """A tensor's size in bytes, and the first and last kernel that touch it."""

    nbytes: int
    first: int
    last: int


def arena(lives: Sequence[Life]) -> tuple[list[int], int]:
    """Return an offset for each tensor, and the bytes of the whole arena.

    Two tensors overlap only if they are never alive at once.  Largest first, each at
    the lowest place that is free (Pisarchyk & Lee 2020, "greedy by size").

    >>> arena([Life(64, 0, 1), Life(64, 1, 2), Life(64, 2, 3)])
    ([0, 64, 0], 128)
    """
    order = sorted(
        range(len(lives)), key=lambda n: (-lives[n].nbytes, lives[n].first, n)
    )
    offsets = [0] * len(lives)
    placed: list[int] = []
    total = 0
    for n in order:
        life = lives[n]
        size = -(-life.nbytes // ALIGNMENT) * ALIGNMENT
        busy = sorted(
            (offsets[m], offsets[m] + -(-lives[m].nbytes // ALIGNMENT) * ALIGNMENT)
            for m in placed
            if lives[m].first <= life.last and life.first <= lives[m].last
        )
        place = 0
        for start, stop in busy:
            if place + size <= start:
                break
            place = max(place, stop)
        offsets[n] = place
        placed.append(n)
        total = max(total, place + size)
    return offsets, total

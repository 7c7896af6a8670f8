"""Groups of neighbours: what has too many parts to be looked at gets levels.

A graph of ten thousand boxes without scopes, or a scope with thousands of others in it,
is shown as a few groups of neighbours, those as groups again, and so on.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TypeVar

from symgrad.declare.tensor import Tensor
from symgrad.drawing.condense import Boxes

T = TypeVar("T")


def grouped(items: Sequence[T], most: int, around: Callable[[list[T]], T]) -> list[T]:
    """Return no more than ``most`` items: groups of neighbours, of about equal size.

    Args:
        items: in order.
        most: no group has more parts, and no more items are returned.
        around: makes a group of some items, or of some groups.

    >>> grouped("abcdefg", 3, "".join)
    ['ab', 'cd', 'efg']
    >>> grouped("abcdefg", 3, lambda parts: f"({''.join(parts)})")
    ['(ab)', '(cd)', '(efg)']
    """
    levels = 1
    while most**levels < len(items):
        levels += 1
    size = 2
    while size**levels < len(items):
        size += 1
    found = list(items)
    while len(found) > most:
        parts = -(-len(found) // size)
        cuts = [n * len(found) // parts for n in range(parts + 1)]
        runs = [found[a:b] for a, b in itertools.pairwise(cuts)]
        found = [r[0] if len(r) == 1 else around(r) for r in runs]
    return found


def places(boxes: Boxes) -> dict[Tensor, float]:
    """Return where boxes and leaves come: a leaf just before its first reader."""
    found: dict[Tensor, float] = {}
    for n, (head, box) in enumerate(boxes.boxes.items()):
        for s in box.sources:
            found.setdefault(s, n - 0.5)
        found[head] = n
    return {t: found.get(t, 0.0) for t in (*boxes.leaves, *boxes.boxes)}

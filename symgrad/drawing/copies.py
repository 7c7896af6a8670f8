"""Leaves that are drawn several times: beside each of the readers that lie far apart.

A weight that every step of a network reads would send a line along all of the picture.
Such a leaf is repeated, as a quiet copy of itself, and its gradient as terms of a sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from symgrad.declare.tensor import Input, Tensor
from symgrad.drawing.condense import Boxes
from symgrad.drawing.fold import Unit
from symgrad.drawing.scopes import common

#: Readers of which the first and the last are so many rows apart are far apart.
FAR = 3
#: An input has to have so many: where two read it, its line shows a shortcut.
INPUT = 3


@dataclass(frozen=True)
class Copy:
    """One place of a leaf.

    Attributes:
        key: of the copy.
        scope: the frames that all its readers stand in.
        number: which copy it is, from 1.
    """

    key: str
    scope: str
    number: int


def copied(
    boxes: Boxes, units: dict[Tensor, Unit], links: Sequence[tuple[Tensor, Unit]]
) -> dict[tuple[Tensor, Unit], Copy]:
    """Return the copies of leaves, by leaf and reader."""
    rows = _rows(boxes, units)
    readers: dict[Tensor, list[Unit]] = {}
    for source, unit in links:
        if source not in boxes.boxes and not units[source].folded:
            readers.setdefault(source, []).append(unit)
    found: dict[tuple[Tensor, Unit], Copy] = {}
    for leaf, around in readers.items():
        least = INPUT if isinstance(leaf.op, Input) else 2
        places = [rows[u] for u in around]
        if len(around) < least or max(places) - min(places) < FAR:
            continue
        groups = _neighbours(sorted(around, key=rows.__getitem__), rows)
        for n, group in enumerate(groups, 1):
            key = f"{units[leaf].key}c{n}"
            copy = Copy(key, _scope(boxes, group), n)
            found |= {(leaf, u): copy for u in group}
    return found


def _rows(boxes: Boxes, units: dict[Tensor, Unit]) -> dict[Unit, int]:
    """Return how far down each unit comes: below all that it reads."""
    rows: dict[Unit, int] = {}
    for head, box in boxes.boxes.items():
        unit = units[head]
        above = (units[s] for s in box.sources if s in boxes.boxes)
        row = max((rows[u] + 1 for u in above if u is not unit), default=0)
        rows[unit] = max(rows.get(unit, 0), row)
    return rows


def _neighbours(readers: Sequence[Unit], rows: dict[Unit, int]) -> list[list[Unit]]:
    """Return groups of readers that are near the first of their group."""
    groups: list[list[Unit]] = []
    for unit in readers:
        if groups and rows[unit] - rows[groups[-1][0]] < FAR - 1:
            groups[-1].append(unit)
        else:
            groups.append([unit])
    return groups


def _scope(boxes: Boxes, readers: Sequence[Unit]) -> str:
    """Return the frames that all readers stand in, of a folded one those around it."""
    paths = []
    for unit in readers:
        path = unit.scopes[0] if unit.scopes else boxes.frames.of(unit.heads[0])
        parts = tuple(path.split("/"))
        paths.append(parts[:-1] if unit.scopes else parts)
    return "/".join(common(paths))

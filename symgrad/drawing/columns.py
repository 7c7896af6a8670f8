"""A long and narrow picture in columns, as a text is set: down, then on at the top.

A chain of twenty layers is a ribbon that nobody can read when it is fitted to a page.
It is cut between two rows where few lines pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: A picture of fewer rows is one column.
LONG = 16
#: So many lines may lead from one column to the next.
PASSING = 2
#: Rows for each column of a page that is a bit wider than high: √(0.4 · rows) columns.
SHARE = 0.4

Link = tuple[str, str]


def columns(nodes: Sequence[str], links: Sequence[Link]) -> dict[str, int] | None:
    """Return the column of each node, None where the picture is one column.

    Args:
        nodes: of the picture.
        links: of nodes, from above to below.

    >>> chain = [(f"n{k}", f"n{k + 1}") for k in range(19)]
    >>> found = columns([f"n{k}" for k in range(20)], chain)
    >>> [list(found.values()).count(c) for c in range(3)]
    [7, 6, 7]
    """
    rows = _rows(nodes, links)
    height = max(rows.values(), default=-1) + 1
    if height < LONG or len(nodes) > 4 * height:
        return None
    count = round((SHARE * height) ** 0.5)
    cuts = _cuts(links, rows)
    chosen: list[int] = []
    for n in range(1, count):
        ideal = height * n / count
        best = min(cuts, key=lambda c: abs(c - ideal), default=None)
        if best is not None and abs(best - ideal) <= height / count / 3:
            chosen.append(best)
    if not chosen:
        return None
    return {t: sum(row >= c for c in chosen) for t, row in rows.items()}


def _rows(nodes: Sequence[str], links: Sequence[Link]) -> dict[str, int]:
    """Return the row of each node: below what leads to it; a leaf above its reader."""
    above: dict[str, list[str]] = {t: [] for t in nodes}
    below: dict[str, list[str]] = {t: [] for t in nodes}
    for a, b in links:
        if a != b:
            above[b].append(a)
            below[a].append(b)
    waiting = {t: len(found) for t, found in above.items()}
    ready = [t for t, n in waiting.items() if not n]
    rows = dict.fromkeys(ready, 0)
    for t in ready:
        for b in below[t]:
            rows[b] = max(rows.get(b, 0), rows[t] + 1)
            waiting[b] -= 1
            if not waiting[b]:
                ready.append(b)
    for t in ready:
        if not above[t] and below[t]:
            rows[t] = max(min(rows[b] for b in below[t]) - 1, 0)
    return {t: rows.get(t, 0) for t in nodes}


def _cuts(links: Sequence[Link], rows: Mapping[str, int]) -> list[int]:
    """Return the rows before which the picture can be cut."""
    height = max(rows.values()) + 1
    passing = [0] * (height + 1)
    for a, b in links:
        for row in range(rows[a] + 1, rows[b] + 1):
            passing[row] += 1
    return [row for row in range(1, height) if 0 < passing[row] <= PASSING]

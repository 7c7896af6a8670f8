"""Names of leaves in a picture: the shortest that tell them apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from symgrad.declare.tensor import Tensor, op_name
from symgrad.notation.names import unused


def short_names(leaves: Sequence[Tensor]) -> dict[Tensor, str]:
    """Return a distinct name for each leaf: the end of its path, as short as can be.

    ``layer1/W`` is ``W`` where no other leaf ends so, else ``W1``, else ``layer1.W``;
    ``blocks.0.attn.q.weight`` is ``q.weight``, or ``q.weight0`` among other blocks.

    >>> import symgrad as sg
    >>> paths = ("a1/q/W", "a2/q/W", "a1/k/W", "a2/k/W", "a1/b", "E")
    >>> list(short_names([sg.param(p, (2,)) for p in paths]).values())
    ['q.W1', 'q.W2', 'k.W1', 'k.W2', 'b', 'E']
    """
    paths = {t: _parts(t.name or op_name(t.op)) for t in leaves}
    names: dict[Tensor, str] = {}
    pending = list(leaves)
    deepest = max(map(len, paths.values()), default=0)
    for count in range(1, deepest + 1):
        for spell in (_end, _numbered):
            pending = _spell(pending, paths, count, spell, names)
    for t in pending:
        names[t] = unused(f"{'.'.join(paths[t])}_", set(names.values()))
    return {t: names[t] for t in leaves}


def _spell(
    pending: Sequence[Tensor],
    paths: dict[Tensor, list[str]],
    count: int,
    spell: Callable[[list[str], int], str],
    names: dict[Tensor, str],
) -> list[Tensor]:
    """Name the leaves that a way of spelling tells apart; return the others."""
    wanted = [spell(paths[t], count) for t in pending]
    often, taken = Counter(wanted), set(names.values())
    left = []
    for t, name in zip(pending, wanted, strict=True):
        if name and often[name] == 1 and name not in taken:
            names[t] = name
        else:
            left.append(t)
    return left


def _parts(path: str) -> list[str]:
    """Return the parts of a path; a number belongs to the word before it."""
    parts: list[str] = []
    for part in re.split(r"[/.]+", path):
        if part.isdigit() and parts:
            parts[-1] += f".{part}"
        elif part:
            parts.append(part)
    return parts or [path]


def _end(parts: list[str], count: int) -> str:
    return ".".join(parts[-count:])


def _numbered(parts: list[str], count: int) -> str:
    """Return the end with the number of the innermost scope that has one, if any."""
    found = re.findall(r"\d+", "/".join(parts[:-count]))
    return _end(parts, count) + found[-1] if found else ""

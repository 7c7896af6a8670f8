"""In which frame of a picture each node stands.

The scopes of a graph are paths.  As frames they are to say something: one around a
single operation becomes a word in its box, one that only holds another is joined with
it, and so is a list around its numbered parts, ``blocks`` around ``blocks.0``.  A
parameter or constant from outside every scope, as those of imported models are,
stands beside what reads it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from symgrad.declare.tensor import Constant, Input, Tensor

Path = tuple[str, ...]


@dataclass
class Frames:
    """Where nodes stand, and what is written in a box instead of around it.

    Attributes:
        paths: node -> the path of frames around it, ``a/b``, or ``""``.
        words: operation -> the name of the scope that it alone is in.
    """

    paths: dict[Tensor, str] = field(default_factory=dict)
    words: dict[Tensor, str] = field(default_factory=dict)

    def of(self, t: Tensor) -> str:
        """Return the path of the frames around a node."""
        return self.paths.get(t, "")


def frames(reads: Mapping[Tensor, Sequence[Tensor]]) -> Frames:
    """Return the frames of a picture.

    Args:
        reads: operation -> what it reads, other operations and leaves.

    >>> import symgrad as sg
    >>> x, W = sg.input("x", (2, 3)), sg.param("fc.weight", (3, 3))
    >>> with sg.scope("layer"):
    ...     with sg.scope("fc"):
    ...         z = x @ W
    ...     h = sg.relu(z)
    >>> found = frames({z: [x, W], h: [z]})
    >>> [found.of(t) for t in (x, W, z, h)], found.words[z]
    (['', 'layer', 'layer', 'layer'], 'fc')
    """
    paths = _paths(reads)
    words = _without_single(paths, set(reads))
    _join(paths, set(reads))
    return Frames({t: "/".join(p) for t, p in paths.items()}, words)


def scope_of(t: Tensor) -> Path:
    """Return the path of scopes that a node was declared in; an input has none."""
    if isinstance(t.op, Constant | Input):
        return ()
    path = t.name.rpartition("/")[0] if t.name else t.scope
    return tuple(p for p in path.split("/") if p)


def _paths(reads: Mapping[Tensor, Sequence[Tensor]]) -> dict[Tensor, Path]:
    """Return the scopes of operations, and of leaves those that hold an operation."""
    paths = {t: scope_of(t) for t in reads}
    known = {p[:n] for p in paths.values() for n in range(1, len(p) + 1)}
    readers: dict[Tensor, list[Path]] = defaultdict(list)
    for t, sources in reads.items():
        for s in sources:
            if s not in reads:
                readers[s].append(paths[t])
    for leaf, around in readers.items():
        own = scope_of(leaf)
        if not isinstance(leaf.op, Input) and own not in known:
            own = common(around)
        paths[leaf] = own
    return paths


def common(paths: Iterable[Path]) -> Path:
    """Return the longest path that all others begin with."""
    kept = []
    for column in zip(*paths, strict=False):
        if len(set(column)) > 1:
            break
        kept.append(column[0])
    return tuple(kept)


def _without_single(paths: dict[Tensor, Path], heads: set[Tensor]) -> dict[Tensor, str]:
    """Take scopes of a single operation away; return their names by operation.

    One stays where those of its kind have several, as the last of some layers; an
    outermost one, where parameters of its own make it a layer.
    """
    words: dict[Tensor, str] = {}
    for depth in range(max(map(len, paths.values()), default=0), 0, -1):
        inside: dict[Path, list[Tensor]] = defaultdict(list)
        for t, path in paths.items():
            if len(path) >= depth:
                inside[path[:depth]].append(t)
        several = {
            _kind(path)
            for path, members in inside.items()
            if sum(t in heads for t in members) > 1
        }
        for path, members in inside.items():
            single = [t for t in members if t in heads]
            if _kind(path) in several or (depth == 1 and len(members) > 1):
                continue
            for t in members:
                paths[t] = path[:-1]
            for t in single:
                words.setdefault(t, path[-1])
    return words


def _kind(path: Path) -> tuple[Path, str]:
    """Return what ``layer1`` and ``layer2`` in one scope have in common."""
    return path[:-1], re.sub(r"\d+", "", path[-1])


def _join(paths: dict[Tensor, Path], heads: set[Tensor]) -> None:
    """Join each scope that holds nothing but one other, or its own numbered parts."""
    for depth in range(max(map(len, paths.values()), default=0) - 1, 0, -1):
        inside: dict[Path, set[str]] = defaultdict(set)
        for t, path in paths.items():
            if len(path) > depth:
                inside[path[:depth]].add(path[depth])
            elif len(path) == depth and t in heads:
                inside[path].add("")
        for outer, inner in inside.items():
            numbered = all(p.startswith(f"{outer[-1]}.") for p in inner)
            if not numbered and (len(inner) > 1 or "" in inner):
                continue
            for t, path in paths.items():
                if path == outer:  # a leaf that several of its parts read
                    paths[t] = outer[:-1]
                elif path[:depth] == outer:
                    name = path[depth] if numbered else ".".join(path[depth - 1 :][:2])
                    paths[t] = (*outer[:-1], name, *path[depth + 1 :])

"""Loops around the lines of a kernel: nested, in tiles, or with sums in blocks."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from symgrad.emit.reductions import BLOCK
from symgrad.emit.writer import Writer, indent

#: Rows and columns that are run through together where elements are read across them.
TILE = 32


def nested(
    lines: Sequence[str], indices: Sequence[str], ranges: Sequence[str]
) -> list[str]:
    """Return a loop for each index around the lines, the last one innermost."""
    nest = list(lines)
    for index, part in zip(reversed(indices), reversed(ranges), strict=True):
        nest = [f"for {index} in range({part}):", *indent(nest)]
    return nest


def tiled(w: Writer, lines: list[str], extent: str) -> list[str]:
    """Return loops over tiles around a row's lines, which run from start to stop."""
    select = w.use("select")
    last = f"last = {select}(hi - first < {TILE}, hi, first + {TILE})"
    stop = f"stop = {select}({extent} - start < {TILE}, {extent}, start + {TILE})"
    rows = ["for r in range(first, last):", *indent(lines)]
    columns = [f"for start in range(0, {extent}, {TILE}):", *indent([stop, *rows])]
    return [f"for first in range(lo, hi, {TILE}):", *indent([last, *columns])]


def in_blocks(
    w: Writer,
    lines: list[str],
    start: Sequence[str],
    sums: Collection[str],
    indices: Sequence[str],
    extents: Sequence[str],
) -> list[str]:
    """Return loops whose float32 sums are gathered in float64, block by block."""
    names = sorted(sums)
    outside = [s for s in start if s.split(" = ")[0] not in sums]
    stop = w.fresh("e")
    block = [f"{n} = np.float32(0.0)" for n in names]
    block += [f"{stop} = min(u + {BLOCK}, {extents[-1]})"]
    block += [f"for {indices[-1]} in range(u, {stop}):", *indent(lines)]
    block += [f"{n}_total += np.float64({n})" for n in names]
    inner = [f"for u in range(0, {extents[-1]}, {BLOCK}):", *indent(block)]
    begin = [f"{n}_total = np.float64(0.0)" for n in names]
    done = [f"{n} = np.float32({n}_total)" for n in names]
    return [*outside, *begin, *nested(inner, indices[:-1], extents[:-1]), *done]

"""What boxes say of slices and transposes: in formulas, and of what goes back."""

from __future__ import annotations

from collections.abc import Mapping

from symgrad.declare.tensor import Tensor
from symgrad.drawing.condense import Box
from symgrad.drawing.slices import is_part, operand, part_text, positions


def part_names(box: Box, names: Mapping[Tensor, str]) -> dict[Tensor, str]:
    """Return names for the slices inside a box: ``Z[:, 8:16]``."""
    found: dict[Tensor, str] = {}
    for t in box.members:
        if t is box.head or not is_part(t) or _is_whole(t):
            continue
        own = names.get(operand(t)) or found.get(operand(t))
        text = part_text(t, own) if own else None
        if text is not None:
            found[t] = text
    return found


def chain_text(box: Box, names: Mapping[Tensor, str]) -> str | None:
    """Return the formula of a box that is nothing but a part of what it reads."""
    way = _way(box)
    if not way:
        return None
    text: str | None = names[operand(way[-1])]
    for t in reversed(way):
        text = part_text(t, text) if text is not None else None
    return text


def back_text(box: Box, names: Mapping[Tensor, str]) -> str:
    """Return where a cotangent goes from a box that is nothing but a part."""
    way = _way(box)
    if len(way) > 1 or not _is_whole(box.head):
        return f"· → {chain_text(box, names)}"
    axes = [p[0] for p in positions(box.head) if isinstance(p, tuple)]
    if axes == [*range(len(axes) - 2), len(axes) - 1, len(axes) - 2]:
        return "·ᵀ"
    return f"transpose(·, {', '.join(map(str, axes))})"


def _way(box: Box) -> list[Tensor]:
    """Return the parts of parts that make up a box, the last first, if all do."""
    way: list[Tensor] = []
    at, members = box.head, set(box.members)
    while at in members and is_part(at):
        way.append(at)
        at = operand(at)
    return way if at in set(box.sources) else []


def _is_whole(t: Tensor) -> bool:
    """Say whether a part is all of the other: only the order of axes may differ."""
    return all(
        isinstance(p, tuple) and p[1:] == (0, 1) and t.shape[p[0]] == size
        for p, size in zip(positions(t), operand(t).shape, strict=True)
    )

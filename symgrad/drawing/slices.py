"""Parts and transposes of tensors, written as programs write them: ``Z[:, 8:16]``."""

from __future__ import annotations

from collections.abc import Sequence

from symgrad.declare.comprehension import Comprehension, Index
from symgrad.declare.tensor import Constant, Tensor


def is_part(t: Tensor) -> bool:
    """Say whether a node is a part of one other, each axis a slice or a position."""
    c = t.op
    if not isinstance(c, Comprehension) or not c.is_movement or c.guards:
        return False
    own = [i for i in c.reads[-1].index if i.axes()]
    axes = [a for i in own for a in i.axes()]
    plain = all(_is_affine(i) for i in c.reads[-1].index)
    added = [s for n, s in enumerate(t.shape) if n not in axes]
    once = len(axes) == len(set(axes)) and all(s == 1 for s in added)
    return plain and once and _operand(t) is not None


def _is_affine(index: Index) -> bool:
    if index.values():
        return not index.axes()
    steps = [f for atom, f in index.terms if isinstance(atom, int) and f > 0]
    return len(steps) == len(index.terms) <= 1


def _operand(t: Tensor) -> Tensor | None:
    """Return what a node is a part of; a position may be another, constant operand."""
    assert isinstance(t.op, Comprehension)
    own = t.args[t.op.reads[-1].operand]
    others = (a for a in t.args if a is not own)
    known = all(isinstance(a.op, Constant) and a.ndim == 0 for a in others)
    return own if known else None


def operand(t: Tensor) -> Tensor:
    """Return what a node is a part of."""
    found = _operand(t)
    assert found is not None
    return found


def positions(t: Tensor) -> list[int | tuple[int, int, int] | None]:
    """Return for each axis of what a node is a part of where it is read.

    A position; or (axis of the node, start, step); or None where sizes are not known.
    """
    assert isinstance(t.op, Comprehension)
    found: list[int | tuple[int, int, int] | None] = []
    for index in t.op.reads[-1].index:
        start = index.constant
        for number in index.values():
            value = t.args[t.op.reads[number].operand].op
            assert isinstance(value, Constant)
            start = start + int(value.value)
        if not isinstance(start, int):
            found.append(None)
        elif index.axes():
            ((axis, step),) = index.terms
            assert isinstance(axis, int)
            found.append((axis, start, step))
        else:
            found.append(start)
    return found


def part_text(t: Tensor, name: str) -> str | None:
    """Return a part as text, None where sizes are not known.

    >>> import symgrad as sg
    >>> h = sg.input("h", (7, "n", 8))
    >>> [part_text(t, "h") for t in (h[1:], h[6], h[:, :, ::2], h.mT)]
    ['h[1:]', 'h[6]', 'h[:, :, ::2]', 'hᵀ']
    """
    words: list[str] = []
    kept: list[int] = []
    for place, size in zip(positions(t), operand(t).shape, strict=True):
        if place is None:
            return None
        if isinstance(place, int):
            words.append(str(place))
            continue
        axis, start, step = place
        kept.append(axis)
        stop = start + (t.shape[axis] - 1) * step + 1
        whole = step == 1 and (stop - size) == 0
        first, last = str(start or ""), "" if whole else str(stop)
        if step > 1 and isinstance(stop, int) and isinstance(size, int):
            last = "" if stop > size - step else last
        words.append(f"{first}:{last}" + (f":{step}" if step > 1 else ""))
    while words and words[-1] == ":":
        words.pop()
    if len(kept) < t.ndim:  # axes of one element are added
        return None
    text = f"{name}[{', '.join(words)}]" if words else name
    return _transposed(text, kept)


def _transposed(text: str, kept: Sequence[int]) -> str:
    """Return the text with the order of its axes, if that is another."""
    order = sorted(kept)
    if list(kept) == order:
        return text
    if list(kept) == [*order[:-2], order[-1], order[-2]]:
        return f"{text}ᵀ"
    return f"transpose({text}, {', '.join(str(kept.index(a)) for a in order)})"

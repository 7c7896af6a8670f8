"""Concatenations, found in the graph: parts between zeros, put side by side."""

from __future__ import annotations

from collections.abc import Mapping

from symgrad.declare.comprehension import Comprehension
from symgrad.declare.tensor import Tensor, op_name
from symgrad.drawing.slices import is_part, operand, part_text


def joined(t: Tensor) -> list[Tensor]:
    """Return what a node puts side by side, in order; nothing for other nodes.

    >>> import symgrad as sg
    >>> x, y = sg.input("x", ("n", 2)), sg.input("y", ("n", 3))
    >>> [part.name for part in joined(sg.concat([x, y, x], axis=1))]
    ['x', 'y', 'x']
    >>> joined(x), joined(sg.where(x > 0, x, 0))
    ([], [])
    """
    return [pad.args[0] for pad in _padded(t)]


def _padded(t: Tensor) -> list[Tensor]:
    c = t.op
    if not isinstance(c, Comprehension) or not c.is_elementwise:
        return []
    if c.body.fn != "select" or len(t.args) != 3:
        return []
    _, first, rest = t.args
    others = [rest] if _pads(rest) else _padded(rest)
    return [first, *others] if _pads(first) and others else []


def _pads(t: Tensor) -> bool:
    c = t.op
    if not isinstance(c, Comprehension) or not c.is_movement or len(t.args) != 1:
        return False
    return len(c.guards) == 1 and c.guards[0].modulus == 1


def join_title(t: Tensor) -> str:
    """Return ``stack`` where every part has got an axis to lie along, else ``concat``.

    >>> import symgrad as sg
    >>> x = sg.input("x", ("n", 2))
    >>> join_title(sg.stack([x, x, x])), join_title(sg.concat([x, x]))
    ('stack', 'concat')
    """
    return "stack" if all(map(_is_new, joined(t))) else "concat"


def _is_new(part: Tensor) -> bool:
    return op_name(part.op) == "expand_dims"


def join_text(t: Tensor, names: Mapping[Tensor, str]) -> str | None:
    """Return ``concat(x[:, :2], H)``, None where parts are more than slices."""
    parts, words = joined(t), []
    if not parts:
        return None
    stacked = join_title(t) == "stack"
    for part in parts:
        text = names.get(part)
        if text is None and is_part(part) and operand(part) in names:
            name = names[operand(part)]
            text = name if stacked else part_text(part, name)
        if text is None:
            return None
        words.append(text)
    return f"{join_title(t)}({', '.join(words)})"


def part_of_cotangent(t: Tensor, source: Tensor) -> str | None:
    """Return which part of the cotangent a source gets, such as ``·[:, 2:5]``.

    None for a source of several parts, or of places that have no numbers.
    """
    pads = [p for p in _padded(t) if source in {p.args[0], *p.args[0].args}]
    if len(pads) != 1:
        return None
    (pad,) = pads
    c, part = pad.op, pad.args[0]
    assert isinstance(c, Comprehension)
    (axis,) = c.guards[0].index.axes()
    start, size = c.guards[0].index.constant, c.guards[0].bound
    if not isinstance(start, int) or not isinstance(size, int):
        return None
    if part is not source and not _is_new(part):
        return None
    first = -start
    whole = f"{first or ''}:{'' if first + size == t.shape[axis] else first + size}"
    place = str(first) if _is_new(part) else whole
    return f"·[{', '.join([':'] * axis + [place])}]"

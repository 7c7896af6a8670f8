"""What the results of a loop are called: ``h₆`` after six steps, ``H`` for all."""

from __future__ import annotations

from collections.abc import Sequence

from symgrad.declare.loop import Final, Loop, Stacked, States
from symgrad.declare.tensor import Tensor
from symgrad.drawing.loops import NOW, SUBSCRIPTS, Step, is_loop
from symgrad.drawing.slices import operand, positions

Times = int | range


def result_name(t: Tensor, step: Step) -> str | None:
    """Return the name of a loop's result, or of a part of one; None if it has none.

    The state after step 6 is ``h₆``; those after each step are ``H``, whatever the
    order of their axes.
    """
    way = []
    while not is_loop(t):
        way.append(t)
        t = operand(t)
    loop = step.loop
    carry = _carry(t, loop)
    if carry is None or loop.reverse or not isinstance(loop.length, int):
        return None
    letter = step.names[loop.carries[carry]].removesuffix(NOW)
    every = range(1, loop.length + 1)
    times: Times | None = range(loop.length + 1) if isinstance(t.op, States) else every
    if isinstance(t.op, Final):
        times = loop.length
    times = _after(way[::-1], times)
    if isinstance(times, int):
        return letter + str(times).translate(SUBSCRIPTS)
    return letter.upper() if times == every else None


def _carry(t: Tensor, loop: Loop) -> int | None:
    """Return which carry a result of a loop holds, after one step or all."""
    if isinstance(t.op, Final | States):
        return t.op.number
    assert isinstance(t.op, Stacked)
    own = t.op.value
    return next((n for n, u in enumerate(loop.updates) if u is own), None)


def _after(way: Sequence[Tensor], times: Times | None) -> Times | None:
    """Return the steps that are left in a part of a part …; None for less than states.

    Time lies along the first axis, then wherever it is moved.
    """
    axis = 0
    for part in way:
        moved = axis
        for n, place in enumerate(positions(part)):
            if place is None:
                return None
            if isinstance(times, range) and n == axis:
                if isinstance(place, int):
                    times = times[place]
                    continue
                moved, start, step = place
                size = part.shape[moved]
                if not isinstance(size, int):
                    return None
                times = times[start::step][:size]
            elif not _is_whole(part, n, place):
                return None
        axis = moved
    return times


def _is_whole(part: Tensor, n: int, place: int | tuple[int, int, int]) -> bool:
    if isinstance(place, int):
        return operand(part).shape[n] == 1
    axis, start, step = place
    return (start, step) == (0, 1) and part.shape[axis] == operand(part).shape[n]

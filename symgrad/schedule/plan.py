"""The plan of a program: its kernels in order, and which tensors need memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from symgrad.declare.tensor import Reshape, Tensor, print_shape, topological
from symgrad.notation.listing import WIDEST, statements
from symgrad.schedule.fuse import fuse
from symgrad.schedule.group import Group, is_row_reduction
from symgrad.schedule.loops import base, is_leaf, plan_step
from symgrad.schedule.reading import Reading, reads_of
from symgrad.schedule.terms import loop_index, strides


@dataclass(frozen=True)
class Plan:
    """What runs, in which order.

    Attributes:
        groups: one kernel each, in running order.
        reads: for each group, the tensors in memory that it reads from elsewhere.
        writes: for each group, its members that need memory.
        stored: all tensors that need memory.
        reading: how nodes read memory: which virtual nodes have some.
        in_place: parameter of each new value that may be written over the old one.
        copies: (new value, parameter) pairs to be copied at the end.
    """

    groups: tuple[Group, ...]
    reads: tuple[tuple[Tensor, ...], ...]
    writes: tuple[tuple[Tensor, ...], ...]
    stored: frozenset[Tensor]
    reading: Reading
    in_place: Mapping[Tensor, Tensor]
    copies: tuple[tuple[Tensor, Tensor], ...]

    def __str__(self) -> str:
        """List the kernels: their loops, their statements, and what goes to memory.

        A node that is computed wherever it is used is listed at its first use, with a
        colon.
        """
        members = [t for g in self.groups for t in g.members]
        shown = statements(members)
        width = min(max((len(s) for s, _ in shown.values()), default=0), WIDEST)
        listed = set(members)
        lines = []
        for n, g in enumerate(self.groups):
            if g.step is not None:
                lines += _describe_loop(n, g, shown)
                continue
            rows = "" if g.split is None else f", {g.split} of them over rows"
            lines.append(f"kernel {n}: {g.kind}, loops {print_shape(g.domain)}{rows}")
            for t in topological(g.members):
                if t in shown and t.args and t not in listed:
                    listed.add(t)
                    lines.append(f"  : {shown[t][0].ljust(width)}    # {shown[t][1]}")
                elif t in set(g.members):
                    text, remark = shown[t]
                    place = self._place(t)
                    lines.append(f"    {text.ljust(width)}    # {remark}{place}")
        for value, parameter in self.copies:
            lines.append(f"copy {shown[value][0].split(' = ')[0]} -> {parameter.name}")
        return "\n".join(lines)

    def _place(self, t: Tensor) -> str:
        """Return where a node is stored, for the listing."""
        if t in self.in_place:
            return f" -> {self.in_place[t].name}, in place"
        return " -> memory" if t in self.stored else ""


def _describe_loop(n: int, g: Group, shown: Mapping[Tensor, tuple[str, str]]) -> list:
    """Return the lines of a loop: its results, and the kernels of a step."""
    assert g.step is not None
    where = ", from the last" if g.step.loop.reverse else ""
    lines = [f"kernel {n}: loop, {g.step.loop.length} steps{where}"]
    lines += [f"    {shown[t][0]}    # {shown[t][1]} -> memory" for t in g.members]
    return lines + ["  | " + line for line in str(g.step.plan).splitlines()]


def schedule(
    outputs: Sequence[Tensor],
    updates: Mapping[Tensor, Tensor] | None = None,
    store_all: bool = False,
) -> Plan:
    """Return the plan for ``outputs`` and for new values of parameters.

    Args:
        outputs: what the program returns.
        updates: parameter -> its new value, written when nothing reads the old one.
        store_all: keep every value of every kernel in memory, to be looked at.
    """
    updates = updates or {}
    targets = [*outputs, *updates.values()]
    groups, reading = fuse(targets)
    groups = _updates_last(groups, reading, {base(t) for t in updates.values()})
    reads = [_reads(g, reading) for g in groups]
    stored = {base(t) for t in targets if not is_leaf(base(t))}
    for g, found in zip(groups, reads, strict=True):
        members = set(g.members)
        stored |= {t for t in found if not is_leaf(t) and t not in members}
    for t in topological(targets):
        if isinstance(t.op, Reshape) and not is_leaf(base(t)):
            stored.add(base(t))
    for g in groups:
        if g.kind == "loop":
            stored |= set(g.members)
            g.step = plan_step(g.members, g.sources, schedule)
    if store_all:
        stored |= {t for g in groups for t in g.members}
    in_place, copies = _place_updates(groups, reads, updates, outputs, reading)
    writes = tuple(tuple(t for t in g.members if t in stored) for g in groups)
    outside = tuple(
        tuple(t for t in found if t not in set(g.members))
        for g, found in zip(groups, reads, strict=True)
    )
    return Plan(
        tuple(groups),
        outside,
        writes,
        frozenset(stored),
        reading,
        in_place,
        tuple(copies),
    )


def _reads(g: Group, reading: Reading) -> list[Tensor]:
    found: dict[Tensor, None] = {}
    for t in g.members:
        found.update(dict.fromkeys(reads_of(g, t, reading)))
    return list(found)


def _updates_last(
    groups: list[Group], reading: Reading, new: set[Tensor]
) -> list[Group]:
    """Move kernels that only make new parameter values behind all others."""
    used: set[Tensor] = set()
    for g in groups:
        used |= {t for t in _reads(g, reading) if t not in set(g.members)}
    late = [
        g
        for g in groups
        if any(t in new for t in g.members) and not any(t in used for t in g.members)
    ]
    moved = {id(g) for g in late}
    return [g for g in groups if id(g) not in moved] + late


def _place_updates(
    groups: Sequence[Group],
    reads: Sequence[Sequence[Tensor]],
    updates: Mapping[Tensor, Tensor],
    outputs: Sequence[Tensor],
    reading: Reading,
) -> tuple[dict[Tensor, Tensor], list[tuple[Tensor, Tensor]]]:
    """Return which new values may overwrite their parameter, and which are copied."""
    in_place: dict[Tensor, Tensor] = {}
    copies: list[tuple[Tensor, Tensor]] = []
    home = {t: n for n, g in enumerate(groups) for t in g.members}
    taken: set[Tensor] = {base(t) for t in outputs}
    for parameter, value in updates.items():
        place = home.get(value)
        users = [n for n, found in enumerate(reads) if parameter in set(found)]
        last = max(users, default=-1)
        free = place is not None and value not in taken and place >= last
        if free and place == last:
            free = _reads_in_place(groups[last], value, parameter, reading)
        if free:
            in_place[value] = parameter
            taken.add(value)
        else:
            copies.append((value, parameter))
    return in_place, copies


def _reads_in_place(
    g: Group, value: Tensor, parameter: Tensor, reading: Reading
) -> bool:
    """Return True if a parameter is read only where its new value is written."""
    if g.kind not in ("rows", "gemm") or value.shape != parameter.shape:
        return False
    products = {t for t in g.members if g.product(t) is not None}
    if any(x is parameter for t in products for x in reads_of(g, t, reading)):
        return False
    passes = any(is_row_reduction(t) for t in g.members if g.level(t) == "row")
    if g.level(value) != "full" or passes:
        return False
    expected = tuple(
        (a, s)
        for a, (s, n) in enumerate(zip(strides(value.shape), value.shape, strict=True))
        if n != 1
    )
    for t in g.members:
        if t in products:
            continue
        where = loop_index(t.op.extents)  # type: ignore[union-attr]
        for x in reading.loads(t, where):
            if x.tensor is parameter:
                live = tuple((a, s) for a, s in x.linear if value.shape[a] != 1)
                if x.extra or x.constant != 0 or live != expected:
                    return False
    return True

"""Fusion: assign every node that needs memory or work to a kernel.

Nodes are taken in topological order.  A group of nodes becomes one kernel; groups run
in the order of their creation.  A node joins the last group that one of its operands
belongs to, if their loops fit and every value it takes from that group is at hand at
the same indices; else it starts a group of its own.  So no cycle can arise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from symgrad.declare import dtypes
from symgrad.declare.bodies import siblings
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.dims import product
from symgrad.declare.linear_algebra import LinearAlgebra
from symgrad.declare.loop import Scan
from symgrad.declare.tensor import Reshape, Tensor, topological
from symgrad.schedule.contraction import Gemm, as_gemm, as_tail
from symgrad.schedule.group import Group
from symgrad.schedule.loops import base, is_leaf, sources_of
from symgrad.schedule.packing import as_packed
from symgrad.schedule.reading import Reading, reads_of
from symgrad.schedule.reducing import is_running, is_total, reduces_fast
from symgrad.schedule.symmetric import Symmetric, as_symmetric
from symgrad.schedule.terms import (
    Load,
    is_virtual,
    loop_index,
    strides,
)

LU, PIVOTS = LinearAlgebra("lu"), LinearAlgebra("pivots")
#: Elements of scores that are kept for the gradient; more are computed again.
KEPT = 2**20


def fuse(outputs: Sequence[Tensor]) -> tuple[list[Group], Reading]:
    """Return the groups in running order, and the virtual nodes that need memory.

    Outputs and operands of reshapes and matrix products need memory even where they
    would be virtual.
    """
    order = topological(outputs)
    reading = Reading()
    reading.force(base(t) for t in outputs)
    reading.force(base(t) for t in order if isinstance(t.op, Reshape))
    loops = {}
    for results in siblings(order).values():
        sources = sources_of(results)
        loops[results[0]] = Group("loop", (), None, results, sources=sources)
        reading.force(x.tensor for x in sources.values() if is_virtual(x.tensor))
    symmetric = {}
    for t in order:
        half = as_symmetric(t, reading.forced)
        if half is not None:
            symmetric[t] = half
            reading.force(half.copied)
    order = _needed(outputs, symmetric)
    gemms = {}
    for t in order:
        if t in symmetric:
            continue
        found = as_gemm(t, reading.forced) or as_packed(t, reading.forced)
        if found is not None:
            gemms[t] = found
            reading.force(found.copied)
    fuser = _Fuser(reading, gemms, symmetric, loops)
    for t in order:
        leaf = is_leaf(t) or isinstance(t.op, Reshape)
        if not leaf and (not is_virtual(t) or t in reading):
            fuser.place(t)
    return sink(fuser.groups, reading), reading


def _needed(
    outputs: Sequence[Tensor], symmetric: dict[Tensor, Symmetric]
) -> list[Tensor]:
    """Return the nodes in order, less those of which symmetric products have no need.

    Those are copies of a factor that the weights have been multiplied into.
    """
    if not symmetric:
        return topological(outputs)
    found, pending = set(outputs), list(outputs)
    while pending:
        t = pending.pop()
        half = symmetric.get(t)
        for x in t.args if half is None else (*half.reads, *half.copied):
            if x not in found:
                found.add(x)
                pending.append(x)
    return [t for t in topological(outputs) if t in found]


class _Fuser:
    def __init__(
        self,
        reading: Reading,
        gemms: dict[Tensor, Gemm],
        symmetric: dict[Tensor, Symmetric],
        loops: dict[Tensor, Group],
    ) -> None:
        self.reading, self.gemms, self.loops = reading, gemms, loops
        self.symmetric = symmetric
        self.groups: list[Group] = []
        self.home: dict[Tensor, int] = {}
        self.again: dict[Tensor, Group] = {}  # what a later group computes once more

    def place(self, t: Tensor) -> None:
        if isinstance(t.op, LinearAlgebra):
            self._place_matrices(t)
            return
        if isinstance(t.op, Scan):
            if t in self.loops:
                self._start(self.loops[t])
            return
        c: Comprehension = t.op  # type: ignore[assignment]
        if t in self.symmetric:
            half = self.symmetric[t]
            self._start(Group("symmetric", t.shape, None, [t], symmetric=half))
            return
        if t in self.gemms:
            gemm = self.gemms[t]
            if self._joins_tail(t, gemm):
                return
            if gemm.adds:
                self._start(Group("sum", t.shape, None, [t], gemm, {t}))
                return
            self._start(Group("gemm", t.shape, gemm.split, [t], gemm))
            return
        where = loop_index(c.extents)
        loads = self.reading.loads(t, where)
        last = max((self.home.get(x.tensor, -1) for x in loads), default=-1)
        group = self._new_group(t, c, loads)
        if last >= 0:
            host = self.groups[last]
            column = group.kind == "nest" or t in group.columns
            if column and self._joins_columns(host, t, c, last):
                return
            if (
                group.kind == "rows"
                and not column
                and self._joins(host, t, c, loads, last)
            ):
                self._recompute(host, [x.tensor for x in loads])
                return
        self._start(group)

    def _place_matrices(self, t: Tensor) -> None:
        """Let the results of one factorization be one group."""
        for g in self.groups:
            first = g.members[0]
            both = g.kind == "matrix" and {first.op, t.op} == {LU, PIVOTS}
            if both and first.args[0] is t.args[0]:
                g.members.append(t)
                self.home[t] = self.home[first]
                return
        batch = t.args[-1].shape[:-2]
        self._start(Group("matrix", batch, len(batch), [t]))

    def _joins_tail(self, t: Tensor, gemm: Gemm) -> bool:
        """Let a product take its factor from the panels of the group that makes it."""
        for factor, other in ((gemm.left, gemm.right), (gemm.right, gemm.left)):
            number = self.home.get(factor.tensor)
            if number is None:
                continue
            host = self.again.get(factor.tensor, self.groups[number])
            if host is not self.groups[number]:
                number = next(n for n, g in enumerate(self.groups) if g is host)
            if host.kind != "gemm" or host.level(factor.tensor) != "full":
                continue
            tail = as_tail(host.gemm, host.split, gemm, factor)
            ready = self.home.get(base(other.tensor), -1)
            if tail is None or ready == number:
                continue
            if ready > number:
                if not self._delay(number):
                    continue
                number = len(self.groups) - 1
            host.tails.append(tail)
            host.members.append(t)
            self.home[t] = number
            return True
        return False

    def _delay(self, number: int) -> bool:
        """Move a group behind all others, if none of them reads what it makes."""
        made = set(self.groups[number].members)
        for g in self.groups[number + 1 :]:
            if any(s in made for t in g.members for s in reads_of(g, t, self.reading)):
                return False
        self.groups.append(self.groups.pop(number))
        self.home = {}
        for n, g in enumerate(self.groups):
            for t in g.members:
                self.home.setdefault(t, n)
        return True

    def _recompute(self, host: Group, read: list[Tensor]) -> None:
        """Compute large scores once more, panel by panel, rather than keep them."""
        for t in read:
            number = self.home.get(t)
            if number is None or self.groups[number] is host or t in self.again:
                continue
            needed = recomputed(self.groups[number], host, t, self.reading)
            if needed is None:
                continue
            maker = self.groups[number].gemm
            assert maker is not None
            present = set(host.members)
            host.heads.append(maker)
            host.members[:0] = [x for x in needed if x not in present]
            self.again |= dict.fromkeys(needed, host)

    def _start(self, group: Group) -> None:
        self.home |= dict.fromkeys(group.members, len(self.groups))
        self.groups.append(group)

    def _new_group(self, t: Tensor, c: Comprehension, loads: list[Load]) -> Group:
        if c.target is not None:
            return Group("scatter", c.extents, 0, [t])
        if c.reduce is None:
            return Group("rows", t.shape, None, [t])
        if is_total(c, t.dtype):
            return Group("rows", c.extents, None, [t], columns={t})
        if c.guards and is_running(c):
            return Group("running", c.extents, c.rank, [t])
        if c.guards or not reduces_fast(c, loads):
            return Group("nest", c.extents, c.rank, [t])
        return Group("rows", c.extents, c.rank, [t])

    def _joins_columns(
        self, g: Group, t: Tensor, c: Comprehension, number: int
    ) -> bool:
        """Add a sum over the rows of a group to it, if it is one."""
        split = len(c.reduced) if g.split is None and c.rank else g.split
        if g.kind not in ("rows", "gemm") or c.reduce != "sum" or c.guards:
            return False
        if not dtypes.is_float(t.dtype) or (g.gemm is not None and g.split is None):
            return False
        rows, inner = c.extents[c.rank :], c.extents[: c.rank]
        if not inner and rows != g.domain:
            return False
        if inner and (rows != g.domain[:split] or inner != g.domain[split:]):
            return False
        trial = replace(g, split=split, columns={*g.columns, t})
        if not _fits_columns(t, trial, self.reading):
            return False
        g.split, g.columns = split, trial.columns
        g.members.append(t)
        self.home[t] = number
        return True

    def _joins(
        self, g: Group, t: Tensor, c: Comprehension, loads: list[Load], number: int
    ) -> bool:
        if g.kind not in ("rows", "gemm") or (g.gemm and g.split is None):
            return False
        split = g.split
        if c.reduce is not None:
            if c.extents != g.domain or split not in (None, c.rank):
                return False
            split = c.rank
        elif t.shape != g.domain and not g.is_row(t.shape, split):
            return False
        level_rank = len(c.extents) if t.shape == g.domain or c.reduce else 0
        members = set(g.members)
        for load in loads:
            if load.tensor in members and not _aligned(
                load, load.tensor, g, split, level_rank
            ):
                return False
        g.split = split
        g.members.append(t)
        self.home[t] = number
        return True


def recomputed(
    maker: Group, host: Group, t: Tensor, reading: Reading
) -> list[Tensor] | None:
    """Return the members that make ``t``, if ``host`` had better compute them again.

    That is where ``t`` is large, has the loops of both groups, and other products have
    taken it panel by panel: it is nowhere in memory so far.
    """
    a, b, size = maker.gemm, host.gemm, product(t.shape)
    if a is None or b is None or not maker.tails or maker.heads or host.heads:
        return None
    if maker.level(t) != "full":
        return None
    if isinstance(size, int) and size <= KEPT:
        return None
    if (maker.domain, maker.split, a.batch, a.m, a.n) != (
        *(host.domain, host.split),
        *(b.batch, b.m, b.n),
    ):
        return None
    if any(x.packing for x in (a.left, a.right)) or a.node is t:
        return None
    members, needed, pending = set(maker.members), {t}, [t]
    while pending:
        for source in reads_of(maker, pending.pop(), reading):
            if source in members and source not in needed:
                needed.add(source)
                pending.append(source)
    if any(maker.level(x) not in ("full", "row") for x in needed):
        return None
    return [x for x in maker.members if x in needed]


def _fits_columns(t: Tensor, g: Group, reading: Reading) -> bool:
    """Return True if a sum over rows reads the group's values where they are."""
    members = set(g.members)
    return all(
        _aligned(load, load.tensor, g, g.split, len(g.domain))
        for load in reading.loads(t, g.loops(t))
        if load.tensor in members
    )


def sink(groups: list[Group], reading: Reading) -> list[Group]:
    """Merge a group into the first group that uses its results, where the loops fit.

    All its users run no earlier than that group, so it can run as late; what it
    computed for that group alone then needs no memory.
    """
    users = _users(groups, reading)
    result: list[Group | None] = list(groups)
    moved: dict[int, int] = {}
    for n in range(len(groups) - 1, -1, -1):
        later = {
            _last(moved, number)
            for t in groups[n].members
            for number in users.get(t, ())
        }
        later.discard(n)
        if not later:
            continue
        first = min(later)
        host = result[first]
        assert host is not None
        merged = _merged(groups[n], host, reading)
        if merged is None:
            continue
        result[first], result[n] = merged, None
        groups[first] = merged
        moved[n] = first
    return [g for g in result if g is not None]


def _last(moved: dict[int, int], number: int) -> int:
    """Return the group that a group has been merged into, at the end."""
    while number in moved:
        number = moved[number]
    return number


def _users(groups: list[Group], reading: Reading) -> dict[Tensor, set[int]]:
    """Return the numbers of the groups that read each node."""
    users: dict[Tensor, set[int]] = {}
    for n, g in enumerate(groups):
        for t in g.members:
            for source in reads_of(g, t, reading):
                users.setdefault(source, set()).add(n)
    return users


def _merged(a: Group, b: Group, reading: Reading) -> Group | None:
    """Return one group that does the work of both, or None where it cannot."""
    if a.kind != "rows" or b.kind not in ("rows", "gemm") or a.domain != b.domain:
        return None
    split = b.split if a.split is None else a.split
    if b.split not in (None, split) or (b.gemm is not None and b.split is None):
        return None
    columns = a.columns | b.columns
    members = [*a.members, *b.members]
    both = Group(b.kind, b.domain, split, members, b.gemm, columns, b.heads, b.tails)
    inside = set(a.members)
    for t in b.members:
        if b.product(t) is not None:
            if any(s in inside for s in reads_of(b, t, reading)):
                return None
            continue
        c: Comprehension = t.op  # type: ignore[assignment]
        rank = len(b.domain) if t.shape == b.domain or c.reduce else 0
        for load in reading.loads(t, both.loops(t)):
            if load.tensor in inside and not _aligned(
                load, load.tensor, both, split, rank
            ):
                return None
    return both


def _aligned(load: Load, t: Tensor, g: Group, split: int | None, rank: int) -> bool:
    """Return True if the load is of the very point or row that the kernel is at."""
    if load.extra or load.constant != 0 or load.reshaped:
        return False
    if g.level(t) in ("column", "tail"):
        return False
    full = g.level(t) == "full"
    if full and rank < len(g.domain):
        return False
    expected = tuple(
        (a, s)
        for a, (s, n) in enumerate(zip(strides(t.shape), t.shape, strict=True))
        if n != 1
    )
    actual = tuple((a, s) for a, s in load.linear if g.domain[a] != 1)
    return actual == expected

"""Fusion: assign every node that needs memory or work to a kernel.

Nodes are taken in topological order.  A group of nodes becomes one kernel; groups run
in the order of their creation.  A node joins the last group that one of its operands
belongs to, if their loops fit and every value it takes from that group is at hand at
the same indices; else it starts a group of its own.  So no cycle can arise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from symgrad.declare import dtypes
from symgrad.declare.bodies import siblings
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.dims import Size
from symgrad.declare.linear_algebra import LinearAlgebra
from symgrad.declare.loop import Scan
from symgrad.declare.tensor import Reshape, Tensor, topological
from symgrad.schedule.contraction import Gemm, as_gemm
from symgrad.schedule.loops import Source, Step, base, is_leaf, sources_of
from symgrad.schedule.packing import as_packed
from symgrad.schedule.reducing import is_running, is_total, reduces_fast
from symgrad.schedule.terms import (
    Apply,
    Guarded,
    Load,
    Resolver,
    Term,
    Where,
    is_virtual,
    loop_index,
    strides,
)

LU, PIVOTS = LinearAlgebra("lu"), LinearAlgebra("pivots")
Shape = tuple[Size, ...]


@dataclass
class Group:
    """The nodes of one kernel.

    Attributes:
        kind: ``rows`` (elementwise, with reductions of trailing axes), ``gemm`` (the
            same behind a matrix product), ``sum`` (a sum of matrix products), ``nest``
            (any other reduction), ``running`` (a cumulative reduction), ``scatter``,
            ``matrix`` (linear algebra, for each matrix of a batch) or ``loop``.
        domain: the extents of all loops.
        split: how many leading loops are rows; None while nothing is reduced.
        members: the nodes, operands before users.
        gemm: the matrix product that the other members follow.
        columns: the members that are sums over the rows, a value for each inner point.
        sources: where the operands of a loop lie, by formal.
        step: how a loop runs.
    """

    kind: str
    domain: Shape
    split: int | None
    members: list[Tensor] = field(default_factory=list)
    gemm: Gemm | None = None
    columns: set[Tensor] = field(default_factory=set)
    sources: dict[Tensor, Source] = field(default_factory=dict)
    step: Step | None = None

    def level(self, t: Tensor) -> str:
        """Return for what ``t`` has a value: ``full``, ``row`` or ``column``."""
        if t in self.columns:
            return "column"
        if self.gemm is not None and t is self.gemm.node:
            return "full"
        return "row" if is_row_reduction(t) or t.shape != self.domain else "full"

    def loops(self, t: Tensor) -> Where:
        """Return the indices at which a member's axes run through the loops."""
        c: Comprehension = t.op  # type: ignore[assignment]
        if t not in self.columns or not c.rank:
            return loop_index(c.extents)
        assert self.split is not None
        where = loop_index(self.domain)
        return (*where[self.split :], *where[: self.split])

    def is_row(self, shape: Shape, split: int | None) -> bool:
        """Return True for the shape of one value for each row."""
        if split is None:
            return False
        rest = shape[split:]
        return shape[:split] == self.domain[:split] and (
            not rest or (len(shape) == len(self.domain) and all(n == 1 for n in rest))
        )


def is_row_reduction(t: Tensor) -> bool:
    """Return True for a reduction of one read's trailing axes, or of products."""
    c = t.op
    return (
        isinstance(c, Comprehension)
        and c.reduce is not None
        and c.target is None
        and not c.guards
    )


class Reading:
    """What nodes read from memory: virtual nodes are looked through, unless forced.

    ``node in reading`` tells whether a virtual node is forced to have memory.
    """

    def __init__(self) -> None:
        self.forced: set[Tensor] = set()
        self._memo: dict[tuple[Tensor, Where], list[Load]] = {}

    def __contains__(self, t: Tensor) -> bool:
        return t in self.forced

    def force(self, nodes: Iterable[Tensor]) -> None:
        """Give memory to nodes that would be virtual."""
        self.forced.update(nodes)
        self._memo.clear()

    def loads(self, t: Tensor, where: Where) -> list[Load]:
        """Return every element of other nodes that one point of ``t`` reads."""
        key = (t, where)
        if key not in self._memo:
            found: list[Load] = []
            resolver = Resolver(self.looks_through, lambda n, w: None)
            _collect(resolver.body(t, dict(enumerate(where))), found)
            self._memo[key] = found
        return self._memo[key]

    def elements(self, t: Tensor) -> list[Load]:
        """Return every element that is read where ``t`` itself is, anywhere."""
        found: list[Load] = []
        resolver = Resolver(self.looks_through, lambda n, w: None)
        _collect(resolver.at(t, loop_index(t.shape)), found)
        return found

    def looks_through(self, t: Tensor) -> bool:
        """Return True for a node that is computed where it is used."""
        return is_virtual(t) and t not in self.forced


def _collect(term: Term, found: list[Load]) -> None:
    stack = [term]
    while stack:
        here = stack.pop()
        if isinstance(here, Load):
            found.append(here)
            stack += [e for e, _ in here.extra]
        elif isinstance(here, Apply):
            stack += here.args
        elif isinstance(here, Guarded):
            stack += [here.condition, here.value]


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
    gemms = {}
    for t in order:
        found = as_gemm(t, reading.forced) or as_packed(t, reading.forced)
        if found is not None:
            gemms[t] = found
            reading.force(found.copied)
    fuser = _Fuser(reading, gemms, loops)
    for t in order:
        leaf = is_leaf(t) or isinstance(t.op, Reshape)
        if not leaf and (not is_virtual(t) or t in reading):
            fuser.place(t)
    return sink(fuser.groups, reading), reading


class _Fuser:
    def __init__(
        self,
        reading: Reading,
        gemms: dict[Tensor, Gemm],
        loops: dict[Tensor, Group],
    ) -> None:
        self.reading, self.gemms, self.loops = reading, gemms, loops
        self.groups: list[Group] = []
        self.home: dict[Tensor, int] = {}

    def place(self, t: Tensor) -> None:
        if isinstance(t.op, LinearAlgebra):
            self._place_matrices(t)
            return
        if isinstance(t.op, Scan):
            if t in self.loops:
                self._start(self.loops[t])
            return
        c: Comprehension = t.op  # type: ignore[assignment]
        if t in self.gemms:
            gemm = self.gemms[t]
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
        if not _fits_columns(t, trial, self.home, number, self.reading):
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
        for load in loads:
            inside = self.home.get(load.tensor) == number
            if inside and not _aligned(load, load.tensor, g, split, level_rank):
                return False
        g.split = split
        g.members.append(t)
        self.home[t] = number
        return True


def _fits_columns(
    t: Tensor, g: Group, home: dict[Tensor, int], number: int, reading: Reading
) -> bool:
    """Return True if a sum over rows reads the group's values where they are."""
    return all(
        _aligned(load, load.tensor, g, g.split, len(g.domain))
        for load in reading.loads(t, g.loops(t))
        if home.get(load.tensor) == number
    )


def sink(groups: list[Group], reading: Reading) -> list[Group]:
    """Merge a group into the first group that uses its results, where the loops fit.

    All its users run no earlier than that group, so it can run as late; what it
    computed for that group alone then needs no memory.
    """
    users = _users(groups, reading)
    result: list[Group | None] = list(groups)
    home = {t: n for n, g in enumerate(groups) for t in g.members}
    for n in range(len(groups) - 1, -1, -1):
        first = min(
            (
                home[u]
                for t in groups[n].members
                for u in users.get(t, ())
                if home[u] != n
            ),
            default=None,
        )
        if first is None:
            continue
        later = result[first]
        assert later is not None
        merged = _merged(groups[n], later, reading)
        if merged is None:
            continue
        result[first], result[n] = merged, None
        groups[first] = merged
        home |= dict.fromkeys(groups[n].members, first)
    return [g for g in result if g is not None]


def _users(groups: list[Group], reading: Reading) -> dict[Tensor, list[Tensor]]:
    """Return which nodes read each node."""
    users: dict[Tensor, list[Tensor]] = {}
    for g in groups:
        for t in g.members:
            for source in reads_of(g, t, reading):
                users.setdefault(source, []).append(t)
    return users


def reads_of(g: Group, t: Tensor, reading: Reading) -> list[Tensor]:
    """Return the tensors in memory that a member of a group reads."""
    if g.kind == "loop":
        return list(dict.fromkeys(base(x.tensor) for x in g.sources.values()))
    if g.gemm is not None and t is g.gemm.node:
        return [base(g.gemm.left.tensor), base(g.gemm.right.tensor)]
    if isinstance(t.op, LinearAlgebra):
        loads = (x for a in t.args for x in reading.elements(a))
        return list(dict.fromkeys(x.tensor for x in loads))
    c: Comprehension = t.op  # type: ignore[assignment]
    found = {x.tensor: None for x in reading.loads(t, loop_index(c.extents))}
    for index in c.target or ():
        for k in index.values():
            found[base(t.args[c.reads[k].operand])] = None
    return list(found)


def _merged(a: Group, b: Group, reading: Reading) -> Group | None:
    """Return one group that does the work of both, or None where it cannot."""
    if a.kind != "rows" or b.kind not in ("rows", "gemm") or a.domain != b.domain:
        return None
    split = b.split if a.split is None else a.split
    if b.split not in (None, split) or (b.gemm is not None and b.split is None):
        return None
    columns = a.columns | b.columns
    both = Group(b.kind, b.domain, split, [*a.members, *b.members], b.gemm, columns)
    inside = set(a.members)
    for t in b.members:
        if b.gemm is not None and t is b.gemm.node:
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
    if load.extra or load.constant != 0 or load.reshaped or t in g.columns:
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

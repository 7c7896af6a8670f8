"""Random programs: lists of statements that symgrad and JAX both can run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
import numpy as np

import symgrad as sg
from symgrad.declare.dims import evaluate
from tests.programs.operations import (
    ALONG,
    BINARY,
    REDUCE,
    SYMGRAD,
    TABLE,
    UNARY,
    spread,
)

#: Values are squashed when they could become larger than this.
LARGEST = 6.0
#: Tensors of more elements are not made.
MOST_ELEMENTS = 400


@dataclass(frozen=True)
class Statement:
    """``t<number> = op(operands, parameters)``; operands are numbers of tensors."""

    op: str
    operands: tuple[int, ...]
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Leaf:
    """An input: its dimensions (names or integers), and whether it holds indices."""

    shape: tuple[int | str, ...]
    integer: bool = False


@dataclass(frozen=True)
class RandomProgram:
    """Leaves and statements, in order; each makes one more tensor.

    ``outputs`` are the tensors that are returned, ``second`` tells whether the
    gradient is derived once more, ``seed`` makes the arrays.
    """

    leaves: tuple[Leaf, ...]
    statements: tuple[Statement, ...]
    outputs: tuple[int, ...]
    sizes: dict[str, int]
    dtype: str = "float64"
    second: bool = False
    seed: int = 0

    def __str__(self) -> str:
        lines = [f"t{n} = {leaf}" for n, leaf in enumerate(self.leaves)]
        for n, s in enumerate(self.statements, start=len(self.leaves)):
            operands = ", ".join(f"t{k}" for k in s.operands)
            lines.append(f"t{n} = {s.op}({operands}) {s.parameters or ''}")
        lines.append(
            f"return {self.outputs}, {self.sizes}, {self.dtype}, {self.second}"
        )
        return "\n".join(lines)

    def run(self, xp: Any, leaves: Sequence[Any]) -> list[Any]:
        """Return all tensors, made by the functions of ``xp``."""
        tensors = list(leaves)
        for s in self.statements:
            tensors.append(
                TABLE[s.op](xp, *(tensors[k] for k in s.operands), **s.parameters)
            )
        return tensors

    def declare(self) -> list[sg.Tensor]:
        """Return inputs for the leaves."""
        return [
            sg.input(f"x{n}", leaf.shape, "int64" if leaf.integer else self.dtype)
            for n, leaf in enumerate(self.leaves)
        ]

    def arrays(self, sizes: dict[str, int] | None = None) -> list[np.ndarray]:
        """Return values for the leaves, the same ones at each call."""
        rng, sizes = np.random.default_rng(self.seed), sizes or self.sizes
        found = []
        for leaf in self.leaves:
            shape = [sizes[s] if isinstance(s, str) else s for s in leaf.shape]
            values = (
                rng.integers(0, 5, shape) if leaf.integer else rng.normal(size=shape)
            )
            kind = "int64" if leaf.integer else self.dtype
            found.append(np.clip(values, -1.5, 4).astype(kind))
        return found


@dataclass
class _Known:
    """A tensor of the program being built, and what its values can be."""

    tensor: sg.Tensor
    bound: float
    low: float = 0.0

    @property
    def fixed(self) -> list[int]:
        """The axes whose extent is an integer."""
        return [a for a, s in enumerate(self.tensor.shape) if isinstance(s, int)]


class _Builder:
    """Draws one program, statement by statement."""

    def __init__(self, draw: Callable[..., Any]) -> None:
        self.draw = draw
        self.known: list[_Known] = []
        self.statements: list[Statement] = []

    # -- drawing ---------------------------------------------------------------------

    def number(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def one(self, items: Sequence[Any]) -> Any:
        return items[self.number(0, len(items) - 1)]

    def pick(self, fits: Callable[[_Known], bool] = lambda k: True) -> int | None:
        """Return the number of a float tensor, rather a late one; None if none fits."""
        numbers = [
            n
            for n, k in enumerate(self.known)
            if k.tensor.dtype != "int64" and k.bound <= LARGEST and fits(k)
        ]
        return self.one(numbers[-6:]) if numbers else None

    # -- adding ----------------------------------------------------------------------

    def extents(self, t: sg.Tensor) -> list[int]:
        return [evaluate(s, self.sizes) for s in t.shape]

    def elements(self, t: sg.Tensor) -> int:
        return math.prod(self.extents(t))

    def add(
        self,
        op: str,
        operands: Sequence[int],
        bound: float,
        low: float = 0.0,
        **more: Any,
    ) -> None:
        """Append a statement, and one that squashes its result where that is large."""
        tensors = [self.known[n].tensor for n in operands]
        made = TABLE[op](SYMGRAD, *tensors, **more)
        if not self.elements(made) or self.elements(made) > MOST_ELEMENTS:
            return
        self.statements.append(Statement(op, tuple(operands), more))
        self.known.append(_Known(made, bound, low))
        if bound > LARGEST:
            self.add("squash", [len(self.known) - 1], 1.0)

    # -- kinds of statements ---------------------------------------------------------

    def unary(self) -> None:
        name = self.one(list(UNARY))
        row = UNARY[name]
        n = self.pick(lambda k: k.low > 0.05 if row.positive else True)
        if n is None:
            return
        known = self.known[n]
        bound = row.bound(known.bound)
        if bound is not None:
            self.add(name, [n], bound, row.low(known.bound) if row.low else 0.0)

    def binary(self) -> None:
        name = self.one(list(BINARY))
        a = self.pick()
        shape = self.known[a].tensor.shape
        b = self.pick(lambda k: _broadcast(k.tensor.shape, shape))
        pair = [a, b] if self.draw(st.booleans()) else [b, a]
        bound = BINARY[name][1](*(self.known[n].bound for n in pair))
        self.add(name, pair, bound)

    def along(self) -> None:
        name = self.one(list(ALONG))
        n = self.pick(lambda k: k.tensor.ndim > 0)
        if n is None:
            return
        axis = self.number(0, self.known[n].tensor.ndim - 1)
        extent = self.extents(self.known[n].tensor)[axis]
        bound = ALONG[name][1](self.known[n].bound, max(extent, 5))
        self.add(name, [n], bound, axis=axis)

    def reduce(self) -> None:
        name = self.one(list(REDUCE))
        n = self.pick()
        t = self.known[n].tensor
        axes = self._axes(range(t.ndim))
        count = 5 ** len(axes)
        bound = REDUCE[name][1](self.known[n].bound, count)
        self.add(name, [n], bound, axis=axes, keepdims=self.draw(st.booleans()))

    def extreme(self) -> None:
        name = self.one(["max", "min", "where_largest"])
        n = self.pick(lambda k: bool(k.fixed))
        if n is None:
            return
        t, fixed = self.known[n].tensor, self.known[n].fixed
        more: dict[str, Any] = {"axis": self.one(fixed)}
        axes: tuple[int, ...] = (more["axis"],)
        if name != "where_largest":
            axes = self._axes(fixed) or axes
            more = {"axis": axes, "keepdims": self.draw(st.booleans())}
        shape = tuple(s if a in axes else 1 for a, s in enumerate(t.shape))
        self.add(name, [n], self.known[n].bound + 1, offsets=spread(shape), **more)

    def _axes(self, allowed: Sequence[int]) -> tuple[int, ...]:
        return tuple(a for a in allowed if self.draw(st.booleans()))

    # -- movements -------------------------------------------------------------------

    def move(self) -> None:
        n = self.pick(lambda k: k.tensor.ndim > 0)
        if n is None:
            return
        known = self.known[n]
        t, bound, low = known.tensor, known.bound, known.low
        name = self.one(
            [
                "transpose",
                "reshape",
                "flatten_last",
                "flatten",
                "getitem",
                "pad",
                "expand_dims",
                "squeeze",
                "broadcast",
                "roll",
                "tile",
                "tril",
                "take",
                "take_input",
                "window_sum",
                "halves",
            ]
        )
        axis = self.number(0, t.ndim - 1)
        extent = t.shape[axis]
        integral = len(known.fixed) == t.ndim
        match name:
            case "transpose":
                axes = self.draw(st.permutations(range(t.ndim)))
                self.add(name, [n], bound, low, axes=tuple(axes))
            case "reshape" if integral:
                shape = self.one(_factorizations(math.prod(t.shape)))
                self.add(name, [n], bound, low, shape=shape)
            case "flatten":
                self.add(name, [n], bound, low)
            case "flatten_last" if t.ndim > 1:
                self.add(name, [n], bound, low)
            case "getitem":
                key = tuple(self._key(s) for s in t.shape)
                if self.number(0, 3) == 0:
                    key = (Ellipsis, None, *key[-1:])
                self.add(name, [n], bound, low, key=key)
            case "pad":
                widths = [(self.number(0, 2), self.number(0, 2)) for _ in t.shape]
                value = self.one([0.0, 0.3719])
                self.add(name, [n], max(bound, 0.4), widths=widths, value=value)
            case "expand_dims":
                self.add(name, [n], bound, low, axis=self.number(0, t.ndim))
            case "squeeze" if extent == 1:
                self.add(name, [n], bound, low, axis=axis)
            case "broadcast":
                self.add(name, [n], bound, low, count=self.number(2, 3))
            case "roll" if isinstance(extent, int):
                self.add(name, [n], bound, low, shift=self.number(-3, 3), axis=axis)
            case "tile" if integral:
                counts = [self.number(1, 2) for _ in t.shape]
                self.add(name, [n], bound, low, counts=counts)
            case "tril" if t.ndim > 1:
                name = self.one(["tril", "triu"])
                self.add(name, [n], bound, k=self.number(-1, 1))
            case "take" if isinstance(extent, int):
                shape = self.one([(2,), (4,), (2, 3), (1,)])
                ids = [self.number(0, extent - 1) for _ in range(math.prod(shape))]
                self.add(name, [n], bound, low, ids=np.reshape(ids, shape), axis=axis)
            case "take_input" if isinstance(extent, int):
                found = [
                    i for i, k in enumerate(self.known) if k.tensor.dtype == "int64"
                ]
                if found:
                    self.add(name, [n, self.one(found)], bound, low, axis=axis)
            case "window_sum" if isinstance(extent, int) and extent > 2:
                width = self.number(2, extent - 1)
                self.add(name, [n], bound * width, low, axis=axis, width=width)
            case "halves" if isinstance(extent, int) and extent > 1:
                self.add(name, [n], max(1, bound * bound), axis=axis)

    def _key(self, extent: Any) -> Any:
        if not isinstance(extent, int):
            return self.one([slice(None), slice(None, None, -1), slice(None)])
        kind = self.number(0, 3)
        if kind == 0:
            return self.number(-extent, extent - 1)
        if kind == 1:
            return slice(None)
        start, stop = sorted((self.number(0, extent - 1), self.number(0, extent - 1)))
        if kind == 2:
            return slice(start, stop + 1, self.number(1, 2))
        return slice(stop, None if start == 0 else start - 1, -self.number(1, 2))

    def join(self) -> None:
        a = self.pick(lambda k: k.tensor.ndim > 0)
        if a is None:
            return
        t = self.known[a].tensor
        axis = self.number(0, t.ndim - 1)
        rest = _without(t.shape, axis)
        parts = [a]
        for _ in range(self.number(1, 2)):
            b = self.pick(
                lambda k: (
                    k.tensor.ndim == t.ndim and _without(k.tensor.shape, axis) == rest
                )
            )
            parts.append(b)
        bound = max(self.known[n].bound for n in parts)
        low = min(self.known[n].low for n in parts)
        if all(self.known[n].tensor.shape == t.shape for n in parts) and self.number(
            0, 1
        ):
            self.add("stack", parts, bound, low, axis=self.number(0, t.ndim))
        else:
            self.add("concat", parts, bound, low, axis=axis)

    # -- sums of products ------------------------------------------------------------

    def contract(self) -> None:
        kind = self.one(["matmul", "matmul", "einsum", "einsum", "attention", "conv"])
        if kind == "einsum":
            self._einsum()
        elif kind == "conv":
            self._conv()
        else:
            self._matmul(kind)

    def _matmul(self, kind: str) -> None:
        if kind == "matmul":
            kind = self.one(["matmul", "matmul_nt", "matmul_tn", "dense"])
        a = self.pick(lambda k: k.tensor.ndim > 1)
        if a is None:
            return
        x = self.known[a].tensor.shape
        inner = x[-2] if kind == "matmul_tn" else x[-1]
        place = -1 if kind in ("matmul_nt", "attention") else -2
        b = self.pick(
            lambda k: (
                k.tensor.ndim > 1
                and k.tensor.shape[place] == inner
                and _broadcast(k.tensor.shape[:-2], x[:-2])
            )
        )
        if b is None:
            return
        bounds = self.known[a].bound * self.known[b].bound * 5
        if kind == "attention":
            self.add(kind, [a, b, b], self.known[b].bound)
        else:
            self.add(kind, [a, b], bounds + 1)

    def _einsum(self) -> None:
        count = self.number(1, 3)
        operands = [self.pick(lambda k: k.tensor.ndim <= 3) for _ in range(count)]
        if None in operands:
            return
        letters: dict[str, Any] = {}
        texts, bound = [], 1.0
        for n in operands:
            text = ""
            for s in self.known[n].tensor.shape:
                same = [c for c, extent in letters.items() if extent == s]
                text += self.one([*same, *same, _letter(letters)])
                letters.setdefault(text[-1], s)
            texts.append(text)
            bound *= self.known[n].bound
        sizes = {
            c: s if isinstance(s, int) else self.sizes.get(str(s), 5)
            for c, s in letters.items()
        }
        if math.prod(sizes.values()) > 2000:
            return
        out = [c for c in letters if self.number(0, 1)]
        order = self.draw(st.permutations(out))
        subscripts = f"{','.join(texts)}->{''.join(order)}"
        summed = math.prod(
            5 if not isinstance(s, int) else s
            for c, s in letters.items()
            if c not in out
        )
        self.add("einsum", operands, bound * summed, subscripts=subscripts)

    def _conv(self) -> None:
        x = self.pick(lambda k: k.tensor.ndim == 3)
        if x is None:
            return
        known = self.known[x]
        length = known.tensor.shape[2]
        if not isinstance(length, int):
            return
        if self.draw(st.booleans()) and length > 1:
            window = self.number(2, min(3, length))
            offsets = spread((1, 1, length))
            more = {"window": window, "stride": self.number(1, 2)}
            self.add("max_pool", [x], known.bound + 1, offsets=offsets, **more)
            return
        w = self.pick(
            lambda k: (
                k.tensor.ndim == 3
                and k.tensor.shape[1] == known.tensor.shape[1]
                and len(k.fixed) == 3
                and k.tensor.shape[2] <= length
            )
        )
        if w is not None:
            more = {"stride": self.number(1, 2), "padding": self.number(0, 1)}
            bound = known.bound * self.known[w].bound * 25
            self.add("conv1d", [x, w], bound, **more)

    # -- the whole program -----------------------------------------------------------

    def program(self) -> RandomProgram:
        sizes = {name: self.number(1, 5) for name in ("n", "m")}
        self.sizes = sizes
        leaves = [self._leaf() for _ in range(self.number(1, 4))]
        leaves.append(Leaf(self.one([(3,), (2, 2), ()]), integer=True))
        dtype = self.one(["float64", "float64", "float64", "float32"])
        frame = RandomProgram(tuple(leaves), (), (), sizes, dtype)
        self.known = [_Known(t, 4.0) for t in frame.declare()]
        kinds = [self.unary, self.binary, self.along, self.reduce, self.extreme]
        kinds += [self.unary, self.binary, self.move, self.move, self.join]
        kinds += [self.contract, self.contract]
        for _ in range(self.number(5, 40)):
            self.one(kinds)()
        count = len(self.known)
        outputs = {count - 1} | {
            self.number(len(leaves), count - 1) if count > len(leaves) else count - 1
            for _ in range(self.number(0, 3))
        }
        outputs = {n for n in outputs if self.known[n].tensor.dtype != "int64"}
        return RandomProgram(
            tuple(leaves),
            tuple(self.statements),
            tuple(sorted(outputs)) or (0,),
            sizes,
            dtype,
            self.number(0, 3) == 0,
            self.number(0, 10**6),
        )

    def _leaf(self) -> Leaf:
        rank = self.one([1, 2, 2, 3, 3, 0])
        if self.number(0, 2) == 0:
            return Leaf(
                tuple(self.one([*range(1, 6), "n", "n", "m"]) for _ in range(rank))
            )
        return Leaf(tuple(self.one([2, 3, 4, 5, 1]) for _ in range(rank)))


def _letter(used: dict[str, Any]) -> str:
    return next(c for c in "ijklmnopqrs" if c not in used)


def _without(shape: Sequence[Any], axis: int) -> tuple[Any, ...]:
    return tuple(s for a, s in enumerate(shape) if a != axis)


def _broadcast(a: Sequence[Any], b: Sequence[Any]) -> bool:
    pairs = itertools.zip_longest(reversed(a), reversed(b), fillvalue=1)
    return all(s == r or s == 1 or r == 1 for s, r in pairs)


def _factorizations(count: int) -> list[tuple[int, ...]]:
    pairs = [(d, count // d) for d in range(1, count + 1) if count % d == 0]
    triples = [(a, d, b // d) for a, b in pairs for d in range(1, b + 1) if b % d == 0]
    return [(count,), *pairs, *triples]


@st.composite
def programs(draw: Callable[..., Any]) -> RandomProgram:
    """Return random programs of 5 to 40 statements."""
    return _Builder(draw).program()

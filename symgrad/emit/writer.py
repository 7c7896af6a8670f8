"""Write the text of one kernel: operands, nested blocks, and terms as named values.

Every term is written once, in the outermost block in which it is known: values that
depend on the row only are computed once a row, not once an element.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from symgrad.declare.dims import Size, product
from symgrad.declare.dtypes import short
from symgrad.declare.scalar import FUNCTIONS
from symgrad.declare.tensor import Tensor
from symgrad.emit.scalars import NATIVE, cost, expression, literal
from symgrad.notation.group import describe_group
from symgrad.schedule.terms import (
    Apply,
    AxisValue,
    Guarded,
    Load,
    Local,
    Number,
    SizeValue,
    Term,
)

#: Sizes up to this are written into the text; larger ones are operands, so that
#: layers of different widths share one kernel.
LARGEST_LITERAL = 16
_ARITHMETIC: tuple[str, ...] = (
    "add_fast",
    "mul_fast",
    "fma",
    "maximum",
    "minimum",
    "select",
)
_ARITHMETIC += ("floor_divide", "floor_modulo", "threefry")


@dataclass(frozen=True)
class Slot:
    """What one operand of a kernel is.

    ``kind`` is ``read`` or ``write`` (a tensor), ``size``, ``blas`` (a routine and a
    type), ``scratch`` (a type and a number of elements, for each thread its own),
    ``partial`` (a tensor's sums, for each thread its own), ``partials`` (those of all
    threads together) or ``parts`` (how many there are).
    """

    kind: str
    tensor: Tensor | None = None
    size: Size = 0
    routine: str = ""
    dtype: str = ""

    @property
    def node(self) -> Tensor:
        """The tensor, of a slot that has one."""
        assert self.tensor is not None
        return self.tensor


@dataclass
class Block:
    """Lines at one depth of loops."""

    depth: int
    lines: list[str] = field(default_factory=list)
    names: dict[Term, str] = field(default_factory=dict)


@dataclass(frozen=True)
class KernelText:
    """A kernel: its text, what its operands are, and how much one row costs."""

    text: str
    slots: tuple[Slot, ...]
    rows: Size
    cost: Size
    flops: Size
    grain: Size = 1
    serial: bool = False


class Writer:
    """Collects operands and blocks; ``ref`` gives a term's name, writing it if new."""

    def __init__(self) -> None:
        self.slots: list[Slot] = []
        self._slot_names: dict[tuple, str] = {}
        self.blocks = [Block(0)]
        self.axis_level: dict[int, int] = {}
        self.axis_text: dict[int, str] = {}
        self.locals: dict[Tensor, tuple[int, str]] = {}
        self.imports: set[str] = set()
        self.operations = 0
        self._count = 0
        self._bases: dict[tuple, str] = {}

    # -- operands --------------------------------------------------------------------

    def tensor(self, t: Tensor, write: bool = False) -> str:
        """Return the name of a tensor's memory."""
        known = self._slot_names.get(("write", id(t)))
        if known is not None:
            return known
        kind = "write" if write else "read"
        return self._slot(Slot(kind, t, dtype=t.dtype), (kind, id(t)), "xy"[write])

    def scratch(self, dtype: str, size: Size, tag: object) -> str:
        """Return the name of memory of each thread's own."""
        return self._slot(Slot("scratch", None, size, "", dtype), ("s", tag), "s")

    def partial(self, t: Tensor, dtype: str = "float64") -> str:
        """Return the name of a thread's own sums for the elements of ``t``."""
        slot = Slot("partial", t, product(t.shape), "", dtype)
        return self._slot(slot, ("partial", id(t)), "p")

    def partials(self, t: Tensor, dtype: str = "float64") -> str:
        """Return the name of the sums of all threads, one after another."""
        slot = Slot("partials", t, product(t.shape), "", dtype)
        return self._slot(slot, ("partials", id(t)), "p")

    def parts(self, t: Tensor) -> str:
        """Return the number of threads that made partial sums for ``t``."""
        return self._slot(Slot("parts", t), ("parts", id(t)), "n")

    def blas(self, routine: str, dtype: str) -> str:
        """Return the name of a BLAS routine's address."""
        slot = Slot("blas", None, 0, routine, short(dtype))
        return self._slot(slot, ("blas", routine, dtype), "blas")

    def size(self, size: Size, role: str = "") -> str:
        """Return a size as text: a literal or an operand.

        A size with a role is an operand of its own even where it equals another one,
        so that kernels for equal and for unequal sizes have the same text.
        """
        if role:
            return self._slot(Slot("size", None, size), ("size", role), "n")
        if isinstance(size, int) and abs(size) <= LARGEST_LITERAL:
            return str(size)
        return self._slot(Slot("size", None, size), ("size", size), "n")

    def _slot(self, slot: Slot, key: tuple, prefix: str) -> str:
        name = self._slot_names.get(key)
        if name is None:
            number = len(self.slots)
            name = f"{prefix}{number}"
            self.slots.append(slot)
            self._slot_names[key] = name
            if slot.kind in ("size", "blas", "parts"):
                line = f"{name} = operands[{number}]"
            else:
                access = "read" if slot.kind in ("read", "partials") else "write"
                function = f"{access}_{short(slot.dtype)}"
                self.imports.add(function)
                line = f"{name} = {function}(operands, {number})"
            self.blocks[0].lines.append(line)
        return name

    # -- blocks ----------------------------------------------------------------------

    def open(self) -> Block:
        """Open a block inside the current one."""
        block = Block(len(self.blocks))
        self.blocks.append(block)
        return block

    def close(self) -> Block:
        """Close the innermost block and return it."""
        return self.blocks.pop()

    def line(self, text: str, level: int = -1) -> None:
        """Write a line in a block (the innermost by default)."""
        self.blocks[level].lines.append(text)

    def fresh(self, prefix: str = "t") -> str:
        """Return a new name."""
        self._count += 1
        return f"{prefix}_{self._count}"

    def use(self, function: str) -> str:
        """Note that the text calls an intrinsic or libm function; return its name."""
        self.imports.add(function)
        return function

    # -- terms -----------------------------------------------------------------------

    def level(self, term: Term) -> int:
        """Return the depth of the outermost block in which a term is known."""
        match term:
            case Number() | SizeValue():
                return 0
            case AxisValue(axis=a):
                return self.axis_level[a]
            case Load(linear=linear, extra=extra):
                levels = [self.axis_level[a] for a, _ in linear]
                levels += [self.level(e) for e, _ in extra]
                written = ("write", id(term.tensor)) in self._slot_names
                return max([*levels, len(self.blocks) - 1 if written else 0], default=0)
            case Local(node=node):
                return self.locals[node][0]
            case Apply(args=args):
                return max(self.level(a) for a in args)
            case Guarded(condition=condition, value=value):
                return max(self.level(condition), self.level(value))
        raise AssertionError(term)

    def ref(self, term: Term) -> str:
        """Return the name (or literal) of a term, written where it is first known."""
        if isinstance(term, Local):
            return self.locals[term.node][1]
        if isinstance(term, AxisValue):
            return self.axis_text[term.axis]
        if isinstance(term, Number) and term.dtype in ("int64", "bool"):
            return literal(term.value, term.dtype)
        for block in self.blocks:
            if term in block.names:
                return block.names[term]
        level = min(self.level(term), len(self.blocks) - 1)
        text = self.text(term)
        name = self.fresh("c" if isinstance(term, Number) else "t")
        self.blocks[level].lines.append(f"{name} = {text}")
        self.blocks[level].names[term] = name
        return name

    def text(self, term: Term, inline: bool = False) -> str:
        """Return a term as an expression; ``inline``: with its loads inside it."""
        match term:
            case Number(value=value, dtype=dtype):
                return literal(value, dtype)
            case SizeValue(dim=dim, dtype=dtype):
                name = self.size(dim)
                return name if dtype == "int64" else f"np.{dtype}({name})"
            case Load():
                return f"{self.tensor(term.tensor)}[{self.offset(term, inline)}]"
            case Guarded(condition=condition, value=value, dtype=dtype):
                inner = self._inside(value, True)
                test = self._inside(condition, inline)
                return f"({inner} if {test} else {literal(0, dtype)})"
            case Apply(fn=fn, args=args, dtype=dtype):
                parts = [self._inside(a, inline) for a in args]
                text = expression(fn, parts, [a.dtype for a in args], dtype)
                self._note(fn, text)
                return f"({text})" if inline else text
        return self.ref(term)

    def _inside(self, term: Term, inline: bool) -> str:
        if inline and _loads(term):
            return self.text(term, True)
        return self.ref(term)

    def _note(self, fn: str, text: str) -> None:
        self.operations += cost(fn)
        for name in _CALLED.findall(text):
            if name in _ARITHMETIC or name in _LIBM:
                self.imports.add(name)

    def offset(self, load: Load, inline: bool = False) -> str:
        """Return the offset of a load as text; its outer part is computed outside."""
        inner = len(self.blocks) - 1
        outer = [(a, s) for a, s in load.linear if self.axis_level[a] < inner]
        own = [(a, s) for a, s in load.linear if self.axis_level[a] >= inner]
        parts = []
        if outer or load.constant != 0:
            parts.append(self._base(tuple(outer), load.constant))
        for a, step in own:
            parts.append(self.step(self.axis_text[a], step))
        for term, step in load.extra:
            parts.append(self.step(self._inside(term, inline), step))
        return " + ".join(parts) if parts else "0"

    def step(self, index: str, stride: Size, role: str = "") -> str:
        """Return ``index*stride`` as text."""
        return index if stride == 1 else f"{index}*{self.size(stride, role)}"

    def _base(self, linear: tuple[tuple[int, Size], ...], constant: Size) -> str:
        """Return the part of an offset that the outer loops fix, as a name."""
        if not linear:
            return self.size(constant)
        if len(linear) == 1 and constant == 0 and linear[0][1] == 1:
            return self.axis_text[linear[0][0]]
        level = max(self.axis_level[a] for a, _ in linear)
        key = (level, linear, constant)
        block = self.blocks[min(level, len(self.blocks) - 1)]
        found = block.names.get(key)  # type: ignore[call-overload]
        if found is None:
            parts = [self.step(self.axis_text[a], s) for a, s in linear]
            if constant != 0:
                parts.append(self.size(constant))
            found = self.fresh("b")
            block.lines.append(f"{found} = {' + '.join(parts)}")
            block.names[key] = found  # type: ignore[index]
        return found

    # -- the whole text ----------------------------------------------------------------

    def module(
        self,
        results: Sequence[Tensor],
        body: list[str],
        heading: list[str] | None = None,
    ) -> str:
        """Return the text of the kernel's module, headed by the formula of its results.

        The formula calls operands by the names that they have in the text.
        """
        names = {
            slot.tensor: name
            for slot, name in zip(self.slots, self._slot_names.values(), strict=True)
            if slot.tensor is not None and slot.kind in ("read", "write", "partial")
        }
        heading = heading or describe_group([t for t in results if t in names], names)
        intrinsics = sorted(n for n in self.imports if n not in _LIBM)
        libm = sorted(n for n in self.imports if n in _LIBM)
        lines = ['"""', *heading, '"""', "", "import numpy as np", ""]
        if intrinsics:
            lines += _import("symgrad.emit.intrinsics", intrinsics)
        if libm:
            lines += _import("symgrad.emit.libm", libm)
        lines += ["", "", "def kernel(operands, lo, hi):"]
        lines += ["    " + text for text in (*self.blocks[0].lines, *body)]
        return "\n".join(lines) + "\n"


def _import(module: str, names: list[str]) -> list[str]:
    inner = [f"    {n}," for n in names]
    return [f"from {module} import (", *inner, ")"]


_CALLED = re.compile(r"(\w+)\(")
_EXTRA = ("remainder", "floor", "sqrt")
_LIBM = frozenset(
    f"{fn}_{kind}"
    for fn in (*FUNCTIONS, *NATIVE, *_EXTRA)
    for kind in ("f32", "f64")
    if fn
    not in ("add", "sub", "mul", "div", "neg", "select", "fma", "maximum", "minimum")
)


def _loads(term: Term) -> bool:
    """Return True if a term reads memory where there may be none.

    An element at a fixed place of a tensor of fixed shape is there in any case.
    """
    match term:
        case Load(tensor=tensor, linear=(), extra=(), constant=constant):
            size = product(tensor.shape)
            if not isinstance(size, int) or not isinstance(constant, int):
                return True
            return not 0 <= constant < size
        case Load():
            return True
        case Apply(args=args):
            return any(_loads(a) for a in args)
        case Guarded(condition=condition, value=value):
            return _loads(condition) or _loads(value)
    return False


def indent(lines: list[str]) -> list[str]:
    """Return lines one step deeper."""
    return ["    " + line for line in lines]

"""Operations as JSON: a table with one entry for each kind of operation.

A kind of operation becomes part of the file format by an entry here: how its fields
are written (arrays go into the archive, under the name that ``Contents.put`` returns),
and how they are read.  A reader makes the node itself, by the functions that declare
it, so that no file can state a shape that its operation does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from symgrad.declare import dtypes
from symgrad.declare.build import apply
from symgrad.declare.comprehension import REDUCTIONS, Comprehension
from symgrad.declare.dims import Dim, product
from symgrad.declare.linear_algebra import LinearAlgebra
from symgrad.declare.loop import Final, Formal, Loop, Scan, Stacked, States
from symgrad.declare.ops.linalg import OPERATIONS
from symgrad.declare.tensor import (
    Constant,
    Input,
    Op,
    Param,
    Reshape,
    SizeOf,
    Tensor,
    constant,
    make,
    print_shape,
    size_of,
)
from symgrad.errors import FormatError, GraphError
from symgrad.serialize.bounds import within_bounds
from symgrad.serialize.values import (
    integer,
    items,
    read_expression,
    read_guard,
    read_index,
    read_read,
    read_size,
    text,
    write_expression,
    write_guard,
    write_index,
    write_number,
    write_read,
    write_size,
)


@dataclass
class Contents:
    """What nodes of a file refer to: arrays by name, and loops by number.

    Attributes:
        arrays: by name.
        loops: each with the nodes of its step, by which values of a step are numbered.
    """

    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    loops: dict[Loop, list[Tensor]] = field(default_factory=dict)

    def put(self, array: np.ndarray) -> str:
        """Keep an array; return its name."""
        name = f"array{len(self.arrays)}"
        self.arrays[name] = np.array(array, order="C")
        return name

    def get(self, name: Any) -> np.ndarray:
        """Return the array of a name."""
        if not isinstance(name, str) or name not in self.arrays:
            raise FormatError(f"the file has no array {name!r}")
        return self.arrays[name]

    def number(self, loop: Loop) -> int:
        """Return the number of a loop."""
        return list(self.loops).index(loop)

    def loop(self, number: Any) -> Loop:
        """Return the loop of a number."""
        if integer(number, "a loop", 0) >= len(self.loops):
            raise FormatError(f"there is no loop {number} before its use")
        return list(self.loops)[number]


@dataclass(frozen=True)
class Record:
    """A node as read: its fields, operands, shape and type."""

    fields: Mapping[str, Any]
    args: Sequence[Tensor]
    dtype: str
    contents: Contents

    def __getitem__(self, name: str) -> Any:
        if name not in self.fields:
            raise FormatError(f"the field {name!r} is missing")
        return self.fields[name]

    @property
    def shape(self) -> tuple:
        """The shape that the file states."""
        return tuple(read_size(s) for s in items(self["shape"], "a shape"))


@dataclass(frozen=True)
class Codec:
    """How one kind of operation is written and read."""

    kind: type
    write: Callable[[Any, Contents], dict[str, Any]]
    read: Callable[[Record], Tensor]
    operands: int | None = 0  # None: any number


# -- leaves ----------------------------------------------------------------------------


def _read_input(r: Record) -> Tensor:
    return make(Input(_name(r["name"])), (), r.shape, r.dtype)


def _name(data: Any) -> str:
    name = text(data, "a name")
    if not name or not name.isprintable():
        raise FormatError(f"{name!r} cannot be a name")
    return name


def _write_param(op: Param, contents: Contents) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": op.name, "trainable": op.trainable}
    start = op.init
    if isinstance(start, str):
        return fields | {"init": ["name", start]}
    if isinstance(start, bool | int | float | np.generic):
        return fields | {"init": ["number", write_number(start)]}
    if isinstance(start, np.ndarray | list | tuple):
        return fields | {"init": ["array", contents.put(np.asarray(start))]}
    what = getattr(start, "__qualname__", type(start).__name__)
    return fields | {"init": ["function", what]}


@dataclass(frozen=True)
class LostInit:
    """Stands for an initial value that was a function: files hold no code."""

    parameter: str
    function: str

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
        """Raise GraphError: there is nothing to call."""
        raise GraphError(
            f"the initial value of parameter {self.parameter!r} was the function "
            f"{self.function}, which a saved program does not hold; give its array "
            "in params="
        )


def _read_param(r: Record) -> Tensor:
    name, trainable = _name(r["name"]), r["trainable"]
    if type(trainable) is not bool:
        raise FormatError("'trainable' is true or false")
    if not all(isinstance(s, int) for s in r.shape):
        raise FormatError(f"parameter {name!r} has a dimension that is no integer")
    init: Any
    match r["init"]:
        case ["name", str(init)]:
            pass
        case ["number", number]:
            init = read_expression(number, 0, 0).value
        case ["array", array]:
            init = r.contents.get(array)
        case ["function", str(function)]:
            init = LostInit(name, function)
        case other:
            raise FormatError(f"{other!r} says no initial value")
    return make(Param(name, init, trainable), (), r.shape, r.dtype)


def _read_constant(r: Record) -> Tensor:
    return constant(r.contents.get(r["value"]))


def _read_size_of(r: Record) -> Tensor:
    dim = read_size(r["dim"])
    if not isinstance(dim, Dim) or r.dtype == "bool":
        raise FormatError("a size is that of a named dimension, and no bool")
    return size_of(dim, r.dtype)


def _read_formal(r: Record) -> Tensor:
    return make(Formal(integer(r["number"], "'number'", 0)), (), r.shape, r.dtype)


# -- others ----------------------------------------------------------------------------


def _read_reshape(r: Record) -> Tensor:
    (x,) = r.args
    have, need = product(x.shape), product(r.shape)
    if isinstance(have, int) and isinstance(need, int) and have != need:
        raise FormatError(
            f"{print_shape(x.shape)} cannot be reshaped to {print_shape(r.shape)}"
        )
    return make(Reshape(r.shape), r.args, r.shape, x.dtype)


def _read_linear_algebra(r: Record) -> Tensor:
    name = text(r["name"], "'name'")
    if name not in OPERATIONS or len(r.args) != OPERATIONS[name].operands:
        raise FormatError(f"there is no operation {name!r} of {len(r.args)} matrices")
    return OPERATIONS[name].declare(*r.args)


def _write_comprehension(c: Comprehension, contents: Contents) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "name": c.name,
        "rank": c.rank,
        "extents": [write_size(s) for s in c.extents],
        "body": write_expression(c.body),
        "reads": [write_read(r) for r in c.reads],
    }
    if c.reduce is not None:
        fields["reduce"] = c.reduce
    if c.guards:
        fields["guards"] = [write_guard(g) for g in c.guards]
    if c.target is not None:
        fields["target"] = [write_index(i) for i in c.target]
    return fields


def _read_comprehension(r: Record) -> Tensor:
    extents = tuple(read_size(s) for s in items(r["extents"], "'extents'"))
    axes, rank = len(extents), integer(r["rank"], "'rank'", 0)
    reads = tuple(
        read_read(data, number, axes, len(r.args))
        for number, data in enumerate(items(r["reads"], "'reads'"))
    )
    reduce, target = r.fields.get("reduce"), r.fields.get("target")
    if reduce is not None and reduce not in REDUCTIONS:
        raise FormatError(f"there is no reduction {reduce!r}")
    if rank > axes or (rank < axes and reduce is None):
        raise FormatError(f"{axes} axes of which {rank} are the result's: by no sum")
    guards = items(r.fields.get("guards", []), "'guards'")
    places = None if target is None else items(target, "'target'")
    c = Comprehension(
        _name(r["name"]),
        rank,
        extents,
        read_expression(r["body"], len(reads), axes),
        reads,
        reduce,
        tuple(read_guard(g, len(reads), axes) for g in guards),
        None
        if places is None
        else tuple(read_index(i, len(reads), axes) for i in places),
        None if places is None else r.shape,
    )
    return apply(within_bounds(c, r.args), r.args, r.dtype)


def _loop_of(op: Scan, contents: Contents) -> dict[str, Any]:
    return {"loop": contents.number(op.loop)}


def _write_carry(op: Final | States, contents: Contents) -> dict[str, Any]:
    return _loop_of(op, contents) | {"number": op.number}


def _write_stacked(op: Stacked, contents: Contents) -> dict[str, Any]:
    nodes = contents.loops[op.loop]
    number = next(n for n, t in enumerate(nodes) if t is op.value)
    return _loop_of(op, contents) | {"value": number}


def _read_final(r: Record) -> Tensor:
    loop = _checked_loop(r)
    carry = _element(r["number"], loop.carries, "carry")
    return make(Final(loop, r["number"]), r.args, carry.shape, carry.dtype)


def _read_states(r: Record) -> Tensor:
    loop = _checked_loop(r)
    carry = _element(r["number"], loop.carries, "carry")
    shape = (loop.length + 1, *carry.shape)
    return make(States(loop, r["number"]), r.args, shape, carry.dtype)


def _read_stacked(r: Record) -> Tensor:
    loop = _checked_loop(r)
    value = _element(r["value"], r.contents.loops[loop], "value")
    shape = (loop.length, *value.shape)
    return make(Stacked(loop, value), r.args, shape, value.dtype)


def _element(number: Any, things: Sequence[Tensor], what: str) -> Tensor:
    if integer(number, f"the number of a {what}", 0) >= len(things):
        raise FormatError(f"the loop has no {what} {number}")
    return things[number]


def _checked_loop(r: Record) -> Loop:
    """Return a record's loop, to whose formals the operands have to be fit."""
    loop = r.contents.loop(r["loop"])
    if len(r.args) != len(loop.formals):
        raise FormatError(
            f"a loop of {len(loop.formals)} arguments is given {len(r.args)}"
        )
    elements = set(loop.elements)
    for f, a in zip(loop.formals, r.args, strict=True):
        shape = (loop.length, *f.shape) if f in elements else f.shape
        if a.shape != shape or a.dtype != f.dtype:
            raise FormatError(
                f"{f.describe()} of a loop is given {a.describe()}, not "
                f"{f.dtype}{print_shape(shape)}"
            )
    return loop


_CODECS = {
    "input": Codec(Input, lambda op, _: {"name": op.name}, _read_input),
    "param": Codec(Param, _write_param, _read_param),
    "constant": Codec(
        Constant, lambda op, contents: {"value": contents.put(op.value)}, _read_constant
    ),
    "size": Codec(SizeOf, lambda op, _: {"dim": write_size(op.dim)}, _read_size_of),
    "formal": Codec(Formal, lambda op, _: {"number": op.number}, _read_formal),
    "final": Codec(Final, _write_carry, _read_final, None),
    "states": Codec(States, _write_carry, _read_states, None),
    "stacked": Codec(Stacked, _write_stacked, _read_stacked, None),
    "reshape": Codec(Reshape, lambda op, _: {}, _read_reshape, 1),
    "linear_algebra": Codec(
        LinearAlgebra, lambda op, _: {"name": op.name}, _read_linear_algebra, None
    ),
    "comprehension": Codec(
        Comprehension, _write_comprehension, _read_comprehension, None
    ),
}
_NAMES = {codec.kind: name for name, codec in _CODECS.items()}


def write_operation(op: Op, contents: Contents) -> dict[str, Any]:
    """Return an operation as JSON.

    Raises:
        GraphError: files have no form for it.
    """
    name = _NAMES.get(type(op))
    if name is None:
        kind = type(op).__name__.lower()
        raise GraphError(f"a program with the operation {kind} cannot be saved yet")
    return {"op": name, **_CODECS[name].write(op, contents)}


def read_operation(r: Record) -> Tensor:
    """Return the node that a record says.

    Raises:
        FormatError: a field is missing or is not as it has to be.
    """
    codec = _CODECS.get(text(r["op"], "'op'"))
    if codec is None:
        raise FormatError(f"there is no operation {r['op']!r}")
    if codec.operands is not None and len(r.args) != codec.operands:
        raise FormatError(f"{r['op']} of {len(r.args)} operands, not {codec.operands}")
    node = codec.read(r)
    if node.shape != r.shape or node.dtype != dtypes.canonical(r.dtype):
        raise FormatError(
            f"it is stated to be {r.dtype}{print_shape(r.shape)}, but is "
            f"{node.dtype}{print_shape(node.shape)}"
        )
    return node

"""Tensors: the immutable, hash-consed nodes of the graph.

A node is an operation applied to nodes.  Nodes built of equal parts are one object, so
a common subexpression never exists twice.  Inputs and parameters are the exception:
each call of ``sg.input`` or ``sg.param`` makes a new leaf, so that two models with
equal names never meet.
"""

from __future__ import annotations

import contextlib
import contextvars
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from symgrad.declare import dtypes
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.dims import Dim, Size, named, product
from symgrad.declare.linear_algebra import LinearAlgebra
from symgrad.declare.loop import Formal, Scan
from symgrad.errors import DTypeError, GraphError, ShapeError

Shape = tuple[Size, ...]


@dataclass(frozen=True, eq=False)
class Input:
    """A leaf whose value is given at each call."""

    name: str


@dataclass(frozen=True, eq=False)
class Param:
    """A leaf whose value is kept between calls; ``init`` says how it starts."""

    name: str
    init: Any = "glorot_uniform"
    trainable: bool = True
    following: Any = field(default=None, repr=False)  # see ``mode.state``


@dataclass(frozen=True)
class Constant:
    """A leaf with a fixed value (C-contiguous, read only)."""

    value: np.ndarray = field(compare=False)
    key: tuple


@dataclass(frozen=True)
class SizeOf:
    """A scalar leaf: the value of a dimension at run time."""

    dim: Dim


@dataclass(frozen=True)
class Reshape:
    """The elements of the operand in row-major order, in another shape."""

    shape: Shape


Leaf = Input | Param | Constant | SizeOf | Formal
Op = Comprehension | Leaf | Reshape | LinearAlgebra | Scan

#: Filled by ``symgrad.declare.ops``: what the operators and methods of a tensor call.
OPERATORS: dict[str, Callable[..., Any]] = {}
#: Filled by ``symgrad.declare.ops``: NumPy function name -> function on tensors.
NUMPY_FUNCTIONS: dict[str, Callable[..., Any]] = {}

_scope: contextvars.ContextVar[str] = contextvars.ContextVar("scope", default="")
_interned: weakref.WeakValueDictionary[tuple, Tensor] = weakref.WeakValueDictionary()


@contextlib.contextmanager
def scope(name: str) -> Iterator[str]:
    """Group the nodes made inside: in pictures, reports and parameter names.

    >>> import symgrad as sg
    >>> with sg.scope("layer1"):
    ...     W = sg.param("W", (2, 3))
    >>> W.name
    'layer1/W'
    """
    if not isinstance(name, str) or not name:
        raise GraphError(f"a scope needs a non-empty name, not {name!r}")
    token = _scope.set(f"{_scope.get()}/{name}" if _scope.get() else name)
    try:
        yield _scope.get()
    finally:
        _scope.reset(token)


@contextlib.contextmanager
def exact_scope(path: str) -> Iterator[None]:
    """Make the nodes inside as members of the scope with this whole path."""
    token = _scope.set(path)
    try:
        yield
    finally:
        _scope.reset(token)


class Tensor:
    """A node of the graph: ``op`` applied to ``args``; never changed once made.

    Attributes:
        op: the operation (a comprehension, a leaf or a reshape).
        args: the operands.
        shape: a tuple of integers and named dimensions.
        dtype: the name of the element type, e.g. ``"float32"``.
        scope: the path of scopes in which the node was first made.
    """

    __slots__ = ("__weakref__", "args", "dtype", "op", "scope", "shape")
    op: Op
    args: tuple[Tensor, ...]
    shape: Shape
    dtype: str
    scope: str
    __array_priority__ = 1000

    def __setattr__(self, name: str, value: object) -> None:
        raise GraphError(
            f"a tensor cannot be changed (attribute {name!r}); build a new one from it"
        )

    @property
    def name(self) -> str | None:
        """The name of an input or parameter; None for other nodes."""
        return self.op.name if isinstance(self.op, Input | Param) else None

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> Size:
        """The number of elements."""
        return product(self.shape)

    def describe(self) -> str:
        """Return a short phrase that identifies the node in a message."""
        kind = self.name or op_name(self.op)
        where = f" in scope {self.scope!r}" if self.scope and not self.name else ""
        return f"{kind!r} {self.dtype}{print_shape(self.shape)}{where}"

    def __repr__(self) -> str:
        return f"<Tensor {self.describe()}>"

    def __str__(self) -> str:
        return str(OPERATORS["formula"](self))

    def __bool__(self) -> bool:
        raise GraphError(
            f"{self.describe()} has no truth value while the graph is declared; write "
            "sg.where(condition, a, b) in place of if, & | ~ in place of and, or, not; "
            "an argument of sg.jit that decides in Python goes into static_argnums"
        )

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape or not isinstance(self.shape[0], int):
            raise GraphError(
                f"{self.describe()} cannot be iterated over; use sg.sum, sg.scan or "
                "indexing along the axis instead"
            )
        return (self[i] for i in range(self.shape[0]))

    def __len__(self) -> int:
        if not self.shape or not isinstance(self.shape[0], int):
            raise GraphError(
                f"{self.describe()} has no length known at declaration; use .shape[0]"
            )
        return self.shape[0]

    def __float__(self) -> float:
        raise GraphError(
            f"{self.describe()} has no value yet: compile it and call the program; an "
            "argument of sg.jit that Python needs as a number goes into static_argnums"
        )

    __int__ = __index__ = __complex__ = __float__

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise GraphError(
            f"{self.describe()} cannot become a NumPy array: it has no value until a "
            "program computes it; use the function of symgrad with the same name"
        )

    def __array_ufunc__(
        self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any
    ) -> Any:
        return _numpy_call(ufunc.__name__, method == "__call__", inputs, kwargs)

    def __array_function__(
        self, func: Any, types: Any, args: tuple, kwargs: dict
    ) -> Any:
        name = f"{func.__module__}.{func.__name__}".removeprefix("numpy.")
        return _numpy_call(name, True, args, kwargs)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise GraphError(f"{self.describe()} cannot be changed; use where or concat")

    def __getitem__(self, key: Any) -> Tensor:
        return OPERATORS["getitem"](self, key)

    @property
    def T(self) -> Tensor:
        """The transpose of a matrix."""
        if self.ndim != 2:
            raise ShapeError(
                f"{self.describe()} has {self.ndim} dimensions; .T needs 2: use .mT or "
                "sg.permute_dims"
            )
        return self.mT

    @property
    def mT(self) -> Tensor:
        """The tensor with its last two dimensions exchanged."""
        return OPERATORS["matrix_transpose"](self)


def _numpy_call(name: str, plain: bool, args: tuple, kwargs: dict) -> Any:
    function = NUMPY_FUNCTIONS.get(name)
    if function is None or not plain or kwargs.get("out") is not None:
        raise GraphError(
            f"np.{name} cannot be used on a tensor in this way; see dir(symgrad) for "
            "the functions that build graphs"
        )
    return function(*args, **kwargs)


def _binary(name: str, swap: bool = False) -> Callable[[Tensor, Any], Any]:
    def method(self: Tensor, other: Any) -> Any:
        return OPERATORS[name](*((other, self) if swap else (self, other)))

    return method


def _method(name: str) -> Callable[..., Any]:
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        return OPERATORS[name](self, *args, **kwargs)

    return method


for _symbol, _name in {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "pow",
    "matmul": "matmul",
    "and": "logical_and",
    "or": "logical_or",
    "xor": "logical_xor",
}.items():
    setattr(Tensor, f"__{_symbol}__", _binary(_name))
    setattr(Tensor, f"__r{_symbol}__", _binary(_name, swap=True))
for _symbol, _name in {
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
}.items():
    setattr(Tensor, f"__{_symbol}__", _binary(_name))
_METHODS = (
    "sum mean prod max min argmax argmin any all var std astype reshape permute_dims "
    "squeeze expand_dims broadcast_to"
)
for _symbol, _name in {
    "__neg__": "negative",
    "__pos__": "positive",
    "__invert__": "logical_not",
    "__abs__": "abs",
    **{name: name for name in _METHODS.split()},
    "transpose": "permute_dims",
}.items():
    setattr(Tensor, _symbol, _method(_name))


def _equality(name: str) -> Callable[[Tensor, Any], Any]:
    """Return ``==`` or ``!=``: elementwise on tensors and numbers."""

    def method(self: Tensor, other: Any) -> Any:
        if isinstance(other, Tensor | int | float | np.ndarray | np.generic):
            return OPERATORS[name](self, other)
        return NotImplemented

    return method


# Nodes compare elementwise, as arrays do; the compiler itself compares identity.
Tensor.__eq__ = _equality("equal")  # type: ignore[method-assign, assignment]
Tensor.__ne__ = _equality("not_equal")  # type: ignore[method-assign, assignment]
Tensor.__hash__ = object.__hash__  # type: ignore[method-assign]


def make(op: Op, args: Sequence[Tensor], shape: Shape, dtype: str) -> Tensor:
    """Return the node with these parts (the existing one if there is one)."""
    if isinstance(op, Input | Param):
        return _new(op, tuple(args), shape, dtype)
    key = (op, tuple(id(a) for a in args), shape, dtype)
    found = _interned.get(key)
    if found is None:
        found = _new(op, tuple(args), shape, dtype)
        _interned[key] = found
    return found


def _new(op: Op, args: tuple[Tensor, ...], shape: Shape, dtype: str) -> Tensor:
    node = object.__new__(Tensor)
    parts = (("op", op), ("args", args), ("shape", shape), ("dtype", dtype))
    for name, value in (*parts, ("scope", _scope.get())):
        object.__setattr__(node, name, value)
    return node


# -- leaves --------------------------------------------------------------------------


def input(
    name: str, shape: Iterable[int | str | Size], dtype: object = "float32"
) -> Tensor:
    """Declare a value that is given at each call.

    Args:
        name: how a program's arguments and messages call it.
        shape: one integer or name for each dimension; a name stands for any size.
        dtype: float32 (default), float64, int32, int64 or bool.

    Raises:
        ShapeError: a dimension is neither a non-negative integer nor a name.
        DTypeError: the type is not supported.

    >>> input("x", ("batch", 64))
    <Tensor 'x' float32[batch, 64]>
    """
    op = Input(_check_name(name))
    return make(op, (), as_shape(shape, name), dtypes.canonical(dtype))


def param(
    name: str,
    shape: Iterable[int],
    init: Any = "glorot_uniform",
    trainable: bool = True,
    dtype: object = "float32",
) -> Tensor:
    """Declare a value that is kept between calls and, if trainable, learned.

    Args:
        name: prefixed with the current scope (``layer1/W``).
        shape: integers.
        init: a name (``glorot_uniform``, ``zeros``, …), a number, an array of this
            shape, or a function of a NumPy generator and the shape.
        trainable: False freezes it: no gradient is derived, computed or stored.
        dtype: float32 (default) or float64.

    Raises:
        ShapeError: a dimension is not a non-negative integer.

    >>> param("W", (64, 10), init="zeros")
    <Tensor 'W' float32[64, 10]>
    """
    sizes = as_shape(shape, name)
    if not all(isinstance(s, int) for s in sizes):
        raise ShapeError(
            f"parameter {name!r} has shape {print_shape(sizes)}; its dimensions must "
            "be integers, because its values are stored"
        )
    path = f"{_scope.get()}/{name}" if _scope.get() else name
    _check_name(name)
    return make(Param(path, init, trainable), (), sizes, dtypes.canonical(dtype))


def constant(value: Any, dtype: object = None) -> Tensor:
    """Return a tensor with a fixed value.

    >>> constant([[1.0, 2.0]])
    <Tensor 'constant' float32[1, 2]>
    """
    if isinstance(value, Tensor):
        return value
    try:
        array = np.asarray(value)
    except ValueError:
        raise ShapeError(
            "a constant is made of rows of equal lengths; these differ"
        ) from None
    if array.dtype.kind not in "fiub":
        raise DTypeError(
            f"a constant holds numbers, not {type(value).__name__} of {array.dtype}"
        )
    if dtype is None and not isinstance(value, np.ndarray | np.generic):
        dtype = dtypes.weak(array.flat[0].item(), None) if array.size else "float32"
        if array.dtype.kind == "f":
            dtype = dtypes.DEFAULT_FLOAT
    kind = dtypes.canonical(array.dtype if dtype is None else dtype)
    array = np.array(array, kind, order="C")  # a copy: nobody can change it
    array.flags.writeable = False
    op = Constant(array, (array.tobytes(), array.shape, kind))
    return make(op, (), array.shape, kind)


def as_tensor(value: Any, beside: str | None = None) -> Tensor:
    """Return ``value`` as a node; a Python number takes the type ``beside``."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, Dim):
        return size_of(value, beside)
    if isinstance(value, bool | int | float):
        return constant(dtypes.number(value, dtypes.weak(value, beside)))
    if isinstance(value, np.ndarray | np.generic | list | tuple):
        return constant(value)
    raise DTypeError(
        f"{value!r} of type {type(value).__name__} cannot be part of a graph; give a "
        "tensor, a number or a NumPy array"
    )


def size_of(size: Size, beside: str | None = None) -> Tensor:
    """Return a size as a scalar; a named one gets its value when the program runs."""
    dtype = beside if beside and beside != "bool" else "int64"
    if isinstance(size, int):
        return constant(np.asarray(size, dtype))
    return make(SizeOf(size), (), (), dtype)


def scalar_value(node: Tensor) -> bool | int | float | None:
    """Return the number that a scalar constant holds, or None."""
    if isinstance(node.op, Constant) and node.op.value.ndim == 0:
        return node.op.value.item()
    return None


# -- shapes and printing ---------------------------------------------------------------


def as_shape(shape: Any, what: str = "shape") -> Shape:
    """Return a checked shape; strings become named dimensions."""
    if isinstance(shape, str) or not isinstance(shape, Iterable):
        shape = (shape,)
    sizes: list[Size] = []
    for s in shape:
        if isinstance(s, str) and s.isidentifier():
            sizes.append(named(s))
        elif isinstance(s, Dim):
            sizes.append(s)
        elif isinstance(s, int | np.integer) and not isinstance(s, bool) and s >= 0:
            sizes.append(int(s))
        else:
            raise ShapeError(
                f"{what!r}: {s!r} is not a dimension; give a non-negative integer or a "
                "name such as 'batch'"
            )
    return tuple(sizes)


def print_shape(shape: Shape) -> str:
    """Return ``[batch, 64]``."""
    return f"[{', '.join(map(str, shape))}]"


def op_name(op: Op) -> str:
    """Return the word by which pictures and printed graphs call an operation."""
    if isinstance(op, Comprehension | Input | Param | LinearAlgebra | Formal | Scan):
        return op.name
    if isinstance(op, SizeOf):
        return str(op.dim)
    return type(op).__name__.lower()


def _check_name(name: str) -> str:
    if not isinstance(name, str) or not name or not name.isprintable():
        raise GraphError(
            f"a name is a non-empty printable string, not {name!r}; for example 'x'"
        )
    return name


def topological(outputs: Iterable[Tensor]) -> list[Tensor]:
    """Return every node that the outputs depend on, operands before their users."""
    order: list[Tensor] = []
    seen: set[int] = set()
    stack: list[tuple[Tensor, bool]] = [(t, False) for t in reversed(list(outputs))]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack += [(a, False) for a in reversed(node.args) if id(a) not in seen]
    return order

"""Arguments: what may be given to a transformed function, and what it is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from symgrad.declare import dtypes
from symgrad.declare.tensor import Tensor
from symgrad.errors import DTypeError, GraphError
from symgrad.transforms.trees import flatten, paths

#: Python's numbers, and the type that each takes where no array says another one.
NUMBERS = {bool: "bool", int: "int64", float: "float64"}
Leaf = Tensor | np.ndarray | bool | int | float


def positional_names(fun: Callable[..., Any], count: int) -> list[str]:
    """Return the names of a function's first ``count`` positional arguments.

    >>> positional_names(lambda x, *rest: x, 3)
    ['x', 'rest[0]', 'rest[1]']
    """
    try:
        parameters = list(inspect.signature(fun).parameters.values())
    except (TypeError, ValueError):  # a builtin
        parameters = []
    names: list[str] = []
    for p in parameters:
        if p.kind is p.VAR_POSITIONAL:
            names += [f"{p.name}[{n}]" for n in range(count - len(names))]
        elif p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
            names.append(p.name)
    names += [f"argument{n}" for n in range(len(names), count)]
    return names[:count]


def leaf_names(
    names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> list[str]:
    """Return a name for each leaf of ``(args, kwargs)``, e.g. ``params['w']``."""
    found: list[str] = []
    for name, value in zip(names, args, strict=True):
        found += paths(flatten(value)[1], name)
    for name in sorted(kwargs):
        found += paths(flatten(kwargs[name])[1], name)
    return found


def as_leaf(value: Any, name: str) -> Leaf:
    """Return a tensor, an array, or a Python number; anything else is an error."""
    if isinstance(value, Tensor | np.ndarray):
        return value
    if type(value) in NUMBERS:
        return value
    known = isinstance(value, np.generic) or hasattr(value, "__array__")
    if not known and not hasattr(value, "__dlpack__"):
        raise DTypeError(
            f"the argument {name} is a {type(value).__name__}, not an array; mark it "
            "with static_argnums in sg.jit if it is a constant, or register its class "
            "with sg.register_pytree if it holds arrays"
        )
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DTypeError(
            f"the argument {name} ({type(value).__name__}) does not give its values: "
            f"{error}"
        ) from error


def element_types(leaves: Sequence[Leaf], names: Sequence[str]) -> list[str]:
    """Return the element type of each leaf.

    A Python number is weak: it takes the type of the arrays beside it.

    Raises:
        DTypeError: an array's type is not supported, naming the argument.

    >>> element_types([np.ones(2, np.float32), 2.0], ["x", "a"])
    ['float32', 'float32']
    >>> element_types([2.0, 3], ["a", "n"])
    ['float64', 'int64']
    """
    known = [
        None if type(leaf) in NUMBERS else _array_type(leaf, name)
        for leaf, name in zip(leaves, names, strict=True)
    ]
    return [
        dtype or _weak(type(leaf), [k for k in known if k])
        for dtype, leaf in zip(known, leaves, strict=True)
    ]


def _array_type(leaf: Any, name: str) -> str:
    dtype = leaf.dtype if isinstance(leaf, Tensor) else leaf.dtype.name
    if dtype not in dtypes.ALL:
        raise DTypeError(
            f"the argument {name} is {dtype}, which is not among {dtypes.ALL}; convert "
            "it with .astype"
        )
    return dtype


def _weak(kind: type, arrays: Sequence[str]) -> str:
    family = {float: dtypes.FLOATS, int: dtypes.INTEGERS}.get(kind, ())
    alike = [dtype for dtype in arrays if dtype in family]
    return dtypes.promote(*alike) if alike else NUMBERS[kind]


def check_argnums(
    what: str, argnums: int | Sequence[int], count: int
) -> tuple[int, ...]:
    """Return the non-negative positions of the arguments to differentiate.

    Raises:
        GraphError: there is no such argument, or it is listed twice.
    """
    listed = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for n in listed:
        if not isinstance(n, int) or not -count <= n < count:
            raise GraphError(
                f"{what}: argnums={argnums!r}, but the function was called with "
                f"{count} positional argument(s)"
            )
    found = tuple(n % count for n in listed)
    if len(set(found)) != len(found):
        raise GraphError(f"{what}: argnums={argnums!r} names an argument twice")
    return found


def as_key(axes: Any) -> Any:
    """Return what is equal, and has a hash, for equal trees of integers."""
    leaves, tree = flatten(axes)
    return tuple(leaves), tree

"""Names of layers: the given one, or a number that follows from the graph itself.

A layer's parameters live in a scope of its own.  Without a name, the scope is the
layer's kind, numbered by what its operands come from: the second linear layer of a
chain is ``linear_1``.  Nothing is counted outside the graph, so that a model declared
twice has the same names twice.  Layers side by side, which do not depend on each other,
get one name and need ``name=``; compiling them together says so.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from symgrad.declare.dims import Size
from symgrad.declare.tensor import Tensor, scope
from symgrad.errors import ShapeError


@contextlib.contextmanager
def layer(kind: str, name: str | None, *operands: Tensor) -> Iterator[str]:
    """Open the scope of a layer; give its whole path.

    >>> import symgrad as sg
    >>> x = sg.input("x", ("n", 3))
    >>> sg.nn.linear(sg.nn.linear(x, 3), 3).scope
    'linear_1'
    """
    with scope(kind if name is None else name) as path:
        pass
    if name is None:
        number = 1 + max((_numbers(path, operands)), default=-1)
        name = f"{kind}_{number}" if number else kind
    with scope(name) as path:
        yield path


def _numbers(path: str, operands: tuple[Tensor, ...]) -> Iterator[int]:
    """Yield the numbers of the scopes ``path``, ``path_1``, … next below operands.

    What is below such a scope has a smaller number, so the search ends there.
    """
    numbered = re.compile(re.escape(path) + r"(?:_(\d+))?(?:/|$)")
    seen: set[int] = set()
    stack = list(operands)
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        found = numbered.match(node.scope)
        if found:
            yield int(found[1] or 0)
        else:
            stack += node.args


def width(what: str, t: Tensor, axis: int = -1) -> int:
    """Return the size of a dimension that parameters depend on.

    Raises:
        ShapeError: there is no such dimension, or its size is not known.
    """
    size: Size | None = t.shape[axis] if -t.ndim <= axis < t.ndim else None
    if not isinstance(size, int):
        raise ShapeError(
            f"{what}: dimension {axis} of {t.describe()} must be an integer, because "
            "parameters are made for it; a name may stand for the others"
        )
    return size


def check_count(what: str, value: object) -> int:
    """Return a size given by the user, an integer of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ShapeError(f"{what} is an integer of at least 1, not {value!r}")
    return value

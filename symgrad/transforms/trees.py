"""Trees: nested containers of arrays, as arguments and results of functions.

Tuples, named tuples, lists and dicts are trees of their items, ``None`` is a tree
without leaves, and classes can be registered.  Everything else is a leaf.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from symgrad.errors import GraphError

C = TypeVar("C", bound=type)


class Tree(NamedTuple):
    """The structure of a value: its container's type, and those of the children.

    ``kind`` is None for a leaf.  ``meta`` is what, beside the children, rebuilds the
    container: the keys of a dict, the constant fields of a registered class.
    """

    kind: type | None
    meta: Hashable = None
    children: tuple[Tree, ...] = ()

    @property
    def leaves(self) -> int:
        """The number of leaves."""
        if self.kind is None:
            return 1
        return sum(child.leaves for child in self.children)


class _Container(NamedTuple):
    """How a registered class is taken apart, its parts named, and rebuilt."""

    apart: Callable[[Any], tuple[Sequence[Any], Hashable]]
    names: Callable[[Hashable, int], list[str]]
    rebuild: Callable[[Hashable, list[Any]], Any]


LEAF = Tree(None)
_NONE = Tree(type(None))
_registered: dict[type, _Container] = {}


def register_pytree(
    cls: C,
    flatten: Callable[[Any], tuple[Sequence[Any], Hashable]],
    unflatten: Callable[[Hashable, list[Any]], Any],
) -> C:
    """Make a class a tree: a container of arrays for every transform.

    Args:
        cls: the class.
        flatten: from an instance to ``(children, meta)``; ``meta`` is hashable, and a
            function is traced again where it differs.
        unflatten: from ``meta`` and the list of children to an instance.

    >>> class Point:
    ...     def __init__(self, x, y):
    ...         self.x, self.y = x, y
    >>> _ = register_pytree(
    ...     Point, lambda p: ((p.x, p.y), None), lambda _, parts: Point(*parts)
    ... )
    >>> import symgrad as sg
    >>> float(sg.grad(lambda p: p.x * p.y)(Point(2.0, 3.0)).x)
    3.0
    """
    _registered[cls] = _Container(
        flatten, lambda _, count: [f"[{n}]" for n in range(count)], unflatten
    )
    return cls


def register_dataclass(cls: C, meta_fields: Iterable[str] = ()) -> C:
    """Make a dataclass a tree of its fields; can be used as a decorator.

    Args:
        cls: the dataclass.
        meta_fields: the fields that hold no arrays; they are constants to a trace.

    Raises:
        GraphError: ``cls`` is no dataclass, or has no such field.

    >>> import dataclasses
    >>> @register_dataclass
    ... @dataclasses.dataclass
    ... class Line:
    ...     slope: float
    ...     offset: float
    >>> import symgrad as sg
    >>> at_two = sg.grad(lambda line: line.slope * 2.0 + line.offset)
    >>> float(at_two(Line(3.0, 1.0)).slope)
    2.0
    """
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise GraphError(f"{cls!r} is no dataclass; use sg.register_pytree")
    names = [f.name for f in dataclasses.fields(cls)]
    meta = list(meta_fields)
    for name in meta:
        if name not in names:
            raise GraphError(f"{cls.__name__} has no field {name!r} (meta_fields)")
    parts = [name for name in names if name not in meta]

    def apart(value: Any) -> tuple[list[Any], Hashable]:
        children = [getattr(value, name) for name in parts]
        return children, tuple(getattr(value, name) for name in meta)

    def rebuild(constants: Any, children: list[Any]) -> Any:
        fields = dict(zip(parts, children, strict=True))
        return cls(**fields, **dict(zip(meta, constants, strict=True)))

    _registered[cls] = _Container(
        apart, lambda *_: [f".{name}" for name in parts], rebuild
    )
    return cls


def flatten(value: Any) -> tuple[list[Any], Tree]:
    """Return the leaves of a tree in order, and its structure.

    >>> flatten({"b": 1.0, "a": (2.0, None)})[0]
    [2.0, 1.0]
    """
    leaves: list[Any] = []
    return leaves, _walk(value, leaves)


def _walk(value: Any, leaves: list[Any]) -> Tree:
    apart = _apart(value)
    if apart is None:
        leaves.append(value)
        return LEAF
    kind, meta, children = apart
    if kind is type(None):
        return _NONE
    return Tree(kind, meta, tuple([_walk(child, leaves) for child in children]))


def _apart(value: Any) -> tuple[type, Hashable, Sequence[Any]] | None:
    """Return a container's type, meta data and children; None for a leaf."""
    kind = type(value)
    if value is None or kind is tuple or kind is list:
        return kind, None, value or ()
    if kind is dict or kind is OrderedDict:
        keys = tuple(value) if kind is OrderedDict else _sorted(value)
        return kind, keys, [value[k] for k in keys]
    if kind in _registered:
        children, meta = _registered[kind].apart(value)
        return kind, meta, children
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return kind, None, value
    return None


def collect(tree: Tree, value: Any, leaves: list[Any]) -> bool:
    """Append the leaves of a value to a list; False if it has another structure.

    It costs less than ``flatten``.  What stands at a leaf's place is not looked at.
    """
    kind: Any = tree.kind
    meta: Any = tree.meta
    if kind is None:
        leaves.append(value)
        return True
    if type(value) is not kind:
        return False
    parts: Any = value
    if kind is dict:
        parts = [value[key] for key in meta if key in value]
        if len(value) != len(meta):
            return False
    elif kind is not tuple and kind is not list:
        found = _apart(value)
        if found is None or found[1] != meta:
            return False
        parts = found[2]
    if len(parts) != len(tree.children):
        return False
    for part, child in zip(parts, tree.children, strict=True):
        if child is LEAF:
            leaves.append(part)
        elif not collect(child, part, leaves):
            return False
    return True


def _sorted(keys: Iterable[Any]) -> tuple[Any, ...]:
    try:
        return tuple(sorted(keys))
    except TypeError:  # keys of several types
        return tuple(sorted(keys, key=lambda k: (type(k).__name__, repr(k))))


def unflatten(tree: Tree, leaves: Iterable[Any]) -> Any:
    """Return the value of this structure with these leaves."""
    return _rebuild(tree, iter(leaves))


def _rebuild(tree: Tree, leaves: Iterator[Any]) -> Any:
    kind = tree.kind
    if kind is None:
        return next(leaves)
    if kind is type(None):
        return None
    parts = [_rebuild(child, leaves) for child in tree.children]
    if kind is tuple or kind is list:
        return kind(parts)
    if kind is dict or kind is OrderedDict:
        return kind(zip(tree.meta, parts, strict=True))  # type: ignore[call-overload]
    if kind in _registered:
        return _registered[kind].rebuild(tree.meta, parts)
    return kind(*parts)  # a named tuple


def paths(tree: Tree, root: str) -> list[str]:
    """Return how each leaf is written in Python.

    >>> paths(flatten({"w": (1.0, 2.0)})[1], "params")
    ["params['w'][0]", "params['w'][1]"]
    """
    if tree.kind is None:
        return [root]
    found: list[str] = []
    for name, child in zip(_names(tree), tree.children, strict=True):
        found += paths(child, root + name)
    return found


def _names(tree: Tree) -> list[str]:
    kind: Any = tree.kind
    if kind in _registered:
        return _registered[kind].names(tree.meta, len(tree.children))
    if isinstance(tree.meta, tuple):
        return [f"[{key!r}]" for key in tree.meta]
    if hasattr(kind, "_fields"):
        return [f".{field}" for field in kind._fields]
    return [f"[{n}]" for n in range(len(tree.children))]


def spread(prefix: Any, tree: Tree, what: str) -> list[Any]:
    """Return one value for each leaf of ``tree`` from a prefix of the structure.

    Where the prefix has an integer or None, it counts for everything below.

    Raises:
        GraphError: the prefix has another structure.

    >>> spread((0, None), flatten(((1.0, 2.0), 3.0))[1], "in_axes")
    [0, 0, None]
    """
    if prefix is None or isinstance(prefix, int):
        return [prefix] * tree.leaves
    apart = _apart(prefix)
    kinds = {apart[0], tree.kind} if apart else set()
    alike = len(kinds) == 1 or kinds == {list, tuple}
    fits = apart is not None and alike and len(apart[2]) == len(tree.children)
    if apart is None or not fits or (apart[1] != tree.meta and apart[0] is dict):
        raise GraphError(
            f"{what}={prefix!r} does not fit a tree of the form {show(tree)}; give an "
            "integer, None, or a tree of them"
        )
    parts = zip(apart[2], tree.children, strict=True)
    return [leaf for part, child in parts for leaf in spread(part, child, what)]


def show(tree: Tree) -> str:
    """Return the structure as text, a star for each leaf."""
    if tree.kind is None:
        return "*"
    parts = [show(child) for child in tree.children]
    if tree.kind is type(None):
        return "None"
    if tree.kind is list:
        return f"[{', '.join(parts)}]"
    if tree.kind is tuple:
        return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
    named = [f"{n}: {p}" for n, p in zip(_names(tree), parts, strict=True)]
    return f"{tree.kind.__name__}({', '.join(named)})"

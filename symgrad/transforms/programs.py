"""Transformed functions: compiled for arrays, inlined into graphs for tensors."""

from __future__ import annotations

import inspect
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from functools import update_wrapper
from types import MethodType
from typing import TYPE_CHECKING, Any

import numpy as np

from symgrad.declare.mode import in_mode
from symgrad.declare.tensor import Input, Param, Tensor, input, topological
from symgrad.errors import GraphError
from symgrad.transforms import tracing
from symgrad.transforms.arguments import (
    NUMBERS,
    as_leaf,
    element_types,
    leaf_names,
    positional_names,
)
from symgrad.transforms.trees import LEAF, Tree, collect, flatten, unflatten

if TYPE_CHECKING:
    from symgrad.run.program import Program

#: How many compiled programs are kept; of more, the least recently used one goes.
MOST_PROGRAMS = 256


class Compiled:
    """The program of a function for one structure, shapes and types of arguments."""

    def __init__(
        self,
        program: Program,
        tree: Tree,
        leaves: Sequence[Any],
        kinds: Sequence[str],
        result: Tree,
    ) -> None:
        self.program, self.tree, self.kinds, self.result = program, tree, kinds, result
        args, kwargs = tree.children
        self._numbers = [
            (n, type(v), kind)
            for n, (v, kind) in enumerate(zip(leaves, kinds, strict=True))
            if type(v) in NUMBERS
        ]
        # where each argument is one array, and none is given by name
        plain = not kwargs.children and all(a is LEAF for a in args.children)
        self._plain = plain and not self._numbers
        self.single = result is LEAF

    def attempt(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Return the program's outputs if the arguments are just like before."""
        if self._plain:
            if kwargs:
                return None
            found = self.program.quick(*args)
            return self.program.on_exact(args) if found is None else found
        leaves: list[Any] = []
        if not collect(self.tree, (args, kwargs), leaves):
            return None
        for n, number, kind in self._numbers:
            if type(leaves[n]) is not number:
                return None
            leaves[n] = np.array(leaves[n], kind)
        return self.program.on_exact(tuple(leaves))

    def run(self, leaves: Sequence[Any]) -> Any:
        """Return the function's result for leaves of these shapes and types."""
        arrays = [
            np.array(v, kind) if type(v) in NUMBERS else v
            for v, kind in zip(leaves, self.kinds, strict=True)
        ]
        return self.rebuilt(self.program(*arrays))

    def rebuilt(self, found: Any) -> Any:
        """Return the program's outputs in the structure of the function's result."""
        return found if self.single else unflatten(self.result, found)


class Cache:
    """The compiled programs of all functions, the least recently used one first."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._entries: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return the entry of ``key``, made if there is none."""
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
                return found
        made = make()
        with self._lock:
            self._entries[key] = made
            while len(self._entries) > self.most:
                self._entries.popitem(last=False)
        return made


PROGRAMS = Cache(MOST_PROGRAMS)


class Key:
    """What identifies a transform of a function; its hash is computed once."""

    __slots__ = ("_hash", "parts")

    def __init__(self, *parts: Hashable) -> None:
        self.parts = parts
        self._hash = hash(parts)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return other is self or (isinstance(other, Key) and other.parts == self.parts)


class _ByIdentity:
    """Stands for a function that has no hash of its own."""

    def __init__(self, fun: Any) -> None:
        self.fun = fun

    def __hash__(self) -> int:
        return id(self.fun)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and other.fun is self.fun


def function_key(fun: Callable[..., Any]) -> Hashable:
    """Return what is equal for equal functions, and for equal transforms of them."""
    if isinstance(fun, Function):
        return fun.key
    try:
        hash(fun)
    except TypeError:
        return _ByIdentity(fun)
    return fun


def function_name(fun: Callable[..., Any]) -> str:
    """Return what messages call a function."""
    return getattr(fun, "__qualname__", None) or type(fun).__name__


def check_callable(what: str, fun: Any) -> None:
    """Raise GraphError unless ``fun`` can be called."""
    if not callable(fun):
        raise GraphError(f"{what} takes a function, not {type(fun).__name__} {fun!r}")


class Function:
    """A transformed function.

    Called with arrays, it is traced (once for each structure, shape and type of the
    arguments), compiled and run.  Called with tensors, or while another function is
    traced, it returns tensors: its graph becomes part of the larger one.

    Args:
        inline: the function on tensors.
        fun: the user's function, for names and messages.
        key: what says, with ``fun``, which transform this is; its first item is the
            transform's name.
        signature_of: the function whose signature names the arguments, if not ``fun``.
        static_argnums: positions of arguments that are constants to the trace.
        static_argnames: names of such arguments.
    """

    def __init__(
        self,
        inline: Callable[..., Any],
        fun: Callable[..., Any],
        key: tuple[Hashable, ...],
        signature_of: Callable[..., Any] | None = None,
        static_argnums: int | Sequence[int] = (),
        static_argnames: str | Sequence[str] = (),
    ) -> None:
        update_wrapper(self, fun, updated=())
        if signature_of is not None:
            self.__wrapped__ = signature_of
        self.inline, self.fun = inline, fun
        self.static, self.static_names = _static(fun, static_argnums, static_argnames)
        self.key = Key(*key, function_key(fun), self.static, self.static_names)
        self._last: Compiled | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the function's result: arrays for arrays, tensors for tensors."""
        last = self._last
        if last is not None and not tracing.is_active():
            found = last.attempt(args, kwargs)
            if found is not None:
                return found if last.single else last.rebuilt(found)
        return self._call(args, kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<{self.key.parts[0]} of {function_name(self.fun)}>"

    def program(self, *args: Any, **kwargs: Any) -> Program:
        """Return the program that would run on these arguments, to be looked at."""
        return self._compiled(*self._split(args, kwargs))[0].program

    def _call(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        if tracing.is_active():
            return self.inline(*args, **kwargs)
        leaves, tree = flatten((args, kwargs))
        if any(isinstance(leaf, Tensor) for leaf in leaves):
            with tracing.active():
                return self.inline(*args, **kwargs)
        if self.static or self.static_names:
            compiled, leaves = self._compiled(*self._split(args, kwargs))
        else:
            compiled, leaves = self._compiled(args, kwargs, (), leaves, tree)
            self._last = compiled
        return compiled.run(leaves)

    def _split(self, args: tuple, kwargs: dict[str, Any]) -> tuple:
        """Return the arguments, the constants among them, and leaves of the others."""
        place = self._static_places(len(args))
        constants: list[tuple[Any, Any]] = [(n, args[n]) for n in sorted(place)]
        constants += [(n, kwargs[n]) for n in self.static_names if n in kwargs]
        for name, value in constants:
            try:
                hash(value)
            except TypeError:
                raise GraphError(
                    f"the static argument {name!r} of {function_name(self.fun)} has no "
                    f"hash: {value!r}; give a tuple in place of a list"
                ) from None
        dynamic = tuple(a for n, a in enumerate(args) if n not in place)
        named = {n: v for n, v in kwargs.items() if n not in self.static_names}
        leaves, tree = flatten((dynamic, named))
        typed = tuple((n, type(v), v) for n, v in constants)
        return args, kwargs, typed, leaves, tree

    def _static_places(self, count: int) -> set[int]:
        return {n % count for n in self.static if -count <= n < count}

    def _compiled(
        self, args: tuple, kwargs: dict, constants: tuple, leaves: list, tree: Tree
    ) -> tuple[Compiled, list[Any]]:
        plain: list[Any] = leaves
        if any(type(v) is not np.ndarray and type(v) not in NUMBERS for v in leaves):
            names = self._names(args, kwargs)
            plain = [as_leaf(v, n) for v, n in zip(leaves, names, strict=True)]
        kinds = tuple(
            [(v.shape, v.dtype) if type(v) not in NUMBERS else type(v) for v in plain]
        )
        compiled = PROGRAMS.get(
            (self.key, constants, tree, kinds),
            lambda: self._trace(args, kwargs, dict(_pairs(constants)), plain, tree),
        )
        return compiled, plain

    def _trace(
        self, args: tuple, kwargs: dict, constants: dict, leaves: list, tree: Tree
    ) -> Compiled:
        from symgrad.pipeline import compile

        names = self._names(args, kwargs)
        kinds = element_types(leaves, names)
        inputs = [
            input(name, np.shape(v), kind)
            for name, v, kind in zip(names, leaves, kinds, strict=True)
        ]
        dynamic, named = unflatten(tree, inputs)
        rest = iter(dynamic)
        everything = [
            constants[n] if n in constants else next(rest) for n in range(len(args))
        ]
        named |= {n: v for n, v in constants.items() if isinstance(n, str)}
        with tracing.active():
            result = self.inline(*everything, **named)
        tensors, form = tracing.outputs(result, function_name(self.fun))
        tensors = in_mode(tensors, training=False)
        _check_leaves(function_name(self.fun), inputs, tensors)
        outputs = tensors[0] if form is LEAF else tensors
        return Compiled(compile(inputs, outputs), tree, leaves, kinds, form)

    def _names(self, args: tuple, kwargs: dict) -> list[str]:
        """Return the names of the leaves that are no constants."""
        place = self._static_places(len(args))
        names = positional_names(self, len(args))
        kept = [n for n in range(len(args)) if n not in place]
        named = {n: v for n, v in kwargs.items() if n not in self.static_names}
        return leaf_names([names[n] for n in kept], [args[n] for n in kept], named)


def _pairs(constants: tuple) -> list[tuple[Any, Any]]:
    return [(name, value) for name, _, value in constants]


def _static(
    fun: Callable[..., Any], argnums: int | Sequence[int], names: str | Sequence[str]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return positions and names of the static arguments, each by both if possible."""
    positions = [argnums] if isinstance(argnums, int) else list(argnums)
    listed = [names] if isinstance(names, str) else list(names)
    if positions or listed:
        try:
            order = [
                p.name
                for p in inspect.signature(fun).parameters.values()
                if p.kind is p.POSITIONAL_OR_KEYWORD
            ]
        except (TypeError, ValueError):
            order = []
        positions += [order.index(n) for n in listed if n in order]
        listed += [order[n] for n in positions if -len(order) <= n < len(order)]
    return tuple(dict.fromkeys(positions)), tuple(dict.fromkeys(listed))


def _check_leaves(
    name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> None:
    """Raise GraphError for an input or parameter that is no argument, naming it."""
    given = {id(t) for t in inputs}
    for t in topological(outputs):
        if isinstance(t.op, Input | Param) and id(t) not in given:
            raise GraphError(
                f"{name} uses the tensor {t.describe()}, which is not among its "
                "arguments; pass it as an argument (a tensor of an earlier trace has "
                "no value any more: return it in place of storing it)"
            )

"""What every program has, whatever runs it: named arguments, a declaration, a file."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from symgrad.declare.tensor import Tensor
from symgrad.errors import GraphError
from symgrad.serialize import graph
from symgrad.serialize.graph import Declaration


def nothing(*arrays: Any) -> None:
    """Stand for the built-in function of a program that has none."""


class Declared:
    """The declaration of a program, and its arguments put in order."""

    def __init__(self, declaration: Declaration, params: Sequence[Tensor]) -> None:
        #: What a call does, without Python's help: None where it is not possible.
        self.quick: Callable[..., Any] = nothing
        self._declaration = declaration
        self._names = [t.name or "" for t in declaration.inputs]
        self._param_names = [t.name or "" for t in params]

    def __call__(
        self, *args: Any, params: Mapping[str, Any] | None = None, **named: Any
    ) -> Any:
        """Run the program.

        Args:
            args: one array for each input, in order; or by name.
            params: the parameters' arrays by name (not after ``bind``).
            named: inputs by name.

        Raises:
            GraphError: an input or parameter is missing, unknown, or given twice.
            ShapeError, DTypeError: an array is not as declared.
        """
        if not named and params is None:
            found = self.quick(*args)
            if found is not None:
                return found
        if named or len(args) != len(self._names):
            args = self._by_name(args, named)
        return self._run(args, params)

    @abstractmethod
    def _run(self, args: tuple, params: Mapping[str, Any] | None) -> Any:
        """Return the outputs for all inputs in order."""

    @property
    def inputs(self) -> list[Tensor]:
        """The inputs, in the order of the program's arguments."""
        return list(self._declaration.inputs)

    @property
    def outputs(self) -> Any:
        """The declared tensors that a call gives the values of, in their structure."""
        return self._declaration.outputs

    @property
    def updates(self) -> dict[Tensor, Tensor]:
        """The parameters that a call writes, each with its new value."""
        return dict(self._declaration.updates)

    def save(self, path: Any) -> None:
        """Write the declared graph to a file, from which ``sg.load`` makes the program.

        The file is safetensors with the graph as JSON: nothing in it can be executed.
        It holds constants, and how parameters start (a function is not kept), but not
        the arrays of ``bind`` and of calls.

        Raises:
            FormatError: the file cannot be written; an old one stays as it was.
        """
        graph.save(self._declaration, path)

    def _by_name(self, args: tuple, named: Mapping[str, Any]) -> tuple:
        if len(args) > len(self._names):
            raise GraphError(
                f"the program takes {len(self._names)} inputs "
                f"({', '.join(self._names)}), but {len(args)} arrays were given"
            )
        given = dict(zip(self._names, args, strict=False))
        for name, value in named.items():
            if name in given:
                raise GraphError(f"the input {name!r} is given twice")
            if name not in self._names:
                raise GraphError(
                    f"the program has no input {name!r}; its inputs are "
                    f"{', '.join(self._names) or 'none'}"
                )
            given[name] = value
        missing = [n for n in self._names if n not in given]
        if missing:
            raise GraphError(f"the input {missing[0]!r} is missing")
        return tuple(given[n] for n in self._names)

    def _given(self, params: Mapping[str, Any] | None) -> tuple:
        params = {} if params is None else params
        if not isinstance(params, Mapping):
            raise GraphError(
                "params= takes a dict of arrays by name, not "
                f"{type(params).__name__}; sg.init makes one"
            )
        known = set(self._param_names)
        for name in params:
            if name not in known:
                raise GraphError(
                    f"the program has no parameter {name!r}; its parameters are "
                    f"{', '.join(self._param_names) or 'none'}"
                )
        missing = [n for n in self._param_names if n not in params]
        if missing:
            raise GraphError(
                f"the parameter {missing[0]!r} is missing; give params= with an "
                "array for each parameter (sg.init makes them)"
            )
        return tuple(params[n] for n in self._param_names)

"""Graphs as lines of Python: a call for each statement, a function for each step."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np

from symgrad.declare import scalar
from symgrad.declare.bodies import grouped, needed
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.dims import Size
from symgrad.declare.linear_algebra import LinearAlgebra
from symgrad.declare.loop import Loop, Scan, Stacked, States
from symgrad.declare.tensor import Constant, Reshape, SizeOf, Tensor
from symgrad.errors import GraphError
from symgrad.interop.standalone.helpers import MATRIX, texts, with_called
from symgrad.interop.standalone.statements import Kernel, einsum, size_text

#: Constants with more elements are written as base64.
MOST_NUMBERS = 64


class Pieces:
    """What a module has beside its main function: constants, helpers, functions.

    Args:
        dims: name of a dimension -> the variable with its size.
    """

    def __init__(self, dims: dict[str, str]) -> None:
        self.dims = dims
        self.constants: dict[str, str] = {}  # text -> name
        self.functions: list[str] = []
        self.helpers: set[str] = set()
        self._kernels: dict[str, str] = {}  # what follows the name -> name
        self._steps = 0

    def texts(self) -> list[str]:
        """Return all of them, in an order in which they can be defined."""
        constants = [f"{name} = {text}" for text, name in self.constants.items()]
        used = with_called(self.helpers)
        helpers = [text for name, text in texts().items() if name in used]
        return [*constants, *helpers, *self.functions]

    def lines(self, outputs: Sequence[Tensor], names: dict[Tensor, str]) -> list[str]:
        """Return the lines that compute tensors, all of which get names.

        Args:
            outputs: the tensors.
            names: tensors that have a variable, with its name; others are added.
        """
        found: list[str] = []
        for group in grouped(outputs, names):
            t = group[0]
            args = [names[a] for a in t.args]
            if isinstance(t.op, Scan):
                made = [f"t{len(names) + n}" for n in range(len(group))]
                names.update(zip(group, made, strict=True))
                found += self._loop(group, made, args)
            elif isinstance(t.op, Constant):
                text = _array_text(t.op.value)
                names[t] = self.constants.setdefault(text, f"C{len(self.constants)}")
            else:
                names[t] = f"t{len(names)}"
                found += self._node(t, names[t], args)
        return found

    def _shape(self, sizes: Sequence[Size]) -> str:
        inside = ", ".join(size_text(s, self.dims) for s in sizes)
        return f"({inside},)" if sizes else "()"

    def _empty(self, t: Tensor) -> str:
        return f"np.empty({self._shape(t.shape)}, np.{numpy_name(t.dtype)})"

    def _node(self, t: Tensor, name: str, args: list[str]) -> list[str]:
        if isinstance(t.op, SizeOf):
            size = size_text(t.op.dim, self.dims)
            return [f"{name} = np.asarray({size}, np.{t.dtype})"]
        if isinstance(t.op, Reshape):
            return [f"{name} = {args[0]}.reshape({self._shape(t.shape)})"]
        if isinstance(t.op, LinearAlgebra) and t.op.name in MATRIX:
            self.helpers.add(t.op.name)
            return [f"{name} = {t.op.name}({', '.join(args)})"]
        if not isinstance(t.op, Comprehension):
            raise GraphError(f"{t.describe()} cannot be written as a module")
        subscripts = einsum(t)
        if subscripts is not None:
            reads = [args[t.op.reads[f].operand] for f in _factors(t.op)]
            call = f"np.einsum({subscripts!r}, {', '.join(reads)}, optimize=True)"
            return [f"{name} = np.ascontiguousarray({call}, np.{t.dtype})"
                    f".reshape({self._shape(t.shape)})"]  # fmt: skip
        function, sizes = self._kernel(t)
        given = ", ".join([name, *args, *(self.dims[n] for n in sizes)])
        return [f"{name} = {self._empty(t)}", f"{function}({given})"]

    def _kernel(self, t: Tensor) -> tuple[str, list[str]]:
        """Return the name of a node's function, and the dimensions that it takes."""
        made = Kernel("kernel", t, self.dims)
        self.helpers |= made.helpers
        if made.text not in self._kernels:
            name = f"kernel_{len(self._kernels)}"
            self._kernels[made.text] = name
            self.functions.append(made.text.replace("def kernel(", f"def {name}(", 1))
        return self._kernels[made.text], made.sizes

    # -- loops -------------------------------------------------------------------------

    def _loop(
        self, results: Sequence[Tensor], names: Sequence[str], args: Sequence[str]
    ) -> list[str]:
        """Return the lines of a loop; its step becomes a function."""
        loop: Loop = results[0].op.loop  # type: ignore[union-attr]
        formals = needed(results)
        given = dict(zip(loop.formals, args, strict=True))
        used = set(formals)
        carries = [n for n, c in enumerate(loop.carries) if c in used]
        variables = {n: f"{names[0]}_{n}" for n in carries}
        step = self._step(results, formals, carries)
        elements = set(loop.elements)
        passed = [variables[n] for n in carries]
        passed += [
            f"{given[f]}[k, ...]" if f in elements else given[f]
            for f in formals[len(carries) :]
        ]
        lines = [f"{variables[n]} = {given[loop.formals[n]]}" for n in carries]
        made, kept = [variables[n] for n in carries], []
        last = size_text(loop.length, self.dims)
        for t, name in zip(results, names, strict=True):
            if isinstance(t.op, Stacked | States):
                lines.append(f"{name} = {self._empty(t)}")
            if isinstance(t.op, Stacked):
                made.append(f"{name}[k, ...]")
            elif isinstance(t.op, States):
                own = variables[t.op.number]
                lines.append(f"{name}[{last if loop.reverse else 0}, ...] = {own}")
                kept.append(
                    f"    {name}[k{'' if loop.reverse else ' + 1'}, ...] = {own}"
                )
        steps = f"range({last})"
        lines.append(f"for k in {f'reversed({steps})' if loop.reverse else steps}:")
        call = f"{step}({', '.join([*passed, *self.dims.values()])})"
        lines += [f"    {''.join(f'{m}, ' for m in made).rstrip()} = {call}", *kept]
        for t, name in zip(results, names, strict=True):
            if not isinstance(t.op, Stacked | States):
                lines.append(f"{name} = {variables[t.op.number]}")  # type: ignore[union-attr]
        return lines

    def _step(
        self,
        results: Sequence[Tensor],
        formals: Sequence[Tensor],
        carries: Sequence[int],
    ) -> str:
        """Define the function of a step; return its name."""
        loop: Loop = results[0].op.loop  # type: ignore[union-attr]
        values = [loop.updates[n] for n in carries]
        values += [t.op.value for t in results if isinstance(t.op, Stacked)]
        names = {f: f"a{n}" for n, f in enumerate(formals)}
        given = ", ".join([*names.values(), *self.dims.values()])
        lines = self.lines(values, names)
        name = f"step_{self._steps}"
        self._steps += 1
        lines.append(f"return {''.join(f'{names[v]}, ' for v in values).rstrip()}")
        body = "\n".join(f"    {line}" for line in lines)
        self.functions.append(f"def {name}({given}):\n{body}")
        return name


def _factors(c: Comprehension) -> list[int]:
    return [f.value for f in scalar.factors(c.body)]


def numpy_name(dtype: str) -> str:
    """Return NumPy's name of an element type."""
    return "bool_" if dtype == "bool" else dtype


def _array_text(array: np.ndarray) -> str:
    """Return an array as text: numbers, or base64 where there are many."""
    dtype = f"np.{numpy_name(array.dtype.name)}"
    plain = array.dtype.kind != "f" or np.isfinite(array).all()
    if array.size <= MOST_NUMBERS and plain:
        return f"np.array({array.tolist()!r}, {dtype})"
    data = base64.b64encode(array.tobytes()).decode()
    lines = "\n".join(f'    "{data[k : k + 76]}"' for k in range(0, len(data), 76))
    data = f"base64.b64decode(\n{lines}\n)"
    return f"np.frombuffer({data}, {dtype}).reshape({array.shape})"

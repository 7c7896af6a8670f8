"""Programs as modules of plain Python."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np

from symgrad.declare import scalar
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.dims import Dim, evaluate, names
from symgrad.declare.tensor import (
    Constant,
    Param,
    Reshape,
    SizeOf,
    Tensor,
    print_shape,
    topological,
)
from symgrad.derivation.reverse import flatten
from symgrad.errors import GraphError
from symgrad.interop.standalone.scalars import HELPERS, helper
from symgrad.interop.standalone.statements import Kernel, einsum, size_text
from symgrad.run.declared import Declared
from symgrad.simplification import simplify_outputs

#: Constants with more elements are written as base64.
MOST_NUMBERS = 64


def to_python(program: Declared) -> str:
    """Return the text of a module that computes what a program computes.

    It needs NumPy and Numba, and nothing of symgrad.  Its function ``run`` takes the
    inputs in order and ``params``, a dict of arrays by name, and returns a list of the
    outputs, flat; the updates of a training step are written into the arrays in place.
    ``warm_up()`` compiles it.  Loops are written out statement by statement, for
    reading and for places without symgrad; they are not fused as a program's are.

    Args:
        program: what ``sg.compile`` or ``sg.load`` gives.

    Raises:
        GraphError: neither NumPy nor Numba has a function in the graph.

    >>> import symgrad as sg
    >>> x = sg.input("x", ("n",))
    >>> text = sg.interop.to_python(sg.compile([x], sg.sum(x * x)))
    >>> "np.einsum('a,a->'" in text
    True
    """
    return _Module(program).text()


class _Module:
    def __init__(self, program: Declared) -> None:
        self.inputs = program.inputs
        self.updates = program.updates
        declared = flatten(program.outputs)
        simple = simplify_outputs([*declared, *self.updates.values()])
        self.declared = declared
        self.results, self.new = simple[: len(declared)], simple[len(declared) :]
        nodes = topological([*declared, *self.updates.values(), *self.updates])
        self.params = [t for t in nodes if isinstance(t.op, Param)]
        leaves = [*self.inputs, *self.params]
        found = {n for t in leaves for s in t.shape for n in names(s)}
        self.dims = {n: f"n{k}" for k, n in enumerate(sorted(found))}
        self.names: dict[Tensor, str] = {}
        self.kernels: dict[str, str] = {}  # what follows the name -> name
        self.texts: list[str] = []
        self.helpers: set[str] = set()

    def text(self) -> str:
        """Return the module."""
        constants, lines = self._statements()
        helpers = [helper(name) for name in HELPERS if name in self.helpers]
        parts = [self._header(), *constants, *helpers, *self.texts]
        return "\n\n\n".join([*parts, self._run(lines), self._warm_up()]) + "\n"

    def _header(self) -> str:
        def listed(tensors: Sequence[Tensor]) -> list[str]:
            return [f"    {t.name!r}: {t.dtype}{print_shape(t.shape)}" for t in tensors]

        lines = [
            "Computed from a graph; needs NumPy and Numba.",
            "",
            "Inputs of run():",
        ]
        lines += listed(self.inputs) or ["    none"]
        lines += ["Parameters:", *(listed(self.params) or ["    none"]), "Results:"]
        lines += [f"    {t.dtype}{print_shape(t.shape)}" for t in self.declared]
        if self.updates:
            lines += ["Written in place at each call:"]
            lines += [f"    {p.name!r}" for p in self.updates]
        text = "\n".join(lines).replace("\\", "\\\\").replace('"""', "'''")
        imports = "import base64\nimport math\n\nimport numpy as np"
        imports += "\nfrom numba import njit"
        return f'"""{text}\n"""\n\n{imports}'

    # -- statements --------------------------------------------------------------------

    def _statements(self) -> tuple[list[str], list[str]]:
        constants: list[str] = []
        lines: list[str] = []
        for k, t in enumerate(self.inputs):
            self.names[t] = f"x{k}"
        for k, t in enumerate(self.params):
            self.names[t] = f"p{k}"
        for t in topological([*self.results, *self.new]):
            if t in self.names:
                continue
            if isinstance(t.op, Constant):
                self.names[t] = f"C{len(constants)}"
                constants.append(f"{self.names[t]} = {_array_text(t.op.value)}")
                continue
            self.names[t] = f"t{len(self.names)}"
            lines += self._node(t, self.names[t], [self.names[a] for a in t.args])
        return constants, lines

    def _shape(self, t: Tensor) -> str:
        inside = ", ".join(size_text(s, self.dims) for s in t.shape)
        return f"({inside},)" if t.shape else "()"

    def _node(self, t: Tensor, name: str, args: list[str]) -> list[str]:
        if isinstance(t.op, SizeOf):
            size = size_text(t.op.dim, self.dims)
            return [f"{name} = np.asarray({size}, np.{t.dtype})"]
        if isinstance(t.op, Reshape):
            return [f"{name} = {args[0]}.reshape({self._shape(t)})"]
        if not isinstance(t.op, Comprehension):
            raise GraphError(f"{t.describe()} cannot be written as a module")
        subscripts = einsum(t)
        if subscripts is not None:
            reads = [args[t.op.reads[f].operand] for f in _factors(t.op)]
            call = f"np.einsum({subscripts!r}, {', '.join(reads)}, optimize=True)"
            return [f"{name} = np.ascontiguousarray({call}, np.{t.dtype})"
                    f".reshape({self._shape(t)})"]  # fmt: skip
        kernel = self._kernel(t)
        dtype = "np.bool_" if t.dtype == "bool" else f"np.{t.dtype}"
        given = ", ".join([name, *args, *(self.dims[n] for n in kernel[1])])
        return [
            f"{name} = np.empty({self._shape(t)}, {dtype})",
            f"{kernel[0]}({given})",
        ]

    def _kernel(self, t: Tensor) -> tuple[str, list[str]]:
        """Return the name of a node's function, and the dimensions that it takes."""
        made = Kernel("kernel", t, self.dims)
        self.helpers |= made.helpers
        if made.text not in self.kernels:
            name = f"kernel_{len(self.kernels)}"
            self.kernels[made.text] = name
            self.texts.append(made.text.replace("def kernel(", f"def {name}(", 1))
        return self.kernels[made.text], made.sizes

    # -- functions ---------------------------------------------------------------------

    def _run(self, lines: list[str]) -> str:
        arguments = [self.names[t] for t in self.inputs]
        head = [
            f"def run({', '.join([*arguments, 'params=None'])}):",
            '    """Return the results; parameters are arrays by name."""',
        ]
        body = []
        for t in self.inputs:
            name = self.names[t]
            body.append(f"{name} = np.ascontiguousarray({name}, np.{_numpy(t.dtype)})"
                        f".reshape(np.shape({name}))")  # fmt: skip
        body += [f"{self.names[t]} = params[{t.name!r}]" for t in self.params]
        known = set()
        for t in [*self.inputs, *self.params]:
            for d, s in enumerate(t.shape):
                if isinstance(s, Dim) and str(s) in self.dims and str(s) not in known:
                    known.add(str(s))
                    body.append(f"{self.dims[str(s)]} = {self.names[t]}.shape[{d}]")
        body += lines
        results = ", ".join(f"{self.names[t]}.copy()" for t in self.results)
        body.append(f"results = [{results}]")
        pairs = list(zip(self.updates, self.new, strict=True))
        body += [f"new{k} = {self.names[v]}.copy()" for k, (_, v) in enumerate(pairs)]
        body += [f"{self.names[p]}[...] = new{k}" for k, (p, _) in enumerate(pairs)]
        body.append("return results")
        return "\n".join([*head, *(f"    {line}" for line in body)])

    def _warm_up(self) -> str:
        sizes = dict.fromkeys(self.dims, 2)

        def zeros(t: Tensor) -> str:
            shape = tuple(s if isinstance(s, int) else _at(s, sizes) for s in t.shape)
            return f"np.zeros({shape}, np.{_numpy(t.dtype)})"

        inputs = ", ".join([*map(zeros, self.inputs), "params"])
        params = ", ".join(f"{t.name!r}: {zeros(t)}" for t in self.params)
        return "\n".join(
            [
                "def warm_up():",
                '    """Compile everything, on zeros."""',
                f"    params = {{{params}}}",
                '    with np.errstate(all="ignore"):',
                f"        run({inputs.removesuffix('params')}params=params)",
            ]
        )


def _at(size: Dim, sizes: dict[str, int]) -> int:
    return evaluate(size, sizes)


def _factors(c: Comprehension) -> list[int]:
    return [f.value for f in scalar.factors(c.body)]


def _numpy(dtype: str) -> str:
    return "bool_" if dtype == "bool" else dtype


def _array_text(array: np.ndarray) -> str:
    """Return an array as text: numbers, or base64 where there are many."""
    dtype = f"np.{_numpy(array.dtype.name)}"
    plain = array.dtype.kind != "f" or np.isfinite(array).all()
    if array.size <= MOST_NUMBERS and plain:
        return f"np.array({array.tolist()!r}, {dtype})"
    data = base64.b64encode(array.tobytes()).decode()
    lines = "\n".join(f'    "{data[k : k + 76]}"' for k in range(0, len(data), 76))
    data = f"base64.b64decode(\n{lines}\n)"
    return f"np.frombuffer({data}, {dtype}).reshape({array.shape})"

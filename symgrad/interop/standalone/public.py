"""Programs as modules of plain Python."""

from __future__ import annotations

from collections.abc import Sequence

from symgrad.declare.dims import Dim, evaluate, names
from symgrad.declare.tensor import Param, Tensor, print_shape, topological
from symgrad.derivation.reverse import flatten
from symgrad.interop.standalone.graphs import Pieces, numpy_name
from symgrad.run.declared import Declared
from symgrad.simplification import simplify_outputs


def to_python(program: Declared) -> str:
    """Return the text of a module that computes what a program computes.

    It needs NumPy and Numba, and nothing of symgrad.  Its function ``run`` takes the
    inputs in order and ``params``, a dict of arrays by name, and returns a list of the
    outputs, flat; the updates of a training step are written into the arrays in place.
    ``warm_up()`` compiles it.  Statements are written out one by one, for reading and
    for places without symgrad; they are not fused as a program's are.  The step of a
    ``sg.scan`` is a function, which Python calls in a loop.

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
        self.pieces = Pieces(self.dims)
        self.names = {t: f"x{k}" for k, t in enumerate(self.inputs)}
        self.names |= {t: f"p{k}" for k, t in enumerate(self.params)}

    def text(self) -> str:
        """Return the module."""
        lines = self.pieces.lines([*self.results, *self.new], self.names)
        parts = [self._header(), *self.pieces.texts(), self._run(lines)]
        return "\n\n\n".join([*parts, self._warm_up()]) + "\n"

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
            array = f"np.ascontiguousarray({name}, np.{numpy_name(t.dtype)})"
            body.append(f"{name} = {array}.reshape(np.shape({name}))")
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
            return f"np.zeros({shape}, np.{numpy_name(t.dtype)})"

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

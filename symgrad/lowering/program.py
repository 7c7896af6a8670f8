"""Programs that JAX runs: on CPUs, GPUs and TPUs, on one device or a mesh of many."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from symgrad.declare import conditions
from symgrad.declare.bodies import demanded, siblings
from symgrad.declare.comprehension import Comprehension, print_statement
from symgrad.declare.loop import Loop
from symgrad.declare.tensor import Tensor, topological
from symgrad.derivation.reverse import unflatten
from symgrad.errors import DTypeError, NumericError
from symgrad.lowering.graph import Watcher, evaluate_graph, imported
from symgrad.run.arrays import ArgumentBinder, ArgumentSpec
from symgrad.run.declared import Declared
from symgrad.serialize.graph import Declaration


class JaxProgram(Declared):
    """A compiled graph that JAX runs; it takes arrays of NumPy or JAX, and gives JAX's.

    Where arrays lie is up to their owner: given arrays that are split over a mesh
    (``jax.sharding``, with axes of type ``Auto``), XLA splits the computation and adds
    what communication it needs.  ``bound`` are the parameters of ``bind``, which a call
    with updates replaces; those that were given as NumPy arrays are also written in
    place.
    """

    def __init__(
        self,
        declaration: Declaration,
        params: Sequence[Tensor],
        simple: Sequence[Tensor],
        seconds: dict[str, float],
    ) -> None:
        super().__init__(declaration, params)
        self._jax = imported()
        self._leaves = [*declaration.inputs, *params]
        self._simple = list(simple)
        self._updated = [t.name or "" for t in declaration.updates]
        self._results = len(self._simple) - len(self._updated)
        self._conditional = conditions.conditional(topological(self._simple))
        self._seconds = seconds
        self._last: list[Any] | None = None
        self._watch: Watcher | None = None
        self.bound: dict[str, Any] | None = None if params else {}
        self._call = self._evaluate
        if declaration.nan_check:
            self._watch = self._check_nan
        else:
            self._call = self._jax.jit(self._evaluate)

    def _run(self, args: tuple, params: Mapping[str, Any] | None) -> Any:
        given = self.bound if params is None else params
        arrays = self._converted([*args, *self._given(given)])
        sizes = conditions.sizes_of(self._leaves, [a.shape for a in arrays])
        conditions.check(self._conditional, sizes)
        start = time.perf_counter()
        with self._jax.enable_x64(True):  # the types are those declared
            found = self._call(arrays)
        if self._last is None:
            self._seconds["compile"] = time.perf_counter() - start
        self._last = [self._jax.ShapeDtypeStruct(a.shape, a.dtype) for a in arrays]
        self._update(dict(given or {}), found[self._results :])
        return unflatten(self._declaration.outputs, found[: self._results])

    def bind(self, params: Mapping[str, Any]) -> None:
        """Keep these parameter arrays; ``bound`` are their values after each call.

        Raises:
            GraphError: a parameter is missing or unknown.
        """
        values = self._given(params)
        self.bound = dict(zip(self._param_names, values, strict=True))

    def _update(self, given: dict[str, Any], new: Sequence[Any]) -> None:
        for name, value in zip(self._updated, new, strict=True):
            if isinstance(given[name], np.ndarray):
                given[name][...] = value
            elif self.bound is not None and given[name] is self.bound.get(name):
                self.bound[name] = value

    def _converted(self, values: Sequence[Any]) -> list[Any]:
        """Return arrays as declared; JAX's own stay where they are."""
        return [
            self._checked(t, value)
            for t, value in zip(self._leaves, values, strict=True)
        ]

    def _checked(self, t: Tensor, value: Any) -> Any:
        if isinstance(value, self._jax.Array):
            if str(value.dtype) != t.dtype:
                raise DTypeError(
                    f"{t.describe()} is given an array of {value.dtype}: convert it "
                    f"with .astype({t.dtype!r})"
                )
            return value
        spec = ArgumentSpec(t.name or "", np.dtype(t.dtype), (-1,) * t.ndim, ())
        return ArgumentBinder([spec], np.zeros(1, np.int64)).convert([value])[0]

    def _evaluate(self, arrays: Sequence[Any]) -> list[Any]:
        leaves = dict(zip(self._leaves, arrays, strict=True))
        sizes = conditions.sizes_of(self._leaves, [a.shape for a in arrays])
        return evaluate_graph(self._simple, leaves, sizes, self._watch)

    def _check_nan(self, t: Tensor, value: Any) -> None:
        if isinstance(value, self._jax.core.Tracer):
            return  # of a step that no element takes
        if value.dtype.kind == "f" and np.isnan(np.asarray(value)).any() and t.args:
            inputs = ", ".join(a.describe() for a in t.args)
            raise NumericError(
                f"the first NaN is made by {t.describe()}, computed from {inputs}"
            )

    # -- looking -----------------------------------------------------------------------

    @property
    def source(self) -> str:
        """The statements that JAX runs, and after a call the jaxpr made of them."""
        lines = _listed(self._simple, "")
        if self._last is not None and self._watch is None:
            with self._jax.enable_x64(True):
                lines += ["", str(self._jax.make_jaxpr(self._evaluate)(self._last))]
        return "\n".join(lines)

    def report(self) -> dict[str, Any]:
        """Return what the program consists of and costs, as XLA counts it.

        ``statements``, ``compile_seconds`` (with the first call), the seconds of each
        stage, and for the last sizes used ``flops`` and ``bytes``.
        """
        cost: Mapping[str, Any] = {}
        if self._last is not None and self._watch is None:
            with self._jax.enable_x64(True):
                cost = self._call.lower(self._last).cost_analysis() or {}  # type: ignore[attr-defined]
        return {
            "backend": "jax",
            "statements": len(_listed(self._simple, "")),
            "flops": cost.get("flops"),
            "bytes": cost.get("bytes accessed"),
            "compile_seconds": self._seconds.get("compile", 0.0),
            "stage_seconds": dict(self._seconds),
        }


def _listed(outputs: Sequence[Tensor], indent: str) -> list[str]:
    """Return the statements of a graph; those of a loop's step are indented."""
    nodes = topological(outputs)
    names = {t: t.name or f"t{n}" for n, t in enumerate(nodes)}
    found = []
    for t in nodes:
        if isinstance(t.op, Comprehension):
            text = print_statement(t.op, [names[a] for a in t.args], names[t])
            found.append(indent + text)
    for results in siblings(nodes).values():
        loop: Loop = results[0].op.loop  # type: ignore[union-attr]
        arguments = ", ".join(names[a] for a in results[0].args)
        made = ", ".join(names[t] for t in results)
        found.append(f"{indent}{made} = scan of {loop.length} steps ({arguments})")
        found += _listed(demanded(results), indent + "    ")
    return found

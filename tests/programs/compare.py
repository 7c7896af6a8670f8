"""A random program by symgrad and by JAX, and how much the results may differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import jax
import numpy as np

import symgrad as sg
import symgrad.run.table as running
from symgrad.declare.tensor import topological
from tests.programs.operations import JAX, SYMGRAD
from tests.programs.strategy import RandomProgram

#: What a result may be off, relative to the largest element: a rounding error of each
#: of many operations.
ROUNDING = {"float64": 1e-11, "float32": 2e-5}


@dataclass(frozen=True)
class Graph:
    """What is compiled: inputs, results, and by which inputs they are differentiated.

    The results are the outputs, their weighted sum, its gradients by the inputs of
    the numbers ``first``, and the second derivatives by ``second``.
    """

    inputs: list[sg.Tensor]
    results: list[sg.Tensor]
    first: list[int]
    second: list[int]


def weighted(xp: Any, tensors: Sequence[Any]) -> Any:
    """Return one number that depends on every element of the tensors."""
    total = 0.0
    for n, t in enumerate(tensors):
        total = total + xp.sum(xp.sin(t * (0.8 + 0.1 * n) + 0.2))
    return total


def _reached(loss: sg.Tensor, inputs: Sequence[sg.Tensor]) -> list[int]:
    found = {id(t) for t in topological([loss])}
    return [n for n, t in enumerate(inputs) if t.dtype != "int64" and id(t) in found]


def declare(program: RandomProgram) -> Graph:
    """Return the program with its derivatives as a graph."""
    inputs = program.declare()
    tensors = program.run(SYMGRAD, inputs)
    outputs = [tensors[n] for n in program.outputs]
    loss = weighted(SYMGRAD, outputs)
    first = _reached(loss, inputs)
    gradients = sg.grad(loss, [inputs[n] for n in first])
    second: list[int] = []
    curves: list[sg.Tensor] = []
    if program.second and gradients:
        curvature = weighted(SYMGRAD, gradients)
        second = _reached(curvature, inputs)
        curves = sg.grad(curvature, [inputs[n] for n in second])
    return Graph(inputs, [*outputs, loss, *gradients, *curves], first, second)


def by_jax(program: RandomProgram, graph: Graph) -> Any:
    """Return a function from arrays to the results, in float64."""

    def outputs(*values: Any) -> list[Any]:
        tensors = program.run(JAX, values)
        return [tensors[n] for n in program.outputs]

    def loss(*values: Any) -> Any:
        return weighted(JAX, outputs(*values))

    def gradients(*values: Any) -> Any:
        return jax.grad(loss, graph.first)(*values) if graph.first else ()

    def curvature(*values: Any) -> Any:
        return weighted(JAX, gradients(*values))

    def results(*values: Any) -> list[Any]:
        found = [*outputs(*values), loss(*values), *gradients(*values)]
        if graph.second:
            found += jax.grad(curvature, graph.second)(*values)
        return found

    return jax.jit(results)


def widened(arrays: Sequence[np.ndarray], change: float = 0.0) -> list[np.ndarray]:
    """Return the arrays in float64, each number changed by a part of itself."""
    rng = np.random.default_rng(0)
    return [
        a if a.dtype == np.int64 else a * (1.0 + change * rng.choice([-1, 1], a.shape))
        for a in (
            np.asarray(x, None if x.dtype == np.int64 else "float64") for x in arrays
        )
    ]


def expected(
    program: RandomProgram, graph: Graph, arrays: Sequence[np.ndarray]
) -> tuple[list[np.ndarray], list[float]] | None:
    """Return JAX's results and what each may be off; None where that is too much.

    It is found by a change of the inputs by a few rounding errors: an ill-conditioned
    program, or one that is at a jump, tells nothing.
    """
    run = by_jax(program, graph)
    change = 30 * float(np.finfo(program.dtype).eps)
    with np.errstate(all="ignore"):
        right = [np.asarray(a) for a in run(*widened(arrays))]
        near = [np.asarray(a) for a in run(*widened(arrays, change))]
    allowed = []
    for a, b in zip(right, near, strict=True):
        if not np.isfinite(a).all():
            return None
        scale = 1 + np.abs(a).max(initial=0)
        moved = np.abs(a - b).max(initial=0)
        if not moved <= 1e-3 * scale:
            return None
        allowed.append(ROUNDING[program.dtype] * scale + 20 * moved)
    return right, allowed


def check(
    graph: Graph,
    arrays: Sequence[np.ndarray],
    right: Sequence[np.ndarray],
    allowed: Sequence[float],
    **options: Any,
) -> None:
    """Compile, run twice, and compare: with JAX, and the runs bit by bit."""
    with patch.object(running, "PARALLEL", 0):
        run = sg.compile(graph.inputs, graph.results, **options)
        found, again = run(*arrays), run(*arrays)
    for n, (a, b, wanted, most) in enumerate(
        zip(found, again, right, allowed, strict=True)
    ):
        assert a.tobytes() == b.tobytes(), f"result {n} differs between two runs"
        assert a.shape == wanted.shape, f"result {n} has shape {a.shape}"
        off = np.abs(a - wanted).max(initial=0)
        assert off <= most, f"result {n} is off by {off}, not {most}: {options}"

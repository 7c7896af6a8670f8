"""Random graphs: batched, and their sparse Jacobians, against one value at a time."""

import dataclasses
import os

import hypothesis.strategies as st
import numpy as np
from hypothesis import HealthCheck, given, note, settings

import symgrad as sg
from symgrad.declare.tensor import topological
from symgrad.derivation.batch import batch
from symgrad.derivation.jacobian import by_reverse
from symgrad.transforms.differentiate import pull
from symgrad.transforms.sparse import sparse_block
from symgrad.transforms.sparsity import structure
from tests.programs.operations import SYMGRAD
from tests.programs.strategy import programs
from tests.reference import evaluate_graph

MANY = int(os.environ.get("SYMGRAD_RANDOM_PROGRAMS", "0"))
COMMON = {
    "derandomize": not MANY,
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}
B = 3  # the mapped axis


def of_integer_sizes(program):
    """Return the program with its named dimensions as integers."""
    leaves = tuple(
        dataclasses.replace(
            leaf,
            shape=tuple(program.sizes.get(s, s) for s in leaf.shape),
        )
        for leaf in program.leaves
    )
    return dataclasses.replace(program, leaves=leaves, dtype="float64")


def values(tensors, inputs, arrays):
    return evaluate_graph(tensors, dict(zip(inputs, arrays, strict=True)))


@settings(max_examples=MANY or 60, **COMMON)
@given(programs(), st.integers(1, 7), st.booleans())
def test_batched(program, chosen, simplified):
    note(str(program))
    program = dataclasses.replace(program, dtype="float64")
    inputs = program.declare()
    tensors = program.run(SYMGRAD, inputs)
    outputs = [tensors[n] for n in program.outputs]
    floats = [x for x in inputs if x.dtype == "float64"]
    seeds = [sg.cos(t * 0.5) for t in outputs]
    wanted = [*outputs, *pull(outputs, floats, seeds)]
    if simplified:
        wanted = sg.simplify(wanted)
    mapped = [bool(chosen >> n & 1) for n in range(len(inputs))]
    mapped[0] |= not any(mapped)
    many = [
        [
            dataclasses.replace(program, seed=program.seed + b).arrays()[n]
            for b in range(B)
        ]
        for n in range(len(inputs))
    ]
    fresh = {
        x: sg.input(f"batch{n}", (B, *x.shape), x.dtype)
        for n, x in enumerate(inputs)
        if mapped[n]
    }
    given_values = {x: many[n][0] for n, x in enumerate(inputs) if not mapped[n]}
    given_values |= {
        fresh[x]: np.stack(many[n]) for n, x in enumerate(inputs) if mapped[n]
    }
    found = evaluate_graph(batch(wanted, fresh, B), given_values, program.sizes)
    for b in range(B):
        one = [a[b] if m else a[0] for a, m in zip(many, mapped, strict=True)]
        expected = evaluate_graph(
            wanted, dict(zip(inputs, one, strict=True)), program.sizes
        )
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours[b], theirs, rtol=1e-9, atol=1e-9)


@settings(max_examples=MANY or 25, **COMMON)
@given(programs())
def test_sparse(program):
    note(str(program))
    program = of_integer_sizes(program)
    inputs = program.declare()
    tensors = program.run(SYMGRAD, inputs)
    arrays = program.arrays()
    for t in (tensors[n] for n in program.outputs[:2]):
        reached = {n for n in topological([t]) if n.name and n is not t}
        for x in (x for x in inputs if x in reached and x.dtype == "float64"):
            block, dense = sparse_block(t, x), by_reverse(t, x)
            again = structure(sg.simplify(t), x)
            assert (again > block.pattern).nnz == 0  # rules may only lose entries
            if dense.size > 3000:
                continue
            entries, full = values([block.values, dense], inputs, arrays)
            found = block.matrix(entries).toarray()
            full = full.reshape(found.shape)
            np.testing.assert_allclose(found, full, rtol=1e-8, atol=1e-8)

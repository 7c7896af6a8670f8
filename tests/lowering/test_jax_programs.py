"""The JAX back end against the compiled kernels: two executors of one graph."""

import os
import sys

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings

import symgrad as sg
from symgrad.declare.build import elementwise
from symgrad.declare.scalar import FUNCTIONS
from symgrad.errors import NumericError
from tests.golden.models import MODELS
from tests.programs.compare import declare, expected
from tests.programs.strategy import programs
from tests.reference import evaluate_graph

MANY = int(os.environ.get("SYMGRAD_RANDOM_PROGRAMS", "0"))


@pytest.mark.parametrize("name", MODELS)
def test_models_agree(name):
    model = MODELS[name]()
    results = [*model.outputs, *sg.grad(model.outputs[0], model.wrt)]
    wanted = sg.compile(model.inputs, results)(*model.arrays())
    found = sg.compile(model.inputs, results, backend="jax")(*model.arrays())
    for a, b in zip(wanted, found, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(b, a, rtol=1e-11, atol=1e-12)


@settings(
    max_examples=MANY or 6,
    derandomize=not MANY,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(programs())
def test_random_programs_agree(program):
    graph = declare(program)
    arrays = program.arrays(program.sizes)
    answer = expected(program, graph, arrays)
    assume(answer is not None)
    run = sg.compile(graph.inputs, graph.results, backend="jax")
    for found, right, most in zip(run(*arrays), *answer, strict=True):
        assert found.shape == right.shape
        assert np.abs(np.asarray(found) - right).max(initial=0) <= most


#: What the two may differ in, where JAX's own function is less exact (float64).
LOOSE = {
    "digamma": 1e-8,
    "lgamma": 1e-8,
    "trigamma": 1e-8,
    "polygamma": 1e-8,
    "erfc": 1e-12,
}
POINTS = [-np.inf, -3.5, -1.0, -0.25, -0.0, 0.0, 0.3, 1.0, 2.5, 40.0, np.inf, np.nan]
BITS = [0, 1, -1, 2**40 + 3, -(2**63)]


@pytest.mark.parametrize("fn", FUNCTIONS)
def test_scalar_functions_agree(fn):
    kinds = {"bool": "bool", "float": "float64", "integer": "int64"}
    kind = "bool" if fn in ("and", "or", "xor", "not") else "float"
    kind = "integer" if fn in ("threefry", "fold_bits") else kind
    points = {"bool": [False, True], "float": POINTS, "integer": BITS}[kind]
    arity = FUNCTIONS[fn].arity
    grid = np.stack(np.meshgrid(*[points] * min(arity, 2))).reshape(min(arity, 2), -1)
    columns = [grid[n % len(grid)].astype(kinds[kind]) for n in range(arity)]
    if fn == "select":
        columns[0] = columns[0] > 0
    inputs = [sg.input(f"x{n}", ("n",), c.dtype) for n, c in enumerate(columns)]
    y = elementwise(fn, *inputs)
    with np.errstate(all="ignore"):
        (wanted,) = evaluate_graph([y], dict(zip(inputs, columns, strict=True)))
    found = np.asarray(sg.compile(inputs, y, backend="jax")(*columns))
    assert found.dtype == wanted.dtype
    keep = slice(None)
    if fn in ("lgamma", "digamma", "trigamma", "polygamma", "floordiv", "mod", "pow"):
        keep = np.isfinite(wanted) & np.isfinite(found)  # poles and what NumPy warns of
    np.testing.assert_allclose(
        found[keep], wanted[keep], rtol=LOOSE.get(fn, 1e-13), atol=1e-14
    )


def test_integers_gathers_and_empty_axes():
    x = sg.input("x", ("n", "m"), "float32")
    ids = sg.input("ids", ("k",), "int64")
    results = [
        sg.take(x, ids, axis=1),
        sg.flip(x, axis=0)[::2],
        sg.pad(x, ((1, 2), (0, 1))),
        sg.sum(sg.take(x, ids, axis=0), axis=0),
        sg.argmax(x, axis=1),
        sg.any(x > 0, axis=0),
        sg.sum(x > 0),
        sg.cumulative_sum(x, axis=0),
        sg.where(x > 0, x, 0)[0, ids],
        x.reshape(-1, 1) @ x.reshape(1, -1),
    ]
    rng = np.random.default_rng(0)
    for n, m in ((3, 4), (4, 3)):
        values = rng.normal(size=(n, m)).astype("f"), np.array([0, -1, 2, 0])
        wanted = sg.compile([x, ids], results)(*values)
        found = sg.compile([x, ids], results, backend="jax")(*values)
        for a, b in zip(wanted, found, strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-6)
    empty = sg.sum(x, axis=0), sg.max(x[:, 1:], axis=0)
    found = sg.compile([x], list(empty), backend="jax")(np.zeros((0, 2), "f"))
    np.testing.assert_array_equal(found[0], [0, 0])
    np.testing.assert_array_equal(found[1], [-np.inf])


def test_linear_algebra():
    a, b = sg.input("a", ("n", "n"), "float64"), sg.input("b", ("n", 2), "float64")
    x = sg.linalg.solve(a, b)
    sign, size = sg.linalg.slogdet(a)
    results = [x, sg.linalg.cholesky(a @ a.T), sign, size, sg.linalg.det(a)]
    results += [sg.linalg.inv(a), *sg.grad(sg.sum(sg.sin(x)) + size, [a, b])]
    arrays = np.random.default_rng(0).normal(size=(4, 4)), np.ones((4, 2))
    wanted = sg.compile([a, b], results)(*arrays)
    found = sg.compile([a, b], results, backend="jax")(*arrays)
    for right, got in zip(wanted, found, strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-9, atol=1e-12)


def training(backend):
    x, y = sg.input("x", ("n", 3)), sg.input("y", ("n",))
    w, b = sg.param("w", (3,)), sg.param("b", (), init="zeros")
    loss = sg.mean((x @ w + b - y) ** 2)
    updates = sg.optim.Adam(0.1).updates([w, b], sg.grad(loss, [w, b])).values
    step = sg.compile([x, y], loss, updates=updates, backend=backend)
    return step, sg.init([loss, *updates.values()])


def test_training_writes_arrays_in_place_or_gives_new_ones():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 3)).astype("f"), rng.normal(size=8).astype("f")
    ours, arrays = training("numba")
    theirs, copies = training("jax")
    _, third = training("jax")
    ours.bind(arrays)
    theirs.bind(copies)
    for _ in range(5):
        np.testing.assert_allclose(theirs(x, y), ours(x, y), rtol=1e-5)
    theirs.bind({name: jax.numpy.asarray(a) for name, a in third.items()})
    for _ in range(5):
        theirs(x=x, y=y)
    for name, array in arrays.items():
        np.testing.assert_allclose(copies[name], array, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(theirs.bound[name], array, rtol=1e-4, atol=1e-6)
        assert isinstance(theirs.bound[name], jax.Array)


def test_looking():
    step, arrays = training("jax")
    assert " - y[i]" in step.source
    assert "dot_general" not in step.source
    assert step.report()["flops"] is None
    step(np.ones((2, 3), "f"), np.ones(2, "f"), params=arrays)
    assert "dot_general" in step.source
    assert step.report()["flops"] > 0
    assert step.report()["backend"] == "jax"


def test_errors(tmp_path, monkeypatch):
    x = sg.input("x", ("n", 2))
    run = sg.compile([x], sg.log(x[1:]), backend="jax")
    with pytest.raises(sg.GraphError, match="'x' is missing"):
        run()
    with pytest.raises(sg.DTypeError, match="convert it"):
        run(jax.numpy.ones((2, 2), "int32"))
    with pytest.raises(sg.DTypeError, match="convert it"):
        run(np.ones((2, 2)))
    with pytest.raises(sg.ShapeError, match="dimension 1 must be 2"):
        run(np.ones((2, 3), "f"))
    with pytest.raises(sg.ShapeError, match="give larger arrays"):
        run(np.ones((0, 2), "f"))
    run.save(tmp_path / "p")
    assert sg.load(tmp_path / "p")(np.ones((2, 2), "f")).tolist() == [[0, 0]]
    checked = sg.compile([x], sg.log(x), backend="jax", nan_check=True)
    with pytest.raises(NumericError, match="the first NaN is made by 'log'"):
        checked(-np.ones((1, 2), "f"))
    with pytest.raises(sg.CompileError, match="backend is 'numba' or 'jax'"):
        sg.compile([x], x, backend="cuda")
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(sg.CompileError, match=r"pip install 'symgrad\[jax\]'"):
        sg.compile([x], x + 1, backend="jax")

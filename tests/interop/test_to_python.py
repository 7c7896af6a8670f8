"""Programs as modules that run where there is no symgrad."""

import os
import subprocess
import sys

import numpy as np

import symgrad as sg
from symgrad.declare.build import elementwise
from symgrad.declare.scalar import FUNCTIONS
from tests.golden.models import MODELS
from tests.recurrent import loss, nested, training_step
from tests.reference import evaluate_graph

RUN = """
import sys
import numpy as np
sys.modules["symgrad"] = None  # not to be had
sys.path.insert(0, sys.argv[1])
for name in sys.argv[2:]:
    module = __import__(name)
    given = np.load(f"{sys.argv[1]}/{name}_in.npz")
    arrays = [given[k] for k in given.files if k.startswith("x")]
    params = {str(given[f"n{k[1:]}"]): given[k].copy()
              for k in given.files if k.startswith("p")}
    module.warm_up()
    for _ in range(int(given["calls"])):
        results = module.run(*arrays, params=params)
    np.savez(f"{sys.argv[1]}/{name}_out.npz", *results, *params.values())
"""


def write(folder, name, program, arrays, params=(), calls=1):
    params = dict(params)
    (folder / f"{name}.py").write_text(sg.interop.to_python(program))
    numbered = {f"x{k:03}": a for k, a in enumerate(arrays)}
    numbered |= {f"p{k:03}": a for k, a in enumerate(params.values())}
    numbered |= {f"n{k:03}": np.array(n) for k, n in enumerate(params)}
    np.savez(folder / f"{name}_in.npz", calls=calls, **numbered)


def run(folder, *names, compiled=True):
    """Run modules in a process of their own; uncompiled, for speed, where it does."""
    environment = os.environ | {"NUMBA_DISABLE_JIT": "0" if compiled else "1"}
    command = [sys.executable, "-W", "error", "-c", RUN, str(folder), *names]
    subprocess.run(
        command, check=True, cwd=folder, capture_output=True, env=environment
    )
    found = [np.load(folder / f"{name}_out.npz") for name in names]
    return [[f[k] for k in f.files] for f in found]


#: Numba takes seconds for each; all are checked by hand.
CHOSEN = ("convolution", "embedding", "reductions")


def test_models_and_their_gradients(tmp_path):
    wanted = []
    for name in CHOSEN:
        model = MODELS[name]()
        results = [*model.outputs, *sg.grad(model.outputs[0], model.wrt)]
        write(tmp_path, name, sg.compile(model.inputs, results), model.arrays())
        leaves = dict(zip(model.inputs, model.arrays(), strict=True))
        wanted.append(evaluate_graph(results, leaves))
    for right, got in zip(wanted, run(tmp_path, *CHOSEN), strict=True):
        for a, b in zip(right, got, strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            np.testing.assert_allclose(b, a, rtol=1e-11, atol=1e-12)


def test_a_training_step(tmp_path):
    x, y = sg.input('"""x\\', ("n", 3)), sg.input("y", ("n",), "int64")
    w = sg.param("w", (3, 4))
    c = sg.constant(np.arange(400, dtype="f") / 400)
    loss = -sg.mean(sg.sum(sg.log_softmax(x @ w) * sg.one_hot(y, 4), axis=1))
    loss = loss + sg.sum(c) * 0 + sg.sum(sg.take(w, y, axis=1)[:, 0]) * 0.1
    updates = sg.optim.Adam(0.05).updates([w], sg.grad(loss, [w])).values
    program = sg.compile([x, y], [loss], updates=updates)
    arrays = sg.init([loss, *updates.values()])
    rng = np.random.default_rng(0)
    data = rng.normal(size=(6, 3)).astype("f"), rng.integers(0, 4, 6)
    write(tmp_path, "step", program, data, arrays, calls=4)
    program.bind(arrays)
    for _ in range(4):
        (wanted,) = program(*data)
    ((found, *params),) = run(tmp_path, "step")
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    for a, b in zip(params, arrays.values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_scalar_functions(tmp_path):
    outputs, inputs, arrays = [], [], []
    points = np.array([-2.5, -0.75, -0.0, 0.0, 0.4, 1.0, 3.0, 1e-6])
    a, b = (g.ravel() for g in np.meshgrid(points, points))
    for name, array in (("a", a), ("b", b), ("p", a > 0), ("q", b > 0)):
        inputs.append(sg.input(name, ("n",), array.dtype))
        arrays.append(array)
    x, y, p, q = inputs
    for name in "kn":
        inputs.append(sg.input(name, ("n",), "int64"))
        arrays.append(np.arange(len(a)) * 0x123456789ABCDEF - 2**62)
    k, n = inputs[-2:]
    for fn, f in FUNCTIONS.items():
        given = [x, y, x][: f.arity]
        if fn == "polygamma":
            given = [sg.floor(sg.abs(y)) + 1, x]
        if fn in ("threefry", "fold_bits"):
            given = [k, k * 12345 + n][: f.arity]
        if fn in ("and", "or", "xor", "not"):
            given = [p, q][: f.arity]
        outputs.append(elementwise(fn, *([p, x, y] if fn == "select" else given)))
    outputs.append(sg.flip(x))
    write(tmp_path, "scalars", sg.compile(inputs, outputs), arrays)
    wanted = evaluate_graph(outputs, dict(zip(inputs, arrays, strict=True)))
    (found,) = run(tmp_path, "scalars")
    for t, right, got in zip(outputs, wanted, found, strict=True):
        keep = np.isfinite(right) if right.dtype.kind == "f" else slice(None)
        np.testing.assert_allclose(
            got[keep], right[keep], rtol=1e-12, atol=1e-14, err_msg=t.op.name
        )


def test_matrices(tmp_path):
    a, b = sg.input("a", ("k", 3, 3), "float64"), sg.input("b", ("k", 3, 2), "float64")
    sign, size = sg.linalg.slogdet(a)
    factor = sg.linalg.cholesky(a @ a.mT + sg.eye(3))
    results = [sg.linalg.solve(a, b), factor, sign, size, sg.linalg.det(a)]
    results += [sg.linalg.inv(a), sg.linalg.cholesky(a)]
    results += sg.grad(sg.sum(results[0]) + sg.sum(size) + sg.sum(factor), [a, b])
    rng = np.random.default_rng(0)
    arrays = rng.normal(size=(2, 3, 3)), rng.normal(size=(2, 3, 2))
    arrays[0][1] = -np.eye(3)
    program = sg.compile([a, b], results)
    write(tmp_path, "matrices", program, arrays)
    (found,) = run(tmp_path, "matrices", compiled=False)
    for right, got in zip(program(*arrays), found, strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-9, atol=1e-12)


def test_loops(tmp_path):
    """A training step, a loop in a loop with its gradient, and one without steps."""
    step, data = training_step("lstm", "float64")
    arrays = sg.init([step.outputs, *step.updates.values()], seed=1)
    write(tmp_path, "lstm", step, data, arrays, calls=3)
    step.bind(arrays)
    wanted = [[[step(*data) for _ in range(3)][-1], *arrays.values()]]
    xs, outputs = nested()
    x, value = loss("gru", "float64", reverse=True)
    z = sg.input("z", ("steps",), "int64")
    last, sums = sg.scan(lambda c, v: (c + v, c), 1, z)
    both = sg.compile([xs, x, z], [*outputs, value, last, sums])
    params = sg.init(both.outputs, seed=2)
    rng = np.random.default_rng(0)
    data = rng.normal(size=(3, 4, 2)), rng.normal(size=(2, 3, 3)), np.zeros(0, "int64")
    write(tmp_path, "both", both, data, params)
    wanted.append([*both(*data, params=params), *params.values()])
    found = [*run(tmp_path, "lstm"), *run(tmp_path, "both", compiled=False)]
    for right, got in zip(wanted, found, strict=True):
        for a, b in zip(right, got, strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            np.testing.assert_allclose(b, a, rtol=1e-11, atol=1e-13)


def test_the_text_is_readable():
    x = sg.input("x", ("n", 3))
    text = sg.interop.to_python(sg.compile([x], sg.max(x, axis=1)))
    assert "# out[i] = max[j](x0[i, j])" in text
    assert "    'x': float32[n, 3]" in text

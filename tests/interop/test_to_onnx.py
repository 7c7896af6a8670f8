"""Graphs as ONNX models: run by onnxruntime, and read back."""

import numpy as np
import pytest

import symgrad as sg
from symgrad.declare.build import elementwise
from symgrad.declare.scalar import FUNCTIONS
from tests.golden.models import MODELS
from tests.recurrent import nested, training_step
from tests.reference import evaluate_graph

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def run(path, arrays):
    session = onnxruntime.InferenceSession(path)
    known = {i.name for i in session.get_inputs()}
    return session.run(None, {n: a for n, a in arrays.items() if n in known})


@pytest.mark.parametrize("name", MODELS)
def test_models_and_their_gradients(name, tmp_path):
    model = MODELS[name]()
    results = [*model.outputs, *sg.grad(model.outputs[0], model.wrt)]
    arrays = {t.name: a for t, a in zip(model.inputs, model.arrays(), strict=True)}
    wanted = evaluate_graph(results, arrays)
    path = tmp_path / "model.onnx"
    sg.interop.to_onnx(results, path)
    for a, b in zip(wanted, run(path, arrays), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(b, a, rtol=1e-11, atol=1e-12)
    if name in ("mlp", "softmax", "embedding", "convolution", "reductions"):
        read = sg.interop.from_onnx(path)
        outputs = [read.outputs[f"y{n}"] for n in range(len(results))]
        shared = {n: arrays[n] for n in read.inputs}
        for a, b in zip(wanted, evaluate_graph(outputs, shared), strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-11, atol=1e-12)


def test_a_training_step_with_parameters(tmp_path):
    x, y = sg.input("x", ("batch", 3)), sg.input("y", ("batch",))
    with sg.scope("layer"):
        w = sg.param("w", (3,))
    loss = sg.mean(sg.log1p(sg.exp(x @ w)) - y * (x @ w))
    step = {"loss": loss, "w": w - 0.1 * sg.grad(loss, w)}
    params = {"layer/w": np.array([1.0, -2.0, 0.5], "f")}
    path = tmp_path / "step.onnx"
    sg.interop.to_onnx(step, path, params)
    rng = np.random.default_rng(0)
    arrays = {"x": rng.normal(size=(5, 3)).astype("f"), "y": np.ones(5, "f")}
    wanted = sg.compile([x, y], step)(**arrays, params=params)
    found = run(path, arrays)
    for name, got in zip(step, found, strict=True):
        np.testing.assert_allclose(got, wanted[name], rtol=1e-5)
    read = sg.interop.from_onnx(path)
    assert str(read.inputs["x"].shape[0]) == "batch"
    assert list(read.params) == ["layer/w"]


#: What onnxruntime has for float32 only in part, or ONNX has not at all.
NONE = {"lgamma", "digamma", "trigamma", "polygamma", "threefry", "fold_bits"}


@pytest.mark.parametrize("fn", sorted(set(FUNCTIONS) - NONE))
def test_scalar_functions(fn, tmp_path):
    arity = FUNCTIONS[fn].arity
    logical = fn in ("and", "or", "xor", "not")
    points = np.array([-2.5, -0.75, -0.0, 0.0, 0.4, 1.0, 3.0, 1e-6], "f")
    grid = np.stack(np.meshgrid(*[points] * min(arity, 2))).reshape(min(arity, 2), -1)
    columns = [grid[n % len(grid)] for n in range(arity)]
    if logical or fn == "select":
        columns = [c > 0 if logical or n == 0 else c for n, c in enumerate(columns)]
    inputs = [sg.input(f"x{n}", ("n",), c.dtype) for n, c in enumerate(columns)]
    y = elementwise(fn, *inputs)
    arrays = {t.name: c for t, c in zip(inputs, columns, strict=True)}
    (wanted,) = evaluate_graph([y], arrays)
    path = tmp_path / "f.onnx"
    sg.interop.to_onnx(y, path)
    (found,) = run(path, arrays)
    keep = np.isfinite(wanted) if wanted.dtype.kind == "f" else slice(None)
    np.testing.assert_allclose(found[keep], wanted[keep], rtol=3e-6, atol=1e-7)


def test_indices_guards_and_integers(tmp_path):
    x, ids = sg.input("x", ("n", 4)), sg.input("ids", ("k",), "int64")
    results = {
        "pad": sg.pad(x, ((1, 2), (0, 1))),
        "flip": sg.flip(x, axis=0)[:, ::2],
        "tail": x[1:, -1],
        "take": sg.take(x, ids, axis=1),
        "both": x[ids, ids],
        "ints": (ids - 5) // 2 + ids % 3,
        "size": ids * x.shape[0],
        "any": sg.any(x > 1, axis=0),
        "count": sg.sum(x > 0),
        "flat": x.reshape(-1, 2),
        "roll": sg.roll(x, 1, axis=0),
    }
    path = tmp_path / "m.onnx"
    sg.interop.to_onnx(results, path)
    arrays = {
        "x": np.random.default_rng(0).normal(size=(3, 4)).astype("f"),
        "ids": np.array([0, 2, -1, 1, 0]),
    }
    wanted = evaluate_graph(list(results.values()), arrays)
    for name, a, b in zip(results, wanted, run(path, arrays), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape), name
        np.testing.assert_allclose(b, a, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("layer", ["lstm", "gru"])
def test_a_recurrent_training_step(layer, tmp_path):
    program, (data,) = training_step(layer, "float64")
    step = {"loss": program.outputs}
    step |= {f"new {p.name}": value for p, value in program.updates.items()}
    params = sg.init(list(step.values()), seed=1)
    path = tmp_path / "step.onnx"
    sg.interop.to_onnx(step, path, params)
    wanted = sg.compile(program.inputs, step)(data, params=params)
    for name, got in zip(step, run(path, {"x": data}), strict=True):
        np.testing.assert_allclose(got, wanted[name], rtol=1e-11, atol=1e-13)
    read = sg.interop.from_onnx(path)
    found = sg.compile([read.inputs["x"]], read.outputs)(data, params=params)
    for name, right in wanted.items():
        np.testing.assert_allclose(found[name], right, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("reverse", [False, True])
def test_loops(reverse, tmp_path):
    """A loop in a loop, all kinds of results, no step, no sequence."""
    xs, outputs = nested()
    z = sg.input("z", ("steps",), "int64")
    last, ys = sg.scan(
        lambda c, v: ((c[0] + v, c[1] | (v > 2)), c), (1, False), z, reverse=reverse
    )
    powers, _ = sg.scan(lambda c, _: (c * 2, None), 1.0, length="steps")
    outputs = [*outputs, *last, *ys, powers]
    path = tmp_path / "loops.onnx"
    sg.interop.to_onnx(outputs, path)
    program = sg.compile([xs, z], outputs)
    x = np.random.default_rng(0).normal(size=(3, 4, 2))
    for steps in (4, 1):  # onnxruntime refuses a Scan of none
        wanted = program(x, np.arange(steps))
        found = run(path, {"xs": x, "z": np.arange(steps)})
        for a, b in zip(wanted, found, strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            np.testing.assert_allclose(b, a, rtol=1e-11, atol=1e-12)


def test_errors(tmp_path):
    x, w = sg.input("x", (2,)), sg.param("w", (2,))
    with pytest.raises(sg.GraphError, match=r"'lgamma' .* no operators"):
        sg.interop.to_onnx(sg.lgamma(x), tmp_path / "m.onnx")
    with pytest.raises(sg.GraphError, match=r"'w' .* is missing in params="):
        sg.interop.to_onnx(x + w, tmp_path / "m.onnx", {})
    with pytest.raises(sg.GraphError, match=r"array of shape \(3,\)"):
        sg.interop.to_onnx(x + w, tmp_path / "m.onnx", {"w": np.ones(3)})
    with pytest.raises(sg.FormatError, match="cannot write"):
        sg.interop.to_onnx(x + 1, tmp_path / "absent" / "m.onnx")

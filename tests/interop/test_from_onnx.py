"""ONNX models as graphs: ONNX's own tests of operators, and whole models."""

import sys
import warnings

import numpy as np
import pytest

import symgrad as sg

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from tests.interop import onnx_backend  # noqa: E402

PASSING = onnx_backend.PASSING.read_text().split()
#: By kernels: a sample of each family of operators.
COMPILED = [
    "test_conv_with_strides_and_asymmetric_padding",
    "test_convtranspose_pads",
    "test_maxpool_2d_dilations",
    "test_averagepool_2d_ceil",
    "test_lstm_with_peepholes",
    "test_resize_upsample_scales_linear",
    "test_quantizelinear_axis",
    "test_scatter_elements_with_axis",
    "test_gathernd_example_int32_batch_dim1",
    "test_top_k",
    "test_layer_normalization_4d_axis1",
    "test_attention_4d_causal",
    "test_scan9_sum",
]


@pytest.fixture(scope="module")
def backend_tests():
    return onnx_backend.load()


@pytest.mark.parametrize("part", range(8))
def test_a_part_of_onnx_own_tests(backend_tests, part):
    """Every 40th test in all; the whole is run by hand (see ``onnx_backend``)."""
    assert len(PASSING) >= 900
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for name in PASSING[part * 5 :: 320]:
            if name in backend_tests:  # another version of ONNX has others
                onnx_backend.check(backend_tests[name])


@pytest.mark.parametrize("name", COMPILED)
def test_by_kernels(backend_tests, name):
    assert name in PASSING
    onnx_backend.check(backend_tests[name], compiled=True)


def network():
    """Return a small convolutional classifier with a batch of any size."""
    rng = np.random.default_rng(0)

    def array(name, *shape):
        return numpy_helper.from_array(rng.normal(size=shape).astype("f"), name)

    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", "s", "o", "m", "v"], ["n"]),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Shape", ["p"], ["size"]),
        helper.make_node("Gather", ["size", "zero"], ["batch"]),
        helper.make_node("Unsqueeze", ["batch", "axes"], ["rows"]),
        helper.make_node("Concat", ["rows", "rest"], ["flat"], axis=0),
        helper.make_node("Reshape", ["p", "flat"], ["f"]),
        helper.make_node("Gemm", ["f", "W", "B"], ["z"], transB=1),
        helper.make_node("Softmax", ["z"], ["y"]),
    ]
    fixed = {"zero": np.array(0), "axes": np.array([0]), "rest": np.array([-1])}
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])],
        [
            array("w", 5, 3, 3, 3),
            array("b", 5),
            array("s", 5),
            array("o", 5),
            array("m", 5),
            numpy_helper.from_array(rng.uniform(1, 2, 5).astype("f"), "v"),
            array("W", 4, 45),
            array("B", 4),
            *(numpy_helper.from_array(a, n) for n, a in fixed.items()),
        ],
    )
    imports = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def test_a_network_computes_what_onnxruntime_does(tmp_path):
    path = tmp_path / "network.onnx"
    onnx.save(network(), path)
    model = sg.interop.from_onnx(path)
    assert str(model.inputs["x"].shape[0]) == "N"
    assert set(model.params) == {"w", "b", "s", "o", "m", "v", "W", "B"}
    run = sg.compile(list(model.inputs.values()), model.outputs)
    session = onnxruntime.InferenceSession(path)
    for batch in (1, 3):
        x = np.random.default_rng(batch).normal(size=(batch, 3, 6, 6)).astype("f")
        found = run(x, params=sg.init(model.outputs))["y"]
        np.testing.assert_allclose(found, session.run(None, {"x": x})[0], 1e-4, 1e-6)


def test_an_imported_network_trains():
    model = sg.interop.from_onnx(network())
    y = sg.input("label", ("N",), "int64")
    picked = sg.take_along_axis(model.outputs["y"], sg.expand_dims(y, axis=1), axis=1)
    trainer = sg.Trainer(-sg.mean(sg.log(picked)), sg.optim.Adam(0.01))
    rng = np.random.default_rng(0)
    x, label = rng.normal(size=(8, 3, 6, 6)).astype("f"), rng.integers(0, 4, 8)
    losses = [trainer.step(x=x, label=label) for _ in range(20)]
    assert losses[-1] < losses[0] / 2


def one_node(node, inputs, kind=TensorProto.FLOAT, version=17, rank=1):
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(n, k, s) for n, k, s in inputs],
        [helper.make_tensor_value_info("y", kind, [None] * rank)],
    )
    imports = [helper.make_opsetid("", version)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_recurrent_layers_take_sequences_of_any_length(kind, gates):
    """Both directions, lengths of their own, as loops; against onnxruntime."""
    rng, size = np.random.default_rng(0), gates * 4
    given = {
        "W": rng.normal(size=(2, size, 3)),
        "R": rng.normal(size=(2, size, 4)),
        "B": rng.normal(size=(2, 2 * size)),
    }
    names = ["x", *given, "lengths"]
    node = helper.make_node(kind, names, ["y", "h"], hidden_size=4,
                            direction="bidirectional")  # fmt: skip
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        "g",
        [
            value("x", TensorProto.FLOAT, ["time", "batch", 3]),
            value("lengths", TensorProto.INT32, ["batch"]),
        ],
        [value(n, TensorProto.FLOAT, [None] * r) for n, r in (("y", 4), ("h", 3))],
        [numpy_helper.from_array(a.astype("f"), n) for n, a in given.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)],
                              ir_version=8)  # fmt: skip
    model = sg.interop.from_onnx(proto)
    run = sg.compile(list(model.inputs.values()), model.outputs)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    for time, batch in ((6, 2), (1, 3)):
        x = rng.normal(size=(time, batch, 3)).astype("f")
        lengths = np.array([time, *[max(time - 2, 1)] * (batch - 1)], np.int32)
        arrays = {"x": x, "lengths": lengths}
        found = run(x, lengths, params=sg.init(model.outputs))
        for name, right in zip("yh", session.run(None, arrays), strict=True):
            np.testing.assert_allclose(found[name], right, 1e-4, 1e-6)


def test_errors(tmp_path, monkeypatch):
    with pytest.raises(sg.FormatError, match="no such file"):
        sg.interop.from_onnx(tmp_path / "absent.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(sg.FormatError, match=r"broken\.onnx"):
        sg.interop.from_onnx(broken)
    x = ("x", TensorProto.FLOAT, [2, 3])
    unknown = helper.make_node("NonZero", ["x"], ["y"], name="where")
    with pytest.raises(sg.GraphError, match=r"operator NonZero is not .*'where'"):
        sg.interop.from_onnx(one_node(unknown, [x], TensorProto.INT64, rank=2))
    shape = ("shape", TensorProto.INT64, [1])
    reshape = helper.make_node("Reshape", ["x", "shape"], ["y"], name="flat")
    with pytest.raises(sg.GraphError, match=r"'flat' needs the value of 'shape'"):
        sg.interop.from_onnx(one_node(reshape, [x, shape]))
    model = sg.interop.from_onnx(one_node(reshape, [x, shape]), {"shape": [6]})
    assert model.outputs["y"].shape == (6,)
    with pytest.raises(sg.GraphError, match="has no input 'z'"):
        sg.interop.from_onnx(one_node(reshape, [x, shape]), {"z": [6]})
    old = one_node(helper.make_node("Relu", ["x"], ["y"]), [x], version=6, rank=2)
    with pytest.raises(sg.FormatError, match="version 6 of the operators"):
        sg.interop.from_onnx(old)
    text = helper.make_node("Identity", ["x"], ["y"])
    strings = ("x", TensorProto.STRING, [2])
    with pytest.raises(sg.DTypeError, match="STRING is not supported"):
        sg.interop.from_onnx(one_node(text, [strings], TensorProto.STRING))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(sg.CompileError, match=r"pip install 'symgrad\[onnx\]'"):
        sg.interop.from_onnx("model.onnx")

"""``symgrad draw`` and ``symgrad explain`` on saved programs and ONNX files."""

import numpy as np
import pytest

import symgrad as sg
from symgrad.cli import main
from symgrad.commands.load import load_model
from symgrad.declare.tensor import Input, topological
from tests.drawing.models import mlp

pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with programs, ONNX models, and what is none of them."""
    place = tmp_path_factory.mktemp("models")
    loss, data = mlp((4, 3))
    inputs = [t for t in topological([loss]) if isinstance(t.op, Input)]
    sg.compile(inputs, [loss]).save(place / "mlp.safetensors")
    sg.interop.to_onnx({"loss": loss}, place / "mlp.onnx")
    np.savez(place / "data.npz", **data)
    x = sg.input("x", ("n", 4))
    z = sg.relu(x @ sg.param("W", (4, 3)))
    sg.compile([x], [z]).save(place / "logits.safetensors")
    _initializers(place / "net.onnx")
    (place / "broken.onnx").write_bytes(b"\x08\x01nonsense")
    (place / "notes.txt").write_text("hello", "utf-8")
    (place / "model.py").write_text("a = 1", "utf-8")
    return place


def _initializers(path):
    """Write a model as other exporters do: weights are initializers."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    shapes = {"W1": (6, 8), "b1": (8,), "W2": (3, 8), "b2": (3,)}
    weights = [
        numpy_helper.from_array(rng.normal(size=s).astype("f"), n)
        for n, s in shapes.items()
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "W1"], ["h"], name="/fc1/MatMul"),
        helper.make_node("Add", ["h", "b1"], ["z"], name="/fc1/Add"),
        helper.make_node("Relu", ["z"], ["a"]),
        helper.make_node("Gemm", ["a", "W2", "b2"], ["logits"], transB=1),
        helper.make_node("Softmax", ["logits"], ["p"], axis=-1),
    ]
    kind = TensorProto.FLOAT
    ends = (
        [helper.make_tensor_value_info("x", kind, ["batch", 6])],
        [helper.make_tensor_value_info("p", kind, ["batch", 3])],
    )
    graph = helper.make_graph(nodes, "net", *ends, weights)
    onnx.save(helper.make_model(graph), path)


@pytest.mark.parametrize("file", ["mlp.safetensors", "mlp.onnx"])
def test_every_view(folder, tmp_path, file):
    out = tmp_path / "picture.dot"
    for view in ("forward", "gradient"):
        words = ["draw", str(folder / file), "-o", str(out), "--view", view]
        assert main(words) == 0
        assert ("∂L/∂W" in out.read_text("utf-8")) == (view == "gradient")


def test_measured_on_data(folder, tmp_path):
    out, data = tmp_path / "flow.dot", str(folder / "data.npz")
    words = ["draw", str(folder / "mlp.onnx"), "--view", "flow", "--data", data]
    assert main([*words, "-o", str(out)]) == 0
    assert "‖gradient‖" in out.read_text("utf-8")


def test_weights_that_are_initializers(folder, tmp_path):
    out = tmp_path / "net.dot"
    assert main(["draw", str(folder / "net.onnx"), "-o", str(out)]) == 0
    text = out.read_text("utf-8")
    for word in ("Z1 = x W1 + b1", "relu", "Z2 = H1 W2ᵀ + b2", "softmax", "6 × 8"):
        assert word in text


def test_the_loss_of_a_file(folder):
    """What ``symgrad explain`` explains; weights start as the file has them."""
    for file in ("mlp.onnx", "mlp.safetensors"):
        loss, data = load_model(str(folder / file), scalar=True)
        assert loss.shape == ()
        assert data is None
    net, _ = load_model(str(folder / "net.onnx"), scalar=False)
    assert net.shape[1:] == (3,)
    expected = np.random.default_rng(0).normal(size=(6, 8)).astype("f")
    np.testing.assert_array_equal(sg.init(net)["W1"], expected)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["explain", "net.onnx"], "net.onnx has no loss, a scalar of a float type"),
        (["explain", "logits.safetensors"], "('relu' float32[n, 3])"),
        (["draw", "net.onnx", "--view", "gradient", "-o", "a.svg"], "export the loss"),
        (["draw", "broken.onnx", "-o", "a.svg"], "is damaged, or no ONNX file"),
        (["draw", "notes.txt", "-o", "a.svg"], "notes.txt is damaged, or no"),
        (["draw", "absent.onnx", "-o", "a.svg"], "absent.onnx: there is no such file"),
        (["explain", "model.py"], "say which object of"),
        (["explain", "mlp.onnx"], "in --data FILE.npz"),
        (["draw", "mlp.onnx", "-o", "a.gif"], "its suffix is .gif"),
    ],
)
def test_what_is_wrong_is_said(folder, capsys, words, message):
    command, file, *rest = words
    assert main([command, str(folder / file), *rest]) == 1
    assert message in capsys.readouterr().err


def test_an_output_called_like_an_input(tmp_path):
    y = sg.input("y", ("n",))
    with pytest.raises(sg.GraphError, match="both be called 'y'"):
        sg.interop.to_onnx(sg.exp(y), tmp_path / "a.onnx")

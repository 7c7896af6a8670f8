"""Imported models in pictures: frames of modules, weights beside what reads them."""

import re

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import symgrad as sg
from symgrad.drawing import draw
from symgrad.interop.onnx_import.scopes import scope_of
from tests.drawing.models import residual, transformer

rng = np.random.default_rng(0)


def saved(path, nodes, arrays):
    """Write a model of some nodes, from ``x`` to the result of the last of them."""
    kind = onnx.TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info("x", kind, ["n", 8])]
    last = [helper.make_tensor_value_info(nodes[-1].output[0], kind, ["n", 8])]
    arrays = {n: a.astype("float32") for n, a in arrays.items()}
    initial = [numpy_helper.from_array(a, n) for n, a in arrays.items()]
    graph = helper.make_graph(nodes, "g", inputs, last, initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    onnx.save(model, path)
    return next(iter(sg.interop.from_onnx(path).outputs.values()))


def node(op, inputs, output, name):
    return helper.make_node(op, inputs, [output], name)


def block(number, source):
    """Return a residual block as PyTorch names it, and its arrays."""
    at, own = f"/blocks/blocks.{number}", f"blocks.{number}"
    names = [f"{own}.{n}" for n in ("up.weight", "up.bias", "down.weight", "down.bias")]
    h, r, f, out = (f"{letter}{number}" for letter in ("h", "r", "f", "s"))
    nodes = [
        node("Gemm", [source, *names[:2]], h, f"{at}/up/Gemm"),
        node("Relu", [h], r, f"{at}/act/Relu"),
        node("Gemm", [r, *names[2:]], f, f"{at}/down/Gemm"),
        node("Add", [source, f], out, f"{at}/Add"),
    ]
    shapes = ((8, 8), (8,)) * 2
    return nodes, {n: rng.normal(size=s) for n, s in zip(names, shapes, strict=True)}


@pytest.fixture
def stack(tmp_path):
    """Return a function that makes a model of a stem, blocks and a head."""

    def made(count):
        nodes = [node("Gemm", ["x", "stem.weight", "stem.bias"], "s", "/stem/Gemm")]
        arrays = {"stem.weight": rng.normal(size=(8, 8)), "stem.bias": np.zeros(8)}
        source = "s"
        for n in range(count):
            more, weights = block(n, source)
            nodes, arrays, source = nodes + more, arrays | weights, more[-1].output[0]
        nodes.append(node("Relu", [source], "y", "/Relu"))
        return saved(tmp_path / "stack.onnx", nodes, arrays)

    return made


def frame_of(dot):
    """Return the frames around each label of a picture, from the outermost."""
    found, open_at = {}, []
    for line in dot.splitlines():
        if begins := re.search(r'subgraph "cluster_(.*)" \{', line):
            open_at.append(begins[1].rpartition("/")[2])
        elif line.strip() == "}" and open_at:
            open_at.pop()
        elif shown := re.search(r"\[label=<(.*?)>, fill", line):
            words = re.sub(r"<[^>]+>", " ", shown[1]).split()
            found[" ".join(words)] = "/".join(open_at)
    return found


def test_modules_are_frames_and_single_operations_are_not(stack):
    frames = frame_of(draw(stack(1)).dot)
    assert set(frames.values()) == {"", "stem", "blocks.0"}
    assert frames["x n × 8"] == ""
    assert frames["linear · up Z0 = Z up.weight + up.bias"] == "blocks.0"
    assert frames["relu · act H0 = relu(Z0)"] == "blocks.0"


def test_weights_stand_beside_their_only_reader(stack):
    frames = frame_of(draw(stack(1)).dot)
    assert frames["stem.weight 8 × 8"] == "stem"
    assert frames["down.weight 8 × 8"] == "blocks.0"
    assert not [text for text in frames if "blocks.0.down" in text]


def test_repeated_modules_fold(stack):
    dot = draw(stack(12)).dot
    assert "blocks.0 … blocks.11  × 12" in dot
    assert "cluster" not in dot


def test_a_weight_of_several_modules_is_near_each_of_them(tmp_path):
    names = ["h0", "h1", "h2", "h3"]
    nodes = []
    for n, (a, b) in enumerate(zip(["x", *names], names, strict=False)):
        nodes += [
            node("MatMul", [a, "tied"], f"m{n}", f"/part{n}/MatMul"),
            node("Tanh", [f"m{n}"], b, f"/part{n}/Tanh"),
        ]
    t = saved(tmp_path / "tied.onnx", nodes, {"tied": rng.normal(size=(8, 8))})
    dot = draw(t).dot
    assert dot.count('<font point-size="9.5" color="#06452f">8 × 8 · shared') == 4


@pytest.mark.parametrize(
    ("name", "noted", "path"),
    [
        ("/encoder/layer.0/attn/MatMul_1", None, "encoder/layer.0/attn"),
        ("Conv_12", None, ""),
        ("", None, ""),
        ("model/dense/MatMul", None, "model/dense"),
        ("node_linear_3", "['', 'blocks', 'blocks.3', 'blocks.3.q', 'linear_3']",
         "blocks/blocks.3/q"),
        ("node_relu", "['', 'relu']", ""),
        ("/a\n/b/Relu", None, "b"),
    ],
)  # fmt: skip
def test_the_scope_of_a_node(name, noted, path):
    proto = helper.make_node("Relu", ["x"], ["y"], name)
    if noted is not None:
        entry = onnx.StringStringEntryProto(
            key="pkg.torch.onnx.name_scopes", value=noted
        )
        proto.metadata_props.append(entry)
    assert scope_of(proto) == path


@pytest.mark.parametrize("make", [residual, lambda: transformer(2)])
def test_an_exported_model_has_the_frames_that_it_was_declared_with(make, tmp_path):
    loss, _ = make()
    path = tmp_path / "model.onnx"
    sg.interop.to_onnx({"loss": loss}, path, params=sg.init(loss))
    again = next(iter(sg.interop.from_onnx(path).outputs.values()))
    frames = set(frame_of(draw(again, collapse=None).dot).values())
    declared = set(frame_of(draw(loss, collapse=None).dot).values())
    assert declared <= frames | {""}

"""The views: what a picture holds, how it folds, and what it says when it cannot."""

import os
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import symgrad as sg
from symgrad.drawing import draw
from symgrad.drawing.colours import LogScale, number, on_scale
from symgrad.drawing.layout import render
from symgrad.errors import GraphError, ShapeError
from tests.drawing.models import MODELS, mlp, residual, transformer


def said(dot):
    """Return the labels of a picture, without markup."""
    labels = re.findall(r"label=<(.*?)>, fill|label=\"(.*?)\"", dot)
    texts = [re.sub(r"<[^>]+>", " ", a or b) for a, b in labels]
    entities = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&#x27;": "'", "&amp;": "&"}
    for entity, character in entities.items():
        texts = [t.replace(entity, character) for t in texts]
    return [" ".join(t.split()) for t in texts]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("view", ["forward", "gradient", "flow"])
def test_every_view_of_every_model_is_laid_out(name, view):
    loss, data = MODELS[name]()
    picture = draw(loss, view, data=data)
    assert picture.dot == draw(loss, view, data=data).dot
    root = ElementTree.fromstring(picture.svg)
    assert root.tag.endswith("svg")
    assert render(picture.dot, "png").startswith(b"\x89PNG")


def test_forward_has_layers_shapes_and_formulas():
    loss, _ = mlp()
    dot = draw(loss).dot
    texts = said(dot)
    assert dot.count('subgraph "cluster_layer') == 3
    assert "linear Z1 = X W1 + b1" in texts
    assert "relu H1 = relu(Z1)" in texts
    assert "cross-entropy L = −⟨onehot(y), log_softmax(Z3)⟩ / n" in texts
    assert "n × 6" in texts
    assert "W1 8 × 6" in texts


def test_constants_and_inner_operations_are_not_shown():
    loss, _ = mlp()
    dot = draw(loss).dot
    for word in ("isfinite", "stop_gradient", "expand_dims", "constant", "select"):
        assert word not in dot


def test_gradient_has_cotangents_and_local_derivatives():
    loss, _ = mlp()
    texts = said(draw(loss, "gradient").dot)
    for wanted in (
        "∂L/∂W1 8 × 6",
        "∂L/∂Z1 n × 6",
        "⊙ 𝟙[Z1 > 0]",
        "·W2ᵀ",
        "Xᵀ ·",
        "·ᵀ 𝟏",
        "(softmax(Z3) − onehot(y)) / n",
    ):
        assert wanted in texts, wanted


def test_local_derivatives_of_scalars_are_factors():
    x = sg.param("x", ())
    texts = said(draw((2 * x + 1) ** 2, "gradient").dot)
    assert {"2", "1", "2 t2"} <= set(texts)
    z = sg.param("z", ())
    assert "H (1 − H)" in said(draw(sg.sigmoid(z) * 3, "gradient").dot)


def test_softmax_and_residual_derivatives():
    loss, _ = transformer()
    texts = said(draw(loss, "gradient").dot)
    assert any(t.startswith("P1 ⊙ (· − (· ⊙ P1)") for t in texts)
    assert "1" in texts
    assert "onehot(ids)ᵀ ·" in texts
    assert "where gradients meet, they are added" in draw(loss, "gradient").dot
    assert "they are added" not in draw(mlp()[0], "gradient").dot


def test_only_what_wrt_reaches_has_a_cotangent():
    loss, _ = mlp()
    first = [t for t in _params(loss) if t.name == "layer3/W"]
    texts = said(draw(loss, "gradient", wrt=first).dot)
    assert any(t.startswith("∂L/∂W3") for t in texts)
    assert not any(t.startswith(("∂L/∂W1", "∂L/∂Z1", "∂L/∂b3")) for t in texts)


def _params(loss):
    from symgrad.declare.tensor import Param, topological

    return [t for t in topological([loss]) if isinstance(t.op, Param)]


def test_flow_shows_measured_norms():
    x, w = sg.input("x", (3,)), sg.param("w", (3,))
    loss = sg.sum((w * x) ** 2)
    values = {"w": np.array([1, 2, 3], "f")}
    dot = draw(loss, "flow", data={"x": np.ones(3, "f")}, params=values).dot
    size = np.linalg.norm(2 * values["w"])
    assert number(size) in said(dot)
    assert "‖gradient‖" in dot
    assert "dir=back" in dot


def test_flow_of_a_vanished_gradient_is_dotted():
    x, w = sg.input("x", (3,)), sg.param("w", (3,))
    loss = sg.sum(sg.relu(w * x))
    params = {"w": np.ones(3, "f")}
    dot = draw(loss, "flow", data={"x": -np.ones(3, "f")}, params=params).dot
    assert "style=dotted" in dot


def test_frozen_parameters_look_frozen():
    x = sg.input("x", ("n", 4))
    base = sg.param("W", (4, 4), trainable=False)
    A, B = sg.param("A", (4, 2)), sg.param("B", (2, 4))
    loss = sg.mean((x @ (base + A @ B)) ** 2)
    dot = draw(loss, "gradient").dot
    (line,) = [n for n in dot.splitlines() if "(frozen)" in n]
    assert "dashed" in line
    assert "∂L/∂W " not in " ".join(said(dot))


def test_repeated_layers_fold():
    loss, data = transformer(12)
    for view in ("forward", "gradient"):
        texts = said(draw(loss, view).dot)
        assert any("block1 … block12 × 12" in t for t in texts), view
    assert sum("block" in t for t in said(draw(loss, "flow", data=data).dot)) == 12


def test_collapse():
    loss, _ = residual()
    assert "cluster_block2" in draw(loss).dot
    folded = draw(loss, collapse="scope").dot
    assert "cluster" not in folded
    assert any("block1 … block3 × 3" in t for t in said(folded))
    each = draw(loss, collapse=None).dot
    assert each.count("[label=<") > draw(loss).dot.count("[label=<")


def processor_seconds():
    """Return the time of this process and of the layout engines that it started."""
    return sum(os.times()[:4])


def test_a_thousand_nodes_take_seconds():
    h = sg.input("x", ("n", 8))
    for n in range(250):
        with sg.scope(f"layer{n}"):
            h = sg.relu(h @ sg.param("W", (8, 8)) + sg.param("b", (8,)))
    loss = sg.mean(h * h)
    for view in ("forward", "gradient"):
        start = processor_seconds()
        picture = draw(loss, view)
        assert picture.svg
        assert processor_seconds() - start < 5
        assert any("× 249" in t or "× 250" in t for t in said(picture.dot))


def test_a_chain_without_scopes_folds_with_its_loss():
    h = sg.input("x", ("n", 8))
    for n in range(60):
        h = sg.tanh(h @ sg.param(f"W{n}", (8, 8)))
    texts = said(draw(sg.mean(h * h), "gradient").dot)
    assert any(t.startswith("∂L/∂(") for t in texts)


NASTY = ['a"b', "\\N", "<b>x</b>", "a -> b; }", "]]>&amp;", "%s {0}", "∂ᵀ≤"]


@pytest.mark.parametrize("name", NASTY)
def test_names_are_text(name):
    with sg.scope(name):
        loss = sg.sum(sg.param(name, (2, 2)) @ sg.input(name, (2, 2)))
    svg = draw(loss, "gradient").svg
    root = ElementTree.fromstring(svg)
    shown = "".join(root.itertext()).replace("\xa0", " ")
    assert name.replace("/", ".") in shown or name.rpartition("/")[2] in shown


def test_unknown_words_are_named():
    loss, _ = mlp()
    with pytest.raises(GraphError, match="no view 'sideways'; the views are forward"):
        draw(loss, "sideways")
    with pytest.raises(GraphError, match="collapse='all' is unknown"):
        draw(loss, collapse="all")
    with pytest.raises(GraphError, match="a picture is of a tensor"):
        draw([loss])


def test_wrt_must_be_in_the_graph_and_trainable():
    loss, _ = mlp()
    with pytest.raises(GraphError, match=r"'other'.*not reached"):
        draw(loss, "gradient", wrt=[sg.param("other", (2,))])
    x = sg.input("x", (2,))
    with pytest.raises(GraphError, match="wrt holds tensors, not str 'W'"):
        sg.draw(loss, "gradient", wrt="W")
    with pytest.raises(GraphError, match="a dict from names to arrays, not list"):
        sg.draw(loss, "flow", data=[1.0])
    with pytest.raises(GraphError, match="no trainable parameter"):
        draw(sg.sum(x), "gradient")
    assert "∂L/∂x" in draw(sg.sum(x * x), "gradient", wrt=x).dot


def test_missing_data_and_parameters():
    loss, data = mlp()
    with pytest.raises(GraphError, match=r"'X' float32\[n, 8\].*data="):
        draw(loss, "flow")
    with pytest.raises(GraphError, match="params has no array for 'layer1/W'"):
        draw(loss, "flow", data=data, params={})


def test_a_gradient_is_of_a_scalar():
    with pytest.raises(ShapeError, match="summed first"):
        draw(sg.param("w", (3,)) * 2, "gradient")


def test_leaves_alone():
    assert "x" in draw(sg.input("x", (2,))).dot
    assert draw(sg.constant(2.0)).svg


def test_scale():
    scale = LogScale([1e-6, 1.0, 0.0, float("nan")])
    assert scale.place(1e-6) == 0
    assert scale.place(1.0) == 1
    assert scale.place(1e-3) == pytest.approx(0.5)
    assert scale.place(0.0) is None
    assert scale.place(float("inf")) is None
    lightness = [_luminance(on_scale(k / 10)) for k in range(11)]
    assert lightness == sorted(lightness, reverse=True)


def _luminance(colour):
    r, g, b = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_numbers_are_short():
    assert [number(v) for v in (0.0, 1.234, 250.0, 3e-7, 5e6)] == [
        "0",
        "1.2",
        "250",
        "3.0·10⁻⁷",
        "5.0·10⁶",
    ]


@pytest.mark.parametrize("collapse", ["auto", "scope", None])
def test_attention_of_several_heads(collapse):
    """A reshape of a transposed product, which has no box of its own."""
    x = sg.input("x", ("n", 4, 8))
    loss = sg.mean(sg.nn.transformer_block(x, 2, name="block") ** 2)
    text = draw(loss, "gradient", collapse=collapse).dot
    assert "softmax" in text
    assert "reshape(" in text


def test_a_weight_that_is_transposed_gets_its_gradient():
    """A movement of a leaf has no box; what goes back through it comes to the leaf."""
    x, W = sg.input("x", ("n", 4)), sg.param("W", (3, 4))
    b = sg.param("b", (3, 1))
    text = draw(sg.mean((x @ W.T + b.T) ** 2), "gradient").dot
    assert "∂L/∂W" in text
    assert "∂L/∂b" in text
    assert re.search(r'label=" *·ᵀ x "', text)


def adapted(layers=3):
    """Layers whose weights are computed: ``tanh(x (W + A B))``."""
    h = sg.input("x", ("n", 4))
    for n in range(layers):
        with sg.scope(f"layer{n + 1}"):
            h = sg.tanh(h @ sg.nn.lora(sg.param("W", (4, 4)), rank=2))
    return sg.nn.mse(h, sg.input("y", ("n", 4)))


@pytest.mark.parametrize("view", ["forward", "gradient"])
def test_frames_stand_below_each_other(view):
    """Also where what a frame computes begins above what it reads."""
    tree = ElementTree.fromstring(draw(adapted(), view=view).svg)
    ends = {}
    for g in tree.iter("{http://www.w3.org/2000/svg}g"):
        name = g.findtext("{http://www.w3.org/2000/svg}title") or ""
        if re.fullmatch(r"cluster_layer\d", name):
            path = g.find("{http://www.w3.org/2000/svg}path").get("d")
            ys = [float(y) for y in re.findall(r"[-\d.]+,([-\d.]+)", path)]
            ends[name] = min(ys), max(ys)
    assert ends["cluster_layer1"][1] < ends["cluster_layer2"][0]
    assert ends["cluster_layer2"][1] < ends["cluster_layer3"][0]


def test_the_last_activation_of_a_layer_is_not_a_part_of_the_loss():
    texts = said(draw(adapted(), view="gradient").dot)
    assert "tanh H3 = tanh(Z3b)" in texts
    assert any("H3 − y" in t for t in texts)


@pytest.mark.parametrize("view", ["forward", "gradient"])
def test_long_names_leave_room(view):
    name = "long" * 60
    h = sg.input(name, ("n", 4))
    with sg.scope(name):
        for part in "abc":
            h = sg.tanh(h @ sg.param(f"{name}{part}", (4, 4)))
    svg = draw(sg.mean(h * h), view).svg
    width = float(re.search(r'width="(\d+)pt"', svg).group(1))
    assert width < 1400
    assert name in svg  # whole, when it is pointed at


def test_norms_of_many_tensors_are_those_of_few(monkeypatch):
    loss, data = residual()
    few = draw(loss, "flow", data=data).dot
    monkeypatch.setattr("symgrad.drawing.measure.MANY", 3)
    assert draw(loss, "flow", data=data).dot == few


def test_an_answer_is_not_a_part_of_its_error():
    """The delta rule: the activation before a squared error is a box of its own."""
    x, y = sg.input("x", ("n", 4)), sg.input("y", ("n", 3))
    z = x @ sg.param("W", (4, 3))
    texts = said(draw(sg.mean((sg.sigmoid(z) - y) ** 2), view="gradient").dot)
    assert {"sigmoid H = σ(Z)", "2 (H − y) / (3 n)", "⊙ H ⊙ (1 − H)"} <= set(texts)
    texts = said(draw(sg.mean((sg.softmax(z) - y) ** 2), view="gradient").dot)
    assert "P ⊙ (· − (· ⊙ P) 𝟏 𝟏ᵀ)" in texts
    texts = said(draw(sg.mean((sg.gelu(z) - y) ** 2), view="gradient").dot)
    assert "⊙ gelu′(Z)" in texts
    texts = said(draw(sg.nn.mse(sg.nn.layer_norm(x), sg.input("t", ("n", 4)))).dot)
    assert any("normalise" in t for t in texts)

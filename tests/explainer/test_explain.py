"""The page's scenes: their numbers are those of the model, measured in other ways."""

import io
import json
import re
import runpy
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

import symgrad as sg
from symgrad.cli import main
from symgrad.explainer import public
from symgrad.explainer.progress import shown_on_stderr
from symgrad.explainer.public import Explanation
from symgrad.explainer.scenes import adapters, problem
from symgrad.explainer.scenes.formulas import activations
from symgrad.explainer.subject import Subject

ROOT = Path(sg.__file__).parents[1]


def scene(explanation, name):
    return next(s for s in explanation.scenes if s.id == name)


def formulas(s):
    """Return every formula of a scene, checked to be well formed, as letters."""
    rows = [row for panel in s.panels for row in panel.get("lines", [])]
    return ["".join(ET.fromstring(r["math"]).itertext()) for r in rows if r["math"]]


def test_about_two_minutes(page):
    assert 110 <= page.seconds <= 130
    assert len(page.scenes) == 13
    for s in page.scenes:
        assert 6 <= s.seconds <= 15
        assert s.beats[0][0] == 0
        assert all(0 <= at < s.seconds - 1 for at, _ in s.beats)
        assert [at for at, _ in s.beats] == sorted(at for at, _ in s.beats)


def test_the_story_is_complete(page):
    assert [s.id for s in page.scenes] == [
        "problem", "descent", "chain", "forward", "backward", "vanishing", "relu",
        "skip", "highway", "transformer", "lora", "instability", "formulas",
    ]  # fmt: skip


def test_one_file_that_loads_nothing(page, tmp_path):
    text = page.save(tmp_path / "page.html").read_text(encoding="utf-8")
    assert len(text) < 3_000_000
    for url in re.findall(r"https?://[^\"' )]+", text):
        assert url.startswith("http://www.w3.org/"), url
    assert "default-src &#x27;none&#x27;" in text
    story = re.search(
        r'<script type="application/json" id="story">(.*?)</script>', text
    )
    assert len(json.loads(story[1])["scenes"]) == 13
    assert "{{" not in text.replace("${{", "")


def test_the_update_is_a_step_of_descent(page, jax_numbers):
    loss, gradients, _ = jax_numbers
    (found,) = [
        f for f in formulas(scene(page, "problem")) if re.match(r"L=[\d.]+$", f)
    ]
    assert float(found[2:]) == pytest.approx(float(loss), rel=5e-3)
    update = formulas(scene(page, "problem"))[-1].replace("−", "-")
    w, rate, g, after = map(
        float,
        re.match(r"(-?[\d.]+)-([\d.]+)·\((-?[\d.]+)\)=(-?[\d.]+)", update).groups(),
    )
    assert w - rate * g == pytest.approx(after, abs=2e-3)
    name, place = re.match(
        r"for (.+)\[(.+)\]", scene(page, "problem").panels[1]["lines"][-1]["text"]
    ).groups()
    at = tuple(map(int, place.split(",")))
    assert gradients[name][at] == pytest.approx(g, rel=5e-3)


def by_jax(s):
    """Return loss, gradients by parameter, and by the values of each block.

    The built-in network again, written down in JAX and computed in float64.
    """
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        p = {n: jax.numpy.float64(a) for n, a in s.params.items()}
        x, y = s.data["X"].astype("float64"), s.data["y"]
        blocks = sorted({n.partition("/")[0] for n in p if n.startswith("block")})

        def network(p, shifts):
            def dense(h, name):
                return h @ p[f"{name}/W"] + p[f"{name}/b"]

            h = jax.nn.relu(dense(x + shifts[0], "stem")) + shifts[1]
            for name, shift in zip(blocks, shifts[2:-1], strict=True):
                inner = jax.nn.relu(dense(h, f"{name}/in"))
                h = h + dense(inner, f"{name}/out") + shift
            z = dense(h, "head") + shifts[-1]
            return -jax.numpy.mean(jax.nn.log_softmax(z)[np.arange(len(y)), y])

        width, rows = p["head/W"].shape[0], len(y)
        shifts = [np.zeros((rows, 64)), *[np.zeros((rows, width))] * (len(blocks) + 1)]
        shifts.append(np.zeros((rows, 10)))
        found = jax.value_and_grad(network, (0, 1))
        loss, (by_params, by_places) = found(p, shifts)
        gradients = {n: np.asarray(g) for n, g in by_params.items()}
        return float(loss), gradients, [float(np.linalg.norm(g)) for g in by_places]


@pytest.fixture(scope="module")
def jax_numbers(page):
    return by_jax(page.subject)


def test_norms_of_the_backward_pass(page, jax_numbers):
    norms = jax_numbers[2]
    nodes = scene(page, "backward").panels[0]["nodes"]
    shown = [float(n["value"].removeprefix("‖g‖ ")) for n in nodes[:-1]]
    assert shown == pytest.approx(norms, rel=5e-3)


def test_answers_are_those_of_the_model(page):
    s = page.subject
    (z,) = s.values_of([s.stations[-1].node])
    right = int((z.argmax(-1) == s.data["y"]).sum())
    said = scene(page, "problem").beats[0][1]
    assert said == f"128 samples and the right answers. The model gives {right} of 128."
    items = scene(page, "problem").panels[0]["items"]
    assert [i["right"] for i in items] == (z.argmax(-1) == s.data["y"])[:6].tolist()


def test_captions_can_be_read(page):
    for s in page.scenes:
        ends = [*(at for at, _ in s.beats[1:]), s.seconds]
        for (at, text), end in zip(s.beats, ends, strict=True):
            assert end - at >= 2
            assert len(text) / (end - at) < 22, text
        assert [p[0] for p in s.pace] == [*(at for at, _ in s.beats), s.seconds]


def letters(math):
    return "".join(ET.fromstring(math).itertext()).replace("\u2061", "")


def test_formulas_to_keep_are_mathematics(page, jax_numbers):
    rows = [r["cells"] for r in scene(page, "formulas").panels[0]["rows"]]
    said = {letters(formula["math"]): here for formula, _, here in rows}
    _, gradients, norms = jax_numbers
    assert said["δ=softmax(z)−onehot(y)n"] == f"its norm is {norms[-1]:.3g}"
    assert said["δ6=δW⊤"] == f"norm × {norms[-2] / norms[-1]:.3g}"
    weight = float(np.linalg.norm(gradients["head/W"]))
    assert said["∂L∂W=h6⊤δ"] == f"its norm is {weight:.3g}"
    assert said["relu′(x)=𝟙[x>0]"] == "never steeper than 1"
    assert "∂(x+f(x))∂x=1+∂f∂x" in said


def test_a_scaling_is_no_activation():
    x, y = sg.input("x", ("n", 3)), sg.input("y", ("n", 2))
    h = sg.tanh(x @ sg.param("V", (3, 4)) / 4.0) * 0.5
    rng = np.random.default_rng(0)
    data = {"x": rng.normal(size=(9, 3)), "y": rng.normal(size=(9, 2))}
    loss = sg.nn.mse(h @ sg.param("W", (4, 2)), y)
    ((shown, *row),) = activations(Subject(loss, data))
    assert letters(shown) == "f′(x)=1−tanh2(x4)8"
    assert row == [
        "at each f(x) = tanh(x / 4) / 2: once on the way", "never steeper than 1/8",
    ]  # fmt: skip


def test_a_model_with_lora_of_its_own():
    x, y = sg.input("x", ("n", 16)), sg.input("y", ("n", 8))
    loss = sg.nn.mse(x @ sg.nn.lora(sg.param("W", (16, 8)), 2), y)
    data = {"x": np.ones((4, 16), "f"), "y": np.zeros((4, 8), "f")}
    found = adapters.scene(Subject(loss, data))
    assert found.beats[1][1] == (
        "Only factors are trained: 48 numbers in place of 128 (37.5%)."
    )
    said = found.panels[1]["lines"][-1]["text"]
    assert said.startswith("measured: ‖∂L/∂A‖ = 0, ‖∂L/∂B‖ = ")
    assert said.endswith("B is still 0, so A has none yet")


def test_an_interrupt_leaves_no_trace(page, monkeypatch):
    """What was interrupted can be asked for again."""
    again = Explanation(page.subject)

    def stop(s):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(public, "SCENES", (problem.scene, stop))
        with pytest.raises(KeyboardInterrupt):
            again.scenes  # noqa: B018
    assert len(again.scenes) == 13


def test_progress_on_a_terminal(monkeypatch):
    shown = io.StringIO()
    shown.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", shown)
    with shown_on_stderr(2) as begin:
        begin("[deriving]")
        begin("measuring")
    assert "measuring" in shown.getvalue()
    shown = io.StringIO()
    monkeypatch.setattr("sys.stderr", shown)
    with shown_on_stderr(2) as begin:
        begin("deriving")
    assert shown.getvalue() == ""


def test_the_chain_is_a_finite_difference(page):
    """Move one weight: the loss changes as the sum over the chain says."""
    s = page.subject
    found = formulas(scene(page, "chain"))
    total = float(found[-1].partition("=")[2].replace("−", "-"))
    text = scene(page, "chain").panels[1]["lines"][-1]["text"]
    name, i, j = re.search(r"gradient of (.+)\[(\d+), (\d+)\]", text).groups()

    def loss(step):
        moved = {n: np.array(a, np.float64) for n, a in s.params.items()}
        moved[name][int(i), int(j)] += step
        program = sg.compile(s.model.inputs, s.loss, dtype="float64")
        arrays = [s.data[t.name] for t in s.model.inputs]
        arrays = [a.astype("float64") if a.dtype.kind == "f" else a for a in arrays]
        return float(program(*arrays, params=moved))

    measured = (loss(1e-5) - loss(-1e-5)) / 2e-5
    assert measured == pytest.approx(total, rel=1e-2)


def test_vanishing_has_this_depth(page):
    found = " ".join(formulas(scene(page, "vanishing")))
    depth = page.subject.depth
    assert f"0.25{depth}=" in found
    assert "0.510=9.8·10−4" in found
    assert "sup|σ′|=14atx=0" in found


def test_shares_of_the_highway(page):
    """With shortcuts and without, by gradients of the two models."""
    figure = scene(page, "highway").panels[0]
    with_road, without = figure["lanes"]
    assert len(with_road["blocks"]) == len(without["blocks"]) == 5
    assert "times less arrives" in scene(page, "highway").beats[-1][1]
    widths = [b["road"] for b in without["blocks"]]
    assert widths == sorted(widths)


def test_lora_counts_what_it_trains(page):
    said = scene(page, "lora").beats[1][1]
    few, many = (int(n.replace(",", "")) for n in re.findall(r"[\d,]*\d{3}", said)[:2])
    s = page.subject
    trained, _ = s.parameters
    assert many == trained
    rank = scene(page, "lora").panels[0]["rank"]
    rows, columns = (scene(page, "lora").panels[0][k] for k in ("rows", "columns"))
    assert few == rank * (rows + columns)


def test_hostile_names_and_no_number(page):
    """Names are text, whatever they hold, and a loss may be NaN from the start."""
    assert page.scenes  # the built-in network is shown where there are no numbers
    x = sg.input("</script><b>", ("n", 3))
    W = sg.param("<script>alert(1)</script>", (3, 2))
    data = {"</script><b>": np.ones((4, 3), np.float32)}
    loss = sg.mean(sg.log(-sg.abs(x @ W) - 1))
    found = sg.explain(loss, data, name="<i>it</i>{{x}}")
    assert "<script>alert" not in found.html
    assert "</script><b>" not in found.html
    assert "<i>it" not in found.html
    assert "The loss says how wrong it is: NaN." in found.storyboard
    assert 110 <= found.seconds <= 130
    assert {s.id for s in found.scenes if s.note} == {
        "descent", "relu", "skip", "highway", "transformer",
    }  # fmt: skip
    for s in found.scenes:
        formulas(s)
        json.dumps(s.data(), allow_nan=False)


MODEL = """
import numpy as np
import symgrad as sg

x = sg.input("x", ("n", 3))
loss = sg.mean((x @ sg.param("W", (3, 2))) ** 2), {"x": np.ones((4, 3), "float32")}
"""


def test_the_command(page, tmp_path, capsys):
    assert page.scenes  # the built-in network stands in where a model has none
    file, target = tmp_path / "my_model.py", tmp_path / "page.html"
    file.write_text(MODEL, encoding="utf-8")
    assert main(["explain", f"{file}:loss", "-o", str(target)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert re.match("13 scenes of 1[12]. seconds are in", said)
    assert "my_model" in target.read_text(encoding="utf-8").casefold()


def test_the_example():
    example = runpy.run_path(str(ROOT / "examples" / "explain_my_model.py"))
    loss, data = example["loss"]()
    found = sg.explain(loss, data, name="the digits network")
    assert [s.name for s in found.subject.stations] == [
        "x", "stem", "block1", "block2", "block3", "head",
    ]  # fmt: skip
    assert "cross" in sg.formula(loss) or "log_softmax" in sg.formula(loss)


def test_the_commands_errors(tmp_path, capsys):
    file = tmp_path / "model.py"
    file.write_text("three = (1, 2, 3)\n")
    assert main(["explain", f"{file}:three"]) == 1
    assert "is a tuple of 3" in capsys.readouterr().err
    assert main(["explain", "--data", "x.npz"]) == 1
    assert "--data belongs to a model" in capsys.readouterr().err


def test_a_trainer_tells_its_rate():
    x, t = sg.input("x", ("n", 3)), sg.input("t", ("n", 1))
    trainer = sg.Trainer(
        sg.mean((x @ sg.param("W", (3, 1)) - t) ** 2), sg.optim.SGD(0.05), seed=1
    )
    rng = np.random.default_rng(0)
    data = {"x": rng.normal(size=(9, 3)), "t": rng.normal(size=(9, 1))}
    trainer.step(**data)
    found = sg.explain(trainer, data)
    assert found.subject.rate == 0.05
    np.testing.assert_array_equal(found.subject.params["W"], trainer.params["W"])
    assert "0.05" in formulas(problem.scene(found.subject))[-1]


def test_errors(tmp_path, page):
    x = sg.input("x", ("n", 3))
    with pytest.raises(sg.ShapeError, match="takes a scalar, but 'x'"):
        sg.explain(x, {"x": np.ones((2, 3))})
    with pytest.raises(sg.GraphError, match="'x' missing"):
        sg.explain(sg.sum(x))
    with pytest.raises(sg.GraphError, match="takes a loss or a trainer, not int"):
        sg.explain(3)
    with pytest.raises(sg.GraphError, match="belong to a loss"):
        sg.explain(None, {"x": 1})
    with pytest.raises(sg.FormatError, match=r"suffix is \.html"):
        page.save(tmp_path / "a.pdf")
    assert "13 scenes" in repr(page)
    assert "srcdoc=" in page._repr_html_()
    assert page.storyboard.startswith("1. The learning problem")


def test_a_loss_that_is_a_parameter():
    p = sg.param("p", (), init=3.0)
    assert len(sg.explain(p, {}).scenes) == 13


def test_models_without_data_or_parameters(page):
    assert page.scenes  # what these lack is shown on the built-in network
    bare = sg.explain(sg.sum(sg.param("p", (4, 3)) ** 2))
    assert scene(bare, "problem").beats[0][1].startswith("No data come in")
    assert "Its norm there: " in scene(bare, "backward").beats[-1][1]
    x = sg.input("x", ("n", 3))
    frozen = sg.mean((x @ sg.param("W", (3, 2), trainable=False)) ** 2)
    found = sg.explain(frozen, {"x": np.ones((4, 3), np.float32)})
    said = [text for _, text in scene(found, "problem").beats]
    assert said[0] == "4 samples and nothing else: the loss is made of them alone."
    assert said[-1] == "No parameter is trained here, so nothing is learned."
    for made in (bare, found):
        assert 110 <= made.seconds <= 130
        assert made.html

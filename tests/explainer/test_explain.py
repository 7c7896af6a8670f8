"""The page's scenes: their numbers are those of the model, measured in other ways."""

import json
import re
import runpy
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

import symgrad as sg
from symgrad.cli import main
from symgrad.explainer.scenes import problem

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
        assert 7 <= s.seconds <= 12
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


def test_the_update_is_a_step_of_descent(page):
    s = page.subject
    loss = s.run(s.loss)
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
    gradient = {
        p.name: s.run(s.gradient(p)) for p in s.model.trainable if p.name == name
    }[name]
    at = tuple(map(int, place.split(",")))
    assert gradient[at] == pytest.approx(g, rel=5e-3)


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
    assert "The loss says how wrong it is: NaN at present." in found.storyboard
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
    assert said.startswith("13 scenes of 122 seconds are in")
    assert "my_model" in target.read_text(encoding="utf-8").casefold()


def test_the_example():
    example = runpy.run_path(str(ROOT / "examples" / "explain_my_model.py"))
    loss, data = example["loss"]()
    found = sg.explain(loss, data, name="the digits network")
    shown = problem.scene(found.subject)
    assert shown.panels
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

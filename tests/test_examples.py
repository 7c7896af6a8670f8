"""What the README and the examples show is what happens."""

import contextlib
import io
import re
import runpy
from pathlib import Path

import pytest

from symgrad.cli import main

ROOT = Path(__file__).parent.parent


def test_the_readmes_example(capsys, tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    with contextlib.redirect_stderr(io.StringIO()) as lines:
        (tmp_path / "example.py").write_text(code, encoding="utf-8")
        runpy.run_path(str(tmp_path / "example.py"))
    said = capsys.readouterr().out
    shown = re.findall(r"^# (.*)$", code, re.MULTILINE)
    assert said.startswith(f"{shown[0]}\n{shown[2]}\n# kernel 0")
    accuracy = re.compile(r"accuracy (0\.\d+)")
    last = float(accuracy.findall(lines.getvalue())[-1])
    assert last == pytest.approx(float(accuracy.search(shown[1])[1]), abs=0.01)


def test_the_perceptron(capsys):
    example = runpy.run_path(str(ROOT / "examples" / "mlp_digits.py"))
    history = example["main"](epochs=8)
    assert history["validation_accuracy"][-1] > 0.96
    assert capsys.readouterr().out.startswith("test accuracy 9")


def test_the_readmes_closed_forms(capsys):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[1]
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102  our own text
    shown = re.findall(r"^# (.*)$", code, re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == shown


def test_the_readmes_command(capsys):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"\$ symgrad derive \S*.*? x\n(.*?)\n\n\$", text, re.DOTALL)[1]
    assert main(["derive", "(2*x + 1)**2", "x"]) == 0
    assert capsys.readouterr().out.strip() == shown


def test_the_closed_forms(capsys):
    example = runpy.run_path(str(ROOT / "examples" / "closed_forms.py"))
    assert max(example["main"]().values()) < 1e-8
    out = capsys.readouterr().out
    assert "= 2 Xᵀ (X w − y)" in out
    assert out.rstrip().endswith("[0.   0.25 0.  ]")


def test_the_gaussian_process(capsys):
    example = runpy.run_path(str(ROOT / "examples" / "gaussian_process.py"))
    found, history = example["main"](points=25, steps=25)
    assert history[-1] > history[0] + 5
    assert 0.03 < found[2] < 0.3  # the noise is 0.1
    assert "∂/∂K     = (K⁻ᵀ y yᵀ K⁻ᵀ − K⁻ᵀ) / 2" in capsys.readouterr().out


def test_the_pictures(tmp_path, capsys):
    example = runpy.run_path(str(ROOT / "examples" / "pictures.py"))
    example["main"](tmp_path, layers=2, blocks=2, suffix=".dot")
    names = {Path(line).stem for line in capsys.readouterr().out.splitlines()}
    assert names == {"gradient", "vanishing", "highways"}


def run(name, **options):
    return runpy.run_path(str(ROOT / "examples" / f"{name}.py"))["main"](**options)


def test_the_residual_network(capsys):
    history = run("residual_cnn", epochs=5, widths=(8, 16), blocks=1)
    assert history["validation_accuracy"][-1] > 0.7
    assert "test accuracy" in capsys.readouterr().out


def test_the_autoencoder(capsys):
    losses = run("variational_autoencoder", epochs=4)
    assert losses[-1] < 0.8 * losses[0]
    assert len(capsys.readouterr().out.splitlines()) == 9


def test_the_physics_informed_network():
    assert max(run("physics_informed", steps=800, points=200, width=16)) < 0.1


def test_the_transformer_of_characters_and_its_adaption(capsys):
    small = {"layers": 1, "width": 32, "heads": 2}
    base, tuned = run("characters_lora", epochs=1, stride=400, base_epochs=3, **small)
    losses = base.history["loss"]
    assert losses[-1] < losses[0] - 0.5
    assert "bit for bit what it was" in capsys.readouterr().out
    assert all(n.endswith(("/A", "/B")) for n in tuned.params.keys() - base.params)


def test_the_adding_problem(capsys):
    example = runpy.run_path(str(ROOT / "examples" / "lstm_adding.py"))
    _, right, square = example["main"](16, time=6, count=2000, epochs=10, size=50)
    assert square < 0.02  # 1/6 without memory
    assert right > 0.2
    assert capsys.readouterr().out.startswith("6 elements: ")


def test_the_diagnosis(capsys):
    example = runpy.run_path(str(ROOT / "examples" / "diagnose_vanishing.py"))
    predicted, confirmed, healthy = example["main"](samples=256, epochs=5, depth=8)
    assert predicted.findings[0].kind == confirmed.findings[0].kind == "vanishing"
    assert healthy.healthy
    said = capsys.readouterr().out
    assert "sup|sigmoid′| = 1/4" in said
    assert "predicted without data" in said
    assert "confirmed" in said
    assert said.rstrip().endswith("healthy")

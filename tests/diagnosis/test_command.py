"""``symgrad diagnose`` on a Python file."""

import io

import numpy as np
import pytest
from rich.console import Console

import symgrad as sg
from symgrad.cli import main
from symgrad.commands.diagnose import show
from symgrad.diagnosis.report import shown

MODEL = """
import numpy as np
import symgrad as sg
x = sg.input("x", ("n", 4))
b = sg.param("b", (6,), init=[0, -99, -99, -99, -99, 0])
loss = sg.mean((sg.relu(x @ sg.param("W", (4, 6)) + b) @ sg.param("V", (6, 2))) ** 2)
data = {"x": np.random.default_rng(0).normal(size=(64, 4))}
def run():
    trainer = sg.Trainer(loss, sg.optim.SGD(0.01))
    return trainer, data, [trainer.step(**data) for _ in range(5)]
broken = 1 / 0 if False else None
"""


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.py"
    path.write_text(MODEL)
    return path


def test_a_run_of_a_file(model, tmp_path, capsys):
    page = tmp_path / "report.html"
    assert main(["diagnose", f"{model}:run", "--out", str(page)]) == 1
    said = capsys.readouterr().out
    assert "dead relu" in said
    assert "units 1–4" in said
    assert "predicted" in said
    assert "<svg" in page.read_text()


def test_a_loss_with_data_of_a_file(model, tmp_path, capsys):
    data = tmp_path / "data.npz"
    np.savez(data, x=np.ones((8, 4)))
    main(["diagnose", f"{model}:loss", "--data", str(data)])
    assert "sharpness" in capsys.readouterr().out


def test_a_loss_without_data_is_predicted(model, capsys):
    assert main(["diagnose", f"{model}:loss"]) == 0
    assert "no data were given" in capsys.readouterr().out


def test_a_saved_loss(tmp_path, capsys):
    x = sg.input("x", ("n", 4))
    loss = sg.mean((x @ sg.param("W", (4, 2))) ** 2)
    sg.compile([x], {"loss": loss, "rows": x}).save(tmp_path / "loss.safetensors")
    np.savez(tmp_path / "data.npz", x=np.ones((8, 4)))
    data = ["--data", str(tmp_path / "data.npz")]
    assert main(["diagnose", str(tmp_path / "loss.safetensors"), *data]) == 0
    assert "No findings" in capsys.readouterr().out


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_fits_the_terminal(width):
    """No number is cut; columns give way, and a bar is drawn where there is room."""
    x = sg.input("x", ("n", 4))
    h = x
    for n in range(6):
        with sg.scope(f"stage{n}"):
            h = sg.sigmoid(h @ sg.param("W", (4, 4)))
    rows = {"x": np.random.default_rng(0).normal(size=(64, 4)).astype("float32")}
    found = sg.diagnose(sg.Trainer(sg.mean(h), sg.optim.SGD(0.1)), rows)
    console = Console(file=io.StringIO(), width=width)
    show(console, found)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    table = [line for line in lines if line.startswith("stage")]
    assert len(table) == 6
    assert "…" not in "".join(table)
    cells = [shown(row["gradient_norm"]) for row in found.layers]
    assert all(cell in line for cell, line in zip(cells, table, strict=True))
    assert ("█" in table[-1]) == (width == 120)
    assert any("wider terminals show" in line for line in lines) == (width < 120)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model.py", "as in model.py:loss"),
        ("nowhere.py:loss", "there is no file"),
        ("{}:missing", "defines no 'missing'"),
        ("{}:data", "takes a loss or a trainer"),
        ("absent.onnx", "there is no such file"),
    ],
)
def test_what_is_wrong_is_said(model, capsys, text, said):
    assert main(["diagnose", text.format(model)]) == 1
    assert said in capsys.readouterr().err

"""``symgrad diagnose`` on a Python file."""

import numpy as np
import pytest

from symgrad.cli import main

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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model.py", "is not like model.py:loss"),
        ("nowhere.py:loss", "there is no file"),
        ("{}:missing", "defines no 'missing'"),
        ("{}:data", "takes a loss or a trainer"),
    ],
)
def test_what_is_wrong_is_said(model, capsys, text, said):
    assert main(["diagnose", text.format(model)]) == 1
    assert said in capsys.readouterr().err

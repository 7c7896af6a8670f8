"""``symgrad compile``: on files of Python, ONNX and saved programs."""

import subprocess
import sys

import numpy as np
import pytest

import symgrad as sg
from symgrad import cli

MODEL = """
import symgrad as sg
x = sg.input("x", ("n", 3))
w = sg.param("w", (3,), init="ones")
y = x @ w
trainer = sg.Trainer(sg.mean(y * y), sg.optim.SGD(0.1))
number = 3
"""


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.py"
    path.write_text(MODEL)
    return path


def test_every_form_computes_the_same(model, tmp_path, capsys):
    saved, module = tmp_path / "y.safetensors", tmp_path / "out.py"
    assert cli.main(["compile", f"{model}:y", "-o", str(saved)]) == 0
    out = capsys.readouterr().out
    assert "inputs   x float32[n, 3]" in out
    assert f"wrote {saved}" in out
    assert cli.main(["compile", str(saved), "-o", str(module)]) == 0
    x = np.arange(6, dtype="f").reshape(2, 3)
    params = {"w": np.ones(3, "f")}
    assert sg.load(saved)(x, params=params).tolist() == [3, 12]
    code = "import out, numpy as np; out.warm_up(); print(out.run("
    code += "np.arange(6).reshape(2, 3), params={'w': np.ones(3, 'f')}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert "[ 3., 12.]" in done.stdout, done.stderr


def test_onnx_there_and_back(model, tmp_path, capsys):
    pytest.importorskip("onnx")
    path = tmp_path / "y.onnx"
    assert cli.main(["compile", f"{model}:y", "-o", str(path)]) == 0
    assert cli.main(["compile", str(path), "--source"]) == 0
    assert "def kernel" in capsys.readouterr().out


def test_a_trainer(model, capsys):
    assert cli.main(["compile", f"{model}:trainer"]) == 0
    assert "w float32[3]\nkernels" in capsys.readouterr().out


def test_errors(model, tmp_path, capsys):
    assert cli.main(["compile", f"{model}:number"]) == 1
    assert "is of type int; it is a tensor" in capsys.readouterr().err
    assert cli.main(["compile", str(tmp_path / "absent")]) == 1
    assert "no such file" in capsys.readouterr().err
    bad = tmp_path / "absent" / "out.py"
    assert cli.main(["compile", f"{model}:y", "-o", str(bad)]) == 1
    assert "cannot write" in capsys.readouterr().err

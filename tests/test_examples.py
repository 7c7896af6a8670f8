"""What the README and the examples show is what happens."""

import contextlib
import io
import re
import runpy
from pathlib import Path

import pytest

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

"""``symgrad draw``: files of every kind, views, and what is said when it cannot."""

import numpy as np
import pytest

import symgrad as sg
from symgrad.cli import main
from tests.drawing.models import residual

MODEL = """
import numpy as np
import symgrad as sg

x = sg.input("x", ("n", 3))
loss = sg.mean((x + sg.relu(x @ sg.param("W", (3, 3)))) ** 2)
run = loss, {"x": np.ones((2, 3), "float32")}
text = "no tensor"
"""


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.py"
    path.write_text(MODEL, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("suffix", "begins"),
    [(".svg", b"<?xml"), (".png", b"\x89PNG"), (".pdf", b"%PDF"), (".dot", b"digraph"),
     (".html", b"<!doctype html>")],
)  # fmt: skip
def test_every_kind_of_file(model, tmp_path, capsys, suffix, begins):
    out = tmp_path / f"picture{suffix}"
    assert main(["draw", f"{model}:loss", "-o", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert out.read_bytes().startswith(begins)


def test_views_of_measured_gradients(model, tmp_path):
    out = tmp_path / "roads.dot"
    more = ["--view", "highways", "--compare", "without_residuals"]
    assert main(["draw", f"{model}:run", "-o", str(out), *more]) == 0
    assert "Without residuals" in out.read_text("utf-8")
    data = tmp_path / "data.npz"
    np.savez(data, x=np.ones((4, 3), "float32"))
    more = ["--view", "flow", "--data", str(data), "--collapse", "none"]
    assert main(["draw", f"{model}:loss", "-o", str(out), *more]) == 0
    assert "‖gradient‖" in out.read_text("utf-8")


def test_a_saved_program(tmp_path):
    loss, _ = residual(2)
    x, y = sorted(inputs_of(loss), key=lambda t: t.name)
    path = tmp_path / "step.safetensors"
    sg.compile([x, y], [loss]).save(path)
    out = tmp_path / "step.dot"
    assert main(["draw", str(path), "-o", str(out)]) == 0
    assert "cluster_block2" in out.read_text("utf-8")


def inputs_of(t):
    from symgrad.declare.tensor import Input, topological

    return [n for n in topological([t]) if isinstance(n.op, Input)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{model}:text", "-o", "a.svg"], "it should be a tensor, a trainer"),
        (["{model}:loss", "-o", "a.gif"], "its suffix is .gif"),
        (["{model}:loss", "-o", "a.svg", "--view", "flow"], "'x', in --data"),
        (["{model}:none", "-o", "a.svg"], "defines no 'none'"),
        (["absent.safetensors", "-o", "a.svg"], "absent.safetensors"),
    ],
)
def test_what_cannot_be_drawn_is_said(model, capsys, arguments, message):
    words = [a.format(model=model) for a in arguments]
    assert main(["draw", *words]) == 1
    assert message in capsys.readouterr().err


def test_data_that_are_no_npz_file(model, tmp_path, capsys):
    np.save(tmp_path / "one.npy", np.ones(3))
    np.savez(tmp_path / "whole.npz", x=np.ones((9, 3)))
    whole = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.npz").write_text("x = 1")
    (tmp_path / "flipped.npz").write_bytes(whole[:90] + b"\0\0" + whole[92:])
    for name in ("one.npy", "cut.npz", "text.npz", "flipped.npz", "absent.npz"):
        data = ["--view", "flow", "--data", str(tmp_path / name)]
        assert (
            main(["draw", f"{model}:loss", "-o", str(tmp_path / "a.svg"), *data]) == 1
        )
        said = capsys.readouterr().err
        assert name in said
        assert "np.savez" in said or "No such file" in said
    assert not (tmp_path / "a.svg").exists()

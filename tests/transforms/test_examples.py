"""The examples of function transforms converge."""

import runpy
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_newton():
    assert runpy.run_path(str(EXAMPLES / "transforms_newton.py"))["main"]() < 1e-12


def test_sparse(capsys):
    assert runpy.run_path(str(EXAMPLES / "transforms_sparse.py"))["main"]() < 1e-9
    assert "1600 equations, 7840 entries" in capsys.readouterr().out

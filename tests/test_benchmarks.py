"""The benchmark runner runs: its figures are for people, no test judges them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks import report, runner, startup
from tests.benchmarks.peers import numpy_peer
from tests.benchmarks.worker import PeerError
from tests.benchmarks.workloads import WORKLOADS

ROOT = Path(__file__).parents[1]


def benchmarks(*arguments):
    command = [sys.executable, "-m", "tests.benchmarks", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )


def test_command_prints_a_table_and_writes_the_figures(tmp_path):
    pytest.importorskip("jax")
    path = tmp_path / "figures.json"
    done = benchmarks(
        "mlp-8", "--quick", "--peers", "numpy,jax", "--markdown", "--json", str(path)
    )
    assert done.returncode == 0, done.stderr
    assert "| workload | at least | numpy | jax |" in done.stdout
    (row,) = json.loads(path.read_text())["rows"]
    assert row["failures"] == {}
    assert set(row["times"]) == {"numpy", "jax"}
    assert all(times["samples"] > 0 for times in row["times"].values())
    assert row["roofline"] > 0


def test_a_peer_that_fails_is_a_dash_with_its_reason(monkeypatch):
    class Broken:
        def __init__(self, peer, workload):
            self.peer = peer

        def ask(self, request, *_):
            if self.peer == "jax":
                raise PeerError("ImportError: no jax")
            return {"build": right, "time": [0.5, 0.25], "memory": 7}[request]

        def close(self):
            pass

    workload = WORKLOADS["call"]
    right = runner.reference(workload)
    monkeypatch.setattr(runner, "Worker", Broken)
    row = runner.measure(workload, ["jax", "numpy"], runner.QUICK)
    text = report.markdown([row], ["jax", "numpy"], "a machine")
    assert "| – | – | 375 ms ×1.00 (250 ms) |" in text
    assert "– jax: ImportError: no jax (call)" in text


@pytest.mark.parametrize("command", [["nonsense"], ["call", "--peers", "nonsense"]])
def test_unknown_names_are_refused(command):
    done = benchmarks(*command)
    assert done.returncode == 2
    assert "nonsense; there are" in done.stderr


def test_other_numbers_are_refused():
    right = [np.ones(3), np.arange(4.0)]
    runner.check([r.astype(np.float32) for r in right], right)
    with pytest.raises(PeerError, match=r"result 1 is 3\.3e-02 off"):
        runner.check([right[0], right[1] + 0.1], right)
    with pytest.raises(PeerError, match="result 0 is nan off"):
        runner.check([right[0] * np.nan, right[1]], right)
    with pytest.raises(PeerError, match="returns shapes"):
        runner.check(right[:1], right)


@pytest.mark.parametrize("name", ["chain", "softmax", "layer-norm"])
def test_reference_gradient_is_the_slope(name):
    """NumPy's gradients are written by hand: check them along a random direction."""
    workload = WORKLOADS[name]
    rng = np.random.default_rng(1)
    arrays = {}
    for key, array in workload.arrays().items():
        small = array[:40, :30] if array.ndim == 2 else array[:30]
        arrays[key] = small.astype(np.float64)
    task = getattr(numpy_peer, workload.task)

    def total(arrays):
        value = task(arrays).run()[0]
        return (value * arrays.get("cotangent", 1)).sum()

    gradient = numpy_peer.chain_gradient if name == "chain" else task
    gradients = gradient(arrays).run()[-len(arrays) + ("cotangent" in arrays) :]
    names = [key for key in arrays if key != "cotangent"]
    if name == "softmax":
        names, gradients = ["x"], gradients[-1:]
    for key, slope in zip(names, gradients, strict=True):
        step = 1e-6 * rng.standard_normal(slope.shape)
        ahead = total({**arrays, key: arrays[key] + step})
        behind = total({**arrays, key: arrays[key] - step})
        assert (slope * step).sum() == pytest.approx((ahead - behind) / 2, rel=1e-5)


def test_startup_measures_fresh_processes():
    rows = startup.measure(["numpy"], rounds=1, workload="mlp-8")
    assert [row.name for row in rows][:2] == ["import", "cold"]
    assert all(len(row.times["numpy"].samples) == 1 for row in rows)

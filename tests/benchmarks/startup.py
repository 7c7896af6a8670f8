"""Start-up: import, first training step with an empty and with a filled cache.

Each figure is of a fresh process. JAX's persistent cache is on for its warm start,
which is what its users would do; PyTorch eager compiles nothing.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from .peers import MODULES
from .runner import Row, Times

WORKLOAD = "mlp-784"
LIBRARIES = {"symgrad": "symgrad", "jax": "jax", "torch": "torch", "numpy": "numpy"}

ROWS = {
    ("cold", "import"): ("import", "import"),
    ("cold", "step"): ("cold", "first step of MLP 784, empty cache"),
    ("cold", "total"): ("cold+import", "the same with the import"),
    ("warm", "step"): ("warm", "first step of MLP 784, filled cache"),
    ("warm", "total"): ("warm+import", "the same with the import"),
}

SCRIPT = """
import importlib, json, sys, time
library, module, name = sys.argv[1:]
start = time.perf_counter()
importlib.import_module(library)
imported = time.perf_counter() - start
print(json.dumps({"import": imported}))
from tests.benchmarks.workloads import WORKLOADS
workload = WORKLOADS[name]
arrays = workload.arrays()
start = time.perf_counter()
peer = importlib.import_module("tests.benchmarks.peers." + module)
task = getattr(peer, workload.task)(arrays)
task.run()
step = time.perf_counter() - start
print(json.dumps({"step": step, "total": imported + step}))
"""


def measure(peers, rounds, workload=WORKLOAD):
    """The rows of start-up times: each round starts every peer cold, then warm."""
    rows = {key: Row(*names) for key, names in ROWS.items()}
    for _ in range(rounds):
        for peer in peers:
            with tempfile.TemporaryDirectory(prefix="cache") as cache:
                for state in ("cold", "warm"):
                    _record(rows, state, peer, _start(peer, workload, cache))
    return list(rows.values())


def _record(rows, state, peer, outcome):
    seconds, failure = outcome
    for (wanted, key), row in rows.items():
        if wanted != state:
            continue
        if key in seconds and peer not in row.failures:
            row.times.setdefault(peer, Times()).samples.append(seconds[key])
        else:
            row.failures.setdefault(peer, failure)
            row.times.pop(peer, None)


def _start(peer, workload, cache):
    """The seconds of one fresh process by kind, and why one is missing."""
    library = LIBRARIES.get(peer, "torch")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, library, MODULES[peer], workload],
        cwd=Path(__file__).parents[2],
        env={**_environment(), **_cached_in(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = {}
    for line in done.stdout.splitlines():
        seconds |= json.loads(line)
    said = done.stderr.strip() or f"stopped with status {done.returncode}"
    return seconds, said.splitlines()[-1]


def _environment():
    """Ours, where bytecode is kept: an installed package has it."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def _cached_in(directory):
    return {
        "SYMGRAD_CACHE_DIR": directory,
        "JAX_COMPILATION_CACHE_DIR": directory,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "TORCHINDUCTOR_CACHE_DIR": directory,
        "JAX_PLATFORMS": "cpu",
    }

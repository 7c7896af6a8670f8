"""Data parallelism: four devices in a process, and two processes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def start(devices, *arguments):
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = os.environ | {
        "XLA_FLAGS": flags,
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "tests.lowering.sharded", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=ROOT,
    )


def finished(process):
    try:
        out, err = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == 0, err[-3000:]
    return out.split()[-4:]  # gloo prints before


def test_four_devices_compute_the_same_training():
    assert finished(start(4)) == ["same", "1", "4", "4"]


def test_two_processes_compute_the_same_training():
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
    both = [start(2, f"localhost:{port}", "2", str(n)) for n in range(2)]
    assert [finished(p) for p in both] == [["same", "2", "4", "2"]] * 2

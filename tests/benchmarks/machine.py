"""What the machine is, and how fast it can be: the two sides of a roofline."""

import os
import platform
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

LIBRARIES = ("symgrad", "numpy", "scipy", "numba", "jax", "torch")


def cores():
    """The processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor():
    """The model of the processor, in its maker's words where they can be had."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def description():
    """One line: processor, cores, and the versions of what is compared."""
    versions = [f"Python {platform.python_version()}"]
    for library in LIBRARIES:
        try:
            versions.append(f"{library} {version(library)}")
        except PackageNotFoundError:
            continue
    return f"{processor()}, {cores()} cores, {sys.platform}; " + ", ".join(versions)


def _fastest(function, rounds):
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


@dataclass
class Roofline:
    """The least time that a workload can take on this machine, by two measurements."""

    rounds: int = 10
    _peak: float = 0.0

    def seconds(self, workload):
        """The larger of the times for its traffic and for its arithmetic, if any."""
        if not workload.bytes:
            return None
        traffic = workload.bytes / self.bandwidth(workload.bytes)
        return max(traffic, workload.flops / self.peak())

    def peak(self):
        """The f32 operations a second of a large matrix product."""
        if not self._peak:
            a = np.ones((1536, 1536), np.float32)
            out = np.empty_like(a)
            product = _fastest(lambda: np.matmul(a, a, out=out), self.rounds)
            self._peak = 2 * 1536**3 / product
        return self._peak

    def bandwidth(self, size):
        """Bytes a second of copies on all cores, in a working set of `size` bytes.

        The size matters: what fits in the last cache never goes to memory.
        """
        count = cores()
        elements = max(size // 8 // count, 16_384)
        repeats = max(1, 16_000_000 // (8 * elements * count))
        pairs = [np.ones((2, elements), np.float32) for _ in range(count)]

        def copy(pair):
            for _ in range(repeats):
                np.copyto(pair[1], pair[0])

        with ThreadPoolExecutor(count) as pool:
            taken = _fastest(lambda: list(pool.map(copy, pairs)), self.rounds)
        return 8 * elements * count * repeats / taken

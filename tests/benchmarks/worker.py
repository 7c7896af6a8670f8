"""A peer in a process of its own, which works only when it has its turn.

Between turns the process is stopped by a signal: the threads of a pool go on
spinning for a while after their work, and would take cores from the next peer
(measured on two cores: JAX's step of mlp-784 after PyTorch's turn 5.0 ms instead
of 3.1 ms; a pause of 50 ms leaves 3.4 ms).
"""

import importlib
import multiprocessing
import os
import re
import signal
import time
from pathlib import Path

from .peers import FAMILIES
from .workloads import WORKLOADS

PATIENCE = 600
SPAWN = multiprocessing.get_context("spawn")  # a fork would share a pool's locks


class PeerError(Exception):
    """A peer could not be imported, or failed at a workload; says why in a line."""


class Worker:
    """The runner's end: starts the process and gives it turns."""

    def __init__(self, peer, workload):
        self.pipe, far_end = SPAWN.Pipe()
        self.process = SPAWN.Process(target=serve, args=(far_end, peer, workload))
        self.process.start()
        far_end.close()

    def ask(self, *request):
        """Give the process one turn, and return its answer."""
        self._signal("SIGCONT")
        try:
            self.pipe.send(request)
            if not self.pipe.poll(PATIENCE):
                raise PeerError(f"no answer after {PATIENCE} s")
            kind, answer = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            raise PeerError(f"stopped with status {self.process.exitcode}") from None
        self._signal("SIGSTOP")
        if kind == "error":
            raise PeerError(answer)
        return answer

    def close(self):
        """End the process; one that waits for a turn needs no more of it."""
        self.process.kill()
        self.process.join()
        self.pipe.close()

    def _signal(self, name):
        if hasattr(signal, name) and self.process.is_alive():
            os.kill(self.process.pid, getattr(signal, name))


def serve(pipe, peer, workload):
    """Answer requests: build the task and give its numbers, time it, tell memory."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    session = {}
    while True:
        name, *arguments = pipe.recv()
        try:
            answer = REQUESTS[name](session, *(arguments or (peer, workload)))
            pipe.send(("answer", answer))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            pipe.send(("error", reason))


def _build(session, peer, workload):
    workload = WORKLOADS[workload]
    name = FAMILIES[workload.family][peer]
    module = importlib.import_module(f".peers.{name}", __package__)
    arrays = workload.arrays()
    session["before"] = _peak_memory()
    session["task"] = task = getattr(module, workload.task)(arrays)
    task.run()
    return task.read(task.run())  # a second step shows that the first one's counted


def _time(session, seconds):
    """Seconds a call, of many samples within a budget, after a warm-up of a fifth."""
    run = session["task"].run
    calls, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds / 5 or not calls:
        run()
        calls += 1
    batch = max(1, int(1e-4 * calls / elapsed))  # the clock must not be what is seen
    samples, start = [], time.perf_counter()
    while (now := time.perf_counter()) - start < seconds or not samples:
        for _ in range(batch):
            run()
        samples.append((time.perf_counter() - now) / batch)
    return samples


def _memory(session, *_):
    """Bytes at the peak, beyond what imports and the workload's arrays take."""
    return _peak_memory() - session["before"]


def _peak_memory():
    """The high-water mark of this process; `ru_maxrss` would begin at the parent's."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
    return 1024 * int(found[1])


REQUESTS = {"build": _build, "time": _time, "memory": _memory}

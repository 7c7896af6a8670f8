"""The threads that run the parts of parallel rows, and the state they share.

The threads are daemons that never come back from native code, where they do not hold
the interpreter's lock; they start when a program first needs them.
"""

import ctypes
import os
import platform
import sys
import threading
import time

import numpy as np

from symgrad.errors import CompileError
from symgrad.run import blas, driver_texts
from symgrad.run.blas import function_address
from symgrad.run.driver_texts import MOST_THREADS
from symgrad.run.kernels import addresses

# Numbers of Linux's futex and sched_setaffinity.
SYSTEM_CALLS = {
    "x86_64": (202, 203),
    "aarch64": (98, 122),
    "riscv64": (98, 122),
    "ppc64le": (221, 222),
}
#: Seconds that a fork waits for the runs of other threads.
LONGEST_WAIT = 10.0
_WORKER = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


class Pool:
    """The workers of this process.

    `address` is that of the shared state; it stays the same for the life of the
    process and in a forked child, where the workers do not exist any more.
    """

    def __init__(self) -> None:
        block = np.zeros(driver_texts.STATE_BYTES // 8 + 16, np.int64)
        start = -(block.ctypes.data // 8) % 16
        self._state = block[start : start + driver_texts.STATE_BYTES // 8]
        self.address = self._state.ctypes.data
        self._lock = threading.Lock()
        self._set_constants()

    def _set(self, place: int, value: int) -> None:
        self._state[place // 8] = value

    def _set_constants(self) -> None:
        """Write what native code needs, besides its own addresses."""
        libc = ctypes.CDLL(None)
        self._set(driver_texts.NAP, function_address(libc.usleep))
        self._set(driver_texts.YIELD, function_address(libc.sched_yield))
        if sys.platform == "linux" and platform.machine() in SYSTEM_CALLS:
            futex, set_affinity = SYSTEM_CALLS[platform.machine()]
            self._set(driver_texts.FUTEX, futex)
            self._set(driver_texts.SET_AFFINITY, set_affinity)
            self._set(driver_texts.GET_CPU, function_address(libc.sched_getcpu))
            self._set(driver_texts.SYSCALL, function_address(libc.syscall))
        get_threads, set_threads = blas.thread_control()
        self._set(driver_texts.BLAS_GET, get_threads)
        self._set(driver_texts.BLAS_SET, set_threads)
        self._set(driver_texts.AVOIDED, -1)
        ids = driver_texts.THREAD_IDS // 8
        self._state[ids : ids + MOST_THREADS] = -1  # 0 would mean the calling thread

    @property
    def workers(self) -> int:
        """How many workers there are, besides the callers' own threads."""
        return int(self._state[driver_texts.WORKERS // 8])

    def start(self, threads: int) -> None:
        """Start workers until runs on `threads` threads have theirs."""
        texts = [driver_texts.TAKE, driver_texts.WAKE, driver_texts.WORK]
        take_parts, wake, work = addresses(texts)
        with self._lock:
            self._set(driver_texts.TAKE_PARTS, take_parts)
            self._set(driver_texts.WAKE_WORKERS, wake)
            for number in range(self.workers + 1, threads):
                worker = threading.Thread(
                    target=_WORKER(work),
                    args=(self.address, number, 0),
                    name=f"symgrad-{number}",
                    daemon=True,
                )
                # Counted even where the system grants no more threads: a run does
                # what nobody else does.
                self._set(driver_texts.WORKERS, number)
                try:
                    worker.start()
                except RuntimeError:
                    continue
                self._set(driver_texts.THREAD_IDS + 8 * number, worker.native_id or -1)
            self._set(driver_texts.AVOIDED, -1)  # new workers are to be told, too
            self._allow_processors()

    def _allow_processors(self) -> None:
        """Note which processors the workers may use: those of the calling thread."""
        if not hasattr(os, "sched_getaffinity"):
            return
        allowed = os.sched_getaffinity(0)
        if max(allowed) >= 8 * driver_texts.ALLOWED_BYTES:
            return
        bits = sum(1 << cpu for cpu in allowed)
        words = bits.to_bytes(driver_texts.ALLOWED_BYTES, "little")
        place = driver_texts.ALLOWED // 8
        self._state[place : place + len(words) // 8] = np.frombuffer(words, np.int64)
        self._set(driver_texts.CPUS, len(allowed))

    def wait_before_fork(self) -> None:
        """Let no run change BLAS's threads while this process is copied.

        BLAS does that under a lock of its own, which the copy could never open.
        """
        self._set(driver_texts.BLAS_SET, 0)
        until = time.monotonic() + LONGEST_WAIT
        users = [driver_texts.BLAS_USERS // 8, driver_texts.BLAS_LOCK // 8]
        while self._state[users].any() and time.monotonic() < until:
            time.sleep(0.001)

    def go_on_after_fork(self) -> None:
        """Let runs of the parent process change BLAS's threads again."""
        self._set(driver_texts.BLAS_SET, blas.thread_control()[1])

    def reset_after_fork(self) -> None:
        """Forget workers and runs of the parent process."""
        in_blas = self._state[driver_texts.BLAS_USERS // 8] > 0
        threads = int(self._state[driver_texts.BLAS_THREADS // 8])
        self._state[:] = 0
        self._lock = threading.Lock()
        self._set_constants()
        if in_blas:
            blas.set_threads(threads)


_pool: Pool | None = None
_creation = threading.Lock()


def pool() -> Pool:
    """Return the pool of this process."""
    global _pool
    if _pool is None:
        with _creation:
            if _pool is None:
                created = Pool()
                if hasattr(os, "register_at_fork"):
                    os.register_at_fork(
                        before=created.wait_before_fork,
                        after_in_parent=created.go_on_after_fork,
                        after_in_child=created.reset_after_fork,
                    )
                _pool = created
    return _pool


def default_threads() -> int:
    """Return `SYMGRAD_NUM_THREADS`, else the number of processors we may use."""
    named = os.environ.get("SYMGRAD_NUM_THREADS", "").strip()
    if named:
        return checked_threads(named, "SYMGRAD_NUM_THREADS")
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), MOST_THREADS)
    return min(os.cpu_count() or 1, MOST_THREADS)


def checked_threads(threads: int | str, name: str = "threads") -> int:
    """Return a number of threads, or raise an error that says what it may be.

    >>> checked_threads("4")
    4
    """
    text = str(threads)
    if text.isdecimal() and 1 <= int(text) <= MOST_THREADS:
        return int(text)
    raise CompileError(
        f"{name} is {threads!r}: use a whole number from 1 to {MOST_THREADS}"
    )

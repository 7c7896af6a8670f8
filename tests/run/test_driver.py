import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from symgrad.errors import CompileError
from symgrad.run import blas, driver, pool
from symgrad.run.kernels import address
from tests.run.support import kernel_text, table

RECORD = address(
    kernel_text("y = write_i64(operands, 0)\ny[0] = lo\ny[1] = hi\ny[2] = y[2] + 1")
)
ADD_ONE = address(
    kernel_text("y = write_f64(operands, 0)\nfor i in range(lo, hi): y[i] = y[i] + 1.0")
)
PARTIAL_SUM = address(
    kernel_text("""
x = read_f32(operands, 0)
partial = write_f32(operands, 1)
s = np.float32(0.0)
for i in range(lo, hi):
    s = add_fast(s, x[i])
partial[operands[2]] = s
""")
)
TOTAL = address(
    kernel_text("""
partial = read_f32(operands, 0)
y = write_f32(operands, 1)
s = np.float32(0.0)
for i in range(lo, hi):
    s = s + partial[i]
y[0] = s
""")
)


def rows(*rows):
    return np.array(rows, np.int64).reshape(-1, 6)


def split(count, grain, threads, lo=0):
    """The parts that a parallel row has, in order."""
    seen = np.full((threads, 3), -1)
    seen[:, 2] = 0
    blocks = np.array([[part.ctypes.data] for part in seen])
    driver.run(rows([RECORD, blocks.ctypes.data, lo, lo + count, grain, 8]), threads)
    assert (seen[:, 2] == 1).all()  # every part exactly once
    return seen[:, :2]


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("grain", [1, 4, 16])
@pytest.mark.parametrize("count", [0, 1, 4, 15, 16, 100, 1001])
def test_a_row_is_split_evenly_at_multiples_of_its_grain(count, grain, threads):
    parts = split(count, grain, threads, lo=5) - 5
    assert parts[0, 0] == 0
    assert parts[-1, 1] == count
    np.testing.assert_array_equal(parts[1:, 0], parts[:-1, 1])
    inner = parts[:-1, 1]
    assert ((inner % grain == 0) | (inner == count)).all()
    sizes = -((parts[:, 0] - parts[:, 1]) // grain)  # in grains, rounded up
    assert sizes.max() - sizes.min() <= 1


def test_rows_run_in_order():
    y = np.zeros(2)
    double = kernel_text("y = write_f64(operands, 0)\ny[0] = 2.0 * y[0]")
    operands = table(y)
    p = operands.ctypes.data
    double = address(double)
    program = rows(
        [ADD_ONE, p, 0, 1, 0, 0], [double, p, 0, 1, 0, 0], [ADD_ONE, p, 0, 1, 0, 0]
    )
    driver.run(program)
    assert y.tolist() == [3, 0]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_prepared_program_reads_its_table_anew(threads):
    y = np.zeros(100)
    operands = table(y)
    program = rows(*[[ADD_ONE, operands.ctypes.data, 0, 100, 10, 0]] * 7)
    run = driver.prepare(program, threads)
    run()
    program[1:, 3] = 50
    run()
    assert (y[:50] == 14).all()
    assert (y[50:] == 8).all()


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((1, 6)),
        np.zeros(6, np.int64),
        np.zeros((1, 5), np.int64),
        np.zeros((2, 12), np.int64)[:, ::2],
    ],
)
def test_a_table_of_another_form_is_refused(bad):
    with pytest.raises(ValueError, match="program's table"):
        driver.run(bad)


class Sum:
    """A program that sums many numbers by a partial sum per thread."""

    def __init__(self, threads, seed=0, rounds=5):
        rng = np.random.default_rng(seed)
        self.x = rng.standard_normal(30_011).astype(np.float32)
        self.partial = np.zeros(threads, np.float32)
        self.y = np.zeros(1, np.float32)
        self.blocks = np.array([table(self.x, self.partial, t) for t in range(threads)])
        self.last = table(self.partial, self.y)
        self.program = rows(
            *[
                [PARTIAL_SUM, self.blocks.ctypes.data, 0, len(self.x), 16, 24],
                [TOTAL, self.last.ctypes.data, 0, threads, 0, 0],
            ]
            * rounds
        )
        self.run = driver.prepare(self.program, threads)

    def __call__(self):
        self.partial[:] = self.y[:] = np.nan
        self.run()
        return self.y.tobytes()


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_the_same_threads_give_the_same_bits(threads):
    program = Sum(threads)
    first = program()
    np.testing.assert_allclose(program.y[0], program.x.sum(dtype=float), rtol=1e-4)
    assert {program() for _ in range(300)} == {first}


def test_the_number_of_threads_may_change_from_run_to_run():
    """A worker that is late for a row of two parts must not touch one of four."""
    programs = [Sum(threads, seed=threads, rounds=2) for threads in (2, 4, 3, 6, 2, 5)]
    expected = [program() for program in programs]
    for _ in range(500):
        assert [program() for program in programs] == expected


def test_many_python_threads_run_programs_at_once():
    programs = [Sum(threads, seed) for seed, threads in enumerate([2, 2, 3, 4, 1, 2])]
    expected = [program() for program in programs]
    results = [set() for _ in programs]

    def repeat(n):
        for _ in range(150):
            results[n].add(programs[n]())

    callers = [threading.Thread(target=repeat, args=(n,)) for n in range(len(programs))]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert results == [{e} for e in expected]


def test_workers_sleep_when_idle_and_are_woken():
    program = Sum(2)
    expected = program()
    for pause in (0, 0.0001, 0.001, 0.01, 0.05):
        time.sleep(pause)
        assert program() == expected
    time.sleep(0.1)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.1


def test_blas_has_one_thread_inside_and_the_users_number_outside():
    get, _ = blas.thread_control()
    assert get, "NumPy's wheels have OpenBLAS"
    look = kernel_text("y = write_i64(operands, 0)\ny[0] = call_int(operands[1], 0)")
    look = look.replace(
        "\n\n\ndef", "\nfrom symgrad.emit.intrinsics.native import call_int\n\n\ndef"
    )
    y = np.zeros(1, np.int64)
    operands = table(y, get)
    run = driver.prepare(rows([address(look), operands.ctypes.data, 0, 1, 0, 0]))
    for threads in (2, 1):
        with threadpool_limits(threads, user_api="blas"):
            run()
            assert y[0] == 1
            assert threads_of_numpy() == threads


def threads_of_numpy():
    import ctypes

    return ctypes.CFUNCTYPE(ctypes.c_int)(blas.thread_control()[0])()


def test_the_environment_sets_the_number_of_threads(monkeypatch):
    monkeypatch.setenv("SYMGRAD_NUM_THREADS", " 3 ")
    assert pool.default_threads() == 3
    monkeypatch.setenv("SYMGRAD_NUM_THREADS", "")
    assert pool.default_threads() == len(os.sched_getaffinity(0))
    for bad in ("0", "-1", "two", "1.5", "257"):
        monkeypatch.setenv("SYMGRAD_NUM_THREADS", bad)
        with pytest.raises(
            CompileError, match=r"SYMGRAD_NUM_THREADS is .*from 1 to 256"
        ):
            driver.run(rows())


@pytest.mark.parametrize("bad", [0, -1, 257, 1.5, "x", True])
def test_a_bad_number_of_threads_is_an_error(bad):
    with pytest.raises(CompileError, match="whole number from 1 to 256"):
        driver.run(rows(), bad)


# What happens to processes.

PRELUDE = """
import os, signal, sys, threading, time
import numpy as np
from symgrad.run import blas, driver, pool
from tests.run.test_driver import Sum, threads_of_numpy
"""


def run_script(script, **kwargs):
    result = subprocess.run(
        [sys.executable, "-c", PRELUDE + script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **kwargs,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


@pytest.mark.parametrize("pause", [0, 0.00005, 0.05])
def test_a_process_ends_whatever_the_workers_do(pause):
    script = "Sum(3)(); time.sleep({}); print('end')"
    assert run_script(script.format(pause)) == ["end"]


def test_a_process_ends_while_a_program_runs():
    script = """
run = Sum(2, rounds=200).run
def forever():
    while True:
        run()
threading.Thread(target=forever, daemon=True).start()
time.sleep(0.05)
print("end", flush=True)
"""
    assert run_script(script) == ["end"]


FORK = """
program = Sum(2)
expected = program()
stop = threading.Event()
other = Sum(2)
def busy():
    while not stop.is_set():
        other()
thread = threading.Thread(target=busy)
thread.start()
for _ in range(20):
    child = os.fork()
    if child == 0:
        ok = {program() for _ in range(20)} == {expected}
        ok = ok and threads_of_numpy() == THREADS and pool.pool().workers == 1
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert program() == expected
stop.set()
thread.join()
assert program() == expected
print("end")
"""


def test_a_forked_child_has_a_pool_of_its_own():
    script = "THREADS = threads_of_numpy()\n" + FORK
    assert run_script(script) == ["end"]


def test_an_interrupt_is_raised_and_harms_nothing():
    script = """
program = Sum(2, rounds=200)
expected = program()
signal.setitimer(signal.ITIMER_REAL, 0.05)
signal.signal(signal.SIGALRM, signal.default_int_handler)
try:
    while True:
        program.run()
except KeyboardInterrupt:
    print("interrupted")
assert program() == expected
"""
    assert run_script(script) == ["interrupted"]


def test_without_futexes_workers_nap():
    script = """
pool.SYSTEM_CALLS = {}
program = Sum(3)
expected = program()
for pause in (0, 0.0001, 0.01, 0.05):
    time.sleep(pause)
    assert program() == expected
print("end")
"""
    assert run_script(script) == ["end"]


def test_without_threads_the_caller_does_all():
    script = """
def start(self):
    raise RuntimeError("can't start new thread")
threading.Thread.start = start
program = Sum(4)
print(program() == program(), abs(program.y[0] - program.x.sum()) < 0.1)
"""
    assert run_script(script) == ["True", "True"]


def test_one_processor_is_enough_for_several_threads():
    script = """
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
program = Sum(3)
expected = program()
start = time.perf_counter()
assert {program() for _ in range(100)} == {expected}
print("end")
"""
    assert run_script(script) == ["end"]


@pytest.mark.skipif(os.cpu_count() == 1, reason="there is nowhere else to go")
def test_sleeping_workers_are_woken_beside_the_caller():
    script = """
allowed = os.sched_getaffinity(0)
program = Sum(2)
program()
(worker,) = [t for t in threading.enumerate() if t.name == "symgrad-1"]
time.sleep(0.05)
program()
assert os.sched_getaffinity(0) == allowed
print(len(allowed - os.sched_getaffinity(worker.native_id)))
"""
    assert run_script(script) == ["1"]

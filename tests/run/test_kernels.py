import os
import subprocess
import sys
import traceback

import numpy as np
import pytest

from symgrad.cache import Cache
from symgrad.errors import CompileError
from symgrad.run import kernels, loader
from tests.run.support import CALL, kernel_text, run_kernel, table

ADD = """
x = read_f64(operands, 0)
y = write_f64(operands, 1)
for i in range(lo, hi):
    y[i] = x[i] + NUMBER
"""


def test_equal_texts_are_one_kernel():
    first, second = (
        kernel_text(ADD.replace("NUMBER", "1.0")),
        kernel_text(ADD.replace("NUMBER", "2.0")),
    )
    one, two, again = kernels.addresses([first, second, first])
    assert one == again != two
    assert kernels.address(second) == two
    assert kernels.key(first) != kernels.key(second)


def test_what_kernels_cost_is_counted():
    text = kernel_text(ADD.replace("NUMBER", "3.25"))
    before = kernels.counts()
    kernels.address(text)
    after = kernels.counts()
    assert after.compiled == before.compiled + 1
    assert after.compile_seconds > before.compile_seconds
    assert after.load_seconds > before.load_seconds
    kernels.address(text)
    assert kernels.counts() == after
    kernels.machine_code(text)
    assert kernels.counts().cached == after.cached + 1


def test_the_key_depends_on_the_machine_and_on_our_sources(monkeypatch):
    before = kernels.key("text")
    monkeypatch.setattr(kernels, "cpu", lambda: ("another", "+feature"))
    kernels._environment.cache_clear()
    try:
        assert kernels.key("text") != before
    finally:
        monkeypatch.undo()
        kernels._environment.cache_clear()
    assert kernels.key("text") == before
    names = {path.name for path in kernels._sources() if path.exists()}
    assert {"compiler.py", "frontend.py", "operands.py", "_version.py"} <= names


def test_a_kernel_that_does_not_compile_names_its_file_and_line():
    with pytest.raises(CompileError, match=r"k[0-9a-f]{40}\.py \(7\)") as caught:
        run_kernel("y = write_f64(operands, 0)\ny[0] = y", np.zeros(1))
    assert "does not compile" in str(caught.value)


def test_a_kernel_with_an_error_at_import_shows_its_line():
    text = "undefined_at_import()\n\ndef kernel(operands, lo, hi):\n    pass\n"
    with pytest.raises(NameError) as caught:
        kernels.address(text)
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert frames[-1].line == "undefined_at_import()"


def test_no_bytecode_is_left_beside_the_texts(tmp_path, monkeypatch):
    monkeypatch.setenv("SYMGRAD_CACHE_DIR", str(tmp_path))
    kernels.machine_code(kernel_text(ADD.replace("NUMBER", "4.0")))
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".o", ".py"]


def test_machine_code_needs_only_the_c_library(tmp_path):
    """Nothing of Numba's is referenced: see also the warm process below."""
    body = """
x = read_f64(operands, 0)
y = write_f64(operands, 1)
for i in range(lo, hi):
    y[i] = x[i] % 3.0
"""
    x, y = np.linspace(-9, 9, 50), np.zeros(50)
    run_kernel(body, x, y)
    np.testing.assert_array_equal(y, x % 3.0)


def test_what_only_numbas_own_target_has_works_too():
    text = """
import math
from symgrad.emit.intrinsics import read_i64, write_i64

def kernel(operands, lo, hi):
    x = read_i64(operands, 0)
    y = write_i64(operands, 1)
    for i in range(lo, hi):
        y[i] = math.gcd(x[i], 12) + min(x[i], 3)
"""
    x, y = np.arange(20), np.zeros(20, np.int64)
    operands = table(x, y)
    CALL(kernels.address(text))(operands.ctypes.data, 0, 20)
    np.testing.assert_array_equal(y, np.gcd(x, 12) + np.minimum(x, 3))


def test_plain_scalar_python_works():
    body = """
x = read_f64(operands, 0)
y = write_f64(operands, 1)
for i in range(lo, hi):
    v = x[i] ** 2 + abs(x[i]) + np.sqrt(abs(x[i])) + np.floor(x[i])
    y[i] = v if x[i] > 0 and i % 3 != 0 else -v
"""
    x, y = np.linspace(-4, 4, 33), np.zeros(33)
    run_kernel(body, x, y)
    v = x**2 + abs(x) + np.sqrt(abs(x)) + np.floor(x)
    expected = np.where((x > 0) & (np.arange(33) % 3 != 0), v, -v)
    np.testing.assert_allclose(y, expected, rtol=1e-15)


def test_objects_load_together_and_stay(tmp_path):
    texts = [kernel_text(ADD.replace("NUMBER", f"{n}.5")) for n in range(3)]
    codes = {kernels.key(t): kernels.machine_code(t) for t in texts}
    loaded = loader.load(codes)
    x, y = np.arange(5.0), np.zeros(5)
    operands = table(x, y)
    for n, text in enumerate(texts):
        CALL(loaded[kernels.key(text)])(operands.ctypes.data, 0, 5)
        np.testing.assert_array_equal(y, x + n + 0.5)


def test_without_a_directory_kernels_still_run(tmp_path):
    (tmp_path / "file").write_text("")
    script = """
import numpy as np
from tests.run.support import run_kernel
y = np.zeros(3)
run_kernel("y = write_f64(operands, 0)\\nfor i in range(lo, hi): y[i] = 7", y)
assert (y == 7).all()
"""
    result = run_script(script, tmp_path / "file" / "cache")
    assert result.stderr.count("RuntimeWarning") == 1
    assert "in memory" in result.stderr


WARM = """
import sys, time
import numpy as np
from symgrad.run import arrays, blas, driver, kernels
from tests.run.support import table

TEXT = '''
import numpy as np
from symgrad.emit.intrinsics import add_fast, read_f32, write_f32

def kernel(operands, lo, hi):
    x = read_f32(operands, 0)
    y = write_f32(operands, 1)
    s = np.float32(0.0)
    for i in range(lo, hi):
        s = add_fast(s, x[i] * np.float32(NUMBER))
    y[0] = s
'''
texts = [TEXT.replace("NUMBER", str(n)) for n in range(20)]
driver.prepare(np.zeros((0, 6), np.int64))
start = time.perf_counter()
addresses = kernels.addresses(texts)
seconds = time.perf_counter() - start
x, y = np.ones(10, np.float32), np.zeros(1, np.float32)
operands = table(x, y)
for n, address in enumerate(addresses):
    driver.run(np.array([[address, operands.ctypes.data, 0, 10, 0, 0]]))
    assert y[0] == 10 * n
blas.address("gemm", "f32")
spec = arrays.ArgumentSpec("x", np.dtype("float32"), (10,), (0,))
assert arrays.ArgumentBinder([spec], operands).bind((x,)) == 0
print(seconds, [m for m in ("numba", "sympy", "scipy") if m in sys.modules])
"""


def run_script(script, directory):
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "SYMGRAD_CACHE_DIR": str(directory)},
        capture_output=True,
        text=True,
        check=True,
    )


def test_a_warm_process_loads_fast_and_imports_no_compiler(tmp_path):
    run_script(WARM, tmp_path)
    assert Cache(tmp_path).info().entries >= 2 * 22
    seconds, modules = run_script(WARM, tmp_path).stdout.split(maxsplit=1)
    assert modules.strip() == "[]"
    assert float(seconds) < 0.1  # 5 ms where nothing else runs

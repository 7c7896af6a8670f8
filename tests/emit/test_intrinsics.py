import numpy as np
import pytest

from symgrad.errors import CompileError
from symgrad.run import blas
from tests.run.support import kernel_text, optimized_ir, run_kernel

DTYPES = {
    "f32": "float32",
    "f64": "float64",
    "i32": "int32",
    "i64": "int64",
    "b1": "bool",
}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def random(rng, dtype, *shape):
    return (rng.standard_normal(shape) * 10).astype(DTYPES[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_is_read_and_written(rng, dtype):
    x = random(rng, dtype, 37)
    y = np.zeros_like(x)
    body = f"""
x = read_{dtype}(operands, 0)
y = write_{dtype}(operands, 1)
row = scratch_{dtype}(64)
for i in range(lo, hi):
    row[i] = x[i]
for i in range(lo, hi):
    y[i] = at(row, i)[0]
"""
    run_kernel(body, x, y, lo=3, hi=36)
    np.testing.assert_array_equal(y[3:36], x[3:36])
    assert not y[:3].any()
    assert not y[36:].any()


def test_only_the_part_asked_for_is_run():
    y = np.zeros(8)
    run_kernel(
        "y = write_f64(operands, 0)\nfor i in range(lo, hi): y[i] = 1", y, lo=2, hi=5
    )
    np.testing.assert_array_equal(y, [0, 0, 1, 1, 1, 0, 0, 0])


def sum_of_arrays(count):
    """y = sum_k (k+1) x_k over `count` arrays; y is the last operand."""
    lines = [f"x{k} = read_f32(operands, {k})" for k in range(count)]
    lines += [f"y = write_f32(operands, {count})", "for i in range(lo, hi):"]
    lines += [f"    v{k} = x{k}[i]" for k in range(count)]
    terms = " + ".join(f"np.float32({k + 1}.0) * v{k}" for k in range(count))
    return "\n".join([*lines, f"    y[i] = {terms}"])


def test_a_loop_over_14_arrays_is_vectorised(rng, tmp_path):
    body = sum_of_arrays(13)
    code = optimized_ir(body, tmp_path)
    assert "x float>" in code
    assert "vector.memcheck" not in code
    arrays = [random(rng, "f32", 101) for _ in range(13)]
    y = np.zeros(101, np.float32)
    run_kernel(body, *arrays, y)
    expected = sum((k + 1.0) * x.astype(float) for k, x in enumerate(arrays))
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("aliased", [0, 5, 12])
def test_an_output_may_be_one_of_the_inputs(rng, aliased):
    arrays = [random(rng, "f32", 101) for _ in range(13)]
    y = np.zeros(101, np.float32)
    run_kernel(sum_of_arrays(13), *arrays, y)
    run_kernel(sum_of_arrays(13), *arrays, arrays[aliased])
    np.testing.assert_array_equal(arrays[aliased], y)


def test_two_outputs_may_each_be_an_input(rng):
    a, b = random(rng, "f32", 1000), random(rng, "f32", 1000)
    total, difference = a + b, a - b
    body = """
a = read_f32(operands, 0)
b = read_f32(operands, 1)
s = write_f32(operands, 2)
d = write_f32(operands, 3)
for i in range(lo, hi):
    u = a[i]
    v = b[i]
    s[i] = u + v
    d[i] = u - v
"""
    run_kernel(body, a, b, b, a)
    np.testing.assert_array_equal(b, total)
    np.testing.assert_array_equal(a, difference)


def test_sums_vectorise_and_nothing_else_is_regrouped(rng, tmp_path):
    body = """
x = read_f32(operands, 0)
y = write_f32(operands, 1)
s = np.float32(0.0)
for i in range(lo, hi):
    s = {}
y[0] = s
"""
    fast, exact = body.format("add_fast(s, x[i])"), body.format("s + x[i]")
    assert "fadd reassoc" in optimized_ir(fast, tmp_path)
    assert "llvm.vector.reduce.fadd" in optimized_ir(fast, tmp_path)
    assert "reassoc" not in optimized_ir(exact, tmp_path)
    x, y = random(rng, "f32", 1001), np.zeros(1, np.float32)
    run_kernel(fast, x, y)
    np.testing.assert_allclose(y[0], x.sum(dtype=float), rtol=1e-4)
    run_kernel(exact, x, y)
    assert y[0] == np.add.accumulate(x)[-1]


def test_products_vectorise(rng, tmp_path):
    body = """
x = read_f64(operands, 0)
y = write_f64(operands, 1)
p = 1.0
for i in range(lo, hi):
    p = mul_fast(p, x[i])
y[0] = p
"""
    assert "llvm.vector.reduce.fmul" in optimized_ir(body, tmp_path)
    x, y = rng.uniform(0.5, 1.5, 300), np.zeros(1)
    run_kernel(body, x, y)
    np.testing.assert_allclose(y[0], x.prod(), rtol=1e-12)


@pytest.mark.parametrize("name", ["maximum", "minimum"])
@pytest.mark.parametrize("dtype", ["f32", "f64", "i32", "i64", "b1"])
def test_extrema_are_numpys(rng, name, dtype):
    a, b = random(rng, dtype, 64), random(rng, dtype, 64)
    if dtype in ("f32", "f64"):
        a[:4] = [np.nan, 1, np.inf, -np.inf]
        b[:4] = [1, np.nan, np.nan, 2]
    y = np.zeros_like(a)
    body = f"""
a = read_{dtype}(operands, 0)
b = read_{dtype}(operands, 1)
y = write_{dtype}(operands, 2)
for i in range(lo, hi):
    y[i] = {name}(a[i], b[i])
"""
    run_kernel(body, a, b, y)
    np.testing.assert_array_equal(y, getattr(np, name)(a, b))


@pytest.mark.parametrize("where", [None, 0, 50, 1002])
def test_reductions_by_maximum_vectorise_and_propagate_nan(rng, tmp_path, where):
    body = """
x = read_f32(operands, 0)
y = write_f32(operands, 1)
m = np.float32(-np.inf)
for i in range(lo, hi):
    m = maximum(m, x[i])
y[0] = m
"""
    assert "llvm.vector.reduce.fmaximum" in optimized_ir(body, tmp_path)
    x, y = random(rng, "f32", 1003), np.zeros(1, np.float32)
    if where is not None:
        x[where] = np.nan
    run_kernel(body, x, y)
    np.testing.assert_array_equal(y[0], np.max(x))


def test_select_evaluates_both_sides_without_a_branch(rng, tmp_path):
    body = """
x = read_f64(operands, 0)
y = write_f64(operands, 1)
for i in range(lo, hi):
    y[i] = select(x[i] > 0.0, np.sqrt(x[i]), -x[i])
"""
    code = optimized_ir(body, tmp_path)
    assert "select <" in code or "select nsz" in code or " select " in code
    assert "x double>" in code
    x = random(rng, "f64", 55)
    y = np.zeros_like(x)
    run_kernel(body, x, y)
    np.testing.assert_array_equal(y, np.where(x > 0, np.sqrt(np.abs(x)), -x))


def test_fma_rounds_once():
    a = np.array([1 + 2.0**-30])
    y = np.zeros(1)
    body = """
a = read_f64(operands, 0)
y = write_f64(operands, 1)
y[0] = fma(a[0], a[0], -1.0 - 2.0 * 2.0**-30)
"""
    run_kernel(body, a, y)
    assert y[0] == 2.0**-60


@pytest.mark.parametrize("dtype", ["i32", "i64"])
def test_integer_division_follows_python(dtype):
    least = np.iinfo(DTYPES[dtype]).min
    values = [-7, -6, -1, 0, 1, 6, 7, least, least + 1, -(least + 1)]
    a, b = (m.ravel().astype(DTYPES[dtype]) for m in np.meshgrid(values, values))
    quotient, remainder = np.zeros_like(a), np.zeros_like(a)
    body = f"""
a = read_{dtype}(operands, 0)
b = read_{dtype}(operands, 1)
q = write_{dtype}(operands, 2)
r = write_{dtype}(operands, 3)
for i in range(lo, hi):
    q[i] = floor_divide(a[i], b[i])
    r[i] = floor_modulo(a[i], b[i])
"""
    run_kernel(body, a, b, quotient, remainder)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(quotient, a // b)
        np.testing.assert_array_equal(remainder, a % b)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("x = read_f32(operands, 0)\nx[0] = np.float32(1)", "taken by read_"),
        ("y = write_f32(operands, 0)\ny[0] = 1.5", "convert the float64"),
        ("y = write_i32(operands, 0)\ny[0] = np.float32(2)", "convert the float32"),
        ("y = write_f32(operands, lo)\ny[0] = np.float32(2)", "plain number"),
        ("y = scratch_f64(1000000)\ny[0] = 2.0", "over 131072 bytes"),
        ("y = write_f64(operands, 0)\ny[0] = undefined_name", "undefined_name"),
        ("y = write_f64(operands, 0)\ny[0] = len([lo, hi])", "NRT required"),
        ("print(lo)", "needs the function"),
        ("y = write_f64(operands, 0)\ny[0] = add_fast(1.0, np.float32(2))", "one type"),
        (
            "a = read_f64(operands, 0)\nc = write_f32(operands, 1)\n"
            "one = np.float32(1)\n"
            "gemm_f32(lo, 0, 0, 1, 1, 1, one, a, 1, a, 1, one, c, 1)",
            "takes float32 operands",
        ),
    ],
)
def test_mistakes_in_kernels_are_compile_errors(body, message, tmp_path):
    from symgrad.run.compiler import compile_file

    path = tmp_path / "mistake.py"
    path.write_text(kernel_text(body))
    with pytest.raises(CompileError, match=message):
        compile_file(path, "mistake")


# BLAS, in row-major terms.


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("transa", [0, 1])
@pytest.mark.parametrize("transb", [0, 1])
def test_gemm(rng, dtype, transa, transb):
    m, n, k, pad = 5, 7, 3, 2
    a = random(rng, dtype, *((k, m + pad) if transa else (m, k + pad)))
    b = random(rng, dtype, *((n, k + pad) if transb else (k, n + pad)))
    c = random(rng, dtype, m + 1, n + pad)
    before = c.copy()
    scalar = f"np.{DTYPES[dtype]}"
    body = f"""
a = read_{dtype}(operands, 0)
b = read_{dtype}(operands, 1)
c = write_{dtype}(operands, 2)
m = operands[3]
n = operands[4]
k = operands[5]
lda = operands[6]
ldb = operands[7]
ldc = operands[8]
gemm_{dtype}(operands[9], operands[10], operands[11] == 1, m, n, k, {scalar}(2.0), a,
    lda, b, ldb, {scalar}(0.5), at(c, ldc), ldc)
"""
    lds = (a.shape[1], b.shape[1], c.shape[1])
    address = blas.address("gemm", dtype)
    run_kernel(body, a, b, c, m, n, k, *lds, address, transa, transb)
    op_a = a[:, :m].T if transa else a[:, :k]
    op_b = b[:, :k].T if transb else b[:, :n]
    expected = before.copy()
    expected[1:, :n] = 2 * op_a @ op_b + before[1:, :n] / 2
    np.testing.assert_allclose(c, expected, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("trans", [0, 1])
def test_gemv(rng, dtype, trans):
    a = random(rng, dtype, 4, 6)
    x, y = (
        random(rng, dtype, 4 if trans else 6),
        random(rng, dtype, 2 * (6 if trans else 4)),
    )
    expected = y.copy()
    expected[::2] = (a.T if trans else a) @ x + y[::2]
    one = f"np.{DTYPES[dtype]}(1.0)"
    body = f"""
a = read_{dtype}(operands, 0)
x = read_{dtype}(operands, 1)
y = write_{dtype}(operands, 2)
gemv_{dtype}(operands[3], {trans}, 4, 6, {one}, a, 6, x, 1, {one}, y, 2)
"""
    run_kernel(body, a, x, y, blas.address("gemv", dtype))
    np.testing.assert_allclose(y, expected, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("trans", [0, 1])
@pytest.mark.parametrize("lower", [0, 1])
def test_syrk(rng, dtype, trans, lower):
    a = random(rng, dtype, 4, 6)
    n, k = (6, 4) if trans else (4, 6)
    c = random(rng, dtype, n, n)
    full = (a.T @ a if trans else a @ a.T) + c
    expected = np.where(
        np.tri(n, dtype=bool) if lower else np.tri(n, dtype=bool).T, full, c
    )
    one = f"np.{DTYPES[dtype]}(1.0)"
    body = f"""
a = read_{dtype}(operands, 0)
c = write_{dtype}(operands, 1)
syrk_{dtype}(operands[2], {lower}, {trans}, {n}, {k}, {one}, a, 6, {one}, c, {n})
"""
    run_kernel(body, a, c, blas.address("syrk", dtype))
    np.testing.assert_allclose(c, expected, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_dot(rng, dtype):
    x, y, z = random(rng, dtype, 20), random(rng, dtype, 10), random(rng, dtype, 1)
    body = f"""
x = read_{dtype}(operands, 0)
y = read_{dtype}(operands, 1)
z = write_{dtype}(operands, 2)
z[0] = dot_{dtype}(operands[3], 10, x, 2, y, 1)
"""
    run_kernel(body, x, y, z, blas.address("dot", dtype))
    np.testing.assert_allclose(z[0], x[::2] @ y, rtol=1e-4)

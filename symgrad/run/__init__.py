'''From the text of kernels to a running program.

A kernel is the text of a module with one function `kernel(operands, lo, hi)`:

    """y = exp(x) + 2."""
    import numpy as np
    from symgrad.emit.intrinsics import read_f32, write_f32
    from symgrad.emit.libm import exp_f32

    def kernel(operands, lo, hi):
        x = read_f32(operands, 0)          # slot 0: the address of float32 numbers
        y = write_f32(operands, 1)
        n = operands[2]                    # slot 2: a size
        for i in range(lo, hi):
            y[i] = exp_f32(x[i]) + np.float32(2.0)

| module | call | gives |
|---|---|---|
| `kernels` | `addresses(texts)`, `address(text)` | addresses, compiled or cached |
| `kernels` | `counts()` | kernels compiled and cached so far, and the seconds |
| `blas` | `address("gemm", "f32")` | what `gemm_f32(blas, ...)` takes |
| `driver` | `run(table, threads=None)` | runs a table of kernels |
| `driver` | `prepare(table, threads)` | a function that does so at the least cost |
| `arrays` | `ArgumentBinder(specs, operands).bind` | arrays to operands, checked |
| `entry` | `entry(inputs, outputs, operands, rows)` | a small program as a built-in |
| `pool` | `default_threads()` | what `threads=None` means |

A table has int64 rows `[fn, operands, lo, hi, grain, operand_stride]`, see `driver`.
The modules behind these: `frontend` (Numba: function to LLVM IR), `compiler` (IR to
machine code), `loader` (machine code to addresses), `target` (this processor),
`driver_texts` (the driver and the pool's workers, as kernel texts).

Intrinsics (`symgrad.emit.intrinsics`): `read_T`, `write_T(operands, slot)` and
`scratch_T(count)` for T of f32 f64 i32 i64 b1, with `slot` and `count` plain numbers;
`at(x, offset)` moves an operand; `add_fast mul_fast fma maximum minimum select
floor_divide floor_modulo`; BLAS in row-major terms with `blas` an address read from
the operands:

    gemm_T(blas, transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
    gemv_T(blas, trans, m, n, alpha, a, lda, x, incx, beta, y, incy)
    syrk_T(blas, lower, trans, n, k, alpha, a, lda, beta, c, ldc)
    dot_T(blas, n, x, incx, y, incy)
    trsm_T(blas, lower, trans, unit, n, m, alpha, a, lda, b, ldb)
    potrf_T(blas, lower, n, a, lda)    getrf_T(blas, n, a, lda, pivots)

Kernels compile with only `contract` of the fast-math flags, NumPy's error model (no
exceptions: division by zero gives inf, nan or 0) and without bounds checks.  Plain
scalar Python works in them, `math` and NumPy's functions of scalars too; `minimum` and
`maximum` compile much faster than Python's `min` and `max`.

`symgrad.emit.intrinsics` imports Numba; a process whose kernels are all cached never
imports it, so nothing outside kernel texts should.
'''

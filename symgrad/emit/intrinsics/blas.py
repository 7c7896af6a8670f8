"""BLAS routines called by address, in row-major terms.

`blas` is the address of the Fortran routine (`symgrad.run.blas.address`), read from
the operands: machine code is cached, and addresses differ between processes.  A
row-major matrix is the transpose of a column-major one, so each routine below is the
Fortran routine with its operands exchanged or its transposition flag turned over; no
data moves.  `lda` is the distance in elements between the starts of two rows.
Transposition flags are 0 or 1 (a bool will do).

Sizes are passed as pointers to 64-bit integers.  A routine that was built for 32-bit
integers reads their low half, which comes first on the little-endian machines that
Numba supports.
"""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, errors, types
from numba.extending import intrinsic

from symgrad.emit.intrinsics.operands import SCALARS, Operand

INTEGER = ir.IntType(64)
CHARACTER = ir.IntType(8)


def by_reference(builder: Any, value: Any) -> Any:
    """Point at a copy of the value: Fortran takes every argument by address."""
    place = cgutils.alloca_once(builder, value.type)
    builder.store(value, place)
    return place


def character(builder: Any, flag: Any, if_set: str, if_clear: str) -> Any:
    """Point at the letter that a flag chooses."""
    letters = [ir.Constant(CHARACTER, ord(letter)) for letter in (if_set, if_clear)]
    return by_reference(builder, builder.select(flag, *letters))


def _not_transposed(builder: Any, flag: Any) -> Any:
    return character(builder, flag, "T", "N")


def _transposed(builder: Any, flag: Any) -> Any:
    return character(builder, flag, "N", "T")


def call(builder: Any, blas: Any, arguments: Sequence[Any], result: Any) -> Any:
    """Call the routine at address `blas`."""
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    routine = builder.inttoptr(blas, kind.as_pointer())
    return builder.call(routine, arguments, attrs=("nounwind",))


def _integers(builder: Any, *values: Any) -> list[Any]:
    return [by_reference(builder, value) for value in values]


def check(scalar: types.Type, name: str, reads: Sequence[Any], write: Any) -> None:
    """Raise TypingError unless the matrices are operands of one type."""
    for operand in (*reads, write):
        if not isinstance(operand, Operand) or operand.dtype != scalar:
            raise errors.TypingError(f"{name} takes {scalar} operands, not {operand}")
    if not write.writable:
        raise errors.TypingError(
            f"{name} writes to operand {write.number}: use write_*"
        )


def _gemm(name: str, scalar: types.Type) -> Any:
    def gemm(
        typingctx: Any,
        blas: Any,
        transa: Any,
        transb: Any,
        m: Any,
        n: Any,
        k: Any,
        alpha: Any,
        a: Any,
        lda: Any,
        b: Any,
        ldb: Any,
        beta: Any,
        c: Any,
        ldc: Any,
    ) -> Any:
        check(scalar, name, [a, b], c)
        flag, size = types.boolean, types.int64

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            blas, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc = args
            m, n, k, lda, ldb, ldc = _integers(builder, m, n, k, lda, ldb, ldc)
            alpha, beta = (by_reference(builder, v) for v in (alpha, beta))
            ta, tb = (_not_transposed(builder, f) for f in (ta, tb))
            call(
                builder,
                blas,
                [tb, ta, n, m, k, alpha, b, ldb, a, lda, beta, c, ldc],
                ir.VoidType(),
            )
            return context.get_dummy_value()

        sig = types.void(
            size,
            flag,
            flag,
            size,
            size,
            size,
            scalar,
            a,
            size,
            b,
            size,
            scalar,
            c,
            size,
        )
        return sig, codegen

    gemm.__name__ = name
    gemm.__doc__ = """C = alpha*op(A)*op(B) + beta*C with C of m rows and n columns.

    op(A) is m by k: A itself (`transa` 0, rows of k elements, `lda >= k`) or the
    transpose of A (`transa` 1, A has k rows of m elements, `lda >= m`).  op(B) is
    k by n in the same way.  With beta = 0, C is not read.
    """
    return intrinsic(gemm)


def _gemv(name: str, scalar: types.Type) -> Any:
    def gemv(
        typingctx: Any,
        blas: Any,
        trans: Any,
        m: Any,
        n: Any,
        alpha: Any,
        a: Any,
        lda: Any,
        x: Any,
        incx: Any,
        beta: Any,
        y: Any,
        incy: Any,
    ) -> Any:
        check(scalar, name, [a, x], y)
        size = types.int64

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            blas, trans, m, n, alpha, a, lda, x, incx, beta, y, incy = args
            m, n, lda, incx, incy = _integers(builder, m, n, lda, incx, incy)
            alpha, beta = (by_reference(builder, v) for v in (alpha, beta))
            trans = _transposed(builder, trans)
            call(
                builder,
                blas,
                [trans, n, m, alpha, a, lda, x, incx, beta, y, incy],
                ir.VoidType(),
            )
            return context.get_dummy_value()

        sig = types.void(
            size, types.boolean, size, size, scalar, a, size, x, size, scalar, y, size
        )
        return sig, codegen

    gemv.__name__ = name
    gemv.__doc__ = """y = alpha*op(A)*x + beta*y with A of m rows and n columns.

    `trans` 0: x has n elements, y has m.  `trans` 1: x has m, y has n.
    """
    return intrinsic(gemv)


def _syrk(name: str, scalar: types.Type) -> Any:
    def syrk(
        typingctx: Any,
        blas: Any,
        lower: Any,
        trans: Any,
        n: Any,
        k: Any,
        alpha: Any,
        a: Any,
        lda: Any,
        beta: Any,
        c: Any,
        ldc: Any,
    ) -> Any:
        check(scalar, name, [a], c)
        flag, size = types.boolean, types.int64

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            blas, lower, trans, n, k, alpha, a, lda, beta, c, ldc = args
            n, k, lda, ldc = _integers(builder, n, k, lda, ldc)
            alpha, beta = (by_reference(builder, v) for v in (alpha, beta))
            triangle = character(builder, lower, "U", "L")
            trans = _transposed(builder, trans)
            call(
                builder,
                blas,
                [triangle, trans, n, k, alpha, a, lda, beta, c, ldc],
                ir.VoidType(),
            )
            return context.get_dummy_value()

        sig = types.void(size, flag, flag, size, size, scalar, a, size, scalar, c, size)
        return sig, codegen

    syrk.__name__ = name
    syrk.__doc__ = """One triangle of C = alpha*op(A)*op(A)^T + beta*C, n by n.

    `trans` 0: A is n by k and op(A) = A.  `trans` 1: A is k by n, op(A) = A^T.
    `lower` 1: the elements c[i, j] with j <= i are computed; 0: those with j >= i.
    The rest of C is neither read nor written.
    """
    return intrinsic(syrk)


def _dot(name: str, scalar: types.Type) -> Any:
    def dot(
        typingctx: Any, blas: Any, n: Any, x: Any, incx: Any, y: Any, incy: Any
    ) -> Any:
        for operand in (x, y):
            if not isinstance(operand, Operand) or operand.dtype != scalar:
                raise errors.TypingError(f"{name} takes {scalar} operands")
        size = types.int64

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            blas, n, x, incx, y, incy = args
            n, incx, incy = _integers(builder, n, incx, incy)
            result = context.get_value_type(scalar)
            return call(builder, blas, [n, x, incx, y, incy], result)

        return scalar(size, size, x, size, y, size), codegen

    dot.__name__ = name
    dot.__doc__ = "The sum of x[i*incx] * y[i*incy] over n elements."
    return intrinsic(dot)


def _trsm(name: str, scalar: types.Type) -> Any:
    def trsm(
        typingctx: Any,
        blas: Any,
        lower: Any,
        trans: Any,
        unit: Any,
        n: Any,
        m: Any,
        alpha: Any,
        a: Any,
        lda: Any,
        b: Any,
        ldb: Any,
    ) -> Any:
        check(scalar, name, [a], b)
        flag, size = types.boolean, types.int64

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            blas, lower, trans, unit, n, m, alpha, a, lda, b, ldb = args
            m, n, lda, ldb = _integers(builder, m, n, lda, ldb)
            side = by_reference(builder, CHARACTER(ord("R")))
            triangle = character(builder, lower, "U", "L")
            trans, unit = (
                _not_transposed(builder, trans),
                character(builder, unit, "U", "N"),
            )
            call(
                builder,
                blas,
                [
                    *(side, triangle, trans, unit, m, n),
                    *(by_reference(builder, alpha), a, lda, b, ldb),
                ],
                ir.VoidType(),
            )
            return context.get_dummy_value()

        sig = types.void(size, flag, flag, flag, size, size, scalar, a, size, b, size)
        return sig, codegen

    trsm.__name__ = name
    trsm.__doc__ = """B = alpha * op(A)^-1 * B with A n by n, B n rows of m elements.

    A is the lower (`lower` 1) or upper triangle of its matrix, with ones in place of
    the diagonal where `unit` is 1; op(A) is A itself (`trans` 0) or its transpose (1).
    """
    return intrinsic(trsm)


gemm_f32 = _gemm("gemm_f32", SCALARS["f32"])
gemm_f64 = _gemm("gemm_f64", SCALARS["f64"])
gemv_f32 = _gemv("gemv_f32", SCALARS["f32"])
gemv_f64 = _gemv("gemv_f64", SCALARS["f64"])
syrk_f32 = _syrk("syrk_f32", SCALARS["f32"])
syrk_f64 = _syrk("syrk_f64", SCALARS["f64"])
dot_f32 = _dot("dot_f32", SCALARS["f32"])
dot_f64 = _dot("dot_f64", SCALARS["f64"])
trsm_f32 = _trsm("trsm_f32", SCALARS["f32"])
trsm_f64 = _trsm("trsm_f64", SCALARS["f64"])

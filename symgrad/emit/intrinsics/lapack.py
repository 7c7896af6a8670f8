"""LAPACK's factorizations called by address, in row-major terms.

See `symgrad.emit.intrinsics.blas` for addresses, row-major matrices and sizes.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, errors, types
from numba.extending import intrinsic

from symgrad.emit.intrinsics.blas import INTEGER, by_reference, call, character, check
from symgrad.emit.intrinsics.operands import SCALARS, Operand


def _potrf(name: str, scalar: types.Type) -> Any:
    def potrf(typingctx: Any, blas: Any, lower: Any, n: Any, a: Any, lda: Any) -> Any:
        check(scalar, name, [], a)
        size = types.int64

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            blas, lower, n, a, lda = args
            n, lda, info = (by_reference(builder, v) for v in (n, lda, INTEGER(0)))
            triangle = character(builder, lower, "U", "L")
            call(builder, blas, [triangle, n, a, lda, info], ir.VoidType())
            return builder.icmp_signed("!=", builder.load(info), INTEGER(0))

        sig = types.boolean(size, types.boolean, size, a, size)
        return sig, codegen

    potrf.__name__ = name
    potrf.__doc__ = """Factor a symmetric A, n by n, in place; True where that fails.

    `lower` 1: A = L L^T of the elements a[i, j] with j <= i; 0: A = U^T U of those with
    j >= i.  The rest is neither read nor written.
    """
    return intrinsic(potrf)


def _getrf(name: str, scalar: types.Type) -> Any:
    def getrf(typingctx: Any, blas: Any, n: Any, a: Any, lda: Any, pivots: Any) -> Any:
        check(scalar, name, [], a)
        if not isinstance(pivots, Operand) or pivots.dtype != types.int64:
            raise errors.TypingError(f"{name} writes pivots to an int64 operand")
        size = types.int64

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            blas, n, a, lda, pivots = args
            values = (n, lda, INTEGER(0))
            rows, stride, info = (by_reference(builder, v) for v in values)
            with cgutils.for_range(builder, n) as loop:
                builder.store(INTEGER(0), builder.gep(pivots, [loop.index]))
            arguments = [rows, rows, a, stride, pivots, info]
            call(builder, blas, arguments, ir.VoidType())
            _widen(builder, pivots, n)
            with cgutils.for_range(builder, n) as loop:
                place = builder.gep(pivots, [loop.index])
                number = builder.load(place)
                builder.store(builder.sub(number, INTEGER(1)), place)
            return context.get_dummy_value()

        sig = types.void(size, size, a, size, pivots)
        return sig, codegen

    getrf.__name__ = name
    getrf.__doc__ = """Factor A, n by n, in place: A P = L U, U with ones as diagonal.

    L is the lower triangle with the diagonal, U the rest.  P exchanges column k with
    column `pivots[k]`, for k = 0, 1, ….  There are n > 0 pivots.
    """
    return intrinsic(getrf)


def _widen(builder: Any, pivots: Any, n: Any) -> None:
    """Make 64-bit integers of pivots that a routine wrote as 32-bit ones.

    They stood in memory that was zero before.  Two of them side by side, which count
    from 1, are more than n if read as one.
    """
    narrow = builder.icmp_signed(">", builder.load(pivots), n)
    with builder.if_then(narrow), cgutils.for_range(builder, n) as loop:
        last = builder.sub(n, INTEGER(1))
        index = builder.sub(last, loop.index)  # from the end: none is overwritten
        source = builder.bitcast(pivots, ir.IntType(32).as_pointer())
        number = builder.load(builder.gep(source, [index]))
        wide = builder.zext(number, INTEGER)
        builder.store(wide, builder.gep(pivots, [index]))


potrf_f32 = _potrf("potrf_f32", SCALARS["f32"])
potrf_f64 = _potrf("potrf_f64", SCALARS["f64"])
getrf_f32 = _getrf("getrf_f32", SCALARS["f32"])
getrf_f64 = _getrf("getrf_f64", SCALARS["f64"])

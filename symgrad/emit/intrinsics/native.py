"""Raw memory, atomics and calls by address: what the driver itself is written in.

Addresses are int64 values.  Kernels of programs do not need these; the driver, the
thread pool and the argument binder do.
"""

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

I32, I64 = ir.IntType(32), ir.IntType(64)


def _pointer(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


@intrinsic
def load(typingctx: Any, address: Any) -> Any:
    """Read the int64 at an address."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(_pointer(builder, args[0], I64))

    return types.int64(types.int64), codegen


@intrinsic
def load_int32(typingctx: Any, address: Any) -> Any:
    """Read the int32 at an address, as int64."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.sext(builder.load(_pointer(builder, args[0], I32)), I64)

    return types.int64(types.int64), codegen


@intrinsic
def store(typingctx: Any, address: Any, value: Any) -> Any:
    """Set the int64 at an address."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.store(args[1], _pointer(builder, args[0], I64))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def atomic_load(typingctx: Any, address: Any) -> Any:
    """Read the int64 at an address; what preceded its writing is seen after it."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load_atomic(_pointer(builder, args[0], I64), "seq_cst", 8)

    return types.int64(types.int64), codegen


@intrinsic
def atomic_store(typingctx: Any, address: Any, value: Any) -> Any:
    """Set the int64 at an address for other threads to see, with all before it."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _pointer(builder, args[0], I64)
        builder.store_atomic(args[1], pointer, "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def atomic_add(typingctx: Any, address: Any, value: Any) -> Any:
    """Add to the int64 at an address; the value before is returned."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _pointer(builder, args[0], I64)
        return builder.atomic_rmw("add", pointer, args[1], "seq_cst")

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def compare_exchange(typingctx: Any, address: Any, expected: Any, value: Any) -> Any:
    """Replace `expected` at an address by `value`; whether it was there."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _pointer(builder, args[0], I64)
        pair = builder.cmpxchg(pointer, args[1], args[2], "seq_cst", "seq_cst")
        return builder.extract_value(pair, 1)

    return types.boolean(types.int64, types.int64, types.int64), codegen


@intrinsic
def pause(typingctx: Any) -> Any:
    """Tell the processor that this is a loop that waits."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        triple = builder.module.triple
        void = ir.VoidType()
        if triple.startswith("x86_64"):
            kind = ir.FunctionType(void, [])
            hint = builder.module.declare_intrinsic("llvm.x86.sse2.pause", (), kind)
            builder.call(hint, [])
        elif triple.startswith(("aarch64", "arm64")):
            kind = ir.FunctionType(void, [I32])
            hint = builder.module.declare_intrinsic("llvm.aarch64.isb", (), kind)
            builder.call(hint, [ir.Constant(I32, 15)])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def call_kernel(typingctx: Any, function: Any, operands: Any, lo: Any, hi: Any) -> Any:
    """Call the kernel whose address is `function` for the part lo:hi."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [I64.as_pointer(), I64, I64])
        kernel = builder.inttoptr(args[0], kind.as_pointer())
        table = _pointer(builder, args[1], I64)
        builder.call(kernel, [table, args[2], args[3]], attrs=("nounwind",))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), codegen


@intrinsic
def call_int(typingctx: Any, function: Any, argument: Any) -> Any:
    """Call `int function(int)`, for example usleep or openblas_set_num_threads."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(I32, [I32])
        pointer = builder.inttoptr(args[0], kind.as_pointer())
        argument = builder.trunc(args[1], I32)
        result = builder.call(pointer, [argument], attrs=("nounwind",))
        return builder.sext(result, I64)

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def system_call(
    typingctx: Any, syscall: Any, number: Any, a: Any, b: Any, c: Any
) -> Any:
    """Call libc's `syscall(number, a, b, c, NULL)`, whose address is `syscall`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(I64, [I64], var_arg=True)
        function = builder.inttoptr(args[0], kind.as_pointer())
        null = ir.Constant(I64, 0)
        return builder.call(function, [*args[1:], null], attrs=("nounwind",))

    return types.int64(*[types.int64] * 5), codegen


@intrinsic
def call_function(
    typingctx: Any, function: Any, first: Any, second: Any, third: Any, fourth: Any
) -> Any:
    """Call a C function of up to four integers or pointers that returns one."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(I64, [I64] * 4)
        pointer = builder.inttoptr(args[0], kind.as_pointer())
        return builder.call(pointer, args[1:], attrs=("nounwind",))

    return types.int64(*[types.int64] * 5), codegen

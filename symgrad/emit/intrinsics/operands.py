"""Typed operands of a kernel: arrays, sizes and scratch rows.

A kernel receives `operands`, a table of int64 values.  `read_f32(operands, 3)` takes
the value of slot 3 as the address of float32 numbers.  The slot's number is part of
the operand's *type*, so that every load and store can tell LLVM which operand it
touches (`!alias.scope`) and that it touches no other (`!noalias`).  With that, a loop
over any number of arrays is vectorised without comparing addresses at run time; with
plain pointers LLVM gives up beyond a few.

Two operands may still be *the same array* when every iteration reads its element
before it writes the element of the same index (an in-place update): neither the
vectoriser nor the scheduler moves an element's load behind its own store.  Read such
an element once, into a local variable, before the store.
"""

import operator
from typing import Any

from llvmlite import ir
from numba.core import cgutils, errors, types
from numba.core.imputils import lower_builtin
from numba.core.typing import signature
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import intrinsic, models, register_model

SCALARS: dict[str, Any] = {
    "f32": types.float32,
    "f64": types.float64,
    "i32": types.int32,
    "i64": types.int64,
    "b1": types.boolean,
}
SIZES = {"f32": 4, "f64": 8, "i32": 4, "i64": 8, "b1": 1}
SCRATCH_LIMIT = 1 << 17  # bytes of one scratch row: it lives on a thread's stack
SCRATCH = -1  # the scope that all scratch rows share: LLVM tells allocas apart


class OperandTable(types.Type):
    """The table of int64 values that a kernel is called with."""

    def __init__(self) -> None:
        super().__init__(name="operands")


class Operand(types.Type):
    """A pointer to elements of one operand; the operand's number is in the type."""

    def __init__(self, dtype: types.Type, number: int, writable: bool) -> None:
        self.dtype = dtype
        self.number = number
        self.writable = writable
        access = "write" if writable else "read"
        super().__init__(name=f"{access}({dtype}, {number})")


operand_table = OperandTable()


@register_model(OperandTable)
class _OperandTableModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: types.Type) -> None:
        super().__init__(dmm, fe_type, ir.IntType(64).as_pointer())


@register_model(Operand)
class _OperandModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Operand) -> None:
        element = dmm.lookup(fe_type.dtype).get_data_type()
        super().__init__(dmm, fe_type, element.as_pointer())


def _slot_pointer(builder: Any, table: Any, slot: Any) -> Any:
    return builder.gep(table, [slot], inbounds=True)


def _load_slot(builder: Any, table: Any, slot: Any) -> Any:
    """Load one value of the table; no kernel ever changes the table it runs with."""
    value = builder.load(_slot_pointer(builder, table, slot))
    value.set_metadata("invariant.load", builder.module.add_metadata([]))
    return value


def annotate(module: Any, instruction: Any, number: int) -> None:
    """Tell LLVM that a load or store touches operand `number` and no other.

    The list of the others is completed as further operands of the module appear.
    """
    domain = module.add_metadata(["symgrad operands"])
    scopes = _known_scopes(module)
    if number not in scopes:
        scope = module.add_metadata([f"operand {number}", domain])
        others = ir.values.MDValue(
            module, [s for s, _ in scopes.values()], str(len(module.metadata))
        )
        for _, list_of_others in scopes.values():
            list_of_others.operands += (scope,)
        scopes[number] = (scope, others)
    scope, others = scopes[number]
    instruction.set_metadata("alias.scope", module.add_metadata([scope]))
    instruction.set_metadata("noalias", others)


def _known_scopes(module: Any) -> dict[int, tuple[Any, Any]]:
    """Look up the scopes of a module's operands, kept with it while it is built."""
    try:
        return module.symgrad_scopes
    except AttributeError:
        module.symgrad_scopes = {}
        return module.symgrad_scopes


@infer_global(operator.getitem)
class _GetItem(AbstractTemplate):
    def generic(self, args: tuple, kws: dict) -> Any:
        base, index = args
        if not isinstance(index, types.Integer):
            return None
        if isinstance(base, OperandTable):
            return signature(types.int64, base, types.int64)
        if isinstance(base, Operand):
            return signature(base.dtype, base, types.int64)
        return None


@lower_builtin(operator.getitem, OperandTable, types.Integer)
def _getitem_table(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return _load_slot(builder, *args)


@lower_builtin(operator.getitem, Operand, types.Integer)
def _getitem(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    operand = sig.args[0]
    value = builder.load(_slot_pointer(builder, *args))
    annotate(builder.module, value, operand.number)
    model = context.data_model_manager[operand.dtype]
    return model.from_data(builder, value)


def _storable(value: types.Type, dtype: types.Type) -> bool:
    """Whether a value may be stored without losing its kind or its precision."""
    if value == dtype or isinstance(value, types.BooleanLiteral):
        return True
    if isinstance(dtype, types.Boolean):
        return isinstance(value, types.Boolean)
    if isinstance(dtype, types.Integer):
        return isinstance(value, types.Integer | types.Boolean)
    exact = isinstance(value, types.Integer | types.Boolean)
    return exact or (value == types.float32 and dtype == types.float64)


@infer_global(operator.setitem)
class _SetItem(AbstractTemplate):
    def generic(self, args: tuple, kws: dict) -> Any:
        base, index, value = args
        if not isinstance(base, Operand) or not isinstance(index, types.Integer):
            return None
        if not base.writable:
            raise errors.TypingError(
                f"operand {base.number} was taken by read_*: take it by write_*"
            )
        if not _storable(value, base.dtype):
            raise errors.TypingError(
                f"operand {base.number} holds {base.dtype}: convert the {value} "
                "stored there explicitly"
            )
        return signature(types.none, base, types.int64, base.dtype)


@lower_builtin(operator.setitem, Operand, types.Integer, types.Any)
def _setitem(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    operand = sig.args[0]
    pointer, index, value = args
    value = context.cast(builder, value, sig.args[2], operand.dtype)
    model = context.data_model_manager[operand.dtype]
    store = builder.store(
        model.as_data(builder, value), _slot_pointer(builder, pointer, index)
    )
    annotate(builder.module, store, operand.number)
    return context.get_dummy_value()


def _constant(value: Any, meaning: str) -> int:
    if not isinstance(value, types.IntegerLiteral):
        raise errors.TypingError(f"{meaning} must be written as a plain number")
    return int(value.literal_value)


def _operand_intrinsic(scalar: str, writable: bool) -> Any:
    def take(typingctx: Any, operands: Any, slot: Any) -> Any:
        number = _constant(slot, "the number of an operand")
        operand = Operand(SCALARS[scalar], number, writable)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            address = _load_slot(
                builder, args[0], context.get_constant(types.int64, number)
            )
            return builder.inttoptr(address, context.get_value_type(operand))

        return operand(operands, slot), codegen

    access = "write" if writable else "read"
    take.__name__ = f"{access}_{scalar}"
    take.__doc__ = f"Take slot `slot` of `operands` as {scalar} elements to {access}."
    return intrinsic(prefer_literal=True)(take)


def _scratch_intrinsic(scalar: str) -> Any:
    def scratch(typingctx: Any, count: Any) -> Any:
        number = _constant(count, "the size of a scratch row")
        if not 0 < number * SIZES[scalar] <= SCRATCH_LIMIT:
            raise errors.TypingError(
                f"a scratch row of {number} elements is over {SCRATCH_LIMIT} bytes"
            )
        operand = Operand(SCALARS[scalar], SCRATCH, writable=True)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            element = context.get_data_type(operand.dtype)
            row = cgutils.alloca_once(builder, ir.ArrayType(element, number))
            row.align = 64
            return builder.bitcast(row, context.get_value_type(operand))

        return operand(count), codegen

    scratch.__name__ = f"scratch_{scalar}"
    scratch.__doc__ = f"A row of `count` {scalar} elements on the stack, not set."
    return intrinsic(prefer_literal=True)(scratch)


@intrinsic
def at(typingctx: Any, operand: Any, offset: Any) -> Any:
    """Move the operand by `offset` elements: `at(x, 3)[i]` is `x[3 + i]`."""
    if not isinstance(operand, Operand) or not isinstance(offset, types.Integer):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _slot_pointer(builder, *args)

    return operand(operand, types.int64), codegen


read_f32 = _operand_intrinsic("f32", writable=False)
read_f64 = _operand_intrinsic("f64", writable=False)
read_i32 = _operand_intrinsic("i32", writable=False)
read_i64 = _operand_intrinsic("i64", writable=False)
read_b1 = _operand_intrinsic("b1", writable=False)
write_f32 = _operand_intrinsic("f32", writable=True)
write_f64 = _operand_intrinsic("f64", writable=True)
write_i32 = _operand_intrinsic("i32", writable=True)
write_i64 = _operand_intrinsic("i64", writable=True)
write_b1 = _operand_intrinsic("b1", writable=True)
scratch_f32 = _scratch_intrinsic("f32")
scratch_f64 = _scratch_intrinsic("f64")
scratch_i32 = _scratch_intrinsic("i32")
scratch_i64 = _scratch_intrinsic("i64")
scratch_b1 = _scratch_intrinsic("b1")

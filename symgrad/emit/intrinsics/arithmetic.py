"""Arithmetic with a meaning that plain operators do not have."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import errors, types
from numba.extending import intrinsic

# A sum may be regrouped, which lets LLVM keep a vector of partial sums; NaN and
# infinity keep their meaning.
REGROUP = ("reassoc", "contract", "nsz")


def _same_float(a: types.Type, b: types.Type) -> types.Type:
    if a != b or not isinstance(a, types.Float):
        raise errors.TypingError(f"two floats of one type are needed, not {a} and {b}")
    return a


def _regrouping(name: str, operation: str, doc: str) -> Any:
    def fast(typingctx: Any, a: Any, b: Any) -> Any:
        scalar = _same_float(a, b)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return getattr(builder, operation)(*args, flags=REGROUP)

        return scalar(scalar, scalar), codegen

    fast.__name__ = name
    fast.__doc__ = doc
    return intrinsic(fast)


add_fast = _regrouping("add_fast", "fadd", "a + b as a term of a sum in any order.")
mul_fast = _regrouping("mul_fast", "fmul", "a * b as a factor of any-order products.")


@intrinsic
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """a*b + c, rounded once."""
    scalar = _same_float(a, b)
    _same_float(a, c)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.fma(*args)

    return scalar(scalar, scalar, scalar), codegen


def _extremum(name: str, integer_order: str, doc: str) -> Any:
    def extremum(typingctx: Any, a: Any, b: Any) -> Any:
        scalar = typingctx.unify_types(a, b)
        if isinstance(scalar, types.Float):
            _same_float(a, b)
            return scalar(scalar, scalar), _call_float_extremum
        if isinstance(scalar, types.Boolean):
            return scalar(scalar, scalar), _logic(name)
        if not isinstance(scalar, types.Integer):
            return None

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            first = builder.icmp_signed(integer_order, *args)
            return builder.select(first, *args)

        return scalar(scalar, scalar), codegen

    def _call_float_extremum(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = args[0].type
        function = builder.module.declare_intrinsic(
            f"llvm.{name}", [kind], ir.FunctionType(kind, [kind, kind])
        )
        return builder.call(function, args, fastmath=("nsz",))

    extremum.__name__ = name
    extremum.__doc__ = doc
    return intrinsic(extremum)


def _logic(name: str) -> Callable[..., Any]:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.or_(*args) if name == "maximum" else builder.and_(*args)

    return codegen


maximum = _extremum(
    "maximum", ">", "The larger of two numbers; NaN if one is NaN (as np.maximum)."
)
minimum = _extremum(
    "minimum", "<", "The smaller of two numbers; NaN if one is NaN (as np.minimum)."
)


@intrinsic
def select(typingctx: Any, condition: Any, a: Any, b: Any) -> Any:
    """Choose `a` where the condition holds, else `b`; evaluates both, no branch."""
    if not isinstance(condition, types.Boolean):
        raise errors.TypingError(f"the condition of select is {condition}, not a bool")
    scalar = typingctx.unify_types(a, b)
    if scalar is None or (isinstance(scalar, types.Float) and a != b):
        raise errors.TypingError(f"select needs two values of one type: {a} and {b}")

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(*args)

    return scalar(condition, scalar, scalar), codegen


def _divide(builder: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """Quotient and remainder rounded towards zero, where the machine can trap too.

    A divisor of 0 gives 0 and 0, as in NumPy; -1 is negated around the machine's
    division, which traps on the least integer.
    """
    zero, one = ir.Constant(b.type, 0), ir.Constant(b.type, 1)
    is_zero = builder.icmp_signed("==", b, zero)
    is_minus_one = builder.icmp_signed("==", b, ir.Constant(b.type, -1))
    divisor = builder.select(builder.or_(is_zero, is_minus_one), one, b)
    quotient = builder.sdiv(a, divisor)
    remainder = builder.srem(a, divisor)
    quotient = builder.select(is_minus_one, builder.sub(zero, a), quotient)
    return builder.select(is_zero, zero, quotient), remainder


def _rounds_down(builder: Any, remainder: Any, b: Any) -> Any:
    """Whether rounding towards zero has to be corrected to rounding down."""
    zero = ir.Constant(b.type, 0)
    signs_differ = builder.icmp_signed("<", builder.xor(remainder, b), zero)
    return builder.and_(builder.icmp_signed("!=", remainder, zero), signs_differ)


def _floor_division(name: str, doc: str) -> Any:
    def divide(typingctx: Any, a: Any, b: Any) -> Any:
        scalar = typingctx.unify_types(a, b)
        if not isinstance(scalar, types.Integer):
            return None

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            quotient, remainder = _divide(builder, *args)
            down = _rounds_down(builder, remainder, args[1])
            if name == "floor_divide":
                return builder.sub(quotient, builder.zext(down, quotient.type))
            zero = ir.Constant(remainder.type, 0)
            return builder.add(remainder, builder.select(down, args[1], zero))

        return scalar(scalar, scalar), codegen

    divide.__name__ = name
    divide.__doc__ = doc
    return intrinsic(divide)


floor_divide = _floor_division(
    "floor_divide", "The quotient rounded down, as Python's `//`; 0 for a divisor of 0."
)
floor_modulo = _floor_division(
    "floor_modulo", "The remainder of floor_divide, as Python's `%`; 0 for modulo 0."
)

"""A little language for branch-free scalar code: Python operators that write LLVM.

The body of an elementary function is an ordinary Python function on `Value`s.  It runs
once, when the function is first needed, and every operator appends one instruction
without fast-math flags: range reductions and compensated sums mean what they say.
There is no branch and no loop, so LLVM can vectorise any loop that calls the function.

Python numbers next to a `Value` become constants of its type.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from llvmlite import ir

BOOL = ir.IntType(1)


@dataclass(frozen=True)
class Format:
    """A binary floating-point format of IEEE 754."""

    name: str
    real: ir.Type
    integer: ir.IntType
    mantissa: int  # explicit bits of the significand
    bias: int  # of the exponent

    @property
    def magic(self) -> float:
        """1.5 * 2**mantissa: adding it rounds to an integer kept in the low bits."""
        return 1.5 * 2.0**self.mantissa

    @property
    def epsilon(self) -> float:
        """The distance from 1 to the next number."""
        return 2.0**-self.mantissa

    @property
    def tiny(self) -> float:
        """The least normal number."""
        return 2.0 ** (1 - self.bias)

    @property
    def sign(self) -> int:
        """The sign bit alone, as a signed integer."""
        return -1 << (self.integer.width - 1)

    def pattern(self, number: float) -> int:
        """The bits of a number, as a signed integer."""
        real, integer = ("<f", "<i") if self.mantissa == 23 else ("<d", "<q")
        (bits,) = struct.unpack(integer, struct.pack(real, number))
        return int(bits)


F32 = Format("f32", ir.FloatType(), ir.IntType(32), 23, 127)
F64 = Format("f64", ir.DoubleType(), ir.IntType(64), 52, 1023)


class Value:
    """A scalar that the code under construction computes."""

    __slots__ = ("builder", "code")

    def __init__(self, builder: ir.IRBuilder, code: ir.Value) -> None:
        self.builder = builder
        self.code = code

    @property
    def is_real(self) -> bool:
        """Whether this is a floating-point number."""
        return isinstance(self.code.type, (ir.FloatType, ir.DoubleType))

    @property
    def format(self) -> Format:
        """The floating-point format of a real, or that of an integer's width."""
        narrow = self.code.type in (F32.real, F32.integer)
        return F32 if narrow else F64

    def like(self, operand: Value | int | float) -> Value:
        """The operand as a value; a number becomes a constant of this type."""
        if isinstance(operand, Value):
            return operand
        number = float(operand) if self.is_real else int(operand)
        return Value(self.builder, ir.Constant(self.code.type, number))

    def _write(self, instruction: str, *operands: Value | int | float) -> Value:
        codes = [self.like(operand).code for operand in operands]
        return Value(self.builder, getattr(self.builder, instruction)(*codes))

    def _either(
        self, real: str, integer: str, a: Value | int | float, b: Value | int | float
    ) -> Value:
        return self._write(real if self.is_real else integer, a, b)

    def __add__(self, other: Value | int | float) -> Value:
        return self._either("fadd", "add", self, other)

    def __radd__(self, other: int | float) -> Value:
        return self._either("fadd", "add", other, self)

    def __sub__(self, other: Value | int | float) -> Value:
        return self._either("fsub", "sub", self, other)

    def __rsub__(self, other: int | float) -> Value:
        return self._either("fsub", "sub", other, self)

    def __mul__(self, other: Value | int | float) -> Value:
        return self._either("fmul", "mul", self, other)

    def __rmul__(self, other: int | float) -> Value:
        return self._either("fmul", "mul", other, self)

    def __truediv__(self, other: Value | int | float) -> Value:
        return self._write("fdiv", self, other)

    def __rtruediv__(self, other: int | float) -> Value:
        return self._write("fdiv", other, self)

    def __neg__(self) -> Value:
        return self._write("fneg", self) if self.is_real else 0 - self

    def __and__(self, other: Value | int) -> Value:
        return self._write("and_", self, other)

    def __or__(self, other: Value | int) -> Value:
        return self._write("or_", self, other)

    def __xor__(self, other: Value | int) -> Value:
        return self._write("xor", self, other)

    def __invert__(self) -> Value:
        return self ^ -1

    def __lshift__(self, count: Value | int) -> Value:
        return self._write("shl", self, count)

    def __rshift__(self, count: Value | int) -> Value:
        """The arithmetic shift, which keeps the sign."""
        return self._write("ashr", self, count)

    def _compare(self, relation: str, other: Value | int | float) -> Value:
        code = self.like(other).code
        if not self.is_real:
            compared = self.builder.icmp_signed(relation, self.code, code)
        elif relation == "!=":
            compared = self.builder.fcmp_unordered(relation, self.code, code)
        else:
            compared = self.builder.fcmp_ordered(relation, self.code, code)
        return Value(self.builder, compared)

    def __lt__(self, other: Value | int | float) -> Value:
        return self._compare("<", other)

    def __le__(self, other: Value | int | float) -> Value:
        return self._compare("<=", other)

    def __gt__(self, other: Value | int | float) -> Value:
        return self._compare(">", other)

    def __ge__(self, other: Value | int | float) -> Value:
        return self._compare(">=", other)

    def equals(self, other: Value | int | float) -> Value:
        """Whether both are equal; `==` stays Python's identity."""
        return self._compare("==", other)

    def differs(self, other: Value | int | float) -> Value:
        """Whether they are not equal; a NaN differs from all, itself included."""
        return self._compare("!=", other)


def _call(name: str, first: Value, *rest: Value | int | float) -> Value:
    """The LLVM intrinsic of that name, overloaded on the type of its arguments."""
    codes = [first.code, *(first.like(operand).code for operand in rest)]
    kind = first.code.type
    signature = ir.FunctionType(kind, [kind] * len(codes))
    function = first.builder.module.declare_intrinsic(name, [kind], signature)
    return Value(first.builder, first.builder.call(function, codes))


def fma(a: Value, b: Value | float, c: Value | float) -> Value:
    """a*b + c, rounded once."""
    return _call("llvm.fma", a, b, c)


def fabs(x: Value) -> Value:
    """|x|: the sign bit cleared."""
    return _call("llvm.fabs", x)


def square_root(x: Value) -> Value:
    """The correctly rounded square root."""
    return _call("llvm.sqrt", x)


def round_down(x: Value) -> Value:
    """The greatest integer that is not above x."""
    return _call("llvm.floor", x)


def round_up(x: Value) -> Value:
    """The least integer that is not below x."""
    return _call("llvm.ceil", x)


def round_to_zero(x: Value) -> Value:
    """The integer part of x."""
    return _call("llvm.trunc", x)


def round_to_even(x: Value) -> Value:
    """The nearest integer, the even one of two equally near."""
    return _call("llvm.roundeven", x)


def with_sign(magnitude: Value, sign: Value | float) -> Value:
    """|magnitude| with the sign bit of `sign`."""
    return _call("llvm.copysign", magnitude, sign)


def maximum_of(a: Value, b: Value) -> Value:
    """The larger of two numbers, +0 above -0; NaN if one is NaN."""
    return _call("llvm.maximum", a, b)


def minimum_of(a: Value, b: Value) -> Value:
    """The smaller of two numbers, -0 below +0; NaN if one is NaN."""
    return _call("llvm.minimum", a, b)


def select(condition: Value, a: Value | float, b: Value | float) -> Value:
    """`a` where the condition holds, else `b`; both are computed."""
    known = a if isinstance(a, Value) else b
    assert isinstance(known, Value)
    codes = (condition.code, known.like(a).code, known.like(b).code)
    return Value(known.builder, known.builder.select(*codes))


def bits(x: Value) -> Value:
    """The representation of a real, as an integer of its width."""
    return Value(x.builder, x.builder.bitcast(x.code, x.format.integer))


def from_bits(n: Value) -> Value:
    """The real represented by an integer."""
    return Value(n.builder, n.builder.bitcast(n.code, n.format.real))


def shift_right_zero(n: Value, count: Value | int) -> Value:
    """The logical shift, which brings in zeros."""
    return Value(n.builder, n.builder.lshr(n.code, n.like(count).code))


def truncate(n: Value) -> Value:
    """The low half of a 64-bit integer."""
    return Value(n.builder, n.builder.trunc(n.code, F32.integer))


def widen(x: Value) -> Value:
    """A float32 as float64: exact."""
    return Value(x.builder, x.builder.fpext(x.code, F64.real))


def narrow(x: Value) -> Value:
    """A float64 rounded to float32."""
    return Value(x.builder, x.builder.fptrunc(x.code, F32.real))


def integer_as_real(n: Value) -> Value:
    """An integer of magnitude below 2**(mantissa - 1), as a real: exact.

    The integer is added to the bits of `magic`, whose last place is 1; AVX2 has no
    conversion from 64-bit integers.
    """
    magic = n.format.magic
    return from_bits(n + n.format.pattern(magic)) - magic


def nearest(x: Value) -> tuple[Value, Value]:
    """The integer nearest x, as a real and as an integer; |x| < 2**(mantissa - 1)."""
    shifted = x + x.format.magic
    return shifted - x.format.magic, bits(shifted) - x.format.pattern(x.format.magic)


def look_up(table: Sequence[float], index: Value, name: str) -> Value:
    """The float64 table[index]; in a vectorised loop, a gather."""
    module = index.builder.module
    kind = ir.ArrayType(F64.real, len(table))
    if name in module.globals:
        array = module.get_global(name)
    else:
        array = ir.GlobalVariable(module, kind, name)
        array.linkage = "private"
        array.global_constant = True
        array.unnamed_addr = True
        array.initializer = ir.Constant(kind, list(table))
    zero = ir.Constant(F64.integer, 0)
    address = index.builder.gep(array, [zero, index.code], inbounds=True)
    return Value(index.builder, index.builder.load(address))

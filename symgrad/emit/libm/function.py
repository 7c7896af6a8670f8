"""From the body of an elementary function to something that Numba can call."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import ir
from numba import njit
from numba.core import types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature

from symgrad.emit.libm.language import F32, F64, Format, Value

SCALARS = {"f32": types.float32, "f64": types.float64}


class Elementary:
    """A function of floats of one type, for use inside Numba functions.

    A kernel calls it as any other function.  Its LLVM code is a module of its own,
    linked into that kernel's and inlined there: the fast-math flags of the kernel do
    not reach it, and nothing is typed, lowered or optimised by Numba on the way, which
    would take tens of milliseconds for each function.

    Called from Python it compiles itself once and returns a Python float.
    """

    def __init__(self, body: Callable[..., Value], form: Format) -> None:
        self.__name__ = self.__qualname__ = f"{body.__name__}_{form.name}"
        self.__module__ = body.__module__
        self.__doc__ = body.__doc__
        self.body = body
        self.format = form
        self.arity = body.__code__.co_argcount
        self.symbol = f"symgrad.{self.__name__}"
        self._register()

    def __repr__(self) -> str:
        return f"<elementary {self.__name__}>"

    def __reduce__(self) -> str:
        return self.__name__

    def __call__(self, *numbers: float) -> float:
        """Return the function's value, for calls from Python."""
        return float(_compiled(self)(*map(float, numbers)))

    def _register(self) -> None:
        scalar = SCALARS[self.format.name]
        arguments = [scalar] * self.arity

        class Typing(ConcreteTemplate):
            key = self
            cases = [signature(scalar, *arguments)]  # noqa: RUF012 - Numba's protocol

        infer_global(self, types.Function(Typing))

        @lower_builtin(self, *arguments)
        def lower(context: Any, builder: Any, sig: Any, codes: Any) -> ir.Value:
            library = _library(self, context.codegen())
            context.active_code_library.add_linking_library(library)
            return builder.call(self.declare(builder.module), codes)

    def define(self, module: ir.Module) -> None:
        """Write the function into an LLVM module."""
        function = self.declare(module)
        for attribute in ("alwaysinline", "nounwind", "readnone"):
            function.attributes.add(attribute)
        builder = ir.IRBuilder(function.append_basic_block())
        result = self.body(*(Value(builder, argument) for argument in function.args))
        builder.ret(result.code)

    def declare(self, module: ir.Module) -> ir.Function:
        """The function as an LLVM module refers to it."""
        if self.symbol in module.globals:
            return module.get_global(self.symbol)
        kind = self.format.real
        return ir.Function(
            module, ir.FunctionType(kind, [kind] * self.arity), self.symbol
        )


@cache
def _library(function: Elementary, codegen: Any) -> Any:
    """The function as a library of Numba's, optimised once and linked into callers."""
    library = codegen.create_library(function.symbol)
    module = library.create_ir_module(function.symbol)
    function.define(module)
    library.add_ir_module(module)
    library.finalize()
    return library


def elementary(body: Callable[..., Value]) -> tuple[Elementary, Elementary]:
    """The function of that body and name on float32, and the one on float64."""
    return Elementary(body, F32), Elementary(body, F64)


@cache
def _compiled(function: Elementary) -> Callable[..., Any]:
    """The function compiled for calls from Python."""
    if function.arity == 1:
        return njit(lambda x: function(x))
    return njit(lambda x, y: function(x, y))

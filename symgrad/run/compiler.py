"""The text of a kernel to relocatable machine code, through Numba's front end.

Numba translates the function to LLVM IR.  From there the work is done here: the
kernel's module and those of the functions that it calls are linked, everything but
one C entry point is made internal, LLVM's pipeline runs once, and the object code is
returned as bytes.  What is left out against `numba.cfunc`: Python wrappers,
reference counting, rewrites of array expressions, a second run of the optimizer, and
loading the result into Numba's own engine.
"""

import ctypes
import importlib.machinery
import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import errors, types
from numba.core.compiler_lock import global_compiler_lock

from symgrad.errors import CompileError
from symgrad.run.frontend import Modules, lower
from symgrad.run.target import target_machine

ENTRY = "kernel"  # the name of the function in every kernel's text
I64 = ir.IntType(64)


class _TextLoader(importlib.machinery.SourceFileLoader):
    """Imports a kernel's file without leaving bytecode beside it."""

    def set_data(self, *_args: Any, **_kwargs: Any) -> None:
        pass


def import_kernel(path: Path) -> Callable[..., Any]:
    """Import the function `kernel` of a kernel's file."""
    loader = _TextLoader(path.stem, str(path))
    spec = importlib.util.spec_from_file_location(path.stem, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return getattr(module, ENTRY)


def _entry_point(lowered: Any, symbol: str) -> str:
    """LLVM text of the C function `symbol`, which calls the lowered function."""
    module = ir.Module()
    module.triple = llvm.get_process_triple()
    context = lowered.target_context
    inner = context.declare_function(module, lowered.fndesc)
    returns = lowered.signature.return_type
    result = ir.VoidType() if returns == types.none else I64
    parameters = [context.get_argument_type(t) for t in lowered.signature.args]
    entry = ir.Function(module, ir.FunctionType(result, parameters), symbol)
    entry.attributes.add("nounwind")
    builder = ir.IRBuilder(entry.append_basic_block())
    _, value = context.call_conv.call_function(
        builder, inner, returns, lowered.signature.args, entry.args
    )
    if returns == types.none:
        builder.ret_void()
    else:
        builder.ret(context.cast(builder, value, returns, types.int64))
    return str(module)


def _link(lowered: Any, library: Modules, symbol: str) -> llvm.ModuleRef:
    """One module of the kernel and all that it calls; only `symbol` is visible."""
    module = llvm.parse_assembly(_entry_point(lowered, symbol))
    for text in reversed(library.texts):  # callers first: the linker drops unused code
        module.link_in(llvm.parse_assembly(text))
    for other in library.libraries:
        module.link_in(other._get_module_for_linking(), preserve=True)
    for function in module.functions:
        if function.is_declaration or function.name == symbol:
            continue
        function.linkage = "internal"
        function.add_function_attribute("alwaysinline")
    for variable in module.global_variables:
        if not variable.is_declaration:
            variable.linkage = "internal"
    module.verify()
    return module


@cache
def _machine() -> llvm.TargetMachine:
    return target_machine()


def _optimize(module: llvm.ModuleRef) -> None:
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    options.slp_vectorization = False
    builder = llvm.create_pass_builder(_machine(), options)
    builder.getModulePassManager().run(module, builder)


def llvm_text(path: Path, symbol: str = ENTRY, optimize: bool = True) -> str:
    """Print the LLVM IR of a kernel's file, for reading and for tests."""
    module = _module(path, symbol)
    if optimize:
        _optimize(module)
    return str(module)


@global_compiler_lock
def _module(path: Path, symbol: str) -> llvm.ModuleRef:
    try:
        lowered, library = lower(import_kernel(path))
    except (errors.NumbaError, AttributeError, ImportError, SyntaxError) as error:
        raise CompileError(f"the kernel in {path} does not compile: {error}") from error
    return _link(lowered, library, symbol)


def _check_references(module: llvm.ModuleRef, path: Path) -> None:
    """Refuse a kernel that needs more than the C library: it could not be loaded."""
    libraries = ctypes.CDLL(None)
    for function in module.functions:
        name = function.name
        if not function.is_declaration or name.startswith("llvm."):
            continue
        foreign = name.lstrip("_").lower().startswith(("py", "numba", "nrt"))
        if foreign or not hasattr(libraries, name):
            raise CompileError(
                f"the kernel in {path} needs the function {name}, which is not in the "
                "C library: write it with symgrad's intrinsics instead"
            )


def compile_file(path: Path, symbol: str) -> bytes:
    """Compile a kernel's file to object code with the C entry point `symbol`."""
    module = _module(path, symbol)
    _optimize(module)
    _check_references(module, path)
    return _machine().emit_object(module)

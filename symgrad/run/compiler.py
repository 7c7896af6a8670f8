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
import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import compiler, errors, types
from numba.core.codegen import CodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager
from numba.core.cpu_options import FastMathOptions
from numba.core.registry import cpu_target
from numba.core.typed_passes import (
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.typing import Context
from numba.core.untyped_passes import (
    DeadBranchPrune,
    FixupArgs,
    InlineInlinables,
    IRProcessing,
    ReconstructSSA,
    TranslateByteCode,
)

from symgrad.emit.intrinsics.operands import operand_table
from symgrad.errors import CompileError
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


class _Pipeline(compiler.CompilerBase):
    """Numba's passes that a kernel needs: it has no closures, arrays or objects."""

    PASSES = (
        TranslateByteCode,
        FixupArgs,
        IRProcessing,
        InlineInlinables,
        DeadBranchPrune,
        ReconstructSSA,
        NopythonTypeInference,
        PreLowerStripPhis,
        IRLegalization,
        NativeLowering,
        NoPythonBackend,
    )

    def define_pipelines(self) -> list[PassManager]:
        manager = PassManager("kernel")
        for step in self.PASSES:
            manager.add_pass(step, step.__name__)
        manager.finalize()
        return [manager]


class _Modules(CodeLibrary):
    """Collects what Numba lowers, for linking here; nothing is compiled."""

    def __init__(self, codegen: Any, name: str) -> None:
        super().__init__(codegen, name)
        self.texts: list[str] = []
        self.libraries: list[Any] = []

    def add_ir_module(self, ir_module: ir.Module) -> None:
        self.texts.append(str(ir_module))

    def add_linking_library(self, library: CodeLibrary) -> None:
        if library not in self.libraries:
            self.libraries.append(library)

    def finalize(self) -> None:
        pass

    def get_function(self, name: str) -> None:
        raise NotImplementedError

    def get_llvm_str(self) -> str:
        return "\n".join(self.texts)

    def get_asm_str(self) -> str:
        raise NotImplementedError


class _RememberedTyping(Context):
    """Numba's typing context with a memory for the types of calls.

    Asking which of dozens of meanings of `*` two floats have is a quarter of the time
    that Numba needs for a kernel, and kernels ask the same again and again.
    """

    answers: ClassVar[dict[tuple[Any, ...], Any]] = {}

    def __init__(self, context: Context) -> None:
        self.__dict__ = context.__dict__

    def resolve_function_type(self, func: Any, args: Any, kws: Any) -> Any:
        """Return the signature of a call."""
        call = (func, args, *kws.items())
        if call not in self.answers:
            self.answers[call] = super().resolve_function_type(func, args, kws)
        return self.answers[call]


def _flags() -> Any:
    flags: Any = compiler.Flags()
    flags.no_cpython_wrapper = True
    flags.no_cfunc_wrapper = True
    flags.no_compile = True
    flags.error_model = "numpy"
    flags.fastmath = FastMathOptions({"contract"})
    return flags


def _lower(function: Callable[..., Any]) -> tuple[Any, _Modules]:
    """Numba's typed, lowered form of the function, and the LLVM modules of it."""
    names = list(inspect.signature(function).parameters)
    arguments = [operand_table if n == "operands" else types.int64 for n in names]
    codegen = cpu_target.target_context.codegen()
    library = _Modules(codegen, function.__name__)
    lowered = compiler.compile_extra(
        _RememberedTyping(cpu_target.typing_context),
        cpu_target.target_context,
        function,
        tuple(arguments),
        None,
        _flags(),
        {},
        library=library,
        pipeline_class=_Pipeline,
    )
    return lowered, library


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


def _link(lowered: Any, library: _Modules, symbol: str) -> llvm.ModuleRef:
    """One module of the kernel and all that it calls; only `symbol` is visible."""
    module = llvm.parse_assembly(_entry_point(lowered, symbol))
    for text in library.texts:
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


def _module(path: Path, symbol: str) -> llvm.ModuleRef:
    try:
        with global_compiler_lock:
            lowered, library = _lower(import_kernel(path))
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

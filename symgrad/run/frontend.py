"""Numba's front end for kernels: from a function to LLVM IR.

Numba knows arrays, strings, dictionaries and linear algebra, and loads all of it (and
SciPy) before it translates anything.  A kernel is loops over scalars and our own
operands, so a kernel's *contexts*, the tables of what operations mean, hold only
numbers, ranges, tuples and NumPy's functions of scalars.
"""

import gc
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numba
from llvmlite import ir
from numba.core import compiler, errors, fastmathpass, types
from numba.core.codegen import CodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager
from numba.core.cpu import CPUContext, CPUTargetOptions
from numba.core.cpu_options import FastMathOptions
from numba.core.descriptors import TargetDescriptor
from numba.core.registry import CPUDispatcher, cpu_target
from numba.core.target_extension import (
    CPU,
    dispatcher_registry,
    jit_registry,
    target_override,
    target_registry,
)
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

TARGET = "symgrad"


class _Typing(Context):
    """Numba's rules for the types of scalars, with a memory for those of calls.

    Asking which of dozens of meanings of `*` two floats have is a quarter of the time
    that Numba needs for a kernel, and kernels ask the same again and again.
    """

    def __init__(self) -> None:
        self._answers: dict[tuple[Any, ...], Any] = {}
        super().__init__()

    def load_additional_registries(self) -> None:
        """Add the types of functions of numbers."""
        from numba.core.typing import mathdecl, npydecl

        self.install_registry(mathdecl.registry)
        self.install_registry(npydecl.registry)

    def resolve_function_type(self, func: Any, args: Any, kws: Any) -> Any:
        """Return the signature of a call."""
        call = (func, args, *kws.items())
        if call not in self._answers:
            self._answers[call] = super().resolve_function_type(func, args, kws)
        return self._answers[call]


class _Lowering(CPUContext):
    """Numba's translations of operations on scalars."""

    def load_additional_registries(self) -> None:
        """Add the translations of operators, loops and functions of numbers."""
        from numba.core import optional  # noqa: F401 - registered by the import
        from numba.cpython import (  # noqa: F401
            builtins,
            iterators,
            mathimpl,
            numbers,
            rangeobj,
            tupleobj,
        )
        from numba.np import npyimpl

        self.install_registry(mathimpl.registry)
        self.install_registry(npyimpl.registry)

    def post_lowering(self, mod: ir.Module, library: Any) -> None:
        """Give arithmetic without flags of its own those of the kernel."""
        fastmathpass.rewrite_module(mod, self.fastmath)


class _Kernels(CPU):
    """What Numba calls a target: the processor, as kernels see it."""


class _KernelTarget(TargetDescriptor):
    """The contexts of kernels, made when first needed."""

    options = CPUTargetOptions

    @cached_property
    def typing_context(self) -> Context:
        """Return the rules for types."""
        return _Typing()

    @cached_property
    def target_context(self) -> CPUContext:
        """Return the translations of operations."""
        return _Lowering(self.typing_context, TARGET)


class _KernelDispatcher(CPUDispatcher):
    """Through this, Numba's intrinsics find the contexts of the target."""

    targetdescr: Any = _KernelTarget(TARGET)


target_registry[TARGET] = _Kernels
dispatcher_registry[_Kernels] = _KernelDispatcher
jit_registry[_Kernels] = numba.jit  # for what Numba defines by a Python function


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


class Modules(CodeLibrary):
    """Collects what Numba lowers, for linking here; nothing is compiled."""

    def __init__(self, codegen: Any, name: str) -> None:
        super().__init__(codegen, name)
        self.texts: list[str] = []
        self.libraries: list[Any] = []

    def add_ir_module(self, ir_module: ir.Module) -> None:
        """Keep a module that was lowered."""
        self.texts.append(str(ir_module))

    def add_linking_library(self, library: CodeLibrary) -> None:
        """Keep a library that the kernel calls."""
        if library not in self.libraries:
            self.libraries.append(library)

    def finalize(self) -> None:
        """Do nothing: compiling is done after linking."""

    def get_function(self, name: str) -> None:
        """Refuse: nothing is compiled here."""
        raise NotImplementedError

    def get_llvm_str(self) -> str:
        """Return the modules as text."""
        return "\n".join(self.texts)

    def get_asm_str(self) -> str:
        """Refuse: nothing is compiled here."""
        raise NotImplementedError


def _flags() -> Any:
    flags: Any = compiler.Flags()
    flags.no_cpython_wrapper = True
    flags.no_cfunc_wrapper = True
    flags.no_compile = True
    flags.error_model = "numpy"
    flags.fastmath = FastMathOptions({"contract"})
    return flags


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Put off the collector, which would walk through all of Numba again and again.

    It takes half the time of translating a long kernel otherwise.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@global_compiler_lock
def lower(function: Callable[..., Any]) -> tuple[Any, Modules]:
    """Translate a kernel's function: Numba's description of it, and its LLVM modules.

    A parameter named `operands` is the table of operands; all others are integers.
    """
    with _no_garbage_collection():
        try:
            with target_override(TARGET):
                return _lower(function, _KernelDispatcher.targetdescr)
        except (errors.NumbaError, NotImplementedError):
            # It calls what Numba compiles itself, or what only Numba's target has.
            return _lower(function, cpu_target)


def _lower(function: Callable[..., Any], target: Any) -> tuple[Any, Modules]:
    names = inspect.signature(function).parameters
    arguments = tuple(operand_table if n == "operands" else types.int64 for n in names)
    library = Modules(target.target_context.codegen(), function.__name__)
    lowered = compiler.compile_extra(
        target.typing_context,
        target.target_context,
        function,
        arguments,
        None,
        _flags(),
        {},
        library=library,
        pipeline_class=_Pipeline,
    )
    return lowered, library

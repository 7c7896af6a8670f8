"""The machine that code is made for: this one."""

from functools import cache

import llvmlite.binding as llvm


@cache
def cpu() -> tuple[str, str]:
    """Name and feature list of this processor, as LLVM wants them."""
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


@cache
def initialize() -> None:
    """Make LLVM ready to emit and load code for this machine."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def target_machine() -> llvm.TargetMachine:
    """Make a code generator for this processor."""
    initialize()
    name, features = cpu()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(
        cpu=name,
        features=features,
        opt=3,
        reloc="default",
        codemodel="jitdefault",
        jit=True,
    )

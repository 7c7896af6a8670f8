"""Machine code to callable addresses, with LLVM's linker and nothing of Numba."""

import ctypes
import threading
from functools import cache

import llvmlite.binding as llvm

from symgrad.run.target import target_machine

_lock = threading.Lock()


@cache
def _engine() -> llvm.ExecutionEngine:
    """Make the engine of the process, never freed: threads may run its code at exit."""
    machine = target_machine()
    module = llvm.parse_assembly(f'target triple = "{machine.triple}"')
    engine = llvm.create_mcjit_compiler(module, machine)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(engine))
    return engine


def load(objects: dict[str, bytes]) -> dict[str, int]:
    """Load object code given by its entry symbol; the address of each entry."""
    with _lock:
        engine = _engine()
        for code in objects.values():
            engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        return {symbol: engine.get_function_address(symbol) for symbol in objects}

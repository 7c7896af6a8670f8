"""Graphs from and to other systems: ONNX, PyTorch, JAX, and plain Python.

Each needs its package only when it is called; ``pip install 'symgrad[onnx]'`` (or
``torch``, ``jax``) installs it.
"""

import importlib
from typing import Any

#: Function -> the module that holds it; loaded at first use.
_PLACES = {
    "to_python": "symgrad.interop.standalone.public",
    "to_onnx": "symgrad.interop.onnx_export.public",
    "from_onnx": "symgrad.interop.onnx_import.public",
    "from_torch": "symgrad.interop.torch_import.public",
    "to_jax": "symgrad.interop.jax_functions",
}
__all__ = [*_PLACES]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'symgrad.interop' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

"""Optional packages: imported where they are needed, and named where they are not."""

from __future__ import annotations

import importlib
from typing import Any

from symgrad.errors import CompileError


def optional(called: str, extra: str, package: str, *modules: str) -> Any:
    """Import a package and modules of it; return the package.

    Args:
        called: what a message calls it.
        extra: the extra of symgrad that has it.
        package: its name.
        modules: the names of modules that are to be imported too.

    Raises:
        CompileError: it is not installed; the message names the extra that has it.
    """
    try:
        found = importlib.import_module(package)
        for module in modules:
            importlib.import_module(module)
    except ImportError:
        raise CompileError(
            f"{called} is not installed; pip install 'symgrad[{extra}]' gives it"
        ) from None
    return found

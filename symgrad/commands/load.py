"""Load what a command works on: an object of a Python file."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from symgrad.errors import FormatError


def load_object(text: str) -> Any:
    """Run a Python file and return one of its objects; a function is called.

    Args:
        text: ``path.py:object``, as in ``model.py:loss``.

    Raises:
        FormatError: the text, the file or the object is not as expected, or the file
            fails when it runs.
    """
    path, colon, name = text.rpartition(":")
    if not colon or not path.endswith(".py") or not name.isidentifier():
        raise FormatError(f"{text!r} is not like model.py:loss")
    file = Path(path)
    if not file.is_file():
        raise FormatError(f"there is no file {path!r}")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.parent.resolve()))  # what it imports lies beside it
    try:
        spec.loader.exec_module(module)
        found = getattr(module, name, None)
        if found is None:
            raise FormatError(f"{path} defines no {name!r}")
        return found() if callable(found) else found
    except FormatError:
        raise
    except Exception as error:
        raise FormatError(f"{path}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(file.parent.resolve()))

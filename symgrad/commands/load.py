"""Load what a command works on: an object of a Python file, a program, or ONNX."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from symgrad.errors import FormatError

if TYPE_CHECKING:
    from symgrad.declare.tensor import Tensor

#: What the commands that look at a model take, for their help.
OBJECT = "such as model.py:loss; or a program that was saved; or an ONNX file"


def load_model(text: str, scalar: bool) -> tuple[Any, Any]:
    """Return a model to look at, and its data if they are given with it.

    Args:
        text: ``path.py:object``, where the object is a model or a tuple of one and
            its data; or a file that ``Program.save`` wrote; or an ONNX file.
        scalar: of a file's outputs only a scalar, a loss, will do.

    Raises:
        FormatError: there is nothing of the kind.
    """
    if ".py:" not in text:
        return _of_file(text, scalar), None
    loaded = load_object(text)
    parts = loaded if isinstance(loaded, tuple) else (loaded,)
    if not 1 <= len(parts) <= 2:
        raise FormatError(
            f"{text} is a tuple of {len(parts)}; it is a loss or trainer, and its data"
        )
    return (*parts, None)[:2]


def _of_file(path: str, scalar: bool) -> Tensor:
    """Return the first scalar among the outputs that a file holds, else the first."""
    from symgrad.declare.dtypes import is_float
    from symgrad.derivation.reverse import flatten
    from symgrad.interop import from_onnx
    from symgrad.serialize.graph import load

    if path.endswith(".py"):
        raise FormatError(f"say which object of {path} is meant, as in {path}:loss")
    found = from_onnx(path) if path.endswith(".onnx") else load(Path(path))
    outputs: list[Tensor] = flatten(found.outputs)
    if not outputs:
        raise FormatError(f"{path} has no outputs; there is nothing to look at")
    losses = [t for t in outputs if t.shape == () and is_float(t.dtype)]
    if scalar and not losses:
        shown = ", ".join(t.describe() for t in outputs[:4])
        raise FormatError(
            f"{path} has no loss, a scalar of a float type, among its outputs ({shown})"
            "; save or export the loss, or declare one in a Python file: mean(…)"
        )
    return (losses or outputs)[0]


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

"""Load what a command works on: an object of a Python file, a program, or ONNX."""

from __future__ import annotations

import importlib.util
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from symgrad.errors import FormatError

if TYPE_CHECKING:
    from symgrad.declare.tensor import Tensor

#: What the commands that look at a model take, for their help.
OBJECT = "such as model.py:loss; or a program that was saved; or an ONNX file"


def load_model(text: str, scalar: bool, history: bool = False) -> tuple[Any, ...]:
    """Return a model to look at, and its data if they are given with it.

    Args:
        text: ``path.py:object``, where the object is a model or a tuple of one and
            its data; or a file that ``Program.save`` wrote; or an ONNX file.
        scalar: of a file's outputs only a scalar, a loss, will do.
        history: return that of a run as well, a third part of the tuple.

    Raises:
        FormatError: there is nothing of the kind.
    """
    most = 3 if history else 2
    loaded = load_object(text) if ".py:" in text else _of_file(text, scalar)
    parts = loaded if isinstance(loaded, tuple) else (loaded,)
    if not 1 <= len(parts) <= most:
        also = ", its data, and its history" if history else ", and its data"
        raise FormatError(f"{text} is a tuple of {len(parts)}; it is a model{also}")
    return (*parts, None, None)[:most]


def arrays(path: Path) -> dict[str, Any]:
    """Return the arrays of an npz file.

    Raises:
        FormatError: it cannot be read, or is no such file.
    """
    try:
        with open(path, "rb") as file:
            found = np.load(file, allow_pickle=False)
            if isinstance(found, np.ndarray):
                raise ValueError("one array without a name")
            return dict(found)
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, EOFError, BadZipFile, zlib.error):
        raise FormatError(
            f"{path} is damaged, or no npz file of numbers; write one with "
            "np.savez(path, x=array, …)"
        ) from None


def check_measurable(text: str, loss: Any, data: Any) -> None:
    """Raise FormatError where a model that has inputs has no data."""
    from symgrad.declare.tensor import Input, topological

    inputs = [t for t in topological([loss]) if isinstance(t.op, Input)]
    if inputs and data is None:
        names = ", ".join(repr(t.name) for t in inputs)
        raise FormatError(
            f"{text} is measured on data; give an array for each of its inputs, "
            f"{names}, in --data FILE.npz"
        )


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

"""Training runs as safetensors files: every array by name, other facts as metadata.

A file is written beside its place and renamed into it, so that a crash leaves the old
one or the new one.  Reading runs no code from the file.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from symgrad.errors import FormatError

FORMAT = "symgrad training run"
VERSION = 1


def write(
    path: Any, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]
) -> None:
    """Write arrays and facts (anything JSON can say), replacing a file in one step."""
    from safetensors.numpy import save

    place = Path(path)
    metadata = {"format": FORMAT, "version": str(VERSION), "facts": json.dumps(facts)}
    unfinished = place.with_name(f".{place.name}.{os.getpid()}.new")
    try:
        with unfinished.open("wb") as file:
            file.write(save(dict(arrays), metadata))
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, place)
    except OSError as error:
        raise FormatError(f"cannot write {place}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def read(path: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays and facts of a file.

    Raises:
        FormatError: it cannot be read, or is not a training run.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise FormatError(f"cannot read {path}: there is no such file")
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise FormatError(
                    f"{path} is a safetensors file, but not a training run that "
                    "trainer.save wrote"
                )
            if metadata.get("version") != str(VERSION):
                raise FormatError(
                    f"{path} has version {metadata.get('version')} of the format; this "
                    f"symgrad reads version {VERSION}"
                )
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            facts = json.loads(metadata["facts"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(
            f"{path} is damaged, or no safetensors file: {error}"
        ) from error
    return arrays, facts


def check(
    path: Any, found: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]
) -> None:
    """Raise FormatError that lists what is missing, unknown or of another shape."""
    problems = [f"missing: {n}" for n in wanted if n not in found]
    problems += [f"unknown: {n}" for n in found if n not in wanted]
    for name, array in wanted.items():
        other = found.get(name, array)
        if (other.shape, other.dtype) != (array.shape, array.dtype):
            problems.append(
                f"{name} is {other.dtype}{list(other.shape)} in the file, but "
                f"{array.dtype}{list(array.shape)} in the model"
            )
    if problems:
        listed = "\n  ".join(problems)
        raise FormatError(f"{path} does not fit this model and optimizer:\n  {listed}")

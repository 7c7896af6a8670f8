"""Training runs as safetensors files: every array by name, other facts as metadata.

Files are replaced in one step, and reading runs no code (``serialize.container``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from symgrad.errors import FormatError
from symgrad.files import remove_unfinished
from symgrad.serialize.container import Kind

FILE = Kind("symgrad training run", 1, "a training run that trainer.save")


def write(
    path: Any, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]
) -> None:
    """Write arrays and facts (anything JSON can say), replacing a file in one step."""
    FILE.write(path, arrays, {"facts": json.dumps(facts)})
    remove_unfinished(Path(path))


def read(path: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays and facts of a file.

    Raises:
        FormatError: it cannot be read, or is not a training run.
    """
    arrays, texts = FILE.read(path)
    try:
        return arrays, json.loads(texts["facts"])
    except (KeyError, ValueError) as error:
        raise FormatError(
            f"{path} is damaged, or no safetensors file: {error}"
        ) from error


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

"""Safetensors files with a kind, a version and texts beside the arrays.

A file is written beside its place and renamed into it, so that a crash leaves the old
one or the new one.  Reading runs no code from the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from symgrad.errors import FormatError
from symgrad.files import replace_file


@dataclass(frozen=True)
class Kind:
    """What a file holds: its mark, its version, and how messages call it."""

    mark: str
    version: int
    phrase: str

    def write(
        self, path: Any, arrays: Mapping[str, np.ndarray], texts: Mapping[str, str]
    ) -> None:
        """Write arrays and texts, replacing a file in one step.

        Raises:
            FormatError: the file cannot be written; an old one stays as it was.
        """
        from safetensors.numpy import save

        place = Path(path)
        metadata = {"format": self.mark, "version": str(self.version), **texts}
        try:
            replace_file(place, save(dict(arrays), metadata))
        except OSError as error:
            raise FormatError(f"cannot write {place}: {error.strerror}") from error

    def read(self, path: Any) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        """Return the arrays and texts of a file.

        Raises:
            FormatError: it cannot be read, or is of another kind or version.
        """
        from safetensors import SafetensorError, safe_open

        if not Path(path).is_file():
            raise FormatError(f"cannot read {path}: there is no such file")
        try:
            with safe_open(path, framework="np") as file:
                texts = file.metadata() or {}
                self._check(path, texts)
                names = file.keys()
                arrays = {name: file.get_tensor(name) for name in names}
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, FormatError):
                raise
            raise FormatError(
                f"{path} is damaged, or no safetensors file: {error}"
            ) from error
        return arrays, texts

    def _check(self, path: Any, texts: Mapping[str, str]) -> None:
        if texts.get("format") != self.mark:
            raise FormatError(
                f"{path} is a safetensors file, but not {self.phrase} wrote"
            )
        if texts.get("version") != str(self.version):
            raise FormatError(
                f"{path} has version {texts.get('version')} of the format; this "
                f"symgrad reads version {self.version}"
            )

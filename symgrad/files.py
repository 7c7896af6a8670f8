"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

#: How the name of a file begins that is still being written.
UNFINISHED = ".new-"


def replace_file(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write a file so that others see all of it or nothing; else an old one stays.

    Args:
        path: the file.
        content: what it is to hold.
        mode: who may read and write it, before the process's mask.

    Raises:
        OSError: it cannot be written.
    """
    mine = f"{os.getpid()}-{threading.get_ident()}"
    unfinished = path.with_name(UNFINISHED + mine)

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags, mode)

    try:
        with open(unfinished, "wb", opener=opener) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)

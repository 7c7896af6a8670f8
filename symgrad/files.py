"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
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
    mine = f"{_prefix(path)}{os.getpid()}-{threading.get_ident()}"
    unfinished = path.with_name(mine)

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


def remove_unfinished(path: Path) -> None:
    """Remove what processes of this machine left that were killed writing a file."""
    prefix = _prefix(path)
    if os.name != "posix":  # elsewhere one cannot ask without harm
        return
    for other in path.parent.glob(f"{prefix}*"):
        pid = other.name.removeprefix(prefix).split("-")[0]
        if pid.isdecimal() and not _runs(int(pid)):
            with contextlib.suppress(OSError):
                other.unlink(missing_ok=True)


def _prefix(path: Path) -> str:
    """Return how the names of a file's unfinished copies begin on this machine."""
    both = f"{platform.node()}\0{path.name}".encode(errors="surrogateescape")
    return f"{UNFINISHED}{hashlib.blake2b(both, digest_size=8).hexdigest()}-"


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True

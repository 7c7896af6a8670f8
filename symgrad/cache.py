"""A private directory of derived things: kernel texts, machine code, small blobs.

Every entry's name says what it was derived from (a hash), so an entry is never
changed, only added or removed, and any number of processes may share a directory.
An entry is written beside its place and renamed into it; it ends with a checksum, so
one that a crash or a full disk left damaged is noticed and derived again.  Nothing
here raises: without a usable directory the entries live in memory.
"""

import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
import warnings
import weakref
from pathlib import Path
from typing import NamedTuple

from symgrad.files import UNFINISHED, replace_file

SEAL = b"symgrad1"  # ends every entry, after the checksum of what is before
DIGEST = 16
STALE = 3600.0  # seconds after which an unfinished entry's writer is taken for dead
_NAME = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]{0,127}")


class CacheInfo(NamedTuple):
    """What a cache holds: its directory (None: memory only), entries and bytes."""

    path: Path | None
    entries: int
    bytes: int


def _checksum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=DIGEST).digest()


def seal(data: bytes) -> bytes:
    """Add the checksum at the end of the data, where readers of object files skip it.

    >>> unseal(seal(b"code")), unseal(seal(b"code")[:-1])
    (b'code', None)
    """
    return data + _checksum(data) + SEAL


def unseal(entry: bytes) -> bytes | None:
    """Return the data of a sealed entry; None when it is not whole."""
    data, checksum = entry[: -DIGEST - len(SEAL)], entry[-DIGEST - len(SEAL) :]
    return data if checksum == _checksum(data) + SEAL else None


def _is_private(status: os.stat_result) -> bool:
    """Whether only this user can have written there (always, where unknown)."""
    if not hasattr(os, "getuid"):
        return True
    others_write = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return status.st_uid == os.getuid() and not others_write


class Cache:
    """Entries by name in one directory, or in memory where that cannot be used."""

    def __init__(self, path: Path | None) -> None:
        self._memory: dict[str, bytes] = {}
        self._warned: set[str] = set()
        self._texts: Path | None = None
        self.path = self._open(path) if path else None

    def _warn(self, kind: str, message: str) -> None:
        """Say a thing once, whatever the number of entries that it befalls."""
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(message, RuntimeWarning, stacklevel=4)

    def _open(self, path: Path) -> Path | None:
        """Make or find the directory; None (and a warning) if it cannot be used."""
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = path.resolve(strict=True)
            private = _is_private(path.stat())
            usable = os.access(path, os.R_OK | os.W_OK | os.X_OK)
        except OSError as error:
            self._warn("write", f"symgrad keeps its cache in memory: {error}")
            return None
        if not private:
            self._warn(
                "write",
                f"symgrad keeps its cache in memory: others may write to {path} "
                "and it would run what they put there (chmod 700 it, or choose "
                "another by SYMGRAD_CACHE_DIR)",
            )
            return None
        if not usable:
            self._warn(
                "write", f"symgrad keeps its cache in memory: no access to {path}"
            )
            return None
        return path

    def get(self, name: str) -> bytes | None:
        """Return the entry's data; None when there is none that can be trusted."""
        if self.path is None or name in self._memory:
            return self._memory.get(name)
        try:
            with (self.path / self._checked(name)).open("rb") as file:
                private = _is_private(os.fstat(file.fileno()))
                data = unseal(file.read()) if private else None
        except FileNotFoundError:
            return None
        except OSError as error:
            self._warn("read", f"symgrad cannot read its cache: {error}")
            return None
        if data is None:
            self._warn(
                "damaged", f"a damaged entry of {self.path} is made again ({name})"
            )
        return data

    def put(self, name: str, data: bytes) -> None:
        """Keep the data under a name; in memory when the disk does not take it."""
        if self.path is None or not self._write(self._checked(name), seal(data)):
            self._memory[name] = data

    def write_text(self, name: str, text: str) -> Path:
        """Write a text to a file of its own, to be imported; the file's path.

        The text is the key to all that is derived from it, so what the file holds
        is compared with it, not with a checksum.
        """
        data = text.encode()
        if self.path is not None:
            path = self.path / self._checked(name)
            if self._holds(path, data) or self._write(name, data):
                return path
        if self._texts is None:
            self._texts = Path(tempfile.mkdtemp(prefix="symgrad-"))
            weakref.finalize(self, shutil.rmtree, self._texts, ignore_errors=True)
        path = self._texts / name
        path.write_bytes(data)
        return path

    @staticmethod
    def _holds(path: Path, data: bytes) -> bool:
        try:
            with path.open("rb") as file:
                return _is_private(os.fstat(file.fileno())) and file.read() == data
        except OSError:
            return False

    @staticmethod
    def _checked(name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot name an entry of the cache")
        return name

    def _write(self, name: str, data: bytes) -> bool:
        """Write a file so that others see all of it or nothing."""
        assert self.path is not None
        try:
            replace_file(self.path / name, data, 0o600)
        except OSError as error:
            self._warn("write", f"symgrad keeps its cache in memory: {error}")
            return False
        return True

    def info(self) -> CacheInfo:
        """Count the entries and their bytes."""
        sizes = [len(data) for data in self._memory.values()]
        sizes += [file.stat().st_size for file in self._files()]
        return CacheInfo(self.path, len(sizes), sum(sizes))

    def clear(self) -> CacheInfo:
        """Remove every entry; what was there is returned."""
        before = self.info()
        self._memory.clear()
        for file in self._files(unfinished=True):
            file.unlink(missing_ok=True)
        return before

    def _files(self, unfinished: bool = False) -> list[Path]:
        """Finished entries, or with them what dead writers left behind."""
        if self.path is None:
            return []
        found = [p for p in self.path.iterdir() if p.is_file()]
        kept = [p for p in found if _NAME.fullmatch(p.name)]
        if unfinished:
            old = time.time() - STALE
            left = [p for p in found if p.name.startswith(UNFINISHED)]
            kept += [p for p in left if p.stat().st_mtime < old]
        return kept


_caches: dict[str, Cache] = {}


def default() -> Cache:
    """Open the cache that `SYMGRAD_CACHE_DIR` names, else the user's."""
    named = os.environ.get("SYMGRAD_CACHE_DIR", "")
    if named not in _caches:
        _caches[named] = Cache(Path(named) if named else _user_directory())
    return _caches[named]


def _user_directory() -> Path:
    import platformdirs

    return Path(platformdirs.user_cache_dir("symgrad"))


def get(key: str) -> bytes | None:
    """Return a blob of the default cache; None when it is not there."""
    return default().get(key)


def put(key: str, data: bytes) -> None:
    """Keep a blob in the default cache under a name of letters, digits, `_.-`."""
    default().put(key, data)


def cache_info() -> CacheInfo:
    """Count what the default cache holds."""
    return default().info()


def clear_cache() -> CacheInfo:
    """Empty the default cache; what it held is returned."""
    return default().clear()

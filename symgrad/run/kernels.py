"""Kernel texts to addresses: from the process, else the cache, else the compiler."""

import hashlib
import importlib.util
import threading
import time
from collections.abc import Iterable, Sequence
from functools import cache as remember
from pathlib import Path
from typing import NamedTuple

import llvmlite

from symgrad.cache import default
from symgrad.run import loader
from symgrad.run.target import cpu

_addresses: dict[str, int] = {}
_lock = threading.RLock()


def _sources() -> Iterable[Path]:
    """List the files that decide what a text compiles to, besides the text itself."""
    package = Path(__file__).parent.parent
    for name in ("frontend", "compiler", "target"):
        yield package / "run" / f"{name}.py"
    for part in ("intrinsics", "libm"):
        place = package / "emit" / part
        yield from sorted(place.rglob("*.py")) or [place.with_suffix(".py")]
    # Numba's version, without importing Numba
    spec = importlib.util.find_spec("numba")
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).with_name("_version.py")


@remember
def _environment() -> bytes:
    """Digest all that the machine code of a given text depends on."""
    digest = hashlib.blake2b(digest_size=20)
    for part in (*cpu(), llvmlite.__version__):
        digest.update(part.encode() + b"\0")
    for path in _sources():
        if path.exists():
            digest.update(path.read_bytes() + b"\0")
    return digest.digest()


def key(text: str) -> str:
    """Name the entry under which a kernel's text and machine code are cached."""
    return (
        "k"
        + hashlib.blake2b(text.encode(), key=_environment(), digest_size=20).hexdigest()
    )


class Counts(NamedTuple):
    """What kernels have cost this process; differences tell what a program cost."""

    compiled: int = 0
    cached: int = 0
    compile_seconds: float = 0.0
    load_seconds: float = 0.0


_counts = Counts()


def counts() -> Counts:
    """Return how many kernels were compiled or came from the cache, and the time."""
    return _counts


def _count(**more: float) -> None:
    global _counts
    sums = {name: getattr(_counts, name) + value for name, value in more.items()}
    _counts = _counts._replace(**sums)


def machine_code(text: str) -> bytes:
    """Return a kernel's object code; its entry symbol is the kernel's key."""
    name = key(text)
    code = default().get(name + ".o")
    if code is not None:
        _count(cached=1)
        return code
    start = time.perf_counter()
    from symgrad.run.compiler import compile_file

    path = default().write_text(name + ".py", text)
    code = compile_file(path, name)
    default().put(name + ".o", code)
    _count(compiled=1, compile_seconds=time.perf_counter() - start)
    return code


def addresses(texts: Sequence[str]) -> list[int]:
    """Return the address of each kernel text's C function, compiling where needed."""
    with _lock:
        missing = [text for text in dict.fromkeys(texts) if text not in _addresses]
        if missing:
            codes = {key(text): machine_code(text) for text in missing}
            start = time.perf_counter()
            loaded = loader.load(codes)
            _count(load_seconds=time.perf_counter() - start)
            _addresses.update({text: loaded[key(text)] for text in missing})
        return [_addresses[text] for text in texts]


def address(text: str) -> int:
    """Return the address of one kernel text's C function."""
    return addresses([text])[0]

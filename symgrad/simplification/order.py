"""A total order of nodes by their structure, the same in every process."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

from symgrad.declare.comprehension import Comprehension
from symgrad.declare.tensor import (
    Constant,
    Input,
    Op,
    Param,
    Reshape,
    SizeOf,
    Tensor,
)

#: Scalar constants come last; else the deeper node comes first, then by content.
Key = tuple[bool, int, bytes]


def structural_key(t: Tensor, args: list[Key]) -> Key:
    """Return the key of a node, given those of its operands."""
    height = 1 + max((-k[1] for k in args), default=-1)
    content = blake2b(_content(t.op), digest_size=12)
    if not t.args:
        content.update(repr((t.shape, t.dtype)).encode())
    elif isinstance(t.op, Comprehension):
        content.update(t.dtype.encode())
    for _, _, below in args:
        content.update(below)
    constant = isinstance(t.op, Constant) and not t.shape
    return constant, -height, content.digest()


@lru_cache(maxsize=65536)
def _statement(c: Comprehension) -> bytes:
    return repr(c.key).encode()


def _content(op: Op) -> bytes:
    match op:
        case Comprehension():
            return _statement(op)
        case Constant():
            return b"constant" + op.key[0]
        case Input() | Param():
            return f"{type(op).__name__} {op.name}".encode()
        case SizeOf():
            return f"size {op.dim}".encode()
        case Reshape():
            return f"reshape {op.shape}".encode()
    raise AssertionError(op)

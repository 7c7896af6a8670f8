"""A total order of nodes by their structure, the same in every process."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

from symgrad.declare.comprehension import Comprehension
from symgrad.declare.linear_algebra import LinearAlgebra
from symgrad.declare.loop import Final, Formal, Loop, Stacked, States
from symgrad.declare.tensor import (
    Constant,
    Input,
    Op,
    Param,
    Reshape,
    SizeOf,
    Tensor,
    topological,
)

#: Scalar constants come last; else the deeper node comes first, then by content.
Key = tuple[bool, int, bytes]


def structural_key(t: Tensor, args: list[Key]) -> Key:
    """Return the key of a node, given those of its operands."""
    parts = [_content(t.op), t.dtype.encode(), *(k[2] for k in args)]
    if not args:
        parts.append(repr(t.shape).encode())
    height = min((k[1] for k in args), default=1) - 1
    constant = isinstance(t.op, Constant) and not t.shape
    return constant, height, blake2b(b"|".join(parts), digest_size=12).digest()


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
        case LinearAlgebra():
            return f"{op.name} {op.transposed}".encode()
        case Reshape():
            return f"reshape {op.shape}".encode()
        case Formal():
            return f"formal {op.number}".encode()
        case Final() | States():
            return _loop(op.loop, ()) + f"{type(op).__name__} {op.number}".encode()
        case Stacked():
            return _loop(op.loop, (op.value,))
    raise AssertionError(op)


def _loop(loop: Loop, values: tuple[Tensor, ...]) -> bytes:
    """Return what identifies a loop, and values of its body."""
    keys: dict[Tensor, Key] = {}
    outputs = [*loop.updates, *values]
    for t in topological(outputs):
        keys[t] = structural_key(t, [keys[a] for a in t.args])
    parts = loop.length, loop.sequences, loop.reverse, loop.recompute
    inside = b"|".join(keys[t][2] for t in outputs)
    return blake2b(f"loop {parts}".encode() + inside, digest_size=12).digest()


def _statement(c: Comprehension) -> bytes:
    known = vars(c)
    if "_content" not in known:
        known["_content"] = _printed(c)
    return known["_content"]


@lru_cache(maxsize=16384)
def _printed(c: Comprehension) -> bytes:
    return blake2b(repr(c.key).encode(), digest_size=12).digest()

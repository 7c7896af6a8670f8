"""Threefry-2x32: random bits as a function of a key and a counter.

Salmon, Moraes, Dror & Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3", with
20 rounds, as in Random123 and JAX.  Key and counter are two words each, here the upper
and the lower half of an int64; so is the result.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

WORD, BOTH = ir.IntType(32), ir.IntType(64)
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA


@intrinsic
def threefry(typingctx: Any, key: Any, counter: Any) -> Any:
    """Return 64 random bits for a key and a counter."""
    if not (isinstance(key, types.Integer) and isinstance(counter, types.Integer)):
        return None
    return types.int64(types.int64, types.int64), _code


def _code(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
    (k0, k1), (x, y) = (_words(builder, value) for value in args)
    parity = builder.xor(builder.xor(k0, k1), ir.Constant(WORD, PARITY))
    keys = (k0, k1, parity)
    x, y = builder.add(x, k0), builder.add(y, k1)
    for group in range(5):
        for bits in ROTATIONS[group % 2]:
            x = builder.add(x, y)
            y = builder.xor(x, _rotated(builder, y, bits))
        x = builder.add(x, keys[(group + 1) % 3])
        y = builder.add(y, keys[(group + 2) % 3])
        y = builder.add(y, ir.Constant(WORD, group + 1))
    high = builder.shl(builder.zext(x, BOTH), ir.Constant(BOTH, 32))
    return builder.or_(high, builder.zext(y, BOTH))


def _words(builder: ir.IRBuilder, value: Any) -> tuple[Any, Any]:
    high = builder.lshr(value, ir.Constant(BOTH, 32))
    return builder.trunc(high, WORD), builder.trunc(value, WORD)


def _rotated(builder: ir.IRBuilder, word: Any, bits: int) -> Any:
    left = builder.shl(word, ir.Constant(WORD, bits))
    return builder.or_(left, builder.lshr(word, ir.Constant(WORD, 32 - bits)))

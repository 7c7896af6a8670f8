"""Scalar functions in the words of JAX."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any


@cache
def functions() -> dict[str, Callable[..., Any]]:
    """Return the function of JAX for each one in ``symgrad.declare.scalar``."""
    import jax
    import jax.numpy as jnp
    from jax import lax
    from jax.scipy import special

    return {
        "add": jnp.add,
        "sub": jnp.subtract,
        "mul": jnp.multiply,
        "div": jnp.divide,
        "neg": jnp.negative,
        "pow": jnp.power,
        "floordiv": jnp.floor_divide,
        "mod": jnp.mod,
        "fma": lambda x, y, z: x * y + z,
        "lt": jnp.less,
        "le": jnp.less_equal,
        "gt": jnp.greater,
        "ge": jnp.greater_equal,
        "eq": jnp.equal,
        "ne": jnp.not_equal,
        "and": jnp.logical_and,
        "or": jnp.logical_or,
        "xor": jnp.logical_xor,
        "not": jnp.logical_not,
        "isnan": jnp.isnan,
        "isinf": jnp.isinf,
        "isfinite": jnp.isfinite,
        "select": jnp.where,
        "abs": jnp.abs,
        "sign": jnp.sign,
        "floor": jnp.floor,
        "ceil": jnp.ceil,
        "trunc": jnp.trunc,
        "round": jnp.round,
        "maximum": jnp.maximum,
        "minimum": jnp.minimum,
        "relu": lambda x: jnp.where(x <= 0, jnp.zeros_like(x), x),
        "stop_gradient": lax.stop_gradient,
        "copysign": jnp.copysign,
        "sqrt": jnp.sqrt,
        "cbrt": jnp.cbrt,
        "reciprocal": lambda x: 1 / x,
        "rsqrt": lax.rsqrt,
        "square": jnp.square,
        "exp": jnp.exp,
        "exp2": jnp.exp2,
        "expm1": jnp.expm1,
        "log": jnp.log,
        "log2": jnp.log2,
        "log10": jnp.log10,
        "log1p": jnp.log1p,
        "sigmoid": jax.nn.sigmoid,
        "softplus": jax.nn.softplus,
        "sin": jnp.sin,
        "cos": jnp.cos,
        "tan": jnp.tan,
        "asin": jnp.arcsin,
        "acos": jnp.arccos,
        "atan": jnp.arctan,
        "atan2": jnp.arctan2,
        "sinh": jnp.sinh,
        "cosh": jnp.cosh,
        "tanh": jnp.tanh,
        "asinh": jnp.arcsinh,
        "acosh": jnp.arccosh,
        "atanh": jnp.arctanh,
        "erf": special.erf,
        "erfc": special.erfc,
        "lgamma": special.gammaln,
        "digamma": special.digamma,
        "trigamma": lambda x: special.polygamma(1, x),
        "polygamma": lambda n, x: special.polygamma(n.astype(int), x),
        "threefry": _threefry,
        "fold_bits": lambda x: (x >> 32 ^ x) & 0xFFFFFFFF,
    }


def _threefry(key: Any, counter: Any) -> Any:
    """Return 64 random bits of a key and counters, all as int64."""
    import jax.numpy as jnp
    from jax.extend.random import threefry2x32_p

    key, counter = jnp.broadcast_arrays(key, counter)
    words = [half for v in (key, counter) for half in (v >> 32, v)]
    high, low = threefry2x32_p.bind(*(w.astype(jnp.uint32) for w in words))
    return high.astype(jnp.int64) << 32 | low.astype(jnp.int64)

"""Functions that a module has where it calls them: their text here is copied.

They are compiled by Numba there, all but those on matrices, which are run by Python.
Annotations are of built-in types, so that a text needs no import of its own; a helper
calls only helpers above it.
"""

from __future__ import annotations

import inspect
import math
from functools import cache
from typing import Any

import numpy as np


def sign(x: float) -> float:  # noqa: D103
    return x if x != x else (x > 0) * 1 - (x < 0) * 1


def maximum(x: float, y: float) -> float:  # noqa: D103
    return x if x > y or x != x else y


def minimum(x: float, y: float) -> float:  # noqa: D103
    return x if x < y or x != x else y


def relu(x: float) -> float:  # noqa: D103
    return x * 0 if x <= 0 else x


def stop_gradient(x: float) -> float:  # noqa: D103
    return x


def reciprocal(x: float) -> float:  # noqa: D103
    return 1 / x


def rsqrt(x: float) -> float:  # noqa: D103
    return 1 / np.sqrt(x)


def square(x: float) -> float:  # noqa: D103
    return x * x


def fma(x: float, y: float, z: float) -> float:  # noqa: D103
    return x * y + z


def sigmoid(x: float) -> float:  # noqa: D103
    e = np.exp(-abs(x))
    return 1 / (1 + e) if x >= 0 else e / (1 + e)


def softplus(x: float) -> float:  # noqa: D103
    return x if x != x else max(x, 0.0) + np.log1p(np.exp(-abs(x)))


def place(x: int, size: int) -> int:
    """Return an index in range; a negative one counts from the end."""
    return min(max(x + size if x < 0 else x, 0), size - 1)


# -- special functions -----------------------------------------------------------------


def digamma(x: float) -> float:
    """Return (log Γ)'(x): recurrence, then Abramowitz & Stegun 6.3.18."""
    if x == 0:
        return math.copysign(math.inf, -x)
    if x < 0 and x == np.rint(x):
        return math.nan
    if x < 0.5:
        return digamma(1.0 - x) - math.pi / np.tan((x - np.rint(x)) * math.pi)
    total = 0.0
    for k in range(9, -1, -1):
        total += 1.0 / (x + k)
    z = x + 10.0
    w = 1.0 / (z * z)
    series = w * (1 / 12 - w * (1 / 120 - w * (1 / 252 - w * (1 / 240 - w * (
        1 / 132 - w * (691 / 32760 - w / 12))))))  # fmt: skip
    return np.log(z) - total - (0.5 / z + series)


def trigamma(x: float) -> float:
    """Return digamma'(x): recurrence, then Abramowitz & Stegun 6.4.12."""
    if x < 0.5:
        part = x - np.rint(x) if x >= -1e300 else 0.0
        root = math.pi / np.sin(part * math.pi)
        return root * root - trigamma(1.0 - x)
    total = 0.0
    for k in range(9, -1, -1):
        total += 1.0 / (x + k) ** 2
    z = x + 10.0
    w = 1.0 / (z * z)
    series = w * (1 / 6 - w * (1 / 30 - w * (1 / 42 - w * (1 / 30 - w * (
        5 / 66 - w * (691 / 2730 - w * (7 / 6)))))))  # fmt: skip
    return total + (1.0 + series) / z + 0.5 * w


def hurwitz(s: float, x: float) -> float:
    """Return ``Σ_k (x + k)^-s`` for x >= 1/2, by the Euler-Maclaurin formula."""
    z, series = x + 12.0, 0.0
    numbers = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)
    for k in range(7, 0, -1):
        factor = (s + (2 * k - 1)) * (s + 2 * k) / ((2 * k + 1) * (2 * k + 2))
        series = (series * factor + numbers[k - 1]) / (z if k == 1 else z * z)
    total = z**-s * (0.5 + 0.5 * s * series) + z ** (1.0 - s) / (s - 1.0)
    for k in range(11, -1, -1):
        total += (x + k) ** -s
    return total


def polygamma(n: float, x: float) -> float:
    """Return the n-th derivative of digamma, ``(-1)^(n+1) n! ζ(n + 1, x)``."""
    s = n + 1.0
    sign = 1.0 - 2.0 * (s % 2.0)
    if x >= 0.5:
        return sign * math.gamma(s) * hurwitz(s, x)
    f = x - np.rint(x)
    apart = hurwitz(s, 1.0 - f) - hurwitz(s, 1.0 - x)
    return sign * math.gamma(s) * (f**-s + hurwitz(s, 1.0 + f) + sign * apart)


# -- random bits -----------------------------------------------------------------------


def threefry(key: int, counter: int) -> int:
    """Return 64 random bits: Threefry-2x32 (Salmon et al., 2011), 20 rounds."""
    mask = 0xFFFFFFFF
    k0, k1 = key >> 32 & mask, key & mask
    keys = (k0, k1, k0 ^ k1 ^ 0x1BD11BDA)
    x, y = (counter >> 32) + k0 & mask, counter + k1 & mask
    for group in range(5):
        for bits in ((13, 15, 26, 6), (17, 29, 16, 24))[group % 2]:
            x = x + y & mask
            y = (y << bits | y >> 32 - bits) & mask ^ x
        x = x + keys[(group + 1) % 3] & mask
        y = y + keys[(group + 2) % 3] + group + 1 & mask
    return x << 32 | y


def fold_bits(x: int) -> int:
    """Return both halves of 64 bits as one."""
    return (x >> 32 ^ x) & 0xFFFFFFFF


# -- matrices --------------------------------------------------------------------------


def each_matrix(function, result, *given):  # type: ignore[no-untyped-def]
    """Fill a result matrix by matrix, with NaN where there is none."""
    for n in np.ndindex(result.shape[:-2]):
        try:
            result[n] = function(*(a[n] for a in given))
        except np.linalg.LinAlgError:
            result[n] = np.nan
    return result


def cholesky(a: np.ndarray) -> np.ndarray:
    """Return lower factors of symmetric parts."""
    symmetric = (a + np.swapaxes(a, -1, -2)) / 2
    return each_matrix(np.linalg.cholesky, np.empty_like(a), symmetric)


def inv(a: np.ndarray) -> np.ndarray:  # noqa: D103
    return each_matrix(np.linalg.inv, np.empty_like(a), a)


def solve(a: np.ndarray, b: np.ndarray) -> np.ndarray:  # noqa: D103
    return each_matrix(np.linalg.solve, np.empty_like(b), a, b)


def det(a: np.ndarray) -> np.ndarray:  # noqa: D103
    return np.asarray(np.linalg.det(a))


def cofactor(a: np.ndarray) -> np.ndarray:
    """Return cofactors, as Stewart, "On the adjugate matrix" (1998)."""
    u, s, v = np.linalg.svd(a)
    others = np.where(np.eye(a.shape[-1], dtype=bool), 1, s[..., None, :])
    sign = (np.linalg.det(u) * np.linalg.det(v))[..., None, None]
    return np.asarray(sign * (u * others.prod(-1)[..., None, :]) @ v, a.dtype)


def signdet(a: np.ndarray) -> np.ndarray:  # noqa: D103
    return np.asarray(np.linalg.slogdet(a)[0])


def logabsdet(a: np.ndarray) -> np.ndarray:  # noqa: D103
    return np.asarray(np.linalg.slogdet(a)[1])


SCALAR: dict[str, Any] = {
    f.__name__: f
    for f in (sign, maximum, minimum, relu, stop_gradient, reciprocal, rsqrt, square,
              fma, sigmoid, softplus, place, digamma, trigamma, hurwitz, polygamma,
              threefry, fold_bits)
}  # fmt: skip
MATRIX: dict[str, Any] = {
    f.__name__: f
    for f in (each_matrix, cholesky, inv, solve, det, cofactor, signdet, logabsdet)
}


@cache
def texts() -> dict[str, str]:
    """Return the text of each helper, in an order in which they can be defined."""
    compiled = {n: '@njit(error_model="numpy")\n' + _text(f) for n, f in SCALAR.items()}
    return compiled | {n: _text(f) for n, f in MATRIX.items()}


def _text(function: Any) -> str:
    lines = inspect.getsource(function).splitlines()
    return "\n".join(line.split("  #")[0] for line in lines)


def with_called(names: set[str]) -> set[str]:
    """Return helpers with those that they call."""
    every = SCALAR | MATRIX
    called = {n for name in names for n in every[name].__code__.co_names if n in every}
    return names | called

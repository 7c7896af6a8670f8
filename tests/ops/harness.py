"""One comparison for every operation: value, gradient, second derivative, with JAX."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import symgrad as sg
from symgrad.declare.tensor import topological

Spec = Callable[[np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Case:
    """One line of a table: two functions that must agree, and what they are given.

    ``order`` is how many derivatives are compared: 2 unless there are none.
    """

    name: str
    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    inputs: tuple[Spec, ...]
    rtol: float = 1e-9
    order: int = 2


def table(cases: list[Case]) -> pytest.MarkDecorator:
    """Return the parametrisation of a test by ``case``, with readable names."""
    names = [c.name for c in cases]
    assert len(set(names)) == len(names), "two cases have one name"
    return pytest.mark.parametrize("case", cases, ids=names)


# -- inputs


def real(*shape: int, dtype: str = "float64") -> Spec:
    """Normal numbers."""
    return lambda rng: np.asarray(rng.normal(size=shape), dtype)


def between(low: float, high: float, *shape: int, dtype: str = "float64") -> Spec:
    """Uniform numbers of an interval."""
    return lambda rng: np.asarray(rng.uniform(low, high, shape), dtype)


def positive(*shape: int) -> Spec:
    """Numbers from 0.2 to 3."""
    return between(0.2, 3.0, *shape)


def distinct(*shape: int) -> Spec:
    """Numbers at least 0.1 apart, in any order: no ties."""

    def spec(rng: np.random.Generator) -> np.ndarray:
        count = int(np.prod(shape, dtype=int))
        places = np.arange(count) / 10 - count / 20 + 0.03
        return rng.permutation(places).reshape(shape)

    return spec


def integers(low: int, high: int, *shape: int, dtype: str = "int64") -> Spec:
    """Integers from ``low`` to ``high - 1``."""
    return lambda rng: np.asarray(rng.integers(low, high, shape), dtype)


def booleans(*shape: int) -> Spec:
    """True and False."""
    return lambda rng: np.asarray(rng.integers(0, 2, shape), bool)


def given(values: Any, dtype: str | None = None) -> Spec:
    """Just these values."""
    array = np.asarray(values, dtype)
    return lambda rng: array


# -- the comparison


def run(inputs: list[np.ndarray], function: Callable[..., Any]) -> Any:
    """Return what ``function`` of tensors gives for these arrays."""
    tensors = declare(inputs)
    return sg.compile(tensors, function(*tensors))(*inputs)


def declare(arrays: list[np.ndarray]) -> list[sg.Tensor]:
    """Return inputs of the arrays' shapes and types."""
    return [sg.input(f"x{n}", a.shape, dtype=a.dtype) for n, a in enumerate(arrays)]


def check(case: Case) -> None:
    """Fail unless value, gradient and second derivative agree with JAX's."""
    rng = np.random.default_rng(zlib.crc32(case.name.encode()))
    arrays = [spec(rng) for spec in case.inputs]
    tensors = declare(arrays)
    value = case.ours(*tensors)
    order = case.order if value.dtype in ("float32", "float64") else 0
    chosen = [n for n, a in enumerate(arrays) if a.dtype.kind == "f"] if order else []
    assert all(isinstance(s, int) for s in value.shape)
    weight = rng.normal(size=value.shape).astype(value.dtype) if order else None
    weights = [rng.normal(size=arrays[n].shape).astype(arrays[n].dtype) for n in chosen]
    got = sg.compile(tensors, _ours(value, tensors, chosen, weight, weights, order))
    want = _theirs(case.theirs, arrays, chosen, weight, weights, order)
    found = got(*arrays)
    assert found.keys() == want.keys()
    size = max((np.abs(a[np.isfinite(a)]).max(initial=0) for a in arrays), default=0)
    for what, expected in want.items():
        same(found[what], expected, f"{case.name}: {what}", case.rtol, min(1.0, size))


def same(got: Any, want: Any, what: str, rtol: float, size: float = 0.0) -> None:
    """Fail unless shape, type and values agree.

    Where terms of the inputs' ``size`` cancel, rounding errors of that size remain.
    """
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"{what}: shape {got.shape}, not {want.shape}"
    assert got.dtype == want.dtype, f"{what}: type {got.dtype}, not {want.dtype}"
    if want.dtype.kind != "f":
        np.testing.assert_array_equal(got, want, what)
        return
    finite = np.abs(want[np.isfinite(want)])
    atol = rtol * min(1.0, finite.max(initial=0.0))
    atol += 30 * float(np.finfo(want.dtype).eps) * size
    np.testing.assert_allclose(got, want, rtol, atol, err_msg=what)


def _ours(
    value: sg.Tensor,
    tensors: list[sg.Tensor],
    chosen: list[int],
    weight: Any,
    weights: list[Any],
    order: int,
) -> dict[str, sg.Tensor]:
    found = {"value": value}
    if not chosen:
        return found
    wrt = [tensors[n] for n in chosen]
    first = gradients(sg.sum(value * weight), wrt)
    found |= {f"gradient by x{n}": g for n, g in zip(chosen, first, strict=True)}
    if order == 2:
        total = sum_of([sg.sum(g * w) for g, w in zip(first, weights, strict=True)])
        second = gradients(total, wrt)
        found |= {
            f"second derivative by x{n}": g for n, g in zip(chosen, second, strict=True)
        }
    return found


def sum_of(parts: list[sg.Tensor]) -> sg.Tensor:
    """Return the sum of scalars."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def gradients(loss: sg.Tensor, wrt: list[sg.Tensor]) -> list[sg.Tensor]:
    """Return ``sg.grad``; zeros where ``loss`` does not depend on a tensor."""
    reached = {id(t) for t in topological([loss])}
    live = [t for t in wrt if id(t) in reached]
    known = dict(zip(map(id, live), sg.grad(loss, live) if live else [], strict=True))
    return [known.get(id(t), sg.zeros_like(t)) for t in wrt]


def _theirs(
    function: Callable[..., Any],
    arrays: list[np.ndarray],
    chosen: list[int],
    weight: Any,
    weights: list[Any],
    order: int,
) -> dict[str, Any]:
    def loss(*xs: Any) -> Any:
        return jnp.sum(function(*xs) * weight)

    def total(*xs: Any) -> Any:
        first = jax.grad(loss, chosen)(*xs)
        return sum(jnp.sum(g * w) for g, w in zip(first, weights, strict=True))

    def everything(*xs: Any) -> dict[str, Any]:
        found = {"value": function(*xs)}
        if not chosen:
            return found
        first = jax.grad(loss, chosen)(*xs)
        found |= {f"gradient by x{n}": g for n, g in zip(chosen, first, strict=True)}
        if order == 2:
            second = jax.grad(total, chosen)(*xs)
            found |= {
                f"second derivative by x{n}": g
                for n, g in zip(chosen, second, strict=True)
            }
        return found

    return jax.jit(everything)(*arrays)  # type: ignore[no-any-return]

"""Reductions and what is built of them: statistics, softmax, cumulative sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from symgrad.declare import dtypes
from symgrad.declare.build import ZERO, cast, elementwise, movement, reduction
from symgrad.declare.comprehension import along
from symgrad.declare.dims import Size, product
from symgrad.declare.statement import define
from symgrad.declare.tensor import Reshape, Tensor, as_tensor, make, size_of
from symgrad.errors import DTypeError, ShapeError

Axis = int | Sequence[int] | None


def axes_of(what: str, t: Tensor, axis: Axis) -> tuple[int, ...]:
    """Return the checked, non-negative axes; None means all of them."""
    if axis is None:
        return tuple(range(t.ndim))
    listed = [axis] if isinstance(axis, int) else list(axis)
    result = []
    for a in listed:
        if not isinstance(a, int) or not -t.ndim <= a < t.ndim:
            raise ShapeError(
                f"{what}: axis {a} does not exist in {t.describe()}, which has "
                f"{t.ndim} dimensions"
            )
        result.append(a % t.ndim)
    if len(set(result)) != len(result):
        raise ShapeError(f"{what}: axis {listed} names a dimension twice")
    return tuple(sorted(result))


def one_axis(what: str, t: Tensor, axis: int) -> int:
    """Return one checked, non-negative axis."""
    return axes_of(what, t, axis)[0]


def _reduce(kind: str) -> Callable[..., Tensor]:
    def function(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        t = as_tensor(x)
        axes = axes_of(kind, t, axis)
        if kind in ("any", "all"):
            t = t if t.dtype == "bool" else elementwise("ne", t, 0)
        if kind in ("max", "min") and any(t.shape[a] == 0 for a in axes):
            raise ShapeError(
                f"{kind} of {t.describe()} over an empty axis has no value"
            )
        if kind == "prod":
            for a in reversed(axes):  # one axis at a time: see the derivative of prod
                t = reduction("prod", t, [a], keepdims)
            return t
        return reduction(kind, t, axes, keepdims)

    function.__name__ = function.__qualname__ = kind
    function.__doc__ = (
        f"Return the {kind} over ``axis`` (an integer, several, or None for all).\n\n"
        "Size-1 dimensions stay with ``keepdims=True``."
    )
    return function


REDUCTIONS = {k: _reduce(k) for k in ("sum", "prod", "max", "min", "any", "all")}
_sum = REDUCTIONS["sum"]


def _arg(kind: str) -> Callable[..., Tensor]:
    def function(x: Any, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
        t = as_tensor(x)
        if t.dtype == "bool":
            t = cast(t, "int32")
        if axis is None:
            flat = make(Reshape((t.size,)), [t], (t.size,), t.dtype)
            y = reduction(kind, flat, [0])
            ones: tuple[Size, ...] = (1,) * t.ndim
            return movement("expand_dims", y, ones, []) if keepdims else y
        a = one_axis(kind, t, axis)
        if t.shape[a] == 0:
            raise ShapeError(
                f"{kind} of {t.describe()} over an empty axis has no value"
            )
        return reduction(kind, t, [a], keepdims)

    function.__name__ = function.__qualname__ = kind
    function.__doc__ = (
        f"Return the int64 index of the {kind[3:]}imum along ``axis`` (the first).\n\n"
        "Of a flattened array where ``axis`` is None.  NaN counts as the extreme."
    )
    return function


argmax = _arg("argmax")
argmin = _arg("argmin")


def _float(x: Any) -> Tensor:
    t = as_tensor(x)
    return cast(t, dtypes.as_float(t.dtype))


def mean(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Return the arithmetic mean over ``axis``."""
    t = _float(x)
    axes = axes_of("mean", t, axis)
    count = size_of(product(t.shape[a] for a in axes), t.dtype)
    return elementwise("div", _sum(t, axes, keepdims=keepdims), count)


def var(
    x: Any, axis: Axis = None, *, correction: float = 0, keepdims: bool = False
) -> Tensor:
    """Return the variance over ``axis``; the divisor is ``n - correction``."""
    t = _float(x)
    axes = axes_of("var", t, axis)
    count: Any = size_of(product(t.shape[a] for a in axes), t.dtype)
    if correction:
        count = elementwise("sub", count, correction)
    centred = elementwise("sub", t, mean(t, axes, keepdims=True))
    squares = _sum(elementwise("mul", centred, centred), axes, keepdims=keepdims)
    return elementwise("div", squares, count)


def std(
    x: Any, axis: Axis = None, *, correction: float = 0, keepdims: bool = False
) -> Tensor:
    """Return the standard deviation over ``axis``."""
    spread = var(x, axis, correction=correction, keepdims=keepdims)
    return elementwise("sqrt", spread)


def _shift(t: Tensor, axes: Sequence[int]) -> Tensor:
    """Return the maximum where finite, else 0: what may be subtracted before exp.

    It is a constant to the gradient: the result does not depend on it.
    """
    top = elementwise("stop_gradient", reduction("max", t, axes, keepdims=True))
    return elementwise("select", elementwise("isfinite", top), top, 0.0)


def logsumexp(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Return ``log(sum(exp(x)))`` over ``axis``, without overflow."""
    t = _float(x)
    axes = axes_of("logsumexp", t, axis)
    shift = _shift(t, axes)
    total = _sum(elementwise("exp", elementwise("sub", t, shift)), axes, keepdims=True)
    y = elementwise("add", elementwise("log", total), shift)
    if keepdims:
        return y
    kept = [d for d in range(t.ndim) if d not in axes]
    shape = tuple(t.shape[d] for d in kept)
    place = {d: along(n) for n, d in enumerate(kept)}
    return movement("squeeze", y, shape, [place.get(d, ZERO) for d in range(t.ndim)])


def softmax(x: Any, axis: Axis = -1) -> Tensor:
    """Return ``exp(x)/sum(exp(x))`` along ``axis``, without overflow."""
    t = _float(x)
    axes = axes_of("softmax", t, axis)
    e = elementwise("exp", elementwise("sub", t, _shift(t, axes)))
    return elementwise("div", e, _sum(e, axes, keepdims=True))


def log_softmax(x: Any, axis: Axis = -1) -> Tensor:
    """Return ``log(softmax(x))`` along ``axis``, without overflow."""
    t = _float(x)
    axes = axes_of("log_softmax", t, axis)
    centred = elementwise("sub", t, _shift(t, axes))
    total = _sum(elementwise("exp", centred), axes, keepdims=True)
    return elementwise("sub", centred, elementwise("log", total))


def _cumulative(kind: str, x: Any, axis: int | None, include_initial: bool) -> Tensor:
    t = as_tensor(x)
    if axis is None:
        if t.ndim != 1:
            raise ShapeError(
                f"cumulative_{kind} of {t.describe()} needs axis= when there are "
                "several dimensions"
            )
        axis = 0
    a = one_axis(f"cumulative_{kind}", t, axis)
    if t.dtype in ("bool", "int32"):
        t = cast(t, "int64")
    letters = [f"i{d}" for d in range(t.ndim)]
    source = ["k" if d == a else n for d, n in enumerate(letters)]
    before = 1 if include_initial else 0
    order = f"k + {before} <= {letters[a]}"
    text = (
        f"y[{', '.join(letters)}] = {kind}[k](x[{', '.join(source)}] if {order} else 0)"
    )
    extent = t.shape[a]
    sizes = {letters[a]: extent + before, "k": extent}
    return define(text, {"x": t}, sizes, f"cumulative_{kind}")


def cumulative_sum(
    x: Any, axis: int | None = None, *, include_initial: bool = False
) -> Tensor:
    """Return the running sums along ``axis``; ``include_initial`` puts 0 first."""
    return _cumulative("sum", x, axis, include_initial)


def cumulative_prod(
    x: Any, axis: int | None = None, *, include_initial: bool = False
) -> Tensor:
    """Return the running products along ``axis``."""
    return _cumulative("prod", x, axis, include_initial)


def check_float(what: str, t: Tensor) -> None:
    """Raise DTypeError unless ``t`` holds floats."""
    if not dtypes.is_float(t.dtype):
        raise DTypeError(f"{what}: {t.describe()} must be float32 or float64")


FUNCTIONS: dict[str, Callable[..., Any]] = REDUCTIONS | {
    f.__name__: f
    for f in (
        argmax,
        argmin,
        mean,
        var,
        std,
        logsumexp,
        softmax,
        log_softmax,
        cumulative_sum,
        cumulative_prod,
    )
}

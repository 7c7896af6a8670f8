"""Contractions: matrix products, einsum, convolutions, and pooling windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from symgrad.declare import dtypes
from symgrad.declare.build import cast, elementwise
from symgrad.declare.dims import Size
from symgrad.declare.ops import shape as move
from symgrad.declare.statement import define
from symgrad.declare.tensor import Tensor, as_tensor
from symgrad.errors import ShapeError


def _pair(what: str, a: Any, b: Any) -> tuple[Tensor, Tensor]:
    a, b = as_tensor(a), as_tensor(b)
    kind = dtypes.promote(a.dtype, b.dtype)
    if kind == "bool":
        kind = "int64"
    if not a.ndim or not b.ndim:
        raise ShapeError(
            f"{what}: {a.describe()} and {b.describe()} must have at least one "
            "dimension; use * to scale"
        )
    return cast(a, kind), cast(b, kind)


def _misfit(what: str, a: Tensor, da: int, b: Tensor, db: int) -> ShapeError:
    return ShapeError(
        f"{what}: dimension {da} of {a.describe()} is {a.shape[da]}, but dimension "
        f"{db} of {b.describe()} is {b.shape[db]}; they must be equal"
    )


def matmul(a: Any, b: Any) -> Tensor:
    """Return ``y[…, i, j] = Σ_k a[…, i, k]·b[…, k, j]``; vectors as in NumPy.

    Raises:
        ShapeError: naming both operands and the dimensions that differ.
    """
    a, b = _pair("matmul", a, b)
    inner = -1 if b.ndim == 1 else -2
    if a.shape[-1] != b.shape[inner]:
        raise _misfit("matmul", a, a.ndim - 1, b, b.ndim + inner)
    rows = ["i"] if a.ndim > 1 else []
    columns = ["j"] if b.ndim > 1 else []
    batch = max(a.ndim, b.ndim) - 2
    letters = [f"n{d}" for d in range(max(batch, 0))]
    sizes: dict[str, Size] = {}
    left = _batch(letters, a, a.ndim - 2, sizes)
    right = _batch(letters, b, b.ndim - 2, sizes)
    for n, (s, r) in _overlap(letters, a, b).items():
        if s != r and 1 not in (s, r):
            raise ShapeError(
                f"matmul: the leading dimensions of {a.describe()} and {b.describe()} "
                f"do not fit: {s} and {r} ({n})"
            )
    out = ", ".join([*letters, *rows, *columns])
    text = (
        f"y[{out or '()'}] = sum[k](a[{', '.join([*left, *rows, 'k'])}]"
        f"*b[{', '.join([*right, 'k', *columns])}])"
    )
    return cast(define(text, {"a": a, "b": b}, sizes, "matmul"), a.dtype)


def _batch(
    letters: list[str], t: Tensor, count: int, sizes: dict[str, Size]
) -> list[str]:
    """Return how the leading dimensions are read, and note their extents."""
    if count <= 0:
        return []
    names = letters[len(letters) - count :]
    read = []
    for d, n in enumerate(names):
        if t.shape[d] != 1:
            sizes[n] = t.shape[d]
        else:
            sizes.setdefault(n, 1)
        read.append(n if t.shape[d] != 1 else "0")
    return read


def _overlap(letters: list[str], a: Tensor, b: Tensor) -> dict[str, tuple[Size, Size]]:
    found = {}
    for back, n in enumerate(reversed(letters), start=3):
        if a.ndim >= back and b.ndim >= back:
            found[n] = (a.shape[-back], b.shape[-back])
    return found


def vecdot(a: Any, b: Any, axis: int = -1) -> Tensor:
    """Return the sum of products along ``axis``."""
    a, b = _pair("vecdot", a, b)
    if a.shape[axis] != b.shape[axis]:
        raise _misfit("vecdot", a, axis, b, axis)
    a, b = move.moveaxis(a, axis, -1), move.moveaxis(b, axis, -1)
    return einsum("...k,...k->...", a, b)


def outer(a: Any, b: Any) -> Tensor:
    """Return ``y[i, j] = a[i]·b[j]``."""
    return elementwise("mul", move.expand_dims(a, 1), as_tensor(b))


def dot(a: Any, b: Any) -> Tensor:
    """Return NumPy's dot: the last axis of ``a`` with the last but one of ``b``."""
    a, b = as_tensor(a), as_tensor(b)
    if not a.ndim or not b.ndim:
        return elementwise("mul", a, b)
    if a.ndim <= 2 and b.ndim <= 2:
        return matmul(a, b)
    return tensordot(a, b, ([a.ndim - 1], [max(b.ndim - 2, 0)]))


def tensordot(
    a: Any, b: Any, axes: int | tuple[Sequence[int], Sequence[int]] = 2
) -> Tensor:
    """Return the sum of products over pairs of axes."""
    a, b = _pair("tensordot", a, b)
    if isinstance(axes, int):
        left, right = range(a.ndim - axes, a.ndim), range(axes)
    else:
        left, right = axes  # type: ignore[assignment]
    pairs = [(s % a.ndim, r % b.ndim) for s, r in zip(left, right, strict=True)]
    first = [f"a{d}" for d in range(a.ndim)]
    second = [f"b{d}" for d in range(b.ndim)]
    for s, r in pairs:
        if a.shape[s] != b.shape[r]:
            raise _misfit("tensordot", a, s, b, r)
        second[r] = first[s]
    summed = [first[s] for s, _ in pairs]
    out = [n for n in (*first, *second) if n not in summed]
    return _sum_of_products("tensordot", [a, b], [first, second], out, summed)


def _sum_of_products(
    name: str,
    tensors: Sequence[Tensor],
    letters: Sequence[Sequence[str]],
    out: Sequence[str],
    summed: Sequence[str],
) -> Tensor:
    """Return the contraction in which each tensor is read at its letters."""
    sizes: dict[str, Size] = {}
    reads = []
    for n, (t, names) in enumerate(zip(tensors, letters, strict=True)):
        where = []
        for d, letter in enumerate(names):
            extent = t.shape[d]
            known = sizes.get(letter)
            if known is not None and known != extent and 1 not in (known, extent):
                raise ShapeError(
                    f"{name}: index {letter!r} is {extent} in dimension {d} of "
                    f"{t.describe()}, but {known} elsewhere"
                )
            if known is None or known == 1:
                sizes[letter] = extent
            where.append((letter, extent))
        reads.append((f"x{n}", where))
    body = "*".join(
        f"{x}[{', '.join('0' if e == 1 and sizes[c] != 1 else c for c, e in where)}]"
        if where
        else x
        for x, where in reads
    )
    if summed:
        body = f"sum[{', '.join(summed)}]({body})"
    text = f"y[{', '.join(out) or '()'}] = {body}"
    operands = {f"x{n}": t for n, t in enumerate(tensors)}
    return cast(define(text, operands, sizes, name), tensors[0].dtype)


def einsum(subscripts: str, *operands: Any) -> Tensor:
    """Return the sum of products in Einstein's notation, as NumPy writes it.

    >>> import symgrad as sg
    >>> a, b = sg.input("a", (2, 3)), sg.input("b", (3, 4))
    >>> einsum("ik,kj->ij", a, b).shape
    (2, 4)
    """
    tensors = [as_tensor(t) for t in operands]
    kind = dtypes.promote(*(t.dtype for t in tensors))
    tensors = [cast(t, "int64" if kind == "bool" else kind) for t in tensors]
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    inputs = left.split(",")
    if len(inputs) != len(tensors):
        raise ShapeError(
            f"einsum: {subscripts!r} names {len(inputs)} operands, but {len(tensors)} "
            "were given"
        )
    widest = 0
    for names, t in zip(inputs, tensors, strict=True):
        plain = names.replace("...", "")
        if not all(c.isalpha() and c.isascii() for c in plain):
            raise ShapeError(f"einsum: {subscripts!r} has letters, commas, '->', '...'")
        if "..." in names:
            widest = max(widest, t.ndim - len(plain))
        elif len(plain) != t.ndim:
            raise ShapeError(
                f"einsum: {names!r} has {len(plain)} letters, but {t.describe()} has "
                f"{t.ndim} dimensions"
            )
    dots = [f"n{d}" for d in range(widest)]
    letters = [
        _spelled(names, dots, t.ndim) for names, t in zip(inputs, tensors, strict=True)
    ]
    flat = [c for names in letters for c in names]
    if arrow:
        out = _spelled(right, dots, len(right.replace("...", "")) + widest)
    else:
        once = [c for c in flat if flat.count(c) == 1 and c not in dots]
        out = dots + sorted(once)
    missing = [c for c in out if c not in flat]
    if missing or len(set(out)) != len(out):
        raise ShapeError(
            f"einsum: the output of {subscripts!r} is not made of its inputs"
        )
    summed = [c for c in dict.fromkeys(flat) if c not in out]
    return _sum_of_products("einsum", tensors, letters, out, summed)


def _spelled(names: str, dots: list[str], rank: int) -> list[str]:
    """Return one axis name for each dimension (letters get a suffix: no keywords)."""
    before, ellipsis, after = names.partition("...")
    middle: list[str] = []
    if ellipsis:
        count = rank - len(before) - len(after)
        middle = dots[len(dots) - count :] if count else []
    return [f"{c}_" for c in before] + middle + [f"{c}_" for c in after]


# -- windows ------------------------------------------------------------------------


def _tuple(what: str, value: int | Sequence[int], count: int) -> tuple[int, ...]:
    result = (value,) * count if isinstance(value, int) else tuple(value)
    if len(result) != count or any(v < 0 for v in result):
        raise ShapeError(
            f"{what} is one non-negative integer or {count}, not {value!r}"
        )
    return result


def _windows(
    what: str,
    extents: Sequence[Size],
    window: Sequence[Size],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> list[Size]:
    """Return how many windows fit along each spatial dimension."""
    counts = []
    for n, k, s, d in zip(extents, window, stride, dilation, strict=True):
        if s == 0 or d == 0:
            raise ShapeError(f"{what}: stride and dilation are at least 1")
        span = n - (k - 1) * d - 1
        if isinstance(span, int) and span < 0:
            raise ShapeError(
                f"{what}: a window of {k} does not fit in a dimension of {n}"
            )
        counts.append(span // s + 1)
    return counts


def _padding(
    what: str,
    padding: Any,
    extents: Sequence[Size],
    window: Sequence[Size],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> list[tuple[int, int]]:
    count = len(extents)
    if padding == "valid":
        return [(0, 0)] * count
    if padding != "same":
        return [(p, p) for p in _tuple(f"{what}: padding", padding, count)]
    pairs = []
    for n, k, s, d in zip(extents, window, stride, dilation, strict=True):
        if not isinstance(n, int) or not isinstance(k, int):
            raise ShapeError(f"{what}: padding='same' needs integer dimensions")
        total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        pairs.append((total // 2, total - total // 2))
    return pairs


def _conv(count: int) -> Callable[..., Tensor]:
    name = f"conv{count}d"

    def function(
        x: Any,
        w: Any,
        stride: int | Sequence[int] = 1,
        padding: Any = 0,
        dilation: int | Sequence[int] = 1,
    ) -> Tensor:
        x, w = _pair(name, x, w)
        if x.ndim != count + 2 or w.ndim != count + 2:
            raise ShapeError(
                f"{name}: the input [n, channels, …] and the weight [out, channels, …] "
                f"have {count + 2} dimensions, not {x.describe()} and {w.describe()}"
            )
        if x.shape[1] != w.shape[1]:
            raise _misfit(name, x, 1, w, 1)
        strides = _tuple(f"{name}: stride", stride, count)
        steps = _tuple(f"{name}: dilation", dilation, count)
        window = w.shape[2:]
        pads = _padding(name, padding, x.shape[2:], window, strides, steps)
        if any(p != (0, 0) for p in pads):
            x = move.pad(x, [(0, 0), (0, 0), *pads])
        counts = _windows(name, x.shape[2:], window, strides, steps)
        t = [f"t{d}" for d in range(count)]
        k = [f"k{d}" for d in range(count)]
        where = ", ".join(
            f"{strides[d]}*{t[d]} + {steps[d]}*{k[d]}" for d in range(count)
        )
        text = (
            f"y[n, o, {', '.join(t)}] = "
            f"sum[c, {', '.join(k)}](x[n, c, {where}]*w[o, c, {', '.join(k)}])"
        )
        sizes = dict(zip(t, counts, strict=True))
        return cast(define(text, {"x": x, "w": w}, sizes, name), x.dtype)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"Return the {count}-d correlation of ``x[n, c, …]`` with ``w[o, c, …]``.\n\n"
        "``padding`` is a number of zeros on both sides, ``'same'`` or ``'valid'``."
    )
    return function


conv1d, conv2d, conv3d = _conv(1), _conv(2), _conv(3)


def _pool(kind: str) -> Callable[..., Tensor]:
    name = f"{kind}_pool"

    def function(
        x: Any,
        window: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: Any = 0,
    ) -> Tensor:
        t = as_tensor(x)
        if t.ndim < 3:
            raise ShapeError(
                f"{name}: {t.describe()} must have dimensions [n, channels, …]"
            )
        count = t.ndim - 2
        size = _tuple(f"{name}: window", window, count)
        strides = _tuple(f"{name}: stride", window if stride is None else stride, count)
        ones = (1,) * count
        pads = _padding(name, padding, t.shape[2:], size, strides, ones)
        if kind == "avg":
            t = cast(t, dtypes.as_float(t.dtype))
        if any(p != (0, 0) for p in pads):
            low = 0.0 if kind == "avg" else -float("inf")
            t = move.pad(t, [(0, 0), (0, 0), *pads], low)
        counts = _windows(name, t.shape[2:], size, strides, ones)
        o = [f"t{d}" for d in range(count)]
        k = [f"k{d}" for d in range(count)]
        where = ", ".join(f"{strides[d]}*{o[d]} + {k[d]}" for d in range(count))
        reduce = "sum" if kind == "avg" else "max"
        text = f"y[n, c, {', '.join(o)}] = {reduce}[{', '.join(k)}](x[n, c, {where}])"
        sizes = dict(zip([*o, *k], [*counts, *size], strict=True))
        y = define(text, {"x": t}, sizes, name)
        if kind == "max":
            return y
        total = 1
        for extent in size:
            total *= extent
        return elementwise("div", y, total)

    function.__name__ = function.__qualname__ = name
    word = "mean" if kind == "avg" else "maximum"
    function.__doc__ = (
        f"Return the {word} over windows of ``x[n, c, …]``; stride = window by default."
    )
    return function


max_pool, avg_pool = _pool("max"), _pool("avg")

FUNCTIONS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        matmul,
        vecdot,
        outer,
        dot,
        tensordot,
        einsum,
        conv1d,
        conv2d,
        conv3d,
        max_pool,
        avg_pool,
    )
}

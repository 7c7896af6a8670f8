"""Initial values of parameters: ``init`` and the distributions that it knows.

Distributions scale by *fans*, how many values meet in an output and how many outputs a
value reaches (``fans``).  Every parameter draws from a stream of its own, derived from
the seed and its name, so that one more parameter changes none of the others.  Values
are drawn as float64 and then rounded: a model has the same start in either precision.
"""

from __future__ import annotations

import hashlib
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from symgrad.declare.mode import is_mode
from symgrad.declare.tensor import Param, Tensor, print_shape, topological
from symgrad.derivation.reverse import flatten
from symgrad.errors import DTypeError, GraphError, ShapeError

Shape = tuple[int, ...]
Initializer = Callable[[np.random.Generator, Shape], Any]


def init(t: Any, seed: int = 0) -> dict[str, np.ndarray]:
    """Return initial values for every parameter that ``t`` depends on, by name.

    Args:
        t: a tensor, or tensors in nested lists, tuples and dicts.
        seed: a non-negative integer; equal seeds give equal values.

    Raises:
        GraphError: two parameters have the same name, or an initialiser is unknown.
        ShapeError: an array or the result of a function has another shape.

    >>> import symgrad as sg
    >>> x, W = sg.input("x", ("n", 3)), sg.param("W", (3, 2))
    >>> b = sg.param("b", (2,), init="zeros")
    >>> {name: a.shape for name, a in sorted(sg.init(x @ W + b).items())}
    {'W': (3, 2), 'b': (2,)}
    """
    seed = checked_seed(seed)
    return {name_of(p): value(p, seed) for p in parameters(t)}


def name_of(leaf: Tensor) -> str:
    """Return the name of an input or parameter."""
    assert leaf.name is not None
    return leaf.name


def checked_seed(seed: Any) -> int:
    """Return the seed, a non-negative integer."""
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise GraphError(f"a seed is a non-negative integer, not {seed!r}")
    return number


def parameters(t: Any) -> list[Tensor]:
    """Return the parameters that tensors depend on, checked to have different names."""
    for leaf in flatten(t):
        if not isinstance(leaf, Tensor):
            raise GraphError(f"expected tensors, not {type(leaf).__name__} {leaf!r}")
    found = [
        n for n in topological(flatten(t)) if isinstance(n.op, Param) and not is_mode(n)
    ]
    check_names(found)
    return found


def check_names(leaves: list[Tensor]) -> None:
    """Raise GraphError where two leaves have one name."""
    by_name: dict[str | None, Tensor] = {}
    for leaf in leaves:
        other = by_name.setdefault(leaf.name, leaf)
        if other is not leaf:
            raise GraphError(
                f"two different tensors are called {leaf.name!r}: {other.describe()} "
                f"and {leaf.describe()}; rename one (layers take name=), or declare "
                "them in different scopes (with sg.scope('layer1'): …)"
            )


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the random stream that belongs to a seed and a name."""
    digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, "<u4").tolist()])


def value(p: Tensor, seed: int) -> np.ndarray:
    """Return the initial value of one parameter: a new, contiguous array."""
    assert isinstance(p.op, Param)
    start: Any = p.op.init
    shape = tuple(s for s in p.shape if isinstance(s, int))  # as sg.param checked
    if isinstance(start, str):
        if start not in INITIALIZERS:
            raise GraphError(
                f"parameter {p.name!r}: init={start!r} is unknown; use one of "
                f"{', '.join(sorted(INITIALIZERS))}, a number, an array or a function"
            )
        start = INITIALIZERS[start]
    if callable(start):
        what = "the function given as init"
        made = np.asarray(start(stream(seed, p.op.name), shape))
    else:
        what = "the array given as init"
        made = np.asarray(start)
        made = np.broadcast_to(made, shape) if made.shape == () else made
    if made.shape != shape:
        raise ShapeError(
            f"parameter {p.describe()}: {what} has the shape "
            f"{print_shape(made.shape)}, not {print_shape(shape)}"
        )
    if made.dtype.kind not in "fiub":
        raise DTypeError(
            f"parameter {p.describe()}: {what} holds {made.dtype}, not numbers"
        )
    return np.array(made, p.dtype, order="C")


def fans(shape: Shape) -> tuple[int, int]:
    """Return how many values meet in one output, and how many outputs one reaches.

    A matrix is ``[in, out]``, as in ``x @ W``.  More dimensions are a convolution's
    ``[out, in, …]``, whose window counts in both.  A vector or number has its size.

    >>> fans((784, 10)), fans((16, 3, 5, 5)), fans((7,))
    ((784, 10), (75, 400), (7, 7))
    """
    if len(shape) < 2:
        size = max(math.prod(shape), 1)
        return size, size
    if len(shape) == 2:
        return max(shape[0], 1), max(shape[1], 1)
    window = math.prod(shape[2:])
    return max(shape[1] * window, 1), max(shape[0] * window, 1)


def _uniform(rng: np.random.Generator, shape: Shape, variance: float) -> np.ndarray:
    limit = math.sqrt(3 * variance)
    return rng.uniform(-limit, limit, shape)


def _normal(rng: np.random.Generator, shape: Shape, variance: float) -> np.ndarray:
    return math.sqrt(variance) * rng.standard_normal(shape)


def glorot_uniform(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw from U(-a, a) with a² = 6/(fan_in + fan_out).

    Glorot & Bengio (2010), "Understanding the difficulty of training deep feedforward
    neural networks": keeps the variance of values and gradients through tanh layers.
    """
    return _uniform(rng, shape, 2 / sum(fans(shape)))


def glorot_normal(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw from N(0, 2/(fan_in + fan_out)); Glorot & Bengio (2010)."""
    return _normal(rng, shape, 2 / sum(fans(shape)))


def he_uniform(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw from U(-a, a) with a² = 6/fan_in.

    He, Zhang, Ren & Sun (2015), "Delving deep into rectifiers": keeps the variance of
    values through relu layers.
    """
    return _uniform(rng, shape, 2 / fans(shape)[0])


def he_normal(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw from N(0, 2/fan_in); He, Zhang, Ren & Sun (2015)."""
    return _normal(rng, shape, 2 / fans(shape)[0])


def lecun_uniform(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw from U(-a, a) with a² = 3/fan_in.

    LeCun, Bottou, Orr & Müller (1998), "Efficient BackProp".
    """
    return _uniform(rng, shape, 1 / fans(shape)[0])


def lecun_normal(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw from N(0, 1/fan_in); LeCun, Bottou, Orr & Müller (1998)."""
    return _normal(rng, shape, 1 / fans(shape)[0])


def orthogonal(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Return a random matrix with orthonormal rows or columns, whichever are fewer.

    Saxe, McClelland & Ganguli (2014), "Exact solutions to the nonlinear dynamics of
    learning in deep linear neural networks".  Uniform over such matrices: the signs of
    R's diagonal are moved to Q (Mezzadri 2007).  A convolution's weight is the matrix
    ``[out, in·window]``.
    """
    if len(shape) < 2:
        raise ShapeError(
            "init='orthogonal' needs a matrix or a convolution's weight, not the "
            f"shape {print_shape(shape)}"
        )
    rows, columns = shape[0], math.prod(shape[1:])
    tall = rng.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return (q if rows >= columns else q.T).reshape(shape)


def zeros(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Return zeros."""
    return np.zeros(shape)


def ones(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Return ones."""
    return np.ones(shape)


def uniform(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw from U(-0.05, 0.05), Keras's ``RandomUniform``."""
    return rng.uniform(-0.05, 0.05, shape)


def normal(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw from N(0, 0.02²), as GPT-2 does (Radford et al. 2019)."""
    return 0.02 * rng.standard_normal(shape)


def truncated_normal(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw from N(0, 0.02²) within two deviations, as BERT (Devlin et al. 2019)."""
    drawn = rng.standard_normal(shape)
    outside = np.abs(drawn) > 2
    while outside.any():
        drawn[outside] = rng.standard_normal(int(outside.sum()))
        outside = np.abs(drawn) > 2
    return 0.02 * drawn


#: What ``sg.param(init=…)`` may name.
INITIALIZERS: dict[str, Initializer] = {
    f.__name__: f
    for f in (
        glorot_uniform,
        glorot_normal,
        he_uniform,
        he_normal,
        lecun_uniform,
        lecun_normal,
        orthogonal,
        zeros,
        ones,
        uniform,
        normal,
        truncated_normal,
    )
}
INITIALIZERS |= {
    "kaiming_uniform": he_uniform,
    "kaiming_normal": he_normal,
    "xavier_uniform": glorot_uniform,
    "xavier_normal": glorot_normal,
}

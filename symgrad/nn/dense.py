"""Layers of matrix products: linear maps, perceptrons, embeddings, residual blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from symgrad.declare import dtypes
from symgrad.declare.ops import FUNCTIONS
from symgrad.declare.ops.contract import matmul
from symgrad.declare.ops.indexing import take
from symgrad.declare.tensor import Tensor, as_tensor, param, print_shape, scope
from symgrad.errors import DTypeError, GraphError, ShapeError
from symgrad.nn.naming import check_count, layer, width

#: A tensor in arithmetic: its operators are set when operations are declared, which
#: type checkers do not see.
Node = Any
Activation = Callable[[Any], Any]

#: Activation -> the initial values that keep the variance through it.
_INIT = {
    "relu": "he_normal",
    "leaky_relu": "he_normal",
    "gelu": "he_normal",
    "silu": "he_normal",
    "mish": "he_normal",
    "elu": "he_normal",
    "hardswish": "he_normal",
    "softplus": "he_normal",
    "selu": "lecun_normal",
}


def linear(
    x: Any,
    features: int,
    *,
    bias: bool = True,
    init: Any = "glorot_uniform",
    bias_init: Any = "zeros",
    name: str | None = None,
) -> Node:
    """Return ``x @ W + b``, along the last dimension of ``x``.

    Args:
        x: floats ``[…, in]``; all dimensions but the last may be named.
        features: the size of the last dimension of the result.
        bias: False leaves out ``b``.
        init: initial values of ``W`` ``[in, features]``, as ``sg.param`` takes them.
        bias_init: initial values of ``b`` ``[features]``.
        name: the scope of the parameters; by default ``linear``, ``linear_1``, …

    Raises:
        ShapeError: the last dimension of ``x`` is not an integer.

    >>> import symgrad as sg
    >>> y = sg.nn.linear(sg.input("x", ("n", 3)), 2, name="first")
    >>> y.shape, sorted(sg.init(y))
    ((n, 2), ['first/W', 'first/b'])
    """
    x = floats("linear", x)
    size = width("linear", x)
    check_count("linear: features", features)
    with layer("linear", name, x):
        W = param("W", (size, features), init, dtype=x.dtype)
        y: Node = matmul(x, W)
        return y + param("b", (features,), bias_init, dtype=x.dtype) if bias else y


def mlp(
    x: Any,
    widths: Sequence[int],
    *,
    activation: str | Activation = "relu",
    final: str | Activation | None = None,
    bias: bool = True,
    init: Any = None,
    name: str | None = None,
) -> Node:
    """Return a perceptron: linear layers with an activation between them.

    Args:
        x: floats ``[…, in]``.
        widths: the size of each layer, the last one being the result's.
        activation: a function, or the name of one (``"relu"``, ``"tanh"``, …).
        final: the activation of the last layer; None for none.
        bias: False leaves out the offsets.
        init: initial values of the matrices; by default ``he_normal`` for activations
            like relu, ``lecun_normal`` for selu, and ``glorot_uniform`` otherwise.
        name: the scope; layer ``k`` has the scope ``layer<k>`` in it.

    >>> import symgrad as sg
    >>> y = sg.nn.mlp(sg.input("x", ("n", 64)), [32, 10])
    >>> sorted(sg.init(y))
    ['mlp/layer1/W', 'mlp/layer1/b', 'mlp/layer2/W', 'mlp/layer2/b']
    """
    x = floats("mlp", x)
    if not widths:
        raise ShapeError("mlp: widths is a list of layer sizes, such as [64, 10]")
    between = activation_of("mlp: activation", activation)
    last = activation_of("mlp: final", final)
    first = _INIT.get(getattr(between, "__name__", ""), "glorot_uniform")
    with layer("mlp", name, x):
        for k, size in enumerate(widths, start=1):
            inner = k < len(widths)
            start = (first if inner else "glorot_uniform") if init is None else init
            x = linear(x, size, bias=bias, init=start, name=f"layer{k}")
            with scope(f"layer{k}"):
                x = between(x) if inner else last(x)
        return x


def embedding(
    ids: Any,
    count: int,
    features: int,
    *,
    init: Any = "normal",
    dtype: object = "float32",
    name: str | None = None,
) -> Node:
    """Return the rows ``table[ids]`` of a learned table.

    Args:
        ids: integers of any shape ``[…]`` in ``[0, count)``.
        count: how many rows the table has.
        features: the length of a row; the result is ``[…, features]``.
        init: initial values of ``table`` ``[count, features]``.
        dtype: float32 or float64.
        name: the scope of the table.

    Raises:
        DTypeError: ``ids`` are not integers.
    """
    ids = as_tensor(ids)
    if ids.dtype not in dtypes.INTEGERS:
        raise DTypeError(f"embedding: ids are integers, not {ids.describe()}")
    check_count("embedding: count", count)
    check_count("embedding: features", features)
    with layer("embedding", name, ids):
        table = param("table", (count, features), init, dtype=dtype)
        return take(table, ids, axis=0)


def residual(f: Callable[..., Any]) -> Callable[..., Node]:
    """Return the function ``x ↦ x + f(x)`` (He, Zhang, Ren & Sun 2016).

    Further arguments go to ``f``.  The sum's gradient is that of ``x``, unchanged,
    plus what comes back through ``f``.

    Raises:
        ShapeError: ``f`` changes the shape of ``x``.

    >>> import symgrad as sg
    >>> x = sg.input("x", ("n", 3))
    >>> print(sg.formula(sg.nn.residual(sg.tanh)(x)))
    x + tanh(x)
    """

    def wrapped(x: Any, *args: Any, **options: Any) -> Node:
        x = as_tensor(x)
        y = f(x, *args, **options)
        if not isinstance(y, Tensor) or y.shape != x.shape:
            got = print_shape(y.shape) if isinstance(y, Tensor) else repr(y)
            raise ShapeError(
                f"residual: f must keep the shape of {x.describe()}, but it returned "
                f"{got}; project its result, or x, before they are added"
            )
        return x + y

    return wrapped


def activation_of(what: str, choice: str | Activation | None) -> Activation:
    """Return an activation given by name or as a function; None is the identity.

    Raises:
        GraphError: there is no function of this name.
    """
    if choice is None:
        return lambda x: x
    if callable(choice):
        return choice
    if not isinstance(choice, str) or choice not in FUNCTIONS:
        raise GraphError(
            f"{what} is a function of one tensor or its name in symgrad, such as "
            f"'relu', not {choice!r}"
        )
    return FUNCTIONS[choice]


def floats(what: str, value: Any) -> Tensor:
    """Return a tensor of a float type.

    Raises:
        DTypeError: it holds integers or booleans.
    """
    t = as_tensor(value)
    if not dtypes.is_float(t.dtype):
        raise DTypeError(
            f"{what} works on floats, not {t.describe()}; convert it with "
            ".astype('float32')"
        )
    return t

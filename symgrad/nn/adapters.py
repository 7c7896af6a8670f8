"""Fine-tuning: low-rank changes of weights that stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from symgrad.declare.mode import is_mode
from symgrad.declare.ops import FUNCTIONS
from symgrad.declare.ops.contract import matmul
from symgrad.declare.rebuild import rebuilt
from symgrad.declare.tensor import Param, Tensor, exact_scope, param, scope, topological
from symgrad.derivation.reverse import flatten, unflatten
from symgrad.errors import GraphError, ShapeError
from symgrad.nn.dense import Node, floats
from symgrad.nn.naming import check_count, width

stop_gradient = FUNCTIONS["stop_gradient"]


def lora(
    W: Any,
    rank: int,
    *,
    alpha: float | None = None,
    init: Any = "he_uniform",
    name: str | None = None,
) -> Node:
    """Return ``W + (alpha/rank)·A @ B`` with W frozen and A, B to be learned.

    Hu et al. (2021), "LoRA: low-rank adaptation of large language models".  B starts
    at 0, so that training begins with the model as it was.

    A parameter W is declared anew as one that is not trainable, of the same name and
    initial value, and takes the place of the old one, whether that was trainable or
    not.  Any other tensor is used as a constant.  No gradient of W is derived,
    computed or stored.

    Args:
        W: floats ``[in, out]``.
        rank: the rank of the change; A is ``[in, rank]``, B is ``[rank, out]``.
        alpha: scales the change; by default ``rank``, which leaves it as it is.
        init: initial values of A.
        name: the scope of A and B, inside the present one; by default
            ``<name of W>/lora``.

    Raises:
        ShapeError: W is not a matrix, or the rank exceeds its sides.

    >>> import symgrad as sg
    >>> x, W = sg.input("x", ("n", 8)), sg.param("W", (8, 6))
    >>> y = x @ sg.nn.lora(W, 2)
    >>> {n: a.shape for n, a in sorted(sg.init(y).items())}
    {'W': (8, 6), 'W/lora/A': (8, 2), 'W/lora/B': (2, 6)}
    """
    base = floats("lora", W)
    if base.ndim != 2:
        raise ShapeError(f"lora changes matrices, not {base.describe()}")
    rows, columns = width("lora", base, 0), width("lora", base, 1)
    if check_count("lora: rank", rank) > min(rows, columns):
        raise ShapeError(
            f"lora: the rank {rank} exceeds the smaller side of {base.describe()}"
        )
    own = f"{base.name or base.scope or 'base'}/lora"
    kept: Node = frozen(base) if isinstance(base.op, Param) else stop_gradient(base)
    with exact_scope(own) if name is None else scope(name):
        A = param("A", (rows, rank), init, dtype=base.dtype)
        B = param("B", (rank, columns), "zeros", dtype=base.dtype)
        change: Node = matmul(A, B)
        factor = 1.0 if alpha is None else alpha / rank
        return kept + (change if factor == 1 else factor * change)


def frozen(p: Tensor) -> Tensor:
    """Return the parameter declared anew as one that is not trainable."""
    assert isinstance(p.op, Param)
    assert p.name is not None
    if not p.op.trainable and p.op.following is None:
        return p
    path, _, name = p.name.rpartition("/")
    with exact_scope(path):
        return param(name, p.shape, p.op.init, False, p.dtype)  # type: ignore[arg-type]


def adapt(t: Any, change: Callable[[Tensor], Tensor | None]) -> Any:
    """Return a model with parameters changed by a function, and all others frozen.

    Args:
        t: a tensor, or tensors in nested lists, tuples and dicts.
        change: gets each parameter; returns the tensor to use in its place (such as
            ``sg.nn.lora(p, 8)``), or None to freeze it.

    Raises:
        GraphError, ShapeError: what ``change`` returns does not fit the parameter.

    >>> import symgrad as sg
    >>> y = sg.nn.mlp(sg.input("x", ("n", 8)), [8, 4])
    >>> tuned = sg.nn.adapt(y, lambda p: sg.nn.lora(p, 2) if p.ndim == 2 else None)
    >>> [p for p in sorted(sg.init(tuned)) if "lora" in p]  # doctest: +ELLIPSIS
    ['mlp/layer1/W/lora/A', 'mlp/layer1/W/lora/B', 'mlp/layer2/W/lora/A', ...]
    """
    leaves = flatten(t)
    found: dict[Tensor, Tensor] = {}
    for p in topological(leaves):
        if not isinstance(p.op, Param) or is_mode(p):
            continue
        new = change(p)
        if new is None:
            new = frozen(p)
        elif not isinstance(new, Tensor):
            raise GraphError(f"adapt: {p.describe()} was changed to {new!r}, no tensor")
        if (new.shape, new.dtype) != (p.shape, p.dtype):
            raise ShapeError(
                f"adapt: {p.describe()} was changed to {new.describe()}, which has "
                "another shape or type"
            )
        found[p] = new
    return unflatten(t, rebuilt(leaves, found))

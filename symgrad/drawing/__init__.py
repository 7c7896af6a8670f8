"""Pictures of graphs, of their derivatives and of the gradient that flows in them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from symgrad.declare.mode import on_average
from symgrad.declare.tensor import Tensor
from symgrad.derivation.reverse import check_wrt, flatten, unflatten
from symgrad.drawing import views
from symgrad.drawing.facts import collect
from symgrad.drawing.page import page
from symgrad.drawing.panels import roadmap
from symgrad.drawing.picture import Drawing
from symgrad.errors import GraphError

VIEWS = ("forward", "gradient", "flow", "highways")
DIRECTIONS = ("auto", "down", "right")


def draw(
    t: Tensor,
    view: str = "forward",
    wrt: Any = None,
    data: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    collapse: str | None = "auto",
    compare: str | None = None,
    direction: str = "auto",
) -> Drawing:
    """Draw the graph of a tensor.

    Layers that work differently in training and in evaluation are drawn and measured as
    in training, but without chance: batch norm by the batch, dropout passing all.

    Args:
        t: a tensor; a scalar for the views of its gradient.
        view: ``forward``, the declared graph; ``gradient``, the forward and backward
            graph with the local derivative on each backward edge; ``flow``, the
            measured norm of the gradient on each edge, as colour and width;
            ``highways``, the residual sums found in the graph as a road with blocks
            beside it, and the share of the gradient that each carries.
        wrt: the tensors to derive by; all trainable parameters by default.
        data: an array for each input by name (``flow`` and ``highways``).
        params: an array for each parameter by name (``flow`` and ``highways``); by
            default as ``sg.init(t, seed=0)`` makes them.
        collapse: ``auto`` folds scopes, and repeated layers, of graphs too large to
            read; ``scope`` folds every scope; None shows each operation, and each sum
            of a long highway.
        compare: ``without_residuals`` draws, beside the highways, the same model
            without its shortcuts.
        direction: in which data go: ``down``, ``right``, or by default ``auto``, down
            and, where a chain without frames is long, on in another column. Highways
            always go down.

    Raises:
        GraphError: the view, ``collapse`` or ``direction`` is unknown, ``wrt`` is not
            in the graph or frozen, arrays are missing, or there is no residual sum.
        ShapeError: a gradient of a tensor that is not a scalar.

    >>> import symgrad as sg
    >>> x, W = sg.input("x", ("n", 4)), sg.param("W", (4, 3))
    >>> draw(sg.relu(x @ W)).dot.splitlines()[0]
    'digraph symgrad {'
    """
    if not isinstance(t, Tensor):
        raise GraphError(f"a picture is of a tensor, not of {type(t).__name__} {t!r}")
    if compare is not None and (view, compare) != ("highways", "without_residuals"):
        raise GraphError(
            f"compare={compare!r} does not go with the view {view!r}; "
            "compare='without_residuals' goes with 'highways'"
        )
    if direction not in DIRECTIONS:
        known = ", ".join(map(repr, DIRECTIONS))
        raise GraphError(f"direction={direction!r} is unknown; use one of {known}")
    if wrt is not None:
        check_wrt(flatten(wrt), [t])
        t, *targets = on_average([t, *flatten(wrt)])
        wrt = unflatten(wrt, targets)
    (t,) = on_average([t])
    if view == "forward":
        figure = views.forward(t, collapse)
    elif view == "gradient":
        figure = views.gradient(t, wrt, collapse)
    elif view == "flow":
        figure = views.flow(t, wrt, data, params, collapse)
    elif view == "highways":
        return Drawing(roadmap(t, data, params, compare, collapse).dot())
    else:
        raise GraphError(f"there is no view {view!r}; the views are {', '.join(VIEWS)}")
    figure.direction = direction
    collected = partial(collect, t, view, wrt, data, params, collapse)
    return Drawing(figure.dot(), lambda: page(collected()))


__all__ = ["Drawing", "draw"]

"""Curves to descend along: an expression of one variable, a model's loss on a line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from symgrad.declare.tensor import Input, Param, Tensor, topological
from symgrad.drawing.colours import number, rounded
from symgrad.errors import GraphError, ShapeError

SAMPLES = 400  # of a curve that costs little; a model's is sampled less


class Curve(Protocol):
    """A function of one variable with its slope.

    Attributes:
        symbol: the variable.
        formula: what is on the vertical axis, as text.
        slope_formula: its derivative, as text.
        samples: how many points of it to compute for a picture.
        across, up: what the axes show.
    """

    symbol: str
    formula: str
    slope_formula: str
    samples: int
    across: str
    up: str

    def __call__(self, x: float) -> tuple[float, float]:
        """Return value and slope."""
        ...


class Expression:
    """A curve from a text such as ``(x-3)**2``; its slope is derived."""

    samples = SAMPLES
    up = ""

    def __init__(self, text: str) -> None:
        from symgrad.closedform.convert import graph_of
        from symgrad.closedform.numeric import Function
        from symgrad.closedform.scalars import derive_scalar
        from symgrad.closedform.text import line
        from symgrad.declare.tensor import input
        from symgrad.derivation.reverse import grad
        from symgrad.derivation.symbolic import to_sympy

        e, (self.symbol,) = parsed(text, 1)
        self.across = self.symbol
        self.formula = line(to_sympy(e))
        self.slope_formula = line(derive_scalar(e, text, self.symbol, 1).result)
        x = input(self.symbol, (), "float64")
        value = graph_of(e, {self.symbol: x})
        self._run = Function([x], [value, grad(value, x)])

    def __call__(self, x: float) -> tuple[float, float]:
        """Return value and slope."""
        value, slope = self._run(float(x))
        return float(value), float(slope)


class Ray:
    """The loss of a model along its steepest descent from the given parameters.

    The variable is the distance in the space of the parameters; the slope is the
    derivative of the loss along the ray, from the whole gradient at each point.

    Attributes:
        program: what computes the loss and the gradients.
        loss, gradients: their values at the given parameters.
        norm: of the whole gradient there.
    """

    symbol = "t"
    samples = 48
    across = "t: distance along the direction"
    up = "loss"

    def __init__(
        self,
        loss: Tensor,
        data: Mapping[str, Any] | None,
        params: Mapping[str, Any] | None,
        direction: Mapping[str, Any] | None = None,
    ) -> None:
        from symgrad.declare.tensor import constant
        from symgrad.derivation.reverse import reverse
        from symgrad.drawing.measure import arguments
        from symgrad.pipeline import compile
        from symgrad.train.initialize import name_of

        if loss.shape != ():
            raise ShapeError(
                f"descent is on a scalar; {loss.describe()} must be summed first"
            )
        order = topological([loss])
        trained = [t for t in order if isinstance(t.op, Param) and t.op.trainable]
        sent = reverse([loss], trained, [constant(1.0, loss.dtype)]).cotangents
        wrt = [t for t in trained if t in sent]
        if not wrt:
            raise GraphError(
                f"{loss.describe()} has no trainable parameter to descend by"
            )
        inputs = [t for t in order if isinstance(t.op, Input)]
        self._arrays, self._params = arguments(loss, inputs, order, data, params)
        self.program = compile(inputs, [loss, *(sent[t] for t in wrt)])
        self._names = [name_of(t) for t in wrt]
        self._known: dict[float, tuple[float, float]] = {}
        self.loss, self.gradients = self._at(self._params)
        squares = (float(np.vdot(g, g)) for g in self.gradients.values())
        self.norm = math.sqrt(sum(squares))
        if direction is not None:
            self._direction = self._unit(_checked(direction, wrt))
            self.formula = "loss along a direction"
            slope = self._slope(self.gradients)
            self.slope_formula = f"direction · ∇loss = {exact(slope)} at the start"
            return
        self._direction = self._unit({n: -g for n, g in self.gradients.items()})
        self.across = "t: distance along the steepest descent"
        self.formula = "loss along the steepest descent"
        self.slope_formula = f"−‖∇loss‖ = −{number(self.norm)} at the start"

    @staticmethod
    def _unit(way: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return a direction of length 1; 0 where it has no length."""
        size = math.sqrt(sum(float(np.vdot(d, d)) for d in way.values()))
        scale = 1 / size if size > 0 and math.isfinite(size) else 0.0
        return {n: scale * d for n, d in way.items()}

    def _slope(self, gradients: Mapping[str, np.ndarray]) -> float:
        return sum(float(np.vdot(gradients[n], d)) for n, d in self._direction.items())

    def _at(
        self, params: Mapping[str, np.ndarray]
    ) -> tuple[float, dict[str, np.ndarray]]:
        loss, *gradients = self.program(*self._arrays, params=params)
        wide = (np.asarray(g, np.float64) for g in gradients)
        return float(loss), dict(zip(self._names, wide, strict=True))

    def __call__(self, x: float) -> tuple[float, float]:
        """Return value and slope."""
        if x not in self._known:
            self._known[x] = self._measured(x)
        return self._known[x]

    def _measured(self, x: float) -> tuple[float, float]:
        moved = dict(self._params)
        for n, d in self._direction.items():
            moved[n] = np.asarray(moved[n] + x * d, moved[n].dtype)
        loss, gradients = self._at(moved)
        return loss, self._slope(gradients)


def _checked(
    direction: Mapping[str, Any], wrt: Sequence[Tensor]
) -> dict[str, np.ndarray]:
    """Return a direction as arrays that suit the parameters."""
    known = {t.name or "": t for t in wrt}
    found = {}
    for n, d in direction.items():
        if n not in known:
            raise GraphError(
                f"direction: {n!r} is no trained parameter; those are "
                f"{', '.join(map(repr, known))}"
            )
        array = np.asarray(d, np.float64)
        if array.shape != known[n].shape:
            raise ShapeError(
                f"direction: {n!r} has the shape {array.shape}, which does not suit "
                f"{known[n].describe()}"
            )
        found[n] = array
    if not any(np.any(d) for d in found.values()):
        raise GraphError("direction is zero; give one that leads somewhere")
    if not all(np.isfinite(d).all() for d in found.values()):
        raise GraphError("direction is not finite")
    return found


def parsed(text: str, count: int | None = None) -> tuple[Any, list[str]]:
    """Return a text as an expression, and its variables in the alphabet's order.

    Raises:
        GraphError: it is not of ``count`` variables (by default, of one or two).
        ParseError: it is not in the notation.
    """
    from symgrad.closedform.convert import variables
    from symgrad.closedform.parsing import parse_scalar

    e = parse_scalar(text)
    names = sorted(variables(e))
    if (count is None and len(names) not in (1, 2)) or count not in (None, len(names)):
        held = f"holds {', '.join(names)}" if names else "is a number"
        raise GraphError(
            f"{text!r} {held}; a picture is of one variable, as in '(x-3)**2', or of "
            "two, as in 'x**2 + 4*y**2'"
        )
    return e, names


def exact(value: float) -> str:
    """Return a number with four digits and a true minus."""
    return rounded(value, 4)

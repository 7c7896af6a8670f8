"""The scenes of the page, in their order: from the problem to the formulas."""

from __future__ import annotations

from collections.abc import Callable

from symgrad.declare.tensor import Tensor
from symgrad.explainer.scenes import (
    adapters,
    chain,
    descent,
    formulas,
    passes,
    problem,
    relu,
    shortcuts,
    summary,
    transformer,
    vanishing,
)
from symgrad.explainer.story import Scene
from symgrad.explainer.subject import Subject
from symgrad.explainer.units import relu_tensors

SCENES: tuple[Callable[[Subject], Scene], ...] = (
    problem.scene,
    descent.scene,
    chain.scene,
    passes.forward,
    passes.backward,
    vanishing.scene,
    relu.scene,
    shortcuts.skip,
    shortcuts.highway,
    transformer.scene,
    adapters.scene,
    summary.instability,
    formulas.scene,
)


def plan(s: Subject) -> list[Tensor]:
    """Return what the scenes measure of a model."""
    stations = [station.node for station in s.stations]
    sent = [s.gradient(t) for t in stations]
    found = [*stations, *(g for g in sent if g is not None), *relu_tensors(s)]
    found += [*formulas.gradients(s).values(), *chain.wanted(s)]
    if s.highway is not None:
        found += s.highway.tensors()
    return found


__all__ = ["SCENES", "plan"]

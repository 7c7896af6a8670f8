"""The scenes of the page, in their order: from the problem to the formulas."""

from __future__ import annotations

from collections.abc import Callable

from symgrad.explainer.scenes import (
    adapters,
    chain,
    descent,
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
    summary.formulas,
)

__all__ = ["SCENES"]

"""The peers: each module implements every task of the workloads as its users would.

A task takes the arrays of a workload and returns a `Task`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

MODULES = {
    "symgrad": "symgrad_peer",
    "jax": "jax_peer",
    "torch": "torch_peer",
    "torch.compile": "torch_compile_peer",
    "numpy": "numpy_peer",
}
#: The same for models that people train.
MODELS = {
    name: f"{name.replace('.', '_')}_models"
    for name in ("symgrad", "jax", "torch", "torch.compile")
}
#: The same for derivatives, which have peers of their own.
DERIVATIVES = {
    name: f"{name}_derivatives"
    for name in ("symgrad", "jax", "torch", "casadi", "sympy", "numpy")
}

#: ADBench's objectives and linear algebra: one text that both of these run.
OBJECTIVES = {name: f"{name}_objectives" for name in ("symgrad", "jax")}

FAMILIES = {
    "operations": MODULES,
    "models": MODELS,
    "derivatives": DERIVATIVES,
    "objectives": OBJECTIVES,
}


@dataclass(frozen=True)
class Task:
    """`run` is what is timed; `read` turns what it returned into NumPy arrays."""

    run: Callable[[], Any]
    read: Callable[[Any], list[np.ndarray]]


def as_arrays(outputs):
    return [np.asarray(output) for output in outputs]

"""symgrad: a symbolic computation-graph compiler.

Declare a model as a graph; symgrad derives its gradients in closed form by the chain
rule, simplifies them, compiles forward and backward to Numba kernels, and draws the
graph with the flow of its gradients.

>>> import symgrad as sg
>>> x = sg.input("x", ("n",))
>>> sg.grad(sg.sum(sg.sin(x)), x).shape
(n,)
"""

from __future__ import annotations

import importlib
from typing import Any

from symgrad.declare.ops import FUNCTIONS as _FUNCTIONS
from symgrad.declare.tensor import OPERATORS as _OPERATORS
from symgrad.declare.tensor import Tensor, constant, input, param, scope
from symgrad.errors import (
    CompileError,
    DerivationError,
    DTypeError,
    FormatError,
    GraphError,
    ParseError,
    ShapeError,
    SymgradError,
)

__version__ = "0.1.0"

#: Public name -> the module that holds it; loaded at first use, to import fast.
_LAZY = {
    "grad": "symgrad.transforms.public",
    "value_and_grad": "symgrad.transforms.public",
    "jacobian": "symgrad.transforms.public",
    "hessian": "symgrad.transforms.public",
    "jvp": "symgrad.transforms.public",
    "vjp": "symgrad.transforms.public",
    "hvp": "symgrad.transforms.public",
    "sparse_jacobian": "symgrad.transforms.public",
    "sparse_hessian": "symgrad.transforms.public",
    "vmap": "symgrad.transforms.public",
    "jit": "symgrad.transforms.public",
    "scan": "symgrad.transforms.scan",
    "checkpoint": "symgrad.transforms.scan",
    "register_pytree": "symgrad.transforms.trees",
    "register_dataclass": "symgrad.transforms.trees",
    "derive": "symgrad.closedform",
    "parse": "symgrad.closedform",
    "from_sympy": "symgrad.closedform",
    "to_sympy": "symgrad.closedform",
    "simplify": "symgrad.simplification",
    "explain_rewrites": "symgrad.simplification",
    "compile": "symgrad.pipeline",
    "load": "symgrad.pipeline",
    "Program": "symgrad.run.program",
    "init": "symgrad.train.initialize",
    "Trainer": "symgrad.train.trainer",
    "optim": "symgrad.train.optim",
    "linalg": "symgrad.declare.ops.linalg",
    "nn": "symgrad.nn",
    "random": "symgrad.declare.random",
    "formula": "symgrad.notation",
    "latex": "symgrad.notation",
    "draw": "symgrad.drawing",
    "plot_descent": "symgrad.drawing.descent_plot",
    "interop": "symgrad.interop",
    "diagnose": "symgrad.diagnosis.public",
    "explain": "symgrad.explainer.public",
    "gradient_bound": "symgrad.prediction.bound",
}
_MODULES = ("interop", "linalg", "nn", "optim", "random")

globals().update(_FUNCTIONS)


def _formula(t: Tensor) -> str:
    return __getattr__("formula")(t)


_OPERATORS["formula"] = _formula  # what ``str(tensor)`` shows

__all__ = [
    "CompileError",
    "DTypeError",
    "DerivationError",
    "FormatError",
    "GraphError",
    "ParseError",
    "ShapeError",
    "SymgradError",
    "Tensor",
    "constant",
    "input",
    "param",
    "scope",
    *_FUNCTIONS,
    *_LAZY,
]


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'symgrad' has no attribute {name!r}")
    loaded = importlib.import_module(module)
    value = loaded if name in _MODULES else getattr(loaded, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

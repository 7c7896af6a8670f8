"""Sharpness and noise: what a learning rate and a batch size have to respect.

Gradient descent is stable where ``lr·λ < 2``, λ being the largest eigenvalue of the
Hessian (Cohen et al. 2021, "Gradient Descent on Neural Networks Typically Occurs at the
Edge of Stability"); with momentum β the limit is ``2(1 + β)``.  The gradient noise
scale is ``tr Σ/|G|²``, the batch size at which noise and gradient are equal (McCandlish
et al. 2018, "An Empirical Model of Large-Batch Training").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from symgrad.declare.tensor import Param, Tensor, input, topological
from symgrad.derivation.reverse import grad, jvp
from symgrad.diagnosis.layers import Model
from symgrad.diagnosis.measure import Arrays
from symgrad.errors import SymgradError
from symgrad.pipeline import compile
from symgrad.train.initialize import name_of

STEPS = 16
LARGEST = 400  # nodes of the loss


def lanczos(
    product: Callable[[np.ndarray], np.ndarray], size: int, steps: int = STEPS
) -> float:
    """Return the largest eigenvalue of a symmetric operator.

    Lanczos with full reorthogonalisation, from a random direction.

    >>> A = np.diag([3.0, 1.0, -5.0])
    >>> round(lanczos(lambda v: A @ v, 3), 6)
    3.0
    """
    rng = np.random.default_rng(0)
    v = rng.standard_normal(size)
    basis = [v / np.linalg.norm(v)]
    diagonal: list[float] = []
    beside: list[float] = []
    for _ in range(min(steps, size)):
        w = np.asarray(product(basis[-1]), np.float64)
        if not np.isfinite(w).all():
            return float("inf")
        diagonal.append(float(basis[-1] @ w))
        Q = np.stack(basis)
        w = w - Q.T @ (Q @ w)
        w = w - Q.T @ (Q @ w)
        length = float(np.linalg.norm(w))
        if length < 1e-8 * max(map(abs, diagonal)) or length == 0:
            break
        beside.append(length)
        basis.append(w / length)
    n = len(diagonal)
    T = np.diag(diagonal) + np.diag(beside[: n - 1], 1) + np.diag(beside[: n - 1], -1)
    return float(np.linalg.eigvalsh(T)[-1])


class Sharpness:
    """The largest eigenvalue of the loss's Hessian, from compiled products with it."""

    def __init__(self, model: Model, wrt: Sequence[Tensor]) -> None:
        self.model, self.wrt = model, list(wrt)
        self.directions = [
            input(f"direction {n}", p.shape, p.dtype) for n, p in enumerate(self.wrt)
        ]
        products = jvp(grad(model.loss, self.wrt), self.wrt, self.directions)
        self.program = compile([*model.inputs, *self.directions], products)
        used = topological(products)
        self.params = [name_of(t) for t in used if isinstance(t.op, Param)]

    def __call__(
        self, data: Arrays, params: Arrays, scale: np.ndarray | None = None
    ) -> float:
        """Measure it; with ``scale`` s, of ``diag(s)·H·diag(s)``."""
        arrays = [data[name_of(t)] for t in self.model.inputs]
        sizes = [params[name_of(p)].size for p in self.wrt]
        ends = np.cumsum(sizes)[:-1]
        needed = {n: params[n] for n in self.params}

        def product(v: np.ndarray) -> np.ndarray:
            scaled = v if scale is None else v * scale
            parts = [
                part.reshape(params[name_of(p)].shape).astype(p.dtype)
                for part, p in zip(np.split(scaled, ends), self.wrt, strict=True)
            ]
            found = self.program(*arrays, *parts, params=needed)
            flat = np.concatenate([np.ravel(np.float64(f)) for f in found])
            return flat if scale is None else flat * scale

        return lanczos(product, int(sum(sizes)))


def sharpness_of(model: Model, wrt: Sequence[Tensor]) -> Sharpness | None:
    """Return the measure, or None where there is nothing to derive by.

    Nor is it taken of very large graphs, whose second derivatives take long to compile.
    """
    if not wrt or len(model.order) > LARGEST:
        return None
    try:
        return Sharpness(model, wrt)
    except SymgradError:
        return None


def noise_scale(
    small: Sequence[float], batch: int, whole: float, count: int
) -> float | None:
    """Return the simple noise scale ``tr Σ/|G|²``, from unbiased estimates of both.

    Args:
        small: norms of the gradients of batches of ``batch`` samples.
        batch: the number of samples in each.
        whole: the norm of the gradient of all ``count`` samples.
        count: the number of all samples.

    Returns:
        None where there are too few samples.

    >>> round(noise_scale([2.0, 2.0], 1, 1.0, 100), 2)
    3.12
    """
    if count <= batch or not len(small):
        return None
    squares = float(np.mean(np.square(small)))
    signal = (count * whole**2 - batch * squares) / (count - batch)
    noise = (squares - whole**2) / (1 / batch - 1 / count)
    return max(noise, 0.0) / signal if signal > 0 else float("inf")

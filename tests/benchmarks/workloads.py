"""What is timed: the arrays of each workload, its arithmetic and its traffic."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from . import adbench, derivatives, models

LEARNING_RATE = 0.1


@dataclass(frozen=True)
class Workload:
    """A computation that every peer implements under the name `task`.

    `bytes` and `flops` are what no implementation can avoid: operands read and
    results written once, and each multiplication, addition or function counted one.
    Both are 0 where the call itself is what is timed.
    """

    name: str
    title: str
    task: str
    arrays: Callable[[], dict[str, np.ndarray]]
    bytes: int
    flops: int
    family: str = "operations"  # of which peers; derivatives are in float64


def _normal(rng, *shape):
    return rng.standard_normal(shape, dtype=np.float32)


def chain_arrays(size=1_000_000):
    rng = np.random.default_rng(0)
    return {"x": _normal(rng, size), "y": _normal(rng, size)}


def row_arrays(rows=4096, columns=1024):
    rng = np.random.default_rng(0)
    return {
        "x": _normal(rng, rows, columns),
        "cotangent": _normal(rng, rows, columns),
        "gamma": _normal(rng, columns),
        "beta": _normal(rng, columns),
    }


def call_arrays():
    rng = np.random.default_rng(0)
    return {name: _normal(rng, 8) for name in "abcd"}


def mlp_arrays(widths, batch):
    """One batch, and the parameters W1, b1, W2, ... of a Glorot-normal network."""
    rng = np.random.default_rng(0)
    arrays = {
        "x": _normal(rng, batch, widths[0]),
        "y": rng.integers(0, widths[-1], batch),
    }
    for i, (n, m) in enumerate(pairwise(widths), 1):
        arrays[f"W{i}"] = _normal(rng, n, m) * np.float32((2 / (n + m)) ** 0.5)
        arrays[f"b{i}"] = np.zeros(m, np.float32)
    return arrays


def mlp(*widths, batch):
    """A training step: the forward pass, both backward products, the update."""
    sizes = [n * m for n, m in pairwise(widths)]
    products = 3 * sum(sizes) - sizes[0]  # the input wants no gradient
    parameters = sum(sizes) + sum(widths[1:])
    name = "-".join(map(str, widths))
    return Workload(
        f"mlp-{widths[0]}",
        f"MLP {name}, batch {batch}: SGD step",
        "mlp",
        lambda: mlp_arrays(widths, batch),
        bytes=4 * (2 * parameters + batch * widths[0]),
        flops=2 * batch * products,
    )


def derivative(name, title, task, arrays, elements, flops=0):
    """A derivative: so many numbers read and written, and this arithmetic."""
    return Workload(name, title, task, arrays, 8 * elements, flops, "derivatives")


def objective(name, title, arrays, elements, flops):
    """The derivative of an objective, by what its task says."""
    task = name.replace("-", "_")
    return Workload(name, title, task, arrays, 8 * elements, flops, "objectives")


def model(name, title, task, arrays, flops):
    """A step of SGD: every parameter that learns is read and written."""

    def moved():
        made = arrays()
        learning = sum(made[n].size for n in models.trainable(made))
        return 4 * (learning + sum(a.size for a in made.values()))

    return Workload(name, title, task, arrays, moved(), flops, "models")


ROWS = 4 * 4096 * 1024
TOKENS = 16 * models.CONTEXT
CHARACTER_FLOPS = (
    models.LAYERS * models.block_flops(TOKENS, models.WIDTH, models.CONTEXT)
    + 6 * TOKENS * models.WIDTH * models.LETTERS
)

WORKLOADS = {
    w.name: w
    for w in (
        Workload(
            "chain",
            "10 elementwise operations on 10⁶",
            "chain",
            chain_arrays,
            bytes=12_000_000,
            flops=10_000_000,
        ),
        Workload(
            "chain-gradient",
            "the same: gradient of the sum",
            "chain_gradient",
            chain_arrays,
            bytes=16_000_000,
            flops=30_000_000,
        ),
        mlp(784, 512, 512, 10, batch=128),
        mlp(64, 128, 128, 10, batch=32),
        mlp(8, 32, 32, 2, batch=16),
        Workload(
            "softmax",
            "softmax of 4096×1024 and its VJP",
            "softmax",
            row_arrays,
            bytes=4 * ROWS,
            flops=8 * ROWS // 4,
        ),
        Workload(
            "layer-norm",
            "layer norm of 4096×1024, VJP for x, γ, β",
            "layer_norm",
            row_arrays,
            bytes=4 * ROWS,
            flops=16 * ROWS // 4,
        ),
        Workload(
            "call",
            "one call: a·b + c·d of 8 numbers",
            "call",
            call_arrays,
            bytes=0,
            flops=0,
        ),
        model(
            "transformer-block",
            "transformer block, width 256, 8 heads, 8×128 tokens: SGD step",
            models.BLOCK,
            models.block_arrays,
            models.block_flops(8 * 128, 256, 128),
        ),
        model(
            "characters",
            "character transformer, 4 layers of 128, 16×128 letters: SGD step",
            models.CHARACTERS,
            models.character_arrays,
            CHARACTER_FLOPS,
        ),
        model(
            "characters-lora",
            "the same: only LoRA of rank 8 on queries and values learns",
            models.CHARACTERS,
            models.lora_arrays,
            CHARACTER_FLOPS * 2 // 3,
        ),
        model(
            "cnn",
            "CNN of 3 layers on 28×28, batch 64: SGD step",
            models.CNN,
            models.cnn_arrays,
            models.conv_flops(),
        ),
        model(
            "lstm",
            "LSTM of width 256, 128 steps, batch 32: SGD step",
            models.MEMORY,
            models.memory_arrays,
            models.memory_flops(),
        ),
        model(
            "residual-100",
            "residual MLP, 100 layers of 64, batch 32: SGD step",
            models.DEEP,
            models.deep_arrays,
            100 * 6 * 32 * 64 * 64,
        ),
        derivative(
            "hessian-quadratic",
            "Hessian of xᵀAx, n = 2048",
            "quadratic_hessian",
            derivatives.quadratic_arrays,
            2 * 2048**2,
        ),
        derivative(
            "hessian-logistic",
            "Hessian of logistic regression, 1000×200",
            "logistic_hessian",
            derivatives.regression_arrays,
            240_000,
            1000 * 200 * 200,
        ),
        derivative(
            "least-squares",
            "gradient and Hessian of least squares, 1000×200",
            "least_squares",
            derivatives.regression_arrays,
            240_000,
            1000 * 200 * 200,
        ),
        derivative(
            "hvp-factorisation",
            "Hessian times vector of ‖Y−UVᵀ‖², 500×500, rank 20",
            "factorisation_hvp",
            derivatives.factorisation_arrays,
            310_000,
            7 * 2 * 500 * 500 * 20,
        ),
        derivative(
            "rosenbrock",
            "gradient of Rosenbrock's function of 1000 variables",
            "rosenbrock_gradient",
            derivatives.rosenbrock_arrays,
            2000,
            10_000,
        ),
        derivative(
            "arm",
            "Jacobian of a six-joint arm",
            "arm_jacobian",
            derivatives.arm_arrays,
            24,
            200,
        ),
        objective(
            "adbench-gmm",
            "ADBench: gradient of a mixture of 25 Gaussians, 1000×10",
            adbench.gmm_arrays,
            13_300,
            1000 * 25 * (10 * 10 * 4 + 10 * 8),
        ),
        objective(
            "adbench-ba",
            "ADBench: Jacobian of bundle adjustment, 3184 observations",
            adbench.bundle_arrays,
            3184 * (17 + 45),
            3184 * 600,
        ),
        objective(
            "adbench-lstm",
            "ADBench: gradient of an LSTM, 2 layers of 14, 1024 letters",
            adbench.lstm_arrays,
            15_000,
            1024 * 14 * 2 * 150,
        ),
        objective(
            "gaussian-process",
            "gradient of a Gaussian process's likelihood, n = 300",
            adbench.process_arrays,
            600,
            300**3 * 2,
        ),
        objective(
            "logdet",
            "gradient of log det A, n = 300",
            adbench.matrix_arrays,
            2 * 300**2,
            300**3 * 2,
        ),
    )
}

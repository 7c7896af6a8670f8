"""JAX in float64: its transforms under `jit`."""

import jax
import jax.numpy as jnp

from .. import adbench
from . import Task, as_arrays

jax.config.update("jax_enable_x64", True)


def _task(function, arrays):
    compiled = jax.jit(function)
    operands = [jnp.asarray(a) for a in arrays.values()]
    return Task(lambda: jax.block_until_ready(compiled(*operands)), as_arrays)


def adbench_gmm(arrays):
    def loss(*given):
        return adbench.gmm(jnp, *given)

    return _task(jax.grad(loss, (0, 1, 2)), arrays)


def adbench_ba(arrays):
    def residuals(*given):
        return adbench.reprojection(jnp, *given)

    return _task(jax.vmap(jax.jacfwd(residuals, (0, 1, 2))), arrays)


def adbench_lstm(arrays):
    def loss(*given):
        return adbench.lstm(jnp, jax.lax.scan, *given)

    return _task(jax.grad(loss, (0, 1)), arrays)


def gaussian_process(arrays):
    def loss(*given):
        return adbench.process(jnp, *given)

    return _task(lambda *given: [jax.grad(loss, 2)(*given)], arrays)


def logdet(arrays):
    slope = jax.grad(lambda a: jnp.linalg.slogdet(a)[1])
    return _task(lambda a: [slope(a)], arrays)

"""JAX in float64: its transforms under `jit`."""

import jax
import jax.numpy as jnp

from ..derivatives import arm_position, rosenbrock
from . import Task, as_arrays

jax.config.update("jax_enable_x64", True)


def _task(function, arrays, *names):
    compiled = jax.jit(function)
    operands = [jnp.asarray(arrays[n]) for n in names]
    return Task(lambda: jax.block_until_ready(compiled(*operands)), as_arrays)


def quadratic_hessian(arrays):
    hessian = jax.hessian(lambda x, A: x @ A @ x)
    return _task(lambda x, A: [hessian(x, A)], arrays, "x", "A")


def logistic_hessian(arrays):
    def loss(w, X, y):
        return jnp.sum(jax.nn.softplus(X @ w) - y * (X @ w))

    return _task(lambda w, X, y: [jax.hessian(loss)(w, X, y)], arrays, "w", "X", "y")


def least_squares(arrays):
    def loss(w, X, y):
        return jnp.sum((X @ w - y) ** 2)

    def both(w, X, y):
        return [jax.grad(loss)(w, X, y), jax.hessian(loss)(w, X, y)]

    return _task(both, arrays, "w", "X", "y")


def factorisation_hvp(arrays):
    def product(Y, U, V, dU, dV):
        slope = jax.grad(lambda U, V: jnp.sum((Y - U @ V.T) ** 2), argnums=(0, 1))
        return jax.jvp(slope, (U, V), (dU, dV))[1]

    return _task(product, arrays, "Y", "U", "V", "dU", "dV")


def rosenbrock_gradient(arrays):
    slope = jax.grad(lambda x: rosenbrock(x, jnp.sum))
    return _task(lambda x: [slope(x)], arrays, "x")


def arm_jacobian(arrays):
    slope = jax.jacfwd(lambda q: arm_position(q, jnp.cos, jnp.sin, jnp.stack))
    return _task(lambda q: [slope(q)], arrays, "q")

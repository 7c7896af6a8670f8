"""JAX: everything under `jit`, parameters donated, arrays on the device beforehand."""

import jax
import jax.numpy as jnp

from ..workloads import LEARNING_RATE
from . import Task, as_arrays


def _jitted(function, arrays, *names):
    """A task that calls the compiled function and waits for its results."""
    compiled = jax.jit(function)
    operands = [jnp.asarray(arrays[name]) for name in names]
    return Task(lambda: jax.block_until_ready(compiled(*operands)), as_arrays)


def _chain(x, y):
    t = jnp.tanh(x * y + x)
    e = t * y - x
    s = jnp.exp(-0.5 * e * e) + t
    return s * s


def chain(arrays):
    return _jitted(lambda x, y: [_chain(x, y)], arrays, "x", "y")


def chain_gradient(arrays):
    gradient = jax.grad(lambda x, y: _chain(x, y).sum(), argnums=(0, 1))
    return _jitted(gradient, arrays, "x", "y")


def _loss(parameters, x, y):
    *hidden, (W, b) = parameters
    for V, c in hidden:
        x = jax.nn.relu(x @ V + c)
    log_p = jax.nn.log_softmax(x @ W + b)
    return -jnp.take_along_axis(log_p, y[:, None], axis=1).mean()


def _sgd(parameters, x, y):
    loss, gradient = jax.value_and_grad(_loss)(parameters, x, y)
    update = jax.tree.map(lambda p, g: p - LEARNING_RATE * g, parameters, gradient)
    return update, loss


def mlp(arrays):
    x, y = jnp.asarray(arrays["x"]), jnp.asarray(arrays["y"].astype("int32"))
    layers = range(1, len(arrays) // 2)
    parameters = [
        (jnp.array(arrays[f"W{i}"]), jnp.array(arrays[f"b{i}"])) for i in layers
    ]
    step = jax.jit(_sgd, donate_argnums=0)

    def run():
        nonlocal parameters
        parameters, loss = step(parameters, x, y)
        jax.block_until_ready(parameters)
        return loss

    def read(loss):
        weights, biases = zip(*parameters, strict=True)
        return as_arrays([loss, *weights, *biases])

    return Task(run, read)


def _vjp(function):
    """The value of a function and its vector-Jacobian products."""

    def value_and_vjp(cotangent, *operands):
        value, pull_back = jax.vjp(function, *operands)
        return [value, *pull_back(cotangent)]

    return value_and_vjp


def softmax(arrays):
    return _jitted(_vjp(jax.nn.softmax), arrays, "cotangent", "x")


def _layer_norm(x, gamma, beta):
    centred = x - x.mean(axis=1, keepdims=True)
    variance = (centred * centred).mean(axis=1, keepdims=True)
    return centred * jax.lax.rsqrt(variance + 1e-5) * gamma + beta


def layer_norm(arrays):
    names = ("cotangent", "x", "gamma", "beta")
    return _jitted(_vjp(_layer_norm), arrays, *names)


def call(arrays):
    return _jitted(lambda a, b, c, d: [a * b + c * d], arrays, *"abcd")

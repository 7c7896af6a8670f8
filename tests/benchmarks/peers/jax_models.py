"""JAX: models under `jit`, parameters donated."""

import jax
import jax.numpy as jnp

from ..models import LOSSES, trainable
from ..workloads import LEARNING_RATE
from . import Task, as_arrays


class Layers:
    """The layers that the networks are made of."""

    relu, tanh = staticmethod(jax.nn.relu), staticmethod(jnp.tanh)

    def __init__(self, parameters):
        self.parameters = parameters
        self.parameter = parameters.__getitem__

    def gelu(self, x):
        return jax.nn.gelu(x, approximate=False)

    def linear(self, x, name):
        y = x @ self.parameter(f"{name}/W")
        if f"{name}/A" in self.parameters:
            y = y + x @ self.parameter(f"{name}/A") @ self.parameter(f"{name}/B")
        return y + self.parameter(f"{name}/b")

    def norm(self, x, name):
        c = x - x.mean(-1, keepdims=True)
        y = c * jax.lax.rsqrt((c * c).mean(-1, keepdims=True) + 1e-5)
        return y * self.parameter(f"{name}/scale") + self.parameter(f"{name}/bias")

    def embedding(self, ids, name):
        return self.parameter(f"{name}/table")[ids]

    def conv(self, x, name):
        y = jax.lax.conv(x, self.parameter(f"{name}/W"), (1, 1), "SAME")
        return y + self.parameter(f"{name}/b")[:, None, None]

    def lstm(self, x, name):
        W, U, b = (self.parameter(f"{name}/{part}") for part in "WUb")

        def step(state, z):
            h, c = state
            i, f, g, o = jnp.split(z + h @ U, 4, -1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        start = jnp.zeros((x.shape[1], U.shape[0]))
        return jax.lax.scan(step, (start, start), x @ W + b)[1]

    def pool(self, x):
        window = (1, 1, 2, 2)
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")

    def spatial_mean(self, x):
        return x.mean((2, 3))

    def heads(self, x, count):
        return x.reshape(*x.shape[:2], count, -1)

    def joined(self, x):
        return x.reshape(*x.shape[:2], -1)

    def causal_attention(self, q, k, v):
        return jax.nn.dot_product_attention(q, k, v, is_causal=True)

    def mse(self, y, t):
        return ((y - t) ** 2).mean()

    def cross_entropy(self, z, labels):
        log_p = jax.nn.log_softmax(z)
        return -jnp.take_along_axis(log_p, labels[..., None], -1).mean()


def _task(model):
    def task(arrays):
        x, y = (jnp.asarray(arrays[n]) for n in "xy")
        names = trainable(arrays)
        learning = {n: jnp.array(arrays[n]) for n in names}
        frozen = {
            n: jnp.array(a) for n, a in arrays.items() if n not in (*names, *"xy")
        }

        def loss_of(learning, frozen, x, y):
            return LOSSES[model](Layers(frozen | learning), x, y)

        def sgd(learning, frozen, x, y):
            loss, slopes = jax.value_and_grad(loss_of)(learning, frozen, x, y)
            new = jax.tree.map(lambda p, g: p - LEARNING_RATE * g, learning, slopes)
            return new, loss

        step = jax.jit(sgd, donate_argnums=0)

        def run():
            nonlocal learning
            learning, loss = step(learning, frozen, x, y)
            jax.block_until_ready(learning)
            return loss

        return Task(run, lambda loss: as_arrays([loss, *(learning[n] for n in names)]))

    return task


block, characters, cnn, deep, memory = map(_task, LOSSES)

"""NumPy: gradients by hand, temporaries reused, updates in place."""

import numpy as np

from ..workloads import LEARNING_RATE
from . import Task, as_arrays


def chain(arrays):
    x, y = arrays["x"], arrays["y"]

    def run():
        t = np.tanh(x * y + x)
        h = t * y - x
        h *= h
        h *= -0.5
        np.exp(h, out=h)
        h += t
        h *= h
        return [h]

    return Task(run, as_arrays)


def chain_gradient(arrays):
    x, y = arrays["x"], arrays["y"]

    def run():
        t = np.tanh(x * y + x)
        e = t * y - x
        g = np.exp(-0.5 * e * e)
        s_bar = 2 * (g + t)
        e_bar = -e * g * s_bar
        t_bar = s_bar + e_bar * y
        u_bar = t_bar * (1 - t * t)
        return [u_bar * (y + 1) - e_bar, u_bar * x + e_bar * t]

    return Task(run, as_arrays)


def mlp(arrays):
    x, y = arrays["x"], arrays["y"]
    depth = (len(arrays) - 2) // 2
    weights = [arrays[f"W{i}"].copy() for i in range(1, depth + 1)]
    biases = [arrays[f"b{i}"].copy() for i in range(1, depth + 1)]
    rows = np.arange(len(y))

    def run():
        hidden = [x]
        for W, b in zip(weights, biases, strict=True):
            z = hidden[-1] @ W
            z += b
            hidden.append(z if W is weights[-1] else np.maximum(z, 0, out=z))
        logits = hidden.pop()
        logits -= logits.max(axis=1, keepdims=True)
        p = np.exp(logits)
        total = p.sum(axis=1, keepdims=True)
        loss = (np.log(total[:, 0]) - logits[rows, y]).mean()
        p /= total
        p[rows, y] -= 1
        p /= len(y)
        for W, b, h in zip(weights[::-1], biases[::-1], hidden[::-1], strict=True):
            below = None if h is x else (p @ W.T) * (h > 0)
            W -= LEARNING_RATE * (h.T @ p)
            b -= LEARNING_RATE * p.sum(axis=0)
            p = below
        return loss

    return Task(run, lambda loss: as_arrays([loss, *weights, *biases]))


def softmax(arrays):
    x, cotangent = arrays["x"], arrays["cotangent"]

    def run():
        y = x - x.max(axis=1, keepdims=True)
        np.exp(y, out=y)
        y /= y.sum(axis=1, keepdims=True)
        x_bar = cotangent * y
        x_bar -= y * x_bar.sum(axis=1, keepdims=True)
        return [y, x_bar]

    return Task(run, as_arrays)


def layer_norm(arrays):
    x, cotangent = arrays["x"], arrays["cotangent"]
    gamma, beta = arrays["gamma"], arrays["beta"]

    def run():
        normal = x - x.mean(axis=1, keepdims=True)
        scale = np.einsum("ij,ij->i", normal, normal)[:, None] / x.shape[1]
        scale = 1 / np.sqrt(scale + 1e-5)
        normal *= scale
        y = normal * gamma
        y += beta
        gamma_bar = np.einsum("ij,ij->j", cotangent, normal)
        beta_bar = cotangent.sum(axis=0)
        x_bar = cotangent * gamma
        mean = x_bar.mean(axis=1, keepdims=True)
        along = np.einsum("ij,ij->i", x_bar, normal)[:, None] / x.shape[1]
        x_bar -= mean
        normal *= along
        x_bar -= normal
        x_bar *= scale
        return [y, x_bar, gamma_bar, beta_bar]

    return Task(run, as_arrays)


def call(arrays):
    a, b, c, d = arrays.values()
    return Task(lambda: [a * b + c * d], as_arrays)

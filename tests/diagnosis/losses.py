"""Models with other losses and layers: batch norm, low rank, variational, physics."""

from __future__ import annotations

from functools import cache

import numpy as np

import symgrad as sg
from symgrad.data import digits
from tests.diagnosis.models import inputs, loss_of, transformer

nn = sg.nn


@cache
def images():
    """Return digits; the key of the noise is another one at every step."""
    return {"x": digits()[0][:1024], "key": np.int64(0)}


@cache
def points():
    """Return places between -1 and 1."""
    x = np.random.default_rng(2).uniform(-1, 1, 512)
    return {"x": x.astype("float32")}


DATA = {"images": images, "equation": points}


def convolutions(width=8):
    """Two residual blocks of convolutions with batch norm, and dropout."""
    x, y, _, _ = inputs("digits")
    h = nn.conv2d(x.reshape((-1, 1, 8, 8)), width, padding="same", name="stem")
    for n in range(2):
        with sg.scope(f"block{n + 1}"):
            inner = sg.relu(nn.batch_norm(h, name="norm1"))
            inner = nn.conv2d(inner, width, padding="same", bias=False, name="conv1")
            inner = sg.relu(nn.batch_norm(inner, name="norm2"))
            h = h + nn.conv2d(inner, width, padding="same", bias=False, name="conv2")
    h = nn.dropout(sg.mean(sg.relu(sg.max_pool(h, 2)), axis=(2, 3)), 0.1)
    return loss_of("digits", nn.linear(h, 10, name="logits"), y)


def low_rank(rank=4):
    """Adapt a transformer; without a rank, freeze its blocks and adapt nothing."""

    def change(p):
        inside = p.name.startswith("block") and p.ndim == 2
        return nn.lora(p, rank) if inside and rank else None

    if rank:
        return nn.adapt(transformer(), change)
    x, y, _, _ = inputs("characters")
    h = nn.embedding(x, 48, 16, name="tokens")
    with sg.scope("block1"):
        W = sg.param("W", (16, 32), trainable=False)
        V = sg.param("V", (32, 16), trainable=False)
    h = h + sg.relu(h @ W) @ V
    return loss_of("characters", nn.linear(h, 48, name="out"), y)


def variational(latent=2, log=False):
    """A variational auto-encoder (Kingma & Welling 2014)."""
    x, key = sg.input("x", ("n", 64)), sg.input("key", (), dtype="int64")
    h = nn.mlp(x, [64, 32], activation="gelu", final="gelu", name="encoder")
    mean = nn.linear(h, latent, name="mean")
    spread = nn.linear(h, latent, name="log_variance")
    spread = sg.log(spread) if log else spread
    z = mean + sg.exp(spread / 2) * sg.random.normal(key, mean.shape)
    logits = nn.mlp(z, [32, 64, 64], activation="gelu", name="decoder")
    pixels = nn.binary_cross_entropy_with_logits(logits, x, reduce="none")
    divergence = 0.5 * (mean**2 + sg.exp(spread) - 1 - spread)
    return sg.mean(sg.sum(pixels, axis=1) + sg.sum(divergence, axis=1))


def physics(depth=2, width=16, act=sg.tanh):
    """Solve u″ + u = 3 sin 2x with u(±1) = 0: second derivatives in the loss."""
    x = sg.input("x", ("n",))
    h = x[:, None]
    for n in range(depth):
        h = act(nn.linear(h, width, name=f"layer{n + 1}"))
    u = (1 - x * x) * nn.linear(h, 1, name="out")[:, 0]
    slope = sg.grad(sg.sum(u), x)
    curvature = sg.grad(sg.sum(slope), x)
    return sg.mean((curvature + u - 3 * sg.sin(2 * x)) ** 2)

"""Random networks, declared twice: with symgrad for the bound, with PyTorch for truth.

    python -m tests.prediction.networks 5000
    python -m tests.prediction.networks 100 0 measure

try as many and print how tight the bounds are; a violation is an error.
"""

from __future__ import annotations

import sys

import numpy as np
import pytest

import symgrad as sg

torch = pytest.importorskip("torch")
F = torch.nn.functional
ACTIVATIONS = {
    "sigmoid": (sg.sigmoid, torch.sigmoid),
    "tanh": (sg.tanh, torch.tanh),
    "relu": (sg.relu, torch.relu),
    "gelu": (sg.gelu, F.gelu),
    "gelu_tanh": (
        lambda x: sg.gelu(x, approximate="tanh"),
        lambda x: F.gelu(x, approximate="tanh"),
    ),
    "silu": (sg.silu, F.silu),
    "softplus": (sg.softplus, F.softplus),
    "mish": (sg.mish, F.mish),
    "elu": (sg.elu, F.elu),
    "leaky": (sg.leaky_relu, F.leaky_relu),
    "sin": (sg.sin, torch.sin),
    "atan": (sg.atan, torch.atan),
    "own": (lambda x: x * sg.exp(-x * x), lambda x: x * torch.exp(-x * x)),
    "own gate": (
        lambda x: sg.tanh(x) * sg.sigmoid(x),
        lambda x: torch.tanh(x) * torch.sigmoid(x),
    ),
}


class Network:
    """Builds the same network in both, layer by layer."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.params: dict[str, tuple] = {}
        self.n = int(self.rng.integers(1, 9))
        self.kind = self.rng.choice(
            [k.removeprefix("build_") for k in dir(self) if k.startswith("build_")]
        )
        self.label = self.kind
        getattr(self, f"build_{self.kind}")()

    # -- parts -----------------------------------------------------------------------

    def param(self, shape):
        gain = self.rng.choice([0.3, 1.0, 3.0])
        fan = int(np.prod(shape[1:] if len(shape) > 2 else shape[:1]))
        value = gain * self.rng.normal(size=shape) / np.sqrt(fan)
        name = f"p{len(self.params)}"
        tensor = sg.param(name, shape, init=value, dtype="float64")
        self.params[name] = (tensor, torch.tensor(value, requires_grad=True), value)
        return self.params[name][:2]

    def inputs(self, *shape):
        scale = self.rng.choice([0.1, 1.0, 5.0])
        self.data = scale * self.rng.normal(size=(self.n, *shape))
        x = sg.input("x", ("n", *shape), "float64")
        return x, torch.tensor(self.data)

    def act(self, h):
        name = self.rng.choice(list(ACTIVATIONS))
        self.label += f" {name}"
        ours, theirs = ACTIVATIONS[name]
        return ours(h[0]), theirs(h[1])

    def linear(self, h, width):
        W = self.param((h[1].shape[-1], width))
        b = self.param((width,))
        return h[0] @ W[0] + b[0], h[1] @ W[1] + b[1]

    def normal(self, h):
        x, t = h
        eps = float(self.rng.choice([1e-5, 1e-2, 1.0]))
        if self.rng.random() < 0.5:
            x = x - sg.mean(x, axis=-1, keepdims=True)
            t = t - t.mean(-1, keepdim=True)
        deviation = sg.sqrt(sg.mean(x * x, axis=-1, keepdims=True) + eps)
        return x / deviation, t / torch.sqrt((t * t).mean(-1, keepdim=True) + eps)

    def finish(self, h):
        """End in a cross-entropy, a squared or a linear loss."""
        x, t = self.linear(h, 3)
        end = self.rng.integers(3)
        if end == 0:
            y = self.rng.integers(0, 3, self.n)
            self.extra = {"y": y}
            right = sg.log_softmax(x) * sg.one_hot(sg.input("y", ("n",), "int64"), 3)
            loss = -sg.mean(sg.sum(right, axis=-1))
            truth = F.cross_entropy(t, torch.tensor(y))
        elif end == 1:
            self.extra = {}
            loss, truth = sg.mean((x - 0.5) ** 2), ((t - 0.5) ** 2).mean()
        else:
            self.extra = {}
            loss, truth = sg.mean(sg.tanh(x)), torch.tanh(t).mean()
        self.loss, self.truth = loss, truth

    # -- kinds -----------------------------------------------------------------------

    def build_dense(self):
        h = self.inputs(int(self.rng.integers(1, 6)))
        for _ in range(self.rng.integers(1, 6)):
            h = self.act(self.linear(h, int(self.rng.integers(1, 7))))
        self.finish(h)

    def build_residual(self):
        h = self.linear(self.inputs(4), 5)
        for _ in range(self.rng.integers(1, 5)):
            inner = self.normal(h) if self.rng.random() < 0.3 else h
            inner = self.linear(self.act(self.linear(inner, 6)), 5)
            h = h[0] + inner[0], h[1] + inner[1]
        self.finish(h)

    def build_conv(self):
        x, t = self.inputs(2, 7, 6)
        channels = 2
        for _ in range(self.rng.integers(1, 3)):
            width, stride = int(self.rng.integers(1, 4)), int(self.rng.integers(1, 3))
            pad, size = int(self.rng.integers(0, 2)), int(self.rng.integers(1, 4))
            K = self.param((width, channels, size, size))
            x = sg.conv2d(x, K[0], stride=stride, padding=pad)
            t = F.conv2d(t, K[1], stride=stride, padding=pad)
            x, t = self.act((x, t))
            channels = width
            if min(t.shape[2:]) < 4:
                break
        if min(t.shape[2:]) >= 2:
            if self.rng.random() < 0.5:
                x, t = sg.max_pool(x, 2), F.max_pool2d(t, 2)
            else:
                x, t = sg.avg_pool(x, 2), F.avg_pool2d(t, 2)
        flat = int(np.prod(t.shape[1:]))
        self.finish((x.reshape((-1, flat)), t.reshape(-1, flat)))

    def build_attention(self):
        h = self.inputs(3, 4)
        for _ in range(self.rng.integers(1, 3)):
            inner = self.normal(h)
            q, k, v = (self.linear(inner, 4) for _ in range(3))
            scores = q[0] @ sg.permute_dims(k[0], (0, 2, 1)) / 2
            theirs = q[1] @ k[1].transpose(1, 2) / 2
            mixed = sg.softmax(scores) @ v[0], torch.softmax(theirs, -1) @ v[1]
            out = self.linear(mixed, 4)
            h = h[0] + out[0], h[1] + out[1]
        self.finish((sg.mean(h[0], axis=1), h[1].mean(1)))

    def build_normalised(self):
        h = self.inputs(5)
        for _ in range(self.rng.integers(1, 4)):
            h = self.act(self.normal(self.linear(h, 5)))
        self.finish(h)

    def build_recurrent(self):
        x, t = self.inputs(3)
        U, W, g = self.param((3, 4)), self.param((4, 4)), self.param((4, 4))
        h, s = x @ U[0], t @ U[1]
        for _ in range(self.rng.integers(1, 5)):
            gate, theirs = sg.sigmoid(h @ g[0]), torch.sigmoid(s @ g[1])
            h = gate * h + (1 - gate) * sg.tanh(h @ W[0] + x @ U[0])
            s = theirs * s + (1 - theirs) * torch.tanh(s @ W[1] + t @ U[1])
        self.finish((h, s))

    def build_scan(self):
        """Two carries, as of an LSTM, over a sequence; the last state or all."""
        length = int(self.rng.integers(1, 7))
        x, t = self.inputs(length, 3)
        U, W, G = self.param((3, 4)), self.param((4, 4)), self.param((4, 4))

        def cell(carry, x):
            h, c = carry
            gate = sg.sigmoid(h @ G[0])
            c = gate * c + (1 - gate) * sg.tanh(x @ U[0])
            h = sg.tanh(c @ W[0]) + 0.5 * h
            return (h, c), h * gate

        zeros = sg.zeros_like(x[:, 0, :1]) + np.zeros(4)
        reverse = bool(self.rng.integers(2))
        xs = sg.permute_dims(x, (1, 0, 2))
        (last, _), out = sg.scan(cell, (zeros, zeros), xs, reverse=reverse)
        h = c = torch.zeros(self.n, 4, dtype=torch.float64)
        found = {}
        for step in reversed(range(length)) if reverse else range(length):
            gate = torch.sigmoid(h @ G[1])
            c = gate * c + (1 - gate) * torch.tanh(t[:, step] @ U[1])
            h = torch.tanh(c @ W[1]) + 0.5 * h
            found[step] = h * gate
        if self.rng.random() < 0.5:
            return self.finish((last, h))
        theirs = torch.stack([found[n] for n in range(length)])
        return self.finish((sg.mean(out, axis=0), theirs.mean(0)))

    def build_batch_normalised(self):
        self.n = max(self.n, 2)
        h = self.inputs(4)
        for _ in range(self.rng.integers(1, 4)):
            x, t = self.linear(h, 5)
            y = sg.nn.batch_norm(x, scale=False, bias=False, eps=0.01)
            spread = t.var(0, correction=0) + 0.01
            h = self.act((y, (t - t.mean(0)) / torch.sqrt(spread)))
        self.finish(h)

    def build_solved(self):
        """Least squares inside, and the determinant of what was solved with."""
        x, t = self.inputs(4)
        A = self.param((4, 4))
        mine = A[0] + 4 * np.eye(4)
        theirs = A[1] + 4 * torch.eye(4, dtype=torch.float64)
        y = sg.linalg.solve(mine, sg.permute_dims(x, (1, 0)))
        s = torch.linalg.solve(theirs, t.T)
        inverse, same = sg.linalg.inv(mine), torch.linalg.inv(theirs)
        h = self.linear((sg.permute_dims(y, (1, 0)), s.T), 4)
        self.finish((h[0] @ inverse, h[1] @ same))
        logarithm = sg.linalg.slogdet(mine)[1]
        self.loss = self.loss + 0.1 * logarithm
        self.truth = self.truth + 0.1 * torch.linalg.slogdet(theirs)[1]

    # -- truth -----------------------------------------------------------------------

    def gradients(self):
        """Return the norms of PyTorch's gradients, in the order of the parameters."""
        leaves = [t for _, t, _ in self.params.values()]
        found = torch.autograd.grad(self.truth, leaves)
        return [float(torch.linalg.norm(g)) for g in found]


def ratios(seed: int, exact: bool, measure: bool = False) -> list[float]:
    """Return gradient/bound for each parameter of one network (at most 1).

    The bound is of the data themselves (or of the values that all nodes have there), or
    of every input in an interval around them.
    """
    net = Network(seed)
    arrays = {name: value for name, (_, _, value) in net.params.items()}
    wrt = [t for t, _, _ in net.params.values()]
    data = {"x": net.data, **net.extra} if exact else net.extra
    span = {} if exact else {"x": (net.data.min(), net.data.max())}
    bounds = sg.gradient_bound(
        net.loss, wrt, arrays, data, span, {"n": net.n}, measure=measure
    )
    found = []
    for name, bound, size in zip(arrays, bounds, net.gradients(), strict=True):
        value = bound.at_data if measure else bound.value
        assert value <= bound.value * (1 + 1e-6), (seed, net.label, name)
        tight = size / value if value else float(size > 1e-12)
        assert tight <= 1 + 1e-9, (seed, net.label, name, size, str(bound))
        found.append(tight)
    return found


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    start = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    measure = sys.argv[3:] == ["measure"]
    found = [
        r
        for seed in range(start, start + count)
        for r in ratios(seed, measure or seed % 2, measure)
    ]
    shares = np.quantile(found, [0.05, 0.5, 0.95, 1])
    print(
        f"{count} networks, {len(found)} parameters, no violation; gradient/bound: "
        + ", ".join(f"{s:.2g}" for s in shares)
        + " (5 %, median, 95 %, greatest)"
    )


if __name__ == "__main__":
    main()

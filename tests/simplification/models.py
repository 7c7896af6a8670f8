"""Small models with their gradients, in float64, for the tests of the stage."""

import numpy as np

import symgrad as sg
from symgrad.declare.tensor import topological
from tests.reference import evaluate_graph

SIZES = {"batch": 5, "n": 3}
#: Integer inputs are below these.
BELOW = {"y": 3, "ids": 9}


def f64(make, name, shape):
    return make(name, shape, dtype="float64")


def cross_entropy(z, y):
    picked = sg.take_along_axis(sg.log_softmax(z), sg.expand_dims(y, 1), axis=1)
    return -sg.mean(picked)


def with_grad(loss, wrt):
    return [loss, *sg.grad(loss, wrt)]


def classifier():
    x, y = f64(sg.input, "x", ("batch", 6)), sg.input("y", ("batch",), dtype="int64")
    W, b = f64(param, "W", (6, 3)), f64(param, "b", (3,))
    return with_grad(cross_entropy(x @ W + b, y), [W, b])


def param(name, shape, dtype):
    return sg.param(name, shape, dtype=dtype)


def mlp(layers=3):
    x, y = f64(sg.input, "x", ("batch", 6)), sg.input("y", ("batch",), dtype="int64")
    h, params = x, []
    for n in range(layers):
        last = n == layers - 1
        W, b = f64(param, f"W{n}", (6, 3 if last else 6)), f64(param, f"b{n}", (6,))
        b = f64(param, f"b{n}", (3 if last else 6,))
        params += [W, b]
        h = h @ W + b
        h = h if last else sg.tanh(h)
    return with_grad(cross_entropy(h, y), params)


def softmax():
    x, w = f64(sg.input, "x", ("n", 4)), f64(sg.input, "w", ("n", 4))
    return with_grad(sg.sum(sg.softmax(x) * w), [x])


def naive_softmax():
    x, w = f64(sg.input, "x", ("n", 4)), f64(sg.input, "w", ("n", 4))
    e = sg.exp(x)
    return with_grad(sg.sum(e / sg.sum(e, axis=1, keepdims=True) * w), [x])


def naive_log_sum_exp():
    x = f64(sg.input, "x", ("n", 4))
    return with_grad(sg.sum(sg.log(sg.sum(sg.exp(x), axis=0))), [x])


def attention():
    heads = 2
    x = f64(sg.input, "x", (2, 5, 8))
    params = [f64(param, n, (8, 8)) for n in "qkvo"]

    def split(t):
        return sg.permute_dims(sg.reshape(t, (2, 5, heads, 4)), (0, 2, 1, 3))

    q, k, v = (split(x @ p) for p in params[:3])
    mask = sg.arange(5)[:, None] >= sg.arange(5)
    scores = sg.where(mask, q @ k.mT / 2.0, -float("inf"))
    mixed = sg.permute_dims(sg.softmax(scores) @ v, (0, 2, 1, 3))
    y = x + sg.reshape(mixed, (2, 5, 8)) @ params[3]
    return with_grad(sg.mean(sg.square(y)), params)


def layer_norm():
    x = f64(sg.input, "x", ("n", 7))
    g, b = f64(param, "g", (7,)), f64(param, "b", (7,))
    centred = x - sg.mean(x, axis=-1, keepdims=True)
    y = centred / sg.sqrt(sg.var(x, axis=-1, keepdims=True) + 1e-5) * g + b
    return with_grad(sg.sum(y * y * y), [g, b, x])


def convolution():
    x, w, u = (
        f64(sg.input, "x", (2, 3, 8)),
        f64(param, "w", (4, 3, 3)),
        f64(param, "u", (4, 3)),
    )
    h = sg.max_pool(sg.relu(sg.conv1d(x, w, padding="same")), 2)
    loss = sg.mean(sg.square(sg.mean(h, axis=2) @ u))
    return with_grad(loss, [w, u, x])


def strided_convolution():
    x, w = f64(sg.input, "x", (2, 3, 9)), f64(param, "w", (4, 3, 3))
    loss = sg.sum(sg.tanh(sg.conv1d(x, w, stride=2, padding=1)))
    return with_grad(loss, [w, x])


def embedding():
    ids, E = sg.input("ids", ("n", 5), dtype="int64"), f64(param, "E", (9, 4))
    pooled = sg.sum(sg.tanh(sg.take(E, ids, axis=0)), axis=1)
    return with_grad(sg.sum(pooled**2), [E])


def movements():
    x = f64(sg.input, "x", (4, 6))
    a = sg.concat([x[:, :2], x[:, 2:] * 2, sg.flip(x, 1)], axis=1)
    c = sg.pad(sg.roll(a, 3, 1), ((1, 1), (0, 2)))
    d = sg.cumulative_sum(c, axis=0)
    loss = sg.sum(sg.sin(d) * d) + sg.logsumexp(d) + sg.sum(sg.prod(x, axis=1))
    return [*with_grad(loss, [x]), d.T[::2]]


MODELS = [
    classifier,
    mlp,
    softmax,
    naive_softmax,
    naive_log_sum_exp,
    attention,
    layer_norm,
    convolution,
    strided_convolution,
    embedding,
    movements,
]


def leaves_of(outputs, seed=0, scale=0.5):
    """Return an array for each named leaf."""
    rng = np.random.default_rng(seed)
    values = {}
    for t in topological(outputs):
        if t.name is not None:
            shape = tuple(n if isinstance(n, int) else SIZES[str(n)] for n in t.shape)
            if t.dtype == "int64":
                values[t] = rng.integers(0, BELOW[t.name], shape)
            else:
                values[t] = rng.normal(size=shape) * scale
    return values


def assert_same(before, after, values, rtol=1e-9, sizes=SIZES):
    """Assert that two graphs have the same shapes, types and values."""
    for a, b in zip(before, after, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
    wanted = evaluate_graph(before, values, sizes)
    got = evaluate_graph(after, values, sizes)
    for a, b in zip(wanted, got, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        finite = np.abs(a[np.isfinite(a)]) if a.dtype.kind == "f" else np.abs(a)
        top = float(finite.max()) if finite.size else 0.0
        np.testing.assert_allclose(b, a, rtol, 1e-11 * max(1.0, top))

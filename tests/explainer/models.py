"""Models of many kinds, and which scenes each of them leaves to a built-in one."""

import numpy as np

import symgrad as sg

RNG = np.random.default_rng(3)
NO_ROAD = {"skip", "highway", "transformer"}


def normal(*shape):
    return RNG.normal(size=shape).astype("float32")


def regression():
    x, t = sg.input("x", ("n", 5)), sg.input("t", ("n",))
    loss = sg.mean((x @ sg.param("w", (5,)) - t) ** 2)
    data = {"x": normal(20, 5), "t": normal(20)}
    return loss, data, {"chain", "relu", "lora", *NO_ROAD}


def sigmoids():
    x, t = sg.input("x", ("n", 6)), sg.input("t", ("n", 1))
    h = x
    for n in range(12):
        h = sg.nn.linear(h, 6, name=f"layer{n}")
        h = sg.sigmoid(h)
    loss = sg.nn.mse(sg.nn.linear(h, 1, name="out"), t)
    return loss, {"x": normal(16, 6), "t": normal(16, 1)}, {"relu", *NO_ROAD}


def convolution():
    x, y = sg.input("x", ("n", 1, 8, 8)), sg.input("y", ("n",), "int64")
    h = sg.relu(sg.nn.conv2d(x, 4, 3, name="conv"))
    h = sg.max_pool(h, 2).reshape((-1, 36))
    loss = sg.nn.cross_entropy(sg.nn.linear(h, 3, name="out"), y)
    return loss, {"x": normal(8, 1, 8, 8), "y": RNG.integers(0, 3, 8)}, NO_ROAD


def transformer():
    ids, y = sg.input("ids", ("n", 6), "int64"), sg.input("y", ("n",), "int64")
    h = sg.nn.embedding(ids, 11, 8, name="embed")
    for n in range(2):
        h = sg.nn.transformer_block(h, 2, name=f"block{n}")
    loss = sg.nn.cross_entropy(sg.nn.linear(sg.mean(h, axis=1), 4, name="head"), y)
    data = {"ids": RNG.integers(0, 11, (8, 6)), "y": RNG.integers(0, 4, 8)}
    return loss, data, {"relu"}


def frozen():
    x, t = sg.input("x", ("n", 4)), sg.input("t", ("n", 2))
    W = sg.param("W", (4, 4), trainable=False)
    loss = sg.mean((sg.relu(x @ W) @ sg.param("V", (4, 2)) - t) ** 2)
    return loss, {"x": normal(10, 4), "t": normal(10, 2)}, NO_ROAD


def nothing_trained():
    x = sg.input("x", ("n", 4))
    loss = sg.mean((x @ sg.param("W", (4, 4), trainable=False)) ** 2)
    return loss, {"x": normal(10, 4)}, {"descent", "chain", "relu", *NO_ROAD}


def no_parameters():
    x = sg.input("x", ())
    return x * x, {"x": 2.0}, {"descent", "chain", "relu", "lora", *NO_ROAD}


def fifty_blocks():
    x, t = sg.input("x", ("n", 4)), sg.input("t", ("n", 4))
    h = x
    for n in range(50):
        with sg.scope(f"block{n}"):
            h = h + 0.1 * sg.tanh(h @ sg.param("W", (4, 4)))
    return sg.nn.mse(h, t), {"x": normal(6, 4), "t": normal(6, 4)}, {
        "relu", "transformer",
    }  # fmt: skip


def broken():
    """The loss is NaN from the start."""
    x = sg.input("x", ("n", 3))
    loss = sg.mean(sg.log(-sg.abs(x @ sg.param("W", (3, 2))) - 1))
    return loss, {"x": normal(5, 3)}, {"descent", "relu", *NO_ROAD}


MODELS = {
    f.__name__: f
    for f in (
        regression, sigmoids, convolution, transformer, frozen, nothing_trained,
        no_parameters, fifty_blocks, broken,
    )
}  # fmt: skip

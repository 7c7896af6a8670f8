"""Models that people train: one definition over each peer's own layers.

A network is a function of the layers of a peer (`peers/*_models.py`), which hold its
parameters by name, and of arrays or tensors.  Every workload is one step of SGD.
"""

import numpy as np

BLOCK, CHARACTERS, CNN, DEEP = "block", "characters", "cnn", "deep"
MEMORY = "memory"
LAYERS, WIDTH, HEADS, CONTEXT, LETTERS = 4, 128, 4, 128, 64
RANK = 8


# -- networks --------------------------------------------------------------------------


def transformer_block(nn, x, name, heads):
    h = nn.norm(x, f"{name}/norm1")
    q, k, v = (nn.heads(nn.linear(h, f"{name}/{part}"), heads) for part in "qkv")
    x = x + nn.linear(nn.joined(nn.causal_attention(q, k, v)), f"{name}/out")
    h = nn.gelu(nn.linear(nn.norm(x, f"{name}/norm2"), f"{name}/expand"))
    return x + nn.linear(h, f"{name}/contract")


def block_loss(nn, x, y):
    return nn.mse(transformer_block(nn, x, "block", 8), y)


def character_loss(nn, x, y):
    h = nn.embedding(x, "letters") + nn.parameter("places")
    for n in range(LAYERS):
        h = transformer_block(nn, h, f"block{n}", HEADS)
    return nn.cross_entropy(nn.linear(nn.norm(h, "norm"), "logits"), y)


def cnn_loss(nn, x, y):
    for n in range(1, 4):
        x = nn.relu(nn.conv(x, f"conv{n}"))
        x = nn.pool(x) if n < 3 else nn.spatial_mean(x)
    return nn.cross_entropy(nn.linear(x, "logits"), y)


def deep_loss(nn, x, y, layers=100):
    for n in range(layers):
        x = x + nn.tanh(nn.linear(x, f"layer{n}"))
    return nn.cross_entropy(nn.linear(x, "logits"), y)


def memory_loss(nn, x, y):
    """An LSTM's outputs at each step, time in front."""
    return nn.mse(nn.lstm(x, "lstm"), y)


LOSSES = {
    BLOCK: block_loss,
    CHARACTERS: character_loss,
    CNN: cnn_loss,
    DEEP: deep_loss,
    MEMORY: memory_loss,
}

# -- arrays ----------------------------------------------------------------------------


class Draw:
    """Draws the parameters of a network by name."""

    def __init__(self):
        self.rng = np.random.default_rng(0)
        self.arrays = {}

    def normal(self, name, *shape, scale=1.0):
        drawn = self.rng.standard_normal(shape, dtype=np.float32)
        self.arrays[name] = drawn * np.float32(scale)

    def linear(self, name, rows, columns, rank=0):
        self.normal(f"{name}/W", rows, columns, scale=rows**-0.5)
        self.normal(f"{name}/b", columns, scale=0.01)
        if rank:
            self.normal(f"{name}/A", rows, rank, scale=rows**-0.5)
            self.normal(f"{name}/B", rank, columns, scale=0.1)

    def norm(self, name, width):
        self.normal(f"{name}/scale", width)
        self.normal(f"{name}/bias", width, scale=0.01)

    def block(self, name, width, rank=0):
        for part in ("norm1", "norm2"):
            self.norm(f"{name}/{part}", width)
        for part in "qkv":
            self.linear(f"{name}/{part}", width, width, rank * (part != "k"))
        self.linear(f"{name}/out", width, width)
        self.linear(f"{name}/expand", width, 4 * width)
        self.linear(f"{name}/contract", 4 * width, width)


def block_arrays(batch=8, time=128, width=256):
    draw = Draw()
    draw.block("block", width)
    draw.normal("x", batch, time, width)
    draw.normal("y", batch, time, width)
    return draw.arrays


def character_arrays(batch=16, rank=0):
    draw = Draw()
    draw.normal("letters/table", LETTERS, WIDTH, scale=0.1)
    draw.normal("places", CONTEXT, WIDTH, scale=0.1)
    for n in range(LAYERS):
        draw.block(f"block{n}", WIDTH, rank)
    draw.norm("norm", WIDTH)
    draw.linear("logits", WIDTH, LETTERS)
    text = draw.rng.integers(0, LETTERS, (batch, CONTEXT + 1))
    return draw.arrays | {"x": text[:, :-1].copy(), "y": text[:, 1:].copy()}


def lora_arrays():
    return character_arrays(rank=RANK)


def cnn_arrays(batch=64):
    draw = Draw()
    for n, (low, high) in enumerate([(1, 16), (16, 32), (32, 64)], 1):
        draw.normal(f"conv{n}/W", high, low, 3, 3, scale=(2 / (9 * low)) ** 0.5)
        draw.normal(f"conv{n}/b", high, scale=0.01)
    draw.linear("logits", 64, 10)
    draw.normal("x", batch, 1, 28, 28)
    return draw.arrays | {"y": draw.rng.integers(0, 10, batch)}


def deep_arrays(batch=32, width=64, layers=100):
    draw = Draw()
    for n in range(layers):
        draw.linear(f"layer{n}", width, width)
        draw.arrays[f"layer{n}/W"] *= np.float32(0.1)
    draw.linear("logits", width, 10)
    draw.normal("x", batch, width)
    return draw.arrays | {"y": draw.rng.integers(0, 10, batch)}


def memory_arrays(time=128, batch=32, width=256):
    draw = Draw()
    draw.normal("lstm/W", width, 4 * width, scale=width**-0.5)
    draw.normal("lstm/U", width, 4 * width, scale=width**-0.5)
    draw.normal("lstm/b", 4 * width, scale=0.1)
    draw.normal("x", time, batch, width)
    draw.normal("y", time, batch, width)
    return draw.arrays


def trainable(names):
    """Return the parameters that learn: all, or A and B where there are such."""
    names = [n for n in names if n not in ("x", "y")]
    changes = [n for n in names if n.endswith(("/A", "/B"))]
    return changes or names


# -- arithmetic ------------------------------------------------------------------------


def block_flops(rows, width, time):
    """The products of a block's step: forward, and twice as much backward."""
    attention = 2 * 2 * rows * time * width // 2  # half of the scores are masked
    return 3 * (2 * rows * 12 * width * width + attention)


def conv_flops(batch=64):
    sizes = [(28 * 28, 16, 9), (14 * 14, 32, 9 * 16), (7 * 7, 64, 9 * 32)]
    products = [2 * batch * s * o * k for s, o, k in sizes]
    return 3 * sum(products) - products[0]


def memory_flops(time=128, batch=32, width=256):
    """Two products of each step with all gates: forward, and twice backward."""
    return 3 * 2 * 2 * time * batch * width * 4 * width

"""A residual convolutional network on handwritten digits, with batch norm."""

import numpy as np

import symgrad as sg
from symgrad.data import digits

nn = sg.nn


def block(x):
    """Two convolutions that keep the shape: what is added to the stream."""
    channels = x.shape[1]
    h = sg.relu(nn.batch_norm(x, name="norm1"))
    h = nn.conv2d(h, channels, padding="same", bias=False, name="conv1")
    h = sg.relu(nn.batch_norm(h, name="norm2"))
    return nn.conv2d(h, channels, padding="same", bias=False, name="conv2")


def network(x, widths, blocks):
    """Return logits; between the widths, pooling halves the images."""
    h = x.reshape((-1, 1, 8, 8))
    for n, width in enumerate(widths, start=1):
        h = nn.conv2d(h, width, padding="same", name=f"stage{n}")
        for k in range(1, blocks + 1):
            with sg.scope(f"stage{n}/block{k}"):
                h = nn.residual(block)(h)
        h = sg.max_pool(h, 2)
    h = nn.dropout(sg.mean(sg.relu(h), axis=(2, 3)), 0.2)
    return nn.linear(h, 10, name="logits")


def main(epochs=15, widths=(16, 32), blocks=2, samples=1437):
    x = sg.input("x", ("batch", 64))
    y = sg.input("y", ("batch",), dtype="int64")
    logits = network(x, widths, blocks)
    accuracy = sg.mean(sg.argmax(logits, axis=-1) == y)

    images, labels = digits()
    order = np.random.default_rng(0).permutation(len(images))
    train, test = order[:samples], order[1437:]
    data, held_out = ({"x": images[n], "y": labels[n]} for n in (train, test))

    steps = epochs * -(-samples // 32)
    rate = sg.optim.warmup_cosine(3e-3, warmup=steps // 10, steps=steps)
    trainer = sg.Trainer(nn.cross_entropy(logits, y), sg.optim.AdamW(rate))
    history = trainer.fit(
        data, epochs, validation=held_out, metrics={"accuracy": accuracy}
    )
    print(f"test accuracy {history['validation_accuracy'][-1]:.1%}")
    return history


if __name__ == "__main__":
    main()

"""Train a perceptron on handwritten digits: declare, derive, compile, fit, predict."""

import numpy as np

import symgrad as sg
from symgrad.data import digits


def perceptron(x, widths):
    """Return the logits of a network with relu between its layers."""
    for n, width in enumerate(widths, start=1):
        with sg.scope(f"layer{n}"):
            W = sg.param("W", (x.shape[-1], width), init="he_normal")
            b = sg.param("b", (width,), init="zeros")
            x = x @ W + b
            if n < len(widths):
                x = sg.relu(x)
    return x


def main(epochs=30):
    x = sg.input("x", ("batch", 64))
    y = sg.input("y", ("batch",), dtype="int64")
    logits = perceptron(x, [64, 32, 10])
    loss = -sg.mean(sg.sum(sg.log_softmax(logits) * sg.one_hot(y, 10), axis=-1))
    accuracy = sg.mean(sg.argmax(logits, axis=-1) == y)

    images, labels = digits()
    order = np.random.default_rng(0).permutation(len(images))
    train, test = order[:1437], order[1437:]
    data = {"x": images[train], "y": labels[train]}
    held_out = {"x": images[test], "y": labels[test]}

    trainer = sg.Trainer(loss, sg.optim.Adam(3e-3))
    history = trainer.fit(
        data, epochs, batch_size=32, validation=held_out, metrics={"accuracy": accuracy}
    )
    guess = trainer.predict(sg.argmax(logits, axis=-1), x=held_out["x"][:10])
    print(f"test accuracy {history['validation_accuracy'][-1]:.1%}")
    print(f"ten test digits {labels[test][:10]}, seen as {guess}")
    return history


if __name__ == "__main__":
    main()

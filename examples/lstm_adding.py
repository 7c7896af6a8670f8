"""The adding problem: an LSTM remembers two numbers of a long sequence, and adds them.

Each element is a number and a mark, which two elements have; the answer is the sum of
their numbers (Hochreiter & Schmidhuber, "Long Short-Term Memory", 1997, experiment 4,
where an error of less than 0.04 counts as correct).  Always answering 1 has a mean
squared error of 1/6.
"""

import numpy as np

import symgrad as sg


def sequences(count, time, seed):
    """Return sequences with one mark in each half, and their answers."""
    rng = np.random.default_rng(seed)
    numbers, marks = rng.uniform(size=(count, time)), np.zeros((count, time))
    halves = np.array([0, time // 2])
    places = rng.integers(0, time // 2, (count, 2)) + halves
    np.put_along_axis(marks, places, 1.0, axis=1)
    x = np.stack([numbers, marks], axis=-1).astype(np.float32)
    return {"x": x, "y": (numbers * marks).sum(1).astype(np.float32)}


def declare(width):
    """Return the answer and the loss."""
    x, y = sg.input("x", ("batch", "time", 2)), sg.input("y", ("batch",))
    _, (h, _) = sg.nn.lstm(x, width)
    answer = sg.nn.linear(h, 1, name="answer")[:, 0]
    return answer, sg.nn.mse(answer, y)


def main(width=48, time=50, count=20_000, epochs=10, size=100):
    answer, loss = declare(width)
    steps = epochs * count // size
    rate = sg.optim.warmup_cosine(1e-2, warmup=steps // 20, steps=steps)
    trainer = sg.Trainer(loss, sg.optim.Adam(rate, clip_norm=1.0))
    data, held_out = sequences(count, time, seed=0), sequences(1000, time, seed=1)
    trainer.fit(data, epochs, batch_size=size, validation=held_out)
    error = np.abs(trainer.predict(answer, x=held_out["x"]) - held_out["y"])
    right, square = float(np.mean(error < 0.04)), float(np.mean(error**2))
    print(f"{time} elements: {right:.1%} correct, mean squared error {square:.5f}")
    return trainer, right, square


if __name__ == "__main__":
    main()

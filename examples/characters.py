"""A causal transformer of characters: trained on a book, it writes more of it."""

from pathlib import Path

import numpy as np

import symgrad as sg

DATA = Path(__file__).parent / "data"
LETTERS = sorted({*(DATA / "alice.txt").read_text(), *map(chr, range(32, 127))})
CONTEXT = 128


def read(name):
    """Return a text's letters as numbers."""
    return np.array([LETTERS.index(c) for c in (DATA / name).read_text()])


def write(numbers):
    return "".join(LETTERS[n] for n in numbers)


def transformer(letters, layers=4, width=128, heads=4):
    """Return the logits of each letter's successor."""
    h = sg.nn.embedding(letters, len(LETTERS), width, name="letters")
    places = sg.param("places", (CONTEXT, width), init="normal")
    h = h + places[: letters.shape[1]]
    for n in range(1, layers + 1):
        h = sg.nn.transformer_block(h, heads, causal=True, name=f"block{n}")
        h = sg.nn.dropout(h, 0.1)
    return sg.nn.linear(sg.nn.layer_norm(h, name="norm"), len(LETTERS), name="out")


def windows(text, stride):
    """Return stretches of a text, and the same stretches one letter later."""
    starts = np.arange(0, len(text) - CONTEXT - 1, stride)
    places = starts[:, None] + np.arange(CONTEXT)
    return {"letters": text[places], "following": text[places + 1]}


def generate(trainer, logits, begin, count, heat=0.7, seed=0):
    """Return a text, letter by letter drawn from what the model expects."""
    rng = np.random.default_rng(seed)
    text = [LETTERS.index(c) for c in begin]
    last = sg.softmax(logits[:, -1] / heat)
    for _ in range(count):
        seen = np.array([text[-CONTEXT:]])
        p = trainer.predict(last, letters=seen)[0].astype(float)
        text.append(rng.choice(len(LETTERS), p=p / p.sum()))
    return write(text)


def declare(**sizes):
    letters = sg.input("letters", ("batch", "time"), dtype="int64")
    following = sg.input("following", ("batch", "time"), dtype="int64")
    logits = transformer(letters, **sizes)
    return logits, sg.nn.cross_entropy(logits, following)


def main(epochs=8, stride=32, checkpoint=None, **sizes):
    text = read("alice.txt")
    cut = int(0.95 * len(text))
    logits, loss = declare(**sizes)
    data, held_out = windows(text[:cut], stride), windows(text[cut:], CONTEXT)
    steps = epochs * -(-len(data["letters"]) // 32)
    rate = sg.optim.warmup_cosine(2e-3, warmup=min(100, steps // 4), steps=steps)
    trainer = sg.Trainer(loss, sg.optim.AdamW(rate, clip_norm=1.0))
    trainer.fit(data, epochs, validation=held_out, checkpoint=checkpoint)
    print(generate(trainer, logits, "Alice ", 300))
    return trainer, logits


if __name__ == "__main__":
    main(checkpoint="characters.safetensors")

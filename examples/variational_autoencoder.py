"""A variational auto-encoder: digits from two numbers each, and new ones drawn."""

import numpy as np

import symgrad as sg
from symgrad.data import digits

nn = sg.nn


def decode(z):
    """Return the logits of each pixel's brightness."""
    return nn.mlp(z, [128, 256, 64], activation="gelu", name="decoder")


def encode(x, latent):
    """Return the mean and the logarithm of the variance of each latent number."""
    h = nn.mlp(x, [256, 128], activation="gelu", final="gelu", name="encoder")
    return nn.linear(h, latent, name="mean"), nn.linear(h, latent, name="log_variance")


def bound(x, mean, log_variance, z):
    """Return the negative evidence lower bound (Kingma & Welling 2014)."""
    pixels = nn.binary_cross_entropy_with_logits(decode(z), x, reduce="none")
    divergence = 0.5 * (mean**2 + sg.exp(log_variance) - 1 - log_variance)
    return sg.mean(sg.sum(pixels, axis=1) + sg.sum(divergence, axis=1))


def picture(image):
    """Return an image as text."""
    shades = " .:-=+*#%@"
    rows = np.clip(np.round(image.reshape(8, 8) * 9), 0, 9).astype(int)
    return ["".join(2 * shades[v] for v in row) for row in rows]


def main(epochs=100, latent=2, shown=5):
    x = sg.input("x", ("batch", 64))
    key = sg.input("key", (), dtype="int64")
    mean, log_variance = encode(x, latent)
    noise = sg.random.normal(key, mean.shape)
    loss = bound(x, mean, log_variance, mean + sg.exp(log_variance / 2) * noise)
    trainer = sg.Trainer(loss, sg.optim.Adam(1e-3))

    images, _ = digits()
    rng = np.random.default_rng(0)
    losses = []
    for _ in range(epochs):
        order = rng.permutation(len(images))
        steps = [
            trainer.step(x=images[rows], key=trainer.steps)
            for rows in np.array_split(order, len(images) // 64)
        ]
        losses.append(float(np.mean(steps)))
    print(f"negative bound {losses[0]:.1f} at first, {losses[-1]:.1f} at last")

    z = sg.input("z", ("batch", latent))
    drawn = decode(z)
    program = sg.compile([z], sg.sigmoid(drawn))
    params = {n: a for n, a in trainer.params.items() if n.startswith("decoder")}
    new = program(rng.normal(size=(shown, latent)).astype("float32"), params=params)
    for lines in zip(*map(picture, new), strict=True):
        print("   ".join(lines))
    return losses


if __name__ == "__main__":
    main()

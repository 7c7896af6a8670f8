"""Logistic regression by Newton's method: derivatives of a plain Python function.

The functions are compiled at their first call and run on NumPy arrays.
"""

import numpy as np

import symgrad as sg


def loss(weights, x, y):
    """Return the mean negative log-likelihood, with a small penalty."""
    logits = x @ weights["w"] + weights["b"]
    fit = np.mean(sg.softplus(logits) - y * logits)
    return fit + 1e-3 * np.sum(weights["w"] ** 2)


def newton_step(weights, x, y):
    """Return the weights after one step, and the gradient's largest element."""
    g = sg.grad(loss)(weights, x, y)
    h = sg.hessian(loss)(weights, x, y)
    gradient = np.append(g["w"], g["b"])
    hessian = np.block(
        [
            [h["w"]["w"], h["w"]["b"][:, None]],
            [h["b"]["w"][None, :], h["b"]["b"]],
        ]
    )
    step = np.linalg.solve(hessian, gradient)
    new = {"w": weights["w"] - step[:-1], "b": weights["b"] - step[-1]}
    return new, np.abs(gradient).max()


def main(steps=8):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    y = (x @ [1.0, -2.0, 0.5] + 0.3 + rng.logistic(size=200) > 0).astype(float)
    weights = {"w": np.zeros(3), "b": np.zeros(())}
    for step in range(steps):
        weights, size = newton_step(weights, x, y)
        print(f"step {step}: gradient {size:.1e}")
    each = sg.vmap(sg.grad(loss), in_axes=(None, 0, 0))(weights, x, y)
    print("the example with the largest gradient:", np.abs(each["b"]).argmax())
    return size


if __name__ == "__main__":
    main()

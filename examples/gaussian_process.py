"""Hyperparameters of a Gaussian process by its marginal likelihood.

The gradient of the likelihood by the kernel matrix is printed in closed form, and
compiled together with that by the hyperparameters: one Cholesky factorization serves
the value and all derivatives.

Source: Rasmussen & Williams, "Gaussian Processes for Machine Learning", equations 2.30
and 5.9.  Run it: python examples/gaussian_process.py
"""

import numpy as np

import symgrad as sg


def likelihood(K, y):
    """Return log p(y | K), up to a constant, by the Cholesky factor of K."""
    L = sg.linalg.cholesky(K)
    fit = sg.linalg.solve(L.mT, sg.linalg.solve(L, y)) @ y
    return -fit / 2 - sg.sum(sg.log(sg.einsum("ii->i", L)))


def kernel(x, z, theta):
    """Return the squared exponential kernel of two sets of places."""
    size, length = sg.exp(theta[0]), sg.exp(theta[1])
    return size**2 * sg.exp(-(((x[:, None] - z) / length) ** 2) / 2)


def closed_forms():
    """Print the derivatives by the kernel matrix and by the data."""
    K, y = sg.input("K", ("n", "n"), "float64"), sg.input("y", ("n",), "float64")
    value = -(y @ sg.linalg.solve(K, y)) / 2 - sg.linalg.slogdet(K).logabsdet / 2
    print("log p    =", sg.formula(value))
    print("∂/∂K     =", sg.formula(sg.grad(value, K)))
    print("∂/∂y     =", sg.formula(sg.grad(value, y)))
    print("∂²/∂y²   =", sg.formula(sg.hessian(value, y)))


def main(points=40, steps=60):
    """Fit a sine with noise; return size, length and noise, and the likelihoods."""
    closed_forms()
    rng = np.random.default_rng(0)
    at = np.sort(rng.uniform(0, 6, points))
    data = np.sin(at) + 0.1 * rng.normal(size=points)

    x, y = sg.input("x", ("n",), "float64"), sg.input("y", ("n",), "float64")
    theta = sg.input("theta", (3,), "float64")
    noise = sg.exp(2 * theta[2]) * sg.where(x[:, None] == x, 1.0, 0.0)
    value = likelihood(kernel(x, x, theta) + noise, y)
    step = sg.compile([x, y, theta], [value, sg.grad(value, theta)])

    now, rate, history = np.zeros(3), 0.01, []
    for _ in range(steps):  # steps along the gradient, longer while they help
        now_value, slope = step(at, data, now)
        history.append(float(now_value))
        while step(at, data, now + rate * slope)[0] < now_value and rate > 1e-9:
            rate /= 2
        now, rate = now + rate * slope, 1.5 * rate
    print("size, length, noise:", np.exp(now).round(2))
    return np.exp(now), history


if __name__ == "__main__":
    main()

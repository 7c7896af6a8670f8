"""A network that solves a differential equation: second derivatives in the loss.

Burgers' equation, u_t + u u_x = ν u_xx, with ν = 0.1/π on x in [-1, 1]: a sine
that steepens into a front (Raissi, Perdikaris & Karniadakis 2019).
"""

import numpy as np

import symgrad as sg

VISCOSITY = 0.1 / np.pi


def network(x, t, width):
    """Return u, which is -sin(πx) at t = 0 and 0 at both ends, whatever it learns."""
    h = sg.stack([x, 2 * t - 1], axis=-1)
    h = sg.nn.mlp(h, [width, width, width, 1], activation="tanh", name="u")[:, 0]
    return -sg.sin(np.pi * x) + t * (1 - x * x) * h


def residual(x, t, u):
    """Return u_t + u u_x - ν u_xx; each u depends on its own x and t alone."""
    u_x, u_t = sg.grad(sg.sum(u), [x, t])
    u_xx = sg.grad(sg.sum(u_x), x)
    return u_t + u * u_x - VISCOSITY * u_xx


def exact(x, t, nodes=100):
    """Return the solution of Cole and Hopf, by Gauss-Hermite quadrature."""
    y, weights = np.polynomial.hermite.hermgauss(nodes)
    at = x[:, None] - np.sqrt(4 * VISCOSITY * t[:, None]) * y
    f = weights * np.exp(-np.cos(np.pi * at) / (2 * np.pi * VISCOSITY))
    return -(f * np.sin(np.pi * at)).sum(1) / f.sum(1)


def main(steps=3000, points=2000, width=32):
    x, t = sg.input("x", ("n",)), sg.input("t", ("n",))
    u = network(x, t, width)
    loss = sg.mean(residual(x, t, u) ** 2)
    trainer = sg.Trainer(loss, sg.optim.Adam(sg.optim.cosine(5e-3, steps)))
    rng = np.random.default_rng(0)
    for _ in range(steps):
        now = trainer.step(x=rng.uniform(-1, 1, points), t=rng.uniform(0, 1, points))

    grid = np.linspace(-1, 1, 101)
    errors = []
    for moment in (0.25, 0.5, 1.0):
        times = np.full_like(grid, moment)
        error = trainer.predict(u, x=grid, t=times) - exact(grid, times)
        errors.append(float(np.sqrt(np.mean(error**2))))
        print(f"t = {moment:4}  error (root mean square) {errors[-1]:.1e}")
    print(f"residual {now:.1e}")
    return errors


if __name__ == "__main__":
    main()

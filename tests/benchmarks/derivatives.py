"""What is timed of derivatives: Hessians, products with them, gradients, Jacobians."""

import numpy as np

#: Lengths, offsets and twists of a six-joint arm (Denavit & Hartenberg's parameters).
ARM = [
    (0.0, 0.36, np.pi / 2),
    (0.42, 0.0, 0.0),
    (0.4, 0.0, 0.0),
    (0.0, 0.13, np.pi / 2),
    (0.0, 0.1, -np.pi / 2),
    (0.0, 0.08, 0.0),
]


def quadratic_arrays(n=2048):
    rng = np.random.default_rng(0)
    return {"x": rng.normal(size=n), "A": rng.normal(size=(n, n))}


def regression_arrays(m=1000, n=200):
    rng = np.random.default_rng(0)
    return {
        "X": rng.normal(size=(m, n)),
        "w": rng.normal(size=n) / n**0.5,
        "y": rng.integers(0, 2, m).astype("float64"),
    }


def factorisation_arrays(m=500, n=500, k=20):
    rng = np.random.default_rng(0)
    shapes = {"Y": (m, n), "U": (m, k), "V": (n, k), "dU": (m, k), "dV": (n, k)}
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def rosenbrock_arrays(n=1000):
    return {"x": np.random.default_rng(0).uniform(-1, 1, n)}


def arm_arrays():
    return {"q": np.random.default_rng(0).uniform(-1, 1, 6)}


def arm_position(q, cos, sin, stack):
    """Return the position of the hand: the product of the joints' transforms."""
    point = [0.0, 0.0, 0.0]
    for n in range(5, -1, -1):
        length, offset, twist = ARM[n]
        c, s = cos(q[n]), sin(q[n])
        px, py, pz = point
        # turn about x by the twist and move along it, then about z by the angle
        y = np.cos(twist) * py - np.sin(twist) * pz
        z = np.sin(twist) * py + np.cos(twist) * pz
        x = px + length
        point = [c * x - s * y, s * x + c * y, z + offset]
    return stack(point)


def rosenbrock(x, total):
    """Return the sum of 100 (x[i+1] - x[i]²)² + (1 - x[i])²."""
    a, b = x[:-1], x[1:]
    return total(100.0 * (b - a * a) ** 2 + (1.0 - a) ** 2)

"""NumPy: closed forms by hand."""

import numpy as np

from ..derivatives import ARM
from . import Task, as_arrays


def quadratic_hessian(arrays):
    A = arrays["A"]
    return Task(lambda: [A + A.T], as_arrays)


def logistic_hessian(arrays):
    X, w = arrays["X"], arrays["w"]

    def run():
        p = 1 / (1 + np.exp(-(X @ w)))
        return [X.T @ ((p * (1 - p))[:, None] * X)]

    return Task(run, as_arrays)


def least_squares(arrays):
    X, w, y = arrays["X"], arrays["w"], arrays["y"]
    return Task(lambda: [2 * (X.T @ (X @ w - y)), 2 * (X.T @ X)], as_arrays)


def factorisation_hvp(arrays):
    Y, U, V, dU, dV = (arrays[n] for n in ("Y", "U", "V", "dU", "dV"))

    def run():
        R, dR = U @ V.T - Y, dU @ V.T + U @ dV.T
        return [2 * (dR @ V + R @ dV), 2 * (dR.T @ U + R.T @ dU)]

    return Task(run, as_arrays)


def rosenbrock_gradient(arrays):
    x = arrays["x"]

    def run():
        a = x[:-1]
        r = x[1:] - a * a
        g = np.zeros_like(x)
        g[:-1] = -400 * a * r - 2 * (1 - a)
        g[1:] += 200 * r
        return [g]

    return Task(run, as_arrays)


def arm_jacobian(arrays):
    """The axis of each joint crossed with the way from it to the hand."""
    q = arrays["q"]

    def run():
        turn, at = np.eye(3), np.zeros(3)
        axes, places = [], []
        for angle, (length, offset, twist) in zip(q, ARM, strict=True):
            axes.append(turn[:, 2])
            places.append(at)
            c, s, k, t = np.cos(angle), np.sin(angle), np.cos(twist), np.sin(twist)
            at = at + turn @ np.array([length * c, length * s, offset])
            turn = turn @ np.array([[c, -s * k, s * t], [s, c * k, -c * t], [0, t, k]])
        return [np.cross(axes, at - np.array(places)).T]

    return Task(run, as_arrays)

"""ADBench's objectives: Gaussian mixture, bundle adjustment, LSTM; and linear algebra.

Each is one text for every library: ``xp`` is NumPy's namespace in it.  The formulas are
those of Šrajer, Kukelova & Fitzgibbon, "A benchmark of selected algorithmic
differentiation tools on some problems in computer vision and machine learning" (2018);
their data files are replaced by random numbers of the same shapes.
"""

import math

import numpy as np

POINTS, DIMENSION, CLUSTERS = 1000, 10, 25  # ADBench's gmm_d10_K25, 1k
CAMERAS, LANDMARKS, OBSERVATIONS = 49, 776, 3184  # ADBench's ba1: a part of it
LAYERS, STEPS, LETTERS = 2, 1024, 14  # ADBench's lstm_l2_c1024


def gmm_arrays(n=POINTS, d=DIMENSION, k=CLUSTERS):
    rng = np.random.default_rng(0)
    return {
        "alphas": rng.normal(size=k),
        "means": rng.uniform(size=(k, d)),
        "icf": rng.normal(size=(k, d * (d + 1) // 2)),
        "x": rng.normal(size=(n, d)),
    }


def lower_places(d):
    """Return where in a row of ``icf`` the entries below the diagonal stand."""
    places = np.zeros((d, d), int)
    row, column = np.tril_indices(d, -1)
    order = np.lexsort((row, column))  # column by column
    places[row[order], column[order]] = np.arange(d, d + len(row))
    return places


def gmm(xp, alphas, means, icf, x, gamma=1.0, m=0):
    """Return the log-likelihood of a mixture with a Wishart prior on the covariances.

    The inverse Cholesky factor of a covariance is lower triangular: the exponentials of
    the first ``d`` numbers of a row of ``icf`` are its diagonal, the others below it.
    """
    (n, d), k = x.shape, alphas.shape[0]
    diagonal = xp.exp(icf[:, :d])
    sums = xp.sum(icf[:, :d], axis=1)
    below = np.tril(np.ones((d, d)), -1) * icf[:, lower_places(d)]
    away = x[:, None, :] - means
    spread = diagonal * away + xp.einsum("kij,nkj->nki", below, away)
    inner = alphas + sums - 0.5 * xp.sum(spread**2, axis=2)
    fit = xp.sum(log_sum_exp(xp, inner)) - n * log_sum_exp(xp, alphas)
    freedom = d + m + 1
    prior = 0.5 * gamma**2 * (xp.sum(diagonal**2) + xp.sum(below**2)) - m * xp.sum(sums)
    constant = freedom * d * (math.log(gamma) - 0.5 * math.log(2))
    constant -= sum(math.lgamma((freedom - i) / 2) for i in range(d))
    constant -= 0.25 * d * (d - 1) * math.log(math.pi)
    return fit - 0.5 * n * d * math.log(2 * math.pi) + prior - k * constant


def log_sum_exp(xp, x):
    """Return it along the last axis, shifted by the maximum."""
    top = xp.max(x, axis=-1)
    return top + xp.log(xp.sum(xp.exp(x - top[..., None]), axis=-1))


def bundle_arrays(cameras=CAMERAS, landmarks=LANDMARKS, observations=OBSERVATIONS):
    rng = np.random.default_rng(0)
    camera, landmark = (rng.integers(0, n, observations) for n in (cameras, landmarks))
    cams = np.array([0.1, 0.1, 0.1, 0.5, 0.5, 0.5, 1, 0.5, 0.5, 0.1, 0.1])
    cams = cams + 0.05 * rng.normal(size=(cameras, 11))
    points = rng.normal(size=(landmarks, 3)) + np.array([0, 0, 5])
    return {
        "cam": cams[camera],
        "point": points[landmark],
        "weight": rng.uniform(0.5, 1.5, observations),
        "feature": rng.normal(size=(observations, 2)),
    }


def reprojection(xp, cam, point, weight, feature):
    """Return the three residuals of one observation: of two pixels, and its weight's.

    The camera is a rotation vector, a centre, a focal length, a principal point, and
    two coefficients of radial distortion.
    """
    turned = rotated(xp, cam[:3], point - cam[3:6])
    x, y = turned[0] / turned[2], turned[1] / turned[2]
    square = x * x + y * y
    scale = (1 + cam[9] * square + cam[10] * square**2) * cam[6]
    return xp.stack(
        [
            weight * (x * scale + cam[7] - feature[0]),
            weight * (y * scale + cam[8] - feature[1]),
            1 - weight**2,
        ]
    )


def rotated(xp, turn, v):
    """Return a point turned by a rotation vector, by Rodrigues' formula."""
    angle = xp.sqrt(xp.sum(turn**2))
    axis, c, s = turn / angle, xp.cos(angle), xp.sin(angle)
    across = [
        axis[1] * v[2] - axis[2] * v[1],
        axis[2] * v[0] - axis[0] * v[2],
        axis[0] * v[1] - axis[1] * v[0],
    ]
    along = xp.sum(axis * v) * (1 - c)
    return [v[i] * c + across[i] * s + axis[i] * along for i in range(3)]


def lstm_arrays(layers=LAYERS, steps=STEPS, letters=LETTERS):
    rng = np.random.default_rng(0)
    return {
        "main": rng.uniform(-1, 1, (layers, 2, 4, letters)),
        "extra": rng.uniform(-1, 1, (3, letters)),
        "state": rng.uniform(-1, 1, (layers, 2, letters)),
        "sequence": np.eye(letters)[rng.integers(0, letters, steps)],
    }


def lstm(xp, scan, main, extra, state, sequence):
    """Return the mean negative log-likelihood of each letter after those before it."""

    def step(state, both):
        before, after = both
        x, states = before * extra[0], []
        for n in range(main.shape[0]):
            hidden, cell = cell_of(xp, main[n], state[n][0], state[n][1], x)
            states.append(xp.stack([hidden, cell]))
            x = hidden
        guess = x * extra[1] + extra[2]
        fit = guess - xp.log(xp.sum(xp.exp(guess)) + 2)
        return xp.stack(states), xp.sum(after * fit)

    fits = scan(step, state, (sequence[:-1], sequence[1:]))[1]
    return -xp.mean(fits)


def cell_of(xp, weights, hidden, cell, x):
    """Return the next hidden state and cell of ADBench's elementwise LSTM."""
    w, b = weights[0], weights[1]
    forget = 1 / (1 + xp.exp(-(x * w[0] + b[0])))
    enter = 1 / (1 + xp.exp(-(hidden * w[1] + b[1])))
    leave = 1 / (1 + xp.exp(-(x * w[2] + b[2])))
    new = cell * forget + enter * xp.tanh(hidden * w[3] + b[3])
    return leave * xp.tanh(new), new


def process_arrays(n=300):
    rng = np.random.default_rng(0)
    return {
        "x": np.sort(rng.uniform(0, 6, n)),
        "y": rng.normal(size=n),
        "theta": np.array([0.3, -0.2, -1.0]),
    }


def process(xp, x, y, theta):
    """Return the log marginal likelihood of a Gaussian process, up to a constant.

    Source: Rasmussen & Williams, "Gaussian Processes for Machine Learning", 2.30.
    """
    size, length, noise = (xp.exp(theta[i]) for i in range(3))
    away = (x[:, None] - x) / length
    kernel = size**2 * xp.exp(-0.5 * away**2) + noise**2 * np.eye(x.shape[0])
    fit = y @ xp.linalg.solve(kernel, y)
    return -0.5 * fit - 0.5 * xp.linalg.slogdet(kernel)[1]


def matrix_arrays(n=300):
    rng = np.random.default_rng(0)
    return {"A": rng.normal(size=(n, n)) / n**0.5 + 2 * np.eye(n)}

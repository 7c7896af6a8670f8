"""Losses: values and gradients against JAX, extremes, masks, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import symgrad as sg
from tests.nn.support import check

nn = sg.nn


def rows(name, dtype="float64"):
    return sg.input(name, ("n", 4), dtype)


MASK = np.array([[1, 1, 0, 1], [0, 0, 0, 1], [1, 0, 1, 1]], bool)


@pytest.mark.parametrize("reduce", ["mean", "sum", "none"])
@pytest.mark.parametrize("masked", [False, True])
def test_losses_of_pairs(reduce, masked):
    y, t = rows("y"), rows("t")
    mask = sg.input("mask", ("n", 4), "bool") if masked else None

    def huber(e):
        return jnp.where(abs(e) <= 0.7, e * e / 2, 0.7 * (abs(e) - 0.35))

    def reduced(values, p):
        m = p["mask"] if masked else np.ones_like(MASK)
        values = jnp.where(m, values, 0)
        return {
            "mean": values.sum() / m.sum(),
            "sum": values.sum(),
            "none": values,
        }[reduce]

    given = {"mask": MASK} if masked else None
    for loss, by_jax in (
        (nn.mse(y, t, mask=mask, reduce=reduce), lambda p: (p["y"] - p["t"]) ** 2),
        (
            nn.huber(y, t, delta=0.7, mask=mask, reduce=reduce),
            lambda p: huber(p["y"] - p["t"]),
        ),
        (
            nn.binary_cross_entropy_with_logits(y, t, mask=mask, reduce=reduce),
            lambda p: jax.nn.softplus(p["y"]) - p["t"] * p["y"],
        ),
    ):
        check(loss, lambda p, f=by_jax: reduced(f(p), p), given=given)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(smoothing):
    z, k = rows("z"), sg.input("k", ("n",), "int64")
    p = rows("p")

    def by_jax(v, target):
        target = (1 - smoothing) * target + smoothing / 4
        return -(jax.nn.log_softmax(v["z"]) * target).sum(-1).mean()

    check(
        nn.cross_entropy(z, k, label_smoothing=smoothing),
        lambda v: by_jax(v, jnp.eye(4)[v["k"]]),
    )
    check(
        nn.cross_entropy(z, p, label_smoothing=smoothing), lambda v: by_jax(v, v["p"])
    )


def test_cross_entropy_along_an_axis_with_a_mask():
    z = sg.input("z", ("n", 3, "time"), "float64")
    k = sg.input("k", ("n", "time"), "int64")
    mask = sg.input("mask", ("n", "time"), "bool")
    given = {"mask": np.random.default_rng(1).random((3, 5)) < 0.5}

    def by_jax(v):
        log_p = jax.nn.log_softmax(jnp.swapaxes(v["z"], 1, 2))
        picked = jnp.take_along_axis(log_p, v["k"][..., None], -1)[..., 0]
        return -jnp.where(v["mask"], picked, 0).sum() / v["mask"].sum()

    check(nn.cross_entropy(z, k, axis=1, mask=mask), by_jax, given=given)


def test_extreme_logits_are_finite():
    z, k = rows("z", "float32"), sg.input("k", ("n",), "int64")
    t = rows("t", "float32")
    losses = nn.cross_entropy(z, k), nn.binary_cross_entropy_with_logits(z, t)
    gradients = [sg.grad(loss, z) for loss in losses]
    program = sg.compile([z, k, t], [*losses, *gradients])
    extreme = np.array([[1e30, -1e30, 0, 5]], "f4")
    got = program(extreme, np.array([1]), np.array([[1, 0, 1, 0]], "f4"))
    assert all(np.isfinite(g).all() for g in got)
    np.testing.assert_allclose(got[0], 2e30)
    np.testing.assert_allclose(got[2], [[1, -1, 0, 0]])


def test_a_mask_of_nothing_gives_zero():
    y, t = rows("y"), rows("t")
    mask = sg.input("mask", ("n", 4), "bool")
    loss = nn.mse(y, t, mask=mask)
    program = sg.compile([y, t, mask], [loss, sg.grad(loss, y)])
    ones = np.ones((2, 4))
    value, slope = program(ones, 2 * ones, ones < 0)
    assert value == 0
    assert not slope.any()


Z, Y = rows("z"), rows("y")
K = sg.input("k", ("n",), "int64")
REFUSED = [
    (
        lambda: nn.mse(Z, K),
        sg.ShapeError,
        "the prediction 'z' .* different shapes",
    ),
    (lambda: nn.mse(K, K), sg.DTypeError, "mse works on floats"),
    (lambda: nn.mse(Z, Y, reduce="avg"), sg.GraphError, "'none', not 'avg'"),
    (lambda: nn.mse(Z, Y, mask=Z), sg.DTypeError, "mse: the mask is bool"),
    (
        lambda: nn.mse(Z, Y, mask=np.ones((2, 1, 1), bool)),
        sg.ShapeError,
        "mask .* does not broadcast",
    ),
    (lambda: nn.huber(Z, Y, delta=0), sg.GraphError, "greater than 0, not 0"),
    (lambda: nn.cross_entropy(Z, Y[:, 0]), sg.ShapeError, "have not the shape"),
    (
        lambda: nn.cross_entropy(Z, K[:, None]),
        sg.ShapeError,
        r"labels for logits of \[n, 4\] have the shape \[n\]",
    ),
    (
        lambda: nn.cross_entropy(Z, K, label_smoothing=2),
        sg.GraphError,
        "label_smoothing is in",
    ),
    (
        lambda: nn.cross_entropy(sg.input("z", ("n", "m")), K),
        sg.ShapeError,
        "the number of classes, m, must be an integer",
    ),
]


@pytest.mark.parametrize(("make", "error", "said"), REFUSED)
def test_refused(make, error, said):
    with pytest.raises(error, match=said):
        make()

"""Functions written once for symgrad and JAX, and their comparison."""

import jax
import jax.numpy as jnp
import numpy as np

import symgrad as sg

RNG = np.random.default_rng(7)
X, Y = RNG.normal(size=(4,)), RNG.normal(size=(4,))
W, A = RNG.normal(size=(3, 4)), RNG.normal(size=(4, 4))


def assert_same(ours, theirs, rtol=1e-9):
    """Assert that two trees have one structure, and arrays that are close."""
    left, right = jax.tree.structure(ours), jax.tree.structure(theirs)
    assert left == right
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert isinstance(a, np.ndarray)
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-11)


def both(transform, *args, **kwargs):
    """Compare ``transform(module, numpy)(*args)``: symgrad's against JAX's."""
    assert_same(
        transform(sg, sg)(*args, **kwargs), transform(jax, jnp)(*args, **kwargs)
    )


#: name -> (scalar function of xp and arguments, arguments)
SCALAR = {
    "square": (lambda xp, x: xp.sum(x * x), (X,)),
    "trigonometric": (lambda xp, x: xp.sum(xp.sin(x) * xp.cos(2 * x)), (X,)),
    "exponential": (lambda xp, x: xp.sum(xp.exp(-x * x) / (1 + x**2)), (X,)),
    "logistic": (lambda xp, w, x: xp.sum(xp.log1p(xp.exp(w @ x))), (W, X)),
    "quadratic": (lambda xp, x: x @ (A @ x), (X,)),
    "least_squares": (lambda xp, x, y: xp.mean((W @ x - y) ** 2), (X, Y[:3])),
    "logsumexp": (lambda xp, x: xp.log(xp.sum(xp.exp(x - xp.max(x)))), (X,)),
    "products": (lambda xp, x: xp.prod(x), (X,)),
    "norm": (lambda xp, x: xp.sqrt(xp.sum(x**2)), (X,)),
    "where": (lambda xp, x: xp.sum(xp.where(x > 0, x**3, -x)), (X,)),
    "maximum": (lambda xp, x, y: xp.sum(xp.maximum(x, y) ** 2), (X, Y)),
    "gather": (lambda xp, x: xp.sum(x[np.array([0, 2, 2])] ** 3), (X,)),
    "rosenbrock": (
        lambda xp, x: xp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2),
        (X,),
    ),
    "matrix": (lambda xp, m: xp.sum(xp.tanh(m @ m.T) @ W[:, 0]), (W,)),
    "outer": (lambda xp, x, y: xp.sum(xp.sin(xp.outer(x, y))), (X, Y)),
    "scalar": (lambda xp, a: a * xp.sin(a) + a**4, (1.3,)),
    "cumulative": (lambda xp, x: xp.sum(xp.cumsum(x) ** 2), (X,)),
    "softmax": (
        lambda xp, x: xp.sum(xp.exp(x) / xp.sum(xp.exp(x)) * Y),
        (X,),
    ),
    "concat": (lambda xp, x: xp.sum(xp.stack([x, x**2, 1 / x]) ** 2), (X + 5,)),
    "kinks": (lambda xp, x: xp.sum(xp.abs(x) + xp.minimum(x, 0.1)), (X,)),
}


class NumPy:
    """symgrad's functions under the names of NumPy that differ."""

    def __getattr__(self, name):
        return getattr(sg, {"cumsum": "cumulative_sum"}.get(name, name))


XP = NumPy()


def scalar_case(name, xp):
    """Return a scalar function of its arguments alone."""
    fun = SCALAR[name][0]
    return lambda *args: fun(xp, *args)

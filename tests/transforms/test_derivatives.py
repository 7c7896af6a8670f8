"""Derivatives of Python functions against JAX in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import symgrad as sg
from tests.transforms.functions import (
    SCALAR,
    XP,
    A,
    W,
    X,
    Y,
    assert_same,
    scalar_case,
)

SMALL = [n for n in SCALAR if n not in ("matrix", "logistic")]
VECTOR = {
    "elementwise": (lambda xp, x: xp.sin(x) * x, (X,)),
    "linear": (lambda xp, x: W @ x, (X,)),
    "narrow": (lambda xp, x: xp.tanh(W[:2] @ x), (X,)),
    "wide": (lambda xp, x: xp.outer(x, x)[:, :2], (X,)),
    "of_scalar": (lambda xp, a: xp.stack([a, a**2, xp.exp(a)]), (0.7,)),
    "of_matrix": (lambda xp, m: m @ X, (W,)),
    "softmax": (lambda xp, x: xp.exp(x) / xp.sum(xp.exp(x)), (X,)),
    "stencil": (lambda xp, x: x[2:] - 2 * x[1:-1] + x[:-2], (X,)),
    "independent": (lambda xp, x: xp.sum(x) * 0 + Y, (X,)),
    "gather": (lambda xp, x: x[np.array([3, 3, 0])] ** 2, (X,)),
}


def all_arguments(args):
    return tuple(range(len(args)))


@pytest.mark.parametrize("name", SCALAR)
def test_gradient(name):
    args = SCALAR[name][1]
    argnums = all_arguments(args)
    ours = sg.value_and_grad(scalar_case(name, XP), argnums)(*args)
    theirs = jax.value_and_grad(scalar_case(name, jnp), argnums)(*args)
    assert_same(ours, theirs)


@pytest.mark.parametrize("name", SMALL)
def test_hessian(name):
    args = SCALAR[name][1]
    ours = sg.hessian(scalar_case(name, XP))(*args)
    assert_same(ours, jax.hessian(scalar_case(name, jnp))(*args))


@pytest.mark.parametrize("name", SCALAR)
def test_hessian_vector_product(name):
    args = SCALAR[name][1][:1]
    rest = SCALAR[name][1][1:]
    v = (np.cos(np.arange(np.size(args[0]))).reshape(np.shape(args[0])),)

    def bound(xp):
        fun = scalar_case(name, xp)
        return lambda x: fun(x, *rest)

    ours = sg.hvp(bound(XP), args, v)
    theirs = jax.jvp(jax.grad(bound(jnp)), args, tuple(map(jnp.asarray, v)))[1]
    assert_same(ours, theirs)


@pytest.mark.parametrize("name", VECTOR)
def test_jacobian(name):
    fun, args = VECTOR[name]
    ours = sg.jacobian(lambda *a: fun(XP, *a))(*args)
    assert_same(ours, jax.jacrev(lambda *a: fun(jnp, *a))(*args))


@pytest.mark.parametrize("name", VECTOR)
def test_forward(name):
    fun, args = VECTOR[name]
    tangents = tuple(np.ones(np.shape(a)) * 0.5 for a in args)
    ours = sg.jvp(lambda *a: fun(XP, *a), args, tangents)
    theirs = jax.jvp(lambda *a: fun(jnp, *a), args, tangents)
    assert_same(ours, theirs)


@pytest.mark.parametrize("name", VECTOR)
def test_reverse(name):
    fun, args = VECTOR[name]
    value, pull = sg.vjp(lambda *a: fun(XP, *a), *args)
    expected, jax_pull = jax.vjp(lambda *a: fun(jnp, *a), *args)
    assert_same(value, expected)
    g = np.cos(np.arange(value.size)).reshape(value.shape)
    assert_same(pull(g), jax_pull(jnp.asarray(g)))


@pytest.mark.parametrize("argnums", [0, 1, -1, (0, 1), (1, 0), (-1,)])
def test_argnums(argnums):
    def loss(xp):
        return lambda x, y: xp.sum(x**2 * xp.sin(y))

    assert_same(sg.grad(loss(XP), argnums)(X, Y), jax.grad(loss(jnp), argnums)(X, Y))
    assert_same(
        sg.jacobian(loss(XP), argnums)(X, Y), jax.jacrev(loss(jnp), argnums)(X, Y)
    )


def test_argnums_of_hessian():
    def loss(xp):
        return lambda x, y: xp.sum(x**2 * xp.sin(y))

    ours = sg.hessian(loss(XP), (0, 1))(X, Y)
    assert_same(ours, jax.hessian(loss(jnp), (0, 1))(X, Y))


def test_hessian_of_several_results():
    def f(xp):
        return lambda x: {"y": xp.sin(x[:2]) * x[2], "z": xp.sum(x**3)}

    assert_same(sg.hessian(f(XP))(X), jax.hessian(f(jnp))(X))


def test_hessian_by_matrices():
    def loss(xp):
        return lambda w, x: xp.sum(xp.tanh(w @ x)) + xp.sum(w[0] * x)

    ours = sg.hessian(loss(XP), (0, 1))(W, X)
    assert_same(ours, jax.hessian(loss(jnp), (0, 1))(W, X))


def test_auxiliary_results():
    def loss(xp):
        def fun(x):
            y = xp.sin(x)
            return xp.sum(y * y), {"y": y, "count": 3}

        return fun

    def theirs(transform):
        return transform(loss(jnp), has_aux=True)

    gradient, aux = sg.grad(loss(XP), has_aux=True)(X)
    expected, jax_aux = theirs(jax.grad)(X)
    assert_same(gradient, expected)
    assert_same(aux["y"], jax_aux["y"])
    assert aux["count"] == 3
    (value, aux), gradient = sg.value_and_grad(loss(XP), has_aux=True)(X)
    assert_same((value, gradient), (theirs(jax.value_and_grad)(X)[0][0], expected))
    rows, aux = sg.jacobian(loss(XP), has_aux=True)(X)
    assert_same((rows, aux["y"]), (expected, jax_aux["y"]))
    square, aux = sg.hessian(loss(XP), has_aux=True)(X)
    assert_same(square, jax.hessian(lambda x: loss(jnp)(x)[0])(X))
    value, tangent, aux = sg.jvp(loss(XP), (X,), (Y,), has_aux=True)
    assert_same(
        (value, tangent), theirs(lambda f, **k: jax.jvp(f, (X,), (Y,), **k))[:2]
    )
    value, pull, aux = sg.vjp(loss(XP), X, has_aux=True)
    assert_same(pull(np.float64(2.0)), (2 * expected,))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_computed_in_the_type_of_the_arguments(dtype):
    x = X.astype(dtype)
    value, gradient = sg.value_and_grad(lambda x: sg.sum(sg.exp(x) * 0.1))(x)
    assert value.dtype == gradient.dtype == dtype
    assert sg.jacobian(lambda x: sg.sin(x))(x).dtype == dtype
    np.testing.assert_allclose(gradient, 0.1 * np.exp(x), rtol=10 * np.finfo(dtype).eps)


def test_each_argument_keeps_its_type():
    single, double = X.astype(np.float32), Y
    value, (gx, gy) = sg.value_and_grad(lambda x, y: sg.sum(x * y), (0, 1))(
        single, double
    )
    assert (value.dtype, gx.dtype, gy.dtype) == ("float64", "float32", "float64")


def test_a_number_takes_the_type_beside_it():
    f = sg.value_and_grad(lambda x, a: sg.sum(a * x), 1)
    assert f(X.astype(np.float32), 2.0)[1].dtype == np.float32
    assert f(X, 2.0)[1].dtype == np.float64
    assert f(X.astype(np.float32), np.float64(2.0))[0].dtype == np.float64
    assert sg.jit(lambda x, n: x * n)(X.astype(np.float32), 3).dtype == np.float32
    assert sg.jit(lambda x, n: x * n)(np.arange(3, dtype=np.int32), 3).dtype == np.int32


def test_unreached_arguments_have_zero_gradients():
    assert_same(
        sg.grad(lambda x, y: sg.sum(x), (0, 1))(X, W),
        (np.ones_like(X), np.zeros_like(W)),
    )


def test_exact_where_a_branch_is_not_taken():
    f = sg.grad(lambda x: sg.sum(sg.where(x > 0, sg.log(x), 0.0)))
    np.testing.assert_array_equal(f(np.array([0.0, -1.0, 2.0])), [0.0, 0.0, 0.5])


def test_hvp_by_all_arguments():
    def loss(xp):
        return lambda x, y: xp.sum(xp.exp(x * y))

    ours = sg.hvp(loss(XP), (X, Y), (Y, X))
    theirs = jax.jvp(jax.grad(loss(jnp), (0, 1)), (X, Y), (Y, X))[1]
    assert_same(ours, theirs)


def test_numpy_functions_build_the_graph():
    def loss(x):
        return np.sum(np.tanh(np.matmul(A, x)) ** 2) + np.max(x)

    def expected(x):
        return jnp.sum(jnp.tanh(jnp.matmul(A, x)) ** 2) + jnp.max(x)

    assert_same(sg.grad(loss)(X), jax.grad(expected)(X))


@pytest.mark.parametrize("cut", ["argmax", "astype", "comparison"])
def test_no_tangent_passes_through_integers(cut):
    def f(x):
        whole = {
            "argmax": lambda: sg.argmax(x),
            "astype": lambda: sg.astype(x * 3, "int64"),
            "comparison": lambda: x > 0,
        }[cut]()
        return x * sg.astype(whole, "float64") + sg.astype(whole, "float64")

    _, tangent = sg.jvp(f, (X,), (Y,))
    _, pull = sg.vjp(f, X)
    for n, g in enumerate(np.eye(len(X))):
        np.testing.assert_allclose(tangent[n], pull(g)[0] @ Y)

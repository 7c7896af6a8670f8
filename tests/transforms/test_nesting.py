"""Transforms of transforms, against JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import symgrad as sg
from tests.transforms.functions import XP, A, W, X, Y, assert_same

ROWS = np.stack([X, Y, X + Y])


def cubic(xp):
    return lambda x: xp.sum(x**3 + xp.sin(x) * x)


def loss(xp):
    return lambda w, x: xp.sum(xp.tanh(w @ x) ** 2)


def wave(xp):
    return lambda a: xp.sin(a) * xp.exp(-a)


#: name -> (what is built of a module of transforms and functions, arguments)
NESTED = {
    "grad_grad": (lambda t, xp: t.grad(t.grad(wave(xp))), (0.3,)),
    "grad_grad_grad": (lambda t, xp: t.grad(t.grad(t.grad(wave(xp)))), (0.3,)),
    "jit_grad": (lambda t, xp: t.jit(t.grad(cubic(xp))), (X,)),
    "grad_jit": (lambda t, xp: t.grad(t.jit(cubic(xp))), (X,)),
    "jit_jit": (lambda t, xp: t.jit(t.jit(cubic(xp))), (X,)),
    "vmap_grad": (lambda t, xp: t.vmap(t.grad(cubic(xp))), (ROWS,)),
    "vmap_value_and_grad": (
        lambda t, xp: t.vmap(t.value_and_grad(cubic(xp))),
        (ROWS,),
    ),
    "vmap_hessian": (lambda t, xp: t.vmap(t.hessian(cubic(xp))), (ROWS,)),
    "hessian_as_jacobian": (lambda t, xp: t.jacobian(t.grad(cubic(xp))), (X,)),
    "jit_hessian": (lambda t, xp: t.jit(t.hessian(cubic(xp))), (X,)),
    "jit_vmap_grad": (
        lambda t, xp: t.jit(t.vmap(t.grad(loss(xp)), in_axes=(None, 0))),
        (W, ROWS),
    ),
    "grad_through_vmap": (
        lambda t, xp: t.grad(lambda x: xp.sum(t.vmap(wave(xp))(x))),
        (X,),
    ),
    "grad_through_vmap_of_grad": (
        lambda t, xp: t.grad(lambda x: xp.sum(t.vmap(t.grad(wave(xp)))(x) ** 2)),
        (X,),
    ),
    "grad_of_gradient_norm": (
        lambda t, xp: t.grad(lambda x: xp.sum(t.grad(cubic(xp))(x) ** 2)),
        (X,),
    ),
    "vmap_vmap": (
        lambda t, xp: t.vmap(t.vmap(wave(xp))),
        (ROWS,),
    ),
    "outer_product_of_vmaps": (
        lambda t, xp: t.vmap(
            t.vmap(lambda a, b: a * xp.sin(b), in_axes=(None, 0)), in_axes=(0, None)
        ),
        (X, Y),
    ),
    "jacobian_of_vmap": (lambda t, xp: t.jacobian(t.vmap(wave(xp))), (X,)),
    "vmap_jacobian": (
        lambda t, xp: t.vmap(t.jacobian(lambda x: xp.tanh(A @ x))),
        (ROWS,),
    ),
    "jvp_in_function": (
        lambda t, xp: lambda x, v: t.jvp(t.grad(cubic(xp)), (x,), (v,))[1],
        (X, Y),
    ),
    "jit_jvp": (
        lambda t, xp: t.jit(lambda x, v: t.jvp(cubic(xp), (x,), (v,))),
        (X, Y),
    ),
    "grad_of_jvp": (
        lambda t, xp: t.grad(lambda x, v: t.jvp(cubic(xp), (x,), (v,))[1]),
        (X, Y),
    ),
    "jit_vjp": (
        lambda t, xp: t.jit(lambda x, g: t.vjp(lambda z: xp.sin(z) * z, x)[1](g)),
        (X, Y),
    ),
    "vmap_vjp": (
        lambda t, xp: t.jit(
            lambda x, gs: t.vmap(t.vjp(lambda z: xp.sin(z) * z, x)[1])(gs)
        ),
        (X, ROWS),
    ),
    "perturbations_are_kept_apart": (
        # d/dx [x · d/dy (x + y)] = 1, where a confusion gives 2 (Siskind & Pearlmutter)
        lambda t, xp: t.grad(lambda x: x * t.grad(lambda y: x + y)(1.0)),
        (1.0,),
    ),
    "equal_values_are_not_one": (
        # the inner function closes over a tensor that equals its argument
        lambda t, xp: t.grad(
            lambda x: t.grad(lambda y: y * xp.sin(x))(xp.sin(x)) * 1.0
        ),
        (0.7,),
    ),
    "closing_over_an_argument": (
        lambda t, xp: t.grad(lambda w: xp.sum(t.vmap(lambda r: xp.tanh(w @ r))(ROWS))),
        (W,),
    ),
    "grad_with_arrays_inside": (
        lambda t, xp: t.jit(lambda w: t.grad(lambda x: xp.sum((w @ x) ** 2))(X)),
        (W,),
    ),
    "hvp_of_batch": (
        lambda t, xp: t.jit(
            lambda x, v: t.vmap(
                lambda d: t.jvp(t.grad(cubic(xp)), (x,), (d,))[1], in_axes=1
            )(v)
        ),
        (X, ROWS.T),
    ),
    "hessian_of_hessian": (
        lambda t, xp: t.hessian(lambda x: xp.sum(t.hessian(cubic(xp))(x) ** 2)),
        (X,),
    ),
    "newton_step": (
        lambda t, xp: t.jit(lambda a: a - t.grad(wave(xp))(a) / t.hessian(wave(xp))(a)),
        (0.5,),
    ),
}


class JAX:
    """JAX's transforms under the names of symgrad."""

    jacobian = staticmethod(jax.jacrev)

    def __getattr__(self, name):
        return getattr(jax, name)


@pytest.mark.parametrize("name", NESTED)
def test_nested(name):
    build, args = NESTED[name]
    theirs = build(JAX(), jnp)(*map(jnp.asarray, args))
    assert_same(build(sg, XP)(*args), theirs)


def test_hvp_inside_a_function():
    ours = sg.jit(lambda x, v: sg.hvp(cubic(XP), (x,), (v,)))(X, Y)
    assert_same(ours, jax.jvp(jax.grad(cubic(jnp)), (X,), (Y,))[1])


def test_on_tensors_a_graph_is_returned():
    x = sg.input("x", ("n",), "float64")
    y = sg.grad(lambda z: sg.sum(z**3))(x)
    assert isinstance(y, sg.Tensor)
    assert sg.formula(y) == sg.formula(sg.grad(sg.sum(x**3), x))
    np.testing.assert_allclose(sg.compile([x], y)(X), 3 * X**2)


def test_transforms_of_tensors_keep_what_they_close_over():
    x, w = sg.input("x", (4,), "float64"), sg.param("w", (4,), dtype="float64")
    y = sg.grad(lambda z: sg.sum(w * z * z))(x)
    found = sg.compile([x], y)(X, params={"w": Y})
    np.testing.assert_allclose(found, 2 * X * Y)


def test_tensors_by_the_names_of_the_contract():
    x = sg.input("x", (4,), "float64")
    loss = sg.sum(x**3)
    value, gradient = sg.value_and_grad(loss, wrt=x)
    assert value is loss
    assert sg.formula(gradient) == sg.formula(sg.grad(loss, wrt=x))
    products = [
        sg.jvp(gradient, wrt=x, tangents=Y),
        sg.vjp(gradient, wrt=x, cotangents=Y),
        sg.hvp(loss, wrt=x, v=Y),
        sg.hessian(loss, wrt=x) @ Y,
        sg.jacobian(gradient, wrt=x) @ Y,
    ]
    for found in sg.compile([x], products)(X):
        np.testing.assert_allclose(found, 6 * X * Y)


def test_stopped_gradients():
    def f(stop, xp):
        return lambda x: xp.sum(stop(xp.sin(x)) * x)

    ours = sg.grad(f(sg.stop_gradient, sg))
    theirs = jax.grad(f(jax.lax.stop_gradient, jnp))
    assert_same(ours(X), theirs(X))
    assert_same(sg.jacobian(ours)(X), jax.jacrev(theirs)(X))

"""A layer's value and gradients against JAX's, for the same parameters."""

import jax
import jax.numpy as jnp
import numpy as np

import symgrad as sg
from symgrad.declare import dtypes
from symgrad.declare.tensor import Input, Param, topological
from tests.reference import evaluate_graph

SIZES = {"n": 3, "time": 5, "keys": 4}


def leaves(t):
    """Return the float inputs and the trainable parameters below a tensor."""
    return [
        node
        for node in topological([t])
        if isinstance(node.op, Input | Param)
        and dtypes.is_float(node.dtype)
        and getattr(node.op, "trainable", True)
    ]


def values(t, seed=0):
    """Return arrays for all leaves by name: no parameter is at its neutral start."""
    rng = np.random.default_rng(seed)
    found = {}
    for node in topological([t]):
        if isinstance(node.op, Input | Param):
            shape = tuple(SIZES.get(str(s), s) for s in node.shape)
            if dtypes.is_float(node.dtype):
                made = rng.normal(size=shape)
            else:
                made = rng.integers(0, 2, shape)
            found[node.name] = np.asarray(made, node.dtype)
    return found


def check(y, by_jax, rtol=1e-9, given=None, compiled=False):
    """Compare ``y`` and the gradients of ``Σ y·cos(…)`` with a JAX function.

    ``by_jax`` takes all leaves by name.  What is derived is evaluated by the slow
    reference, or compiled.
    """
    arrays = values(y) | (given or {})
    wrt = leaves(y)
    size = np.asarray(by_jax(arrays)).size
    weights = np.cos(np.arange(size)).reshape(np.shape(by_jax(arrays)))
    loss = sg.sum(y * sg.input("weights", y.shape, y.dtype))
    outputs = [y, *sg.grad(loss, wrt)]
    if compiled:
        got = _by_program(outputs, arrays | {"weights": weights})
    else:
        got = evaluate_graph(outputs, arrays | {"weights": weights})
    floating = {n.name: jnp.asarray(arrays[n.name]) for n in wrt}
    wanted = jax.grad(lambda f: (by_jax(arrays | f) * weights).sum())(floating)
    np.testing.assert_allclose(got[0], by_jax(arrays), rtol=rtol, atol=rtol)
    for node, g in zip(wrt, got[1:], strict=True):
        np.testing.assert_allclose(
            g, wanted[node.name], rtol=rtol, atol=10 * rtol, err_msg=node.name
        )
    return got, arrays


def _by_program(outputs, arrays):
    inputs = [n for n in topological(outputs) if isinstance(n.op, Input)]
    names = {n.name for n in inputs}
    params = {n: a for n, a in arrays.items() if n not in names}
    return sg.compile(inputs, outputs)(**{n: arrays[n] for n in names}, params=params)

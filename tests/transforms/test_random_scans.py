"""Random steps of loops against ``jax.lax.scan``: values and derivatives.

A step is drawn as text, so that one function serves both; what it draws from covers
several carries, carries of integers, several sequences or none, either direction,
tensors that it closes over, loops inside, and lengths 0, 1 and more.
"""

import os
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import symgrad as sg
from tests.transforms.functions import assert_same

MANY = int(os.environ.get("SYMGRAD_RANDOM_SCANS", "6"))
WIDTH = 2
#: Smooth functions of one and of two operands whose values stay small.
UNARY = ["sin", "tanh", "cos"]
BINARY = ["add", "multiply", "subtract"]


@dataclass(frozen=True)
class Draw:
    """A random loop: what its step computes, from what, and how often."""

    length: int
    carries: int
    sequences: int
    reverse: bool
    counts: bool
    inner: int
    lines: tuple[tuple[str, int, int], ...]
    updates: tuple[int, ...]
    kept: tuple[int, ...]


@st.composite
def draws(draw):
    """Return a random loop; places are taken modulo how many values there are."""
    places = st.integers(0, 20)
    carries, count = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    line = st.tuples(st.sampled_from([*UNARY, *BINARY, "matmul"]), places, places)
    return Draw(
        draw(st.sampled_from([0, 1, 2, 5])),
        carries,
        draw(st.integers(0, 2)),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.sampled_from([0, 0, 1, 3])),
        tuple(draw(st.lists(line, min_size=count, max_size=count))),
        tuple(draw(st.lists(places, min_size=carries, max_size=carries))),
        tuple(draw(st.lists(places, max_size=2))),
    )


def function(drawn, m, scan):
    """Return the function of carries, sequences and a matrix that the draw means."""

    def body(values, w):
        values = list(values)
        for fn, a, b in drawn.lines:
            x, y = values[a % len(values)], values[b % len(values)]
            if fn == "matmul":
                values.append(m.tanh(x @ w))
            elif fn in UNARY:
                values.append(getattr(m, fn)(x))
            else:
                values.append(getattr(m, fn)(x, y))
        return values

    def f(*arrays):
        *given, w = arrays
        starts, xs = given[: drawn.carries], tuple(given[drawn.carries :])

        def step(carry, x):
            count, state = carry
            values = body([*state, *(x or ())], w)
            if drawn.inner:

                def inside(c, _):
                    return m.sin(c + values[-1] * w[0]), c

                last, rows = scan(inside, values[0], None, length=drawn.inner)
                values += [last, m.sum(rows, axis=0)]
            if drawn.counts:
                values.append(values[0] * count)
            new = tuple(m.tanh(values[n % len(values)]) for n in drawn.updates)
            kept = tuple(values[n % len(values)] for n in drawn.kept)
            return (count + 1, new), kept

        last, ys = scan(
            step, (0, tuple(starts)), xs or None, drawn.length, drawn.reverse
        )
        return last, ys

    return f


def total(f, m):
    """Return a scalar of all float results, each with a weight of its own."""

    def g(*arrays):
        (_, last), ys = f(*arrays)
        return sum(m.sum(m.sin(v)) * (k + 1.0) for k, v in enumerate((*last, *ys)))

    return g


@settings(
    max_examples=MANY,
    derandomize=MANY < 50,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(draws())
def test_values_and_derivatives(drawn):
    rng = np.random.default_rng(0)
    shapes = [(WIDTH,)] * drawn.carries + [(drawn.length, WIDTH)] * drawn.sequences
    arrays = [rng.normal(size=s) * 0.7 for s in [*shapes, (WIDTH, WIDTH)]]
    ours, theirs = function(drawn, sg, sg.scan), function(drawn, jnp, jax.lax.scan)
    assert_same(sg.jit(ours)(*arrays), theirs(*map(jnp.asarray, arrays)))
    every = tuple(range(len(arrays)))
    found = sg.jit(sg.grad(total(ours, sg), argnums=every))(*arrays)
    wanted = jax.grad(total(theirs, jnp), argnums=every)
    assert_same(found, wanted(*map(jnp.asarray, arrays)))

    def curved(grad, f, m):
        """Return the gradient of the sum of all slopes' squares."""

        def slopes(*arrays):
            found = grad(f, argnums=every)(*arrays)
            return sum(m.sum(m.square(g)) for g in found)

        return grad(slopes, argnums=every)

    found = sg.jit(curved(sg.grad, total(ours, sg), sg))(*arrays)
    wanted = curved(jax.grad, total(theirs, jnp), jnp)
    assert_same(found, wanted(*map(jnp.asarray, arrays)))

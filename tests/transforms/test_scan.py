"""``sg.scan`` against ``jax.lax.scan``: values, derivatives, transforms, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import symgrad as sg
from symgrad.declare.loop import Scan
from symgrad.declare.tensor import topological
from tests.transforms.functions import assert_same as assert_close

RNG = np.random.default_rng(7)


def both(make):
    """Return the same function over symgrad and over JAX."""
    return make(sg.scan, sg), make(jax.lax.scan, jnp)


def recurrent(reverse=False):
    def make(scan, m):
        def f(h, xs, W, U, b):
            def step(h, x):
                h = m.tanh(x @ W + h @ U + b)
                return h, h * x[..., :1]

            h, ys = scan(step, h, xs, reverse=reverse)
            return m.sum(h**2) + m.sum(ys * ys)

        return f

    return make


def arguments(length=5, batch=3, width=2, inputs=4):
    shapes = [(batch, width), (length, batch, inputs), (inputs, width)]
    shapes += [(width, width), (width,)]
    return [RNG.normal(size=s) * 0.5 for s in shapes]


@pytest.mark.parametrize("reverse", [False, True])
def test_values_and_gradients(reverse):
    """One program for all lengths."""
    ours, theirs = both(recurrent(reverse))
    inputs = [
        sg.input(name, ("time", *a.shape[1:]) if name == "xs" else a.shape, "float64")
        for name, a in zip(("h", "xs", "W", "U", "b"), arguments(), strict=True)
    ]
    value = ours(*inputs)
    program = sg.compile(inputs, [value, *sg.grad(value, inputs)])
    wanted = jax.value_and_grad(theirs, argnums=(0, 1, 2, 3, 4))
    for length in (9, 1, 0):
        args = arguments(length)
        value, *slopes = program(*args)
        assert_close((value, tuple(slopes)), wanted(*args))


@pytest.mark.parametrize("n", [1, 3])
def test_second_derivatives_and_forward_mode(n):
    ours, theirs = both(recurrent())
    args = arguments(3)

    def at(f):
        return lambda x: f(*args[:n], x, *args[n + 1 :])

    if n == 3:  # by the others in tests of random scans
        assert_close(sg.hessian(at(ours))(args[n]), jax.hessian(at(theirs))(args[n]))
    direction = RNG.normal(size=args[n].shape)

    def tangent(transform, f):
        return lambda x: transform(at(f), (x,), (direction,))[1]

    found = sg.value_and_grad(tangent(sg.jvp, ours))(args[n])  # a JVP, and its VJP
    assert_close(found, jax.value_and_grad(tangent(jax.jvp, theirs))(args[n]))


@pytest.mark.parametrize("n", [0, 1, 3])
def test_vmap(n):
    ours, theirs = both(recurrent())
    args = arguments(3)
    args[n] = np.stack([args[n], args[n] * 2, -args[n]])
    axes = tuple(0 if k == n else None for k in range(5))
    wrt = (0, 1, 2, 3, 4)
    found = sg.vmap(sg.value_and_grad(ours, argnums=wrt), axes)(*args)
    wanted = jax.vmap(jax.value_and_grad(theirs, argnums=wrt), axes)(*args)
    assert_close(found, wanted)


def test_structures_and_integers():
    def make(scan, m):
        def f(xs, ids, table):
            def step(carry, x):
                a, (count, last) = carry["a"], carry["rest"]
                row = m.take(table, x["id"], axis=0)
                new = {"a": a * 0.5 + row, "rest": (count + 1, a)}
                return new, (row * last, None, {"count": count})

            start = {"a": xs["x"][0], "rest": (0, xs["x"][0] * 0)}
            last, ys = scan(step, start, {"id": ids, "x": xs["x"]})
            return m.sum(last["a"]) + m.sum(ys[0] ** 2), last["rest"][0], ys[2]["count"]

        return f

    ours, theirs = both(make)
    x, table = RNG.normal(size=(6, 3)), RNG.normal(size=(4, 3))
    ids = np.array([3, 0, 1, 1, 2, 3])
    assert_close(sg.jit(ours)({"x": x}, ids, table), theirs({"x": x}, ids, table))
    found = sg.grad(lambda *a: ours(*a)[0], argnums=(0, 2))({"x": x}, ids, table)
    assert_close(
        found,
        jax.grad(lambda *a: theirs(*a)[0], argnums=(0, 2))(
            {"x": x}, jnp.array(ids), table
        ),
    )


def test_carries_that_are_moved_around():
    """Swapped, handed on, replaced by inputs and constants, the same one twice."""

    def make(scan, m):
        fixed = m.ones(2, dtype="float64")

        def f(a, b, xs):
            def step(carry, x):
                a, b, c, d, e = carry
                return (b, a * x, x, c, fixed), (a, d, e, x, b)

            last, ys = scan(step, (a, b, a, b, a), xs)
            return last, ys

        return f

    ours, theirs = both(make)
    args = [RNG.normal(size=s) for s in [(2,), (2,), (5, 2)]]
    assert_close(sg.jit(ours)(*args), theirs(*args))

    def total(f, m):
        def g(*args):
            last, ys = f(*args)
            return sum(m.sum(m.sin(v)) for v in (*last, *ys))

        return g

    found = sg.grad(total(ours, sg), argnums=(0, 1, 2))(*args)
    assert_close(found, jax.grad(total(theirs, jnp), argnums=(0, 1, 2))(*args))


def test_nested_scans():
    def make(scan, m):
        def f(h, xs, w):
            def outer(h, x):
                def inner(c, u):
                    c = m.sin(c * w + u) + h
                    return c, c * u

                last, ys = scan(inner, h, x)
                return last, m.sum(ys)

            last, ys = scan(outer, h, xs)
            return m.sum(last * ys[-1]) + m.sum(ys**2)

        return f

    ours, theirs = both(make)
    args = [RNG.normal(size=s) for s in [(2,), (3, 4, 2), (2,)]]
    found = sg.value_and_grad(ours, argnums=(0, 1, 2))(*args)
    assert_close(found, jax.value_and_grad(theirs, argnums=(0, 1, 2))(*args))
    found = sg.hessian(ours, argnums=2)(*args)
    assert_close(found, jax.hessian(theirs, argnums=2)(*args))


def test_transforms_inside_a_step():
    def make(scan, m):
        grad = sg.grad if m is sg else jax.grad

        def f(x, rates):
            def step(x, rate):
                return x - rate * grad(lambda v: m.sum(v**4))(x), m.sum(x)

            return scan(step, x, rates)[0].sum()

        return f

    ours, theirs = both(make)
    args = [RNG.normal(size=3), np.full(6, 0.05)]
    found = sg.grad(ours, argnums=(0, 1))(*args)
    assert_close(found, jax.grad(theirs, argnums=(0, 1))(*args))


@pytest.mark.parametrize(("every", "reverse"), [(1, False), (4, False), (3, True)])
def test_checkpoints_change_nothing_but_memory(every, reverse):
    def make(**more):
        def f(h, xs, W):
            def step(h, x):
                h = sg.tanh(x + h @ W)
                return h, h[0]

            h, ys = sg.scan(step, h, xs, reverse=reverse, **more)
            return sg.sum(h) + sg.sum(ys**2)

        return f

    args = [RNG.normal(size=s) for s in [(2, 3), (10, 2, 3), (3, 3)]]
    plain = sg.value_and_grad(make(), argnums=(0, 1, 2))(*args)
    saved = sg.value_and_grad(make(checkpoint_every=every), argnums=(0, 1, 2))(*args)
    assert_close(saved, plain)


def test_named_lengths_and_memory():
    x, h = sg.input("x", ("n",), "float64"), sg.input("h", (8,), "float64")
    W = sg.param("W", (8, 8), dtype="float64")

    def step(h, x):
        return sg.tanh(h @ W + x), None

    params = {"W": RNG.normal(size=(8, 8)) * 0.3}
    data = [(RNG.normal(size=n), RNG.normal(size=8)) for n in (1, 0, 250, 10_000)]
    sizes, found = {}, {}
    for every in (None, 100):
        last, _ = sg.scan(step, h, x, checkpoint_every=every)
        loss = sg.sum(last)
        program = sg.compile([x, h], [loss, sg.grad(loss, W)])
        found[every] = [tuple(program(*d, params=params)) for d in data]
        sizes[every] = program.report()["arena_bytes"]

    def theirs(W, xs, start):
        return jnp.sum(
            jax.lax.scan(lambda h, x: (jnp.tanh(h @ W + x), None), start, xs)[0]
        )

    for plain, saved, (xs, start) in zip(found[None], found[100], data, strict=True):
        assert_close(plain, jax.value_and_grad(theirs)(params["W"], xs, start))
        assert_close(saved, plain)
    assert sizes[100] < sizes[None] / 4


def test_one_loop_however_long():
    """The graph, the kernels and the time to compile do not grow with the length."""
    counts = set()
    for n in (3, 3000):
        xs = sg.input("xs", (n, 4))
        last, ys = sg.scan(lambda h, x: (sg.sin(h + x), h), sg.zeros(4), xs)
        loss = sg.sum(last) + sg.sum(ys)
        gradient = sg.grad(loss, xs)
        program = sg.compile([xs], [loss, gradient])
        counts.add((len(topological([gradient])), program.report()["kernels"]))
    assert len(counts) == 1


def test_equal_loops_are_one_node():
    xs = sg.input("xs", (5, 4))

    def loop():
        return sg.scan(lambda h, x: (sg.sin(h + x), h), sg.zeros(4), xs)

    (a, b), (c, d) = loop(), loop()
    assert a is c
    assert b is d


def test_unused_work_is_dropped():
    xs, w = sg.input("xs", (5, 4)), sg.input("w", (4, 4))

    def step(carry, x):
        h, unused = carry
        return (sg.sin(h + x), unused @ w), unused * 2

    (last, _), _ = sg.scan(step, (sg.zeros(4), sg.ones(4)), xs)
    (loop,) = [t for t in topological([sg.simplify(last)]) if isinstance(t.op, Scan)]
    assert len(loop.op.loop.updates) == 1
    assert len(loop.args) == 2


def test_products_leave_the_loop():
    xs, W = sg.input("xs", (5, 3, 4)), sg.param("W", (4, 6))
    U, V = sg.param("U", (6, 6)), sg.param("V", (6, 2))

    def step(h, x):
        h = sg.tanh(x @ W + h @ U)
        return h, h @ V

    _, ys = sg.scan(step, sg.zeros((3, 6)), xs)
    program = sg.compile([xs], [ys, *sg.grad(sg.sum(ys**2), [W, U, V])])
    plan = str(program._parts.plan)
    products = [line for line in plan.splitlines() if "gemm" in line]
    inside = [line for line in products if line.strip().startswith("|")]
    assert len(inside) == 2  # h U, and its cotangent times U transposed
    assert len(products) == 2 + 6  # x W, h V, the gradients of W, U, V, and that of h


def test_nan_check_names_the_loop():
    x = sg.input("x", (3,))
    last, _ = sg.scan(lambda c, x: (sg.log(c - x), None), sg.constant(1.0), x)
    program = sg.compile([x], [last], nan_check=True)
    with pytest.raises(sg.SymgradError, match="scan"):
        program(np.full(3, 2.0, np.float32))


def test_plain_numbers_take_the_type_of_what_they_meet():
    x = RNG.normal(size=4)
    found = sg.jit(lambda x: sg.scan(lambda c, v: (c + v, c), 0, x))(x)
    assert_close(found, (x.sum(), np.cumsum(x) - x))


def test_checkpoint():
    def f(x, w):
        return sg.tanh(sg.exp(sg.sin(x)) @ w)

    args = [RNG.normal(size=(3, 4)), RNG.normal(size=(4, 2))]
    plain = sg.grad(lambda *a: sg.sum(f(*a) ** 2), argnums=(0, 1))(*args)
    again = sg.grad(lambda *a: sg.sum(sg.checkpoint(f)(*a) ** 2), argnums=(0, 1))
    assert_close(again(*args), plain)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: sg.scan(lambda c, v: c + v, 0.0, x), sg.GraphError, "(carry, y)"),
        (lambda x: sg.scan(lambda c, v: (c, v), 0.0), sg.GraphError, "length="),
        (
            lambda x: sg.scan(lambda c, v: (c, v), 0.0, (x, x[:2])),
            sg.ShapeError,
            "xs[1] has 2",
        ),
        (
            lambda x: sg.scan(lambda c, v: (c, v), 0.0, x, length=7),
            sg.ShapeError,
            "length is 7",
        ),
        (
            lambda x: sg.scan(lambda c, v: (c, v), 0.0, x[0]),
            sg.ShapeError,
            "no leading axis",
        ),
        (
            lambda x: sg.scan(lambda c, v: (sg.ones(3), v), sg.zeros(2), x),
            sg.ShapeError,
            "takes carry as float32[2], but returns it as float32[3]",
        ),
        (
            lambda x: sg.scan(lambda c, v: (c.astype("float64"), v), sg.zeros(2), x),
            sg.DTypeError,
            "takes carry as float32[2], but returns it as float64[2]",
        ),
        (
            lambda x: sg.scan(lambda c, v: ((c, c), v), sg.zeros(2), x),
            sg.GraphError,
            "takes a carry of the form one array, but returns (*, *)",
        ),
        (lambda x: sg.scan(3, 0.0, x), sg.GraphError, "takes a function"),
        (
            lambda x: sg.scan(lambda c, v: (c, v), 0.0, x, checkpoint_every=0),
            sg.GraphError,
            "checkpoint_every",
        ),
    ],
)
def test_errors(call, error, message):
    import re

    with pytest.raises(error, match=re.escape(message)):
        call(sg.input("x", (4,)))


def test_another_float_type_reaches_into_the_step():
    x = sg.input("x", (5, 3))
    last, ys = sg.scan(lambda h, x: (sg.tanh(h + x), h), sg.zeros(3), x)
    loss = sg.sum(last) + sg.sum(ys**2)
    values, h, total = RNG.normal(size=(5, 3)), np.zeros(3), 0.0
    for row in values:
        total, h = total + (h**2).sum(), np.tanh(h + row)
    (found,) = sg.compile([x], [loss], dtype="float64")(values)
    np.testing.assert_allclose(found, total + h.sum(), rtol=1e-12)
    assert str(loss) == "Σ(scan_1) + ‖scan_2[:5]‖²"


def test_an_index_in_a_step_is_checked_when_sizes_are_known():
    w, x = sg.input("w", ("n",)), sg.input("x", (3,))
    last, ys = sg.scan(lambda c, v: (c + v * w[5], w[6]), 0.0, x)
    program = sg.compile([w, x], [last, ys])
    last, ys = program(np.arange(7, dtype="f"), np.ones(3, "f"))
    assert (last, ys.tolist()) == (15, [6] * 3)
    with pytest.raises(sg.ShapeError, match="element 5 of dimension 0"):
        program(np.ones(2, "f"), np.ones(3, "f"))

"""Every operation of the library with one more axis, against jax.vmap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import symgrad as sg
from symgrad.declare.tensor import make
from tests.reference import evaluate_graph

N = 3  # the mapped axis
IDS = np.array([2, 0, 1, -1])


def _pool(x, kind):
    init, op = (-jnp.inf, jax.lax.max) if kind == "max" else (0.0, jax.lax.add)
    y = jax.lax.reduce_window(x, init, op, (1, 1, 2), (1, 1, 2), "VALID")
    return y if kind == "max" else y / 2


def _conv(x, w, dims, **options):
    names = ("NCH", "OIH", "NCH") if dims == 1 else ("NCHW", "OIHW", "NCHW")
    stride = options.pop("stride", 1)
    pad = options.pop("padding", 0)
    return jax.lax.conv_general_dilated(
        x, w, (stride,) * dims, [(pad, pad)] * dims, dimension_numbers=names
    )


#: name -> (function of symgrad, function of JAX, shapes of the arguments)
CASES = {
    "add": (lambda x, y: x + y, lambda x, y: x + y, [(4,), (4,)]),
    "add_broadcast": (lambda x, y: x + y, lambda x, y: x + y, [(4, 5), (5,)]),
    "sub_broadcast": (lambda x, y: x - y, lambda x, y: x - y, [(5,), (4, 5)]),
    "mul_column": (lambda x, y: x * y, lambda x, y: x * y, [(4, 1), (4, 5)]),
    "mul_scalar": (lambda x, y: x * y, lambda x, y: x * y, [(), (4, 5)]),
    "square": (lambda x: x * x, lambda x: x * x, [(4,)]),
    "where": (
        lambda x, y: sg.where(x > y, x, 2.0),
        lambda x, y: jnp.where(x > y, x, 2.0),
        [(4, 5), (5,)],
    ),
    "exp_tanh": (lambda x: sg.exp(sg.tanh(x)), lambda x: jnp.exp(jnp.tanh(x)), [(4,)]),
    "gelu": (sg.gelu, lambda x: jax.nn.gelu(x, approximate=False), [(4, 5)]),
    "clip": (lambda x: sg.clip(x, -0.5, 0.5), lambda x: jnp.clip(x, -0.5, 0.5), [(4,)]),
    "sum": (lambda x: sg.sum(x), lambda x: jnp.sum(x), [(4, 5)]),
    "sum_axis": (lambda x: sg.sum(x, 0), lambda x: jnp.sum(x, 0), [(4, 5)]),
    "sum_keepdims": (
        lambda x: sg.sum(x, 1, keepdims=True),
        lambda x: jnp.sum(x, 1, keepdims=True),
        [(4, 5)],
    ),
    "mean": (lambda x: sg.mean(x, -1), lambda x: jnp.mean(x, -1), [(4, 5)]),
    "prod": (lambda x: sg.prod(x, 1), lambda x: jnp.prod(x, 1), [(4, 5)]),
    "max": (lambda x: sg.max(x, 0), lambda x: jnp.max(x, 0), [(4, 5)]),
    "min": (lambda x: sg.min(x), lambda x: jnp.min(x), [(4, 5)]),
    "any": (lambda x: sg.any(x > 1, 1), lambda x: jnp.any(x > 1, 1), [(4, 5)]),
    "all": (lambda x: sg.all(x > -1, 1), lambda x: jnp.all(x > -1, 1), [(4, 5)]),
    "argmax": (lambda x: sg.argmax(x, 1), lambda x: jnp.argmax(x, 1), [(4, 5)]),
    "argmin_flat": (lambda x: sg.argmin(x), lambda x: jnp.argmin(x), [(4, 5)]),
    "var": (lambda x: sg.var(x, 0), lambda x: jnp.var(x, 0), [(4, 5)]),
    "std": (
        lambda x: sg.std(x, correction=1),
        lambda x: jnp.std(x, ddof=1),
        [(4, 5)],
    ),
    "logsumexp": (
        lambda x: sg.logsumexp(x, 1),
        lambda x: jax.nn.logsumexp(x, 1),
        [(4, 5)],
    ),
    "softmax": (sg.softmax, jax.nn.softmax, [(4, 5)]),
    "log_softmax_0": (
        lambda x: sg.log_softmax(x, 0),
        lambda x: jax.nn.log_softmax(x, 0),
        [(4, 5)],
    ),
    "cumulative_sum": (
        lambda x: sg.cumulative_sum(x, 1),
        lambda x: jnp.cumsum(x, 1),
        [(4, 5)],
    ),
    "cumulative_sum_initial": (
        lambda x: sg.cumulative_sum(x, include_initial=True),
        lambda x: jnp.concatenate([jnp.zeros(1), jnp.cumsum(x)]),
        [(5,)],
    ),
    "cumulative_prod": (
        lambda x: sg.cumulative_prod(x, 0),
        lambda x: jnp.cumprod(x, 0),
        [(4, 5)],
    ),
    "reshape": (
        lambda x: sg.reshape(x, (2, 10)),
        lambda x: jnp.reshape(x, (2, 10)),
        [(4, 5)],
    ),
    "reshape_of_transposed": (
        lambda x: sg.reshape(x.T, -1),
        lambda x: jnp.reshape(x.T, -1),
        [(4, 5)],
    ),
    "permute_dims": (
        lambda x: sg.permute_dims(x, (2, 0, 1)),
        lambda x: jnp.transpose(x, (2, 0, 1)),
        [(2, 4, 5)],
    ),
    "moveaxis": (
        lambda x: sg.moveaxis(x, 0, -1),
        lambda x: jnp.moveaxis(x, 0, -1),
        [(2, 4, 5)],
    ),
    "expand_squeeze": (
        lambda x: sg.squeeze(sg.expand_dims(x, (0, 2)), 0),
        lambda x: jnp.squeeze(jnp.expand_dims(x, (0, 2)), 0),
        [(4, 5)],
    ),
    "broadcast_to": (
        lambda x: sg.broadcast_to(x, (2, 4, 5)),
        lambda x: jnp.broadcast_to(x, (2, 4, 5)),
        [(4, 1)],
    ),
    "concat": (
        lambda x, y: sg.concat([x, y], 1),
        lambda x, y: jnp.concatenate([x, y], 1),
        [(4, 2), (4, 3)],
    ),
    "stack": (
        lambda x, y: sg.stack([x, y, x], -1),
        lambda x, y: jnp.stack([x, y, x], -1),
        [(4,), (4,)],
    ),
    "split": (
        lambda x: sg.split(x, 2, 1)[1],
        lambda x: jnp.split(x, 2, 1)[1],
        [(3, 4)],
    ),
    "pad": (
        lambda x: sg.pad(x, [(1, 2), (0, 1)], 3.0),
        lambda x: jnp.pad(x, [(1, 2), (0, 1)], constant_values=3.0),
        [(3, 4)],
    ),
    "flip": (lambda x: sg.flip(x, 1), lambda x: jnp.flip(x, 1), [(3, 4)]),
    "roll": (lambda x: sg.roll(x, 2, 1), lambda x: jnp.roll(x, 2, 1), [(3, 5)]),
    "roll_flat": (lambda x: sg.roll(x, 2), lambda x: jnp.roll(x, 2), [(3, 5)]),
    "tile": (lambda x: sg.tile(x, (2, 3)), lambda x: jnp.tile(x, (2, 3)), [(2, 2)]),
    "repeat": (
        lambda x: sg.repeat(x, 3, 1),
        lambda x: jnp.repeat(x, 3, 1),
        [(2, 2)],
    ),
    "slice": (lambda x: x[1:, ::-2], lambda x: x[1:, ::-2], [(4, 5)]),
    "integer": (lambda x: x[-1, 2], lambda x: x[-1, 2], [(4, 5)]),
    "newaxis": (lambda x: x[:, None, 1], lambda x: x[:, None, 1], [(4, 5)]),
    "gather": (lambda x: x[IDS], lambda x: x[IDS], [(4, 5)]),
    "gather_pairs": (
        lambda x: x[IDS, IDS[::-1]],
        lambda x: x[IDS, IDS[::-1]],
        [(4, 5)],
    ),
    "take": (
        lambda x: sg.take(x, IDS, axis=1),
        lambda x: jnp.take(x, IDS, axis=1),
        [(4, 5)],
    ),
    "take_own": (
        lambda x: sg.take(x, sg.argmax(x, 0), axis=0),
        lambda x: jnp.take(x, jnp.argmax(x, 0), axis=0),
        [(4, 5)],
    ),
    "take_along_axis": (
        lambda x: sg.take_along_axis(x, sg.expand_dims(sg.argmin(x, 1), 1), 1),
        lambda x: jnp.take_along_axis(x, jnp.argmin(x, 1)[:, None], 1),
        [(4, 5)],
    ),
    "mask": (
        lambda x: x[x > 0],
        lambda x: jnp.where(x > 0, x, 0),
        [(4, 5)],
    ),
    "one_hot": (
        lambda x: sg.one_hot(sg.argmax(x, 1), 5, "float64"),
        lambda x: jax.nn.one_hot(jnp.argmax(x, 1), 5, dtype=jnp.float64),
        [(4, 5)],
    ),
    "tril": (lambda x: sg.tril(x, 1), lambda x: jnp.tril(x, 1), [(4, 5)]),
    "matmul": (lambda x, y: x @ y, lambda x, y: x @ y, [(4, 5), (5, 2)]),
    "matmul_batched": (lambda x, y: x @ y, lambda x, y: x @ y, [(2, 4, 5), (5, 2)]),
    "matvec": (lambda x, y: x @ y, lambda x, y: x @ y, [(4, 5), (5,)]),
    "inner": (lambda x, y: x @ y, lambda x, y: x @ y, [(5,), (5,)]),
    "outer": (sg.outer, jnp.outer, [(4,), (5,)]),
    "vecdot": (
        lambda x, y: sg.vecdot(x, y, axis=0),
        lambda x, y: jnp.sum(x * y, 0),
        [(4, 5), (4, 5)],
    ),
    "tensordot": (
        lambda x, y: sg.tensordot(x, y, ([0], [1])),
        lambda x, y: jnp.tensordot(x, y, ([0], [1])),
        [(4, 5), (2, 4)],
    ),
    "einsum": (
        lambda x, y: sg.einsum("ij,kj,ij->ki", x, y, x),
        lambda x, y: jnp.einsum("ij,kj,ij->ki", x, y, x),
        [(4, 5), (2, 5)],
    ),
    "trace": (
        lambda x: sg.einsum("ii->", x),
        lambda x: jnp.trace(x),
        [(4, 4)],
    ),
    "conv1d": (
        lambda x, w: sg.conv1d(x, w, stride=2, padding=1),
        lambda x, w: _conv(x, w, 1, stride=2, padding=1),
        [(2, 3, 7), (4, 3, 3)],
    ),
    "conv2d": (
        lambda x, w: sg.conv2d(x, w),
        lambda x, w: _conv(x, w, 2),
        [(2, 1, 5, 4), (2, 1, 2, 3)],
    ),
    "max_pool": (
        lambda x: sg.max_pool(x, 2),
        lambda x: _pool(x, "max"),
        [(2, 3, 6)],
    ),
    "avg_pool": (
        lambda x: sg.avg_pool(x, 2),
        lambda x: _pool(x, "avg"),
        [(2, 3, 6)],
    ),
    "cast": (lambda x: sg.astype(x, "int64"), lambda x: x.astype("int64"), [(4,)]),
    "iota": (
        lambda x: x * sg.arange(4, "float64"),
        lambda x: x * jnp.arange(4.0),
        [(3, 4)],
    ),
}
#: The gradient of these is a scatter, a guarded sum or a product of the others.
DERIVED = [
    "gather",
    "gather_pairs",
    "take_own",
    "take_along_axis",
    "max",
    "prod",
    "cumulative_sum",
    "cumulative_prod",
    "conv1d",
    "max_pool",
    "slice",
    "roll",
    "concat",
    "softmax",
    "where",
    "reshape_of_transposed",
    "add_broadcast",
    "logsumexp",
    "einsum",
    "pad",
]


def check(ours, theirs, shapes, in_axes):
    rng = np.random.default_rng(0)
    arrays = []
    for shape, axis in zip(shapes, in_axes, strict=True):
        if axis is None:
            arrays.append(rng.normal(size=shape))
        else:
            place = axis % (len(shape) + 1)
            arrays.append(rng.normal(size=(*shape[:place], N, *shape[place:])))
    tensors = [sg.input(f"x{n}", a.shape, "float64") for n, a in enumerate(arrays)]
    found = sg.vmap(ours, in_axes)(*tensors)
    (value,) = evaluate_graph([found], dict(zip(tensors, arrays, strict=True)))
    expected = jax.vmap(theirs, in_axes)(*arrays)
    assert value.shape == expected.shape
    np.testing.assert_allclose(value, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_every_argument_mapped(name):
    ours, theirs, shapes = CASES[name]
    check(ours, theirs, shapes, (0,) * len(shapes))


@pytest.mark.parametrize("name", [n for n in CASES if len(CASES[n][2]) == 2])
def test_one_argument_mapped(name):
    ours, theirs, shapes = CASES[name]
    check(ours, theirs, shapes, (None, -1))
    check(ours, theirs, shapes, (-1, None))


@pytest.mark.parametrize("name", DERIVED)
def test_gradients_mapped(name):
    ours, theirs, shapes = CASES[name]
    check(
        sg.grad(lambda *xs: sg.sum(sg.sin(ours(*xs)))),
        jax.grad(lambda *xs: jnp.sum(jnp.sin(theirs(*xs)))),
        shapes,
        (0,) * len(shapes),
    )


@pytest.mark.parametrize("name", ["take_own", "matmul", "conv1d", "cumulative_sum"])
def test_mapped_twice(name):
    ours, theirs, shapes = CASES[name]
    rng = np.random.default_rng(1)
    arrays = [rng.normal(size=(2, N, *shape)) for shape in shapes]
    tensors = [sg.input(f"x{n}", a.shape, "float64") for n, a in enumerate(arrays)]
    found = sg.vmap(sg.vmap(ours))(*tensors)
    (value,) = evaluate_graph([found], dict(zip(tensors, arrays, strict=True)))
    expected = jax.vmap(jax.vmap(theirs))(*arrays)
    np.testing.assert_allclose(value, expected, rtol=1e-10, atol=1e-12)


def test_a_named_dimension_is_mapped():
    x, w = sg.input("x", ("n", 4), "float64"), sg.input("w", (4, 5), "float64")
    y = sg.vmap(lambda row: sg.softmax(row @ w))(x)
    assert str(y.shape[0]) == "n"
    rng = np.random.default_rng(2)
    arrays = {x: rng.normal(size=(7, 4)), w: rng.normal(size=(4, 5))}
    (value,) = evaluate_graph([y], arrays)
    np.testing.assert_allclose(value, jax.nn.softmax(arrays[x] @ arrays[w]), rtol=1e-12)


def test_what_is_not_mapped_stays_as_it_is():
    x, w = sg.input("x", (3, 4)), sg.input("w", (4, 4))
    shared = w @ w
    y = sg.vmap(lambda row: row @ shared)(x)
    assert any(a is shared for a in y.args)


def test_an_operation_without_a_rule():
    class Unknown:
        name = "unknown"

    x = sg.input("x", (3,))
    y = make(Unknown(), [x], (3,), "float32")
    with pytest.raises(sg.DerivationError, match=r"'unknown' has no rule"):
        sg.vmap(lambda row: make(Unknown(), [row], (), "float32"))(x)
    assert sg.vmap(lambda row: (row, y), out_axes=(0, None))(x)[1] is y

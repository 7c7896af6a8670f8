"""Layers: values and gradients against JAX, names, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import symgrad as sg
from tests.nn.support import check

nn = sg.nn


def sequence(width=6, name="x"):
    return sg.input(name, ("n", "time", width), dtype="float64")


def rows(width=6, name="x"):
    return sg.input(name, ("n", width), dtype="float64")


def affine(p, name, x):
    return x @ p[f"{name}/W"] + p[f"{name}/b"]


def layer_norm(p, name, x, eps=1e-5):
    c = x - x.mean(-1, keepdims=True)
    y = c / jnp.sqrt((c * c).mean(-1, keepdims=True) + eps)
    return y * p[f"{name}/scale"] + p[f"{name}/bias"]


def test_linear():
    check(nn.linear(sequence(), 4), lambda p: affine(p, "linear", p["x"]))
    check(nn.linear(rows(), 4, bias=False, name="a"), lambda p: p["x"] @ p["a/W"])


def test_mlp():
    def by_jax(p):
        h = jax.nn.gelu(affine(p, "mlp/layer1", p["x"]), approximate=False)
        return jnp.tanh(affine(p, "mlp/layer2", h))

    check(nn.mlp(rows(), [5, 3], activation="gelu", final=sg.tanh), by_jax)


@pytest.mark.parametrize("padding", [0, "same"])
def test_conv2d(padding):
    x = sg.input("x", ("n", 2, 5, 6), dtype="float64")

    def by_jax(p):
        pad = "SAME" if padding == "same" else "VALID"
        y = jax.lax.conv_general_dilated(p["x"], p["c/W"], (1, 1), pad)
        return y + p["c/b"][:, None, None]

    check(nn.conv2d(x, 4, (3, 2), padding=padding, name="c"), by_jax)


def test_norms():
    check(nn.layer_norm(sequence()), lambda p: layer_norm(p, "layer_norm", p["x"]))

    def rms(p):
        scale = jnp.sqrt((p["x"] ** 2).mean(-1, keepdims=True) + 1e-6)
        return p["x"] / scale * p["rms_norm/scale"]

    check(nn.rms_norm(sequence()), rms)
    bare = nn.layer_norm(sequence(), scale=False, bias=False)
    assert sg.init(bare) == {}


def test_norms_of_constant_rows_are_finite():
    x = rows()
    y = nn.layer_norm(x, scale=False, bias=False), nn.rms_norm(x, scale=False)
    program = sg.compile([x], [*y, sg.grad(sg.sum(y[0] + y[1]), x)])
    for value in program(np.zeros((2, 6))):
        np.testing.assert_array_equal(np.isfinite(value), True)


def test_embedding():
    ids = sg.input("ids", ("n", "time"), dtype="int64")
    y = nn.embedding(ids, 2, 3, dtype="float64")
    check(y, lambda p: p["embedding/table"][p["ids"]])


def test_residual():
    y = nn.residual(lambda t: nn.mlp(t, [4, 6], activation=sg.tanh))(rows())

    def by_jax(p):
        h = jnp.tanh(affine(p, "mlp/layer1", p["x"]))
        return p["x"] + affine(p, "mlp/layer2", h)

    check(y, by_jax)


def test_residual_passes_arguments_on():
    x = rows()
    y = nn.residual(lambda t, k, *, c: k * t + c)(x, 2, c=1.0)
    program = sg.compile([x], y)
    np.testing.assert_array_equal(program(np.ones((1, 6))), np.full((1, 6), 4.0))


# -- attention -------------------------------------------------------------------------


def by_softmax(q, k, v, allowed, scale):
    s = jnp.where(allowed, q @ jnp.swapaxes(k, -1, -2) * scale, -jnp.inf)
    top = jnp.max(s, -1, keepdims=True)
    e = jnp.exp(s - jax.lax.stop_gradient(jnp.where(jnp.isfinite(top), top, 0)))
    total = e.sum(-1, keepdims=True)
    return e / jnp.where(total == 0, 1, total) @ v


def operands():
    def of(name, length):
        return sg.input(name, ("n", 2, length, 4), dtype="float64")

    return of("q", "time"), of("k", "keys"), of("v", "keys")


def test_attention():
    q, k, v = operands()

    def by_jax(p):
        return by_softmax(p["q"], p["k"], p["v"], True, 0.5)

    check(nn.attention(q, k, v), by_jax)


def test_causal_attention():
    q = sg.input("q", ("n", 2, "time", 4), dtype="float64")

    def by_jax(p):
        return by_softmax(p["q"], p["q"], p["q"], np.tri(5, dtype=bool), 0.3)

    check(nn.attention(q, q, q, causal=True, scale=0.3), by_jax)


def test_the_last_query_belongs_to_the_last_key():
    q, k, v = operands()  # five queries, four keys: the first looks at none
    allowed = np.tri(5, 4, -1, dtype=bool)
    got, _ = check(
        nn.attention(q, k, v, causal=True),
        lambda p: by_softmax(p["q"], p["k"], p["v"], allowed, 0.5),
    )
    assert not got[0][:, :, 0].any()
    assert not got[1][:, :, 0].any()


def test_masks_join_and_rows_without_keys_are_zero():
    q, k, v = operands()
    mask = sg.input("mask", ("time", "keys"), dtype="bool")
    padding = sg.input("padding", ("n", "keys"), dtype="bool")
    rng = np.random.default_rng(3)
    given = {
        "mask": rng.random((5, 4)) < 0.7,
        "padding": np.array([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], bool),
    }

    def by_jax(p):
        allowed = p["mask"] & p["padding"][:, None, None]
        return by_softmax(p["q"], p["k"], p["v"], allowed, 0.5)

    y = nn.attention(q, k, v, mask=mask, padding=padding)
    got, _ = check(y, by_jax, given=given, compiled=True)
    assert not got[0][2].any()
    assert all(np.isfinite(g).all() for g in got)


@pytest.mark.parametrize("scale", [1e4, 1e15])
def test_attention_with_large_scores(scale):
    q = sg.input("q", (1, 1, 3, 2))
    y = nn.attention(q, q, q, causal=True)
    program = sg.compile([q], [y, sg.grad(sg.sum(y * y), q)])
    y, _ = program(scale * np.array([[[[1, 0], [0, 1], [1, 1]]]], "f4"))
    assert np.isfinite(y).all()
    np.testing.assert_allclose(y[0, 0, 0], [scale, 0])


def heads(t, count):
    return t.reshape(*t.shape[:2], count, -1).swapaxes(1, 2)


def by_jax_attention(p, name, x, other, count, allowed=True):
    q, k, v = (
        heads(affine(p, f"{name}/{part}", t), count)
        for part, t in (("query", x), ("key", other), ("value", other))
    )
    y = by_softmax(q, k, v, allowed, q.shape[-1] ** -0.5)
    y = y.swapaxes(1, 2).reshape(*x.shape[:2], -1)
    return affine(p, f"{name}/out", y)


def test_cross_attention():
    context = sg.input("context", ("n", "keys", 3), dtype="float64")
    check(
        nn.multi_head_attention(sequence(), 2, context=context),
        lambda p: by_jax_attention(p, "attention", p["x"], p["context"], 2),
    )


def test_transformer_block():
    def by_jax(p):
        h = layer_norm(p, "block/norm1", p["x"])
        causal = np.tri(5, dtype=bool)
        x = p["x"] + by_jax_attention(p, "block/attention", h, h, 3, causal)
        h = affine(p, "block/mlp/expand", layer_norm(p, "block/norm2", x))
        h = jax.nn.gelu(h, approximate=False)
        return x + affine(p, "block/mlp/contract", h)

    y = nn.transformer_block(sequence(), 3, hidden=5, causal=True)
    check(y, by_jax, 1e-8, compiled=True)


def test_a_causal_block_does_not_look_ahead():
    x = sequence()
    y = nn.transformer_block(x, 2, norm="rms", causal=True, bias=False)
    program = sg.compile([x], y)
    params = sg.init(y)
    values = np.random.default_rng(0).normal(size=(1, 5, 6))
    other = values.copy()
    other[:, 3:] += 1
    first, second = program(values, params=params), program(other, params=params)
    np.testing.assert_array_equal(first[:, :3], second[:, :3])
    assert not np.allclose(first[:, 3], second[:, 3])


# -- names -----------------------------------------------------------------------------


def test_names_follow_from_the_graph():
    def model():
        h = nn.linear(rows(), 3)
        h = nn.layer_norm(sg.relu(nn.linear(h, 3)))
        return nn.linear(nn.layer_norm(h), 2)

    names = {n.rpartition("/")[0] for n in sg.init(model())}
    assert names == {"linear", "linear_1", "linear_2", "layer_norm", "layer_norm_1"}
    assert sg.init(model()).keys() == sg.init(model()).keys()


def test_names_are_numbered_within_a_scope():
    x = rows()
    with sg.scope("a"):
        h = nn.linear(nn.linear(x, 3), 3)
    with sg.scope("b"):
        h = nn.linear(h, 3)
    scopes = sorted({n.rpartition("/")[0] for n in sg.init(h)})
    assert scopes == ["a/linear", "a/linear_1", "b/linear"]


def test_a_name_that_begins_like_another_is_another():
    h = nn.linear(nn.linear(rows(), 3, name="linear_up"), 3)
    assert "linear/W" in sg.init(h)


def test_layers_side_by_side_need_names():
    x = rows()
    y = nn.linear(x, 3) * nn.linear(x, 3)
    with pytest.raises(
        sg.GraphError, match=r"two different tensors .*'linear/W'.*name"
    ):
        sg.init(y)
    with pytest.raises(sg.GraphError, match="two parameters are called 'linear/W'"):
        sg.compile([x], y)


# -- what is refused -------------------------------------------------------------------

IDS = sg.input("ids", ("n",), dtype="int64")
REFUSED = [
    (lambda: nn.linear(IDS, 3), sg.DTypeError, "linear works on floats, not 'ids'"),
    (lambda: nn.linear(sg.input("x", ("n",)), 3), sg.ShapeError, "must be an integer"),
    (lambda: nn.linear(sg.input("x", ()), 3), sg.ShapeError, "dimension -1 of 'x'"),
    (lambda: nn.linear(rows(), 0), sg.ShapeError, "features is an integer of at least"),
    (lambda: nn.linear(rows(), 3, name=""), sg.GraphError, "non-empty name"),
    (lambda: nn.mlp(rows(), []), sg.ShapeError, "widths is a list"),
    (lambda: nn.mlp(rows(), [3], activation="x"), sg.GraphError, "not 'x'"),
    (lambda: nn.conv2d(rows(), 3), sg.ShapeError, "dimensions .n, channels"),
    (
        lambda: nn.conv2d(sg.input("x", (1, 2, 8, 8)), 3, (3, 3, 3)),
        sg.ShapeError,
        "window is one integer or two",
    ),
    (lambda: nn.embedding(rows(), 3, 2), sg.DTypeError, "ids are integers"),
    (lambda: nn.residual(lambda t: t[0])(rows()), sg.ShapeError, "returned .6.; proj"),
    (lambda: nn.residual(lambda t: None)(rows()), sg.ShapeError, "returned None"),
    (
        lambda: nn.attention(rows(), rows(5), rows()),
        sg.ShapeError,
        "queries 'x' float64.n, 6. and the keys 'x' float64.n, 5.",
    ),
    (
        lambda: nn.attention(*operands()[:2], operands()[0]),
        sg.ShapeError,
        "one value for each key",
    ),
    (
        lambda: nn.attention(*operands(), mask=np.ones((5, 5), bool)),
        sg.ShapeError,
        r"the mask \[5, 5\] does not broadcast to .* \[n, 2, time, keys\]",
    ),
    (
        lambda: nn.attention(*operands(), mask=np.ones((1, 1))),
        sg.DTypeError,
        "mask is bool, True where a query may look",
    ),
    (
        lambda: nn.attention(*operands(), padding=np.ones((3, 4), bool)),
        sg.ShapeError,
        r"padding is \[batch, keys\], here \[n, keys\]",
    ),
    (
        lambda: nn.multi_head_attention(sequence(), 4),
        sg.ShapeError,
        "4 heads do not divide the width 6",
    ),
    (lambda: nn.multi_head_attention(rows(), 2), sg.ShapeError, "batch, sequence"),
    (
        lambda: nn.transformer_block(sequence(), 2, norm="batch"),
        sg.GraphError,
        "norm is one of 'layer', 'rms', not 'batch'",
    ),
]


@pytest.mark.parametrize(("make", "error", "said"), REFUSED)
def test_refused(make, error, said):
    with pytest.raises(error, match=said):
        make()

"""Initial values: distributions, streams, and what is refused."""

import math

import numpy as np
import pytest

import symgrad as sg
from symgrad.train.initialize import INITIALIZERS, fans


def one(init, shape, seed=0, name="W", dtype="float32"):
    return sg.init(sg.param(name, shape, init, dtype=dtype), seed)[name]


VARIANCE = {
    "glorot": lambda i, o: 2 / (i + o),
    "xavier": lambda i, o: 2 / (i + o),
    "he": lambda i, o: 2 / i,
    "kaiming": lambda i, o: 2 / i,
    "lecun": lambda i, o: 1 / i,
}


@pytest.mark.parametrize("family", VARIANCE)
@pytest.mark.parametrize("kind", ["uniform", "normal"])
@pytest.mark.parametrize("shape", [(400, 100), (64, 32, 5, 5)])
def test_variance_follows_the_fans(family, kind, shape):
    drawn = one(f"{family}_{kind}", shape, dtype="float64")
    variance = VARIANCE[family](*fans(shape))
    assert abs(drawn.mean()) < 5 * math.sqrt(variance / drawn.size)
    assert drawn.var() == pytest.approx(variance, rel=0.03)
    if kind == "uniform":
        limit = math.sqrt(3 * variance)
        assert 0.99 * limit < abs(drawn).max() <= limit
    else:
        assert abs(drawn).max() > 3 * math.sqrt(variance)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (8, 2, 3, 3)])
def test_orthogonal(shape):
    w = one("orthogonal", shape, dtype="float64").reshape(shape[0], -1)
    gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(gram, np.eye(min(w.shape)), atol=1e-12)


def test_plain_distributions():
    assert (one("zeros", (3,)) == 0).all()
    assert (one("ones", (3,)) == 1).all()
    assert (one(0.25, (2, 2)) == 0.25).all()
    drawn = one("normal", (40_000,), dtype="float64")
    assert drawn.std() == pytest.approx(0.02, rel=0.02)
    drawn = one("uniform", (40_000,), dtype="float64")
    assert abs(drawn).max() <= 0.05
    assert drawn.std() == pytest.approx(0.05 / math.sqrt(3), rel=0.02)
    drawn = one("truncated_normal", (40_000,), dtype="float64")
    assert abs(drawn).max() <= 0.04
    # a normal cut at two deviations has 0.8796 of the deviation
    assert drawn.std() == pytest.approx(0.8796 * 0.02, rel=0.02)


@pytest.mark.parametrize("name", sorted(set(INITIALIZERS) - {"orthogonal"}))
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0), (2, 3), (2, 3, 4)])
def test_every_shape_is_filled_as_declared(name, shape):
    array = one(name, shape)
    assert array.shape == shape
    assert array.dtype == np.float32
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert np.isfinite(array).all()


def test_one_more_parameter_changes_no_other():
    a, b = sg.param("a", (3, 3)), sg.param("b", (3, 3))
    alone, together = sg.init(b, seed=3), sg.init([a, {"k": (b, a)}], seed=3)
    np.testing.assert_array_equal(alone["b"], together["b"])
    assert not np.array_equal(together["a"], together["b"])
    assert not np.array_equal(sg.init(b, seed=4)["b"], alone["b"])


def test_both_precisions_start_alike():
    double, single = one("normal", (9,), dtype="float64"), one("normal", (9,))
    np.testing.assert_array_equal(double.astype("float32"), single)


def test_an_array_is_copied():
    given = np.arange(4, dtype=np.int64).reshape(2, 2)
    made = one(given, (2, 2))
    made[0, 0] = 7
    assert given[0, 0] == 0
    assert made.dtype == np.float32


def test_a_function_gets_its_stream_and_shape():
    seen = []

    def start(rng, shape):
        seen.append(shape)
        return rng.normal(size=shape)

    first = one(start, (2, 3))
    np.testing.assert_array_equal(first, one(start, (2, 3)))
    assert seen == [(2, 3), (2, 3)]


def test_names_that_clash_are_named():
    a, b = sg.param("W", (2,)), sg.param("W", (3,))
    with pytest.raises(sg.GraphError, match=r"two different tensors are called 'W'"):
        sg.init([a, b])
    assert list(sg.init([a, a])) == ["W"]


def test_scopes_are_part_of_names():
    with sg.scope("left"):
        a = sg.param("W", (2,))
    with sg.scope("right"):
        b = sg.param("W", (2,))
    assert sorted(sg.init(a + b)) == ["left/W", "right/W"]


@pytest.mark.parametrize(
    ("init", "error", "message"),
    [
        ("golrot", sg.GraphError, "init='golrot' is unknown; use one of glorot_normal"),
        (np.zeros(3), sg.ShapeError, r"has the shape \[3\], not \[2, 2\]"),
        (np.zeros((2, 2), complex), sg.DTypeError, "holds complex128, not numbers"),
        (lambda rng, shape: np.zeros(7), sg.ShapeError, r"function .* shape \[7\]"),
        (lambda rng, shape: [["a", "b"]] * 2, sg.DTypeError, "not numbers"),
        (None, sg.DTypeError, "not numbers"),
    ],
)
def test_unsuitable_init(init, error, message):
    with pytest.raises(error, match=message):
        one(init, (2, 2))


def test_orthogonal_needs_a_matrix():
    with pytest.raises(sg.ShapeError, match="needs a matrix"):
        one("orthogonal", (3,))


@pytest.mark.parametrize("seed", [-1, 1.5, None, "7"])
def test_unsuitable_seed(seed):
    with pytest.raises(sg.GraphError, match="a seed is a non-negative integer"):
        sg.init(sg.param("W", (2,)), seed)


def test_only_tensors():
    with pytest.raises(sg.GraphError, match="expected tensors, not str"):
        sg.init("W")

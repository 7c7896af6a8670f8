"""Random tensors: JAX's bits, distributions, threads, and what is refused."""

import jax
import numpy as np
import pytest
import scipy.stats

import symgrad as sg
from tests.reference import evaluate_graph

random = sg.random
N = 20_000
KEY = sg.input("key", (), "int64")
X = sg.input("x", ("n", 2))


def word(key):
    """Return one of JAX's keys as an integer."""
    high, low = np.asarray(key).astype(np.uint64)
    return np.uint64(high << np.uint64(32) | low).view(np.int64)


@pytest.fixture(scope="module")
def program():
    shape = X.shape
    outputs = {
        "bits": random.bits(KEY, shape),
        "float32": random.uniform(KEY, shape),
        "float64": random.uniform(KEY, shape, dtype="float64"),
        "range": random.uniform(KEY, shape, -2.0, 3.0),
        "rare": random.bernoulli(KEY, shape, np.float32(0.1).item()),
        "normal32": random.normal(KEY, shape),
        "normal64": random.normal(KEY, shape, "float64"),
        "folded": random.fold_in(KEY, 7),
        "split": random.split(KEY, 3),
    }
    return sg.compile([KEY, X], outputs)


@pytest.mark.parametrize("seed", [0, 42, 2**40 + 5])
def test_the_bits_are_jaxs(program, seed):
    got = program(seed, np.zeros((N, 2), "f4"))
    key = jax.random.PRNGKey(seed)
    bits = np.asarray(jax.random.bits(key, (N, 2), "uint64"))
    np.testing.assert_array_equal(got["bits"].view("u8"), bits)
    for kind in ("float32", "float64"):
        wanted = jax.random.uniform(key, (N, 2), kind)
        np.testing.assert_array_equal(got[kind], wanted)
    rare = jax.random.bernoulli(key, np.float32(0.1), (N, 2))
    np.testing.assert_array_equal(got["rare"], rare)
    assert got["folded"] == word(jax.random.fold_in(key, 7))
    assert list(got["split"]) == [word(k) for k in jax.random.split(key, 3)]


def test_distributions(program):
    got = program(3, np.zeros((N, 2), "f4"))
    for name, law in {
        "float32": scipy.stats.uniform(),
        "range": scipy.stats.uniform(-2, 5),
        "normal32": scipy.stats.norm(),
        "normal64": scipy.stats.norm(),
    }.items():
        assert scipy.stats.kstest(got[name].ravel(), law.cdf).pvalue > 1e-3, name
        assert abs(np.corrcoef(got[name].T)[0, 1]) < 4 / np.sqrt(N), name
    assert abs(got["rare"].mean() - 0.1) < 4 * np.sqrt(0.09 / (2 * N))
    assert got["normal32"].dtype == np.float32
    assert got["normal64"].dtype == np.float64


def test_numbers_do_not_depend_on_threads_or_on_other_sizes(program):
    y = random.normal(KEY, X.shape)
    ones, twos = (sg.compile([KEY, X], y, threads=t) for t in (1, 2))
    x = np.zeros((N, 2), "f4")
    np.testing.assert_array_equal(ones(5, x), twos(5, x))
    np.testing.assert_array_equal(ones(5, x[:7]), ones(5, x)[:7])
    assert not (ones(5, x) == ones(6, x)).any()


def test_no_gradient_flows_to_a_key():
    loss = sg.sum(X * random.uniform(KEY, X.shape))
    (slope,) = sg.grad(loss, [X])
    got = evaluate_graph([slope], {"key": 1, "x": np.zeros((3, 2))}, {"n": 3})
    wanted = jax.random.uniform(jax.random.PRNGKey(1), (3, 2), "float32")
    np.testing.assert_array_equal(got[0], wanted)


REFUSED = [
    (lambda: random.normal(1.5), sg.DTypeError, "a random key is an integer, not 1.5"),
    (lambda: random.normal(X), sg.DTypeError, "a random key is an integer"),
    (lambda: random.normal(np.arange(2)), sg.ShapeError, "take one of its values"),
    (lambda: random.normal(2**64), sg.GraphError, "has 64 bits"),
    (lambda: random.normal(0, dtype="int64"), sg.DTypeError, "are float32 or float64"),
    (lambda: random.uniform(0, (), 1, 1), sg.GraphError, "low=1 is not below high=1"),
    (lambda: random.bernoulli(0, (), 1.5), sg.GraphError, r"in \[0, 1\], not 1.5"),
    (lambda: random.split(0, 0), sg.ShapeError, "at least 1, not 0"),
    (lambda: random.uniform(0, (1.5,)), sg.ShapeError, "not a dimension"),
]


@pytest.mark.parametrize(("make", "error", "said"), REFUSED)
def test_refused(make, error, said):
    with pytest.raises(error, match=said):
        make()

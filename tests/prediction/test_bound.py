"""``sg.gradient_bound``: never exceeded, and exact where a product can be."""

import math

import numpy as np
import pytest

import symgrad as sg
from symgrad.declare.tensor import topological
from symgrad.prediction.blocks import block_of
from symgrad.prediction.facts import Facts, Known
from symgrad.prediction.norms import convolution_norm, spectral_norm

rng = np.random.default_rng(0)


@pytest.mark.parametrize("first", range(0, 24, 8))
def test_no_random_network_exceeds_its_bound(first):
    """More of them: ``python -m tests.prediction.networks 2000``."""
    pytest.importorskip("torch")
    from tests.prediction.networks import ratios

    found = [r for seed in range(first, first + 8) for r in ratios(seed, seed % 2)]
    assert max(found) > 0.02  # and they are not empty words


@pytest.mark.parametrize("kind", ["scan", "batch_normalised", "solved", "attention"])
def test_no_network_of_a_kind_exceeds_its_bound(kind):
    pytest.importorskip("torch")
    from tests.prediction.networks import Network, ratios

    seeds = [n for n in range(100, 200) if Network(n).kind == kind][:2]
    assert len(seeds) == 2
    for seed in seeds:
        ratios(seed, seed % 2)
    assert max(ratios(seeds[0], True, measure=True)) > 0.001


def chain(activation, depth, width=6):
    """A deep network with orthogonal weights: every ‖W‖ is 1."""
    x = sg.input("x", ("n", width), "float64")
    h = x
    for n in range(depth):
        with sg.scope(f"layer{n + 1}"):
            W = sg.param("W", (width, width), init="orthogonal", dtype="float64")
            h = activation(h @ W)
    return x, sg.sum(h)


@pytest.mark.parametrize("depth", [4, 10])
def test_sigmoids_shrink_by_a_quarter_each(depth):
    x, loss = chain(sg.sigmoid, depth)
    bound = sg.gradient_bound(loss, x)
    assert bound.value == pytest.approx(math.sqrt(6) * 0.25**depth, rel=3e-5)
    assert "sup|sigmoid′| = 1/4" in str(bound)
    assert len(bound.factors) == 2 * depth + 1
    assert math.prod(f.value for f in bound.paths[0]) == pytest.approx(bound.value)


def test_a_linear_network_reaches_its_bound():
    W = rng.normal(size=(5, 4))
    x = sg.input("x", (5,), "float64")
    loss = sg.param("v", (4,), init=W.T @ W @ np.ones(4), dtype="float64")
    loss = sg.sum((x @ sg.param("W", (5, 4), init=W, dtype="float64")) * loss)
    largest = np.linalg.norm(W, 2)
    bound = sg.gradient_bound(loss, x)
    gradient = np.linalg.norm(W @ (W.T @ W @ np.ones(4)))
    assert gradient <= bound.value
    assert str(bound).startswith("‖∂L/∂x‖ ≤ ")
    assert f"‖W‖ = {largest:.4g}" in str(bound)


def test_a_shortcut_stays_apart():
    x = sg.input("x", ("n", 3), "float64")
    W = sg.param("W", (3, 3), init=2 * np.eye(3), dtype="float64")
    loss = sg.sum(x + sg.tanh(x @ W))
    bound = sg.gradient_bound(loss, x)
    assert bound.value == pytest.approx(math.sqrt(3) * (1 + 2), rel=1e-6)
    assert "1 + 1·2" in str(bound) or "1 + 2" in str(bound)
    assert sorted(math.prod(f.value for f in p) for p in bound.paths) == pytest.approx(
        [math.sqrt(3), 2 * math.sqrt(3)], rel=1e-6
    )


def test_a_composite_is_one_function():
    x = sg.input("x", ("n", 3), "float64")
    for y, value in (
        (x * sg.sigmoid(x), 1.09984),
        (x * sg.tanh(sg.log(1 + sg.exp(x))), 1.0885),
        (sg.gelu(x), 1.12890),
        (sg.relu(x) - sg.relu(x - 1), 1.0),
        (x - x * 0.5, 0.5),
    ):
        bound = sg.gradient_bound(sg.sum(y), x, sizes={"n": 1})
        assert bound.value == pytest.approx(math.sqrt(3) * value, rel=2e-5)


def test_what_has_no_bound_gets_one_on_an_interval():
    x = sg.input("x", (4,), "float64")
    for y, value in ((x * x, 6.0), (sg.exp(x), math.exp(3)), (x**3, 27.0)):
        assert sg.gradient_bound(sg.sum(y), x).value == math.inf
        found = sg.gradient_bound(sg.sum(y), x, intervals={"x": (-1, 3)})
        assert found.value == pytest.approx(2 * value, rel=1e-5)
    assert "∞" in str(sg.gradient_bound(sg.sum(x * x), x))
    inside = sg.gradient_bound(sg.sum(sg.exp(sg.sigmoid(x))), x)
    assert inside.value < 2 * math.e / 4 * 1.01


def test_the_mean_of_a_batch_does_not_depend_on_its_size():
    x = sg.input("x", ("n", 3), "float64")
    loss = sg.mean(sg.tanh(x @ sg.param("W", (3, 1), dtype="float64")))
    params = sg.init(loss)
    W = next(t for t in topological([loss]) if t.name == "W")
    found = [
        sg.gradient_bound(loss, W, params, intervals={"x": (-1, 1)}, sizes={"n": n})
        for n in (1, 7, 4096)
    ]
    assert [b.value for b in found] == pytest.approx([math.sqrt(3)] * 3, rel=1e-5)
    assert "n = 7" in str(found[1])


def test_structure_of_wrt():
    x = sg.input("x", ("n", 3))
    W, V = sg.param("W", (3, 2)), sg.param("V", (2, 2))
    loss = sg.mean(sg.tanh(sg.tanh(x @ W) @ V))
    found = sg.gradient_bound(loss, {"a": [W], "b": V}, intervals={"x": (0, 1)})
    assert [found["a"][0].name, found["b"].name] == ["W", "V"]
    assert float(found["b"]) == found["b"].value
    assert repr(found["b"]).startswith("<Bound ‖∂L/∂V‖ ≤")


def test_what_is_refused():
    x = sg.input("x", ("n", 3))
    W, F = sg.param("W", (3, 2)), sg.param("F", (2, 2), trainable=False)
    loss = sg.mean(x @ W @ F)
    with pytest.raises(sg.GraphError, match=r"'F' .* is frozen"):
        sg.gradient_bound(loss, F)
    with pytest.raises(sg.ShapeError, match="take its mean"):
        sg.gradient_bound(x @ W, W)
    with pytest.raises(sg.GraphError, match="takes a loss, not float"):
        sg.gradient_bound(3.0, W)
    with pytest.raises(sg.GraphError, match="not reached"):
        sg.gradient_bound(loss, sg.param("U", (2, 2)))
    with pytest.raises(sg.GraphError, match="no input 'z'; it has 'x'"):
        sg.gradient_bound(loss, W, intervals={"z": (0, 1)})
    with pytest.raises(sg.GraphError, match=r"'x' needs \(least, greatest\)"):
        sg.gradient_bound(loss, W, intervals={"x": (1, 0)})
    with pytest.raises(sg.GraphError, match="params has no array for 'W'"):
        sg.gradient_bound(loss, W, {"F": np.eye(2)})
    with pytest.raises(sg.ShapeError, match=r"'x' .* has the shape"):
        sg.gradient_bound(loss, W, data={"x": np.ones((5, 4))})


# -- parts -----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 3), (7, 2), (1, 5), (4, 6, 3)])
def test_spectral_norms_are_numpys(shape):
    A = rng.normal(size=shape)
    truth = np.linalg.svd(A, compute_uv=False).max()
    assert truth <= spectral_norm(A) <= truth * (1 + 1e-6)


def test_large_matrices_are_bounded_without_eigenvalues(monkeypatch):
    monkeypatch.setattr("symgrad.prediction.norms.LARGEST", 10)
    A = rng.normal(size=(60, 50))
    truth = np.linalg.svd(A, compute_uv=False).max()
    assert truth <= spectral_norm(A) <= truth * 1.1


@pytest.mark.parametrize("size", [(3,), (3, 3), (5, 2), (1, 4)])
def test_a_convolution_stays_below_its_norm(size):
    kernel = rng.normal(size=(3, 2, *size))  # out, in, window
    matrices = np.moveaxis(kernel, (0, 1), (-1, -2))[None]
    bound = convolution_norm(matrices, len(size))
    grid = (12,) * len(size)
    torch = pytest.importorskip("torch")
    conv = torch.nn.functional.conv1d if len(size) == 1 else torch.nn.functional.conv2d
    eye = torch.eye(2 * math.prod(grid), dtype=torch.float64).reshape(-1, 2, *grid)
    full = conv(eye, torch.tensor(kernel), padding=[s - 1 for s in size])
    truth = float(torch.linalg.matrix_norm(full.reshape(len(eye), -1), ord=2))
    assert truth <= bound <= truth * 1.35


def test_facts_of_an_array():
    A = rng.normal(size=(4, 5))
    known = Known(A)
    assert known.norm([]) == pytest.approx(np.abs(A).max())
    assert known.norm([1]) == pytest.approx(np.linalg.norm(A, axis=1).max())
    assert known.norm([0, 1]) == pytest.approx(np.linalg.norm(A))
    assert Known(np.ones((0, 3))).norm([0, 1]) == 0
    assert Facts((2, 3), math.nan, 1.0).norm([0]) == math.inf


def test_blocks_are_found_however_they_are_written():
    x = sg.input("x", ("n", 6))
    m = sg.mean(x, axis=-1, keepdims=True)
    v = sg.mean(x * x, axis=-1, keepdims=True)
    e = sg.exp(x)
    for t, kind in (
        (x - m, "centred"),
        (x / sg.sqrt(v + 1e-5), "normalised"),
        (x * sg.rsqrt(v + 1e-5), "normalised"),
        (x * sg.reciprocal(sg.sqrt(1e-5 + v)), "normalised"),
        (e / sg.sum(e, axis=-1, keepdims=True), "softmax"),
        (sg.log(sg.sum(e, axis=-1)), "logsumexp"),
        (sg.softmax(x), "softmax"),
    ):
        found = block_of(t)
        assert found is not None, kind
        assert found.kind == kind
        assert found.source is x or kind in ("softmax", "logsumexp")
    assert block_of(x - v) is None
    assert block_of(x / sg.sqrt(m)) is None
    y = sg.input("y", ("n",), "int64")
    picked = sg.sum(sg.log_softmax(x) * sg.one_hot(y, 6), axis=-1)
    gathered = sg.take_along_axis(sg.log_softmax(x), y[:, None], axis=1)
    assert block_of(picked).kind == block_of(gathered).kind == "cross-entropy"
    weighted = sg.sum(sg.log_softmax(x) * x, axis=-1)
    assert block_of(weighted) is None


@pytest.mark.parametrize("eps", [1e-5, 0.1])
def test_a_normalisation_reaches_its_bound(eps):
    """At a constant row the slope of layer norm is 1/√ε."""
    x = sg.input("x", (1, 4), "float64")
    c = x - sg.mean(x, axis=-1, keepdims=True)
    y = c / sg.sqrt(sg.mean(c * c, axis=-1, keepdims=True) + eps)
    v = np.array([[1.0, -1.0, 1.0, -1.0]])
    loss = sg.sum(y * v)
    bound = sg.gradient_bound(loss, x)
    g = sg.compile([x], sg.grad(loss, x))(np.ones((1, 4)))
    assert np.linalg.norm(g) == pytest.approx(bound.value, rel=1e-6)
    assert "1/√ε" in str(bound)


def test_gathers_and_overlaps():
    table = sg.param("E", (7, 3), dtype="float64")
    ids = sg.input("ids", ("n",), "int64")
    loss = sg.sum(sg.take(table, ids, axis=0) * np.array([1.0, 0.0, 0.0]))
    data = {"ids": np.zeros(9, int)}
    bound = sg.gradient_bound(loss, table, data=data)
    assert bound.value >= 9 - 1e-9  # every row is the same one
    x = sg.input("x", (10,), "float64")
    windows = sg.sum(sg.cumulative_sum(x))
    assert sg.gradient_bound(windows, x).value >= np.linalg.norm(np.arange(1, 11))


def test_behind_a_normalisation_data_tell_more():
    """Without data a row may be constant; with data its deviation is known."""
    x = sg.input("x", ("n", 6), "float64")
    W = sg.param("W", (6, 6), init="orthogonal", dtype="float64")
    y = sg.nn.layer_norm(x @ W, bias=False, name="norm")
    loss = sg.sum(y * rng.normal(size=6))
    data = {"x": 3 * rng.normal(size=(20, 6))}
    params = sg.init(loss)
    bound = sg.gradient_bound(loss, W, params, data, measure=True)
    truth = sg.compile([x], sg.grad(loss, W))(**data, params=params)
    assert np.linalg.norm(truth) <= bound.at_data < bound.value / 50
    assert f"≤ {bound.at_data:.4g} at data, about {bound.expected:.4g}" in str(bound)
    assert np.linalg.norm(truth) / 3 < bound.expected < 3 * np.linalg.norm(truth)


def test_a_loss_that_is_a_parameter_is_measured():
    p = sg.param("p", (), init=3.0)
    bound = sg.gradient_bound(p, p, data={}, measure=True)
    assert bound.value == bound.at_data == 1


def test_unknown_sizes_leave_nothing_empty():
    """Of one letter a model of the next letter learns nothing: two are the least."""
    ids = sg.input("ids", ("n", "t"), dtype="int64")
    E = sg.param("E", (5, 3))
    logits = sg.take(E, ids, axis=0) @ E.T
    bound = sg.gradient_bound(sg.nn.cross_entropy(logits[:, :-1], ids[:, 1:]), E)
    assert bound.given == "n = 2, t = 2"
    assert 0 < bound.value < np.inf


def test_measuring_needs_data():
    x = sg.input("x", ("n", 3))
    W = sg.param("W", (3, 2))
    with pytest.raises(sg.GraphError, match="data has no array for 'x'"):
        sg.gradient_bound(sg.mean(x @ W), W, measure=True)


def test_means_that_are_spread_along_another_axis_are_no_centring():
    """``x - mean(x, axis=1)`` of a square matrix takes row means from columns."""
    x = sg.input("x", (3, 3), "float64")
    m = sg.mean(x, axis=1)
    assert block_of(x - m) is None
    assert block_of(x - m[:, None]).kind == "centred"
    e = sg.exp(x)
    assert block_of(e / sg.sum(e, axis=1)) is None
    c = x - sg.mean(x, axis=0)
    assert block_of(c).kind == "centred"
    v = sg.mean(c * c, axis=0)
    assert block_of(c / sg.sqrt(v + 1e-3)).kind == "normalised"
    assert block_of(c / sg.sqrt(v + 1e-3)[:, None]) is None


def test_a_product_over_steps():
    """A linear recurrence by an orthogonal matrix times 1/2 halves in each step."""
    x = sg.input("x", (7, 4), "float64")
    h0 = sg.input("h", (4,), "float64")
    Q = np.linalg.qr(rng.normal(size=(4, 4)))[0] / 2
    W = sg.param("W", (4, 4), init=Q, dtype="float64")

    def step(h, x):
        h = h @ W + x
        return h, h

    last, states = sg.scan(step, h0, x)
    loss = sg.sum(last)
    bound = sg.gradient_bound(loss, {"h": h0, "x": x, "W": W}, intervals={"x": (-1, 1)})
    assert bound["h"].value == pytest.approx(2 * 0.5**7, rel=1e-6)
    assert bound["x"].value == pytest.approx(
        2 * math.sqrt(sum(0.25**n for n in range(7))), rel=1e-6
    )
    assert bound["W"].value == math.inf  # nothing is known of the first state
    assert "7 steps ≤ 0.007813" in str(bound["h"])
    spans = {"x": (-1, 1), "h": (0, 0)}
    assert sg.gradient_bound(loss, W, intervals=spans).value < math.inf
    every = sg.gradient_bound(sg.sum(states), h0)
    assert bound["h"].expected == pytest.approx(bound["h"].value, rel=1e-6)
    truth = np.linalg.norm(sum(np.linalg.matrix_power(Q, n) for n in range(1, 8)), 2)
    assert truth <= every.value <= math.sqrt(28) * 1.16


def test_carries_that_grow_for_long():
    x = sg.input("x", (400, 2), "float64")
    w = sg.param("w", (2,), init="ones", dtype="float64")
    count, _ = sg.scan(lambda c, x: (c + sg.sigmoid(x * w), c), np.zeros(2), x)
    bound = sg.gradient_bound(sg.sum(count), w, intervals={"x": (-1, 1)})
    assert math.sqrt(2) * 400 / 4 <= bound.value * 1.001 < 151


def test_linear_algebra_by_its_singular_values():
    A = np.diag([4.0, 0.5, 1.0])
    M = sg.param("M", (3, 3), init=A, dtype="float64")
    b = sg.input("b", (3, 1), "float64")
    for value, bound in (
        (sg.sum(sg.linalg.solve(M, b)), math.sqrt(3) * 2 * 2 * math.sqrt(3)),
        (sg.sum(sg.linalg.inv(M)), 3 * 4),
        (sg.linalg.det(M), math.sqrt(3) * 16),
        (sg.linalg.slogdet(M)[1], math.sqrt(3) * 2),
        (sg.sum(sg.linalg.cholesky(M)), 3 * 2 * 2),
    ):
        used = any(t is b for t in topological([value]))
        found = sg.gradient_bound(value, M, intervals={"b": (-1, 1)} if used else {})
        assert found.value == pytest.approx(bound, rel=1e-6)
        g = sg.compile([b] if used else [], sg.grad(value, M))
        given = [np.ones((3, 1))] if used else []
        assert np.linalg.norm(g(*given, params={"M": A})) <= found.value
    inner = sg.sum(sg.linalg.inv(sg.tanh(M)))
    assert sg.gradient_bound(inner, M).value == math.inf


def test_a_batch_normalisation_is_bounded_as_in_training():
    x = sg.input("x", ("n", 4), "float64")
    W = sg.param("W", (4, 3), dtype="float64")
    loss = sg.sum(sg.nn.batch_norm(x @ W, name="bn"))
    bound = sg.gradient_bound(loss, W, intervals={"x": (-1, 1)}, sizes={"n": 8})
    assert "normalised: 1/√ε = 316.2" in str(bound)

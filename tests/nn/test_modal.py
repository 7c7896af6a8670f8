"""Dropout and batch norm, in training and in evaluation; LoRA; accumulation."""

import jax
import numpy as np
import pytest

import symgrad as sg
from symgrad.declare.mode import KEY, in_mode
from symgrad.declare.tensor import Input, Param, topological
from symgrad.train.initialize import parameters
from symgrad.train.low_rank import opened
from tests.reference import evaluate_graph

nn = sg.nn


def rows(width=4, dtype="float64"):
    return sg.input("x", ("n", width), dtype)


def values(seed=0, count=24, width=4, dtype="float64"):
    return np.random.default_rng(seed).normal(size=(count, width)).astype(dtype)


def test_dropout_keeps_a_share_and_the_mean():
    x = rows(1000)
    y = nn.dropout(x, 0.3)
    ones = np.ones((50, 1000))
    (trained,) = in_mode([y], training=True)
    (got,) = evaluate_graph([trained], {"x": ones, KEY: 5}, {"n": 50})
    assert set(np.unique(got)) == {0, 1 / 0.7}
    assert abs(got.mean() - 1) < 4 * np.sqrt(0.3 / 0.7 / got.size)
    assert in_mode([y], training=False)[0] is x
    np.testing.assert_array_equal(sg.compile([x], y)(ones), ones)
    assert nn.dropout(x, 0) is x


def test_dropouts_of_a_chain_differ():
    x = rows(1000)
    y = nn.dropout(sg.relu(nn.dropout(x, 0.5)), 0.5)
    (trained,) = in_mode([y], training=True)
    (got,) = evaluate_graph([trained], {"x": np.ones((9, 1000)), KEY: 5}, {"n": 9})
    assert abs((got > 0).mean() - 0.25) < 0.03


def test_dropouts_side_by_side_differ_and_come_again():
    def declared():
        x = rows(1000)
        return x, [nn.dropout(x, 0.5), nn.dropout(x, 0.5), nn.dropout(-x, 0.5)]

    ones, key = np.ones((3, 1000)), {"training/key": 7}
    masks = []
    for x, ys in (declared(), declared()):
        run = sg.compile([x], ys, training=True)
        masks.append([y != 0 for y in run(ones, params=key)])
    assert all((abs(y) == 1).all() for y in sg.compile([x], ys)(ones))
    a, b, c = masks[0]
    for one, other in ((a, b), (a, c), (b, c)):
        assert 0.4 < (one == other).mean() < 0.6
    np.testing.assert_array_equal(masks[0], masks[1])


def test_a_layer_used_twice_draws_twice_and_a_value_once():
    x = rows(1000)
    y = nn.dropout(x, 0.5, name="drop")
    z = nn.dropout(x, 0.5, name="drop")
    run = sg.compile([x], [y - y, y - z], training=True)
    same, other = run(np.ones((2, 1000)), params={"training/key": 1})
    assert not same.any()
    assert other.any()


def test_dropout_of_a_transformer_block():
    x = sg.input("x", ("n", 5, 4), "float64")
    data = {"x": values(width=20).reshape(24, 5, 4)}

    def computed(p, training):
        y = nn.transformer_block(x, 2, hidden=5, name="b", dropout=p)
        given = data | sg.init(y) | {"training/key": np.array(1)}
        (y,) = in_mode([y], training)
        return evaluate_graph([y], given, {"n": 24})[0]

    np.testing.assert_array_equal(computed(0.5, False), computed(0.0, True))
    np.testing.assert_array_equal(computed(1.0, True), data["x"])  # the stream alone
    some, other = computed(0.3, True), computed(0.0, True)
    assert 0.05 < (some == data["x"]).mean() < 0.14  # in both branches: 0.3²
    assert (some != other).any()


def test_a_loop_of_ones_own_trains_as_a_trainer(made):
    """Outputs, gradients, chance and running statistics with ``training=True``."""
    (_, loss), data = made, samples()
    t = trainer(made)
    params = {n: a.copy() for n, a in t.params.items()}
    key = t.arrays["training/key"].copy()
    leaves = {p.name: p for p in topological([loss]) if isinstance(p.op, Param)}
    learned = {n: leaves[n] for n in params if leaves[n].op.trainable}
    states = nn.state_updates(loss)
    inputs = [n for n in topological([loss]) if isinstance(n.op, Input)]
    step = sg.compile(
        inputs,
        [loss, sg.grad(loss, learned), {s.name: new for s, new in states.items()}],
        training=True,
    )
    arrays = [data[i.name] for i in inputs]
    value, gradients, new = step(*arrays, params=params | {"training/key": key})
    assert value == pytest.approx(t.step(**data), rel=1e-6)
    for name in new:
        np.testing.assert_allclose(new[name], t.params[name], rtol=1e-6)
    for name, g in gradients.items():
        moved = t.params[name] - params[name]  # Adam's first step
        clear = abs(g) > 1e-4
        np.testing.assert_allclose(moved[clear], -0.01 * np.sign(g[clear]), rtol=1e-3)
    with pytest.raises(sg.GraphError, match="'training/key' is missing"):
        step(*arrays, params=params)


def test_functions_are_computed_as_in_evaluation():
    ones = np.ones((2, 5))
    f = sg.jit(lambda x: nn.dropout(x, 0.5) * 2)
    np.testing.assert_array_equal(f(ones), 2 * ones)
    g = sg.grad(lambda x: sg.sum(nn.dropout(x * x, 0.5)))
    np.testing.assert_array_equal(g(ones), 2 * ones)


def test_dropout_in_a_loop():
    x = rows(50)
    start = sg.constant(np.zeros(50))
    total, _ = sg.scan(lambda c, row: (c + nn.dropout(row, 0.5), None), start, x)
    ones = np.ones((4, 50))
    assert (sg.compile([x], total)(ones) == 4).all()
    run = sg.compile([x], total, training=True)
    assert set(run(ones, params={"training/key": 2})) == {0.0, 8.0}  # one for all steps


def test_a_program_with_chance_is_saved(tmp_path):
    x = rows(50)
    run = sg.compile([x], nn.dropout(x, 0.5), training=True)
    run.save(tmp_path / "run")
    given = np.ones((2, 50)), {"training/key": 3}
    again = sg.load(tmp_path / "run")(given[0], params=given[1])
    np.testing.assert_array_equal(again, run(given[0], params=given[1]))


def test_updates_in_training_mode():
    x = rows(4)
    states = nn.state_updates(nn.batch_norm(x, scale=False, bias=False))
    run = sg.compile([x], sg.sum(x), updates=states, training=True)
    arrays = {s.name: np.zeros(4) for s in states}
    run.bind(arrays)
    run(np.ones((3, 4)))
    np.testing.assert_allclose(arrays["batch_norm/running_mean"], 0.1)


def batch_norm(x, eps=1e-5):
    axes = (0, *range(2, x.ndim))
    c = x - x.mean(axes, keepdims=True)
    return c / np.sqrt((c * c).mean(axes, keepdims=True) + eps)


@pytest.mark.parametrize("shape", [("n", 4), ("n", 3, "h", 2)])
def test_batch_norm_in_training(shape):
    x = sg.input("x", shape, "float64")
    y = nn.batch_norm(x, scale=False, bias=False)
    (trained,) = in_mode([y], training=True)
    sizes = {"n": 6, "h": 5}
    data = values(1, 6, int(np.prod([sizes.get(s, s) for s in shape[1:]])))
    data = data.reshape([sizes.get(s, s) for s in shape])
    loss = sg.sum(trained * sg.cos(trained))
    got = evaluate_graph([trained, sg.grad(loss, x)], {"x": data}, sizes)
    np.testing.assert_allclose(got[0], batch_norm(data), rtol=1e-10)

    def by_jax(v):
        axes = (0, *range(2, v.ndim))
        c = v - v.mean(axes, keepdims=True)
        z = c / jax.numpy.sqrt((c * c).mean(axes, keepdims=True) + 1e-5)
        return (z * jax.numpy.cos(z)).sum()

    np.testing.assert_allclose(got[1], jax.grad(by_jax)(data), rtol=1e-8, atol=1e-10)


def model():
    x, t = rows(dtype="float32"), sg.input("t", ("n",))
    h = nn.batch_norm(nn.linear(x, 6))
    y = nn.linear(nn.dropout(sg.tanh(h), 0.4), 1)[:, 0]
    return y, nn.mse(y, t)


def samples(count=24):
    x = values(3, count, dtype="float32")
    return {"x": x, "t": x.sum(1)}


@pytest.fixture(scope="module")
def made():
    return model()


def trainer(made, seed=1):
    return sg.Trainer(made[1], sg.optim.Adam(0.01), seed=seed)


def test_a_trainer_trains_and_predicts_in_their_modes(made):
    t, data = trainer(made), samples()
    W, b = t.params["linear/W"].copy(), t.params["linear/b"].copy()
    first = t.step(**data)
    h = data["x"] @ W + b
    np.testing.assert_allclose(
        t.params["batch_norm/running_mean"], 0.1 * h.mean(0), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(
        t.params["batch_norm/running_variance"],
        0.9 + 0.1 * h.var(0, ddof=1),
        rtol=1e-4,
    )
    again = trainer(made)
    assert again.step(**data) == first
    assert trainer(made, seed=2).step(**data) != first
    whole = t.predict(made[0], x=data["x"])
    np.testing.assert_allclose(t.predict(made[0], x=data["x"][:1]), whole[:1], 1e-5)
    p = t.params
    m, v = p["batch_norm/running_mean"], p["batch_norm/running_variance"]
    h = (data["x"] @ p["linear/W"] + p["linear/b"] - m) / np.sqrt(v + 1e-5)
    h = np.tanh(h * p["batch_norm/scale"] + p["batch_norm/bias"])
    wanted = h @ p["linear_1/W"][:, 0] + p["linear_1/b"]
    np.testing.assert_allclose(whole, wanted, rtol=1e-4, atol=1e-5)
    found = t.evaluate(data)["loss"]
    assert found == pytest.approx(((wanted - data["t"]) ** 2).mean(), rel=1e-4)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_going_on_from_a_checkpoint_is_exact(made, tmp_path, accumulate):
    data = samples(20)
    options = {"batch_size": 3, "progress": False, "accumulate": accumulate}
    whole, part, rest = trainer(made), trainer(made), trainer(made, seed=9)
    whole.fit(data, 3, **options)
    part.fit(data, 2, **options, checkpoint=tmp_path / "run")
    rest.load(tmp_path / "run")
    rest.fit(data, 1, **options)
    assert whole.steps == rest.steps == 3 * -(-20 // (3 * accumulate))
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(array, rest.arrays[name], err_msg=name)
    assert whole.history["loss"] == rest.history["loss"]


def test_accumulated_batches_are_one_large_batch():
    x, t = rows(dtype="float32"), sg.input("t", ("n",))
    loss = nn.mse(nn.linear(x, 1)[:, 0], t)
    data = samples(20)
    runs = [sg.Trainer(loss, sg.optim.Adam(0.1, clip_norm=1.0)) for _ in range(2)]
    runs[0].fit(data, 2, 12, progress=False)
    runs[1].fit(data, 2, 4, progress=False, accumulate=3)
    for name, array in runs[0].params.items():
        np.testing.assert_allclose(array, runs[1].params[name], rtol=1e-5)
    losses = [run.history["loss"] for run in runs]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_ctrl_c_leaves_a_checkpoint(made, tmp_path):
    data = samples(20)

    class Pressed:
        def __init__(self, at):
            self.at = at

        def __call__(self, step):
            if step == self.at:
                self.at = None
                raise KeyboardInterrupt
            return 0.01

    part = sg.Trainer(made[1], sg.optim.Adam(Pressed(9)), seed=1)
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        part.fit(data, 3, 3, progress=False, checkpoint=path, every=4)
    rest, whole = trainer(made), trainer(made)
    rest.load(path)
    assert (rest.steps, rest.epochs) == (9, 1)
    rest.fit(data, 2, 3, progress=False)
    whole.fit(data, 3, 3, progress=False)
    for name, array in whole.params.items():
        np.testing.assert_array_equal(array, rest.params[name], err_msg=name)


def test_lora_changes_a_and_b_alone():
    x, t = rows(8, "float32"), sg.input("t", ("n", 4))
    y = nn.mlp(x, [8, 4])
    base = sg.Trainer(nn.mse(y, t), sg.optim.Adam(0.01))
    data = {"x": values(0, 24, 8, "float32"), "t": values(1, 24, 4, "float32")}
    base.step(**data)
    tuned = nn.adapt(y, lambda p: nn.lora(p, 2, alpha=4) if p.ndim == 2 else None)
    run = sg.Trainer(nn.mse(tuned, t), sg.optim.Adam(0.01), params=base.params)
    np.testing.assert_array_equal(
        run.predict(tuned, x=data["x"]), base.predict(y, x=data["x"])
    )
    before = run.evaluate(data)["loss"]
    run.fit(data, 20, 24, progress=False)
    assert run.evaluate(data)["loss"] < before
    for name, array in base.params.items():
        np.testing.assert_array_equal(array, run.params[name], err_msg=name)
    learned = {n for n in run.arrays if n.startswith("adam/m")}
    assert learned == {f"adam/m/mlp/layer{k}/W/lora/{m}" for k in (1, 2) for m in "AB"}


def test_no_gradient_as_large_as_the_frozen_weight_is_formed():
    x, W = rows(64, "float32"), sg.param("W", (64, 64))
    products = []
    for weight in (W, nn.lora(W, 2)):
        y = x @ weight
        run = sg.Trainer(sg.sum(y * y), sg.optim.SGD(1e-4))
        run.step(x=values(0, 256, 64, "float32"))
        products.append(run.program.report()["flops"] / (2 * 256 * 64 * 64))
    assert 2 < products[0] < 2.2  # forward and the gradient of W
    assert 1 < products[1] < 1.5


def test_the_opened_product_has_the_same_gradients():
    x, W = rows(16), sg.param("W", (16, 12), dtype="float64")
    y = sg.sum(sg.sin(x @ nn.lora(W, 2)))
    opening = opened(y)
    assert opening is not y
    a, b = (sg.grad(loss, parameters(loss)[1:]) for loss in (y, opening))
    arrays = sg.init(y) | {"x": values(2, 5, 16)}
    arrays["W/lora/B"] = values(4, 2, 12)
    found = evaluate_graph([*a, *b], arrays, {"n": 5})
    assert len(a) == 2
    for one, other in zip(found[:2], found[2:], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


W, X = sg.param("W", (3, 5)), rows()
REFUSED = [
    (lambda: nn.dropout(X, 1.5), sg.GraphError, r"p is a number in \[0, 1\], not 1.5"),
    (lambda: nn.batch_norm(X[0]), sg.ShapeError, "batch_norm: x is .n, channels"),
    (lambda: nn.batch_norm(X, momentum=2), sg.GraphError, "momentum is in"),
    (lambda: nn.lora(W, 4), sg.ShapeError, "rank 4 exceeds the smaller side of 'W'"),
    (lambda: nn.lora(W[0], 1), sg.ShapeError, "lora changes matrices"),
    (lambda: nn.adapt(W, lambda p: 3), sg.GraphError, "changed to 3, no tensor"),
    (lambda: nn.adapt(W, lambda p: p[0]), sg.ShapeError, "another shape or type"),
]


@pytest.mark.parametrize(("make", "error", "said"), REFUSED)
def test_refused(make, error, said):
    with pytest.raises(error, match=said):
        make()


def test_what_fit_and_the_trainer_refuse(made):
    t = trainer(made)
    with pytest.raises(sg.GraphError, match="accumulate is an integer of at least 1"):
        t.fit(samples(), 1, accumulate=0)
    with pytest.raises(sg.GraphError, match="say where: checkpoint="):
        t.fit(samples(), 1, every=3)
    with pytest.raises(sg.GraphError, match="every is a number of steps"):
        t.fit(samples(), 1, checkpoint="x", every=0)
    for given, error in (({"z": 1}, sg.GraphError), ({"linear/b": [1]}, sg.ShapeError)):
        with pytest.raises(error, match="params: "):
            sg.Trainer(made[1], sg.optim.SGD(0.1), params=given)


def test_a_named_change_lies_in_the_scope_it_is_made_in():
    y = sg.input("x", ("n", 4))
    for n in range(2):
        with sg.scope(f"block{n}"):
            y = y @ sg.nn.lora(sg.param("W", (4, 4), trainable=False), 2, name="thin")
    assert sorted(sg.init(y)) == [
        f"block{n}/{name}" for n in range(2) for name in ("W", "thin/A", "thin/B")
    ]

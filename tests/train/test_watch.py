"""``Trainer(watch=True)``: losses of steps, and the first NaN by name."""

import time

import numpy as np
import pytest

import symgrad as sg
from symgrad.errors import NumericError

DATA = {"x": np.random.default_rng(0).normal(size=(32, 3)).astype("float32")}


def late_nan(lr=0.01):
    """A scale that training drives below 0, into a logarithm."""
    x = sg.input("x", ("n", 3))
    with sg.scope("inner"):
        s = sg.param("scale", (), init=1.0)
        log = sg.log(s)
    return sg.mean((x @ sg.param("W", (3, 2))) ** 2) + 5 * s + 0.01 * log


def test_losses_of_steps_are_kept():
    x = sg.input("x", ("n", 3))
    loss = sg.mean((x @ sg.param("W", (3, 2))) ** 2)
    watched = sg.Trainer(loss, sg.optim.Adam(0.01), watch=True)
    plain = sg.Trainer(loss, sg.optim.Adam(0.01))
    losses = [watched.step(**DATA) for _ in range(10)]
    assert losses == [plain.step(**DATA) for _ in range(10)]
    assert watched.losses == losses
    assert plain.losses == []
    np.testing.assert_array_equal(watched.params["W"], plain.params["W"])


def test_the_first_nan_stops_training_and_is_named():
    trainer = sg.Trainer(late_nan(), sg.optim.SGD(0.01), watch=True)
    with pytest.raises(sg.SymgradError, match=r"first NaN is made by 'log'.*inner"):
        trainer.fit(DATA, epochs=50, batch_size=32, progress=False)
    assert all(np.isfinite(a).all() for a in trainer.params.values())
    assert not np.isfinite(trainer.losses[-1])


def test_a_nan_without_inputs_is_found():
    scale = sg.param("scale", (), init=1.0)
    trainer = sg.Trainer(
        5 * scale + 0.01 * sg.log(scale), sg.optim.SGD(0.01), watch=True
    )
    for _ in range(20):
        trainer.step()
    with pytest.raises(NumericError, match="first NaN is made by 'log'"):
        trainer.step()
    assert np.isfinite(trainer.params["scale"])


def test_a_nan_of_a_gradient_is_found_a_step_before():
    x = sg.input("x", ("n", 3))
    h = sg.sqrt(sg.sum((x @ sg.param("W", (3, 2), init="zeros")) ** 2, axis=-1))
    trainer = sg.Trainer(sg.mean(h), sg.optim.SGD(0.1), watch=True)
    with pytest.raises(sg.SymgradError, match="before step 1: the first NaN"):
        trainer.fit(DATA, epochs=3, progress=False)
    np.testing.assert_array_equal(trainer.params["W"], np.zeros((3, 2)))


def test_a_run_that_diverges_stops_and_can_be_diagnosed():
    x = sg.input("x", ("n", 3))
    loss = sg.mean((x @ sg.param("W", (3, 2)) - 1) ** 2)
    trainer = sg.Trainer(loss, sg.optim.SGD(50.0), watch=True)
    with pytest.raises(sg.SymgradError, match="the loss is"):
        trainer.fit(DATA, epochs=300, progress=False)
    (first, *_) = sg.diagnose(trainer, DATA).findings
    assert first.kind == "learning_rate_too_high"


def test_steps_are_made_again_from_what_was_loaded(tmp_path):
    trainer = sg.Trainer(late_nan(), sg.optim.SGD(0.01), watch=True)
    trainer.save(tmp_path / "start.safetensors")
    for _ in range(10):
        trainer.step(**DATA)
    trainer.load(tmp_path / "start.safetensors")
    with pytest.raises(sg.SymgradError, match="first NaN is made by 'log'"):
        trainer.fit(DATA, epochs=50, progress=False)


def test_statistics_are_kept_and_shown(capsys):
    x = sg.input("x", ("n", 3))
    loss = sg.mean((x @ sg.param("W", (3, 2)) - 1) ** 2)
    trainer = sg.Trainer(loss, sg.optim.SGD(0.05), watch=True)
    history = trainer.fit(DATA, epochs=140, batch_size=32)
    table = trainer.statistics
    assert table["step"][0] == 64
    assert table["loss"][0] == pytest.approx(np.mean(trainer.losses[:64]))
    assert table["gradient"][0] > table["gradient"][1] > 0
    assert 0 < table["update"][1] < table["update"][0] < 1
    assert history["gradient"][-1] == table["gradient"][-1]
    assert np.isnan(history["gradient"][0])
    assert "gradient" in capsys.readouterr().err
    assert sg.Trainer(loss, sg.optim.SGD(0.05)).statistics == {}


def test_the_gradient_in_the_statistics_is_that_of_the_batch():
    x = sg.input("x", ("n", 3))
    W = sg.param("W", (3, 2))
    loss = sg.mean((x @ W - 1) ** 2)
    trainer = sg.Trainer(loss, sg.optim.SGD(0.05), watch=True)
    for _ in range(64):
        trainer.step(**DATA)
    g = sg.compile([x], sg.grad(loss, W))(DATA["x"], params=trainer.params)
    trainer.step(**DATA)
    assert trainer.statistics["gradient"] == [pytest.approx(np.linalg.norm(g))]


def test_steps_are_made_again_though_the_caller_reuses_an_array():
    """From the first look on, batches of such a caller are copied."""
    trainer = sg.Trainer(late_nan(), sg.optim.SGD(0.01), watch=True)
    buffer = np.empty_like(DATA["x"])
    rng = np.random.default_rng(1)

    def train():
        for _ in range(500):
            buffer[...] = rng.normal(size=buffer.shape)
            trainer.step(x=buffer)

    with pytest.raises(NumericError, match="first NaN is made by 'log'"):
        train()


def test_what_cannot_be_made_again_is_said():
    watch = {"share": 1e-9}  # looks before step 9 and 17, then 33
    trainer = sg.Trainer(late_nan(), sg.optim.SGD(0.01), watch=watch)
    batches = [{"x": DATA["x"].copy()} for _ in range(40)]

    def train():
        for n, batch in enumerate(batches, start=1):
            if n == 20:
                batches[17]["x"][...] = 0.5
            trainer.step(**batch)

    message = "before step 17: the steps since cannot be made again, as an array"
    with pytest.raises(NumericError, match=message):
        train()
    assert all(np.isfinite(a).all() for a in trainer.params.values())


def test_a_nan_that_the_loss_does_not_see_is_found():
    """Only rows of a table that are used reach a loss."""
    ids = sg.input("ids", ("n",), "int64")
    table = sg.param("table", (4, 3), init="zeros")
    rows = sg.take(table, ids, axis=0)
    loss = sg.mean(sg.sqrt(sg.sum(rows * rows, axis=-1)))
    trainer = sg.Trainer(loss, sg.optim.SGD(0.1), watch=True)
    trainer.params["table"][1:] = 1.0
    batches = [np.array([1, 2])] * 3 + [np.array([0, 3])] + [np.array([1, 2])] * 99

    def train():
        for batch in batches:
            trainer.step(ids=batch)

    with pytest.raises(NumericError, match=r"before step 4: the first NaN is made"):
        train()
    assert len(trainer.losses) == 8
    assert np.isfinite(trainer.losses).all()
    np.testing.assert_array_equal(trainer.params["table"][0], np.zeros(3))


def test_an_update_that_is_not_finite_is_named():
    x = sg.input("x", ("n", 3))
    W = sg.param("W", (3, 2), init="zeros")
    loss = sg.mean(sg.tanh(x @ W)) + 1e20 * sg.sum(W)
    trainer = sg.Trainer(loss, sg.optim.Adam(1e-25), watch=True)  # g² overflows
    with pytest.raises(NumericError, match=r"the update of '.*W.*' is not finite"):
        trainer.fit(DATA, epochs=50, progress=False)


def test_few_batches_are_held():
    x = sg.input("x", ("n", 3))
    loss = sg.mean((x @ sg.param("W", (3, 2)) - 1) ** 2)
    options = {"memory": 3 * DATA["x"].nbytes, "every": 10, "share": 0.5}
    trainer = sg.Trainer(loss, sg.optim.SGD(0.05), watch=options)
    held = []
    for _ in range(100):
        trainer.step(**DATA)
        held.append(len(trainer._watch._since))
    assert max(held[10:]) <= 3
    assert trainer.statistics["step"] == list(range(10, 100, 10))


def test_what_watch_takes():
    x = sg.input("x", ("n", 3))
    loss = sg.mean((x @ sg.param("W", (3, 2)) - 1) ** 2)
    for watch in (None, False):
        assert sg.Trainer(loss, sg.optim.SGD(0.1), watch=watch).losses == []
    with pytest.raises(sg.GraphError, match=r"any of share, every, memory, such as"):
        sg.Trainer(loss, sg.optim.SGD(0.1), watch={"rate": 1})
    with pytest.raises(sg.GraphError, match="share is a number above 0, not -1"):
        sg.Trainer(loss, sg.optim.SGD(0.1), watch={"share": -1})
    with pytest.raises(sg.GraphError, match=r"every is an integer above 0, not 0\.5"):
        sg.Trainer(loss, sg.optim.SGD(0.1), watch={"every": 0.5})


def test_looking_takes_its_share_of_the_time(monkeypatch):
    """Steps of 10 µs, looks and rows of 40 µs: about 800 steps apart, for 1 %."""
    x = sg.input("x", ("n", 3))
    loss = sg.mean((x @ sg.param("W", (3, 2)) - 1) ** 2)
    trainer = sg.Trainer(loss, sg.optim.SGD(0.001), watch=True)
    for _ in range(100):
        trainer.step(**DATA)  # and compile the statistics
    clock = [time.perf_counter()]
    watch = trainer._watch
    monkeypatch.setattr("symgrad.train.watch.time.perf_counter", lambda: clock[0])
    looks = []
    look, record = watch._look, watch._record

    def slow_record(batch):
        clock[0] += 40e-6
        record(batch)

    def slow_copy(batch):
        clock[0] += 40e-6
        return tuple(a.copy() for a in batch)

    def noted(*args):
        looks.append(len(watch.losses))
        look(*args)

    monkeypatch.setattr("symgrad.train.watch._copied", slow_copy)
    monkeypatch.setattr(watch, "_record", slow_record)
    monkeypatch.setattr(watch, "_look", noted)
    for _ in range(20000):
        trainer.step(**DATA)
        clock[0] += 10e-6
    assert np.diff(looks)[-1] == 1024
    assert np.diff(trainer.statistics["step"])[-1] == 1024

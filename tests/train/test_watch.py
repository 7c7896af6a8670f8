"""``Trainer(watch=True)``: losses of steps, and the first NaN by name."""

import numpy as np
import pytest

import symgrad as sg

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

"""The trainer: steps, epochs, records, files, and what it refuses."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import symgrad as sg
from symgrad.train import checkpoint
from symgrad.train.data import Dataset

SAMPLES = 50


def model(dtype="float32"):
    """Return a linear model with a frozen offset: inputs, output, loss, metric."""
    x = sg.input("x", ("n", 3), dtype)
    y = sg.input("y", ("n",), dtype)
    with sg.scope("line"):
        w = sg.param("w", (3,), dtype=dtype)
        c = sg.param("c", (), init="zeros", dtype=dtype)
    offset = sg.param("offset", (), init=0.5, trainable=False, dtype=dtype)
    out = x @ w + c + offset
    loss = sg.mean((out - y) ** 2)
    return x, y, out, loss, {"close": abs(out - y) < 0.5}


def samples(seed=0, count=SAMPLES, dtype="float32"):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 3))
    y = x @ [1.0, -2.0, 0.5] + 2 + 0.1 * rng.normal(size=count)
    return {"x": x.astype(dtype), "y": y.astype(dtype)}


def trainer(lr=0.05, optimizer=sg.optim.Adam, seed=0):
    _, _, out, loss, metrics = model()
    t = sg.Trainer(loss, optimizer(lr), seed=seed)
    return t, out, metrics


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


# -- steps -----------------------------------------------------------------------------


def test_a_step_is_the_textbooks():
    _, _, _, loss, _ = model("float64")
    t = sg.Trainer(loss, sg.optim.SGD(0.1), seed=1)
    data = samples(dtype="float64")
    w, c = t.params["line/w"].copy(), t.params["line/c"].copy()
    for _ in range(5):
        error = data["x"] @ w + c + 0.5 - data["y"]
        assert t.step(**data) == pytest.approx((error**2).mean(), rel=1e-12)
        w -= 0.1 * 2 * data["x"].T @ error / SAMPLES
        c -= 0.1 * 2 * error.mean()
    np.testing.assert_allclose(t.params["line/w"], w, rtol=1e-12)
    np.testing.assert_allclose(t.params["line/c"], c, rtol=1e-12)
    assert t.steps == 5


@pytest.mark.parametrize(
    "optimizer",
    [
        sg.optim.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=1e-4),
        sg.optim.AdamW(0.1, clip_norm=10.0),
        sg.optim.RMSProp(0.05),
        sg.optim.Adagrad(1.0),
    ],
    ids=lambda o: o.scope,
)
def test_every_optimizer_learns(optimizer):
    _, _, _, loss, _ = model()
    t = sg.Trainer(loss, optimizer)
    losses = [t.step(**samples()) for _ in range(200)]
    assert losses[0] > 3
    assert losses[-1] < 0.05


def test_frozen_parameters_are_there_and_stay():
    t, _, _ = trainer()
    t.step(**samples())
    assert sorted(t.params) == ["line/c", "line/w", "offset"]
    assert t.params["offset"] == 0.5


def test_a_schedule_sets_the_rate_of_each_step():
    t, _, _ = trainer(sg.optim.step(0.5, every=2), sg.optim.SGD)
    rates = []
    for _ in range(4):
        t.step(**samples())
        rates.append(float(t._rate))
    assert rates == pytest.approx([0.5, 0.5, 0.05, 0.05])


# -- epochs ----------------------------------------------------------------------------


def test_fit_learns_and_records():
    t, _, metrics = trainer()
    program = t.program
    history = t.fit(
        samples(), 30, 8, validation=samples(1, 21), metrics=metrics, progress=False
    )
    assert history is t.history
    assert list(history) == [
        "epoch", "loss", "lr", "seconds", "validation_loss", "validation_close",
    ]  # fmt: skip
    assert history["epoch"] == list(range(1, 31))
    assert history["validation_loss"][-1] < 0.05 < history["validation_loss"][0]
    assert history["validation_close"][-1] > 0.95
    assert t.steps == 30 * 7  # the seventh batch has two samples
    assert t.program is program


def test_metrics_are_means_over_samples():
    t, out, metrics = trainer()
    data = samples()
    history = t.fit(data, 1, 16, metrics=metrics, progress=False)
    got = t.predict(out, x=data["x"])
    close = abs(got - data["y"]) < 0.5
    assert history["close"] == pytest.approx([close.mean()])
    found = t.evaluate(data, metrics, batch_size=16)
    assert found["close"] == pytest.approx(close.mean())
    assert found["loss"] == pytest.approx(((got - data["y"]) ** 2).mean(), rel=1e-5)


def test_the_order_of_samples_is_the_seeds():
    first, again, other = (trainer(seed=s)[0] for s in (0, 0, 1))
    plain = trainer()[0]
    for t in (first, again, other):
        t.fit(samples(), 2, 8, progress=False)
    plain.fit(samples(), 2, 8, shuffle=False, progress=False)
    same(first.params, again.params)
    assert not np.array_equal(first.params["line/w"], other.params["line/w"])
    assert not np.array_equal(first.params["line/w"], plain.params["line/w"])


def test_other_number_types_are_converted():
    single, double = trainer()[0], trainer()[0]
    data = samples()
    single.fit(data, 1, 8, progress=False)
    double.fit({n: a.astype("float64") for n, a in data.items()}, 1, 8, progress=False)
    same(single.params, double.params)
    ints = {"x": np.ones((2, 3), "uint8"), "y": [1, 2]}
    assert np.isfinite(double.step(**ints))


def test_an_input_without_axes_is_one_value():
    x, scale = sg.input("x", ("n",)), sg.input("scale", ())
    w = sg.param("w", (), init=1.0)
    t = sg.Trainer(sg.mean((w * x * scale) ** 2), sg.optim.SGD(0.1))
    t.fit({"x": np.ones(5), "scale": 0.5}, 1, 2, progress=False)
    assert t.history["loss"][0] < 0.25


# -- going on --------------------------------------------------------------------------


def test_going_on_from_a_file_is_exact(tmp_path):
    whole, part = trainer()[0], trainer()[0]
    whole.fit(samples(), 5, 8, progress=False)
    part.fit(samples(), 2, 8, progress=False)
    part.save(tmp_path / "run.safetensors")
    rest = trainer(seed=9)[0]
    rest.load(tmp_path / "run.safetensors")
    assert (rest.epochs, rest.steps) == (2, 14)
    rest.fit(samples(), 3, 8, progress=False)
    same(whole._arrays, rest._arrays)
    assert whole.history["loss"] == rest.history["loss"]
    assert [p.name for p in tmp_path.iterdir()] == ["run.safetensors"]


class Interrupting:
    """A schedule that presses Ctrl-C once, before the given step."""

    def __init__(self, step):
        self.step = step

    def __call__(self, step):
        if step == self.step:
            self.step = None
            raise KeyboardInterrupt
        return 0.05


@pytest.mark.parametrize("step", [1, 9, 13, 14])
def test_an_interrupted_epoch_is_finished_exactly(tmp_path, step):
    whole, part = trainer()[0], trainer(Interrupting(step))[0]
    part._rate[...] = 0.05
    whole.fit(samples(), 3, 8, progress=False)
    with pytest.raises(KeyboardInterrupt):
        part.fit(samples(), 3, 8, progress=False)
    assert part.steps == step
    assert part.epochs == len(part.history.get("loss", [])) == step // 7
    part.save(tmp_path / "run")
    rest = trainer()[0]
    rest.load(tmp_path / "run")
    rest.fit(samples(), 3 - rest.epochs, 8, progress=False)
    same(whole._arrays, rest._arrays)
    assert whole.history["loss"] == pytest.approx(rest.history["loss"], rel=1e-12)


def test_an_interrupt_while_validating_is_finished_exactly(tmp_path, monkeypatch):
    """All steps of the epoch are made then; the last batch of each is smaller."""
    (whole, _, metrics), (part, _, others) = trainer(), trainer()
    options = {"validation": samples(1), "progress": False}
    whole.fit(samples(), 3, 8, metrics=metrics, **options)

    def pressed(*_):
        monkeypatch.undo()
        raise KeyboardInterrupt

    part.fit(samples(), 1, 8, progress=False)
    monkeypatch.setattr(part, "_evaluate", pressed)
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        part.fit(samples(), 2, 8, metrics=others, checkpoint=path, **options)
    assert part.steps == 14
    rest, _, metrics = trainer()
    rest.load(path)
    rest.fit(samples(), 2, 8, metrics=metrics, **options)
    same(whole._arrays, rest._arrays)
    assert whole.history["loss"] == rest.history["loss"]


class Pressing:
    """A schedule that sends signals before the given step."""

    def __init__(self, step, times):
        self.step, self.times = step, times

    def __call__(self, step):
        for _ in range(self.times if step == self.step else 0):
            os.kill(os.getpid(), signal.SIGINT)
        return 0.05


@pytest.fixture
def ctrl_c():
    old = signal.signal(signal.SIGINT, signal.default_int_handler)
    alarm = signal.getsignal(signal.SIGALRM)
    yield
    signal.signal(signal.SIGINT, old)
    signal.signal(signal.SIGALRM, alarm)


@pytest.mark.parametrize(("times", "steps"), [(1, 5), (2, 4)])
def test_ctrl_c_waits_for_the_step_but_twice_does_not(ctrl_c, times, steps):
    t = trainer(Pressing(4, times))[0]
    with pytest.raises(KeyboardInterrupt):
        t.fit(samples(), 1, 8, progress=False)
    assert t.steps == steps
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert t._unfinished["weight"] == 8 * steps


def test_an_own_handler_of_ctrl_c_is_kept(ctrl_c):
    seen = []
    signal.signal(signal.SIGINT, lambda *_: seen.append(1))
    t = trainer(Pressing(4, 1))[0]
    t.fit(samples(), 1, 8, progress=False)
    assert (seen, t.steps) == ([1], 7)


# JAX, where another test has imported it, loses what arrives in its own callbacks.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("accumulate", [1, 3])
def test_ctrl_c_at_any_time_leaves_a_run_that_goes_on_exactly(
    ctrl_c, tmp_path, accumulate
):
    path, epochs = tmp_path / "run", 12
    options = {"batch_size": 8, "progress": False, "accumulate": accumulate}
    whole = trainer()[0]
    whole.fit(samples(), epochs, **options)
    delays = np.random.default_rng(accumulate).uniform(0.001, 0.03, 10)
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    t = trainer()[0]
    for delay in delays:
        try:
            signal.setitimer(signal.ITIMER_REAL, delay)
            t.fit(samples(), epochs - t.epochs, checkpoint=path, every=5, **options)
            signal.setitimer(signal.ITIMER_REAL, 0)
            time.sleep(0.001)  # one that is under way arrives here
        except KeyboardInterrupt:
            pass
        t = trainer()[0]
        if path.exists():  # else it came before the first step
            t = trainer(seed=5)[0]
            t.load(path)
    t.fit(samples(), epochs - t.epochs, **options)
    same(whole._arrays, t._arrays)
    assert whole.history["loss"] == t.history["loss"]
    assert list(tmp_path.iterdir()) in ([path], [])


def test_a_process_killed_while_saving_leaves_the_old_file(tmp_path):
    """The next one that saves removes what it left, but nothing of those that run."""
    code = (
        "import os, signal, sys, numpy as np, symgrad as sg\n"
        "from symgrad.train import checkpoint\n"
        "checkpoint.write(sys.argv[1], {'a': np.zeros(3)}, {})\n"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "checkpoint.write(sys.argv[1], {'a': np.ones(3)}, {})\n"
    )
    path = tmp_path / "run"
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not checkpoint.read(path)[0]["a"].any()
    (left,) = set(tmp_path.iterdir()) - {path}
    prefix = left.name.rsplit("-", 2)[0]
    running = tmp_path / f"{prefix}-{os.getppid()}-1"
    running.write_bytes(b"")
    checkpoint.write(path, {"a": np.ones(3)}, {})
    assert set(tmp_path.iterdir()) == {path, running}


def test_a_limit_of_the_files_size_leaves_the_old_one(tmp_path):
    """The disk is full in earnest: the write itself fails, half way."""
    code = (
        "import resource, sys, numpy as np, symgrad as sg\n"
        "from symgrad.train import checkpoint\n"
        "path = sys.argv[1]\n"
        "checkpoint.write(path, {'a': np.zeros(10)}, {})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n"
        "    checkpoint.write(path, {'a': np.ones(10_000)}, {})\n"
        "except sg.FormatError as error:\n"
        "    print(error)\n"
        "print(checkpoint.read(path)[0]['a'])\n"
    )
    run = [sys.executable, "-c", code, str(tmp_path / "run")]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    said, kept = done.stdout.splitlines()
    assert "cannot write" in said
    assert "too large" in said
    assert kept == "[0. 0. 0. 0. 0. 0. 0. 0. 0. 0.]"
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_own_steps_end_an_interrupted_epoch():
    t = trainer(Interrupting(3))[0]
    with pytest.raises(KeyboardInterrupt):
        t.fit(samples(), 1, 8, progress=False)
    t.step(**samples())
    t.fit(samples(), 1, 8, progress=False)
    assert t.steps == 3 + 1 + 7


# -- other values ----------------------------------------------------------------------


def test_predict_compiles_each_structure_once():
    t, out, _ = trainer()
    data = samples()
    made = {"out": out, "two": [out * 2]}
    first = t.predict(made, x=data["x"])
    t.step(**data)
    second = t.predict(made, x=data["x"])
    assert len(t._programs) == 1
    np.testing.assert_allclose(second["two"][0], 2 * second["out"], rtol=1e-6)
    assert not np.array_equal(first["out"], second["out"])
    assert t.predict(out, x=data["x"][:4]).shape == (4,)


def test_predict_knows_only_the_losss_parameters():
    t, out, _ = trainer()
    with pytest.raises(sg.GraphError, match="no value for 'other'"):
        t.predict(out * sg.param("other", ()), x=samples()["x"])
    with pytest.raises(sg.GraphError, match="predict: 'x' missing; 'z' not an input"):
        t.predict(out, z=1)


# -- what is refused -------------------------------------------------------------------


def replaced(**arrays):
    return samples() | arrays


BAD_DATA = [
    ({}, sg.GraphError, "data: 'x', 'y' missing; the inputs are 'x', 'y'"),
    (replaced(z=1), sg.GraphError, "data: 'z' not an input"),
    ([1, 2], sg.GraphError, "data is a dict .* not list"),
    (samples(count=0), sg.ShapeError, "data has no samples"),
    (replaced(y=np.zeros(7)), sg.ShapeError, "samples differ: 'x' has 50, 'y' has 7"),
    (replaced(y=np.zeros((50, 1))), sg.ShapeError, r"'y' has the shape \[50, 1\]"),
    (replaced(y=["a"] * 50), sg.DTypeError, "'y' holds <U1"),
    (replaced(y=np.full(50, np.nan)), sg.GraphError, r"'y' has 50 NaN, .* index \[0\]"),
]


@pytest.fixture(scope="module")
def any_trainer():
    return trainer()[0]


@pytest.mark.parametrize(("data", "error", "message"), BAD_DATA)
def test_unsuitable_data(any_trainer, data, error, message):
    with pytest.raises(error, match=message):
        any_trainer.fit(data, 1, 8)
    assert any_trainer.steps == 0


@pytest.mark.parametrize("size", [0, -1, 2.5, True, "8"])
def test_unsuitable_batch_size(any_trainer, size):
    with pytest.raises(sg.ShapeError, match="batch_size is an integer of at least 1"):
        any_trainer.fit(samples(), 1, size)


@pytest.mark.parametrize("epochs", [-1, 1.5, True])
def test_unsuitable_epochs(any_trainer, epochs):
    with pytest.raises(sg.GraphError, match="epochs is a non-negative integer"):
        any_trainer.fit(samples(), epochs, 8)


@pytest.mark.parametrize(
    "metrics", ["accuracy", ["accuracy"], {"accuracy": "accuracy"}]
)
def test_metrics_are_tensors(any_trainer, metrics):
    with pytest.raises(sg.GraphError, match="metrics is a dict from names to tensors"):
        any_trainer.fit(samples(), 1, 8, metrics=metrics)


def test_validation_is_checked_first(any_trainer):
    with pytest.raises(sg.GraphError, match="validation: 'y' missing"):
        any_trainer.fit(samples(), 1, 8, validation={"x": np.zeros((2, 3))})
    assert any_trainer.steps == 0


def test_unsuitable_steps(any_trainer):
    with pytest.raises(sg.GraphError, match="step: 'y' missing"):
        any_trainer.step(x=samples()["x"])
    with pytest.raises(sg.ShapeError):
        any_trainer.step(x=np.zeros((2, 4)), y=np.zeros(2))
    with pytest.raises(sg.DTypeError, match="complex"):
        any_trainer.step(x=np.zeros((2, 3), complex), y=np.zeros(2))
    assert any_trainer.steps == 0


def test_floats_for_an_integer_input():
    y = sg.input("y", ("n",), dtype="int64")
    with pytest.raises(sg.DTypeError, match=r"float64.*astype\('int64'\)"):
        Dataset("data", {"y": np.zeros(3)}, [y])


def test_a_fixed_batch_dimension():
    x = sg.input("x", (8, 3))
    assert Dataset("data", {"x": np.zeros((16, 3))}, [x]).check_batch_size(8) == 8
    for count, size in [(16, 4), (20, 8)]:
        data = Dataset("data", {"x": np.zeros((count, 3))}, [x])
        with pytest.raises(sg.ShapeError, match="takes batches of exactly 8"):
            data.check_batch_size(size)


def test_unsuitable_losses():
    x, _, out, loss, _ = model()
    sgd = sg.optim.SGD(0.1)
    with pytest.raises(sg.ShapeError, match=r"the loss is one float.* take its mean"):
        sg.Trainer(out, sgd)
    with pytest.raises(sg.GraphError, match="depends on no trainable parameter"):
        sg.Trainer(sg.mean(x), sgd)
    with pytest.raises(sg.GraphError, match="the loss is a tensor, not float"):
        sg.Trainer(1.0, sgd)
    with pytest.raises(sg.GraphError, match="optimizer is one of"):
        sg.Trainer(loss, 0.1)


def test_names_that_clash_with_the_state():
    with sg.scope("sgd"):
        p = sg.param("lr", ())
    with pytest.raises(
        sg.GraphError, match="two different tensors are called 'sgd/lr'"
    ):
        sg.Trainer(sg.mean(p), sg.optim.SGD(0.1))


# -- files -----------------------------------------------------------------------------


def test_a_misfit_is_listed_and_changes_nothing(tmp_path):
    t, _, _ = trainer()
    t.save(tmp_path / "adam")
    sgd, _, _ = trainer(optimizer=sg.optim.SGD)
    before = {n: a.copy() for n, a in sgd._arrays.items()}
    with pytest.raises(
        sg.FormatError, match=r"missing: sgd/step[\s\S]*unknown: adam/m"
    ):
        sgd.load(tmp_path / "adam")
    same(before, sgd._arrays)
    arrays, facts = checkpoint.read(tmp_path / "adam")
    arrays["line/w"] = arrays["line/w"].astype("float64")
    checkpoint.write(tmp_path / "wide", arrays, facts)
    with pytest.raises(
        sg.FormatError, match=r"line/w is float64\[3\] in the file, but float32\[3\]"
    ):
        t.load(tmp_path / "wide")


def test_damaged_files(tmp_path):
    from safetensors.numpy import save_file

    t, _, _ = trainer()
    path = tmp_path / "run"
    with pytest.raises(sg.FormatError, match="there is no such file"):
        t.load(path)
    t.save(path)
    whole = path.read_bytes()
    for data in (b"", b"nonsense", whole[:100], whole[:-10]):
        path.write_bytes(data)
        with pytest.raises(sg.FormatError, match="is damaged, or no safetensors file"):
            t.load(path)
    save_file({"w": np.zeros(3)}, path)
    with pytest.raises(sg.FormatError, match="not a training run"):
        t.load(path)
    save_file({}, path, {"format": checkpoint.FILE.mark, "version": "99"})
    with pytest.raises(sg.FormatError, match="has version 99"):
        t.load(path)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    t, _, _ = trainer()
    path = tmp_path / "run"
    t.save(path)
    old = path.read_bytes()
    t.step(**samples())

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(sg.FormatError, match=r"cannot write .*: No space left"):
        t.save(path)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(sg.FormatError, match="cannot write"):
        t.save(tmp_path / "missing" / "run")


def test_a_file_holds_what_it_says(tmp_path):
    from safetensors import safe_open

    t, _, _ = trainer()
    t.fit(samples(), 2, 8, progress=False)
    t.save(tmp_path / "run")
    with safe_open(tmp_path / "run", framework="np") as file:
        facts = json.loads(file.metadata()["facts"])
        assert "adam/m/line/w" in file.keys()  # noqa: SIM118
    assert facts["optimizer"].startswith("Adam(lr=0.05")
    assert facts["history"]["epoch"] == [1, 2]


# -- what is shown ---------------------------------------------------------------------


def test_lines_where_there_is_no_terminal(capsys):
    t, _, _ = trainer()
    t.fit(samples(), 100, 25)
    lines = capsys.readouterr().err.splitlines()
    assert 15 <= len(lines) <= 25
    assert lines[-1].startswith("epoch 100/100  loss ")
    t.fit(samples(), 1, 25, progress=False)
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    trainer()[0].fit(samples(), 3, 8)
    shown = screen.getvalue()
    assert "epoch 3/3" in shown
    assert "loss " in shown
    assert "/s" in shown


def test_history_is_a_table():
    history = sg.Trainer(model()[3], sg.optim.SGD(0.1)).history
    assert history == {}
    history.add({"epoch": 1, "loss": 2.0})
    history.add({"epoch": 2, "accuracy": 0.5})
    assert history["loss"][1] != history["loss"][1]
    assert len({len(column) for column in history.values()}) == 1


def test_a_plot_needs_matplotlib(monkeypatch):
    history = trainer()[0].history
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(sg.SymgradError, match="needs matplotlib: pip install"):
        history.plot()


@pytest.mark.filterwarnings("default")
def test_a_plot_has_a_panel_for_each_quantity(tmp_path):
    pytest.importorskip("matplotlib")
    t, _, metrics = trainer(sg.optim.cosine(0.1, 20))
    with pytest.raises(sg.SymgradError, match="no epoch has been completed"):
        t.history.plot()
    t.fit(samples(), 3, 8, validation=samples(1), metrics=metrics, progress=False)
    figure = t.history.plot(tmp_path / "history.svg")
    assert len(figure.axes) == 3  # losses, rate, metric
    assert "validation loss" in (tmp_path / "history.svg").read_text()

"""What a user may get wrong: a clear error, or the right answer.

What one module alone refuses is tested beside it (tests/run, tests/train, tests/ops,
tests/test_cache.py).
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings

import numpy as np
import pytest

import symgrad as sg

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(4, 3)), np.array([0, 1, 1, 0])
W = rng.normal(size=(3, 2))


def classifier():
    x, y = sg.input("x", ("n", 3), "float64"), sg.input("y", ("n",), "int64")
    with sg.scope("layer1"):
        w = sg.param("W", (3, 2), dtype="float64")
    scores = sg.log_softmax(x @ w)
    picked = sg.take_along_axis(scores, sg.expand_dims(y, 1), axis=1)
    return [x, y], w, -sg.mean(picked)


@pytest.fixture(scope="module")
def program():
    inputs, w, loss = classifier()
    return sg.compile(inputs, [loss, *sg.grad(loss, [w])])


def expected():
    scores = X @ W
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    loss = -np.log(p[np.arange(4), Y]).mean()
    return loss, X.T @ (p - np.eye(2)[Y]) / 4


def run(program, *args, params=None, **named):
    return program(*args, params={"layer1/W": W} if params is None else params, **named)


CALLS = [
    ((X[:, :2], Y), {}, sg.ShapeError, "x has 2 along axis 1 of .n, 3., not 3"),
    ((X[0], Y), {}, sg.ShapeError, "x has the shape .3,., but is declared as .n, 3"),
    ((X, Y[:3]), {}, sg.ShapeError, "y has 3 along axis 0 of .n., not n = 4"),
    ((X.astype("f4"), Y), {}, sg.DTypeError, "x is float64, not float32: convert it"),
    ((X.astype("f2"), Y), {}, sg.DTypeError, "x is float64, not float16"),
    ((X + 0j, Y), {}, sg.DTypeError, "x is float64, not complex128"),
    ((X, Y / 2), {}, sg.DTypeError, "y is int64, not float64"),
    ((X.astype(object), Y), {}, sg.DTypeError, "x has to be an array of float64"),
    ((None, Y), {}, sg.DTypeError, "x has to be an array of float64, not NoneType"),
    (("abc", Y), {}, sg.DTypeError, "x has to be an array of float64, not str"),
    (([[1.0, 2, 3], [1.0]], Y), {}, sg.ShapeError, "x is a list of rows of different"),
    ((np.ma.masked_array(X, X > 0), Y), {}, sg.DTypeError, "x is a masked array"),
    ((X,), {}, sg.GraphError, "the input 'y' is missing"),
    ((X, Y, X), {}, sg.GraphError, "takes 2 inputs .x, y., but 3 arrays were given"),
    ((X, Y), {"z": 1}, sg.GraphError, "no input 'z'; its inputs are x, y"),
    ((X, Y), {"x": X}, sg.GraphError, "the input 'x' is given twice"),
    ((X, Y), {"params": {}}, sg.GraphError, "parameter 'layer1/W' is missing"),
    ((X, Y), {"params": {"W": W}}, sg.GraphError, "no parameter 'W'; its parameters"),
    ((X, Y), {"params": {"layer1/W": W.T}}, sg.ShapeError, "layer1/W has 2 along axis"),
    (
        (X, Y),
        {"params": [W]},
        sg.GraphError,
        "takes a dict of arrays by name, not list",
    ),
]


@pytest.mark.parametrize(("args", "named", "error", "message"), CALLS)
def test_arguments_that_do_not_fit(program, args, named, error, message):
    with pytest.raises(error, match=message) as caught:
        run(program, *args, **named)
    assert isinstance(caught.value, sg.SymgradError)
    loss, g = run(program, X, Y)  # nothing is left behind
    np.testing.assert_allclose(
        [loss, *g.ravel()], [expected()[0], *expected()[1].ravel()]
    )


def unaligned(a):
    memory = np.empty(a.nbytes + 1, np.uint8)
    view = memory[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


SAME = {
    "list": lambda a: a.tolist(),
    "fortran": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=0)[::2],
    "backwards": lambda a: a[::-1].copy()[::-1],
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "read-only": read_only,
    "unaligned": unaligned,
    "memmap-like": lambda a: a.view(type("Mine", (np.ndarray,), {})),
    "nothing masked": lambda a: np.ma.masked_array(a, np.zeros(a.shape, bool)),
}


@pytest.mark.parametrize("way", SAME)
def test_arrays_of_any_layout_are_taken(program, way):
    x = SAME[way](X)
    before = np.array(x)
    loss, g = run(program, x, SAME[way](Y), params={"layer1/W": SAME[way](W)})
    np.testing.assert_allclose(loss, expected()[0], rtol=1e-12)
    np.testing.assert_allclose(g, expected()[1], rtol=1e-9)
    np.testing.assert_array_equal(np.array(x), before)


def test_repeated_memory_is_read_as_it_is(program):
    row = np.broadcast_to(X[0], (4, 3))
    loss, _ = run(program, row, Y)
    assert loss == run(program, np.ascontiguousarray(row), Y)[0]


def test_arrays_of_other_libraries_are_taken(program):
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        loss, _ = run(program, jax.numpy.asarray(X), jax.numpy.asarray(Y))
    np.testing.assert_allclose(loss, expected()[0], rtol=1e-12)


def test_empty_batches(program):
    loss, g = run(program, X[:0], Y[:0])
    assert np.isnan(loss)  # the mean of nothing, as in NumPy
    assert g.shape == (3, 2)
    x = sg.input("x", ("n", 3), "float64")
    total = sg.compile(
        [x], [sg.sum(x * x), sg.grad(sg.sum(x * x), x), sg.max(x, axis=1)]
    )
    values = total(X[:0])
    assert values[0] == 0
    assert values[1].shape == (0, 3)
    assert values[2].shape == (0,)


def test_training_on_an_empty_batch_is_refused_or_harmless():
    inputs, _, loss = classifier()
    del inputs
    trainer = sg.Trainer(loss, sg.optim.SGD(0.1), seed=0)
    before = {n: np.array(p) for n, p in trainer.params.items()}
    trainer.step(x=X, y=Y)
    after = trainer.step(x=X, y=Y)
    assert np.isfinite(after)
    assert any(np.any(before[n] != p) for n, p in trainer.params.items())


def test_outputs_stay_as_they_are(program):
    first = run(program, X, Y)
    kept = [np.array(a) for a in first]
    views = [a[...] for a in first]
    del first
    run(program, 2 * X, 1 - Y)
    for a, b in zip(views, kept, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_output_that_is_an_input_is_a_copy():
    x = sg.input("x", (3,), "float64")
    given = np.arange(3.0)
    out, flat = sg.compile([x], [x, sg.reshape(x, (3, 1))])(given)
    out += 1
    flat += 1
    np.testing.assert_array_equal(given, np.arange(3.0))


# -- declaring and compiling -----------------------------------------------------------

x, y = sg.input("x", ("n", 3), "float64"), sg.input("y", ("n",), "int64")
q = sg.input("q", (4, 2), "float64")
frozen = sg.param("base", (2,), trainable=False)
DECLARED = [
    (lambda: sg.input("x", (3,), "float16"), sg.DTypeError, "float16 is not supported"),
    (lambda: sg.input("x", (-3,)), sg.ShapeError, "-3 is not a dimension"),
    (lambda: sg.input("x", (3.0,)), sg.ShapeError, "3.0 is not a dimension"),
    (lambda: sg.input("", (3,)), sg.GraphError, "a name is a non-empty printable"),
    (lambda: sg.input("a\nb", (3,)), sg.GraphError, "a name is a non-empty printable"),
    (lambda: sg.input(3, (3,)), sg.GraphError, "a name is a non-empty printable"),
    (lambda: x @ q, sg.ShapeError, "'x' float64.n, 3. is 3.*'q' float64.4, 2. is 4"),
    (lambda: x + sg.input("b", (4,), "float64"), sg.ShapeError, "'x'.*'b'.*do not fit"),
    (lambda: sg.sum(x, axis=5), sg.ShapeError, "axis 5 does not exist in 'x'"),
    (lambda: sg.concat([x, q], axis=0), sg.ShapeError, "'q'.*'x'.*must agree"),
    (lambda: sg.reshape(q, (3, 3)), sg.ShapeError, "'q' .* has 8 elements"),
    (lambda: sg.einsum("ij,jk->ik", x, q), sg.ShapeError, "index 'j'? ?.*is 4"),
    (
        lambda: sg.einsum("ij,jk", x),
        sg.ShapeError,
        "names 2 operands, but 1 were given",
    ),
    (lambda: sg.constant("a"), sg.DTypeError, "a constant holds numbers"),
    (lambda: sg.constant(object()), sg.DTypeError, "a constant holds numbers"),
    (lambda: sg.constant([[1], [1, 2]]), sg.ShapeError, "rows of equal lengths"),
    (lambda: bool(x), sg.GraphError, "'x' .* has no truth value .* sg.where"),
    (lambda: list(x), sg.GraphError, "'x' .* cannot be iterated over"),
    (lambda: float(x), sg.GraphError, "'x' .* has no value yet"),
    (lambda: len(x), sg.GraphError, "'x' .* has no length known"),
    (lambda: sg.grad(x, x), sg.ShapeError, "needs a scalar, but 'x'"),
    (lambda: sg.grad(sg.sum(y), y), sg.GraphError, "not of a float type"),
    (lambda: sg.grad(sg.sum(frozen), frozen), sg.GraphError, "'base' .* is frozen"),
    (lambda: sg.grad(sg.sum(q), x), sg.GraphError, "'x' .* is not reached from"),
    (lambda: sg.compile([x], [x + q[0, 0]]), sg.GraphError, "depend on 'q'"),
    (lambda: sg.compile([3.0], [x]), sg.GraphError, "3.0 is not an input"),
    (lambda: sg.compile([x + 1], [x]), sg.GraphError, "is not an input"),
    (lambda: sg.compile([x, x], [x]), sg.GraphError, "'x' is listed twice"),
    (
        lambda: sg.compile([x, sg.input("x", ("n", 4), "float64")], [x]),
        sg.GraphError,
        "two inputs are called 'x'",
    ),
    (lambda: sg.compile([x], [x], threads=0), sg.CompileError, "threads is 0"),
    (lambda: sg.compile([x], [x], threads=-1), sg.CompileError, "threads is -1"),
    (lambda: sg.compile([x], [x], threads=10**6), sg.CompileError, "1 to 256"),
    (lambda: sg.compile([x], [x], dtype="int64"), sg.DTypeError, "float32 or float64"),
    (lambda: sg.compile([x], [x], dtype="half"), sg.DTypeError, "float16 is not"),
    (lambda: sg.init(sg.param("W", (2,), init="magic")), sg.SymgradError, "magic"),
    (
        lambda: sg.init(sg.param("W", (3, 2), init=np.ones(3))),
        sg.ShapeError,
        "'W' .* has the shape .3., not .3, 2.",
    ),
    *(
        (lambda lr=lr: sg.optim.SGD(lr), sg.GraphError, "lr must be a finite number")
        for lr in (float("nan"), float("inf"), -1, 0, "a", None)
    ),
]


@pytest.mark.parametrize(("make", "error", "message"), DECLARED)
def test_what_cannot_be_declared(make, error, message):
    with pytest.raises(error, match=message) as caught:
        make()
    assert isinstance(caught.value, sg.SymgradError)


def test_comparison_with_none_is_false():
    assert (x == None) is False  # noqa: E711
    assert (x != None) is True  # noqa: E711


def test_two_models_with_equal_names_never_meet():
    def model(factor):
        t = sg.input("x", (2,), "float64")
        w = sg.param("w", (2,), init=factor, dtype="float64")
        return sg.Trainer(sg.sum(w * t), sg.optim.SGD(0.5), seed=0)

    first, second = model(1.0), model(7.0)
    first.step(x=np.ones(2))
    np.testing.assert_array_equal(second.params["w"], [7.0, 7.0])
    np.testing.assert_array_equal(first.params["w"], [0.5, 0.5])


NAMES = [
    "__import__('os').system('false')",
    "quote \" and ' and \\",
    "{braces} %s %(x)s $x",
    "<b>&amp;</b>",
    "lambda",
    "x" * 5000,
    "größe ∂ 数",
    "a/../../b",
    "#{}\u2028",
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_are_only_names(name):
    if not name.isprintable():
        with pytest.raises(sg.GraphError, match="printable"):
            sg.input(name, (3,))
        return
    t = sg.input(name, (3,), "float64")
    with sg.scope(name):
        w = sg.param(name, (3,), dtype="float64")
    loss = sg.sum(sg.exp(t * w))
    run = sg.compile([t], [loss, sg.grad(loss, w)])
    values, weights = np.arange(3.0), np.full(3, 0.5)
    got, _ = run(values, params={w.name: weights})
    np.testing.assert_allclose(got, np.exp(values * weights).sum())
    compile(run.source, "<emitted>", "exec")
    assert sg.formula(loss)
    assert "<svg" in sg.draw(loss).svg


# -- NaN -------------------------------------------------------------------------------


def test_the_first_node_that_makes_a_nan_is_named():
    with sg.scope("block3"):
        bad = sg.log(x)
    run = sg.compile([x], [sg.sum(bad * 2)], nan_check=True)
    assert np.isfinite(run(np.abs(X))[0])
    with pytest.raises(sg.errors.NumericError, match=r"'log' .* in scope 'block3'"):
        run(-np.abs(X))
    assert np.isfinite(run(np.abs(X))[0])


def test_a_nan_that_only_the_gradient_has_is_named():
    root = sg.sqrt(x)
    slope = sg.grad(sg.sum(root * 0.0), x)
    run = sg.compile([x], [slope * sg.where(x > 0, 1.0, float("inf"))], nan_check=True)
    with pytest.raises(sg.errors.NumericError, match="the first NaN is made by"):
        run(np.zeros((4, 3)))


def test_nan_data_without_the_check_is_passed_on():
    run = sg.compile([x], [sg.sum(x, axis=1), sg.max(x, axis=1)])
    values = X.copy()
    values[1, 2] = np.nan
    total, largest = run(values)
    np.testing.assert_array_equal(np.isnan(total), [False, True, False, False])
    np.testing.assert_array_equal(np.isnan(largest), [False, True, False, False])


# -- processes, threads, interrupts ----------------------------------------------------

MAIN = """
import os, sys, time
import numpy as np
import symgrad as sg
x = sg.input("x", (64, 64), "float64")
y = x
for n in range({layers}):
    y = sg.tanh(y @ x + {constant})
run = sg.compile([x], [sg.sum(y), sg.grad(sg.sum(y), x)])
"""


def python(text, cache, **more):
    env = {**os.environ, "SYMGRAD_CACHE_DIR": str(cache), **more.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(text)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def test_processes_that_compile_the_same_at_once(tmp_path):
    text = MAIN.format(layers=3, constant=0.25)
    text += "print(repr(float(run(np.eye(64))[0])), flush=True)"
    started = [python(text, tmp_path) for _ in range(4)]
    ended = [p.communicate(timeout=120) for p in started]
    assert [p.returncode for p in started] == [0] * 4, ended
    assert len({out for out, _ in ended}) == 1
    assert not [err for _, err in ended if "Warning" in err]


def test_damaged_caches_are_made_anew_with_one_warning(tmp_path):
    text = MAIN.format(layers=2, constant=0.5) + "print(float(run(np.eye(64))[0]))"
    first = python(text, tmp_path).communicate(timeout=120)
    files = [f for f in tmp_path.rglob("*") if f.is_file()]
    assert files
    for f in files:
        f.chmod(0o600)
        f.write_bytes(b"garbage")
    again = python(text, tmp_path)
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    assert out == first[0]
    assert err.count("Warning") == 1
    assert python(text, tmp_path).communicate(timeout=120) == (first[0], "")


@pytest.mark.parametrize("place", ["/dev/null/nowhere", "file"])
def test_a_cache_that_cannot_be_written_warns_once(tmp_path, place):
    if place == "file":
        place = tmp_path / "file"
        place.write_text("not a directory")
    text = MAIN.format(layers=1, constant=0.75) + "print(float(run(np.eye(64))[0]))"
    done = python(text, place)
    out, err = done.communicate(timeout=120)
    assert done.returncode == 0, err
    assert float(out)
    assert err.count("Warning") == 1
    assert "cache" in err


def test_an_interrupt_while_compiling_leaves_a_usable_cache(tmp_path):
    text = MAIN.format(layers=4, constant=0.125) + "print(float(run(np.eye(64))[0]))"
    interrupted = python("print(1, flush=True)\n" + text, tmp_path)
    assert interrupted.stdout.readline() == "1\n"
    time.sleep(1.5)
    interrupted.send_signal(signal.SIGINT)
    _, err = interrupted.communicate(timeout=120)
    assert interrupted.returncode == 0 or "KeyboardInterrupt" in err
    again = python(text, tmp_path)
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    assert err == ""
    assert float(out)


def test_an_interrupt_while_running_ends_the_call(tmp_path):
    text = MAIN.format(layers=2, constant=0.5)
    text += textwrap.dedent("""
        print("ready", flush=True)
        try:
            while True:
                run(np.eye(64))
        except KeyboardInterrupt:
            print(bool(np.isfinite(run(np.eye(64))[0])))
    """)
    running = python(text, tmp_path)
    assert running.stdout.readline() == "ready\n"
    time.sleep(0.3)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (0, "True\n"), err


def _in_child(queue):
    queue.put(run_scalar(5.0))


def run_scalar(value):
    t = sg.input("t", (), "float64")
    return float(sg.compile([t], sg.exp(t) * 3)(value))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_of_a_process_that_has_used_it(method):
    wanted = run_scalar(5.0)
    context = multiprocessing.get_context(method)
    queue = context.SimpleQueue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX and Python warn of fork beside threads
        child = context.Process(target=_in_child, args=(queue,))
        child.start()
    child.join(60)
    assert child.exitcode == 0
    assert queue.get() == wanted


def test_one_program_in_many_threads_at_once(program):
    inputs = [(X * k, np.roll(Y, k)) for k in range(8)]
    wanted = [float(run(program, *a)[0]) for a in inputs]
    wrong = []

    def work(k):
        found = {float(run(program, *inputs[k])[0]) for _ in range(50)}
        wrong.extend(found - {wanted[k]})

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_equal_calls_give_equal_bits():
    t = sg.input("t", (300, 300))
    loss = sg.sum(sg.softmax(t @ t) * t)
    values = rng.normal(size=(300, 300)).astype("f4")
    for threads in (1, 2, 3):
        run = sg.compile([t], [loss, sg.grad(loss, t)], threads=threads)
        first = [a.tobytes() for a in run(values)]
        assert [a.tobytes() for a in run(values)] == first


# -- types of the whole program --------------------------------------------------------


@pytest.mark.parametrize(("dtype", "digits"), [("float64", 1e-12), ("float32", 1e-5)])
def test_a_program_in_another_type(dtype, digits):
    t = sg.input("t", ("n", 3))
    w = sg.param("w", (3, 2))
    k = sg.input("k", ("n",), "int64")
    loss = sg.mean(sg.logsumexp(sg.tanh(t @ w) + sg.one_hot(k, 2), axis=1))
    run = sg.compile([t, k], [loss, sg.grad(loss, w)], dtype=dtype)
    got, slope = run(X.astype(dtype), Y, params={"w": W.astype(dtype)})
    assert (got.dtype, slope.dtype) == (dtype, dtype)
    a = np.tanh(X @ W) + np.eye(2)[Y]
    np.testing.assert_allclose(got, np.log(np.exp(a).sum(1)).mean(), rtol=digits)

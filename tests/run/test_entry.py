"""Small programs as built-in functions: arguments, memory, references, threads."""

import gc
import sys
import threading

import numpy as np
import pytest

import symgrad as sg
from symgrad.run import entry, layout


@pytest.fixture(params=["native", "python"])
def either_way(request, monkeypatch):
    """With the built-in function, and with what stands in for it elsewhere."""
    if request.param == "python":
        monkeypatch.setattr(layout, "entry", lambda *_: None)
    else:
        assert entry.objects_are_known()


def program(shape=(3,), outputs=lambda x, y: x * y + x, dtype="float64"):
    x, y = sg.input("x", shape, dtype), sg.input("y", shape, dtype)
    return sg.compile([x, y], outputs(x, y))


def numbers(*shape):
    return np.arange(float(np.prod(shape, dtype=int))).reshape(shape) + 1


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 0), (2, 3, 4)])
def test_values_for_all_ranks(shape):
    f, x = program(shape), numbers(*shape)
    for _ in range(3):
        assert np.array_equal(f(x, 2 * x), x * 2 * x + x)
        assert f(x, x).shape == shape


@pytest.mark.usefixtures("either_way")
def test_structures_of_outputs():
    x = numbers(3)
    one = program(outputs=lambda x, y: [x + y])
    tree = program(outputs=lambda x, y: {"a": x + y, "b": (x * y, [x - y])})
    for _ in range(3):
        (first,) = one(x, x)
        assert np.array_equal(first, 2 * x)
        found = tree(x, x)
        assert np.array_equal(found["a"], 2 * x)
        assert np.array_equal(found["b"][1][0], 0 * x)


@pytest.mark.usefixtures("either_way")
def test_a_result_somebody_holds_is_never_overwritten():
    f, x = program(), numbers(3)
    held = [f(n * x, x) for n in range(6)]
    view = f(7 * x, x)[1:]
    for n, found in enumerate(held):
        assert np.array_equal(found, n * x * x + n * x)
    for _ in range(4):
        f(x, x)
    assert np.array_equal(view, (7 * x * x + 7 * x)[1:])
    assert len({a.ctypes.data for a in held}) == len(held)


@pytest.mark.usefixtures("either_way")
def test_a_result_may_be_the_next_argument():
    f, x = program(), numbers(3)
    y = x
    for _ in range(5):
        y = f(y, x)
    assert np.array_equal(y, x * (x + 1) ** 5)
    assert np.array_equal(f(f(x, x), f(x, x)), (x * x + x) ** 2 + x * x + x)


def test_a_dropped_result_that_was_frozen_is_not_used_again():
    f, x = program((2, 3)), numbers(2, 3)
    f(x, x)
    for _ in range(4):
        found = f(x, x)
        found.flags.writeable = False
        del found
        assert f(x, x).flags.writeable


def test_references_are_neither_lost_nor_kept():
    f = program(outputs=lambda x, y: [x + y, x * y])
    x = numbers(3)
    before = [sys.getrefcount(o) for o in (x, x.dtype, None)]
    for _ in range(1000):
        found = f(x, x)
        assert f.quick(x) is None
    a, b = found
    assert sys.getrefcount(a) == sys.getrefcount(b) == 4  # list, name, kept, argument
    after = [sys.getrefcount(o) for o in (x, x.dtype, None)]
    assert np.allclose(before, after, atol=50)
    del f, found
    gc.collect()
    assert sys.getrefcount(a) == 2
    assert np.array_equal(a, 2 * x)


@pytest.mark.parametrize(
    "wrong",
    [
        numbers(4),
        numbers(3).astype("float32"),
        numbers(6)[::2],
        numbers(3).astype(">f8"),
        numbers(1, 3),
        [1.0, 2.0, 3.0],
        None,
        2.0,
    ],
    ids=repr,
)
def test_what_does_not_fit_is_refused_before_anything_runs(wrong):
    f, x = program(), numbers(3)
    f(x, x)
    assert f.quick(x, x) is not None
    assert f.quick(wrong, x) is None
    assert f.quick(x, wrong) is None
    assert f.quick(x) is f.quick() is f.quick(x, x, x) is None


def test_converted_arguments_and_other_sizes_go_on_working():
    f, x = program(("n",)), numbers(6)
    for _ in range(3):
        assert np.array_equal(f(x, x), x * x + x)
        assert np.array_equal(f(x[::2], x[::2]), (x * x + x)[::2])
        assert np.array_equal(f([1.0, 2.0], x[:2]), [2.0, 6.0])
        with pytest.raises(sg.ShapeError, match="y has 3 along axis 0"):
            f(x, x[:3])
        with pytest.raises(sg.DTypeError, match="x is float64, not complex128"):
            f(x + 1j, x)


def test_threads_get_each_their_own_results():
    f, wrong = program((100,)), []

    def work(n):
        x = np.full(100, float(n))
        right = x * x + x
        y = x if n % 2 else list(x)
        wrong.extend(n for _ in range(2000) if not np.array_equal(f(x, y), right))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_large_programs_let_other_threads_run():
    small, large = program((100,)), program((1_000_000,))
    x, y = numbers(100), numbers(1_000_000)
    small(x, x)
    large(y, y)
    assert small.quick(x, x) is not None
    assert large.quick(y, y) is None


def test_products_through_blas():
    A, B = sg.input("A", (20, 30)), sg.input("B", (30, 40))
    f = sg.compile([A, B], A @ B)
    a, b = numbers(20, 30).astype("float32"), numbers(30, 40).astype("float32")
    for _ in range(3):
        assert np.allclose(f(a, b), a @ b, rtol=1e-5)
    assert f.quick(a, b) is not None

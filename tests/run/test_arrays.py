import numpy as np
import pytest

from symgrad.errors import DTypeError, ShapeError
from symgrad.run import arrays
from symgrad.run.arrays import ArgumentBinder, ArgumentSpec

F32 = np.dtype("float32")


@pytest.fixture(params=["native", "python"], autouse=True)
def both_ways(request, monkeypatch):
    if request.param == "python":
        monkeypatch.setattr(arrays, "layout_is_known", lambda: False)
    else:
        assert arrays.layout_is_known()


@pytest.fixture
def operands():
    return np.zeros(8, np.int64)


@pytest.fixture
def binder(operands):
    specs = [
        ArgumentSpec("x", F32, ("batch", 3), slots=(0, 5)),
        ArgumentSpec("y", np.dtype("int64"), ("batch",), slots=(1,)),
        ArgumentSpec("any", F32, (-1, 2), slots=()),
    ]
    return ArgumentBinder(specs, operands, size_slots={"batch": (2, 6)})


def arguments(batch=4, **changes):
    x = np.ones((batch, 3), np.float32)
    usual = {"x": x, "y": np.ones(batch, np.int64), "any": np.ones((9, 2), np.float32)}
    return tuple({**usual, **changes}.values())


@pytest.mark.parametrize("batch", [0, 1, 7])
def test_addresses_and_sizes_reach_their_slots(binder, operands, batch):
    x, y, other = arguments(batch)
    assert binder.bind((x, y, other)) == 0
    expected = [x.ctypes.data, y.ctypes.data, batch, 0, 0, x.ctypes.data, batch, 0]
    assert operands.tolist() == expected


def test_bind_outlives_its_binder(operands):
    bind = ArgumentBinder([ArgumentSpec("x", F32, (2,), (3,))], operands).bind
    x = np.ones(2, np.float32)
    assert bind((x,)) == 0
    assert operands[3] == x.ctypes.data


class Subclass(np.ndarray):
    pass


X = np.ones((4, 3), np.float32)
NOT_AS_WANTED = [
    ("x", X[:, :2], 1),
    ("x", np.ones((5, 3), np.float32), 2),  # the first to disagree on the batch
    ("x", np.asfortranarray(X), 1),
    ("x", np.ones((8, 3), np.float32)[::2], 1),
    ("x", X.astype(">f4"), 1),
    ("x", X.astype(float), 1),
    ("x", X.view(Subclass), 1),
    ("x", X[0], 1),
    ("x", X.tolist(), 1),
    ("x", None, 1),
    ("y", np.ones(4, np.int32), 2),
    ("y", np.ones((4, 1), np.int64), 2),
    ("any", np.ones((9, 3), np.float32), 3),
]


@pytest.mark.parametrize(("name", "value", "number"), NOT_AS_WANTED)
def test_the_first_that_is_not_as_wanted_is_named(binder, name, value, number):
    assert binder.bind(arguments(**{name: value})) == number


@pytest.mark.parametrize("wrong", [(), arguments()[:2], [*arguments()], None, 5])
def test_what_is_no_tuple_of_the_right_length_is_refused(binder, wrong):
    assert binder.bind(wrong) == -1


def test_arrays_to_write_to_must_be_writable(operands):
    spec = ArgumentSpec("out", F32, (3,), (0,), writable=True)
    binder = ArgumentBinder([spec], operands)
    fixed = np.ones(3, np.float32)
    assert binder.bind((fixed,)) == 0
    fixed.flags.writeable = False
    assert binder.bind((fixed,)) == 1
    with pytest.raises(DTypeError, match="out is written to"):
        binder.convert((fixed,))
    with pytest.raises(DTypeError, match="out is written to"):
        binder.convert((np.ones(6, np.float32)[::2],))


@pytest.mark.parametrize(
    "x",
    [
        np.asfortranarray(X),
        np.ones((8, 3), np.float32)[::2],
        X.astype(">f4"),
        X.view(Subclass),
        X.tolist(),
        np.broadcast_to(np.float32(1), (4, 3)),
        np.frombuffer(b"\0" + X.tobytes(), np.uint8)[1:].view(np.float32).reshape(4, 3),
    ],
)
def test_what_means_the_same_is_converted(binder, x):
    converted = binder.convert(arguments(x=x))
    assert binder.bind(converted) == 0
    np.testing.assert_array_equal(converted[0], np.ones((4, 3)))


def test_right_arrays_are_not_copied(binder):
    right = arguments()
    for before, after in zip(right, binder.convert(right), strict=True):
        assert np.shares_memory(before, after)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"x": X.astype(float)}, DTypeError, "x is float32, not float64.*astype"),
        ({"y": [1.5, 2, 3, 4]}, DTypeError, "y is int64, not float64"),
        ({"y": np.ones(5, np.int64)}, ShapeError, "y has 5 .* batch = 4"),
        ({"x": X[:, :2].copy()}, ShapeError, r"x has 2 along axis 1 of \(batch, 3\)"),
        ({"x": X[0]}, ShapeError, "x has the shape .3,., but is"),
        ({"any": "text"}, DTypeError, "any has to be an array of float32"),
    ],
)
def test_what_means_something_else_is_an_error(binder, changes, error, message):
    with pytest.raises(error, match=message):
        binder.convert(arguments(**changes))


def test_the_number_of_arguments_is_checked(binder):
    with pytest.raises(ShapeError, match="takes 3 arguments, not 2"):
        binder.convert(arguments()[:2])


def test_a_size_without_a_dimension_is_an_error(operands):
    with pytest.raises(ShapeError, match="'time'"):
        ArgumentBinder([], operands, size_slots={"time": [1]})


def test_scalars_and_no_arguments(operands):
    assert ArgumentBinder([], operands).bind(()) == 0
    binder = ArgumentBinder([ArgumentSpec("s", F32, (), (0,))], operands)
    assert binder.bind(binder.convert((2.5,))) == 0
    assert binder.bind(binder.convert((3,))) == 0

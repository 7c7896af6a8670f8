"""Compilation of functions: how often they are traced, and what they refuse."""

import threading

import numpy as np
import pytest

import symgrad as sg
from symgrad.transforms import programs
from tests.transforms.functions import X, Y


def counted(fun):
    """Return a function that notes how often it runs."""

    def noted(*args, **kwargs):
        noted.count += 1
        return fun(*args, **kwargs)

    noted.count = 0
    return noted


def test_traced_once_for_each_shape_and_type():
    f = counted(lambda x: x * 2)
    g = sg.jit(f)
    for _ in range(3):
        g(X)
        g(X.astype(np.float32))
        g(X[:2])
        g(2.0)
        g(3.5)
    assert f.count == 4
    g(np.arange(4))
    assert f.count == 5


def test_equal_transforms_share_their_program():
    f = counted(lambda x: np.sum(x**3))
    for _ in range(3):
        sg.grad(f)(X)
        sg.jvp(f, (X,), (Y,))
        sg.vmap(f, in_axes=(0,))(np.stack([X, Y]))
    assert f.count == 3
    sg.grad(f, has_aux=False, argnums=(0,))(X)
    assert f.count == 4


def test_the_least_recently_used_program_goes():
    cache = programs.Cache(2)
    made = []
    for key in ("a", "b", "a", "c", "a", "b"):
        cache.get(key, lambda key=key: made.append(key) or key)
    assert made == ["a", "b", "c", "b"]
    assert len(cache) == 2


def test_as_a_decorator():
    @sg.jit
    def f(x):
        """Double."""
        return x * 2

    assert (f.__name__, f.__doc__, repr(f)[:8]) == ("f", "Double.", "<jit of ")

    @sg.jit(static_argnames="n")
    def g(x, n):
        return sum(x * i for i in range(n))

    np.testing.assert_allclose(g(X, n=3), 3 * X)
    np.testing.assert_allclose(g(X, 4), 6 * X)


def test_static_arguments():
    f = counted(lambda x, mode, n=2: x**n if mode == "power" else x * n)
    g = sg.jit(f, static_argnums=(1, 2))
    np.testing.assert_allclose(g(X, "power"), X**2)
    np.testing.assert_allclose(g(X, "power", 3), X**3)
    np.testing.assert_allclose(g(X, "times", n=3), X * 3)
    np.testing.assert_allclose(g(Y, "power", 3), Y**3)
    assert f.count == 3
    np.testing.assert_allclose(sg.jit(g, static_argnums=(-1, 1))(X, "times", 4), X * 4)
    with pytest.raises(sg.GraphError, match=r"static argument 1 .*no hash.*tuple"):
        g(X, ["power"])


def test_methods():
    class Model:
        scale = 3.0

        @sg.jit(static_argnums=0)
        def __call__(self, x):
            return x * self.scale

        @sg.jit
        def wrong(self, x):
            return x

    np.testing.assert_allclose(Model()(X), 3 * X)
    with pytest.raises(sg.DTypeError, match=r"argument self is a Model"):
        Model().wrong(X)


def test_a_callable_without_hash():
    class Scale:
        __hash__ = None

        def __call__(self, x):
            return x * 2

    scale = Scale()
    np.testing.assert_allclose(sg.jit(scale)(X), 2 * X)
    assert sg.jit(scale).key == sg.jit(scale).key
    assert sg.jit(scale).key != sg.jit(Scale()).key


def test_the_program_can_be_looked_at():
    f = sg.jit(lambda x: np.sin(x))
    assert isinstance(f.program(X), sg.Program)
    assert "sin" in f.program(X).source


def test_keyword_arguments():
    f = sg.jit(lambda x, *, scale, shift=1.0: x * scale + shift)
    np.testing.assert_allclose(f(X, scale=2.0), X * 2 + 1)
    np.testing.assert_allclose(f(X, shift=Y, scale=2.0), X * 2 + Y)
    g = sg.grad(lambda x, *, scale: np.sum(x * scale))
    np.testing.assert_allclose(g(X, scale=Y), Y)


def test_arrays_of_any_layout():
    f = sg.jit(lambda x: x + 1)
    wide = np.arange(12.0).reshape(3, 4)
    for array in (wide, wide.T, wide[:, ::2], wide[::-1], wide.astype(">f8")):
        np.testing.assert_array_equal(f(array), array + 1)
    assert f(np.zeros((0, 2))).shape == (0, 2)


def test_results_are_of_their_own():
    f = sg.jit(lambda x: (x, x * 1, x[:2]))
    same, copy, part = f(X)
    for array in (same, copy, part):
        assert not np.shares_memory(array, X)
    later = f(Y)
    np.testing.assert_array_equal(same, X)
    np.testing.assert_array_equal(later[0], Y)


def test_constant_results():
    one, two, array, nothing = sg.jit(lambda x: (0.1, 2, Y, None))(X)
    assert (one.dtype, two.dtype, float(one)) == ("float64", "int64", 0.1)
    np.testing.assert_array_equal(array, Y)
    assert nothing is None


def test_arrays_closed_over_are_constants():
    scale = np.full(4, 2.0)
    f = sg.jit(lambda x: x * scale)
    np.testing.assert_allclose(f(X), 2 * X)
    scale[:] = 5.0
    np.testing.assert_allclose(f(X), 2 * X)


def test_calls_from_threads():
    f = sg.jit(lambda x: np.sum(np.exp(x)))
    arrays = [np.full(n % 3 + 1, float(n)) for n in range(12)]
    found = [None] * len(arrays)

    def call(n):
        found[n] = float(f(arrays[n]))

    workers = [threading.Thread(target=call, args=(n,)) for n in range(len(arrays))]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    np.testing.assert_allclose(found, [np.exp(a).sum() for a in arrays])


# -- what is refused -------------------------------------------------------------------


def assign(x):
    x[0] = 1.0
    return x


def store(x, kept=[]):  # noqa: B006
    kept.append(x)
    return x + kept[0]


W = sg.param("W", (4,))
T = sg.input("t", (4,), "float64")
#: name -> (call, the error, what it says)
ERRORS = {
    "if": (
        lambda: sg.jit(lambda x: x if np.sum(x) > 0 else -x)(X),
        sg.GraphError,
        r"no truth value.*sg\.where.*static_argnums",
    ),
    "range": (
        lambda: sg.jit(lambda x, n: sum(x for _ in range(n)))(X, 3),
        sg.GraphError,
        r"'n' int64\[\] has no value yet.*static_argnums",
    ),
    "float": (lambda: sg.jit(lambda x: float(x[0]))(X), sg.GraphError, "no value yet"),
    "asarray": (lambda: sg.jit(np.asarray)(X), sg.GraphError, "NumPy array"),
    "assignment": (lambda: sg.jit(assign)(X), sg.GraphError, "'x'.*use where"),
    "numpy": (lambda: sg.jit(np.sort)(X), sg.GraphError, r"np\.sort cannot be used"),
    "stored": (
        lambda: (sg.jit(store)(X), sg.jit(store)(X[:1])),
        sg.GraphError,
        r"store uses the tensor 'x' float64\[4\].*not among its arguments",
    ),
    "parameter": (lambda: sg.jit(lambda x: x * W)(X), sg.GraphError, "tensor 'W'"),
    "tensor": (lambda: sg.jit(lambda x: x * T)(X), sg.GraphError, "tensor 't'"),
    "string": (
        lambda: sg.jit(lambda p: p)({"a": ["text"]}),
        sg.DTypeError,
        r"argument p\['a'\]\[0\] is a str.*static_argnums",
    ),
    "result": (
        lambda: sg.jit(lambda x: {"a": (x, "text")})(X),
        sg.DTypeError,
        r"returns a str \(result\['a'\]\[1\]\)",
    ),
    "float16": (
        lambda: sg.jit(lambda x: x)(X.astype(np.float16)),
        sg.DTypeError,
        r"argument x is float16.*\.astype",
    ),
    "complex": (
        lambda: sg.jit(lambda *xs: xs)(X, 1j * X),
        sg.DTypeError,
        r"argument xs\[1\] is complex128",
    ),
    "integer": (
        lambda: sg.grad(lambda x, n: n * 1.0, 1)(X, 3),
        sg.DTypeError,
        r"sg\.grad: the argument n is int64",
    ),
    "integers": (
        lambda: sg.jacobian(lambda p: p["a"])({"a": np.arange(3)}),
        sg.DTypeError,
        r"sg\.jacobian: the argument p\['a'\] is int64",
    ),
    "bool": (
        lambda: sg.hessian(lambda x: 1.0 * x)(True),
        sg.DTypeError,
        r"sg\.hessian: the argument x is bool",
    ),
    "vector": (
        lambda: sg.grad(lambda x: x * 2)(X),
        sg.ShapeError,
        r"returns float64\[4\]; sum it, or use sg\.jacobian",
    ),
    "several": (
        lambda: sg.value_and_grad(lambda x: (x[0], x[1]))(X),
        sg.ShapeError,
        r"returns \(\*, \*\).*has_aux",
    ),
    "integer_result": (
        lambda: sg.grad(np.argmax)(X),
        sg.DTypeError,
        "returns int64, which has no derivative",
    ),
    "integer_results": (
        lambda: sg.jacobian(lambda x: (x, np.argmax(x)))(X),
        sg.DTypeError,
        r"returns int64 \(result\[1\]\)",
    ),
    "no_pair": (
        lambda: sg.grad(lambda x: np.sum(x), has_aux=True)(X),
        sg.GraphError,
        r"must return a pair \(value, aux\)",
    ),
    "argnums": (
        lambda: sg.grad(lambda x: np.sum(x), 2)(X),
        sg.GraphError,
        r"argnums=2, but the function was called with 1",
    ),
    "argnums_twice": (
        lambda: sg.grad(lambda x, y: np.sum(x), (0, -2))(X, Y),
        sg.GraphError,
        "names an argument twice",
    ),
    "argnums_type": (
        lambda: sg.grad(lambda x: x, "x"),
        sg.GraphError,
        "takes argnums, an integer or several, not 'x'",
    ),
    "no_function": (lambda: sg.jit(3), sg.GraphError, "takes a function.*not int 3"),
    "no_tensor": (lambda: sg.grad("x**2"), sg.GraphError, "not str"),
    "tangent_shape": (
        lambda: sg.jvp(lambda p: p["a"], ({"a": X},), ({"a": 1.0},)),
        sg.ShapeError,
        r"tangent\[0\]\['a'\] has the shape \[\].*belongs to \[4\]",
    ),
    "tangent_structure": (
        lambda: sg.jvp(lambda p: p["a"], ({"a": X},), ({"b": X},)),
        sg.GraphError,
        "tangents have the structure",
    ),
    "tangent_count": (
        lambda: sg.jvp(lambda x: x, (X,), (X, X)),
        sg.GraphError,
        "1 primals, but 2 tangents",
    ),
    "tangent_type": (
        lambda: sg.jvp(lambda x: x, (X,), (np.arange(4),)),
        sg.DTypeError,
        r"tangent\[0\] is int64",
    ),
    "no_tuple": (lambda: sg.jvp(lambda x: x, X, X), sg.GraphError, "is a tuple"),
    "cotangent_structure": (
        lambda: sg.vjp(lambda x: (x, x), X)[1](X),
        sg.GraphError,
        "cotangents have the structure",
    ),
    "cotangent_shape": (
        lambda: sg.vjp(lambda x: x, X)[1](X[:2]),
        sg.ShapeError,
        r"cotangent has the shape \[2\]",
    ),
    "vjp_keyword": (
        lambda: sg.vjp(lambda x: x, x=X),
        sg.GraphError,
        "no keyword argument 'x'",
    ),
    "hvp_vector": (
        lambda: sg.hvp(lambda x: x, (X,), (X,)),
        sg.ShapeError,
        r"sg\.hvp needs a function that returns a scalar",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_refused(name):
    call, error, message = ERRORS[name]
    with pytest.raises(error, match=message):
        call()


def test_an_error_leaves_nothing_behind():
    f = sg.jit(lambda x: x if np.sum(x) > 0 else -x)
    for _ in range(2):
        with pytest.raises(sg.GraphError, match="truth value"):
            f(X)
    np.testing.assert_allclose(sg.jit(lambda x: x * 2)(X), 2 * X)


def test_equal_calls_and_calls_that_differ_a_little():
    """The short way for calls like the last one takes nothing that is not like it."""
    f = sg.jit(lambda p, n: p["a"] * n + p["b"][0])
    expected = X * 2 + Y
    for _ in range(2):
        np.testing.assert_allclose(f({"a": X, "b": [Y]}, 2.0), expected)
        np.testing.assert_allclose(f({"b": [Y], "a": X}, 2.0), expected)
        np.testing.assert_allclose(f({"a": X, "b": [Y]}, 2), expected)
        np.testing.assert_allclose(f({"a": X, "b": (Y,)}, 2.0), expected)
        np.testing.assert_allclose(f({"a": X, "b": [1.0]}, 2.0), X * 2 + 1)
        np.testing.assert_allclose(f({"a": X, "b": [Y]}, n=2.0), expected)
        np.testing.assert_allclose(f({"a": X[::-1], "b": [Y]}, 2.0), X[::-1] * 2 + Y)
        single = f({"a": X.astype(np.float32), "b": [np.float32(1)]}, 2.0)
        assert single.dtype == np.float32

"""Sparse Jacobians and Hessians against JAX's dense ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

import symgrad as sg
from symgrad.transforms.colouring import compress, compress_symmetric
from symgrad.transforms.sparsity import structure
from tests.transforms.functions import XP

RNG = np.random.default_rng(5)
N = 24
X = RNG.normal(size=N)
G = RNG.normal(size=(5, 6))
IDS = np.array([3, 3, 0, 7, 23, 11, 3])
LAPLACE = np.diag(np.full(N, 2.0)) - np.eye(N, k=1) - np.eye(N, k=-1)
ARROW = np.eye(N) * 3
ARROW[0, :] = ARROW[:, 0] = 1.0
BLOCKS = np.kron(np.eye(6), np.ones((4, 4))) * RNG.normal(size=(N, N))


def five_points(xp, u):
    inner = u[1:-1, 1:-1]
    around = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2]
    return around - 4 * inner + xp.exp(inner)


def arrow(xp, x):
    first = xp.reshape(xp.sum(x**2), (1,))
    return xp.concatenate([first, x[1:] * x[0] + x[1:] ** 3])


def block_diagonal(xp, x):
    blocks = xp.reshape(x, (6, 4))
    return xp.reshape(xp.sum(blocks**2, axis=1, keepdims=True) * blocks, (N,))


def rosenbrock(xp, x):
    return xp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def chained(xp, x):  # every fourth joins two blocks
    return xp.sum(xp.cos(x[:-4] * x[4:])) + xp.sum(x**4)


def sum_of_squares(xp, x):
    return xp.sum(x**2) + x[0] * xp.sum(x[1:])


class Names:
    """NumPy's names on top of symgrad's."""

    def __getattr__(self, name):
        return {"concatenate": sg.concat}.get(name) or getattr(XP, name)


NAMES = Names()

#: name -> (function, argument, the most products, entries or None)
JACOBIANS = {
    "diagonal": (lambda xp, x: xp.sin(x) * x, X, 1, N),
    "first_difference": (lambda xp, x: x[1:] - x[:-1] ** 2, X, 2, 2 * (N - 1)),
    "laplacian_1d": (
        lambda xp, x: x[2:] - 2 * x[1:-1] ** 2 + x[:-2],
        X,
        3,
        3 * (N - 2),
    ),
    "laplacian_2d": (five_points, G, 6, 12 * 5),
    "padded_stencil": (
        lambda xp, x: xp.pad(x, [(1, 1)])[2:] * x - xp.pad(x, [(1, 1)])[:-2],
        X,
        3,
        3 * N - 2,
    ),
    "constant_matrix": (lambda xp, x: LAPLACE @ xp.sin(x), X, 3, 3 * N - 2),
    "constant_blocks": (lambda xp, x: xp.tanh(BLOCKS @ x), X, 4, 4 * N),
    "constant_arrow": (lambda xp, x: ARROW @ x, X, 3, 3 * N - 2),
    "arrow": (arrow, X, 3, 3 * N - 2),
    "transposed_arrow": (
        lambda xp, x: x * xp.concatenate([x[:1] * 0 + 1, x[:1] * xp.ones(N - 1)]),
        X,
        3,
        2 * N - 1,
    ),
    "block_diagonal": (block_diagonal, X, 4, 4 * N),
    "gather": (lambda xp, x: x[IDS] ** 2, X, 1, len(IDS)),
    "gather_differences": (
        lambda xp, x: x[IDS[1:]] * x[IDS[:-1]],
        X,
        4,
        None,
    ),
    "concat": (
        lambda xp, x: xp.concatenate([x[:3] ** 2, xp.sin(x), x[5:6] * x[7:8]]),
        X,
        2,
        N + 5,
    ),
    "stack": (lambda xp, x: xp.stack([x, x**2, x[::-1]]), X, 2, 3 * N),
    "flip": (lambda xp, x: x[::-1] * 2 + x**3, X, 2, 2 * N),
    "stride": (lambda xp, x: x[::2] * x[1::2], X, 2, N),
    "roll": (lambda xp, x: xp.roll(x, 3) * x, X, 3, 2 * N),
    "lower_triangle": (lambda xp, x: xp.cumsum(x), X[:6], 0, 21),
    "reduction": (lambda xp, x: xp.sum(x**2), X, 1, N),
    "rows": (lambda xp, g: xp.sum(xp.exp(g), axis=1), G, 1, 30),
    "columns": (lambda xp, g: xp.max(g, axis=0), G, 1, 30),
    "matrix_product": (lambda xp, g: g @ G.T[:, :2], G, 6, 60),
    "transpose": (lambda xp, g: xp.sin(g.T), G, 1, 30),
    "outer": (lambda xp, x: xp.outer(x[:5], x[5:8]), X[:8], None, 30),
    "masked": (lambda xp, g: xp.tril(g) ** 2 + 1, G, 1, 15),
    "where": (lambda xp, x: xp.where(np.arange(N) < 4, x, x[::-1]), X, 2, N),
    "constant": (lambda xp, x: xp.floor(x) + 0 * 1.0, X, 0, 0),
    "softmax": (lambda xp, x: xp.exp(x) / xp.sum(xp.exp(x)), X[:5], 0, 25),
    "of_scalar": (lambda xp, a: xp.stack([a, a**2]), np.float64(2.0), 1, 2),
    "data_dependent": (
        lambda xp, x: xp.take(x, xp.argmax(x[:3]), axis=0) * x[:3],
        X[:6],
        None,
        18,
    ),
}

#: name -> (function, argument, the most products, entries)
HESSIANS = {
    "rosenbrock": (rosenbrock, X, 3, 3 * N - 2),
    "separable": (lambda xp, x: xp.sum(xp.log(1 + x**2)), X, 1, N),
    "quadratic_form": (lambda xp, x: x @ (LAPLACE @ x), X, 3, 3 * N - 2),
    "blocks": (lambda xp, x: xp.sum(block_diagonal(xp, x)), X, 4, 4 * N),
    "arrow": (sum_of_squares, X, 2, 3 * N - 2),
    "chained": (chained, X, 3, 3 * N - 8),
    "grid": (lambda xp, g: xp.sum(xp.sin(five_points(xp, g))), G, 30, None),
    "dense": (lambda xp, x: xp.sum(x) ** 4, X[:6], 0, 36),
    "linear": (lambda xp, x: xp.sum(3 * x), X, 0, 0),
    "gather": (lambda xp, x: xp.sum(x[IDS] * x[IDS[::-1]]), X, 4, None),
    "product": (lambda xp, x: xp.prod(x[:3]) + xp.sum(x**2), X, 4, N + 6),
}


def check(found, expected, size):
    assert isinstance(found, sp.csr_array)
    assert found.dtype == expected.dtype
    dense = np.asarray(expected).reshape(-1, size)
    np.testing.assert_allclose(found.toarray(), dense, rtol=1e-9, atol=1e-11)
    assert found.has_canonical_format
    return dense


@pytest.mark.parametrize("name", JACOBIANS)
def test_jacobian(name):
    fun, x, most, entries = JACOBIANS[name]
    expected = jax.jacrev(lambda x: fun(jnp, x))(jnp.asarray(x))
    check(sg.sparse_jacobian(lambda x: fun(NAMES, x))(x), expected, x.size)
    t = sg.input("x", x.shape, "float64")
    graph = sg.sparse_jacobian(fun(NAMES, t), t)
    assert entries is None or graph.nnz == entries
    assert most is None or graph.products <= most


@pytest.mark.parametrize("name", HESSIANS)
def test_hessian(name):
    fun, x, most, entries = HESSIANS[name]
    expected = jax.hessian(lambda x: fun(jnp, x))(jnp.asarray(x))
    found = sg.sparse_hessian(lambda x: fun(NAMES, x))(x)
    dense = check(found, expected, x.size)
    np.testing.assert_allclose(dense, dense.T, atol=1e-10)
    t = sg.input("x", x.shape, "float64")
    graph = sg.sparse_hessian(fun(NAMES, t), t)
    assert entries is None or graph.nnz == entries
    assert graph.products <= most


def test_rosenbrock_in_a_thousand_variables():
    x = RNG.normal(size=1000)
    found = sg.sparse_hessian(lambda x: rosenbrock(NAMES, x))(x)
    expected = jax.hessian(lambda x: rosenbrock(jnp, x))(jnp.asarray(x))
    check(found, expected, 1000)
    assert found.nnz == 2998


def test_laplacian_of_a_grid():
    u = RNG.normal(size=(30, 40))
    found = sg.sparse_jacobian(lambda u: five_points(NAMES, u))(u)
    expected = jax.jacrev(lambda u: five_points(jnp, u))(jnp.asarray(u))
    check(found, expected, u.size)
    assert found.nnz == 5 * 28 * 38


def test_several_arguments_and_results():
    def f(xp):
        return lambda p, y: {"a": p["x"] ** 2 * y, "b": (y[1:] - y[:-1],)}

    args = {"x": X[:5]}, X[5:10]
    found = sg.sparse_jacobian(f(NAMES), argnums=(0, 1))(*args)
    expected = jax.jacrev(f(jnp), argnums=(0, 1))(*args)
    flat = jax.tree.leaves(found, is_leaf=sp.issparse)
    assert sorted(found) == ["a", "b"]
    for ours, theirs in zip(flat, jax.tree.leaves(expected), strict=True):
        check(ours, theirs, 5)


def test_hessian_by_several_arguments():
    def loss(xp):
        return lambda x, y: xp.sum(x**2 * xp.sin(y)) + xp.sum(y[1:] * y[:-1])

    args = X[:5], X[5:10]
    found = sg.sparse_hessian(loss(NAMES), (0, 1))(*args)
    expected = jax.hessian(loss(jnp), (0, 1))(*args)
    for i in range(2):
        for j in range(2):
            check(found[i][j], expected[i][j], 5)


def test_in_the_type_of_the_argument():
    found = sg.sparse_jacobian(lambda x: x**2)(X.astype(np.float32))
    assert found.dtype == np.float32
    with pytest.raises(sg.DTypeError, match="argument x is int64"):
        sg.sparse_jacobian(lambda x: x * 1.0)(np.arange(3))


def test_results_do_not_share_their_structure():
    f = sg.sparse_jacobian(lambda x: x**2)
    one = f(X)
    one.indices[:] = 0
    check(f(X), np.diag(2 * X), N)


def test_graphs_with_parameters():
    x, w = sg.input("x", (N,), "float64"), sg.param("w", (N,), dtype="float64")
    found = sg.sparse_jacobian(w[1:] * x[:-1] * x[1:], x)
    assert repr(found) == "<SparseJacobian 23x24, 46 entries from 2 products>"
    run = found.compile([x])
    matrix = run(X, params={"w": X})
    expected = jax.jacrev(lambda x: X[1:] * x[:-1] * x[1:])(jnp.asarray(X))
    check(matrix, expected, N)


def test_structure_of_a_batched_function():
    f = sg.vmap(lambda row: row[1:] * row[:-1])
    x = sg.input("x", (3, 4), "float64")
    block = structure(f(x)[0], x).toarray()[:, :4]
    np.testing.assert_array_equal(
        structure(f(x), x).toarray(), np.kron(np.eye(3), block).astype(bool)
    )


def test_inside_a_traced_function_values_are_tensors():
    f = sg.jit(lambda x: np.sum(sg.sparse_jacobian(lambda z: z**3)(x).values))
    np.testing.assert_allclose(f(X), np.sum(3 * X**2))


def test_what_has_no_structure():
    x = sg.input("x", ("n",))
    with pytest.raises(sg.ShapeError, match="needs integer dimensions"):
        sg.sparse_jacobian(x * 2, x)
    y = sg.input("y", (4,))
    with pytest.raises(sg.ShapeError, match="returns a scalar"):
        sg.sparse_hessian(y * y, y)
    with pytest.raises(sg.GraphError, match="a tensor to derive it by, not list"):
        sg.sparse_jacobian(y * y, [y])
    with pytest.raises(sg.GraphError, match="not reached"):
        sg.sparse_jacobian(y * y, x)


@pytest.mark.parametrize("seed", range(6))
def test_any_structure_is_recovered(seed):
    """The entries of random matrices come out of the products that are planned."""
    rng = np.random.default_rng(seed)
    m, n = rng.integers(3, 30, 2)
    dense = rng.random((m, n)) < 0.1
    dense[rng.integers(m, size=seed % 3)] = True
    dense[:, rng.integers(n, size=seed % 2)] = True
    values = np.where(dense, rng.normal(size=(m, n)), 0.0)
    how = compress(sp.csr_array(dense))
    flat = [np.zeros(0)]
    if how.columns is not None:
        colours = np.arange(how.columns.max() + 1)[:, None]
        flat.append((values @ (how.columns == colours).T).T.ravel())
    if how.rows is not None:
        colours = np.arange(how.rows.max() + 1)[:, None]
        flat.append(((how.rows == colours) @ values).ravel())
    np.testing.assert_allclose(np.concatenate(flat)[how.place], values[dense])
    n = min(m, n)
    square = dense[:n, :n] | dense[:n, :n].T | np.eye(n, dtype=bool)
    symmetric = np.where(square, values[:n, :n] + values[:n, :n].T, 0.0)
    symmetric = np.where(square & (symmetric == 0), 1.0, symmetric)
    how = compress_symmetric(sp.csr_array(square))
    colours = np.arange(how.columns.max() + 1)[:, None]
    flat = (symmetric @ (how.columns == colours).T).T.ravel()
    np.testing.assert_allclose(flat[how.place], symmetric[square])

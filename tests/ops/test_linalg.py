"""``sg.linalg`` against JAX: values, gradients, second derivatives, batches, edges."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import symgrad as sg
from symgrad.errors import NumericError
from tests.ops.harness import Case, Spec, check, declare, real, run, table

LINALG, NUMPY = sg.linalg, jnp.linalg


def regular(*shape, dtype="float64") -> Spec:
    """Well-conditioned matrices."""

    def spec(rng):
        n = shape[-1]
        return np.asarray(rng.normal(size=shape) / 2 + 2 * np.eye(n), dtype)

    return spec


def definite(*shape, dtype="float64") -> Spec:
    """Symmetric positive definite matrices."""

    def spec(rng):
        a = rng.normal(size=shape)
        return np.asarray(a @ np.swapaxes(a, -1, -2) + np.eye(shape[-1]), dtype)

    return spec


#: Cases of which second derivatives are compared too; they compile slowly in JAX.
TWICE = ("cholesky", "inv", "solve", "det", "logabsdet", "normal density", "norm 3")


def both(name, function, *inputs, **options):
    """Return a case of a function that takes the namespace of linear algebra."""
    options = {"order": 2 if name in TWICE else 1} | options
    return Case(
        name,
        lambda *x: function(LINALG, *x),
        lambda *x: function(NUMPY, *x),
        inputs,
        **options,
    )


CASES = [
    both("cholesky", lambda xp, a: xp.cholesky(a), definite(4, 4)),
    both(
        "upper cholesky",
        lambda xp, a: xp.cholesky(a, upper=True),
        definite(3, 3),
    ),
    both("cholesky batch", lambda xp, a: xp.cholesky(a), definite(2, 3, 3)),
    both("cholesky unsymmetric", lambda xp, a: xp.cholesky(a), regular(3, 3)),
    both("inv", lambda xp, a: xp.inv(a), regular(4, 4)),
    both("solve vector", lambda xp, a, b: xp.solve(a, b), regular(3, 3), real(3)),
    both("solve", lambda xp, a, b: xp.solve(a, b), regular(3, 3), real(3, 2)),
    both(
        "solve one matrix",
        lambda xp, a, b: xp.solve(a, b),
        regular(3, 3),
        real(2, 3, 2),
    ),
    both(
        "solve one vector", lambda xp, a, b: xp.solve(a, b), regular(2, 3, 3), real(3)
    ),
    both(
        "solve broadcast",
        lambda xp, a, b: xp.solve(a, b),
        regular(2, 1, 3, 3),
        real(4, 3, 1),
    ),
    both("det", lambda xp, a: xp.det(a), regular(4, 4)),
    both("sign", lambda xp, a: xp.slogdet(a)[0], real(4, 4)),
    both("logabsdet", lambda xp, a: xp.slogdet(a)[1], real(4, 4)),
    both("quadratic", lambda xp, a, b: b @ xp.inv(a) @ b, definite(3, 3), real(3)),
    both(
        "by cholesky",
        lambda xp, a, b: xp.solve(xp.cholesky(a).mT, xp.solve(xp.cholesky(a), b)),
        definite(3, 3),
        real(3, 2),
    ),
    both(
        "normal density",
        lambda xp, a, b: -b @ xp.solve(a, b) / 2 - xp.slogdet(a)[1] / 2,
        definite(4, 4),
        real(4),
    ),
    both("trace", lambda xp, a: xp.trace(a @ a), real(3, 3)),
    both("trace offset", lambda xp, a: xp.trace(a, offset=1), real(2, 3, 4)),
    both("norm", lambda xp, a: xp.norm(a), real(3, 2)),
    both("norm of rows", lambda xp, a: xp.norm(a, axis=1), real(3, 2)),
    both("norm 1", lambda xp, a: xp.norm(a, 1, axis=0), real(3, 2)),
    both("norm 3", lambda xp, a: xp.norm(a, 3, axis=0), real(3, 2)),
    both("norm inf", lambda xp, a: xp.norm(a, np.inf, axis=0), real(3, 2)),
    both("norm fro", lambda xp, a: xp.norm(a, "fro", axis=(0, 2)), real(3, 2, 4)),
    both("matrix norm 1", lambda xp, a: xp.norm(a, 1), real(3, 4)),
    both("matrix norm inf", lambda xp, a: xp.norm(a, np.inf), real(3, 4)),
    both(
        "float32",
        lambda xp, a, b: xp.solve(a, b),
        regular(3, 3, dtype="float32"),
        real(3, dtype="float32"),
        rtol=1e-4,
    ),
]


@table(CASES)
def test_as_jax(case):
    check(case)


@pytest.mark.parametrize("n", [0, 1, 2, 150])
def test_sizes(n):
    rng = np.random.default_rng(n)
    a, b = rng.normal(size=(n, n)), rng.normal(size=(n, 2))
    s = a @ a.T + np.eye(n)
    inverse, x, logarithm, factor = run(
        [a, b, s],
        lambda a, b, s: [
            sg.linalg.inv(a),
            sg.linalg.solve(a, b),
            *sg.linalg.slogdet(a)[1:],
            sg.linalg.cholesky(s),
        ],
    )
    size = max(np.abs(inverse).max(initial=0), 1)
    np.testing.assert_allclose(inverse, np.linalg.inv(a), atol=1e-11 * size)
    np.testing.assert_allclose(x, np.linalg.solve(a, b), atol=1e-11 * size)
    np.testing.assert_allclose(logarithm, np.linalg.slogdet(a)[1], rtol=1e-12)
    np.testing.assert_allclose(factor, np.linalg.cholesky(s), atol=1e-12 * max(n, 1))


def test_no_right_hand_sides_and_empty_batches():
    a = np.eye(3)[None].repeat(2, 0)
    assert run([a, np.ones((2, 3, 0))], sg.linalg.solve).shape == (2, 3, 0)
    assert run([a[:0]], sg.linalg.det).shape == (0,)
    assert run([a[:0]], sg.linalg.inv).shape == (0, 3, 3)


def test_one_program_for_all_sizes_and_strides():
    A, b = sg.input("A", ("k", "n", "n"), "float64"), sg.input("b", ("n",), "float64")
    x = sg.linalg.solve(A, b)
    program = sg.compile([A, b], [x, sg.grad(sg.sum(x * x), b), sg.linalg.det(A)])
    rng = np.random.default_rng(0)
    for k, n in ((1, 1), (3, 4), (2, 33)):
        a = rng.normal(size=(n, k, n)).transpose(1, 2, 0)[:, ::-1]
        c = rng.normal(size=2 * n)[::2]
        got, gradient, determinant = program(a, c)
        want = np.linalg.solve(a, np.repeat(c[None, :, None], k, 0))[..., 0]
        np.testing.assert_allclose(got, want, rtol=1e-8)
        inverse = np.linalg.inv(a)
        slope = 2 * np.einsum("kij,ki->j", inverse, want)
        np.testing.assert_allclose(gradient, slope, rtol=1e-7)
        np.testing.assert_allclose(determinant, np.linalg.det(a), rtol=1e-9)


def test_ill_conditioned():
    """The error is that of a backward stable method: the condition times rounding."""
    n = 8
    hilbert = np.array([[1 / (i + j + 1) for j in range(n)] for i in range(n)])
    with mpmath.workdps(60):
        exact = mpmath.matrix(hilbert.tolist())
        inverse = np.array((exact**-1).tolist(), float)
        determinant = float(mpmath.log(mpmath.det(exact)))
    got, logarithm, slope = run(
        [hilbert],
        lambda a: [
            sg.linalg.inv(a),
            sg.log(sg.linalg.det(a)),
            sg.grad(sg.log(sg.linalg.det(a)), a),
        ],
    )
    error = np.abs(inverse).max() * np.linalg.cond(hilbert) * 2**-52
    np.testing.assert_allclose(got, inverse, atol=error)
    np.testing.assert_allclose(slope, inverse.T, atol=error)
    np.testing.assert_allclose(logarithm, determinant, rtol=1e-8)


def test_a_determinant_beyond_the_range_of_floats_has_a_logarithm():
    a = 1e5 * np.eye(100)
    value, slope = run(
        [a],
        lambda a: [sg.log(sg.linalg.det(a)), sg.grad(sg.log(sg.linalg.det(a)), a)],
    )
    np.testing.assert_allclose(value, 100 * np.log(1e5), rtol=1e-14)
    np.testing.assert_allclose(slope, np.eye(100) / 1e5, rtol=1e-14)


def test_singular_and_indefinite_matrices_are_as_in_jax():
    singular, indefinite = np.zeros((2, 2)), np.array([[1.0, 2.0], [2.0, 1.0]])
    sign, logarithm, determinant = run(
        [singular], lambda a: [*sg.linalg.slogdet(a), sg.linalg.det(a)]
    )
    assert (sign, logarithm, determinant) == (0.0, -np.inf, 0.0)
    inverse = run([singular], sg.linalg.inv)
    assert not np.isfinite(inverse).any()
    assert not np.isfinite(jnp.linalg.inv(singular)).any()
    assert np.isnan(run([indefinite], sg.linalg.cholesky)).all()
    assert np.isnan(np.diag(run([np.full((3, 3), np.nan)], sg.linalg.cholesky))).all()


def test_one_factorization_serves_all():
    A, b = sg.input("A", (5, 5), "float64"), sg.input("b", (5,), "float64")
    x = sg.linalg.solve(A, b)
    loss = b @ x + sg.linalg.slogdet(A)[1]
    program = sg.compile([A, b], [loss, *sg.grad(loss, [A, b]), sg.linalg.inv(A.T)])
    assert program.source.count("getrf_f64(") == 1
    assert program.report()["flops"] > 0
    factor = sg.linalg.cholesky(A)
    program = sg.compile([A, b], sg.linalg.solve(factor.T, sg.linalg.solve(factor, b)))
    assert "getrf" not in program.source


def test_threads_share_a_batch_and_agree():
    a = np.random.default_rng(0).normal(size=(64, 40, 40))
    (A,) = declare([a])
    outputs = [sg.linalg.inv(A), sg.linalg.det(A), sg.linalg.cholesky(A @ A.mT)]
    one, two = (sg.compile([A], outputs, threads=n)(a) for n in (1, 2))
    for x, y in zip(one, two, strict=True):
        np.testing.assert_array_equal(x, y)
    np.testing.assert_allclose(one[0] @ a, np.eye(40) + 0 * a, atol=1e-8)


def test_saved_programs_load(tmp_path):
    A, b = sg.input("A", (3, 3), "float64"), sg.input("b", (3,), "float64")
    outputs = [sg.linalg.solve(A, b), sg.linalg.cholesky(A @ A.T), sg.linalg.inv(A)]
    program = sg.compile([A, b], [*outputs, sg.linalg.det(A), *sg.linalg.slogdet(A)])
    program.save(tmp_path / "p.sg")
    a, c = np.random.default_rng(0).normal(size=(2, 3, 3))
    loaded = sg.load(tmp_path / "p.sg")
    for got, want in zip(loaded(a, c[0]), program(a, c[0]), strict=True):
        np.testing.assert_array_equal(got, want)


def test_nan_check_names_the_factorization():
    A = sg.input("A", (2, 2))
    program = sg.compile([A], sg.sum(sg.linalg.cholesky(A)), nan_check=True)
    with pytest.raises(
        NumericError, match=r"'cholesky' float32\[2, 2\], computed from"
    ):
        program(-np.eye(2, dtype="float32"))


def test_jacobian_is_a_formula_and_vmap_a_batch():
    A, b = sg.input("A", (3, 3), "float64"), sg.input("b", (3,), "float64")
    assert sg.jacobian(sg.linalg.solve(A, b), b).op.name == "inv"
    a, c = np.random.default_rng(1).normal(size=(2, 4, 3, 3))
    for axes in ((0, 0), (0, None), (None, 0)):
        x = a if axes[0] == 0 else a[0]
        y = c if axes[1] == 0 else c[0]
        got = sg.vmap(sg.linalg.solve, axes)(x, y)
        want = jax.vmap(jnp.linalg.solve, axes)(x, y)
        np.testing.assert_allclose(got, want, rtol=1e-9)


def test_numpys_functions():
    def function(xp, a, b):
        parts = [
            xp.linalg.inv(a),
            xp.linalg.solve(a, b),
            xp.linalg.det(a),
            xp.linalg.slogdet(a).logabsdet,
            xp.linalg.cholesky(a @ a.mT + np.eye(3)),
            xp.linalg.norm(b, axis=0),
            xp.linalg.trace(a),
            xp.linalg.vector_norm(b),
            xp.linalg.vector_norm(b, ord=1, axis=1),
            xp.linalg.matrix_norm(b),
            xp.linalg.diagonal(a),
            xp.linalg.matrix_transpose(b),
        ]
        return [xp.sin(p) for p in parts]

    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 3, 3)), rng.normal(size=(3, 2))
    b = np.stack([b, b + 1])
    for got, want in zip(
        sg.jit(lambda a, b: function(np, a, b))(a, b), function(jnp, a, b), strict=True
    ):
        np.testing.assert_allclose(got, want, rtol=1e-9)


A, B = sg.input("A", ("n", "n")), sg.input("B", ("n", "m"))
ERRORS = [
    (lambda: sg.linalg.inv(B), r"linalg.inv: 'B' float32\[n, m\] is not square"),
    (lambda: sg.linalg.det(sg.input("v", (3,))), "linalg.det: 'v' .* is not square"),
    (lambda: sg.linalg.cholesky(B), "linalg.cholesky: 'B'"),
    (lambda: sg.linalg.slogdet(B), "linalg.slogdet: 'B'"),
    (
        lambda: sg.linalg.solve(A, B.T),
        r"'A' .* needs a right-hand side of shape \[n\] or \[n, k\], not 'transpose'",
    ),
    (lambda: sg.linalg.solve(A, 1.0), "right-hand side"),
    (
        lambda: sg.linalg.solve(sg.input("P", (2, 3, 3)), sg.input("Q", (4, 3, 1))),
        "linalg.solve: the shapes .* do not fit: dimension -3 is 2 in one and 4",
    ),
    (lambda: sg.linalg.trace(sg.input("v", (3,))), "'v' .* fewer than 2 dimensions"),
    (lambda: sg.linalg.norm(A, "nuc"), "order 'nuc' over 2 axes of 'A'"),
    (lambda: sg.linalg.norm(A, 2), "order 2 over 2 axes .* 'fro', 1, -1, inf and -inf"),
    (lambda: np.linalg.svd(A), "np.linalg.svd cannot be used"),
]


@pytest.mark.parametrize(("make", "message"), ERRORS, ids=range(len(ERRORS)))
def test_what_does_not_fit(make, message):
    with pytest.raises(sg.SymgradError, match=message):
        make()


def cofactors(a):
    """Return cofactors by minors."""
    found = np.empty_like(a)
    for i, j in np.ndindex(a.shape):
        minor = np.delete(np.delete(a, i, 0), j, 1)
        found[i, j] = (-1) ** (i + j) * np.linalg.det(minor)
    return found


@pytest.mark.parametrize("deficit", [0, 1, 2, 3])
@pytest.mark.parametrize("backend", ["numba", "jax"])
def test_the_gradient_of_a_determinant_is_right_at_any_rank(deficit, backend):
    A = sg.input("A", ("b", "n", "n"), "float64")
    slope = sg.grad(sg.sum(sg.linalg.det(A)), A)
    program = sg.compile([A], slope, backend=backend)
    rng = np.random.default_rng(deficit)
    for n in (1, 2, 3, 6):
        rank = max(n - deficit, 0)
        a = rng.normal(size=(2, n, rank)) @ rng.normal(size=(2, rank, n))
        wanted = np.stack([cofactors(m) for m in a])
        np.testing.assert_allclose(program(a), wanted, 1e-10, 1e-10)


@pytest.mark.parametrize(
    "a",
    [
        np.zeros((3, 3)),
        np.ones((3, 3)),
        np.diag([1.0, 0, 2]),
        np.diag([0, 0, 2.0]),
        np.array([[0.0, 1], [0, 0]]),
        np.array([[1.0, 2, 3], [0, 0, 0], [4, 5, 6]]),
    ],
    ids=range(6),
)
def test_cofactors_of_exactly_singular_matrices(a):
    (found,) = run([a], lambda m: [sg.grad(sg.linalg.det(m), m)])
    np.testing.assert_allclose(found, cofactors(a), atol=1e-15)


def test_the_logarithm_of_a_determinant_needs_no_cofactors():
    A = sg.input("A", ("n", "n"), "float64")
    slope = sg.grad(sg.log(sg.linalg.det(A)), A)
    assert sg.formula(slope) == "A⁻ᵀ"
    assert "cofactor" not in str(sg.simplify(slope).op)
    assert sg.formula(sg.grad(sg.linalg.det(A) ** 2, A)) == "2 det(A)² A⁻ᵀ"

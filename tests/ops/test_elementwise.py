"""Elementwise functions and activations at ordinary points, against JAX."""

import jax
import jax.numpy as jnp
import jax.scipy.special as special

import symgrad as sg
from tests.ops.harness import (
    Case,
    between,
    booleans,
    check,
    given,
    integers,
    positive,
    real,
    table,
)

ORDINARY = real(3, 4)
POSITIVE = positive(3, 4)
INSIDE = between(-0.9, 0.9, 3, 4)
ABOVE_ONE = between(1.2, 4.0, 3, 4)

UNARY = [
    ("negative", jnp.negative, ORDINARY),
    ("abs", jnp.abs, ORDINARY),
    ("sign", jnp.sign, ORDINARY),
    ("floor", jnp.floor, between(-4, 4, 3, 4)),
    ("ceil", jnp.ceil, between(-4, 4, 3, 4)),
    ("trunc", jnp.trunc, between(-4, 4, 3, 4)),
    ("round", jnp.round, between(-4, 4, 3, 4)),
    ("sqrt", jnp.sqrt, POSITIVE),
    ("cbrt", jnp.cbrt, POSITIVE),
    ("reciprocal", jnp.reciprocal, POSITIVE),
    ("rsqrt", jax.lax.rsqrt, POSITIVE),
    ("square", jnp.square, ORDINARY),
    ("exp", jnp.exp, ORDINARY),
    ("exp2", jnp.exp2, ORDINARY),
    ("expm1", jnp.expm1, ORDINARY),
    ("log", jnp.log, POSITIVE),
    ("log2", jnp.log2, POSITIVE),
    ("log10", jnp.log10, POSITIVE),
    ("log1p", jnp.log1p, INSIDE),
    ("sin", jnp.sin, ORDINARY),
    ("cos", jnp.cos, ORDINARY),
    ("tan", jnp.tan, INSIDE),
    ("asin", jnp.arcsin, INSIDE),
    ("acos", jnp.arccos, INSIDE),
    ("atan", jnp.arctan, ORDINARY),
    ("sinh", jnp.sinh, ORDINARY),
    ("cosh", jnp.cosh, ORDINARY),
    ("tanh", jnp.tanh, ORDINARY),
    ("asinh", jnp.arcsinh, ORDINARY),
    ("acosh", jnp.arccosh, ABOVE_ONE),
    ("atanh", jnp.arctanh, INSIDE),
    ("erf", special.erf, ORDINARY),
    ("erfc", special.erfc, ORDINARY),
    ("lgamma", special.gammaln, POSITIVE),
    ("sigmoid", jax.nn.sigmoid, ORDINARY),
    ("softplus", jax.nn.softplus, ORDINARY),
    ("relu", jax.nn.relu, ORDINARY),
    ("leaky_relu", jax.nn.leaky_relu, ORDINARY),
    ("silu", jax.nn.silu, ORDINARY),
    ("mish", jax.nn.mish, ORDINARY),
    ("gelu", lambda x: jax.nn.gelu(x, approximate=False), ORDINARY),
    ("elu", jax.nn.elu, ORDINARY),
    ("selu", jax.nn.selu, ORDINARY),
    ("hardswish", jax.nn.hard_swish, between(-4, 4, 3, 4)),
    ("hardtanh", jax.nn.hard_tanh, between(-2, 2, 3, 4)),
    ("softsign", jax.nn.soft_sign, ORDINARY),
    ("stop_gradient", jax.lax.stop_gradient, ORDINARY),
    ("deg2rad", jnp.deg2rad, ORDINARY),
]
FIRST_ORDER = [
    ("digamma", special.digamma, POSITIVE),
    ("trigamma", lambda x: special.polygamma(1, x), POSITIVE),
]
BINARY = [
    ("add", jnp.add, (ORDINARY, ORDINARY)),
    ("subtract", jnp.subtract, (ORDINARY, ORDINARY)),
    ("multiply", jnp.multiply, (ORDINARY, ORDINARY)),
    ("divide", jnp.divide, (ORDINARY, POSITIVE)),
    ("pow", jnp.power, (POSITIVE, ORDINARY)),
    ("remainder", jnp.remainder, (between(-5, 5, 3, 4), POSITIVE)),
    ("floor_divide", jnp.floor_divide, (between(-5, 5, 3, 4), POSITIVE)),
    ("maximum", jnp.maximum, (ORDINARY, ORDINARY)),
    ("minimum", jnp.minimum, (ORDINARY, ORDINARY)),
    ("atan2", jnp.arctan2, (ORDINARY, ORDINARY)),
    ("copysign", jnp.copysign, (ORDINARY, ORDINARY)),
    ("logaddexp", jnp.logaddexp, (ORDINARY, ORDINARY)),
    ("hypot", jnp.hypot, (ORDINARY, ORDINARY)),
]
COMPARE = [
    ("less", jnp.less),
    ("less_equal", jnp.less_equal),
    ("greater", jnp.greater),
    ("greater_equal", jnp.greater_equal),
    ("equal", jnp.equal),
    ("not_equal", jnp.not_equal),
]
SMALL = integers(-3, 4, 4, 5)


DIVIDENDS = integers(-9, 10, 6, 8)


def _as(spec, dtype):
    return lambda rng: spec(rng).astype(dtype)


def _ours(name):
    return lambda *xs: getattr(sg, name)(*xs)


CASES = [
    *(Case(n, _ours(n), f, (x,)) for n, f, x in UNARY),
    *(Case(n, _ours(n), f, xs) for n, f, xs in BINARY),
    *(
        Case(f"{n} broadcast {how}", _ours(n), f, xs)
        for n, f, _ in BINARY
        for how, xs in (
            ("wide and tall", (between(0.5, 2, 1, 4), between(2, 3, 3, 1))),
            ("scalar and vector", (between(0.5, 2), between(2, 3, 4))),
        )
    ),
    *(Case(f"{n} of floats", _ours(n), f, (real(3, 4),) * 2) for n, f in COMPARE),
    *(Case(f"{n} of integers", _ours(n), f, (SMALL, SMALL)) for n, f in COMPARE),
    *(
        Case(f"logical_{n}", _ours(f"logical_{n}"), f, (booleans(4, 5), booleans(5)))
        for n, f in (
            ("and", jnp.logical_and),
            ("or", jnp.logical_or),
            ("xor", jnp.logical_xor),
        )
    ),
    Case("logical_not", sg.logical_not, jnp.logical_not, (booleans(4, 5),)),
    Case(
        "clip both",
        lambda x: sg.clip(x, -0.5, 0.7),
        lambda x: jnp.clip(x, -0.5, 0.7),
        (ORDINARY,),
    ),
    Case(
        "clip below",
        lambda x: sg.clip(x, min=0.1),
        lambda x: jnp.clip(x, 0.1),
        (ORDINARY,),
    ),
    Case(
        "clip above",
        lambda x: sg.clip(x, max=0.1),
        lambda x: jnp.clip(x, max=0.1),
        (ORDINARY,),
    ),
    Case(
        "clip by tensors",
        sg.clip,
        jnp.clip,
        (between(-3, 3, 3, 4), between(-2, -1, 4), between(1, 2, 3, 1)),
    ),
    Case("where", sg.where, jnp.where, (booleans(3, 4), ORDINARY, ORDINARY)),
    Case("where broadcast", sg.where, jnp.where, (booleans(3, 1), real(4), real())),
    Case(
        "where with numbers",
        lambda c, x: sg.where(c, x, 2.0) + sg.where(c, 1.0, x),
        lambda c, x: jnp.where(c, x, 2.0) + jnp.where(c, 1.0, x),
        (booleans(3, 4), ORDINARY),
    ),
    Case(
        "gelu by tanh",
        lambda x: sg.gelu(x, approximate="tanh"),
        jax.nn.gelu,
        (ORDINARY,),
    ),
    Case(
        "leaky_relu 0.3",
        lambda x: sg.leaky_relu(x, 0.3),
        lambda x: jax.nn.leaky_relu(x, 0.3),
        (ORDINARY,),
    ),
    Case(
        "elu 1.7", lambda x: sg.elu(x, 1.7), lambda x: jax.nn.elu(x, 1.7), (ORDINARY,)
    ),
    Case(
        "astype float32",
        lambda x: sg.astype(x, "float32"),
        lambda x: x.astype(jnp.float32),
        (ORDINARY,),
        1e-6,
    ),
    Case(
        "astype int64",
        lambda x: sg.astype(x, "int64"),
        lambda x: x.astype(jnp.int64),
        (between(-9, 9, 3, 4),),
    ),
    Case(
        "astype bool",
        lambda x: sg.astype(x, "bool"),
        lambda x: x.astype(bool),
        (integers(-1, 2, 3, 4),),
    ),
    Case("add to itself", lambda x: x + x, lambda x: x + x, (ORDINARY,)),
    Case("x**x", lambda x: x**x, lambda x: x**x, (POSITIVE,)),
    *(
        Case(f"power {p}", lambda x, p=p: x**p, lambda x, p=p: x**p, (POSITIVE,))
        for p in (0, 1, 2, 3, 4, 5, -1, -2, 0.5, -0.5, 1.5, 0.0, 3.0)
    ),
    *(
        Case(
            f"power {p} of negative numbers",
            lambda x, p=p: x**p,
            lambda x, p=p: x**p,
            (between(-2, -1, 5),),
        )
        for p in (2, 3, 5, -3)
    ),
    Case("number to the power x", lambda x: 2.5**x, lambda x: 2.5**x, (ORDINARY,)),
    Case(
        "reflected operators",
        lambda x: 2 - x + 3 / x + 2 // x + 5 % x,
        lambda x: 2 - x + 3 / x + 2 // x + 5 % x,
        (POSITIVE,),
    ),
    Case(
        "chain",
        lambda x: sg.exp(sg.sin(x) * sg.tanh(x * x)),
        lambda x: jnp.exp(jnp.sin(x) * jnp.tanh(x * x)),
        (ORDINARY,),
    ),
    Case("of a scalar", lambda x: sg.sin(x) * x, lambda x: jnp.sin(x) * x, (real(),)),
    Case(
        "of nothing", lambda x: sg.sin(x) * x, lambda x: jnp.sin(x) * x, (real(0, 4),)
    ),
    Case(
        "of one element",
        lambda x: sg.sin(x) * x,
        lambda x: jnp.sin(x) * x,
        (real(1, 1, 1),),
    ),
    Case(
        "of four dimensions",
        lambda x, y: sg.sin(x) * y,
        lambda x, y: jnp.sin(x) * y,
        (real(2, 3, 1, 2), real(3, 4, 1)),
    ),
]


@table(CASES)
def test_against_jax(case):
    check(case)


@table([Case(n, _ours(n), f, (x,), order=1) for n, f, x in FIRST_ORDER[:1]])
def test_first_derivative_against_jax(case):
    check(case)


@table([Case(n, _ours(n), f, (x,), order=0) for n, f, x in FIRST_ORDER[1:]])
def test_value_against_jax(case):
    check(case)


HALF_WIDTH = [
    Case(
        f"{n} in float32",
        _ours(n),
        f,
        (lambda rng, x=x: x(rng).astype("float32"),),
        2e-5,
    )
    for n, f, x in UNARY
]


@table(HALF_WIDTH)
def test_float32_against_jax(case):
    check(case)


DIVISORS = given([-3, -2, -1, 1, 2, 3, 7, 5])
INTEGER = [
    *(
        Case(f"{n} of {kind}", _ours(n), f, (_as(SMALL, kind), _as(SMALL, kind)))
        for n, f in (
            ("add", jnp.add),
            ("subtract", jnp.subtract),
            ("multiply", jnp.multiply),
            ("maximum", jnp.maximum),
            ("minimum", jnp.minimum),
        )
        for kind in ("int32", "int64")
    ),
    *(
        Case(f"{n} of {kind}", _ours(n), f, (_as(DIVIDENDS, kind), _as(DIVISORS, kind)))
        for n, f in (
            ("floor_divide", jnp.floor_divide),
            ("remainder", jnp.remainder),
        )
        for kind in ("int32", "int64")
    ),
    *(
        Case(f"{n} of {kind}", _ours(n), f, (_as(SMALL, kind),))
        for n, f in (
            ("negative", jnp.negative),
            ("abs", jnp.abs),
            ("sign", jnp.sign),
            ("square", jnp.square),
            ("relu", jax.nn.relu),
            ("isfinite", jnp.isfinite),
            ("isnan", jnp.isnan),
        )
        for kind in ("int32", "int64")
    ),
    Case("power of integers", lambda x: x**3, lambda x: x**3, (SMALL,)),
    Case(
        "clip of integers",
        lambda x: sg.clip(x, -1, 2),
        lambda x: jnp.clip(x, -1, 2),
        (SMALL,),
    ),
    Case("where of integers", sg.where, jnp.where, (booleans(4, 5), SMALL, SMALL)),
    Case(
        "wrap around",
        lambda x: x * x,
        lambda x: x * x,
        (given([2**31 - 1, -(2**31)], "int32"),),
    ),
    Case(
        "sum of bools",
        lambda a, b: a + sg.astype(b, "int64"),
        lambda a, b: a + b.astype(int),
        (booleans(4, 5), booleans(5)),
    ),
]


@table(INTEGER)
def test_integers_against_jax(case):
    check(case)

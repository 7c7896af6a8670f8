"""Elementary functions against mpmath at 50 digits, over their whole domain."""

import math
import re

import mpmath
import numpy as np
import pytest

import symgrad as sg
from symgrad.emit import libm
from symgrad.run.compiler import llvm_text

mp = mpmath.mp.clone()
mp.dps = 50

#: Units in the last place that a result may be off.
MOST = {"float64": 2.0, "float32": 1.5}
SAMPLES = 500
INF, NAN = np.inf, np.nan


def _log2(x):
    return mp.log(x) / mp.log(2)


#: name -> the function in mpmath, the domain, and points around which samples crowd
FUNCTIONS = {
    "exp": (mp.exp, (-746, 710), (0, 1, -1, 709.7, -708.4, -745)),
    "exp2": (lambda x: mp.power(2, x), (-1075, 1024), (0, 0.5, -0.5, 1023.9, -1022)),
    "expm1": (mp.expm1, (-60, 710), (0, 1, -1, -37, 0.35, -0.35)),
    "log": (mp.log, (0, INF), (1, 0.7071067811865476, 1.4142135623730951, 2)),
    "log2": (_log2, (0, INF), (1, 0.7071067811865476, 2, 4)),
    "log10": (mp.log10, (0, INF), (1, 10, 100, 0.7071067811865476)),
    "log1p": (mp.log1p, (-1, INF), (0, -0.5, 1, -0.999999)),
    "sin": (mp.sin, (-INF, INF), (0, 3.141592653589793, 1.5707963267948966, 1e5)),
    "cos": (mp.cos, (-INF, INF), (0, 3.141592653589793, 1.5707963267948966, 1e5)),
    "tan": (mp.tan, (-INF, INF), (0, 3.141592653589793, 1.5707963267948966, 0.785)),
    "tanh": (mp.tanh, (-INF, INF), (0, 1, -1, 0.55, 9, 19)),
    "sinh": (mp.sinh, (-710.4, 710.4), (0, 1, -1, 0.35, 22, 710)),
    "cosh": (mp.cosh, (-710.4, 710.4), (0, 1, -1, 0.35, 22, 710)),
    "asinh": (mp.asinh, (-INF, INF), (0, 1, -1, 0.5, 2, 1e8)),
    "acosh": (mp.acosh, (1, INF), (1, 2, 1.5, 1e8)),
    "atanh": (mp.atanh, (-1, 1), (0, 0.5, -0.5, 0.9999, -0.9999)),
    "asin": (mp.asin, (-1, 1), (0, 0.5, -0.5, 1, -1, 0.7071067811865476)),
    "acos": (mp.acos, (-1, 1), (0, 0.5, -0.5, 1, -1, 0.7071067811865476)),
    "atan": (mp.atan, (-INF, INF), (0, 1, -1, 0.4375, 2.4375)),
    "erf": (mp.erf, (-INF, INF), (0, 0.84375, 1, 1.25, 2.857, 6)),
    "erfc": (mp.erfc, (-INF, 27.3), (0, 0.25, 1, 1.25, 2.857, 6, -6, 26)),
    "sigmoid": (lambda x: 1 / (1 + mp.exp(-x)), (-745, INF), (0, -36, 36, 1)),
    "softplus": (lambda x: mp.log1p(mp.exp(x)), (-745, INF), (0, -36, 36, 1)),
    "sqrt": (mp.sqrt, (0, INF), (1, 2, 0.5)),
    "cbrt": (lambda x: mp.sign(x) * mp.cbrt(abs(x)), (-INF, INF), (1, 8, -8)),
}


def samples(name, dtype, seed=0):
    """Return points of the whole domain: of every magnitude, bit pattern and crowd."""
    _, (low, high), crowds = FUNCTIONS[name]
    rng = np.random.default_rng(seed)
    info = np.finfo(dtype)
    bits = info.bits
    signs = rng.choice([-1.0, 1.0], SAMPLES)
    exponents = rng.uniform(np.log2(info.smallest_subnormal), info.maxexp, SAMPLES)
    patterns = rng.integers(0, 2**bits, SAMPLES, np.uint64).astype(f"u{bits // 8}")
    with np.errstate(all="ignore"):
        near = [
            c + np.ldexp(signs, -rng.integers(1, info.nmant, SAMPLES)) for c in crowds
        ]
        edges = [v for v in (low, high) if np.isfinite(v)]
        parts = [
            signs * np.exp2(exponents),
            patterns.view(dtype),
            rng.uniform(max(low, -50), min(high, 50), SAMPLES),
            *near,
            np.array(
                [info.tiny, -info.tiny, info.smallest_subnormal, info.max, -info.max]
            ),
            np.array([*crowds, *edges]),
            *(
                np.nextafter(np.asarray(c, dtype), [-INF, INF])
                for c in (*crowds, *edges)
            ),
        ]
        x = np.concatenate([np.asarray(p, dtype).ravel() for p in parts])
    return np.unique(x[np.isfinite(x) & (x >= low) & (x <= high) & (x != 0)])


def ulps(got, wanted, dtype):
    """Return by how many units in the last place results differ from exact values."""
    info = np.finfo(dtype)
    worst = 0.0
    largest = mp.mpf(float(info.max))
    for g, w in zip(got, wanted, strict=True):
        if abs(w) > largest:  # what rounds to infinity
            assert np.isinf(g) or abs(w) < largest * (1 + mp.mpf(2) ** -info.nmant), (
                g,
                w,
            )
            continue
        exponent = max(int(mp.floor(_log2(abs(w)))) if w else info.minexp, info.minexp)
        unit = mp.ldexp(1, exponent - info.nmant)
        worst = max(worst, float(abs(mp.mpf(float(g)) - w) / unit))
    return worst


def computed(name, *arrays):
    kind = arrays[0].dtype
    inputs = [sg.input(f"x{n}", ("n",), kind) for n in range(len(arrays))]
    return sg.compile(inputs, getattr(sg, name)(*inputs))(*arrays)


@pytest.mark.parametrize("dtype", MOST)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_accuracy(name, dtype):
    x = samples(name, dtype)
    if x.size > 4 * SAMPLES:
        x = np.random.default_rng(1).permutation(x)[: 4 * SAMPLES]
    exact = [FUNCTIONS[name][0](mp.mpf(float(v))) for v in x]
    assert ulps(computed(name, x), exact, dtype) <= MOST[dtype]


SPECIAL = {
    "exp": [(INF, INF), (-INF, 0.0), (0.0, 1.0), (-0.0, 1.0), (1e4, INF), (-1e4, 0.0)],
    "exp2": [(INF, INF), (-INF, 0.0), (0.0, 1.0), (10.0, 1024.0), (-2.0, 0.25)],
    "expm1": [(INF, INF), (-INF, -1.0), (0.0, 0.0), (-0.0, -0.0), (-1e4, -1.0)],
    "log": [
        (INF, INF),
        (0.0, -INF),
        (-0.0, -INF),
        (-1.0, NAN),
        (1.0, 0.0),
        (-INF, NAN),
    ],
    "log2": [(INF, INF), (0.0, -INF), (-1.0, NAN), (1.0, 0.0), (8.0, 3.0)],
    "log10": [(INF, INF), (0.0, -INF), (-1.0, NAN), (1.0, 0.0), (1000.0, 3.0)],
    "log1p": [(INF, INF), (-1.0, -INF), (-2.0, NAN), (0.0, 0.0), (-0.0, -0.0)],
    "sin": [(INF, NAN), (-INF, NAN), (0.0, 0.0), (-0.0, -0.0)],
    "cos": [(INF, NAN), (-INF, NAN), (0.0, 1.0), (-0.0, 1.0)],
    "tan": [(INF, NAN), (0.0, 0.0), (-0.0, -0.0)],
    "tanh": [(INF, 1.0), (-INF, -1.0), (0.0, 0.0), (-0.0, -0.0)],
    "sinh": [(INF, INF), (-INF, -INF), (0.0, 0.0), (-0.0, -0.0), (1e4, INF)],
    "cosh": [(INF, INF), (-INF, INF), (0.0, 1.0), (-1e4, INF)],
    "asinh": [(INF, INF), (-INF, -INF), (0.0, 0.0), (-0.0, -0.0)],
    "acosh": [(INF, INF), (1.0, 0.0), (0.5, NAN), (-INF, NAN), (-1.0, NAN)],
    "atanh": [
        (1.0, INF),
        (-1.0, -INF),
        (0.0, 0.0),
        (-0.0, -0.0),
        (2.0, NAN),
        (INF, NAN),
    ],
    "asin": [(0.0, 0.0), (-0.0, -0.0), (1.5, NAN), (-INF, NAN), (1.0, np.pi / 2)],
    "acos": [(1.0, 0.0), (1.5, NAN), (INF, NAN), (-1.0, np.pi), (0.0, np.pi / 2)],
    "atan": [(INF, np.pi / 2), (-INF, -np.pi / 2), (0.0, 0.0), (-0.0, -0.0)],
    "erf": [(INF, 1.0), (-INF, -1.0), (0.0, 0.0), (-0.0, -0.0), (1e30, 1.0)],
    "erfc": [(INF, 0.0), (-INF, 2.0), (0.0, 1.0), (1e30, 0.0), (-1e30, 2.0)],
    "sigmoid": [(INF, 1.0), (-INF, 0.0), (0.0, 0.5), (-1e4, 0.0), (1e4, 1.0)],
    "softplus": [(INF, INF), (-INF, 0.0), (-1e4, 0.0), (1e4, 1e4)],
    "sqrt": [(INF, INF), (0.0, 0.0), (-0.0, -0.0), (-1.0, NAN), (4.0, 2.0)],
    "cbrt": [(INF, INF), (-INF, -INF), (0.0, 0.0), (-0.0, -0.0), (27.0, 3.0)],
    "lgamma": [(INF, INF), (1.0, 0.0), (2.0, 0.0), (0.0, INF), (-1.0, INF)],
    "digamma": [(INF, INF), (0.0, -INF), (-0.0, INF), (-1.0, NAN)],
}


@pytest.mark.parametrize("dtype", MOST)
@pytest.mark.parametrize("name", SPECIAL)
def test_special_values(name, dtype):
    pairs = [*SPECIAL[name], (NAN, NAN)]
    x, wanted = (np.asarray(v, dtype) for v in zip(*pairs, strict=True))
    got = computed(name, x)
    np.testing.assert_array_equal(got, wanted)
    kept = ~np.isnan(wanted)
    np.testing.assert_array_equal(np.signbit(got[kept]), np.signbit(wanted[kept]))


#: Compared relative to the larger of the value and 1: near their zeros no more is kept.
GAMMA = {
    "lgamma": lambda x: mp.log(abs(mp.gamma(x))),
    "digamma": mp.digamma,
}


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 12])
def test_polygamma(n):
    """Within a few units of the last place, in absolute terms near its zeros."""
    rng = np.random.default_rng(n)
    x = np.concatenate([rng.uniform(0.01, 40, 60), rng.uniform(-20, 0.5, 60), [1e90]])
    want = np.array([float(mp.polygamma(n, mp.mpf(v))) for v in x])
    got = np.array([libm.polygamma_f64(n, v) for v in x])
    size = np.maximum(np.abs(want), math.factorial(n) * (x < 0))
    assert (np.abs(got - want) <= 8 * np.spacing(size)).all()
    assert libm.polygamma_f64(n, INF) == 0.0
    assert libm.polygamma_f64(n, 0.0) == (INF if n % 2 else -INF)
    assert np.isnan(libm.polygamma_f64(n, NAN))


@pytest.mark.parametrize("dtype", MOST)
@pytest.mark.parametrize("name", GAMMA)
def test_gamma_functions(name, dtype):
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [
            rng.uniform(-30, 30, 300),
            np.exp2(rng.uniform(-30, 60, 200)),
            [0.5, 1.5, 171.5],
        ]
    ).astype(dtype)
    x = x[np.abs(x - np.round(x)) > 1e-3 * (x < 0.5)]
    if name == "lgamma":  # mpmath's gamma of larger numbers takes long
        x = x[x < 1e6]
    wanted = np.array([float(GAMMA[name](mp.mpf(float(v)))) for v in x])
    off = np.abs(computed(name, x) - wanted) / np.maximum(np.abs(wanted), 1)
    assert off.max() <= 60 * np.finfo(dtype).eps


def test_atan2():
    rng = np.random.default_rng(0)
    for dtype, most in MOST.items():
        span = 60 if dtype == "float32" else 500
        y, x = (
            rng.choice([-1.0, 1.0], 900) * np.exp2(rng.uniform(-span, span, 900))
            for _ in range(2)
        )
        x[::3] = y[::3] * np.exp2(rng.uniform(-3, 3, 300))
        y, x = y.astype(dtype), x.astype(dtype)
        exact = [mp.atan2(float(a), float(b)) for a, b in zip(y, x, strict=True)]
        assert ulps(computed("atan2", y, x), exact, dtype) <= most
        ends = np.array([0.0, -0.0, 1.0, -1.0, INF, -INF, NAN], dtype)
        y, x = (a.ravel() for a in np.meshgrid(ends, ends))
        got, wanted = computed("atan2", y, x), np.arctan2(y, x)
        np.testing.assert_allclose(got, wanted, rtol=2 * np.finfo(dtype).eps)
        kept = ~np.isnan(wanted)
        np.testing.assert_array_equal(np.signbit(got[kept]), np.signbit(wanted[kept]))


def test_powers():
    rng = np.random.default_rng(0)
    for dtype, most in MOST.items():
        x = np.exp2(rng.uniform(-20, 20, 800)).astype(dtype)
        y = (rng.uniform(-5, 5, 800)).astype(dtype)
        exact = [mp.power(float(a), float(b)) for a, b in zip(x, y, strict=True)]
        assert ulps(computed("pow", x, y), exact, dtype) <= most
        ends = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 3.0, INF, -INF, NAN], dtype)
        x, y = (a.ravel() for a in np.meshgrid(ends, ends))
        with np.errstate(all="ignore"):
            wanted = np.power(x, y)
        rtol = 2 * np.finfo(dtype).eps
        np.testing.assert_allclose(computed("pow", x, y), wanted, rtol)


def test_remainders():
    rng = np.random.default_rng(0)
    x = rng.choice([-1.0, 1.0], 500) * np.exp2(rng.uniform(-30, 60, 500))
    y = rng.choice([-1.0, 1.0], 500) * np.exp2(rng.uniform(-30, 30, 500))
    np.testing.assert_array_equal(computed("remainder", x, y), np.remainder(x, y))


#: Calls of the C library, one element at a time.
CALLS = {"lgamma", "polygamma", "pow", "remainder"}
#: Straight-line code that looks up a table at places of its own, for float64 at least;
#: LLVM expects no gain from gathers.
LOOK_UP = {"sin_f64", "cos_f64", "tan_f64"}
LOOK_UP |= {f"{n}_{kind}" for n in ("digamma", "trigamma") for kind in ("f32", "f64")}


@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("name", sorted(libm.FUNCTIONS))
def test_loops_are_vectorised(name, kind, tmp_path):
    """A loop over the function is made of vector instructions, and calls nothing."""
    path = tmp_path / "kernel.py"
    path.write_text(_loop(name, kind, libm.FUNCTIONS[name]))
    text = llvm_text(path)
    calls = re.findall(r"call (?:double|float) @(?!llvm)(\w+)", text)
    assert bool(calls) == (name in CALLS), calls
    if name not in CALLS and f"{name}_{kind}" not in LOOK_UP:
        assert re.search(r"<\d+ x (?:double|float)>", text)


def _loop(name, kind, arity):
    arguments = ", ".join(f"x{n}[i]" for n in range(arity))
    reads = "".join(f"    x{n} = read_{kind}(operands, {n})\n" for n in range(arity))
    return f"""
from symgrad.emit.intrinsics import read_{kind}, write_{kind}
from symgrad.emit.libm import {name}_{kind}


def kernel(operands, lo, hi):
{reads}    y = write_{kind}(operands, {arity})
    for i in range(lo, hi):
        y[i] = {name}_{kind}({arguments})
"""

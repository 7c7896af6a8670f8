"""The normal form has the value of the graph: terms evaluated, point by point."""

import itertools
import math

import numpy as np
import pytest
import scipy.special

import symgrad as sg
from symgrad.declare.dims import evaluate
from symgrad.declare.tensor import Input, Param, topological
from symgrad.notation.lower import Lowering
from symgrad.notation.terms import bound_axes
from tests.notation.test_formula import CASES, GRADIENTS
from tests.reference import SCALAR, evaluate_graph

SIZES = {"n": 3, "m": 2}
REDUCE = {
    "sum": sum,
    "prod": math.prod,
    "max": max,
    "min": min,
    "any": any,
    "all": all,
    "logsumexp": scipy.special.logsumexp,
    "argmax": np.argmax,
    "argmin": np.argmin,
}
ROWS = {"softmax": scipy.special.softmax, "log_softmax": scipy.special.log_softmax}


def value(e, axes, known):
    """Return the number that a term is at the given axes."""

    def part(t):
        return value(t, axes, known)

    match e.kind:
        case "num":
            return float(e.value)
        case "size":
            return evaluate(e.value, SIZES)
        case "axis":
            return axes[e.value]
        case "ref":
            place = tuple(int(part(i)) for i in e.args)
            return known[e.value][place]
        case "add":
            return sum(map(part, e.args))
        case "mul":
            return math.prod(map(part, e.args))
        case "pow":
            return part(e.args[0]) ** float(e.value)
        case "ind":
            return float(part(e.args[0]))
        case "call":
            return SCALAR[e.value](*map(part, e.args))
    return bound_value(e, axes, known)


def bound_value(e, axes, known):
    bound = bound_axes(e)
    extents = e.value[1] if e.kind == "red" else (e.value[1],)
    ranges = [range(evaluate(s, SIZES)) for s in extents]
    terms = [
        value(e.args[0], {**axes, **dict(zip(bound, at, strict=True))}, known)
        for at in itertools.product(*ranges)
    ]
    if e.kind == "red":
        return REDUCE[e.value[0]](terms)
    return ROWS[e.value[0]](np.array(terms))[int(value(e.args[1], axes, known))]


def check(t):
    rng = np.random.default_rng(1)
    order = topological([t])
    leaves = [n for n in order if isinstance(n.op, Input | Param)]
    given = {}
    for leaf in leaves:
        shape = tuple(evaluate(s, SIZES) for s in leaf.shape)
        if leaf.dtype == "int64":
            given[leaf] = rng.integers(0, 3, shape)
        else:
            given[leaf] = rng.uniform(0.2, 2, shape)
    known = dict(zip(order, evaluate_graph(order, given, SIZES), strict=True))
    (found,) = evaluate_graph([t], given, SIZES)
    lowering = Lowering([t])
    for node in [n for n in order if n in lowering.apart or n is t]:
        for at in np.ndindex(known[node].shape):
            term = value(lowering.terms[node], dict(enumerate(at)), known)
            np.testing.assert_allclose(term, known[node][at], rtol=3e-4, atol=1e-5)
    assert found is not None


@pytest.mark.parametrize("t", [t for t, _ in CASES], ids=[c for _, c in CASES])
def test_values(t):
    check(t)


@pytest.mark.parametrize("n", range(len(GRADIENTS)))
def test_gradient_values(n):
    loss, wrt, _ = GRADIENTS[n]
    check(sg.grad(loss, wrt))


def test_activations_and_their_gradients():
    x = sg.input("x", ("n",))
    for fn in (sg.gelu, sg.silu, sg.mish, sg.elu, sg.selu, sg.hardswish, sg.leaky_relu):
        check(fn(x))
        check(sg.grad(sg.sum(fn(x - 1)), x))


def test_a_classifier():
    X, y = sg.input("X", ("n", 4)), sg.input("y", ("n",), "int64")
    W, V = sg.param("W", (4, 5)), sg.param("V", (5, 3))
    logits = sg.relu(X @ W - 2) @ V
    picked = sg.take_along_axis(sg.log_softmax(logits), sg.expand_dims(y, 1), axis=1)
    loss = -sg.mean(picked)
    check(loss)
    for g in sg.grad(loss, [W, V]):
        check(g)
        check(sg.simplify(g))


def test_layer_norm_and_attention():
    x, G = sg.input("x", ("n", 4)), sg.input("G", ("n", 4))
    spread = sg.sqrt(sg.var(x, axis=1, keepdims=True) + 0.1)
    normal = (x - sg.mean(x, axis=1, keepdims=True)) / spread
    check(sg.grad(sg.sum(normal * G), x))
    W = sg.param("W", (4, 4))
    mixed = sg.softmax((x @ W) @ x.T / 2) @ x
    check(sg.grad(sg.sum(mixed * G), W))

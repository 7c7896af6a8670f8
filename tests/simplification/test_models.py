"""Whole models: values, shapes, sizes, and the number of nodes that is left."""

import numpy as np
import pytest

import symgrad as sg
from symgrad.declare.tensor import op_name, topological
from symgrad.simplification import explain_rewrites, simplify, simplify_outputs
from symgrad.simplification.engine import Rewriter
from symgrad.simplification.stage import _FINAL
from tests.reference import evaluate_graph
from tests.simplification import models


def name_of(model):
    return model.__name__


@pytest.mark.parametrize("model", models.MODELS, ids=name_of)
@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_values_stay(model, scale):
    before = model()
    values = models.leaves_of(before, scale=scale)
    # saturated softmax: what is left of the differences has fewer digits
    rtol = 1e-9 if scale < 1 else 1e-5
    models.assert_same(before, simplify_outputs(before), values, rtol)


@pytest.mark.parametrize("model", models.MODELS, ids=name_of)
def test_the_public_stage_keeps_values_too(model):
    before = model()
    models.assert_same(before, simplify(before), models.leaves_of(before, seed=1))


@pytest.mark.parametrize("model", models.MODELS, ids=name_of)
def test_twice_is_once(model):
    once = simplify_outputs(model())
    assert all(a is b for a, b in zip(simplify_outputs(once), once, strict=True))


@pytest.mark.parametrize("model", models.MODELS, ids=name_of)
def test_rules_do_not_undo_each_other(model):
    walk = Rewriter(model(), _FINAL.rules)
    walk.run()
    assert walk.cycles == []


@pytest.mark.parametrize(
    ("model", "most"),
    [
        (models.classifier, 32),
        (models.mlp, 54),
        (models.softmax, 18),
        (models.naive_softmax, 18),
        (models.attention, 59),
        (models.layer_norm, 40),
        (models.convolution, 34),
        (models.embedding, 15),
    ],
    ids=lambda m: name_of(m) if callable(m) else None,
)
def test_number_of_nodes(model, most):
    assert len(topological(simplify_outputs(model()))) <= most


def test_gradient_of_cross_entropy_is_a_handful_of_nodes():
    """``exp(z - m)·(1/n)/Σ`` minus ``1/n`` at the label: nothing of size n·n·k."""
    z = sg.input("z", ("n", 4), dtype="float64")
    y = sg.input("y", ("n",), dtype="int64")
    (g,) = simplify_outputs([sg.grad(models.cross_entropy(z, y), z)])
    full = [t for t in topological([g]) if t.shape == z.shape and t is not z]
    assert sorted(op_name(t.op) for t in full) == ["add", "exp", "mul", "pad", "sub"]


def test_log_sum_exp_is_stable_after_derivation_too():
    outputs = models.naive_log_sum_exp()
    values = {t: np.full((3, 4), 800.0) for t in topological(outputs) if t.name}
    (value, gradient) = evaluate_graph(simplify_outputs(outputs), values, models.SIZES)
    np.testing.assert_allclose(value, 4 * (800 + np.log(3)))
    np.testing.assert_allclose(gradient, np.full((3, 4), 1 / 3))


def test_naive_softmax_is_stable_after_derivation_too():
    outputs = models.naive_softmax()
    values = {t: np.full((3, 4), 800.0) for t in topological(outputs) if t.name}
    (value, gradient) = evaluate_graph(simplify_outputs(outputs), values, models.SIZES)
    np.testing.assert_allclose(value, 3 * 800)
    np.testing.assert_allclose(gradient, np.zeros((3, 4)), atol=1e-9)


def test_naive_and_library_softmax_become_one_graph():
    x = sg.input("x", (3, 4))
    e = sg.exp(x)
    naive = e / sg.sum(e, axis=1, keepdims=True)
    a, b = simplify_outputs([naive, sg.softmax(x)])
    assert a is b


def test_log_of_softmax_is_log_softmax():
    x = sg.input("x", (3, 4), dtype="float64")
    y = simplify(sg.log(sg.softmax(x)))
    values = {x: np.array([[0, -800, 5, 1]] * 3, float)}
    (got,) = evaluate_graph([y], values)
    assert np.isfinite(got).all()
    assert got[0, 1] == pytest.approx(-805.025, rel=1e-4)


def test_simplified_graphs_can_be_derived():
    loss, *gradients = models.layer_norm()
    wrt = [t for t in topological([loss]) if t.name]
    again = sg.grad(simplify(loss), wrt)
    wanted = sg.grad(loss, wrt)
    assert len(wanted) == len(gradients) == 3
    models.assert_same(wanted, again, models.leaves_of([loss]), rtol=1e-7)


def test_stop_gradient_stays_until_nothing_is_derived():
    x = sg.input("x", (3,), dtype="float64")
    y = sg.sum(sg.stop_gradient(sg.sin(x)) * x)
    kept = sg.grad(simplify(y), x)
    values = {x: np.array([0.1, 0.2, 0.3])}
    (got,) = evaluate_graph([kept], values)
    np.testing.assert_allclose(got, np.sin(values[x]))
    names = {op_name(t.op) for t in topological(simplify_outputs([y]))}
    assert "stop_gradient" not in names


def test_structures_come_back():
    x = sg.input("x", (3,))
    found = simplify({"b": [x * 1], "a": (x + 0, x)})
    assert list(found) == ["b", "a"]
    assert found["b"][0] is x
    assert isinstance(found["a"], tuple)
    assert all(t is x for t in found["a"])


def test_explained_rewrites():
    x = sg.input("x", (3,))
    steps = explain_rewrites(sg.exp(sg.log(1 + sg.exp(x)) * 1))
    assert [s.name for s in steps] == ["softplus", "mul_one"]
    assert steps[0].before == "log(exp(x) + 1.0)"
    assert steps[0].after == "softplus(x)"
    assert steps[0].node.op.name == "log"
    assert str(steps[0]) == "softplus: log(exp(x) + 1.0)  ->  softplus(x)"

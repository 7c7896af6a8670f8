"""The engine: depth, time, order, and what it leaves alone."""

import os
import subprocess
import sys

import pytest

import symgrad as sg
from symgrad.declare.tensor import topological
from symgrad.simplification import simplify, simplify_outputs
from symgrad.simplification.engine import Rewriter
from symgrad.simplification.stage import _FINAL

PRINT = """
import sys
import symgrad as sg
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.tensor import topological
from symgrad.simplification import simplify_outputs
from tests.simplification import models
for model in (models.mlp, models.attention, models.movements):
    order = topological(simplify_outputs(model()))
    number = {t: n for n, t in enumerate(order)}
    for t in order:
        print(t.op.key if isinstance(t.op, Comprehension) else t.describe(),
              [number[a] for a in t.args])
"""


def residual(layers):
    x = sg.input("x", ("batch", 8))
    h, params = x, []
    for n in range(layers):
        W, b = sg.param(f"W{n}", (8, 8)), sg.param(f"b{n}", (8,))
        params += [W, b]
        h = h + sg.tanh(h @ W + b)
    loss = sg.sum(h * h)
    return [loss, *sg.grad(loss, params)]


def steps(outputs):
    walk = Rewriter(outputs, _FINAL.rules)
    walk.run()
    return len(walk.next), len(topological(outputs))


def test_a_thousand_layers():
    outputs = residual(1000)
    few, nodes = steps(residual(10))
    many, total = steps(outputs)
    assert many / total == pytest.approx(few / nodes, rel=0.2)  # linear
    assert many < 2 * total
    left = len(topological(simplify_outputs(outputs)))
    assert left < total


def test_the_same_in_every_process():
    texts = {
        subprocess.run(
            [sys.executable, "-c", PRINT],
            capture_output=True,
            text=True,
            check=True,
            env={**environment(), "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(texts) == 1
    assert len(texts.pop()) > 5000


def environment():
    return {**os.environ, "PYTHONPATH": ":".join(p for p in sys.path if p)}


def test_sympy_is_not_needed():
    code = (
        "import sys, symgrad as sg\n"
        "x, W = sg.input('x', (3, 4)), sg.param('W', (4, 2))\n"
        "y = sg.log_softmax(sg.relu(x @ W)) @ sg.ones((2, 2)) @ sg.ones((2, 1))\n"
        "sg.simplify(y)\n"
        "print('sympy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_operands_in_one_order():
    x, y = sg.input("x", (3,)), sg.input("y", (3,))
    a, b = simplify_outputs([sg.exp(x) + y, y + sg.exp(x)])
    assert a is b
    a, b = simplify_outputs([x @ y, y @ x])
    assert a is b
    a, b = simplify_outputs([x * 2, 2 * x])
    assert a is b


def test_forward_and_backward_share_nodes():
    x, W = sg.input("x", (3, 4)), sg.param("W", (4, 4))
    by_matmul = x @ W.T
    by_einsum = sg.einsum("ik,jk->ij", x, W)
    by_sum = sg.sum(x[:, None] * W, axis=-1)
    assert len(set(map(id, simplify_outputs([by_matmul, by_einsum, by_sum])))) == 1


def test_scopes_stay():
    x = sg.input("x", (3,))
    with sg.scope("layer"):
        y = sg.log(1 + sg.exp(x))
    assert simplify(y).scope == "layer"


def test_leaves_are_their_own_normal_form():
    x = sg.input("x", (3,))
    assert simplify(x) is x
    assert all(t is x for t in simplify_outputs([x, x]))
    assert simplify([]) == []


def test_names_of_movements_do_not_matter():
    x = sg.input("x", (3, 1))
    a, b = simplify_outputs([sg.squeeze(x), sg.reshape(x, (3,))])
    assert a is b

"""Formulas of a part of a graph stay short however often its parts are read."""

import time

import symgrad as sg
from symgrad.declare.tensor import Input, Param, topological
from symgrad.notation.local import local_formula
from symgrad.notation.lower import Lowering
from symgrad.notation.names import leaf_names


def formula_of(t):
    leaves = [n for n in topological([t]) if isinstance(n.op, Input | Param)]
    return local_formula(t, leaf_names(leaves))[0]


def test_a_value_that_is_read_twice_at_each_of_many_steps():
    h = x = sg.input("x", ("n", 4))
    for n in range(40):
        h = sg.sin(h) * sg.param(f"a{n}", (4,)) + sg.cos(h)
    start = time.process_time()
    text = formula_of(h)
    assert time.process_time() - start < 5
    assert "add(x, a0, a1, a2, …)" in text
    assert len(text) < 20_000
    assert formula_of(sg.sin(x) + sg.cos(sg.sin(x))) == "sin(x) + cos(sin(x))"


def test_transformer_blocks_in_linear_time():
    seconds = []
    for blocks in (2, 4):
        h = sg.input("x", ("n", 8, 16))
        for n in range(blocks):
            h = sg.nn.transformer_block(h, 4, name=f"block{n}")
        start = time.process_time()
        formula_of(sg.mean(h**2))
        seconds.append(time.process_time() - start)
    assert seconds[1] < 10 * seconds[0] + 1


def test_a_reshape_to_a_square_is_not_asked_about_itself():
    x = sg.input("x", ("n", 16))
    square = sg.reshape(x, ("n", 4, 4))
    assert not Lowering([sg.sum(square @ square)]).symmetric(square)

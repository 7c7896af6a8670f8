"""Programs with loops to files and back; loops that no program has."""

import json

import numpy as np
import pytest

import symgrad as sg
from symgrad.serialize import graph
from symgrad.serialize.operations import Contents
from tests.recurrent import LAYERS, nested, training_step
from tests.serialize.test_programs import again, rewritten


@pytest.mark.parametrize("layer", LAYERS)
def test_a_training_step_survives(layer, tmp_path):
    program, data = training_step(layer)
    loaded = again(program, tmp_path)
    assert loaded.source == program.source
    found = []
    for one in (program, loaded):
        params = sg.init([one.outputs, *one.updates.values()], seed=1)
        one.bind(params)
        losses = [one(*data) for _ in range(3)]
        found.append([np.asarray(losses), *params.values()])
    for a, b in zip(*found, strict=True):
        assert a.tobytes() == b.tobytes()


def test_loops_in_loops_are_the_same_nodes(tmp_path):
    xs, outputs = nested()
    contents = Contents()
    data = graph.write(graph.Declaration([xs], outputs), contents)
    assert len(data["loops"]) == 4  # both, and both of the gradient
    again = graph.read(json.loads(json.dumps(data)), Contents(contents.arrays))
    assert graph.write(again, Contents()) == data
    x = np.random.default_rng(0).normal(size=(3, 4, 2))
    for found, value in zip(
        sg.compile(again.inputs, again.outputs)(x),
        sg.compile([xs], outputs)(x),
        strict=True,
    ):
        assert found.tobytes() == value.tobytes()


def scanned(g):
    """Return a node that is a loop's result."""
    return next(n for n in g["nodes"] if "loop" in n)


CHANGES = {
    "there is no loop 9": lambda g: scanned(g).update(loop=9),
    "a loop is an integer": lambda g: scanned(g).update(loop="0"),
    "there is no loop 0": lambda g: g.pop("loops") and None,
    "the loop has no carry 7": lambda g: scanned(g).update(number=7),
    "arguments is given": lambda g: scanned(g)["args"].pop() and None,
    "of a loop is given": lambda g: scanned(g)["args"].reverse(),
    "loop 0: 'sequences' is an integer": lambda g: g["loops"][0].update(sequences=-1),
    "3 carries and": lambda g: g["loops"][0].update(sequences=99),
    "are true or false": lambda g: g["loops"][0].update(reverse=1),
    "loop 0: a size is an integer": lambda g: g["loops"][0].update(length=-4),
    "not those of its arguments": lambda g: g["loops"][0]["formals"].reverse(),
    "is no argument of the step": lambda g: g["loops"][0]["nodes"].append(
        {"op": "input", "name": "x", "dtype": "float32", "shape": []}
    ),
    "a carry float32": lambda g: g["loops"][0]["updates"].reverse(),
    "loop 0: node 0": lambda g: g["loops"][0]["nodes"][0].update(op="evil"),
    "loop 1 is there twice": lambda g: g["loops"].append(g["loops"][0]),
    "'loops' is a list": lambda g: g.update(loops={}),
    "is an argument of no loop": lambda g: g["nodes"].append(
        {"op": "formal", "number": 0, "dtype": "float32", "shape": []}
    ),
}


@pytest.mark.parametrize("message", CHANGES)
def test_what_is_wrong_is_said(tmp_path, message):
    x = sg.input("x", (5, 3))

    def step(carry, x):
        a, b, c = carry
        return (a + x, b * sg.sum(a), c), None

    (a, b, _), _ = sg.scan(step, (sg.zeros(3), sg.constant(1.0), sg.zeros(2)), x)
    path = tmp_path / "p"
    sg.compile([x], [a, b]).save(path)
    rewritten(path, CHANGES[message])
    with pytest.raises(sg.FormatError) as caught:
        sg.load(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)

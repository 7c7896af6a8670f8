"""Concatenations and stacks look like what they are, forward and backward."""

import pytest

import symgrad as sg
from symgrad.drawing.condense import condense
from symgrad.drawing.joins import joined
from symgrad.drawing.labels import Labels


def shown(loss, title):
    """Return the formulas of boxes of a title, and their local derivatives."""
    boxes = condense([loss])
    labels = Labels(boxes, loss)
    heads = [h for h in boxes.boxes if labels.titles[h] == title]
    back = [labels.locals(boxes.boxes[h], final=False).values() for h in heads]
    return (
        [labels.formulas[h] for h in heads],
        [[local.text for local in found] for found in back],
    )


def dense(depth=2):
    """Layers that read all results before them (Huang et al. 2017)."""
    h = sg.input("x", ("n", 4))
    for n in range(depth):
        h = sg.concat([h, sg.relu(h @ sg.param(f"W{n}", (4 + 3 * n, 3)))], axis=1)
    return sg.mean((h @ sg.param("V", (4 + 3 * depth, 2))) ** 2)


def test_a_dense_network():
    formulas, back = shown(dense(), "concat")
    assert formulas == ["concat(x, H0)", "concat(t1, H1)"]
    assert [{*b} for b in back] == [{"·[:, :4]", "·[:, 4:]"}, {"·[:, :7]", "·[:, 7:]"}]
    assert ">where<" not in sg.draw(dense(), view="gradient").svg


def test_a_stack():
    x = sg.input("x", ("n", 4))
    parts = [sg.tanh(x @ sg.param(f"W{n}", (4, 3))) for n in range(3)]
    loss = sg.mean(sg.tensordot(sg.stack(parts, axis=1), sg.param("V", (3, 3)), 1) ** 2)
    formulas, (back,) = shown(loss, "stack")
    assert formulas == ["stack(H0, H1, H2)"]
    assert back == ["·[:, 0]", "·[:, 1]", "·[:, 2]"]


def test_slices_are_written_out():
    """A coupling layer changes half of its input by the other (Dinh et al. 2017)."""
    x = sg.input("x", ("n", 4))
    first = x[:, :2]
    h = first @ sg.param("W", (2, 2)) + x[:, 2:]
    loss = sg.mean((sg.concat([h, first], axis=1) @ sg.param("V", (4, 2))) ** 2)
    (formula,), _ = shown(loss, "concat")
    assert formula.endswith(", x[:, :2])")


@pytest.mark.parametrize("axis", [0, 1])
def test_parts_of_one_source_and_named_sizes(axis):
    x = sg.input("x", ("n", 3))
    h = sg.tanh(x @ sg.param("W", (3, 3)))
    t = sg.concat([h, x, h], axis=axis)
    assert [p is h for p in joined(t)] == [True, False, True]
    loss = sg.sum((t @ sg.param("V", (9 if axis else 3, 2))) ** 2)
    formulas, _ = shown(loss, "concat")
    assert formulas == ["concat(H, x, H)"]
    assert "concat(H, x, H)" in sg.draw(loss, view="gradient").svg

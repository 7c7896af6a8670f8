"""Graphs as text."""

import symgrad as sg
from symgrad.notation import print_graph


def test_a_layer():
    x = sg.input("x", ("n", 4))
    with sg.scope("layer1"):
        W, b = sg.param("W", (4, 3)), sg.param("b", (3,), trainable=False)
        h = sg.relu(x @ W + b) * 2
    assert print_graph(h).splitlines() == [
        "x = input                             # float32[n, 4]",
        "W = param                             # float32[4, 3]  in layer1",
        "t1[i, j] = sum[k](x[i, k]*W[k, j])    # float32[n, 3]  matmul  in layer1",
        "b = param, frozen                     # float32[3]  in layer1",
        "t2[i, j] = t1[i, j] + b[j]            # float32[n, 3]  add  in layer1",
        "t3[i, j] = relu(t2[i, j])             # float32[n, 3]  relu  in layer1",
        "t4[i, j] = t3[i, j]*2                 # float32[n, 3]  mul  in layer1",
    ]


def test_several_outputs_share_lines():
    x = sg.input("x", (3,))
    e = sg.exp(x)
    text = print_graph([e + 1, sg.sum(e)])
    assert text.count("exp(") == 1
    assert text == print_graph([e + 1, sg.sum(e)])


def test_reshape_constants_and_sizes():
    x = sg.input("x", ("n", 4))
    C = sg.constant([[1.0, 2.0], [3.0, 4.0]])
    text = print_graph(sg.mean(sg.reshape(x, ("n", 2, 2)) @ C))
    assert "t1 = reshape(x, [n, 2, 2])" in text
    assert "constant = constant" in text
    assert "t3/4*n" in text.replace(" ", "") or "/n" in text or "4*n" in text


def test_equal_names_are_told_apart():
    a, b = sg.input("x", (2,)), sg.input("x", (2,))
    assert print_graph(a + b).splitlines()[-1].startswith("t1[i] = x_1[i] + x_2[i]")

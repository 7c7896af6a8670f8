"""Headings of kernels: one line for a group of nodes."""

import time

import symgrad as sg
from symgrad.declare.statement import define
from symgrad.notation.group import describe_group


def leaves():
    x, W = sg.input("x", ("n", 4)), sg.param("W", (4, 3))
    b = sg.param("b", (3,))
    return x, W, b


def test_a_fused_layer_is_one_line():
    x, W, b = leaves()
    h = sg.relu(x @ W + b)
    assert describe_group([h], {x: "x", W: "W", b: "b", h: "h"}) == [
        "h[i, j] = relu(sum[k](x[i, k]*W[k, j]) + b[j])"
    ]


def test_names_end_the_group():
    x, W, b = leaves()
    z = x @ W
    h = sg.relu(z + b)
    assert describe_group([h], {z: "z", b: "b", h: "h"}) == [
        "h[i, j] = relu(z[i, j] + b[j])"
    ]


def test_what_is_used_twice_has_its_own_line():
    x, _, _ = leaves()
    e = sg.exp(x)
    y = e / sg.sum(e, axis=1, keepdims=True)
    assert describe_group([y], {x: "x", y: "y"}) == [
        "t1[i, j] = exp(x[i, j])",
        "y[i, j] = t1[i, j]/sum[k](t1[i, k])",
    ]


def test_an_output_is_named_where_it_is_used():
    x, _, _ = leaves()
    e = sg.exp(x)
    s = sg.sum(e, axis=1)
    assert describe_group([e, s], {x: "x", e: "e", s: "s"}) == [
        "e[i, j] = exp(x[i, j])",
        "s[i] = sum[j](e[i, j])",
    ]


def test_an_operand_may_be_an_output_of_another_group_too():
    x, _, _ = leaves()
    e = sg.exp(x)
    assert describe_group([sg.sum(e)], {e: "e"}) == ["t1 = sum[i, j](e[i, j])"]


def test_parentheses_only_where_they_are_needed():
    b = sg.param("b", (3,))
    a = sg.input("a", (3,))
    y = (a + b) * a - (a - (b - a)) / b**2
    assert describe_group([y], {a: "a", b: "b", y: "y"}) == [
        "y[i] = (a[i] + b[i])*a[i] - (a[i] - (b[i] - a[i]))/b[i]**2"
    ]


def test_guards_strides_and_equations():
    x, w = sg.input("x", ("n", 2, 9)), sg.input("w", (3, 2, 4))
    y = sg.conv1d(x, w, stride=2)
    g = sg.grad(sg.sum(y), x)
    assert describe_group([y], {x: "x", w: "w", y: "y"}) == [
        "y[i, j, k] = sum[l, m](x[i, l, 2*k + m]*w[j, l, m])"
    ]
    (line,) = describe_group([g], {x: "x", w: "w", g: "g"})
    assert "if 0 <= k - 2*m < 4 else 0" in line
    ids = sg.input("ids", ("n",), "int64")
    v = sg.input("v", ("n", 5))
    picked = sg.take_along_axis(v, sg.expand_dims(ids, 1), axis=1)
    g = sg.grad(sg.sum(picked), v)
    assert describe_group([g], {ids: "ids", v: "v", g: "g"}) == [
        "g[i, j] = (1 if ids[i] == j else 0)"
    ]


def test_gathers_and_scatters():
    ids = sg.input("ids", ("n",), "int64")
    E = sg.param("E", (50, 8))
    y = E[ids]
    assert describe_group([y], {E: "E", ids: "ids", y: "y"}) == [
        "y[i, j] = E[ids[i], j]"
    ]
    g = sg.grad(sg.sum(y), E)
    assert describe_group([g], {E: "E", ids: "ids", g: "g"}) == ["g[ids[i], j] += 1"]


def test_indices_are_composed():
    x = sg.input("x", (10,))
    y = define("y[i] = sum[k](a[2*i + k])", {"a": sg.sin(x)[1:]}, {"i": 3, "k": 2})
    assert describe_group([y], {x: "x", y: "y"}) == [
        "y[i] = sum[j](sin(x[2*i + j + 1]))"
    ]


def test_reshape_keeps_lines_apart():
    x = sg.input("x", (2, 6))
    y = sg.exp(sg.reshape(sg.sin(x), (3, 4)))
    assert describe_group([y], {x: "x", y: "y"}) == [
        "t1[i, j] = sin(x[i, j])",
        "y[i, j] = exp(reshape(t1, [3, 4])[i, j])",
    ]


def test_fresh_names_avoid_given_ones():
    x = sg.input("x", (2,))
    e = sg.exp(x)
    assert describe_group([e * e + e], {x: "t1"})[0] == "t2[i] = exp(t1[i])"


def test_long_chains_are_cut_and_linear():
    x = sg.input("x", (2,))
    y = x
    for _ in range(3000):
        y = sg.sin(y) + x
    start = time.perf_counter()
    lines = describe_group([y], {x: "x", y: "y"})
    assert time.perf_counter() - start < 2
    assert max(map(len, lines)) < 200
    assert lines == describe_group([y], {x: "x", y: "y"})

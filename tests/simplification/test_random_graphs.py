"""Random programs of movements, functions, sums and products, and their gradients."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import symgrad as sg
from symgrad.declare import scalar
from symgrad.declare.build import apply
from symgrad.declare.comprehension import (
    Comprehension,
    Guard,
    Read,
    Value,
    affine,
    along,
)
from symgrad.declare.tensor import topological
from symgrad.simplification import simplify_outputs
from symgrad.simplification.engine import Rewriter
from symgrad.simplification.stage import _FINAL
from tests.simplification.models import assert_same

SIZES = {"n": 3}
UNARY = ["tanh", "sin", "relu", "neg", "abs", "square"]


class Program:
    """A pool of tensors, to which each step adds one made of others."""

    def __init__(self, data):
        self.data = data
        rows = data.draw(st.sampled_from([3, "n"]))
        self.leaves = [
            sg.input("x", (rows, 4), dtype="float64"),
            sg.input("y", (4, 3), dtype="float64"),
            sg.input("z", (2, 3, 4), dtype="float64"),
            sg.input("v", (4,), dtype="float64"),
        ]
        self.ids = sg.input("ids", (3,), dtype="int64")
        self.pool = list(self.leaves)

    def tensor(self, rank=None):
        fitting = [t for t in self.pool if rank is None or t.ndim in rank]
        return self.data.draw(st.sampled_from(fitting))

    def number(self, low, high):
        return self.data.draw(st.integers(low, high))

    def step(self):
        kinds = [getattr(self, n) for n in dir(self) if n.startswith("do_")]
        made = self.data.draw(st.sampled_from(kinds))()
        if made is not None and known(made.size) <= 400:
            self.pool.append(made)

    def do_permute(self):
        t = self.tensor((2, 3))
        order = self.data.draw(st.permutations(range(t.ndim)))
        return sg.permute_dims(t, order)

    def do_slice(self):
        t = self.tensor((1, 2, 3))
        a = self.number(0, t.ndim - 1)
        if not isinstance(t.shape[a], int) or t.shape[a] == 0:
            return None
        start = self.number(0, t.shape[a] - 1)
        step = self.data.draw(st.sampled_from([1, 2, -1]))
        return t[(slice(None),) * a + (slice(start, None, step),)]

    def do_pick(self):
        t = self.tensor((1, 2, 3))
        a = self.number(0, t.ndim - 1)
        return None if t.shape[a] == 0 else t[(slice(None),) * a + (0,)]

    def do_pad(self):
        t = self.tensor((1, 2))
        widths = [(self.number(0, 1), self.number(0, 2)) for _ in t.shape]
        return sg.pad(t, widths)

    def do_flip(self):
        return sg.flip(self.tensor((1, 2)), 0)

    def do_new_axis(self):
        t = self.tensor((0, 1, 2))
        return sg.expand_dims(t, self.number(0, t.ndim))

    def do_squeeze(self):
        return sg.squeeze(self.tensor())

    def do_repeat(self):
        t = self.tensor((1, 2))
        return sg.broadcast_to(t, (2, *t.shape))

    def do_reshape(self):
        return sg.reshape(self.tensor(), (-1,))

    def do_take(self):
        t = self.tensor((1, 2, 3))
        a = self.number(0, t.ndim - 1)
        return None if t.shape[a] == 0 else sg.take(t, self.ids, axis=a)

    def do_concat(self):
        t = self.tensor((1, 2))
        return sg.concat([t, t * 2.0], axis=self.number(0, t.ndim - 1))

    def do_unary(self):
        name = self.data.draw(st.sampled_from(UNARY))
        t = self.tensor()
        return -t if name == "neg" else getattr(sg, name)(t)

    def do_scale(self):
        c = self.data.draw(st.sampled_from([2.0, -1.0, 0.5, 1.0, 0.0]))
        t = self.tensor()
        return self.data.draw(
            st.sampled_from([lambda: t * c, lambda: t + c, lambda: t / (c + 3)])
        )()

    def do_binary(self):
        t, r = self.tensor(), self.tensor()
        name = self.data.draw(
            st.sampled_from(["add", "subtract", "multiply", "maximum", "where"])
        )
        try:
            return sg.where(t > 0, t, r) if name == "where" else getattr(sg, name)(t, r)
        except sg.ShapeError:
            return None

    def do_softmax(self):
        t = self.tensor((1, 2))
        return None if 0 in t.shape else sg.softmax(t, axis=0)

    def do_reduce(self):
        t = self.tensor((1, 2, 3))
        a = self.number(0, t.ndim - 1)
        keep = self.data.draw(st.booleans())
        name = self.data.draw(st.sampled_from(["sum", "sum", "mean", "max", "prod"]))
        return None if t.shape[a] == 0 else getattr(sg, name)(t, axis=a, keepdims=keep)

    def do_running(self):
        return sg.cumulative_sum(self.tensor((1, 2)), axis=0)

    def do_matmul(self):
        t, r = self.tensor((1, 2)), self.tensor((1, 2, 3))
        try:
            return t @ r
        except sg.ShapeError:
            return None

    def do_product_sum(self):
        t, r = self.tensor((2,)), self.tensor((2,))
        if t.shape[1] != r.shape[0]:
            return None
        return sg.sum(t[:, :, None] * r, axis=1)

    def do_diagonal(self):
        """``y[i, j] = t[i] if i == j else 0``."""
        t = self.tensor((1,))
        n = t.shape[0]
        guard = Guard(affine([(0, 1), (1, -1)]), 1)
        read = Read(0, (along(self.number(0, 1)),))
        c = Comprehension("diag", 2, (n, n), scalar.read(0), (read,), guards=(guard,))
        return apply(c, [t])

    def do_scattered(self):
        """``y[i, j] = t[i] if ids[i] == j else 0``."""
        t = self.tensor((1,))
        if t.shape != (3,):
            return None
        index = affine([(Value(1, 5), 1), (1, -1)])
        reads = (Read(0, (along(0),)), Read(1, (along(0),)))
        c = Comprehension(
            "put", 2, (3, 5), scalar.read(0), reads, guards=(Guard(index, 1),)
        )
        return apply(c, [t, self.ids])


def known(size):
    return size if isinstance(size, int) else 30


@settings(
    max_examples=250,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.data())
def test_values_shapes_and_types_stay(data):
    program = Program(data)
    for _ in range(program.number(3, 9)):
        program.step()
    made = program.pool[len(program.leaves) :]
    if not made:
        return
    outputs = made[-2:]
    loss = sum((sg.sum(sg.sin(t)) for t in outputs[1:]), sg.sum(sg.tanh(outputs[0])))
    reached = {id(t) for t in topological([loss])}
    wrt = [t for t in program.leaves if id(t) in reached]
    outputs = [*outputs, *(sg.grad(loss, wrt) if wrt else [])]

    rng = np.random.default_rng(0)
    values = {}
    for t in program.leaves:
        shape = tuple(3 if str(n) == "n" else n for n in t.shape)
        values[t] = rng.normal(size=shape)
    values[program.ids] = np.array([0, -1, 7])  # wraps, and is clamped

    once = simplify_outputs(outputs)
    assert_same(outputs, once, values, rtol=1e-7, sizes=SIZES)
    twice = simplify_outputs(once)
    assert all(a is b for a, b in zip(once, twice, strict=True))
    walk = Rewriter(outputs, _FINAL.rules)
    walk.run()
    assert not walk.cycles

"""Recurrent layers as ``sg.scan``: one loop, whatever the length of the sequence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from symgrad.declare.ops import FUNCTIONS as SG
from symgrad.errors import GraphError
from symgrad.interop.onnx_import.nodes import Node, operator
from symgrad.interop.onnx_import.values import Operand
from symgrad.transforms.scan import scan

_ACTIVATIONS: dict[str, Callable[[Operand], Operand]] = {
    "Relu": SG["relu"],
    "Tanh": SG["tanh"],
    "Sigmoid": SG["sigmoid"],
    "Softsign": SG["softsign"],
    "Softplus": SG["softplus"],
}
_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_DEFAULTS = {
    "RNN": ["Tanh"],
    "GRU": ["Sigmoid", "Tanh"],
    "LSTM": ["Sigmoid", "Tanh", "Tanh"],
}


@operator("RNN", "GRU", "LSTM")
def recurrent(n: Node) -> tuple[Operand, ...]:
    """In either direction or both."""
    direction = n.attr("direction", "forward")
    count = 2 if direction == "bidirectional" else 1
    x = n.t(0)
    if n.attr("layout", 0):
        x = SG["swapaxes"](x, 0, 1)
    names = [a.decode() if isinstance(a, bytes) else a for a in
             n.attr("activations", _DEFAULTS[n.op] * count)]  # fmt: skip
    each = len(names) // count
    results = []
    for d in range(count):
        backward = direction == "reverse" or d == 1
        functions = [_activation(n, a) for a in names[d * each : (d + 1) * each]]
        results.append(_Direction(n, x, d, backward, functions).run())
    every = SG["stack"]([r[0] for r in results], axis=1)
    last = [SG["stack"]([r[k] for r in results]) for k in range(1, len(results[0]))]
    if n.attr("layout", 0):
        every = SG["permute_dims"](every, (2, 0, 1, 3))
        last = [SG["swapaxes"](t, 0, 1) for t in last]
    return (every, *last)


def _activation(n: Node, name: str) -> Callable[[Operand], Operand]:
    by_name = {k.lower(): f for k, f in _ACTIVATIONS.items()}
    if name.lower() not in by_name:
        raise GraphError(f"{n}: the activation {name} is not supported")
    function, bound = by_name[name.lower()], n.attr("clip")
    if bound is None:
        return function
    return lambda t: function(SG["clip"](t, -bound, bound))


class _Direction:
    """One pass over a sequence."""

    def __init__(
        self, n: Node, x: Operand, d: int, backward: bool, functions: list[Any]
    ) -> None:
        self.n, self.x, self.backward, self.functions = n, x, backward, functions
        self.gates = _GATES[n.op]
        self.W, self.R = n.t(1)[d], n.t(2)[d]
        self.hidden = n.fixed(n.t(2), 2)
        bias = n.t(3)[d] if n.has(3) else None
        size = self.gates * self.hidden
        self.Wb = None if bias is None else bias[:size]
        self.Rb = None if bias is None else bias[size:]
        self.lengths = n.t(4) if n.has(4) else None
        self.h = self._start(5, d)
        self.c = self._start(6, d) if n.op == "LSTM" else None
        self.P = n.t(7)[d] if n.op == "LSTM" and n.has(7) else None

    def _start(self, place: int, d: int) -> Operand:
        if self.n.has(place):
            t = self.n.t(place)
            return t[:, d] if self.n.attr("layout", 0) else t[d]
        return SG["zeros"]((self.x.shape[1], self.hidden), dtype=self.x.dtype)

    def run(self) -> tuple[Operand, ...]:
        start = (self.h,) if self.c is None else (self.h, self.c)
        places = SG["arange"](self.x.shape[0])

        def step(old: Any, element: Any) -> Any:
            x, place = element
            new = self._step(x, *old)
            if self.lengths is None:
                return new, new[0]
            live = SG["expand_dims"](self.lengths > place, axis=1)
            kept = [SG["where"](live, a, b) for a, b in zip(new, old, strict=True)]
            return tuple(kept), SG["where"](live, new[0], 0.0)

        last, every = scan(step, start, (self.x, places), reverse=self.backward)
        return every, *last

    def _step(self, x: Operand, h: Operand, c: Any = None) -> tuple[Operand, ...]:
        given = SG["matmul"](x, self.W.T)
        if self.Wb is not None:
            given = given + self.Wb
        if self.n.op == "GRU":
            return (self._gru(given, h),)
        total = given + SG["matmul"](h, self.R.T)
        if self.Rb is not None:
            total = total + self.Rb
        if self.n.op == "RNN":
            return (self.functions[0](total),)
        return self._lstm(total, c)

    def _part(self, t: Operand, k: int) -> Operand:
        return t[..., k * self.hidden : (k + 1) * self.hidden]

    def _lstm(self, total: Operand, old: Operand) -> tuple[Operand, Operand]:
        f, g, h = self.functions
        i, o, forget, c = (self._part(total, k) for k in range(4))
        if self.P is not None:
            i, forget = (
                i + self._part(self.P, 0) * old,
                forget + self._part(self.P, 2) * old,
            )
        i = f(i)
        keep = 1 - i if self.n.attr("input_forget", 0) else f(forget)
        new = keep * old + i * g(c)
        if self.P is not None:
            o = o + self._part(self.P, 1) * new
        return f(o) * h(new), new

    def _gru(self, given: Operand, h: Operand) -> Operand:
        f, g = self.functions
        bias = self.Rb
        rows = [self.R[k * self.hidden : (k + 1) * self.hidden] for k in range(3)]

        def again(k: int, h: Operand) -> Operand:
            product = SG["matmul"](h, rows[k].T)
            return product if bias is None else product + self._part(bias, k)

        z = f(self._part(given, 0) + again(0, h))
        r = f(self._part(given, 1) + again(1, h))
        if self.n.attr("linear_before_reset", 0):
            new = g(self._part(given, 2) + r * again(2, h))
        else:
            new = g(self._part(given, 2) + again(2, r * h))
        return (1 - z) * new + z * h

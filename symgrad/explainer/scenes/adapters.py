"""LoRA: a frozen matrix and two thin factors that are trained in its place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from symgrad.declare import dtypes
from symgrad.declare.ops.contract import matmul
from symgrad.declare.tensor import Param, Tensor, exact_scope, input, op_name, param
from symgrad.derivation.reverse import reverse
from symgrad.diagnosis.layers import trains
from symgrad.explainer import builtin
from symgrad.explainer import markup as m
from symgrad.explainer.story import Figure, Scene, line, signed
from symgrad.explainer.subject import Subject
from symgrad.nn import adapt, lora
from symgrad.notation.local import local_form
from symgrad.pipeline import compile
from symgrad.train.initialize import init, name_of


@dataclass(frozen=True)
class Cost:
    """What a training step costs: forward and backward, as compiled."""

    trained: int
    flops: float
    bytes: float


@dataclass(frozen=True, eq=False)
class Thin:
    """A frozen matrix of a model, and the factors that are trained beside it."""

    weight: Tensor
    a: Tensor
    b: Tensor


def scene(s: Subject) -> Scene:
    """Return the scene."""
    note = ""
    own = _own(s)
    weight = max((t.weight for t in own), key=_numbers, default=_largest(s))
    if weight is None:
        note = f"{s.name} has no weight matrix; "
        s = builtin.substitute()
        note += f"{s.name} stands in."
        weight = _largest(s)
    assert weight is not None
    rows, columns = _sizes(weight)
    factors = next((t for t in own if t.weight is weight), None)
    rank = max(1, min(8, min(rows, columns) // 8))
    if factors is not None:
        rank = _sizes(factors.a)[1]
    full, thin = _trained(s, own) if own else _added(s, weight, rank)
    kept = thin.trained / max(full.trained, 1)
    name = name_of(weight)
    figure: Figure = {
        "kind": "factors", "weight": 1.15, "rows": rows, "columns": columns,
        "rank": rank, "at": 0.3,
        "alt": f"{name} is frozen; the factors A and B are trained.",
        "names": ["W", "A", "B"],
        "notes": [f"{rows} × {columns}, frozen", f"{rows} × {rank}",
                  f"{rank} × {columns}"],
    }  # fmt: skip
    bars: Figure = {
        "kind": "bars", "alt": "What a training step costs with LoRA and without.",
        "items": [
            *_pair("numbers trained", full.trained, thin.trained, 3.0),
            *_pair("operations", full.flops, thin.flops, 3.8),
            *_pair("bytes moved", full.bytes, thin.bytes, 4.6),
        ],
    }  # fmt: skip
    first = (
        f"{name} is frozen; two thin matrices of rank {rank} are added: W + A·B."
        if own
        else f"Freeze {name} and add two thin matrices of rank {rank}: W + A·B."
    )
    return Scene(
        "lora", "LoRA: train a thin path", 9,
        [
            (0.0, first),
            (3.0, f"Only {'factors' if own else 'A and B'} are trained: "
                  f"{thin.trained:,} numbers in place of {full.trained:,} "
                  f"({kept:.1%})."),
            (6.0, "A frozen weight has no gradient: none is derived, computed "
                  f"or stored.{_same(full, thin)}"),
        ],
        [figure,
         {"kind": "lines", "weight": 0.9, "lines": [*_formulas(), *_zero(s, factors)]},
         {**bars, "weight": 1.2}],
        note=note,
    )  # fmt: skip


def _same(full: Cost, thin: Cost) -> str:
    """Say so where a step is hardly cheaper."""
    cheaper = thin.flops < 0.9 * full.flops
    return "" if cheaper else " At this size a step takes about as many operations."


def _zero(s: Subject, factors: Thin | None) -> list[dict[str, Any]]:
    """Explain a gradient of zero: that of A, as long as B is zero."""
    if factors is None:
        said = "B starts at 0: then W + A B = W, and ∂L/∂A is 0, unlike ∂L/∂B"
        return [line(text=said, at=6.2)]
    sizes = [
        float(np.linalg.norm(np.float64(s.ray.gradients[name_of(t)])))
        for t in (factors.a, factors.b)
        if s.ray is not None and name_of(t) in s.ray.gradients
    ]
    if len(sizes) < 2:
        return []
    said = f"measured: ‖∂L/∂A‖ = {signed(sizes[0])}, ‖∂L/∂B‖ = {signed(sizes[1])}"
    if not np.any(s.params[name_of(factors.b)]):
        said += "; B is still 0, so A has none yet"
    return [line(text=said, at=6.2)]


def _pair(what: str, full: float, thin: float, at: float) -> list[dict[str, Any]]:
    top = max(full, thin) or 1
    return [
        {"label": f"{what}: all", "value": full / top, "text": signed_large(full),
         "tone": "frozen", "at": at},
        {"label": "with LoRA", "value": thin / top, "text": signed_large(thin),
         "tone": "param", "at": at + 0.3},
    ]  # fmt: skip


def signed_large(value: float) -> str:
    """Return a count with a unit: ``4.9 k``."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f}"


def _own(s: Subject) -> list[Thin]:
    """Return the frozen matrices of a model that thin factors are added to."""
    found = []
    for node in s.model.order:
        frozen = [a for a in node.args if isinstance(a.op, Param) and a.ndim == 2]
        if op_name(node.op) != "add" or len(node.args) != 2 or len(frozen) != 1:
            continue
        weight = frozen[0]
        product = next(a for a in node.args if a is not weight)
        while op_name(product.op) == "mul" and product.args:  # a scale
            product = product.args[-1]
        thin = product.args
        if trains(weight) or op_name(product.op) != "matmul" or len(thin) != 2:
            continue
        if all(isinstance(t.op, Param) and trains(t) for t in thin):
            found.append(Thin(weight, thin[0], thin[1]))
    return found


def _largest(s: Subject) -> Tensor | None:
    found = [
        p
        for layer in s.model.layers
        for p in layer.params
        if p.ndim == 2 and dtypes.is_float(p.dtype) and min(_sizes(p)) > 1
    ]
    return max(found, key=_numbers, default=None)


def _numbers(p: Tensor) -> int:
    return math.prod(_sizes(p))


def _sizes(p: Tensor) -> tuple[int, ...]:
    return tuple(n for n in p.shape if isinstance(n, int))


def _added(s: Subject, weight: Tensor, rank: int) -> tuple[Cost, Cost]:
    """Return the costs of a step that trains everything, and of one with LoRA."""
    thin = adapt(s.loss, lambda p: lora(p, rank) if p is weight else None)
    whole = s.loss if trains(weight) else _with(s.loss, [weight], [])
    return _cost(s, whole), _cost(s, thin)


def _trained(s: Subject, own: list[Thin]) -> tuple[Cost, Cost]:
    """Return the costs of a step that trains the matrices, and of one as it is."""
    factors = [f for t in own for f in (t.a, t.b)]
    whole = _with(s.loss, [t.weight for t in own], factors)
    return _cost(s, whole), _cost(s, s.loss)


def _with(loss: Tensor, free: list[Tensor], frozen: list[Tensor]) -> Tensor:
    """Return the loss with some matrices trained, and some not."""
    made: dict[Tensor, Tensor] = {}
    for p in (*free, *frozen):
        assert isinstance(p.op, Param)
        scope, _, name = name_of(p).rpartition("/")
        with exact_scope(scope):
            made[p] = param(name, _sizes(p), p.op.init, p in set(free), p.dtype)
    found: Tensor = adapt(loss, lambda p: made.get(p, p))
    return found


def _cost(s: Subject, loss: Tensor) -> Cost:
    if loss is s.loss and s.ray is not None:
        program, trained = s.ray.program, s.ray.gradients
        count = sum(g.size for g in trained.values())
    else:
        held = init(loss, seed=0)
        model = Subject(loss, s.data, held)
        wrt = [p for p in model.model.trainable if model.gradient(p) is not None]
        sent = [model.gradient(p) for p in wrt]
        program = compile(model.model.inputs, [loss, *sent])
        program(*(s.data[name_of(t)] for t in model.model.inputs), params=held)
        count = sum(held[name_of(p)].size for p in wrt)
    report = program.report()
    return Cost(count, float(report["flops"] or 0), float(report["bytes"] or 0))


def _formulas() -> list[dict[str, Any]]:
    """Return the gradients by A and B, derived for ``Y = X (W + A B)``."""
    x = input("X", ("n", "m"))
    w = input("W", ("m", "k"))
    a, b = input("A", ("m", "r")), input("B", ("r", "k"))
    y = matmul(x, w + matmul(a, b))  # type: ignore[operator]
    g = input("G", y.shape)
    sent = reverse([y], [a, b], [g]).cotangents
    names = {x: "X", w: "W", a: "A", b: "B", g: "G"}
    loss = "<mi>L</mi>"
    rows = [
        line(m.whole(m.sym("Y"), m.op("="), m.formula(local_form(y, names)[0])),
             at=1.0, tone="forward"),
    ]  # fmt: skip
    for n, t in enumerate((a, b)):
        shown = m.formula(local_form(sent[t], names)[0])
        rows.append(
            line(m.whole(m.partial(loss, m.sym(names[t])), m.op("="), shown),
                 at=2.2 + 0.7 * n, tone="backward")
        )  # fmt: skip
    rows[-1]["then"] = "derived; G = ∂L/∂Y"
    return rows

"""LoRA: a frozen matrix and two thin factors that are trained in its place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from symgrad.declare import dtypes
from symgrad.declare.ops.contract import matmul
from symgrad.declare.tensor import Param, Tensor, exact_scope, input, param
from symgrad.derivation.reverse import grad, reverse
from symgrad.explainer import builtin
from symgrad.explainer import markup as m
from symgrad.explainer.story import Figure, Scene, line
from symgrad.explainer.subject import Subject
from symgrad.nn import adapt, lora
from symgrad.notation.local import local_form
from symgrad.notation.mathml import mathml_text
from symgrad.pipeline import compile
from symgrad.train.initialize import init, name_of


@dataclass(frozen=True)
class Cost:
    """What a training step costs: forward and backward, as compiled."""

    trained: int
    flops: float
    bytes: float


def scene(s: Subject) -> Scene:
    """Return the scene."""
    note = ""
    weight = _largest(s)
    if weight is None:
        note = f"{s.name} has no weight matrix; "
        s = builtin.substitute()
        note += f"{s.name} stands in."
        weight = _largest(s)
    assert weight is not None
    rows, columns = (int(n) for n in weight.shape)  # type: ignore[arg-type]
    rank = max(1, min(8, min(rows, columns) // 8))
    full, thin = _costs(s, weight, rank)
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
    equations = _formulas()
    return Scene(
        "lora", "LoRA: train a thin path", 9,
        [
            (0.0, f"Freeze {name} and add a product of two thin matrices of rank "
                  f"{rank}: W + A·B."),
            (3.0, f"Only A and B are trained: {thin.trained:,} numbers in place of "
                  f"{full.trained:,}, {kept:.1%}."),
            (6.0, "A frozen weight has no gradient: nothing of it is derived, computed "
                  "or stored."),
        ],
        [figure,
         {"kind": "lines", "weight": 0.9, "lines": equations}, {**bars, "weight": 1.2}],
        note=note,
    )  # fmt: skip


def _pair(what: str, full: float, thin: float, at: float) -> list[dict[str, Any]]:
    top = max(full, thin) or 1
    return [
        {"label": f"{what}, all", "value": full / top, "text": signed_large(full),
         "tone": "frozen", "at": at},
        {"label": "LoRA", "value": thin / top, "text": signed_large(thin),
         "tone": "param", "at": at + 0.3},
    ]  # fmt: skip


def signed_large(value: float) -> str:
    """Return a count with a unit: ``4.9 k``."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f}"


def _largest(s: Subject) -> Tensor | None:
    found = [
        p
        for layer in s.model.layers
        for p in layer.params
        if p.ndim == 2 and dtypes.is_float(p.dtype) and min(_sizes(p)) > 1
    ]
    return max(found, key=lambda p: math.prod(_sizes(p)), default=None)


def _sizes(p: Tensor) -> tuple[int, ...]:
    return tuple(n for n in p.shape if isinstance(n, int))


def _costs(s: Subject, weight: Tensor, rank: int) -> tuple[Cost, Cost]:
    """Return the costs of a step that trains everything, and of one with LoRA."""
    thin = adapt(s.loss, lambda p: lora(p, rank) if p is weight else None)
    return _cost(s, _unfrozen(s.loss, weight)), _cost(s, thin)


def _unfrozen(loss: Tensor, weight: Tensor) -> Tensor:
    """Return the loss with this matrix trained."""
    if isinstance(weight.op, Param) and weight.op.trainable:
        return loss
    scope, _, name = name_of(weight).rpartition("/")
    with exact_scope(scope):
        assert isinstance(weight.op, Param)
        free = param(name, _sizes(weight), weight.op.init, dtype=weight.dtype)
    found: Tensor = adapt(loss, lambda p: free if p is weight else p)
    return found


def _cost(s: Subject, loss: Tensor) -> Cost:
    held = init(loss, seed=0)
    model = Subject(loss, s.data, held)
    trained = [p for p in model.model.trainable if model.gradient(p) is not None]
    program = compile(model.model.inputs, [loss, *grad(loss, trained)])
    arrays = [s.data[name_of(t)] for t in model.model.inputs]
    program(*arrays, params=held)
    report = program.report()
    count = sum(held[name_of(p)].size for p in trained)
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
        line(m.whole(m.sym("Y"), m.op("="), mathml_text(local_form(y, names)[0])),
             at=1.0, tone="forward"),
    ]  # fmt: skip
    for n, t in enumerate((a, b)):
        shown = mathml_text(local_form(sent[t], names)[0])
        rows.append(
            line(m.whole(m.partial(loss, m.sym(names[t])), m.op("="), shown),
                 at=2.2 + 0.7 * n, tone="backward")
        )  # fmt: skip
    rows[-1]["then"] = "derived; G = ∂L/∂Y"
    return rows

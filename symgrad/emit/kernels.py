"""Emit a plan: one text for each kernel, headed by the formula that it computes."""

from __future__ import annotations

from symgrad.declare.comprehension import Comprehension, print_statement
from symgrad.declare.tensor import Tensor
from symgrad.emit.nests import emit_nest
from symgrad.emit.rows import emit_rows
from symgrad.emit.writer import KernelText
from symgrad.schedule.plan import Plan


def emit(plan: Plan) -> list[KernelText]:
    """Return the kernels of a plan, in order; equal ones have equal texts."""
    kernels = []
    for g in plan.groups:
        heading = formula_lines(g.members)
        if g.kind in ("rows", "gemm"):
            kernels.append(emit_rows(g, set(plan.stored), set(plan.forced), heading))
        else:
            kernels.append(emit_nest(g, set(plan.forced), heading))
    return kernels


def formula_lines(members: list[Tensor]) -> list[str]:
    """Return the statements of a kernel's nodes with local names (a, b, …; t1, …)."""
    names: dict[Tensor, str] = {}
    lines = []
    for t in members:
        assert isinstance(t.op, Comprehension)
        for a in t.args:
            names.setdefault(a, f"x{len(names)}")
        names[t] = f"x{len(names)}"
        lines.append(print_statement(t.op, [names[a] for a in t.args], names[t]))
    return lines

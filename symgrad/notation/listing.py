"""A graph as text: one statement a line, in the notation that ``define`` reads."""

from __future__ import annotations

from collections.abc import Sequence

from symgrad.declare.bodies import needed, number_of, sibling_key, siblings
from symgrad.declare.comprehension import Comprehension, print_statement
from symgrad.declare.loop import Formal, Loop, Scan, Stacked
from symgrad.declare.tensor import (
    Constant,
    Input,
    Param,
    Reshape,
    SizeOf,
    Tensor,
    op_name,
    print_shape,
    scalar_value,
    topological,
)
from symgrad.notation.names import leaf_names, unused

WIDEST = 64  # a longer statement pushes its remark to the right


def print_graph(outputs: Tensor | Sequence[Tensor]) -> str:
    """Return every node that the outputs depend on, operands first.

    The remark after ``#`` has the type and shape, the operation and the scope.

    >>> import symgrad as sg
    >>> x, W = sg.input("x", ("n", 2)), sg.param("W", (2, 3))
    >>> print(print_graph(sg.relu(x @ W)))
    x = input                             # float32[n, 2]
    W = param                             # float32[2, 3]
    t1[i, j] = sum[k](x[i, k]*W[k, j])    # float32[n, 3]  matmul
    t2[i, j] = relu(t1[i, j])             # float32[n, 3]  relu
    """
    lines = _rows([outputs] if isinstance(outputs, Tensor) else outputs)[1]
    width = max((len(s) for s, _ in lines if len(s) <= WIDEST), default=0)
    return "\n".join(f"{s.ljust(width)}    # {r}" if r else s for s, r in lines)


def statements(outputs: Sequence[Tensor]) -> dict[Tensor, tuple[str, str]]:
    """Return each node's statement, and the remark on it; numbers have none."""
    return _named(outputs)[1]


def _rows(outputs: Sequence[Tensor]) -> tuple[dict[Tensor, str], list[tuple[str, str]]]:
    """Return names, and all lines: a loop's step follows the first of its results."""
    names, lines = _named(outputs)
    together = siblings(lines)
    found: list[tuple[str, str]] = []
    for t, line in lines.items():
        found.append(line)
        if isinstance(t.op, Scan) and together[sibling_key(t)][0] is t:
            found += _step(together[sibling_key(t)])
    return names, found


def _step(results: Sequence[Tensor]) -> list[tuple[str, str]]:
    """Return the lines of one step, the last of which says what becomes of values."""
    loop: Loop = results[0].op.loop  # type: ignore[union-attr]
    used, stacks = needed(results), [t for t in results if isinstance(t.op, Stacked)]
    carries = [f for f in used if f in set(loop.carries)]
    updates = [loop.updates[number_of(f)] for f in carries]
    values: list[Tensor] = [t.op.value for t in stacks]  # type: ignore
    names, inside = _rows([*used, *updates, *values])
    changes = [
        f"{names[f]} ← {names[v]}" for f, v in zip(carries, updates, strict=True)
    ]
    kept = [f"{names[v]} is kept" for v in dict.fromkeys(values)]
    head = f"{loop.length} steps{', from the last' if loop.reverse else ''}:"
    rows = [(head, ""), *inside, (", ".join([*changes, *kept]), "")]
    return [(f"  | {text}", remark) for text, remark in rows]


def _named(
    outputs: Sequence[Tensor],
) -> tuple[dict[Tensor, str], dict[Tensor, tuple[str, str]]]:
    """Return the name of each node, and its statement with the remark on it."""
    order = topological(outputs)
    kinds = Input | Param | Formal
    leaves = [t for t in order if isinstance(t.op, kinds) or _is_array(t)]
    names = leaf_names(leaves)
    taken = set(names.values())
    lines: dict[Tensor, tuple[str, str]] = {}
    for t in order:
        if t in names:
            lines[t] = (f"{names[t]} = {_kind(t)}", _remark(t, ""))
        elif (known := _atom(t)) is not None:
            names[t] = known  # a number or a size is written where it is used
        else:
            names[t] = unused("t", taken)
            taken.add(names[t])
            lines[t] = (_statement(t, names), _remark(t, op_name(t.op)))
    return names, lines


def _is_array(t: Tensor) -> bool:
    return isinstance(t.op, Constant) and t.ndim > 0


def _kind(t: Tensor) -> str:
    if isinstance(t.op, Param):
        return "param" if t.op.trainable else "param, frozen"
    if isinstance(t.op, Formal):
        return "argument"
    return "input" if isinstance(t.op, Input) else "constant"


def _atom(t: Tensor) -> str | None:
    """Return the text of a scalar constant or a size."""
    if isinstance(t.op, SizeOf):
        return str(t.op.dim)
    if isinstance(t.op, Constant):
        value = scalar_value(t)
        return f"{value:.9g}" if isinstance(value, float) else str(value)
    return None


def _statement(t: Tensor, names: dict[Tensor, str]) -> str:
    operands = [names[a] for a in t.args]
    if isinstance(t.op, Comprehension):
        return print_statement(t.op, operands, names[t])
    if isinstance(t.op, Reshape):
        return f"{names[t]} = reshape({operands[0]}, {print_shape(t.shape)})"
    return f"{names[t]} = {op_name(t.op)}({', '.join(operands)})"


def _remark(t: Tensor, what: str) -> str:
    scope = t.scope if not t.name else t.name.rpartition("/")[0]
    parts = [f"{t.dtype}{print_shape(t.shape)}", what, scope and f"in {scope}"]
    return "  ".join(p for p in parts if p)

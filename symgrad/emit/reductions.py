"""One step of a reduction, and what it starts from."""

from __future__ import annotations

from symgrad.declare import dtypes
from symgrad.declare.dtypes import short
from symgrad.emit.scalars import literal
from symgrad.emit.writer import Writer

#: A sum in float32 over more terms than this goes through float64 partial sums.
BLOCK = 4096


def reduction_step(
    w: Writer, kind: str, name: str, value: str, dtype: str, index: str
) -> tuple[list[str], list[str]]:
    """Return the lines of one step of a reduction, and those that start it."""
    floating = dtypes.is_float(dtype)
    match kind:
        case "sum" | "prod":
            symbol, fast = ("+", "add_fast") if kind == "sum" else ("*", "mul_fast")
            start = literal(0 if kind == "sum" else 1, dtype)
            if floating:
                return [f"{name} = {w.use(fast)}({name}, {value})"], [
                    f"{name} = {start}"
                ]
            return [f"{name} = {name} {symbol} {value}"], [f"{name} = {start}"]
        case "max" | "min":
            extreme = _extreme(kind, dtype)
            if floating:
                function = w.use("maximum" if kind == "max" else "minimum")
                return [f"{name} = {function}({name}, {value})"], [
                    f"{name} = {extreme}"
                ]
            return [f"{name} = {kind}({name}, {value})"], [f"{name} = {extreme}"]
        case "any":
            return [f"{name} = {name} | {value}"], [f"{name} = False"]
        case "all":
            return [f"{name} = {name} & {value}"], [f"{name} = True"]
    best, test = f"{name}_best", ">" if kind == "argmax" else "<"
    better = f"{value} {test} {best}"
    if floating:
        better = f"({better}) | (({value} != {value}) & ({best} == {best}))"
    start = _extreme("max" if kind == "argmax" else "min", dtype)
    select = w.use("select")
    hit = f"{name}_hit"
    return (
        [
            f"{hit} = ({better}) | ({name} < 0)",
            f"{name} = {select}({hit}, {index}, {name})",
            f"{best} = {select}({hit}, {value}, {best})",
        ],
        [f"{name} = -1", f"{best} = {start}"],
    )


def _extreme(kind: str, dtype: str) -> str:
    """Return the identity of a max or min."""
    if dtypes.is_float(dtype):
        return literal(float("-inf") if kind == "max" else float("inf"), dtype)
    if dtype == "bool":
        return "False" if kind == "max" else "True"
    bits = 31 if short(dtype) == "i32" else 63
    return literal(-(2**bits) if kind == "max" else 2**bits - 1, dtype)

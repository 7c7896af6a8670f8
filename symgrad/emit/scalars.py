"""Terms as Python text: one line of a kernel for each scalar function."""

from __future__ import annotations

import math

from symgrad.declare.dtypes import is_float, short
from symgrad.declare.scalar import FUNCTIONS, INFIX

NATIVE = ("sqrt", "floor", "ceil", "trunc", "round")


def literal(value: bool | int | float, dtype: str) -> str:
    """Return a number of a type as text.

    >>> literal(0.5, "float32"), literal(3, "int64"), literal(True, "bool")
    ('np.float32(0.5)', '3', 'True')
    """
    if dtype == "bool":
        return "True" if value else "False"
    if not is_float(dtype):
        return str(int(value)) if dtype == "int64" else f"np.int32({int(value)})"
    value = float(value)
    if math.isnan(value):
        text = "np.nan"
    elif math.isinf(value):
        text = "np.inf" if value > 0 else "-np.inf"
    else:
        text = repr(value)
    return f"np.{dtype}({text})"


def expression(fn: str, args: list[str], kinds: list[str], dtype: str) -> str:
    """Return the text of a scalar function applied to operands of the given types."""
    kind = kinds[-1]
    if fn == "cast":
        return _cast(args[0], kinds[0], dtype)
    text = _float(fn, args, kind) if is_float(kind) else _integer(fn, args)
    if text is None and fn in INFIX:
        text = f"{args[0]} {INFIX[fn]} {args[1]}"
    if text is None:
        text = f"{fn}_{short(kind)}({', '.join(args)})"
    return f"np.int32({text})" if dtype == "int32" else text


def _cast(value: str, source: str, dtype: str) -> str:
    if dtype == "bool":
        return f"{value} != 0"
    if source == "bool":
        return f"select({value}, {literal(1, dtype)}, {literal(0, dtype)})"
    return f"np.{dtype}({value})"


def _float(fn: str, args: list[str], kind: str) -> str | None:
    zero, one = literal(0, kind), literal(1, kind)
    x = args[0]
    match fn:
        case "neg":
            return f"-{x}"
        case "select" | "maximum" | "minimum" | "fma":
            return f"{fn}({', '.join(args)})"
        case "relu":
            return f"select({x} <= {zero}, {zero}, {x})"
        case "stop_gradient":
            return x
        case "square":
            return f"{x} * {x}"
        case "reciprocal":
            return f"{one} / {x}"
        case "rsqrt":
            return f"{one} / sqrt_{short(kind)}({x})"
        case "isnan":
            return f"{x} != {x}"
        case "isinf":
            return f"abs({x}) == {literal(math.inf, kind)}"
        case "isfinite":
            return f"abs({x}) < {literal(math.inf, kind)}"
        case "abs":
            return f"abs({x})"
        case "mod":
            return f"remainder_{short(kind)}({', '.join(args)})"
        case "floordiv":
            return f"floor_{short(kind)}({x} / {args[1]})"
        case "pow":
            return None if args[1] not in _powers(kind) else _powers(kind)[args[1]](x)
    return None


def _powers(kind: str) -> dict:
    """Return the powers that are a few products or a root."""
    one, root = literal(1, kind), f"sqrt_{short(kind)}"
    return {
        literal(2, kind): lambda x: f"{x} * {x}",
        literal(3, kind): lambda x: f"{x} * {x} * {x}",
        literal(4, kind): lambda x: f"({x} * {x}) * ({x} * {x})",
        literal(-1, kind): lambda x: f"{one} / {x}",
        literal(-2, kind): lambda x: f"{one} / ({x} * {x})",
        literal(0.5, kind): lambda x: f"{root}({x})",
        literal(-0.5, kind): lambda x: f"{one} / {root}({x})",
    }


def _integer(fn: str, args: list[str]) -> str | None:
    x = args[0]
    match fn:
        case "neg":
            return f"-{x}"
        case "not":
            return f"not {x}"
        case "imax" | "maximum":
            return f"select({x} > {args[1]}, {x}, {args[1]})"
        case "imin" | "minimum":
            return f"select({x} < {args[1]}, {x}, {args[1]})"
        case "select":
            return f"select({', '.join(args)})"
        case "relu":
            return f"select({x} > 0, {x}, 0)"
        case "stop_gradient" | "floor" | "ceil" | "trunc" | "round":
            return x
        case "threefry":
            return f"threefry({x}, {args[1]})"
        case "fold_bits":
            return f"({x} >> 32 ^ {x}) & 0xFFFFFFFF"
        case "square":
            return f"{x} * {x}"
        case "abs":
            return f"abs({x})"
        case "sign":
            return f"select({x} > 0, 1, select({x} < 0, -1, 0))"
        case "isnan" | "isinf":
            return "False"
        case "isfinite":
            return "True"
        case "floordiv":
            return f"floor_divide({x}, {args[1]})"
        case "mod":
            return f"floor_modulo({x}, {args[1]})"
        case "pow":
            return f"{x} ** {args[1]}"
        case "xor":
            return f"{x} != {args[1]}"
        case "fma":
            return f"{x} * {args[1]} + {args[2]}"
    return None


#: Rough cost of a scalar function, in additions: decides recomputation and threads.
COST = {fn: 12 if f.result == "float" else 1 for fn, f in FUNCTIONS.items()}
COST |= {"div": 4, "sqrt": 6, "rsqrt": 8, "reciprocal": 4, "pow": 40, "mod": 10}
COST |= {"copysign": 1, "polygamma": 2000}
COST |= dict.fromkeys(("lgamma", "digamma", "trigamma", "threefry"), 60)


def cost(fn: str) -> int:
    """Return the rough cost of a scalar function, in additions."""
    return COST.get(fn, 1)

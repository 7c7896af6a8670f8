"""Scalar expressions: the bodies of operations, small immutable interned trees.

A body such as ``x*tanh(softplus(x))`` is an ``Expr`` over *reads* (values read from
operands), *axes* (the loop indices themselves), sizes and numbers.  The table
``FUNCTIONS`` is the one place where a scalar function is introduced: its definition
in more elementary functions where it has one, and its derivative where SymPy does not
know the function (each is checked against the definition by a test).
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from symgrad.declare.dims import Dim
from symgrad.errors import ParseError

Number = bool | int | float


@dataclass(frozen=True)
class Function:
    """A scalar function: number of arguments, kind of result, definition, slopes.

    ``result`` is ``"float"`` (computed in a float type), ``"same"`` (the type of the
    arguments) or ``"bool"``.  ``definition`` and ``slopes`` are texts over ``x, y, z``.
    """

    arity: int = 1
    result: str = "float"
    definition: str | None = None
    slopes: tuple[str, ...] | None = None


FUNCTIONS: dict[str, Function] = {
    # arithmetic
    "add": Function(2, "same"),
    "sub": Function(2, "same"),
    "mul": Function(2, "same"),
    "div": Function(2, slopes=("1/y", "-((x/y)/y)")),  # y**2 would overflow sooner
    "neg": Function(1, "same"),
    "pow": Function(
        2,
        "same",
        slopes=(
            "where(y == 0, 0, y*x**(y - 1))",
            "where(x == 0, 0, log(x)*x**y)",
        ),
    ),
    "floordiv": Function(2, "same", slopes=("0", "0")),
    "mod": Function(2, "same", slopes=("1", "-floor(x/y)")),
    "fma": Function(3, "same", "x*y + z"),
    # comparison and logic
    "lt": Function(2, "bool"),
    "le": Function(2, "bool"),
    "gt": Function(2, "bool"),
    "ge": Function(2, "bool"),
    "eq": Function(2, "bool"),
    "ne": Function(2, "bool"),
    "and": Function(2, "bool"),
    "or": Function(2, "bool"),
    "xor": Function(2, "bool"),
    "not": Function(1, "bool"),
    "isnan": Function(1, "bool"),
    "isinf": Function(1, "bool"),
    "isfinite": Function(1, "bool"),
    "select": Function(3, "same", slopes=("0", "where(x, 1, 0)", "where(x, 0, 1)")),
    # kinks: relu'(0) = abs'(0) = 0; ties of maximum and minimum share the slope
    "abs": Function(1, "same", "where(x < 0, -x, x)", ("sign(x)",)),
    "sign": Function(1, "same", slopes=("0",)),
    "floor": Function(1, "same", slopes=("0",)),
    "ceil": Function(1, "same", slopes=("0",)),
    "trunc": Function(1, "same", slopes=("0",)),
    "round": Function(1, "same", slopes=("0",)),
    "maximum": Function(
        2,
        "same",
        "where(x > y, x, y)",
        (
            "where(x > y, 1, where(x == y, 0.5, 0))",
            "where(y > x, 1, where(x == y, 0.5, 0))",
        ),
    ),
    "minimum": Function(
        2,
        "same",
        "where(x < y, x, y)",
        (
            "where(x < y, 1, where(x == y, 0.5, 0))",
            "where(y < x, 1, where(x == y, 0.5, 0))",
        ),
    ),
    # by its own result, which is at hand: the argument need not be kept
    "relu": Function(1, "same", "where(x <= 0, 0, x)", ("where(relu(x) > 0, 1, 0)",)),
    "stop_gradient": Function(1, "same", "x", ("0",)),
    "copysign": Function(2, "float", slopes=("sign(x)*copysign(1, y)", "0")),
    # powers, exponentials and logarithms
    "sqrt": Function(),
    "cbrt": Function(slopes=("1/(3*cbrt(x)**2)",)),
    "reciprocal": Function(1, "float", "1/x", ("-reciprocal(x)**2",)),
    "rsqrt": Function(1, "float", "1/sqrt(x)", ("-0.5*rsqrt(x)/x",)),
    "square": Function(1, "same", "x*x", ("2*x",)),
    "exp": Function(),
    "exp2": Function(1, "float", "2**x", ("0.6931471805599453*exp2(x)",)),
    "expm1": Function(1, "float", "exp(x) - 1", ("exp(x)",)),
    "log": Function(),
    "log2": Function(1, "float", "log(x)/log(2)", ("1.4426950408889634/x",)),
    "log10": Function(1, "float", "log(x)/log(10)", ("0.4342944819032518/x",)),
    "log1p": Function(1, "float", "log(1 + x)", ("1/(1 + x)",)),
    "sigmoid": Function(
        1, "float", "1/(1 + exp(-x))", ("sigmoid(x)*(1 - sigmoid(x))",)
    ),
    "softplus": Function(1, "float", "log(1 + exp(x))", ("sigmoid(x)",)),
    # trigonometric and hyperbolic
    "sin": Function(),
    "cos": Function(slopes=("-sin(x)",)),
    "tan": Function(slopes=("1 + tan(x)**2",)),
    "asin": Function(slopes=("1/sqrt(1 - x*x)",)),
    "acos": Function(slopes=("-1/sqrt(1 - x*x)",)),
    "atan": Function(slopes=("1/(1 + x*x)",)),
    "atan2": Function(2, slopes=("y/(x*x + y*y)", "-x/(x*x + y*y)")),
    "sinh": Function(slopes=("cosh(x)",)),
    "cosh": Function(slopes=("sinh(x)",)),
    "tanh": Function(slopes=("1 - tanh(x)**2",)),
    "asinh": Function(slopes=("1/sqrt(1 + x*x)",)),
    "acosh": Function(slopes=("1/(sqrt(x - 1)*sqrt(x + 1))",)),
    "atanh": Function(slopes=("1/((1 - x)*(1 + x))",)),
    # special functions
    "erf": Function(slopes=("1.1283791670955126*exp(-x*x)",)),
    "erfc": Function(slopes=("-1.1283791670955126*exp(-x*x)",)),
    "lgamma": Function(slopes=("digamma(x)",)),
    "digamma": Function(slopes=("trigamma(x)",)),
    "trigamma": Function(slopes=("polygamma(2, x)",)),
    "polygamma": Function(2, slopes=("0", "polygamma(x + 1, y)")),  # x is whole
    "threefry": Function(2, "same", slopes=("0", "0")),  # bits of key and counter
    "fold_bits": Function(1, "same", slopes=("0",)),  # both halves of 64 as one
}

INFIX = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "pow": "**",
    "floordiv": "//",
    "mod": "%",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "eq": "==",
    "ne": "!=",
    "and": "&",
    "or": "|",
    "xor": "^",
}


class Expr:
    """An interned node: equal expressions are one object, compared by identity.

    ``fn`` is a name in ``FUNCTIONS``, or one of the atoms ``number``, ``read``
    (value: its number), ``axis`` (value: its number), ``size`` (value: a ``Dim``) and
    ``var`` (value: a name, in patterns and definitions).
    """

    __slots__ = ("args", "fn", "value")
    fn: str
    args: tuple[Expr, ...]
    value: Any
    _interned: dict[tuple, Expr] = {}  # noqa: RUF012  (a cache, shared on purpose)

    def __new__(cls, fn: str, *args: Expr, value: Any = None) -> Expr:
        """Return the one expression with these parts."""
        key = (fn, args, type(value), repr(value) if fn == "number" else value)
        found = cls._interned.get(key)
        if found is None:
            found = object.__new__(cls)
            found.fn, found.args, found.value = fn, args, value
            found = cls._interned.setdefault(key, found)
        return found

    def __reduce__(self) -> tuple:
        return (_rebuild, (self.fn, self.args, self.value))

    def __repr__(self) -> str:
        return to_text(self)


def _rebuild(fn: str, args: tuple[Expr, ...], value: Any) -> Expr:
    return Expr(fn, *args, value=value)


def number(value: Number) -> Expr:
    """Return a literal."""
    return Expr("number", value=value)


def read(k: int) -> Expr:
    """Return the value of read number ``k``."""
    return Expr("read", value=k)


def axis(a: int) -> Expr:
    """Return the index of axis number ``a``, an int64."""
    return Expr("axis", value=a)


def size(dim: Dim) -> Expr:
    """Return a named size, an int64."""
    return Expr("size", value=dim)


def var(name: str) -> Expr:
    """Return a variable of a definition or pattern."""
    return Expr("var", value=name)


def call(fn: str, *args: Expr) -> Expr:
    """Return ``fn`` applied to ``args``, with the exact identities of 0 and 1 used.

    Only identities that hold for every value, NaN and infinity included, are used:
    ``x*1``, ``x/1``, ``x**1``, ``x - 0``, ``--x``, equal branches of a select, and
    arithmetic on literals.
    """
    if fn in _FOLD and all(a.fn == "number" for a in args):
        return number(_FOLD[fn](*(a.value for a in args)))
    if fn == "select" and args[0].fn == "number":
        return args[1] if args[0].value else args[2]
    if fn in ("mul", "div", "pow") and _is(args[1], 1):
        return args[0]
    if fn == "mul" and _is(args[0], 1):
        return args[1]
    if fn in ("add", "sub") and _is(args[1], 0):
        return args[0]
    if fn == "add" and _is(args[0], 0):
        return args[1]
    if fn == "neg" and args[0].fn == "neg":
        return args[0].args[0]
    if fn == "neg" and args[0].fn == "number":
        return number(-args[0].value)
    if fn == "select" and args[1] is args[2]:
        return args[1]
    return Expr(fn, *args)


_FOLD: dict[str, Callable[..., Number]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "neg": operator.neg,
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}


def scale(g: Expr, slope: Expr) -> Expr:
    """Return ``g*slope``; a branch of ``slope`` that is 0 makes an exact 0.

    The product goes inside a select, so that an infinite or NaN cotangent does not
    leak through the branch that was not taken (``0*inf``).
    """
    if _is(slope, 0):
        return slope
    if slope.fn == "select":
        condition, taken, other = slope.args
        return call("select", condition, scale(g, taken), scale(g, other))
    if slope.fn == "neg":
        return call("neg", scale(g, slope.args[0]))
    if slope.fn == "div" and _is(slope.args[0], 1):
        return call("div", g, slope.args[1])
    return call("mul", g, slope)


def is_number(e: Expr) -> bool:
    """Return True for a literal."""
    return e.fn == "number"


def _is(e: Expr, value: int) -> bool:
    return e.fn == "number" and type(e.value) is not bool and e.value == value


def substitute(e: Expr, mapping: Mapping[Expr, Expr]) -> Expr:
    """Return ``e`` with atoms (or whole subexpressions) replaced."""
    if e in mapping:
        return mapping[e]
    if not e.args:
        return e
    return call(e.fn, *(substitute(a, mapping) for a in e.args))


def reads_of(e: Expr) -> set[int]:
    """Return the numbers of the reads that occur in ``e``."""
    if e.fn == "read":
        return {e.value}
    return set().union(*(reads_of(a) for a in e.args)) if e.args else set()


def factors(e: Expr) -> list[Expr]:
    """Return the factors of a product, left to right."""
    if e.fn == "mul":
        return factors(e.args[0]) + factors(e.args[1])
    return [e]


def multiply(parts: list[Expr]) -> Expr:
    """Return the product of ``parts`` (1 when there are none)."""
    total = number(1)
    for part in parts:
        total = call("mul", total, part)
    return total


# -- text ----------------------------------------------------------------------------

_BINARY = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "div",
    ast.Pow: "pow",
    ast.FloorDiv: "floordiv",
    ast.Mod: "mod",
    ast.BitAnd: "and",
    ast.BitOr: "or",
    ast.BitXor: "xor",
}
_COMPARE = {
    ast.Lt: "lt",
    ast.LtE: "le",
    ast.Gt: "gt",
    ast.GtE: "ge",
    ast.Eq: "eq",
    ast.NotEq: "ne",
}
ALIASES = {
    "where": "select",
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "arctan2": "atan2",
    "arcsinh": "asinh",
    "arccosh": "acosh",
    "arctanh": "atanh",
    "ln": "log",
    "max": "maximum",
    "min": "minimum",
    "Abs": "abs",
    "fabs": "abs",
    "loggamma": "lgamma",
}
CONSTANTS = {"pi": math.pi, "e": math.e, "inf": math.inf, "nan": math.nan}


def from_ast(
    tree: ast.expr, text: str, special: Callable[[ast.expr], Expr | None]
) -> Expr:
    """Return the expression of a syntax tree; nothing is ever evaluated.

    ``special`` is asked first for each subtree (names, subscripts, sums).

    Raises:
        ParseError: the text uses something outside the notation.
    """

    def fail(node: ast.expr, why: str) -> ParseError:
        column = node.col_offset + 1
        return ParseError(f"column {column}: {why}\n  {text}\n  {' ' * (column - 1)}^")

    def walk(node: ast.expr) -> Expr:
        found = special(node)
        if found is not None:
            return found
        match node:
            case ast.Constant(value=bool() | int() | float()):
                return number(node.value)  # type: ignore[arg-type]
            case ast.Name(id=name) if name in CONSTANTS:
                return number(CONSTANTS[name])
            case ast.BinOp() if type(node.op) in _BINARY:
                left, right = walk(node.left), walk(node.right)
                return call(_BINARY[type(node.op)], left, right)
            case ast.UnaryOp(op=ast.USub()):
                return call("neg", walk(node.operand))
            case ast.UnaryOp(op=ast.UAdd()):
                return walk(node.operand)
            case ast.UnaryOp(op=ast.Invert() | ast.Not()):
                return call("not", walk(node.operand))
            case ast.Compare() if all(type(op) in _COMPARE for op in node.ops):
                sides = [walk(n) for n in (node.left, *node.comparators)]
                parts = [
                    call(_COMPARE[type(op)], a, b)
                    for op, a, b in zip(node.ops, sides, sides[1:], strict=False)
                ]
                total = parts[0]
                for part in parts[1:]:
                    total = call("and", total, part)
                return total
            case ast.BoolOp():
                fn = "and" if isinstance(node.op, ast.And) else "or"
                values = [walk(v) for v in node.values]
                total = values[0]
                for value in values[1:]:
                    total = call(fn, total, value)
                return total
            case ast.IfExp():
                return call(
                    "select", walk(node.test), walk(node.body), walk(node.orelse)
                )
            case ast.Call(func=ast.Name(id=name)) if not node.keywords:
                fn = ALIASES.get(name, name)
                if fn not in FUNCTIONS:
                    raise fail(node, f"there is no function {name!r}")
                if len(node.args) != FUNCTIONS[fn].arity:
                    raise fail(
                        node,
                        f"{name} takes {FUNCTIONS[fn].arity} argument(s), "
                        f"not {len(node.args)}",
                    )
                return call(fn, *(walk(a) for a in node.args))
            case ast.Name(id=name):
                raise fail(node, f"the name {name!r} is unknown")
        raise fail(node, "this is not part of the notation")

    return walk(tree)


def parse_syntax(text: str) -> ast.expr:
    """Return the syntax tree of one expression.

    Raises:
        ParseError: with the column, when the text is not Python expression syntax.
    """
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        column = getattr(error, "offset", None) or 1
        why = getattr(error, "msg", None) or "too deeply nested"
        raise ParseError(
            f"column {column}: {why}\n  {text.strip()}\n  {' ' * (column - 1)}^"
        ) from None


@cache
def parse(text: str) -> Expr:
    """Return the expression of a text in which every unknown name is a variable.

    >>> parse("x*tanh(softplus(x))")
    x*tanh(softplus(x))
    """

    def special(node: ast.expr) -> Expr | None:
        if isinstance(node, ast.Name) and node.id not in CONSTANTS:
            return var(node.id)
        return None

    return from_ast(parse_syntax(text), text.strip(), special)


_PRECEDENCE = {
    "or": 1,
    "xor": 2,
    "and": 3,
    "lt": 4,
    "le": 4,
    "gt": 4,
    "ge": 4,
    "eq": 4,
    "ne": 4,
    "add": 5,
    "sub": 5,
    "mul": 6,
    "div": 6,
    "floordiv": 6,
    "mod": 6,
    "neg": 7,
    "pow": 8,
}


def to_text(e: Expr, atom: Callable[[Expr], str] | None = None, outer: int = 0) -> str:
    """Return ``e`` in the notation that ``parse`` reads; ``atom`` prints its leaves."""
    if not e.args:
        if atom is not None:
            return atom(e)
        prefix = {"read": "r", "axis": "i"}.get(e.fn, "")
        return f"{prefix}{e.value}"
    own = _PRECEDENCE.get(e.fn, 9)
    if e.fn == "neg":
        text = "-" + to_text(e.args[0], atom, own)
    elif e.fn in INFIX:
        left, right = e.args
        right_outer = own if e.fn in ("add", "mul") else own + 1
        left_outer = own + 1 if e.fn == "pow" or own == 4 else own
        symbol = INFIX[e.fn] if own >= 6 else f" {INFIX[e.fn]} "
        text = to_text(left, atom, left_outer) + symbol
        text += to_text(right, atom, right_outer)
    else:
        name = "where" if e.fn == "select" else e.fn
        return f"{name}({', '.join(to_text(a, atom) for a in e.args)})"
    return f"({text})" if own < outer else text

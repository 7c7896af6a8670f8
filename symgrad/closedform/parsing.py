"""Expressions from text: Python's syntax, our own walk, nothing is ever evaluated."""

from __future__ import annotations

import ast
import difflib
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from symgrad.declare import scalar
from symgrad.declare.ops import FUNCTIONS as OPERATIONS
from symgrad.declare.ops import linalg
from symgrad.declare.scalar import FUNCTIONS, Expr
from symgrad.declare.tensor import Tensor, constant
from symgrad.derivation import symbolic
from symgrad.errors import ParseError, SymgradError

LONGEST = 5_000  # characters
DEEPEST = 100  # brackets within brackets
LARGEST = 1_000  # decimal digits of a power of numbers

#: Functions of a text, in words that people use, and the operations they are.
NAMES = {
    "where": "where",
    "ln": "log",
    "Abs": "abs",
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "sigma": "sigmoid",
}


def fail(text: str, column: int, why: str) -> ParseError:
    """Return the error with a caret below the column (counted from 1)."""
    return ParseError(f"column {column}: {why}\n  {text}\n  {' ' * (column - 1)}^")


def syntax(text: str) -> ast.expr:
    """Return the syntax tree of an expression.

    Raises:
        ParseError: what people often write, explained; anything else with its column.
    """
    if not isinstance(text, str):
        raise ParseError(f"an expression is a text, not {type(text).__name__}")
    text = text.strip()
    if len(text) > LONGEST:
        raise ParseError(f"the text has {len(text)} characters; {LONGEST} are read")
    if "\n" in text:
        raise fail(text.splitlines()[0], 1, "an expression is one line")
    depth = 0
    for column, c in enumerate(text, start=1):
        depth += (c in "([{") - (c in ")]}")
        if depth > DEEPEST:
            raise fail(text, column, f"more than {DEEPEST} brackets are open")
    found = re.search(r"\^", text)
    if found:
        raise fail(text, found.start() + 1, "a power is written **, not ^")
    found = re.search(r"(?<![\w.])(\d+\.?\d*)([A-Za-z_(])(?<![\d.][eE])", text)
    if found:
        why = f"write {found[1]}*{found[2]}… for a product"
        raise fail(text, found.start(2) + 1, why)
    tree = scalar.parse_syntax(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            _check_power(text, node)
    return tree


def _check_power(text: str, node: ast.BinOp) -> None:
    """Refuse a power of numbers with more digits than anybody reads."""
    base, exponent = _size(node.left), _size(node.right)
    if base is not None and exponent is not None:
        digits = exponent * max(math.log10(max(base, 2.0)), 0.0)
        if not digits <= LARGEST:
            raise fail(text, node.col_offset + 1, "this power of numbers is too large")


def _size(node: ast.expr) -> float | None:
    """Return a bound of the magnitude of an expression of numbers; None for others."""
    match node:
        case ast.Constant(value=int() | float()):
            try:
                return abs(float(node.value))  # type: ignore[arg-type]
            except OverflowError:
                return math.inf
        case ast.UnaryOp():
            return _size(node.operand)
        case ast.BinOp():
            a, b = _size(node.left), _size(node.right)
            if a is None or b is None:
                return None
            if isinstance(node.op, ast.Pow):
                log = b * math.log10(max(a, 2.0))
                return math.inf if log > 300 else 10.0**log
            return max(a, b) * max(a, b, 2.0)
    return None


def parse_scalar(text: str) -> Expr:
    """Return the scalar expression of a text; unknown names are variables."""
    tree, text = syntax(text), text.strip()

    def special(node: ast.expr) -> Expr | None:
        match node:
            case ast.Name(id=name) if name not in scalar.CONSTANTS:
                return scalar.var(name)
            case ast.Call(func=ast.Name(id=name)) if name in ("Max", "Min"):
                fn = {"Max": "maximum", "Min": "minimum"}[name]
                parts = [scalar.from_ast(a, text, special) for a in node.args]
                if not parts:
                    raise fail(text, node.col_offset + 1, f"{name} of nothing")
                total = parts[0]
                for part in parts[1:]:
                    total = scalar.call(fn, total, part)
                return total
            case ast.Call(func=ast.Name(id=name)) if not _is_known(name):
                raise fail(text, node.col_offset + 1, _unknown(name, FUNCTIONS))
        return None

    try:
        return scalar.from_ast(tree, text, special)
    except RecursionError:
        raise fail(text, 1, "the expression is nested too deeply") from None


def _is_known(name: str) -> bool:
    return scalar.ALIASES.get(name, name) in FUNCTIONS


def _unknown(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, [*known, *NAMES], n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    if name in OPERATIONS or name in MATRICES:
        hint = " of numbers; for tensors give their dimensions: dims={'X': ('n', 'd')}"
    return f"there is no function {name!r}{hint}"


def parse(text: str) -> Any:
    """Return the SymPy expression of a text in Python's syntax.

    Nothing is evaluated; names that are neither functions nor pi, e, inf and nan become
    real symbols.

    Raises:
        ParseError: with the column, and a caret below it.

    >>> parse("(2*x + 1)**2")
    (2*x + 1)**2
    >>> parse("where(x > 0, x*log(x), 0)")
    Piecewise((x*log(x), x > 0), (0, True))
    """
    e = parse_scalar(text)
    try:
        return symbolic.to_sympy(e)
    except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise fail(
            text.strip(), 1, f"this is no expression of numbers: {error}"
        ) from None


# -- tensors ---------------------------------------------------------------------------


def parse_tensor(text: str, leaves: Mapping[str, Tensor]) -> Tensor:
    """Return the graph of a text over named tensors.

    ``@`` is the matrix product, ``.T`` the transpose; functions are those of symgrad
    (``sum mean exp softmax einsum …``), with ``tr det logdet inv solve chol norm``;
    ``axis=`` and ``keepdims=`` are numbers.

    Raises:
        ParseError: with the column, and a caret below it.
    """
    tree, text = syntax(text), text.strip()
    return _TensorWalk(text, leaves).tensor(tree)


class _TensorWalk:
    """Builds graph nodes from a syntax tree."""

    def __init__(self, text: str, leaves: Mapping[str, Tensor]) -> None:
        self.text, self.leaves = text, leaves

    def fail(self, node: ast.expr, why: str) -> ParseError:
        return fail(self.text, node.col_offset + 1, why)

    def tensor(self, node: ast.expr) -> Tensor:
        found = self.value(node)
        return found if isinstance(found, Tensor) else constant(found, "float64")

    def value(self, node: ast.expr) -> Any:
        """Return a tensor, or a number."""
        try:
            return self._value(node)
        except ParseError:
            raise
        except (SymgradError, TypeError) as error:
            raise self.fail(node, str(error)) from None

    def _value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=bool() | int() | float()):
                return node.value
            case ast.Name(id=name) if name in self.leaves:
                return self.leaves[name]
            case ast.Name(id=name) if name in scalar.CONSTANTS:
                return scalar.CONSTANTS[name]
            case ast.Name(id=name):
                raise self.fail(node, f"{name!r} has no dimensions; give them in dims=")
            case ast.BinOp(op=op) if type(op) in _BINARY:
                left, right = self.value(node.left), self.value(node.right)
                return OPERATIONS[_BINARY[type(op)]](left, right)
            case ast.UnaryOp(op=ast.USub()):
                operand = self.value(node.operand)
                return -operand
            case ast.UnaryOp(op=ast.UAdd()):
                return self.value(node.operand)
            case ast.Compare(ops=[op]) if type(op) in _COMPARE:
                sides = self.value(node.left), self.value(node.comparators[0])
                return OPERATIONS[_COMPARE[type(op)]](*sides)
            case ast.Attribute(attr="T" | "mT" as which):
                return getattr(self.tensor(node.value), which)
            case ast.Call(func=ast.Name(id=name)):
                return self._call(node, name)
            case ast.Call(func=ast.Attribute(value=first, attr=name)):
                inner = ast.Call(node.func, [first, *node.args], node.keywords)
                return self._call(ast.copy_location(inner, node), name)
        raise self.fail(node, "this is not part of the notation")

    def _call(self, node: ast.Call, name: str) -> Any:
        function = MATRICES.get(name) or OPERATIONS.get(NAMES.get(name, name))
        if function is None or name.startswith("_"):
            raise self.fail(node, _unknown(name, {**OPERATIONS, **MATRICES}))
        args = [self._argument(a) for a in node.args]
        named = {k.arg: self._argument(k.value) for k in node.keywords if k.arg}
        return function(*args, **named)

    def _argument(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=str() | None as value):
                return value
            case ast.Tuple() | ast.List():
                return [self._argument(e) for e in node.elts]
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as n)):
                return -n
        return self.value(node)


#: Linear algebra in the words of texts; ``logdet`` is of the absolute value.
MATRICES: dict[str, Callable[..., Tensor]] = {
    **{name: linalg.FUNCTIONS[name] for name in ("det", "inv", "norm", "solve")},
    **dict.fromkeys(("tr", "trace"), linalg.trace),
    **dict.fromkeys(("chol", "cholesky"), linalg.cholesky),
    **dict.fromkeys(("logdet", "logabsdet"), lambda m: linalg.slogdet(m).logabsdet),
}
_BINARY = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
    ast.Pow: "pow",
    ast.MatMult: "matmul",
}
_COMPARE = {
    ast.Lt: "less",
    ast.LtE: "less_equal",
    ast.Gt: "greater",
    ast.GtE: "greater_equal",
    ast.Eq: "equal",
    ast.NotEq: "not_equal",
}

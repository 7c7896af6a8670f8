"""The text notation: ``y[i, j] = sum[k](a[i, k]*b[k, j])`` read into a tensor."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from symgrad.declare import scalar
from symgrad.declare.build import normal_form
from symgrad.declare.comprehension import (
    Comprehension,
    Guard,
    Index,
    Read,
    Value,
    affine,
    along,
    combine,
    quotient,
)
from symgrad.declare.dims import Size
from symgrad.declare.scalar import Expr
from symgrad.declare.tensor import Tensor
from symgrad.errors import ParseError, ShapeError


def define(
    text: str,
    operands: Mapping[str, Tensor],
    sizes: Mapping[str, Size] | None = None,
    name: str | None = None,
) -> Tensor:
    """Return the tensor that a statement in index notation defines.

    Args:
        text: ``y[i, j] = sum[k](a[i, k]*b[k, j])``; the reduction is one of sum, prod,
            max, min, argmax, argmin, any, all, or absent.  A guard is written
            ``… if 0 <= i - p < n else 0``.
        operands: a tensor for each name that is read.
        sizes: integers or dimensions for the other names: extents of axes that no
            plain read fixes (by the axis's name), strides, offsets.
        name: what pictures and printed graphs call the operation.

    Raises:
        ParseError: the text is not in the notation.
        ShapeError: two operands give an axis different extents, or none does.

    >>> from symgrad.declare.tensor import input
    >>> a, b = input("a", (2, 3)), input("b", (3, 4))
    >>> define("y[i, j] = sum[k](a[i, k]*b[k, j])", {"a": a, "b": b}).shape
    (2, 4)
    """
    return _Statement(text, operands, sizes or {}, name).tensor()


class _Statement:
    """A parsed statement: its axes, reads, guards and body."""

    def __init__(
        self,
        text: str,
        operands: Mapping[str, Tensor],
        sizes: Mapping[str, Size],
        name: str | None,
    ) -> None:
        self.text, self.operands, self.sizes = text, operands, sizes
        left, equals, right = text.partition("=")
        head = scalar.parse_syntax(left)
        if not equals or not isinstance(head, ast.Subscript):
            raise ParseError(f"write 'y[i, j] = …', not {text!r}")
        self.axes = {n: a for a, n in enumerate(_names(head.slice))}
        self.rank = len(self.axes)
        self.name = name or ast.unparse(head.value)
        self.reads: list[Read] = []
        self.args: list[Tensor] = []
        self.guards: list[Guard] = []
        body, self.reduce = self._reduction(scalar.parse_syntax(right))
        body = self._guarded(body)
        self.body = scalar.from_ast(body, right.strip(), self._atom)
        self.extents = self._extents()

    def _reduction(self, tree: ast.expr) -> tuple[ast.expr, str | None]:
        match tree:
            case ast.Call(func=ast.Subscript(value=ast.Name(id=kind)), args=[body]):
                for n in _names(tree.func.slice):  # type: ignore[attr-defined]
                    self.axes[n] = len(self.axes)
                return body, kind
        return tree, None

    def _guarded(self, tree: ast.expr) -> ast.expr:
        match tree:
            case ast.IfExp(orelse=ast.Constant(value=0)):
                tests = (
                    tree.test.values
                    if isinstance(tree.test, ast.BoolOp)
                    else [tree.test]
                )
                self.guards += [self._guard(t) for t in tests]
                return tree.body
        return tree

    def _guard(self, test: ast.expr) -> Guard:
        match test:
            case ast.Compare(
                left=ast.Constant(value=0),
                ops=[ast.LtE(), ast.Lt()],
                comparators=[middle, bound],
            ):
                index = self._index(bound)
                if index.terms:
                    raise ParseError(f"a guard's bound must be a size: {self.text!r}")
                return Guard(self._index(middle), index.constant)
            case ast.Compare(ops=[ast.LtE()], comparators=[right]):
                return Guard(
                    combine([(self._index(right), 1), (self._index(test.left), -1)]),
                    None,
                )
        raise ParseError(
            f"a guard is '0 <= index < size' or 'index <= index': {self.text!r}"
        )

    def _atom(self, node: ast.expr) -> Expr | None:
        match node:
            case ast.Subscript(value=ast.Name(id=operand)):
                return scalar.read(self._read(operand, node.slice))
            case ast.Name(id=n) if n in self.axes:
                return scalar.axis(self.axes[n])
            case ast.Name(id=n) if n in self.sizes:
                value = self.sizes[n]
                if isinstance(value, int | float):
                    return scalar.number(value)
                return scalar.size(value)
            case ast.Name(id=n) if n in self.operands:
                return scalar.read(self._read(n, ast.Tuple(elts=[], ctx=ast.Load())))
        return None

    def _read(self, operand: str, subscript: ast.expr) -> int:
        if operand not in self.operands:
            raise ParseError(f"no operand is called {operand!r} in {self.text!r}")
        t = self.operands[operand]
        parts = subscript.elts if isinstance(subscript, ast.Tuple) else [subscript]
        if len(parts) != t.ndim:
            raise ShapeError(
                f"{self.text!r} reads {operand!r} with {len(parts)} indices, but "
                f"{t.describe()} has {t.ndim} dimensions"
            )
        index = tuple(self._index(p, t.shape[d]) for d, p in enumerate(parts))
        new = Read(len(self.args), index)
        self.args.append(t)
        self.reads.append(new)
        return len(self.reads) - 1

    def _index(self, tree: ast.expr, extent: Size | None = None) -> Index:
        match tree:
            case ast.Constant(value=int(constant)):
                return Index((), constant)
            case ast.Name(id=n) if n in self.axes:
                return along(self.axes[n])
            case ast.Name(id=n) if n in self.sizes:
                return Index((), self.sizes[n])
            case ast.UnaryOp(op=ast.USub()):
                return combine([(self._index(tree.operand), -1)])
            case ast.BinOp(op=ast.Add() | ast.Sub()):
                sign = 1 if isinstance(tree.op, ast.Add) else -1
                parts = (self._index(tree.left), 1), (self._index(tree.right), sign)
                return combine(parts)
            case ast.BinOp(op=ast.Mult()):
                left, right = self._index(tree.left), self._index(tree.right)
                if left.terms:
                    left, right = right, left
                if not left.terms and isinstance(left.constant, int):
                    return combine([(right, left.constant)])
            case ast.BinOp(op=ast.FloorDiv(), right=ast.Constant(value=int(divisor))):
                if divisor > 0:
                    return quotient(self._index(tree.left), divisor)
            case ast.Subscript(value=ast.Name(id=operand)) if extent is not None:
                k = self._read(operand, tree.slice)
                return affine([(Value(k, extent), 1)])
        raise ParseError(
            f"column {tree.col_offset + 1}: an index is an affine form of axes, or an "
            f"operand's value: {self.text!r}"
        )

    def _extents(self) -> tuple[Size, ...]:
        found: dict[int, tuple[Size, str]] = {}
        for n, place in self.axes.items():
            if n in self.sizes:
                found[place] = (self.sizes[n], f"size {n!r}")
        plain = [
            (self.args[r.operand], d, index.axis)
            for r in self.reads
            for d, index in enumerate(r.index)
        ]
        for t, d, a in plain:
            if a is not None:
                what = f"dimension {d} of {t.describe()}"
                if a in found and found[a][0] != t.shape[d]:
                    raise ShapeError(
                        f"{self.name}: axis {list(self.axes)[a]!r} is {found[a][0]} "
                        f"from {found[a][1]}, but {t.shape[d]} from {what}"
                    )
                found.setdefault(a, (t.shape[d], what))
        for n, place in self.axes.items():
            if place not in found:
                raise ShapeError(f"{self.name}: give the extent of axis {n!r} in sizes")
        return tuple(found[a][0] for a in range(len(self.axes)))

    def tensor(self) -> Tensor:
        c = Comprehension(
            self.name,
            self.rank,
            self.extents,
            self.body,
            tuple(self.reads),
            self.reduce,
            tuple(self.guards),
        )
        return normal_form(c, self.args)


def _names(tree: ast.expr) -> list[str]:
    parts = tree.elts if isinstance(tree, ast.Tuple) else [tree]
    if not all(isinstance(p, ast.Name) for p in parts):
        raise ParseError(f"axes are names, not {ast.unparse(tree)!r}")
    return [p.id for p in parts]  # type: ignore[attr-defined]

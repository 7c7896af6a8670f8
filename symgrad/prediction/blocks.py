"""Parts of a graph of which more is known together than edge by edge.

Softmax, a logarithm of a sum of exponentials, subtracting a mean, dividing by a
deviation, and picking one class of a log-softmax: each is found by its structure, and
its derivative has a norm that the product of its parts' would exceed or not know.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from symgrad.declare.comprehension import Comprehension
from symgrad.declare.dims import Size, product
from symgrad.declare.tensor import Constant, Reshape, SizeOf, Tensor


@dataclass(frozen=True, eq=False)
class Block:
    """A tensor as a function of another one, with the norm of the derivative.

    Attributes:
        kind: what it is.
        source: the tensor that it is a function of.
        norm: an upper bound on the norm of the derivative.
        says: the bound as text.
        axes: the dimensions of the source along which it works.
        inner: identities of the nodes between.
        below: what the source is divided by the root of.
    """

    kind: str
    source: Tensor
    norm: float
    says: str
    axes: tuple[int, ...]
    inner: frozenset[int]
    below: Tensor | None = None


def block_of(node: Tensor) -> Block | None:
    """Return the block that a node is the result of, if it is one.

    >>> import symgrad as sg
    >>> block = block_of(sg.softmax(sg.input("z", (2, 3))))
    >>> block.kind, block.norm
    ('softmax', 0.5)
    """
    fn = _fn(node)
    if isinstance(node.op, Comprehension) and node.op.is_movement:
        return _gathered(node)
    for wanted, rule in _RULES:
        if fn == wanted:
            found = rule(node)
            if found is not None:
                return found
    return None


def _fn(node: Tensor) -> str | None:
    """Return the scalar function of an elementwise node, or the reduction."""
    op = node.op
    if not isinstance(op, Comprehension):
        return None
    if op.is_elementwise and op.body.fn != "read":
        return op.body.fn
    return op.reduce if op.body.fn == "read" and not op.guards else None


def _spread(node: Tensor) -> Tensor:
    """Return what a tensor is before it is given axes of size 1 or repeated."""
    while _moves(node):
        node = node.args[0]
    return node


def _moves(node: Tensor) -> bool:
    """Does a node only give its operand axes of size 1, or repeat it along some?"""
    op = node.op
    if isinstance(op, Reshape):
        return _long(node.args[0]) == _long(node)
    if not (isinstance(op, Comprehension) and op.is_movement) or op.guards:
        return False
    if len(op.reads) != 1:
        return False
    axes = [i.axis for i in op.reads[0].index]
    plain = all(a is not None for a in axes)
    return plain and axes == sorted(axes, key=int)  # type: ignore[arg-type]


def _long(t: Tensor) -> list[Size]:
    return [s for s in t.shape if s != 1]


def _aligned(top: Tensor, total: Tensor) -> bool:
    """Is a sum over some axes used along those axes that it was taken from?

    Broadcasting may bring the sums of rows to columns: ``x - mean(x, axis=1)``.
    """
    op = total.op
    assert isinstance(op, Comprehension)
    of = {i.axis: d for d, i in enumerate(op.reads[0].index)}
    found = _places(top, total, {a: a for a in range(top.ndim)})
    return found is not None and all(
        of[d] == found.get(d) for d, s in enumerate(total.shape) if s != 1
    )


def _places(t: Tensor, goal: Tensor, axes: dict[int, int]) -> dict[int, int] | None:
    """Return to which axis of a tensor above each dimension of ``goal`` belongs.

    Args:
        t: where to begin.
        goal: a tensor below, through elementwise functions and broadcasting.
        axes: dimension of ``t`` -> axis.
    """
    if t is goal:
        return axes
    op = t.op
    if isinstance(op, Reshape):
        if not _moves(t):
            return None
        mine = [axes.get(d) for d, s in enumerate(t.shape) if s != 1]
        theirs = [d for d, s in enumerate(t.args[0].shape) if s != 1]
        pairs = zip(theirs, mine, strict=True)
        return _places(t.args[0], goal, {d: a for d, a in pairs if a is not None})
    if not isinstance(op, Comprehension) or not (op.is_elementwise or _moves(t)):
        return None
    for read in op.reads:
        operand = t.args[read.operand]
        kept = {d: axes[i.axis] for d, i in enumerate(read.index) if i.axis in axes}
        found = _places(operand, goal, kept) if operand.args else None
        if found is not None:
            return found
    return None


def _between(top: Tensor, source: Tensor) -> frozenset[int]:
    """Return the nodes above ``source`` on which ``top`` depends."""
    found: set[int] = set()
    stack = list(top.args)
    while stack:
        n = stack.pop()
        if n is not source and id(n) not in found and n.args:
            found.add(id(n))
            stack += n.args
    return frozenset(found)


def _summed(node: Tensor) -> tuple[Tensor, tuple[int, ...]] | None:
    """Return operand and axes of a sum, its axes spread again or not."""
    node = _spread(node)
    if _fn(node) != "sum":
        return None
    op = node.op
    assert isinstance(op, Comprehension)
    (read,) = op.reads
    axes = tuple(d for d, i in enumerate(read.index) if i.axis in op.reduced)
    return (node.args[0], axes) if len(axes) == len(op.reduced) else None


def _mean(node: Tensor) -> tuple[Tensor, tuple[int, ...]] | None:
    """Return operand and axes of a mean."""
    node = _spread(node)
    if _fn(node) not in ("div", "mul"):
        return None
    a, b = node.args if len(node.args) == 2 else (node.args[0],) * 2
    value = _number(b)
    if value is None and _fn(node) == "mul":
        a, b, value = b, a, _number(a)
    found = _summed(a)
    if found is None:
        return None
    count = product(found[0].shape[d] for d in found[1])
    if isinstance(b.op, SizeOf) and _fn(node) == "div":
        return found if b.op.dim == count else None
    if value is None or not isinstance(count, int):
        return None
    wanted = count if _fn(node) == "div" else 1 / count
    return found if math.isclose(value, wanted, rel_tol=1e-6) else None


def _number(t: Tensor) -> float | None:
    """Return the number that a tensor repeats."""
    t = _spread(t)
    if isinstance(t.op, Constant) and t.op.value.size:
        first = t.op.value.flat[0]
        return float(first) if (t.op.value == first).all() else None
    return None


# -- rules -----------------------------------------------------------------------------


def _softmax(node: Tensor) -> Block | None:
    e, total = node.args if len(node.args) == 2 else (None, None)
    if e is None or total is None or _fn(e) != "exp":
        return None
    found = _summed(total)
    if found is None or found[0] is not e or not _along(node, total):
        return None
    (source,) = e.args
    says = "‖diag(p) − ppᵀ‖ ≤ 1/2"
    return Block("softmax", source, 0.5, says, found[1], _between(node, source))


def _logsumexp(node: Tensor) -> Block | None:
    found = _summed(node.args[0])
    if found is None or _fn(found[0]) != "exp":
        return None
    (source,) = found[0].args
    says = "‖softmax‖ ≤ 1"
    return Block("logsumexp", source, 1.0, says, found[1], _between(node, source))


def _centred(node: Tensor) -> Block | None:
    source, mean = node.args if len(node.args) == 2 else (node, node)
    found = _mean(mean)
    if found is None or found[0] is not source or not _along(node, mean):
        return None
    says = "‖I − 11ᵀ/d‖ = 1"
    return Block("centred", source, 1.0, says, found[1], _between(node, source))


def _quotient(node: Tensor) -> Block | None:
    if len(node.args) != 2:
        return None
    source, below = node.args
    below = _spread(below)
    return _normalised(node, source, below.args[0]) if _fn(below) == "sqrt" else None


def _scaled(node: Tensor) -> Block | None:
    if len(node.args) != 2:
        return None
    for source, factor in (node.args, node.args[::-1]):
        f = _spread(factor)
        if _fn(f) == "rsqrt":
            return _normalised(node, source, f.args[0])
        root = _spread(f.args[0]) if _fn(f) == "reciprocal" else f
        if _fn(f) == "reciprocal" and _fn(root) == "sqrt":
            return _normalised(node, source, root.args[0])
    return None


def _normalised(node: Tensor, source: Tensor, below: Tensor) -> Block | None:
    """Recognise ``c/√(mean(c²) + ε)``."""
    below = _spread(below)
    epsilon, squares = 0.0, below
    if _fn(below) == "add":
        for square, number in (below.args, below.args[::-1]):
            value = _number(number)
            if value is not None and value >= 0:
                epsilon, squares = value, square
    found = _mean(squares)
    if found is None or not _is_square(found[0], source) or not _along(node, squares):
        return None
    norm = 1 / math.sqrt(epsilon) if epsilon > 0 else math.inf
    says = f"1/√ε = {norm:.4g}" if epsilon else "1/σ, without a bound"
    inner = _between(node, source)
    return Block("normalised", source, norm, says, found[1], inner, below)


def _along(top: Tensor, t: Tensor) -> bool:
    """Is the sum that ``t`` spreads or divides used along its own axes in ``top``?"""
    total = _spread(t)
    if _fn(total) in ("div", "mul"):
        total = next(a for a in map(_spread, total.args) if _fn(a) == "sum")
    return _aligned(top, total)


def _is_square(t: Tensor, of: Tensor) -> bool:
    fn = _fn(t)
    if fn == "pow":
        return t.args[0] is of and _number(t.args[1]) == 2
    return fn in ("square", "mul") and all(a is of for a in t.args)


def _picked(node: Tensor) -> Block | None:
    """Recognise ``Σ_j onehot_j·(c_j − logsumexp(c))``: its gradient is onehot − p."""
    found = _summed(node)
    if found is None or found[0] is not node.args[0] or _fn(found[0]) != "mul":
        return None
    if len(found[1]) != 1 or len(found[0].args) != 2:
        return None
    for scores, choice in (found[0].args, found[0].args[::-1]):
        source = _log_softmax_source(scores)
        if source is not None and _is_one_hot(choice, found[1][0]):
            return _pick(node, source, found[1])
    return None


def _gathered(node: Tensor) -> Block | None:
    """Recognise ``c[y] − logsumexp(c)`` along one axis."""
    op = node.op
    assert isinstance(op, Comprehension)
    read = op.reads[op.body.value]
    values = [d for d, i in enumerate(read.index) if i.values()]
    source = _log_softmax_source(node.args[read.operand])
    others = {i.axis for d, i in enumerate(read.index) if d not in values}
    if len(values) != 1 or source is None or None in others:
        return None
    once = math.prod(s for a, s in enumerate(node.shape) if a not in others) == 1
    return _pick(node, source, (values[0],)) if once else None


def _pick(node: Tensor, source: Tensor, axes: tuple[int, ...]) -> Block:
    says = "‖onehot − p‖ ≤ √2"
    inner = _between(node, source)
    return Block("cross-entropy", source, math.sqrt(2), says, axes, inner)


def _log_softmax_source(scores: Tensor) -> Tensor | None:
    if _fn(scores) != "sub" or len(scores.args) != 2:
        return None
    source, below = scores.args
    below = _spread(below)
    found = block_of(below)
    same = found is not None and found.kind == "logsumexp" and found.source is source
    return source if same and _along(scores, below.args[0]) else None


def _is_one_hot(t: Tensor, axis: int) -> bool:
    """Is a tensor a comparison with the index along ``axis``?"""
    op = t.op
    if not (isinstance(op, Comprehension) and op.is_movement and t.args):
        return False
    (inner,) = t.args
    if _fn(inner) != "eq":
        return False
    for side in inner.args:
        made = side.op
        counts = isinstance(made, Comprehension) and made.body.fn == "axis"
        if counts and made.body.value == axis - (t.ndim - side.ndim):  # type: ignore[union-attr]
            return True
    return False


_RULES: tuple[tuple[str, Callable[[Tensor], Block | None]], ...] = (
    ("div", _softmax),
    ("log", _logsumexp),
    ("sub", _centred),
    ("div", _quotient),
    ("mul", _scaled),
    ("sum", _picked),
)

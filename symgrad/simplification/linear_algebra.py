"""Rules of linear algebra.

Transposes go outwards, so that a matrix and its transpose have one inverse and one
factorization; an inverse that only multiplies is a solve; a determinant that is only
seen through its logarithm is never formed, so that it cannot overflow.
"""

from __future__ import annotations

from symgrad.declare import build
from symgrad.declare.comprehension import along, substitute_index
from symgrad.declare.linear_algebra import LinearAlgebra
from symgrad.declare.ops.linalg import inv, slogdet, solve
from symgrad.declare.ops.shape import matrix_transpose
from symgrad.declare.tensor import Tensor, make
from symgrad.simplification.contractions import Factor, Product, as_product, contract
from symgrad.simplification.deltas import is_delta
from symgrad.simplification.engine import Rule
from symgrad.simplification.nodes import (
    Facts,
    function,
    kind,
    operands,
    source,
    statement,
)


def name_of(t: Tensor) -> str:
    """Return which operation of linear algebra a node is, or an empty text."""
    return t.op.name if isinstance(t.op, LinearAlgebra) else ""


def untransposed(t: Tensor) -> Tensor | None:
    """Return ``A`` of a node ``Aᵀ``, else None."""
    if kind(t) != "movement" or t.ndim < 2 or statement(t).guards:
        return None
    x = source(t)
    own = tuple(map(along, range(t.ndim)))
    turned = (*own[:-2], own[-1], own[-2])
    c = statement(t)
    same = x.ndim == t.ndim and x.shape == (*t.shape[:-2], t.shape[-1], t.shape[-2])
    return x if same and c.reads[c.body.value].index == turned else None


def _on(name: str, a: Tensor) -> Tensor:
    shape = a.shape if name in ("inv", "cofactor") else a.shape[:-2]
    return make(LinearAlgebra(name), [a], shape, a.dtype)


def transpose_outwards(t: Tensor, facts: Facts) -> Tensor | None:
    """``inv(Aᵀ)`` is ``inv(A)ᵀ``, ``det(Aᵀ)`` is ``det(A)``."""
    del facts
    name = name_of(t)
    inner = untransposed(t.args[0])
    if inner is None or name not in _TRANSPOSED:
        return None
    found = _on(name, inner)
    return found if found.ndim < t.args[0].ndim else matrix_transpose(found)


_TRANSPOSED = ("inv", "cofactor", "det", "logabsdet", "signdet")


def repeated_outwards(t: Tensor, facts: Facts) -> Tensor | None:
    """A batch of equal matrices is one matrix, and its result repeated."""
    del facts
    rank = t.args[0].ndim - 2
    same = [a for a in range(rank) if not any(a in _batch_axes(x) for x in t.args)]
    if not same:
        return None
    kept = [a for a in range(t.ndim) if a not in same]
    inner = make(
        t.op,
        [_without(x, same) for x in t.args],
        tuple(t.shape[a] for a in kept),
        t.dtype,
    )
    return build.movement("broadcast_to", inner, t.shape, list(map(along, kept)))


def _batch_axes(x: Tensor) -> set[int]:
    """Return the axes on which a tensor may depend."""
    if kind(x) != "movement" or statement(x).guards or len(statement(x).reads) > 1:
        return set(range(x.ndim))
    return set().union(*(i.axes() for i in statement(x).reads[0].index))


def _without(x: Tensor, axes: list[int]) -> Tensor:
    """Return a movement without axes on which it does not depend."""
    kept = [a for a in range(x.ndim) if a not in axes]
    place = {a: along(n) for n, a in enumerate(kept)}
    index = [substitute_index(i, place) for i in statement(x).reads[0].index]
    return build.movement("read", source(x), tuple(x.shape[a] for a in kept), index)


def of_inverse(t: Tensor, facts: Facts) -> Tensor | None:
    """``inv(inv(A))`` is ``A``, ``det(inv(A))`` is ``1/det(A)``."""
    del facts
    a = t.args[0]
    if name_of(a) != "inv":
        return None
    match name_of(t):
        case "inv":
            return a.args[0]
        case "det":
            return build.elementwise("div", 1.0, _on("det", a.args[0]))
        case "logabsdet":
            return build.elementwise("neg", _on("logabsdet", a.args[0]))
        case "signdet":
            return _on("signdet", a.args[0])
    return None


def solve_identity(t: Tensor, facts: Facts) -> Tensor | None:
    """``solve(A, I)`` is ``inv(A)``, also where the axes of ``I`` are a batch."""
    del facts
    if name_of(t) != "solve" or not is_delta(t.args[1]):
        return None
    a, b = t.args
    batch = tuple(range(t.ndim - 2))
    i, j, k = t.ndim - 2, t.ndim - 1, t.ndim
    parts = [Factor(inv(a), (*batch, i, k)), Factor(b, (*batch, k, j))]
    return contract(parts, (*batch, i, j), (*t.shape, a.shape[-1])).tensor


def inverse_product(t: Tensor, facts: Facts) -> Tensor | None:
    """``inv(A) B`` is ``solve(A, B)`` where nothing else uses the inverse."""
    product = as_product(t)
    if product is None or len(product.factors) != 2:
        return None
    for n, f in enumerate(product.factors):
        found = _as_solve(f, product.factors[1 - n], product, facts)
        if found is not None:
            return found
    return None


def _as_solve(f: Factor, g: Factor, product: Product, facts: Facts) -> Tensor | None:
    """Return the product as a solve with the factor ``f``, if that is an inverse."""
    if name_of(f.tensor) != "inv" or is_delta(g.tensor):
        return None
    *batch, i, k = f.axes
    summed = [a for a in range(len(product.extents)) if a not in product.output]
    a = f.tensor.args[0]
    if summed == [i]:
        i, k, a = k, i, matrix_transpose(a)
    columns = [x for x in g.axes if x not in (*batch, k)]
    fits = summed == [k] and k in g.axes and i not in g.axes and len(columns) < 2
    if not fits or not set(batch) <= set(g.axes) or not facts.single(f.tensor):
        return None
    right = moved(g, (*batch, k, *columns))
    if not columns:
        right = build.movement(
            "expand_dims", right, (*right.shape, 1), [*map(along, range(right.ndim))]
        )
    x = Factor(solve(a, right), (*batch, i, *(columns or [k])))
    return moved(x, product.output)


def moved(f: Factor, axes: tuple[int, ...]) -> Tensor:
    """Return the tensor with its dimensions in the order of these axes."""
    place = {a: along(n) for n, a in enumerate(axes)}
    index = [place.get(a, build.ZERO) for a in f.axes]
    sizes = dict(zip(f.axes, f.tensor.shape, strict=True))
    shape = tuple(sizes[a] for a in axes)
    return build.movement("transpose", f.tensor, shape, index)


def log_determinant(t: Tensor, facts: Facts) -> Tensor | None:
    """``log |det A|`` is the sum of logarithms; NaN where ``log(det A)`` is."""
    del facts
    (x,) = operands(t)
    if name_of(x) == "det":
        sign, logarithm = slogdet(x.args[0])
        return build.elementwise("add", logarithm, build.elementwise("log", sign))
    if function(x) == "abs" and name_of(operands(x)[0]) == "det":
        return slogdet(operands(x)[0].args[0]).logabsdet
    return None


def determinant_cancels(t: Tensor, facts: Facts) -> Tensor | None:
    """``(x/det A)·det A`` is ``x``: as in the derivative of ``log(det A)``."""
    del facts
    for quotient, d in (operands(t), operands(t)[::-1]):
        if name_of(d) != "det" or function(quotient) != "div":
            continue
        x, below = operands(quotient)
        if below is d:
            return build.broadcast_to(x, t.shape)
    return None


def cofactors_over_determinant(t: Tensor, facts: Facts) -> Tensor | None:
    """``(x/det A)·cof A`` is ``x·A⁻ᵀ``: the derivative of ``log(det A)``."""
    del facts
    for scalar, c in (operands(t), operands(t)[::-1]):
        turned = untransposed(c)
        a = (c if turned is None else turned).args
        if name_of(c if turned is None else turned) != "cofactor":
            continue
        x = _without_divisor(scalar, _on("det", a[0]))
        if x is not None:
            inverse = inv(a[0])
            other = matrix_transpose(inverse) if turned is None else inverse
            return build.broadcast_to(build.elementwise("mul", x, other), t.shape)
    return None


def _without_divisor(t: Tensor, below: Tensor) -> Tensor | None:
    """Return ``x`` of ``x/below``, or ``-x``, also where that is repeated."""
    match function(t):
        case "div" if operands(t)[1] is below:
            return operands(t)[0]
        case "neg":
            x = _without_divisor(operands(t)[0], below)
            return None if x is None else build.elementwise("neg", x)
    if kind(t) != "movement" or statement(t).guards or len(t.args) != 1:
        return None
    x = _without_divisor(source(t), below)
    if x is None or not x.shape:
        return x
    index = statement(t).reads[statement(t).body.value].index
    return build.movement("broadcast_to", x, t.shape, list(index))


MATRIX = (
    Rule("repeated_outwards", repeated_outwards),
    Rule("transpose_outwards", transpose_outwards),
    Rule("of_inverse", of_inverse),
    Rule("solve_identity", solve_identity),
)
PRODUCT = (Rule("inverse_product", inverse_product),)
#: Function -> the rules for it where an operand is a determinant, or made of one.
ELEMENTWISE = {
    "log": (Rule("log_determinant", log_determinant),),
    "mul": (
        Rule("determinant_cancels", determinant_cancels),
        Rule("cofactors_over_determinant", cofactors_over_determinant),
    ),
}

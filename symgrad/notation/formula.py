"""Formulas of tensors, as text and as LaTeX.

Xᵀ (softmax(X W) − onehot(y)) / n
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from symgrad.declare.tensor import Param, Tensor, topological
from symgrad.errors import GraphError
from symgrad.notation.define import SHORT, Definitions
from symgrad.notation.mathml import math_element, mathml_text, row, sign
from symgrad.notation.render import unicode_text
from symgrad.notation.syntax import (
    COMMUTATION,
    Form,
    call,
    cost,
    mentions,
    product,
    sym,
    transposed,
)
from symgrad.notation.tex import latex_text
from symgrad.simplification import simplify

Text = Callable[[Form], str]
PRODUCT = 8  # the size of the term of a matrix times a vector
CHAIN = 20  # of an inverse times a difference
MOST_LINES = 8  # formulas of more lines are not written in other ways
_EQUALS = sign("=")


def formula(t: Tensor, where: bool = True) -> str:
    """Return the formula of a tensor in matrix notation, else in index notation.

    It is that of the simplified graph where that is shorter.

    Args:
        t: any tensor: declared, a gradient, simplified or not.
        where: also define, on lines of their own, the names for what the formula
            mentions more than once.

    >>> import symgrad as sg
    >>> X, y = sg.input("X", ("n", 3)), sg.input("y", ("n",))
    >>> w = sg.param("w", (3,))
    >>> print(formula(sg.grad(sg.sum((X @ w - y) ** 2), w)))
    2 Xᵀ (X w − y)
    """
    first, *rest = _equations(t)
    return _laid_out([_line(first, unicode_text)], _where(rest) if where else [])


def latex(t: Tensor, where: bool = True) -> str:
    r"""Return the formula of a tensor in LaTeX mathematics, without dollar signs.

    >>> import symgrad as sg
    >>> A, x = sg.input("A", (2, 3)), sg.input("x", (3,))
    >>> print(latex(sg.exp(A @ x)))
    \exp\left(A \, x\right)
    """
    first, *rest = _equations(t)
    main = _line(first, latex_text)
    if not where or not rest:
        return main
    lines = [rf"& {main} \\", r"& \quad\text{where} \\"]
    lines += [rf"& \quad {_line(e, latex_text)} \\" for e in rest]
    lines[-1] = lines[-1].removesuffix(r" \\")
    return "\n".join([r"\begin{aligned}", *lines, r"\end{aligned}"])


def mathml(t: Tensor, where: bool = True) -> str:
    """Return the formula of a tensor as a MathML element.

    >>> import symgrad as sg
    >>> x = sg.input("x", (3,))
    >>> print(mathml(sg.sqrt(x)).partition(">")[2])
    <msqrt><mi>x</mi></msqrt></math>
    """
    first, *rest = _equations(t)
    main = _line(first, mathml_text, _EQUALS)
    if not where or not rest:
        return math_element(main)
    lines = [main, *(_line(e, mathml_text, _EQUALS) for e in rest)]
    heads = ["", "<mtext>where\u00a0</mtext>", *[""] * (len(lines) - 2)]
    rows = (
        f"<mtr><mtd>{head}</mtd><mtd>{line}</mtd></mtr>"
        for head, line in zip(heads, lines, strict=True)
    )
    return math_element(f'<mtable columnalign="left">{"".join(rows)}</mtable>')


def parameter_gradients(
    loss: Tensor,
    params: Sequence[Tensor] | None = None,
    gradients: Sequence[Tensor] | None = None,
    where: bool = True,
) -> str:
    """Return one line ``∂L/∂W = …`` for each parameter, and what the lines share.

    Args:
        loss: the scalar that is derived.
        params: the parameters; by default all that are trainable.
        gradients: their gradients, if they are at hand (simplified, say).
        where: also define the names of what the lines share.
    """
    from symgrad.derivation.reverse import grad

    if params is None:
        params = [t for t in topological([loss]) if _is_trainable(t)]
    if not params:
        raise GraphError(
            f"{loss.describe()} has no trainable parameter; give params= the tensors "
            "to derive by"
        )
    if gradients is None:
        gradients = grad(loss, list(params))
    found = Definitions(gradients, [loss])
    names = _names_of(params, found)
    lines = []
    for p, g in zip(params, gradients, strict=True):
        left, right = found.equation(g, f"∂L/∂{names[p]}")
        if g in found.names:
            right = sym(found.names[g])
        assert left is not None
        lines.append(_line((left, right), unicode_text))
    return _laid_out(_aligned(lines), _where(found.lines()) if where else [])


def _is_trainable(t: Tensor) -> bool:
    return isinstance(t.op, Param) and t.op.trainable


def _names_of(params: Sequence[Tensor], found: Definitions) -> Mapping[Tensor, str]:
    """Return the names of the parameters, beside those that the formulas mention."""
    from symgrad.notation.names import leaf_names

    missing = leaf_names([p for p in params if p not in found.names])
    return {**missing, **found.names}


def _equations(t: Tensor) -> list[tuple[Form | None, Form]]:
    if not isinstance(t, Tensor):
        raise GraphError(f"a formula is of a tensor, not of {type(t).__name__} {t!r}")
    ways = []
    for way in dict.fromkeys((t, simplify(t))):
        for short in (SHORT, PRODUCT, CHAIN):
            ways.append(_equations_of(way, short))
            if len(ways[-1]) == 1 or len(ways[-1]) > MOST_LINES:
                break
    return min(ways, key=_length)


def _equations_of(t: Tensor, short: int) -> list[tuple[Form | None, Form]]:
    found = Definitions([t], short=short)
    if t in found.names and not t.args:
        return [(None, sym(found.names[t]))]
    equations = [found.equation(t), *found.lines()]
    if any(mentions(right, COMMUTATION) for _, right in equations):
        x = sym("X")
        left = product([COMMUTATION, call("vec", x)])
        equations.append((left, call("vec", transposed(x))))
    return equations


def _length(equations: Sequence[tuple[Form | None, Form]]) -> tuple[int, int]:
    """Return how much there is to read; index notation counts as the longer.

    A name that must be looked up counts as two.
    """
    first, *rest = (left for left, _ in equations)
    indexed = sum(left is not None and left.kind == "sub" for left in rest)
    indexed += first is not None
    return indexed, sum(cost(right) + 2 for _, right in equations)


def _line(equation: tuple[Form | None, Form], text: Text, equals: str = " = ") -> str:
    left, right = equation
    shown = text(right) if left is None else f"{text(left)}{equals}{text(right)}"
    return shown if left is None or equals == " = " else row(shown)


def _where(equations: Sequence[tuple[Form | None, Form]]) -> list[str]:
    return [_line(e, unicode_text) for e in equations]


def _aligned(lines: list[str]) -> list[str]:
    width = max(line.index(" =") for line in lines)
    return [
        left.ljust(width) + equals + right
        for left, equals, right in (line.partition(" =") for line in lines)
    ]


def _laid_out(main: list[str], rest: list[str]) -> str:
    heads = ["  where ", *["        "] * len(rest)]
    return "\n".join([*main, *(h + r for h, r in zip(heads, rest, strict=False))])

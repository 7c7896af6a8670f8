"""The formula of a part of a graph, given names for what it starts from.

Pictures show with it what a box computes, and the local derivative along an edge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from symgrad.declare.loop import Scan
from symgrad.declare.tensor import Reshape, Tensor, op_name
from symgrad.notation import algebra
from symgrad.notation.indexed import Indexed
from symgrad.notation.lower import Lowering, below
from symgrad.notation.matrix import Matrices, view_of
from symgrad.notation.render import unicode_text
from symgrad.notation.syntax import Form, call, sym
from symgrad.notation.terms import Term, axis, ref

#: Nodes that a formula may be written out to, counting each as often as it is read.
WRITTEN_OUT = 1000
LONGEST_NAME = 200  # of a reshape, in characters
ARGUMENTS = 4  # of a node that is not written out


def local_formula(
    t: Tensor, names: Mapping[Tensor, str], result: Tensor | None = None
) -> tuple[str, bool]:
    """Return ``local_form`` as text."""
    form, is_matrix = local_form(t, names, result)
    return unicode_text(form), is_matrix


def local_form(
    t: Tensor, names: Mapping[Tensor, str], result: Tensor | None = None
) -> tuple[Form, bool]:
    """Return the formula of ``t`` over the named tensors; True if in matrix notation.

    Args:
        t: the tensor, which may itself be named: its formula is shown nevertheless.
        names: what is below these nodes is not looked at; every input and parameter
            that the formula reaches must be among them.
        result: one of them that is to be mentioned by name even where the graph
            computes it anew, as softmax is in its gradient.
    """
    if isinstance(t.op, Reshape | Scan):
        found = ((a, a in names) for a in t.args)
        shown = (sym(names[a]) if ok else local_form(a, names)[0] for a, ok in found)
        word = "reshape" if isinstance(t.op, Reshape) else t.op.name
        return call(word, *shown), True
    known = with_opaque(t, names)
    term = local_term(t, known)
    if result is not None:
        others = {n: s for n, s in known.items() if n is not result}
        term = _mentioning(result, term, others)
    form = matrix_form(term, t.ndim, known)
    if form is not None:
        return form, True
    return Indexed(known, t.ndim).form(term), False


def with_opaque(t: Tensor, names: Mapping[Tensor, str]) -> dict[Tensor, str]:
    """Return the names, and one for each node on the way that is not written out.

    A reshape or a loop is called by its formula.  What is read more than once is
    written out as often, which doubles at each layer; where that gets too long the
    node is called a function of what it is computed from.
    """
    leaves = set(names) - {t}
    found = dict(names)
    length = dict.fromkeys(leaves, 1)
    order = below([t], leaves)
    for node in order:
        if node in leaves:
            continue
        length[node] = 1 + sum(length[a] for a in node.args)
        opaque = isinstance(node.op, Reshape | Scan)
        if not opaque and (length[node] <= WRITTEN_OUT or node is t):
            continue
        text = ""
        if opaque and length[node] <= WRITTEN_OUT:
            text = local_formula(node, found)[0]
        if not 0 < len(text) <= LONGEST_NAME:
            reached = [a for a in below([node], leaves) if a in leaves]
            text = _as_function(node, reached, names)
        found[node], length[node] = text, 1
    return found


def _as_function(
    node: Tensor, reached: Sequence[Tensor], names: Mapping[Tensor, str]
) -> str:
    """Return ``add(x, W, …)`` for a node and what it is computed from."""
    shown = [names[a] for a in reached[:ARGUMENTS]]
    more = ["…"] if len(reached) > ARGUMENTS else []
    return f"{op_name(node.op)}({', '.join([*shown, *more])})"


def _mentioning(result: Tensor, term: Term, names: Mapping[Tensor, str]) -> Term:
    """Return the term with what equals ``result`` replaced by a reference to it."""
    own = local_term(result, names)
    if own.kind not in ("call", "fam", "mat", "red"):
        return term
    pattern, places = canonical(own)
    if sorted(places) != list(range(result.ndim)):
        return term

    def refer(e: Term) -> Term | None:
        if e.kind != own.kind:
            return None
        shape, axes = canonical(e)
        if shape is not pattern:
            return None
        index = dict(zip(places, axes, strict=True))
        return ref(result, tuple(axis(index[a]) for a in range(result.ndim)))

    return algebra.rewrite(term, refer)


def canonical(e: Term) -> tuple[Term, tuple[int, ...]]:
    """Return the term over axes numbered as they first occur, and these axes."""
    order: list[int] = []
    stack = [e]
    while stack:
        t = stack.pop()
        if t.kind == "axis" and t.value in e.free and t.value not in order:
            order.append(t.value)
        stack += [a for a in reversed(t.args) if a.free]
    names = {a: axis(n + (1 << 16)) for n, a in enumerate(order)}
    return algebra.substitute(e, names), tuple(order)


def referring(term: Term, places: Mapping[Tensor, Tensor]) -> Term:
    """Return the term with references to other tensors."""

    def rule(e: Term) -> Term | None:
        if e.kind != "ref" or e.value not in places:
            return None
        return ref(places[e.value], tuple(algebra.rewrite(i, rule) for i in e.args))

    return algebra.rewrite(term, rule)


def local_term(t: Tensor, names: Mapping[Tensor, str]) -> Term:
    """Return the term of a tensor over the named ones, everything written out."""
    leaves = set(names) - {t}
    lowering = Lowering([t], leaves)
    done: dict[Tensor, Term] = {}

    def rule(e: Term) -> Term | None:
        if e.kind != "ref" or e.value not in done:
            return None
        index = (algebra.rewrite(i, rule) for i in e.args)
        return algebra.substitute(done[e.value], dict(enumerate(index)))

    for node in lowering.order:
        if node in leaves or isinstance(node.op, Reshape) or not node.args:
            continue
        if node in lowering.apart or node is t:
            done[node] = algebra.rewrite(lowering.terms[node], rule)
    return done.get(t, lowering.terms[t])


def matrix_form(term: Term, rank: int, names: Mapping[Tensor, str]) -> Form | None:
    """Return the matrix notation of a term with so many axes, if it has one."""
    axes = tuple(range(rank))
    matrices = Matrices(names)
    return matrices.spread(term, view_of(axes))

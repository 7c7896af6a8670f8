"""What boxes are called: the word for what they do, found from their terms."""

from __future__ import annotations

from functools import cache

from symgrad.declare.comprehension import Comprehension
from symgrad.declare.ops import FUNCTIONS
from symgrad.declare.tensor import Param, Reshape, Tensor, input, op_name
from symgrad.drawing.condense import Box
from symgrad.drawing.joins import join_title, joined
from symgrad.drawing.loops import is_loop, loop_of
from symgrad.drawing.slices import is_part
from symgrad.notation.local import local_term, referring
from symgrad.notation.terms import Term, factors, power_parts

_TITLES = {
    "log_softmax": "log-softmax",
    "red": "log-sum-exp",
    "expand_dims": "reshape",
    "mul": "multiply",
    "div": "divide",
    "sub": "subtract",
    "neg": "negate",
    "select": "where",
}
_JOINED = ("concat", "stack", "pad", "flip", "roll", "tile", "repeat")
_NUMERIC = ("add", "mul", "pow", "num")


def title_of(box: Box, term: Term | None) -> str:
    """Return the word for what a box does, from its term and its operations."""
    if is_loop(box.head):
        loop = loop_of(box.head)
        return f"↻ scan × {loop.length}" + (", backwards" if loop.reverse else "")
    if joined(box.head):
        return join_title(box.head)
    if term is None:
        part = is_part(box.head) or isinstance(box.head.op, Reshape)
        return op_name(box.head.op) if part else "elementwise"
    if term.kind == "fam":
        return _TITLES.get(term.value[0], term.value[0])
    loss = _loss_title(term, box.head)
    if loss is not None:
        return loss
    products = [m for m in box.members if _is_product(m)]
    if products:
        return _product_title(products, box)
    if _normalises(term):
        return "normalise"
    known = activation(term, box)
    if known is not None:
        return known
    name = op_name(box.head.op)
    if name in _JOINED:
        return name
    if term.kind == "call":
        return _TITLES.get(term.value, term.value)
    if term.kind == "red":
        return _TITLES["red"] if term.value[0] == "logsumexp" else name
    if any(op_name(m.op) == "take" for m in box.members):
        return "embedding"
    if name == "add" and len(box.members) == 1:
        return "+"
    if {op_name(m.op) for m in box.members} == {"sum", "div"}:
        return "mean"
    if len(box.members) == 1 or term.kind not in _NUMERIC:
        return _TITLES.get(name, name)
    return _scaled(term)


def _scaled(term: Term) -> str:
    """Return the function that a term is a multiple of, ``""`` if it is none."""
    rest = [f for f in factors(term) if f.kind != "num"]
    if len(rest) != 1 or rest[0].kind != "call":
        return ""
    return _TITLES.get(rest[0].value, rest[0].value)


@cache
def _activations(rank: int, dtype: str) -> tuple[Tensor, dict[str, Term]]:
    """Return a place of that many axes, and the terms of activations of it."""
    place = input("x", (2,) * rank, dtype)
    terms = {n: local_term(FUNCTIONS[n](place), {place: "x"}) for n in ACTIVATIONS}
    return place, terms


ACTIVATIONS = (
    "leaky_relu",
    "silu",
    "gelu",
    "mish",
    "softplus",
    "elu",
    "selu",
    "hardswish",
)


def activation(term: Term, box: Box) -> str | None:
    """Return the activation that a box is, whatever graph computes it.

    Its term is compared with those of the functions as they are declared; ``erf`` is
    in no other than GELU (Hendrycks & Gimpel 2016), whose constant may be rounded.
    """
    if len(box.sources) != 1 or box.head.shape != box.sources[0].shape:
        return None
    if term.kind not in _NUMERIC and term.value != "select" and term.kind != "call":
        return None
    (s,) = box.sources
    place, terms = _activations(s.ndim, s.dtype)
    own = referring(term, {s: place})
    for name, known in terms.items():
        if known is own:
            return name
    bodies = [m.op for m in box.members if isinstance(m.op, Comprehension)]
    gated = term.kind == "mul" and all(c.reduce is None for c in bodies)
    return "gelu" if gated and any(c.body.fn == "erf" for c in bodies) else None


def _is_product(t: Tensor) -> bool:
    c = t.op
    return isinstance(c, Comprehension) and c.is_contraction and len(c.reads) > 1


def _product_title(products: list[Tensor], box: Box) -> str:
    name = op_name(products[0].op)
    if name != "matmul":
        return name
    weights = any(isinstance(s.op, Param) for s in box.sources)
    return "linear" if weights else "matmul"


def _loss_title(term: Term, head: Tensor) -> str | None:
    if head.ndim:
        return None
    for f in factors(term):
        if f.kind == "red" and f.value[0] == "sum":
            inner = factors(f.args[0])
            if any(g.kind == "fam" and g.value[0] == "log_softmax" for g in inner):
                return "cross-entropy"
            base, e = power_parts(f.args[0])
            if len(inner) == 1 and e == 2 and base.kind == "add":
                return "squared error"
    return None


def _normalises(term: Term) -> bool:
    """Return True for a division by the root of a mean square or variance."""
    return any(
        f.kind == "pow" and f.value.denominator == 2 and f.value < 0
        for t in (term, *term.args)
        for f in factors(t)
    )

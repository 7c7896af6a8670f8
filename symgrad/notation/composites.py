"""Composites: softmax and its kin, recognised in the normal form of terms.

Each rule is an identity that holds whatever graph the parts came from, so that forward
and gradient graphs, raw or simplified, show the same composite.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from symgrad.notation import algebra, orders, sums
from symgrad.notation.terms import (
    MINUS,
    ONE,
    ZERO,
    Term,
    addends,
    axis,
    bound_axes,
    coefficient,
    factors,
    make,
    power_parts,
    size_term,
)

# -- products ----------------------------------------------------------------------


def recognise_product(parts: list[Term]) -> list[Term]:
    """Return the factors with ``exp(z)/Σexp(z)``, ``x·[x > 0]``, … recognised."""
    parts = _tanh(parts)
    parts = orders.merged_products(_sigmoid_slope(_sigmoid_exp(_relu(parts))))
    for d in parts:
        base, e = power_parts(d)
        if e < 0 and is_sum_of_exp(base):
            found = _softmax(parts, d, base, e)
            if found is not None:
                return found
    return parts


def is_sum_of_exp(t: Term) -> bool:
    """Return True for ``Σ_k exp(…)`` over one axis."""
    return (
        t.kind == "red"
        and t.value[0] == "sum"
        and len(t.value[1]) == 1
        and t.args[0].kind == "call"
        and t.args[0].value == "exp"
    )


def _softmax(parts: list[Term], d: Term, total: Term, e: Fraction) -> list[Term] | None:
    """Return the factors with one power of the denominator used up."""
    rest = [p for p in parts if p is not d]
    left = [algebra.power(total, e + 1)] if e != -1 else []
    for n, p in enumerate(rest):
        others = rest[:n] + rest[n + 1 :] + left
        if algebra.is_exp(p):
            found = _normalised(p, total)
        elif p.kind == "red" and p.value[0] == "sum":
            found = _absorbed(p, total)
        else:
            continue
        if found is not None:
            return list(factors(algebra.mul(*found, *others)))
    return None


def _normalised(e: Term, total: Term) -> list[Term] | None:
    """Return softmax and what is left of ``exp`` where its argument holds the row."""
    (bound,) = bound_axes(total)
    row = total.args[0].args[0]
    parts = algebra.spread(e.args[0])
    for a in sorted(e.free - total.free):
        wanted = algebra.spread(algebra.substitute(row, {bound: axis(a)}))
        if all(w in parts for w in wanted):
            more = [p for p in parts if p not in wanted]
            made = make("fam", (row, axis(a)), ("softmax", total.value[1][0]))
            return [made, *([algebra.call("exp", algebra.add(*more))] if more else [])]
    return None


def _absorbed(s: Term, total: Term) -> list[Term] | None:
    """Return a sum with the denominator moved inside, where that makes a softmax."""
    names, body = sums.unbind(s)
    for f in factors(body):
        if algebra.is_exp(f):
            found = _normalised(f, total)
            if found is not None:
                others = [g for g in factors(body) if g is not f]
                inner = algebra.mul(*found, *others)
                return [sums.reduce("sum", names, s.value[1], inner)]
    return None


def _relu(parts: list[Term]) -> list[Term]:
    """``x·[x > 0]`` is relu(x)."""
    for p in parts:
        if p.kind == "ind" and p.args[0].value in ("gt", "ge"):
            x, bound = p.args[0].args
            if bound is not ZERO:
                continue
            positive = make("call", (x,), "relu")
            if positive in parts:
                return [q for q in parts if q is not p]
            if x in parts:
                rest = [q for q in parts if q is not p and q is not x]
                return [x if _is_relu(x) else positive, *rest]
    return parts


def _sigmoid_exp(parts: list[Term]) -> list[Term]:
    """``σ(x)·exp(-x)`` is ``σ(-x)``."""
    for p in parts:
        if p.kind != "call" or p.value != "sigmoid":
            continue
        minus = algebra.mul(MINUS, p.args[0])
        for e in parts:
            if algebra.is_exp(e) and e.args[0] is minus:
                rest = [q for q in parts if q is not e and q is not p]
                return [make("call", (minus,), "sigmoid"), *rest]
    return parts


def _sigmoid_slope(parts: list[Term]) -> list[Term]:
    """``σ(-x)·σ(x)`` is ``σ(x)·(1 - σ(x))``."""
    found = [p for p in parts if p.kind == "call" and p.value == "sigmoid"]
    for p in found:
        if coefficient(p.args[0])[0] >= 0:
            continue
        other = make("call", (algebra.mul(MINUS, p.args[0]),), "sigmoid")
        if other in found:
            rest = algebra.add(ONE, algebra.mul(MINUS, other))
            kept = [q for q in parts if q is not p]
            place = kept.index(other) + 1
            return [*kept[:place], rest, *kept[place:]]
    return parts


def _tanh(parts: list[Term]) -> list[Term]:
    """``sinh(x)/cosh(x)`` is tanh(x)."""
    for p in parts:
        sinh, e = power_parts(p)
        if sinh.kind == "call" and sinh.value == "sinh":
            under = algebra.power(make("call", sinh.args, "cosh"), -e)
            if under in parts:
                rest = [q for q in parts if q is not p and q is not under]
                return [algebra.power(make("call", sinh.args, "tanh"), e), *rest]
    return parts


def _is_relu(t: Term) -> bool:
    return t.kind == "call" and t.value == "relu"


def recognise_reciprocal(base: Term) -> Term | None:
    """``1/(1 + exp(-x))`` is sigmoid(x)."""
    if base.kind != "add" or len(base.args) != 2 or ONE not in base.args:
        return None
    other = base.args[1] if base.args[0] is ONE else base.args[0]
    if algebra.is_exp(other):
        return algebra.call("sigmoid", algebra.mul(MINUS, other.args[0]))
    return None


# -- sums --------------------------------------------------------------------------


def recognise_sum(parts: list[tuple[Fraction, Term]]) -> list[tuple[Fraction, Term]]:
    """Return the terms with ``z - logsumexp(z)`` recognised as log_softmax(z)."""
    parts = orders.joined_brackets(parts)
    for c, t in parts:
        if t.kind != "red" or t.value[0] != "logsumexp" or len(t.value[1]) != 1:
            continue
        (bound,) = bound_axes(t)
        row = t.args[0]
        free: set[int] = set().union(*(p.free for _, p in parts))
        for a in sorted(free - t.free):
            row_there = algebra.substitute(row, {bound: axis(a)})
            wanted = [coefficient(p) for p in addends(row_there)]
            if all((-c * w, p) in parts for w, p in wanted):
                used = [(-c * w, p) for w, p in wanted]
                rest = [p for p in parts if p not in used and p[1] is not t]
                made = make("fam", (row, axis(a)), ("log_softmax", t.value[1][0]))
                return [*rest, (-c, made)]
    return parts


# -- functions ---------------------------------------------------------------------


def recognise_call(fn: str, args: Sequence[Term]) -> Term | None:
    """Return the normal form of a function of composites, or None."""
    x = args[0]
    if fn == "exp":
        return _exp(x)
    if fn == "log":
        return _log(x)
    if fn == "relu" and _is_relu(x):
        return x
    if fn == "log1p" and x.kind == "call" and x.value == "exp":
        return make("call", x.args, "softplus")
    if fn in ("and", "or"):
        return _both_hold(fn, *args)
    if fn == "not":
        return x.args[0] if _is_not(x) else algebra.negated(x)
    if fn in ("maximum", "minimum") and ZERO in args and args[0] is not args[1]:
        x = args[1] if args[0] is ZERO else args[0]
        return algebra.call("relu", x) if fn == "maximum" else None
    return None


def _both_hold(fn: str, a: Term, b: Term) -> Term | None:
    """Return the shorter form of ``a ∧ b`` or ``a ∨ b``, if it has one."""
    none, every = (ZERO, ONE) if fn == "and" else (ONE, ZERO)
    for x, y in ((a, b), (b, a)):
        if x is every or x is y:
            return y
        if x is none or algebra.negated(x) is y or (_is_not(x) and x.args[0] is y):
            return none
    return None


def _is_not(t: Term) -> bool:
    return t.kind == "call" and t.value == "not"


def _exp(x: Term) -> Term | None:
    if x is ZERO:
        return ONE
    for n, p in enumerate(addends(x)):
        if p.kind == "fam" and p.value[0] == "log_softmax":
            soft = make("fam", p.args, ("softmax", p.value[1]))
            rest = [q for m, q in enumerate(addends(x)) if m != n]
            if any(p.args[1].free & q.free for q in rest):
                continue  # weighted: softmax of the whole is to be recognised
            return algebra.mul(soft, algebra.call("exp", algebra.add(*rest)))
        c, q = coefficient(p)
        if q.kind == "call" and q.value == "log":
            rest = [r for m, r in enumerate(addends(x)) if m != n]
            base = algebra.power(q.args[0], c)
            return algebra.mul(base, algebra.call("exp", algebra.add(*rest)))
        if c == -1 and q.kind == "red" and q.value[0] == "logsumexp":
            total = make("red", (make("call", q.args, "exp"),), ("sum", q.value[1]))
            rest = [r for m, r in enumerate(addends(x)) if m != n]
            over = algebra.power(total, Fraction(-1))
            return algebra.mul(algebra.call("exp", algebra.add(*rest)), over)
    return None


def _log(x: Term) -> Term | None:
    if x is ONE:
        return ZERO
    if x.kind == "call" and x.value == "exp":
        return x.args[0]
    if x.kind == "fam" and x.value[0] == "softmax":
        return make("fam", x.args, ("log_softmax", x.value[1]))
    parts = factors(x)
    if not any(is_sum_of_exp(p) for p in parts):
        return None
    logs = []
    for p in parts:
        if is_sum_of_exp(p):
            row = p.args[0].args[0]
            logs.append(make("red", (row,), ("logsumexp", p.value[1])))
        else:
            logs.append(algebra.call("log", p))
    return algebra.add(*logs)


# -- statistics --------------------------------------------------------------------


def mean_of(count: Term, total: Term) -> bool:
    """Return True if ``1/count`` makes the sum ``total`` a mean."""
    sizes = algebra.mul(*map(size_term, total.value[1]))
    return algebra.mul(count, sizes) is ONE


def variance_argument(total: Term) -> Term | None:
    """Return w (over the bound axes) where a sum is ``Σ (w - mean(w))²``."""
    names, body = sums.unbind(total)
    base, e = power_parts(body)
    if e != 2 or base.kind != "add":
        return None
    sizes = algebra.mul(*map(size_term, total.value[1]))
    for p in base.args:
        c, w = coefficient(p)
        if abs(c) != 1 or not set(names) <= set(w.free):
            continue
        mean = algebra.mul(
            algebra.power(sizes, Fraction(-1)),
            sums.reduce("sum", names, total.value[1], w),
        )
        centred = algebra.add(w, algebra.mul(MINUS, mean))
        if base in (centred, algebra.mul(MINUS, centred)):
            bound = {n: axis(b) for n, b in zip(names, bound_axes(total), strict=True)}
            return algebra.substitute(w, bound)
    return None

"""Constructors of terms that keep the normal form, and substitution.

They use identities of mathematics without regard to rounding (terms are never
computed, only shown): like terms are collected, what does not depend on a bound axis
leaves the sum, ``[k = e]`` is eliminated by substitution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

from symgrad.notation.terms import (
    MINUS,
    ONE,
    ZERO,
    Term,
    axis,
    coefficient,
    factors,
    make,
    num,
    power_parts,
    refs,
)

# -- sums and products -------------------------------------------------------------


def add(*terms: Term) -> Term:
    """Return a sum: flat, like terms collected, common scalar factors in front."""
    from symgrad.notation.composites import recognise_sum
    from symgrad.notation.expand import collected, combined

    total: dict[frozenset[Term], tuple[Fraction, Term]] = {}
    for term in terms:
        for part in spread(term):
            c, rest = coefficient(part)
            key = frozenset(factors(rest))
            known, rest = total.get(key, (Fraction(0), rest))
            total[key] = known + c, rest
    parts = [(c, rest) for c, rest in total.values() if c]
    if not parts:
        return ZERO
    if len(parts) == 1:
        return mul(num(parts[0][0]), parts[0][1])
    parts = recognise_sum(parts)
    if len(parts) == 1:
        return mul(num(parts[0][0]), parts[0][1])
    shorter = combined(parts) or collected(parts)
    return _with_content(parts) if shorter is None else shorter


def spread(term: Term) -> list[Term]:
    """Return the addends of a sum, also of one with a coefficient in front."""
    if term.kind == "add":
        return list(term.args)
    if term.kind == "mul" and [a.kind for a in term.args] == ["num", "add"]:
        return [mul(term.args[0], part) for part in term.args[1].args]
    return [term]


def _with_content(parts: list[tuple[Fraction, Term]]) -> Term:
    """Return the sum with what is common to all its terms as a factor.

    Numbers, sizes, matrices, exponentials and denominators are taken out; others stay,
    because ``x² + 3x`` should remain as it was declared.
    """
    powers = [dict(map(power_parts, factors(t))) for _, t in parts]
    common: list[Term] = []
    for base, e in powers[0].items():
        if not all(base in p and p[base] * e > 0 for p in powers):
            continue
        least = min((p[base] for p in powers), key=abs)
        matrix = base.kind == "ref" and len(base.args) > 1
        everywhere = matrix and all(p[base] == 1 for p in powers)
        if base.kind == "size" or least < 0 or is_exp(base) or everywhere:
            common.append(power(base, least))
    scale = abs(parts[0][0])
    if any(abs(c) != scale for c, _ in parts):
        scale = Fraction(1)
    if all(c < 0 for c, _ in parts):
        scale = -scale
    inverse = [power(f, Fraction(-1)) for f in common]
    inner = [mul(num(c / scale), t, *inverse) for c, t in parts]
    total = make("add", tuple(inner))
    if common:  # what is left may have like terms, or be a composite
        total = add(*inner)
    if scale == 1 and not common:
        return total
    return mul(num(scale), *common, total)


def mul(*terms: Term) -> Term:
    """Return a product: flat, equal bases and exponentials merged, numbers first."""
    from symgrad.notation.composites import recognise_product
    from symgrad.notation.expand import cancelled

    number = Fraction(1)
    powers: dict[Term, Fraction] = {}
    exponents: list[Term] = []
    special: list[Term] = []
    for term in terms:
        for f in factors(term):
            if f.kind == "num":
                if not isinstance(f.value, Fraction):
                    special.append(f)
                    continue
                number *= f.value
            elif is_exp(f):
                exponents.append(f.args[0])
            else:
                base, e = power_parts(f)
                powers[base] = powers.get(base, Fraction(0)) + e
    if number == 0:
        return ZERO
    parts = [power(b, Fraction(1) if b.kind == "ind" else e) for b, e in powers.items()]
    if exponents:
        parts.append(call("exp", add(*exponents)))
    parts = special + [f for p in parts for f in factors(p)]
    parts = recognise_product(_sizes_first([p for p in parts if p is not ONE]))
    for p in [p for p in parts if p.kind == "num" and isinstance(p.value, Fraction)]:
        number *= p.value
        parts.remove(p)
    number, parts = _signs(number, parts)
    if number != 1 or not parts:
        parts = [num(number), *parts]
    return parts[0] if len(parts) == 1 else cancelled(parts)


def _sizes_first(parts: list[Term]) -> list[Term]:
    """Return the factors with sizes in one order, whatever graph they came from."""
    sizes = [p for p in parts if power_parts(p)[0].kind == "size"]
    if not sizes:
        return parts
    sizes.sort(key=lambda p: str(power_parts(p)[0].value))
    return sizes + [p for p in parts if power_parts(p)[0].kind != "size"]


def is_exp(t: Term) -> bool:
    """Return True for an exponential."""
    return t.kind == "call" and t.value == "exp"


def _signs(number: Fraction, parts: list[Term]) -> tuple[Fraction, list[Term]]:
    """Move a minus into a difference: ``-(y - p)`` is ``p - y``."""
    if _is_outer_square(parts):
        return _oriented(number, parts)
    if number >= 0:
        return number, parts
    for n, p in enumerate(parts):
        flipped = _flipped(p)
        if flipped is not None:
            return -number, [*parts[:n], flipped, *parts[n + 1 :]]
    return number, parts


def _is_outer_square(parts: list[Term]) -> bool:
    """Return True for the product of a difference with itself at another place."""
    sums = [frozenset(r.value for r in refs(p)) for p in parts if p.kind == "add"]
    return len(sums) > len(set(sums))


def _oriented(number: Fraction, parts: list[Term]) -> tuple[Fraction, list[Term]]:
    """Return the factors, each difference with what it is named after in front."""
    found = []
    for p in parts:
        plain = [coefficient(a) for a in p.args] if p.kind == "add" else []
        if [c for c, a in plain if a.kind == "ref" and a.free] in ([-1], [-1, -1]):
            p = make("add", tuple(mul(MINUS, a) for a in p.args))
            number = -number
        found.append(p)
    return number, found


def _flipped(p: Term) -> Term | None:
    """Return minus a difference, or a sum of products by one; None for other terms."""
    if p.kind == "red" and p.value[0] == "sum":
        inside = list(factors(p.args[0]))
        for n, f in enumerate(inside):
            turned = _flipped(f) if f.kind == "add" else None
            if turned is not None and len(inside) > 1:
                inside[n] = turned
                return make("red", (make("mul", tuple(inside)),), p.value)
        return None
    if p.kind != "add":
        return None
    if 2 * sum(coefficient(a)[0] < 0 for a in p.args) < len(p.args):
        return None
    return make("add", tuple(mul(MINUS, a) for a in p.args))


def power(base: Term, e: Fraction) -> Term:
    """Return a power with a rational exponent."""
    if e == 1:
        return base
    if e == 0:
        return ONE
    whole = e.denominator == 1
    exact = base.kind == "num" and whole and isinstance(base.value, Fraction)
    if exact and (base.value or e > 0):
        return num(base.value ** int(e))
    if base.kind == "pow" and whole:
        return power(base.args[0], base.value * e)
    if base.kind == "mul" and whole:
        return mul(*(power(f, e) for f in base.args))
    if base.kind == "call" and base.value == "exp":
        return call("exp", mul(num(e), base.args[0]))
    if base.kind == "ind" and e > 0:
        return base
    if e == -1:
        from symgrad.notation.composites import recognise_reciprocal

        found = recognise_reciprocal(base)
        if found is not None:
            return found
    return make("pow", (base,), e)


# -- scalar functions --------------------------------------------------------------

_AS_POWER = {
    "square": Fraction(2),
    "sqrt": Fraction(1, 2),
    "rsqrt": Fraction(-1, 2),
    "reciprocal": Fraction(-1),
}
_ARITHMETIC: dict[str, Callable[..., Term]] = {
    "add": add,
    "mul": mul,
    "sub": lambda a, b: add(a, mul(MINUS, b)),
    "div": lambda a, b: mul(a, power(b, Fraction(-1))),
    "neg": lambda a: mul(MINUS, a),
    "fma": lambda a, b, c: add(mul(a, b), c),
    "stop_gradient": lambda a: a,
}


def call(fn: str, *args: Term) -> Term:
    """Return a scalar function applied to terms."""
    from symgrad.notation.composites import recognise_call

    if fn in _ARITHMETIC:
        return _ARITHMETIC[fn](*args)
    if fn in _AS_POWER:
        return power(args[0], _AS_POWER[fn])
    if fn == "pow" and args[1].kind == "num" and isinstance(args[1].value, Fraction):
        return power(args[0], args[1].value)
    if fn == "select":
        return _select(*args)
    found = recognise_call(fn, args)
    return make("call", args, fn) if found is None else found


def _select(condition: Term, taken: Term, other: Term) -> Term:
    if condition.kind == "ind":
        condition = condition.args[0]
    if condition.kind == "call" and condition.value == "isfinite":
        return taken  # the guard of a shift that cancels
    if other is ZERO:
        return mul(taken, indicator(condition))
    if taken is ZERO:
        return mul(other, indicator(call("not", condition)))
    return make("call", (condition, taken, other), "select")


_NEGATED = {"lt": "ge", "ge": "lt", "gt": "le", "le": "gt", "eq": "ne", "ne": "eq"}


def negated(condition: Term) -> Term | None:
    """Return the opposite comparison, if it is one."""
    if condition.kind == "call" and condition.value in _NEGATED:
        return make("call", condition.args, _NEGATED[condition.value])
    return None


def indicator(condition: Term) -> Term:
    """Return 1 where the condition holds, else 0."""
    if condition.kind == "ind":
        return condition
    if condition.kind == "num":
        return ONE if condition.value else ZERO
    if condition.value == "gt" and condition.args[1] is ZERO:
        x = condition.args[0]
        if x.kind == "call" and x.value == "relu":  # relu(x) > 0 where x > 0
            condition = make("call", (x.args[0], ZERO), "gt")
    return make("ind", (condition,))


# -- substitution ------------------------------------------------------------------


def substitute(term: Term, axes: Mapping[int, Term]) -> Term:
    """Return the term with axes replaced by indices."""
    images = [axes.get(a) or axis(a) for a in term.free]
    if len({i.value for i in images if i.kind == "axis"}) == len(images):
        return _renamed(term, axes)
    return rewrite(
        term, lambda t: axes.get(t.value) if t.kind == "axis" else None, axes
    )


def _renamed(term: Term, axes: Mapping[int, Term]) -> Term:
    """Return the term under other names of its axes: it stays in normal form."""
    memo: dict[Term, Term] = {}

    def walk(t: Term) -> Term:
        if t.free.isdisjoint(axes):
            return t
        if t.kind == "axis":
            return axes[t.value]
        if t not in memo:
            memo[t] = make(t.kind, tuple(map(walk, t.args)), t.value)
        return memo[t]

    return walk(term)


def rewrite(
    term: Term,
    rule: Callable[[Term], Term | None],
    touched: Mapping[int, Term] | None = None,
) -> Term:
    """Return the term with ``rule`` applied to each part (None: look inside).

    Where ``touched`` is given, parts without any of these axes stay as they are.
    """
    memo: dict[Term, Term] = {}

    def walk(t: Term) -> Term:
        if touched is not None and t.free.isdisjoint(touched):
            return t
        if t not in memo:
            found = rule(t)
            memo[t] = _rebuilt(t, walk) if found is None else found
        return memo[t]

    return walk(term)


def _rebuilt(t: Term, walk: Callable[[Term], Term]) -> Term:
    """Return ``t`` of the walked parts, in normal form."""
    from symgrad.notation import functions, sums

    if not t.args:
        return t
    if t.kind in ("red", "fam", "mat"):
        names, body = sums.unbind(t)
        name, extents = t.value
        new, places = walk(body), tuple(map(walk, t.args[1:]))
        if t.kind == "red":
            return sums.reduce(name, names, extents, new)
        if t.kind == "mat":
            return functions.matrix_function(name, names, extents, new, places)
        return sums.bind("fam", name, names, (extents,), new, *places)
    args = tuple(map(walk, t.args))
    if args == t.args:
        return t
    match t.kind:
        case "add":
            return add(*args)
        case "mul":
            return mul(*args)
        case "pow":
            return power(args[0], t.value)
        case "call":
            return call(t.value, *args)
        case "ind":
            return indicator(args[0])
    return make(t.kind, args, t.value)

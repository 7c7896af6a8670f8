"""Typeset formulas as trees: what both the text and the LaTeX are printed from.

kind     children                 text
-------  -----------------------  ------------------------------------------
sym                               a name
num                               a number
sum      terms                    their signs, ``"+-+"``
neg      one
prod     matrices                            (juxtaposed)
had      factors                             (elementwise, ⊙)
kron     matrices                            (Kronecker, ⊗)
frac     numerator, denominator
T        one                                 (transpose)
call     arguments                the function
pow      base                     the exponent
hpow     base                     the exponent  (of each element)
power    base, exponent                      (a computed exponent)
fpow     arguments                function and exponent, ``"tanh 2"``
norm, norm2, tr, diag, ind, sqrt, abs, total, paren: one, of which the kind says all
inv       one                      "symmetric " where it is known to be
det, logdet, logabsdet: one
inner, dot  two
cmp      two or more              the relations, with spaces between
sub      base, indices
big      body, lower limits...    the operator (Σ, max, …)
"""

from __future__ import annotations

from typing import NamedTuple


class Form(NamedTuple):
    """A node of a typeset formula."""

    kind: str
    args: tuple[Form, ...] = ()
    text: str = ""


def sym(text: str) -> Form:
    """Return a name."""
    return Form("sym", (), text)


ONES, EYE = sym("𝟏"), sym("I")
COMMUTATION = sym("𝐊")
ONE = Form("num", (), "1")


def call(name: str, *args: Form) -> Form:
    """Return a function applied to its arguments."""
    return Form("call", args, name)


def product(parts: list[Form]) -> Form:
    """Return a matrix product; products of products are flat."""
    flat: list[Form] = []
    for p in parts:
        flat += p.args if p.kind == "prod" else (p,)
    return flat[0] if len(flat) == 1 else Form("prod", tuple(flat))


def hadamard(parts: list[Form]) -> Form:
    """Return an elementwise product."""
    flat: list[Form] = []
    for p in parts:
        flat += p.args if p.kind == "had" else (p,)
    return flat[0] if len(flat) == 1 else Form("had", tuple(flat))


def transposed(f: Form) -> Form:
    """Return the transpose, pushed to the factors of a product."""
    if f.kind == "T":
        return f.args[0]
    if f.kind == "prod":
        return product([transposed(a) for a in reversed(f.args)])
    if f.kind == "neg":
        return Form("neg", (transposed(f.args[0]),))
    if f.kind in ("diag", "num") or f is EYE or (f.kind == "inv" and f.text):
        return f
    return Form("T", (f,))


def mentions(f: Form, part: Form) -> bool:
    """Return True if a form holds another one."""
    return f == part or any(mentions(a, part) for a in f.args)


def cost(f: Form) -> int:
    """Return how much there is to read; a transposed group counts double.

    ``A⁻ᵀ`` is no more to read than ``A⁻¹``.
    """
    own = -2 if f.kind == "paren" else 1  # the transpose in ``(xᵀ A x)`` is easy
    if f.kind == "T" and f.args[0] is not ONES:
        own = {"sym": 3, "inv": 0}.get(f.args[0].kind, 6)
    return own + sum(map(cost, f.args))

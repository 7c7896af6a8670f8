"""Evaluation of polynomials."""

from collections.abc import Sequence

from symgrad.emit.libm.language import Value, fma


def polynomial(x: Value, coefficients: Sequence[float]) -> Value:
    """c[0] + c[1]*x + c[2]*x**2 + …, by Horner's rule with fused multiply-adds.

    A vectorised loop has independent iterations to fill the pipelines with, so the
    shorter chains of Estrin's scheme gain nothing and cost instructions.
    """
    *rest, last = coefficients
    value = x.like(last)
    for coefficient in reversed(rest):
        value = fma(value, x, coefficient)
    return value
